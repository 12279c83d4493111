"""A running sandbox of the operators, and what the tests of adapters do with it."""

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cabinet.clock import now
from cabinet.sandbox.server import serving
from operators import registry
from operators.client import http
from operators.client.http import CallRecord, HttpClient, HttpExchange, no_limit
from operators.client.redaction import Redactor, allowlist_of
from operators.client.tokens import AccountTokens, TokensAway
from operators.ports import (
    Accepted,
    Action,
    CallKind,
    Check,
    Connection,
    ErrorClass,
    Operator,
    Rejected,
    Sim,
    SubmitResult,
    Unknown,
)
from operators.sandbox.routes import OperatorsPart

SIM = Sim(iccid="89701010000000000015", msisdn="79990000001")
STRANGER = Sim(iccid="89701010000000000999", msisdn="79990000999")


@dataclass
class MemoryTokens:
    """A token store in memory, with locks; `away` makes it fail as a lost Redis would. `lives`: seconds."""

    away: bool = False
    kept: dict[str, str] = field(default_factory=dict)
    lives: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: str) -> str | None:
        self._check()
        return self.kept.get(key)

    def put(self, key: str, value: str, ttl: float) -> None:
        self._check()
        self.kept[key] = value
        self.lives.append(ttl)

    def forget(self, key: str) -> None:
        self._check()
        self.kept.pop(key, None)

    def lock(self, key: str) -> AbstractContextManager[object]:
        self._check()
        return self._lock

    def _check(self) -> None:
        if self.away:
            raise TokensAway


def new_tokens() -> AccountTokens:
    """The tokens of an account that has none yet."""
    return AccountTokens(MemoryTokens(), "token", Redactor())


def make_operator(
    *,
    adapter: str,
    base_url: str,
    credentials: Mapping[str, str],
    account: str = "test",
    tokens: Any = None,
    timeout: float = 5,
    profile: Mapping[str, Any] | None = None,
    exchanges: list[HttpExchange] | None = None,
    admit: Callable[[CallKind], None] = no_limit,
) -> Operator:
    """An adapter without an account's row; `exchanges` gets what its calls take."""
    found = registry.adapter_class(adapter)
    redactor = Redactor(credentials.values(), allowlist_of(adapter, found, profile))
    client = HttpClient(
        account=account,
        total_seconds=timeout,
        redactor=redactor,
        call=CallRecord(admit=admit, exchanges=[] if exchanges is None else exchanges),
    )
    kept = AccountTokens(tokens or MemoryTokens(), f"token:{account}", redactor)
    connection = Connection(account, base_url, credentials, client, kept, profile)
    return registry.adapter_class(adapter)(connection)


@dataclass(frozen=True)
class RunningOperator:
    """A running sandbox, and one operator of it."""

    code: str
    url: str
    credentials: Mapping[str, str]

    def operator(self, *, timeout: float = 5, tokens: Any = None, **credentials: str) -> Operator:
        return make_operator(
            account=f"test-{self.code}",
            adapter=self.code,
            base_url=f"{self.url}/operators/{self.code}",
            credentials=dict(self.credentials) | credentials,
            tokens=tokens,
            timeout=timeout,
        )

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    def put(self, sim: Sim = SIM, **facts: Any) -> None:
        self.call("PUT", f"/state/{self.code}/{sim.iccid}", {"msisdn": sim.msisdn} | facts)

    def state(self, sim: Sim = SIM) -> dict[str, Any]:
        shown: dict[str, Any] = self.call("GET", f"/state/{self.code}/{sim.iccid}")
        return shown

    def actions(self, sim: Sim = SIM) -> list[str]:
        """The real changes of a card, in order."""
        return [effect["action"] for effect in self.state(sim)["effects"]]

    def fault(self, call: str, kind: str, **facts: Any) -> None:
        body = {"operator": self.code, "call": call, "kind": kind, "times": 1} | facts
        self.call("POST", "/faults", body)

    def limits(self, **limits: Any) -> None:
        self.call("PUT", f"/limits/{self.code}", limits)


@contextmanager
def serving_part(part: OperatorsPart, state: Path) -> Iterator[str]:
    """These operators of the sandbox as they are; gives the address."""
    with serving([part], port=0, state=state) as server:
        yield f"http://127.0.0.1:{server.server_port}"
    # The next sandbox may get the port of this one.
    http.close_sessions()


@contextmanager
def running(code: str, credentials: Mapping[str, str], state: Path) -> Iterator[RunningOperator]:
    """A sandbox of the operators alone, without quotas and delays, with one card in it."""
    with serving_part(OperatorsPart(), state) as url:
        bench = RunningOperator(code, url, credentials)
        bench.limits(per_second=None, per_minute=None, concurrency=None, delay_seconds=None)
        bench.put(state="active", imei="356938035643809")
        yield bench


@pytest.fixture
def own_clock(tmp_path: Path, settings: Any) -> None:
    """A shifted clock of this test's own, so that an operator's delay takes no real time."""
    settings.CLOCK_FILE = tmp_path / "clock"
    settings.SANDBOX = True


def submit(operator: Operator, action: Action, sim: Sim = SIM, key: str = "k-1") -> SubmitResult:
    return operator.submit(action=action, sim=sim, key=key, at=now())


def accepted(operator: Operator, action: Action, sim: Sim = SIM) -> Accepted:
    """A switch that the operator has only taken note of."""
    result = submit(operator, action, sim)
    assert isinstance(result, Accepted)
    return result


def checked(operator: Operator, request_id: str, submitted_at: datetime) -> Check:
    return operator.check(request_id=request_id, sim=SIM, submitted_at=submitted_at, at=now())


def settled(operator: Operator, action: Action, sim: Sim = SIM) -> SubmitResult | Check:
    """The end of one switch: what `submit` says, or what `check` says of what it accepted."""
    at = now()
    result = submit(operator, action, sim)
    if not isinstance(result, Accepted):
        return result
    return operator.check(request_id=result.request_id, sim=sim, submitted_at=at, at=now())


class ResultKind(NamedTuple):
    result: object
    error: ErrorClass | None


def kind_of(result: SubmitResult | Check) -> Any:
    """What of a result the contract fixes: its class, and the error class where there is one."""
    match result:
        case Rejected(error=error) | Unknown(error=error):
            return ResultKind(type(result), error)
        case Check(state=state, error=error):
            return ResultKind(state, error)
    return type(result)
