"""How an operator misbehaves on request, and how much it takes at once."""

import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class FaultKind(StrEnum):
    """The last four are for trying out single adapters; the others are promised to everybody."""

    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    HTTP_500 = "http_500"
    HTTP_429 = "http_429"
    GARBAGE = "garbage"
    HALF_BODY = "half_body"
    DRIP = "drip"
    SLOW = "slow"
    ACCEPT_AND_FORGET = "accept_and_forget"
    WRONG_ID = "wrong_id"
    MAINTENANCE = "maintenance"
    NO_ID = "no_id"
    ODD_STATUS = "odd_status"
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 a word, not a secret
    ERROR_IN_2XX = "error_in_2xx"


@dataclass
class Fault:
    """A trouble for one kind of call. `times` None is «until removed»; "" fits every operator."""

    operator: str
    call: str
    kind: FaultKind
    times: int | None = None
    probability: float = 1.0
    seconds: float | None = None
    retry_after: float | None = None


class Faults:
    """The troubles that are switched on, the oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def all(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def take(self, operator: str, call: str) -> Fault | None:
        """The trouble of this call, used up by one; None if it may go well."""
        with self._lock:
            for fault in self._faults:
                if _fits(fault, operator, call) and _strikes(fault):
                    self._use(fault)
                    return fault
            return None

    def load(self, data: list[dict[str, Any]]) -> None:
        with self._lock:
            self._faults = [Fault(**{**raw, "kind": FaultKind(raw["kind"])}) for raw in data]

    def _use(self, fault: Fault) -> None:
        if fault.times is None:
            return
        fault.times -= 1
        if fault.times <= 0:
            self._faults.remove(fault)


def _fits(fault: Fault, operator: str, call: str) -> bool:
    return fault.operator in ("", operator) and fault.call in ("", call)


def _strikes(fault: Fault) -> bool:
    return random.random() < fault.probability  # noqa: S311 chance, not secrecy


@dataclass
class Limits:
    """What the operator takes; None is no limit. `delay_seconds`: from accepted to done."""

    per_second: int | None = None
    per_minute: int | None = None
    concurrency: int | None = None
    delay_seconds: float | None = None


class OverQuota(Exception):
    """Too much at once; `wait` seconds till the window has room."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"over the quota for {wait:.1f} s")
        self.wait = wait


class Turnstile:
    """Sliding windows over the real clock, and the number of calls inside; logins do not count."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._taken: deque[float] = deque()
        self._inside = 0
        self.rejected = 0

    @contextmanager
    def passing(self, call: str) -> Iterator[None]:
        """Counts the call in and out. Raises `OverQuota`."""
        if call == "auth":
            yield
            return
        with self._lock:
            self._enter(time.monotonic())
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1

    def _enter(self, moment: float) -> None:
        while self._taken and self._taken[0] <= moment - 60:
            self._taken.popleft()
        wait = max(self._wait(moment, 1, self.limits.per_second),
                   self._wait(moment, 60, self.limits.per_minute))  # fmt: skip
        if self.limits.concurrency is not None and self._inside >= self.limits.concurrency:
            wait = max(wait, 1.0)
        if wait > 0:
            self.rejected += 1
            raise OverQuota(wait)
        self._taken.append(moment)
        self._inside += 1

    def _wait(self, moment: float, window: float, limit: int | None) -> float:
        """Seconds till a window of that length has room; 0 if it has."""
        if limit is None:
            return 0
        inside = [taken for taken in self._taken if taken > moment - window]
        return inside[-limit] + window - moment if 0 < limit <= len(inside) else float(limit < 1)
