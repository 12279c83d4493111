"""Wait for what another thread or process does, as long as a busy machine may need."""

import time
from collections.abc import Callable

PATIENCE = 30.0


def wait_until(happened: Callable[[], object], *, seconds: float = PATIENCE) -> None:
    """Return as soon as it is so. Fails the test where it is not so in time."""
    ends_at = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < ends_at, f"not so within {seconds:.0f} s"
        time.sleep(0.01)
