"""The connections of a check of an operator's test stand, and the pauses that the operator asked for."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cabinet import clock
from operators import registry
from operators.client import exchange_log
from operators.client.http import CallContext, CallRecord, HttpClient, HttpExchange
from operators.client.redaction import Redactor, allowlist_of
from operators.client.tokens import AccountTokens, OwnTokens
from operators.limits.quota import QuotaGate, allowance, note_call
from operators.models import OperatorAccount
from operators.ports import (
    CallKind,
    Connection,
    ErrorClass,
    Operator,
    OurCode,
    Rejected,
    Reply,
    Sim,
    Unavailable,
)

_MOST_PAUSES = 5
_MOST_OWN_PAUSES = 30
_LONGEST_PAUSE_SECONDS = 120.0
_ASK_TO_WAIT = (ErrorClass.RATE_LIMITED, ErrorClass.MAINTENANCE)


@dataclass
class RecordingHttp:
    """`ports.Http` that remembers what was sent, to see whether a protocol sends idempotency keys."""

    client: HttpClient
    sent: list[str] = field(default_factory=list)

    def request(self, method: str, url: str, *, kind: CallKind, **parts: Any) -> Reply:
        """The client's exchange, its address and parts remembered."""
        self.sent.append(f"{url} {parts}")
        return self.client.request(method, url, kind=kind, **parts)

    def has_sent(self, text: str) -> bool:
        """Whether the text was in an address, a header or a body."""
        return any(text in one for one in self.sent)


@dataclass
class ConformanceSession:
    """The connections of one check: every call takes its turn of the quota and goes to the exchange log.

    The contract's last error and refused keys are not touched, because the check uses wrong keys on purpose.
    """

    account: OperatorAccount
    sim: Sim
    exchanges: list[HttpExchange] = field(default_factory=list)

    def connected(self, credentials: Mapping[str, str]) -> tuple[RecordingHttp, Operator]:
        """An adapter with these credentials, and the client that records what it sends."""
        account, adapter = self.account, registry.adapter_class(self.account.adapter)
        redactor = Redactor(
            (*credentials.values(), *account.credentials.values()),
            allowlist_of(account.adapter, adapter, account.profile),
        )
        context, gate = CallContext(iccid=self.sim.iccid), QuotaGate(account)
        client = HttpClient(
            account=f"{account.code}-check",
            ca_bundle=account.ca_bundle,
            total_seconds=account.timeout_seconds,
            call=CallRecord(context, gate, exchanges=self.exchanges),
            redactor=redactor,
        )
        recorder = RecordingHttp(client)
        connection = Connection(
            account=client.account,
            base_url=account.base_url,
            credentials=credentials,
            http=recorder,
            tokens=AccountTokens(OwnTokens(), f"token:{client.account}", redactor),
            profile=account.profile,
        )
        return recorder, adapter(connection)

    def keep(self) -> None:
        """Write the exchanges since the last time to the log, under the card of the check."""
        exchanges, self.exchanges[:] = self.exchanges[:], []
        if exchanges and allowance(self.account).windows:
            note_call(self.account)
        exchange_log.keep(self.account, exchanges, at=clock.now())


@dataclass
class RetryTracker:
    """What the operator asked us to wait, and whether waiting helped."""

    waited: float = 0
    problems: list[str] = field(default_factory=list)

    def wait(self, answer: Rejected | Unavailable, attempt: int) -> bool:
        """Wait as asked, if asked; whether to try again."""
        if answer.error not in _ASK_TO_WAIT:
            return False
        if answer.code == OurCode.QUOTA:
            # A wait for our own quota is no pause that the operator asked for.
            time.sleep(answer.retry_after or 1)
            return attempt < _MOST_OWN_PAUSES
        pause = answer.retry_after
        if pause is None:
            self.problems.append(f"отказ {answer.code} без Retry-After")
            return False
        if attempt >= _MOST_PAUSES or pause > _LONGEST_PAUSE_SECONDS:
            self.problems.append(f"отказ {answer.code}, попыток {attempt}, пауза {pause:.0f} с")
            return False
        time.sleep(pause)
        self.waited += pause
        return True
