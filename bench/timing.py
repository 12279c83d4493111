"""Waiting for something, and how long something takes."""

import time
from collections.abc import Callable


def until(
    happened: Callable[[], object], otherwise: str, *, seconds: float, pause: float = 0.1
) -> float:
    """Wait until it is so; gives the seconds that it took.

    Raises AssertionError(`otherwise`) where it is not so after `seconds`.
    """
    started = time.monotonic()
    while not happened():
        assert time.monotonic() - started < seconds, f"{otherwise} (after {seconds:.0f} s)"
        time.sleep(pause)
    return time.monotonic() - started


def timed(action: Callable[[], object]) -> float:
    """How many seconds it took."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
