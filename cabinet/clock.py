"""The clock, read at the doors only.

With SANDBOX=1 it runs ahead by an offset that web, workers, beat and sandbox share through a file,
so that a person can let a year pass. Without it there is no offset, whatever the file says.
"""

import math
import tempfile
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path

from django.conf import settings


def real_now() -> datetime:
    """This instant, UTC, never shifted: for leases, heartbeats and real machines."""
    return datetime.now(UTC)


def now() -> datetime:
    """This instant as the product sees it, UTC."""
    return real_now() + timedelta(seconds=offset())


def today(zone: tzinfo) -> date:
    """The day it is in that zone."""
    return now().astimezone(zone).date()


def offset() -> float:
    """Seconds between the product's clock and the real one; 0 outside the sandbox."""
    if not settings.SANDBOX:
        return 0.0
    return _offset_file.read(Path(settings.CLOCK_FILE))


def set_offset(seconds: float) -> None:
    """Moves the clock of all processes. Raises ValueError where `now` would leave the calendar."""
    if not math.isfinite(seconds) or abs(seconds) > _FARTHEST:
        raise ValueError(f"The offset must be a number of seconds within {_FARTHEST:.0f}.")
    path = Path(settings.CLOCK_FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whole or not at all: the others read at any moment.
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

_Stamp = tuple[int, int, int]


class _OffsetFile:
    """The file as last read: it is read again only when it is another one."""

    def __init__(self) -> None:
        # One tuple, replaced whole: threads read it without a lock.
        self._known: tuple[Path | None, _Stamp | None, float] = (None, None, 0.0)

    def read(self, path: Path) -> float:
        stamp = _stamp(path)
        known_path, known_stamp, seconds = self._known
        if (path, stamp) == (known_path, known_stamp):
            return seconds
        seconds = _parsed(path) if stamp else 0.0
        self._known = (path, stamp, seconds)
        return seconds


_offset_file = _OffsetFile()


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _parsed(path: Path) -> float:
    try:
        return float(path.read_text(encoding="ascii"))
    except (ValueError, FileNotFoundError):
        return 0.0
