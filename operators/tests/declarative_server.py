"""What the tests of described operators share: operators made by a description, and small servers to answer them."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from werkzeug.routing import Rule

from cabinet.sandbox.http import Part, Request, Response, json_response, route
from cabinet.sandbox.server import serving
from operators.client import http
from operators.client.http import HttpExchange
from operators.declarative.validation import validate
from operators.ports import Operator
from operators.tests.sandbox_operator import RunningOperator, make_operator

STATE = {"iccid": "body.iccid", "state": "body.state"}
READ = {"path": "/sims/{iccid}", "answer": STATE}
WORDS = {"words": {"on": "active", "off": "inactive"}}
# The least that a description can be.
SMALL: dict[str, Any] = {
    "title": "Малый",
    "calls": {
        "activate": {"method": "POST", "path": "/sims/{iccid}/on", "answer": STATE},
        "deactivate": {"method": "POST", "path": "/sims/{iccid}/off", "answer": STATE},
        "read": READ,
    },
    "states": WORDS,
}
EXAMPLES = Path(__file__).parents[1] / "declarative" / "examples"


def profile(switch: Mapping[str, Any], **parts: Any) -> dict[str, Any]:
    """A description both of whose switches are this call; `calls` are the others."""
    call = {"method": "POST", "path": "/sims/{iccid}/on", "answer": STATE, **switch}
    calls = {"activate": call, "deactivate": call, "read": READ} | parts.pop("calls", {})
    return {"title": "Проба", "calls": calls, "states": WORDS} | parts


def problems(switch: Mapping[str, Any], **parts: Any) -> list[str]:
    """The mistakes of such a description, as staff read them."""
    return [str(one) for one in validate(profile(switch, **parts))]


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def make_described_operator(
    profile: Mapping[str, Any],
    base_url: str,
    credentials: Mapping[str, str],
    *,
    account: str = "test-declarative",
    timeout: float = 5,
    tokens: Any = None,
    exchanges: list[HttpExchange] | None = None,
) -> Operator:
    return make_operator(
        account=account,
        exchanges=exchanges,
        adapter="declared",
        base_url=base_url,
        credentials=credentials,
        tokens=tokens,
        timeout=timeout,
        profile=profile,
    )


@dataclass(frozen=True)
class RunningDescribedOperator(RunningOperator):
    """The same operator of the sandbox, called by an adapter with a description."""

    profile: Mapping[str, Any] = field(default_factory=dict)

    def operator(self, *, timeout: float = 5, tokens: Any = None, **credentials: str) -> Operator:
        return make_described_operator(
            self.profile,
            f"{self.url}/operators/{self.code}",
            dict(self.credentials) | credentials,
            account=f"test-{self.code}",
            timeout=timeout,
            tokens=tokens,
        )


Handler = Callable[[Request], Response]


@dataclass
class RecordingPart(Part):
    """A part of the sandbox with one table of calls, «GET /sims/1»; records the requests it gets."""

    handlers: Mapping[str, Handler]
    requests: list[Request] = field(default_factory=list)
    name: str = "shape"

    def routes(self) -> list[Rule]:
        calls = ((call, *call.split(" ")) for call in self.handlers)
        return [route(method, path, self._recorded(call)) for call, method, path in calls]

    def _recorded(self, call: str) -> Handler:
        def handler(request: Request, **_variables: str) -> Response:
            self.requests.append(request)
            return self.handlers[call](request)

        return handler

    def paths(self) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.requests]


@contextmanager
def described_operator(
    tmp_path: Path,
    profile: Mapping[str, Any],
    credentials: Mapping[str, str],
    handlers: Mapping[str, Handler],
) -> Iterator[tuple[Operator, RecordingPart]]:
    with serving_handlers(tmp_path, handlers) as (url, part):
        yield make_described_operator(profile, url, credentials), part


@contextmanager
def serving_handlers(
    tmp_path: Path, handlers: Mapping[str, Handler]
) -> Iterator[tuple[str, RecordingPart]]:
    """The address of a small server, and the part that records its requests."""
    part = RecordingPart(handlers)
    with serving([part], port=0, state=tmp_path / "shape.json") as server:
        yield f"http://127.0.0.1:{server.server_port}", part
    http.close_sessions()


def replies(data: Any, status: int = 200, **headers: str) -> Handler:
    return lambda _request: json_response(data, status, **headers)
