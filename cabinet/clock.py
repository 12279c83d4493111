"""The clock, read in views, tasks and commands only; everything else gets `at`.

With SANDBOX=1 it is shifted by an offset that web, workers, beat and sandbox share through a file, so that a
person can let a year pass. Without it there is no offset, whatever the file says.
"""

import math
import tempfile
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path

from django.conf import settings


def real_now() -> datetime:
    """This instant, UTC, never shifted: for leases, heartbeats and real machines."""
    return datetime.now(UTC)


def now() -> datetime:
    """This instant with the offset of the sandbox, UTC."""
    return datetime.now(UTC) + timedelta(seconds=offset())


def today(zone: tzinfo) -> date:
    """The date in that zone."""
    return now().astimezone(zone).date()


def offset() -> float:
    """Seconds between the product's clock and the real one; 0 outside the sandbox."""
    if not settings.SANDBOX:
        return 0.0
    path = Path(settings.CLOCK_FILE)
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0.0
    return _content(path, (status.st_mtime_ns, status.st_ino, status.st_size))


@lru_cache(maxsize=1)
def _content(path: Path, _version: tuple[int, int, int]) -> float:
    """The number in the file, read again only when the file has changed."""
    try:
        return float(path.read_text(encoding="ascii"))
    except (ValueError, FileNotFoundError):
        return 0.0


def set_offset(seconds: float) -> None:
    """Moves the clock of all processes. Raises ValueError where `now` would leave the calendar."""
    if not math.isfinite(seconds) or abs(seconds) > _FARTHEST:
        raise ValueError(f"The offset must be a number of seconds within {_FARTHEST:.0f}.")
    path = Path(settings.CLOCK_FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written whole and renamed: other processes read at any moment.
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix="clock-", delete=False, encoding="ascii"
    ) as file:
        file.write(repr(float(seconds)))
    Path(file.name).replace(path)


def advance(seconds: float) -> None:
    """Moves the clock on by so many seconds; a negative number moves it back."""
    set_offset(offset() + seconds)


def reset() -> None:
    """Back to the real time."""
    set_offset(0.0)


_FARTHEST = 100 * 365 * 86400.0  # seconds: a century either way
