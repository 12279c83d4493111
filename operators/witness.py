"""What a walk along an operator's stand hears on its way, and how it waits."""

import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from cabinet import clock
from operators import exchanges, registry
from operators.http import About, Door, Exchange
from operators.masking import masker
from operators.models import OperatorAccount
from operators.ports import (
    OUR_QUOTA,
    CallKind,
    Capabilities,
    Connection,
    ErrorClass,
    Operator,
    Rejected,
    Reply,
    Sim,
    Unavailable,
)
from operators.quota import Turnstile, note_call, windows
from operators.shown import shown_by

_MOST_PAUSES = 5
_MOST_OWN_PAUSES = 30
_LONGEST_PAUSE_SECONDS = 120.0
_ASK_TO_WAIT = (ErrorClass.RATE_LIMITED, ErrorClass.MAINTENANCE)


@dataclass
class OwnTokens:
    """Access tokens of one walk: logging in is tried for real, and the workers' tokens stay theirs."""

    _kept: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: str) -> str | None:
        return self._kept.get(key)

    def put(self, key: str, value: str, ttl: float) -> None:
        self._kept[key] = value

    def forget(self, key: str) -> None:
        self._kept.pop(key, None)

    def lock(self, key: str) -> AbstractContextManager[object]:
        return self._lock


@dataclass
class Ear:
    """`ports.Http` that remembers whether a text left us: so it is seen if a protocol sends keys."""

    door: Door
    sent: list[str] = field(default_factory=list)

    def request(self, method: str, url: str, *, kind: CallKind, **parts: Any) -> Reply:
        self.sent.append(f"{url} {parts}")
        return self.door.request(method, url, kind=kind, **parts)

    def heard(self, text: str) -> bool:
        """Whether the text was in an address, a header or a body."""
        return any(text in one for one in self.sent)


@dataclass
class Wire:
    """The connections of one walk: every call in its turn of the quota, masked, and kept in the log.

    The log only: the last error of the contract stays the workers' own, for a walk comes with wrong
    keys on purpose.
    """

    account: OperatorAccount
    sim: Sim
    described: Capabilities
    heard: list[Exchange] = field(default_factory=list)

    def connected(self, credentials: Mapping[str, str]) -> tuple[Ear, Operator]:
        """An adapter that comes with these keys, and the ear that hears what it sends."""
        ear = Ear(self._door(credentials))
        found = registry.adapter_class(self.account.adapter)
        described = type(found.__name__, (found,), {"capabilities": self.described})
        connection = Connection(
            account=self._name,
            base_url=self.account.base_url,
            credentials=credentials,
            http=ear,
            tokens=OwnTokens(),
            profile=self.account.profile,
        )
        operator: Operator = described(connection)
        return ear, operator

    def _door(self, credentials: Mapping[str, str]) -> Door:
        return Door(
            account=self._name,
            ca_bundle=self.account.ca_bundle,
            total_seconds=self.account.timeout_seconds,
            admit=Turnstile(self.account),
            on_exchange=self.heard.append,
            about=About(iccid=self.sim.iccid),
            masker=masker(
                (*credentials.values(), *self.account.credentials.values()),
                shown_by(
                    self.account.adapter,
                    registry.adapter_class(self.account.adapter),
                    self.account.profile,
                ),
            ),
        )

    @property
    def _name(self) -> str:
        return f"{self.account.code}-check"

    def keep(self) -> None:
        """Put what was heard since the last time into the log, about the card that is walked."""
        heard, self.heard[:] = self.heard[:], []
        if heard and windows(self.account):
            note_call(self.account)
        exchanges.keep(self.account, heard, at=clock.now(), by_contract=False)


@dataclass
class Pauses:
    """What the operator asked us to wait, and whether waiting helped."""

    waited: float = 0
    troubles: list[str] = field(default_factory=list)

    def wait(self, answer: Rejected | Unavailable, attempt: int) -> bool:
        """Wait as asked, if asked; whether to try again."""
        if answer.error not in _ASK_TO_WAIT:
            return False
        if answer.code == OUR_QUOTA:
            # Our own quota makes us wait too, but that says nothing of the operator.
            time.sleep(answer.retry_after or 1)
            return attempt < _MOST_OWN_PAUSES
        pause = answer.retry_after
        if pause is None:
            self.troubles.append(f"отказ {answer.code} без Retry-After")
            return False
        if attempt >= _MOST_PAUSES or pause > _LONGEST_PAUSE_SECONDS:
            self.troubles.append(f"отказ {answer.code}, попыток {attempt}, пауза {pause:.0f} с")
            return False
        time.sleep(pause)
        self.waited += pause
        return True
