"""What one named fault is, and what a run of it found."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Findings:
    """Collected while a fault is played: what was seen, and what should not have been."""

    seen: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Something seen, good or bad."""
        self.seen.append(text)

    def expect(self, condition: bool, otherwise: str) -> None:
        """What must hold; the sentence says what was found instead."""
        if not condition:
            self.wrong.append(otherwise)


@dataclass(frozen=True)
class Trial:
    """One row of the table: the fault of features.md E.3, what is done, and the doing of it."""

    fault: str
    done: str
    play: Callable[[], Findings]


def until(happened: Callable[[], bool], *, seconds: float, pause: float = 0.1) -> float | None:
    """Wait until it is so; after how many seconds it was, or None where the patience ran out."""
    started = time.monotonic()
    while not happened():
        if time.monotonic() - started > seconds:
            return None
        time.sleep(pause)
    return time.monotonic() - started


def timed(action: Callable[[], object]) -> float:
    """How many seconds it took."""
    started = time.monotonic()
    action()
    return time.monotonic() - started
