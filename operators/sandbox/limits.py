"""How many calls an operator takes: its limits, and the gate that counts calls against them."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass
class Limits:
    """What the operator takes; None is no limit. `delay_seconds`: from accepted to done."""

    per_second: Count | None = None
    per_minute: Count | None = None
    concurrency: Count | None = None
    delay_seconds: Seconds | None = None


class OverQuota(Exception):
    """Too much at once; `wait` seconds until the window has room."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"over the quota for {wait:.1f} s")
        self.wait = wait


class QuotaGate:
    """Sliding windows over the real clock, and the number of calls inside; logins do not count."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.rejected = 0
        self._lock = threading.Lock()
        self._admitted: deque[float] = deque()
        self._inside = 0

    @contextmanager
    def passing(self, call: str) -> Iterator[None]:
        """Counts the call in and out. Raises `OverQuota`."""
        if call == "auth":
            yield
            return
        with self._lock:
            self.admit(time.monotonic())
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1

    def admit(self, moment: float) -> None:
        """Lets one call in at this moment of a monotonic clock. Raises `OverQuota`."""
        while self._admitted and self._admitted[0] <= moment - 60:
            self._admitted.popleft()
        wait = max(
            self._wait(moment, 1, self.limits.per_second),
            self._wait(moment, 60, self.limits.per_minute),
        )
        if self.limits.concurrency is not None and self._inside >= self.limits.concurrency:
            wait = max(wait, 1.0)
        if wait > 0:
            self.rejected += 1
            raise OverQuota(wait)
        self._admitted.append(moment)
        self._inside += 1

    def _wait(self, moment: float, window: float, limit: int | None) -> float:
        """Seconds until a window of that length has room; 0 if it has."""
        if limit is None:
            return 0
        inside = [admitted for admitted in self._admitted if admitted > moment - window]
        return inside[-limit] + window - moment if len(inside) >= limit else 0
