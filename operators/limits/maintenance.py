"""The times at which an operator works on its systems: pure, by the calendar of Moscow.

A window is `{"days": [0, 6], "from": "02:00", "to": "04:30"}`; 0 is Monday, no days means every day,
an end before the start runs over midnight and belongs to the day it began on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

MOSCOW = ZoneInfo("Europe/Moscow")

Windows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Maintenance:
    """A window of works in UTC; `starts_at` is None for one that runs now."""

    starts_at: datetime | None
    ends_at: datetime

    @property
    def runs(self) -> bool:
        """Whether the works go on now."""
        return self.starts_at is None


def window_end(windows: Windows, at: datetime) -> datetime | None:
    """The end of the window that holds this instant; None outside of all.

    Raises ValueError, TypeError, KeyError or AttributeError for a row that is no window.
    """
    # Over midnight, the window of yesterday may still run.
    spans = _spans(windows, at.astimezone(MOSCOW), days=(-1, 0))
    return max((ends for begins, ends in spans if begins <= at < ends), default=None)


def maintenance(windows: Windows, at: datetime) -> Maintenance | None:
    """The window that runs now, else the next one within a week; None without any, or where a row is wrong."""
    try:
        ends_at = window_end(windows, at)
        return _next(windows, at) if ends_at is None else Maintenance(None, ends_at)
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


def _next(windows: Windows, at: datetime) -> Maintenance | None:
    spans = _spans(windows, at.astimezone(MOSCOW), days=range(8))
    starts_at = min((begins for begins, _ in spans if begins > at), default=None)
    ends_at = window_end(windows, starts_at) if starts_at is not None else None
    return Maintenance(starts_at, ends_at) if ends_at is not None else None


def _spans(
    windows: Windows, today: datetime, days: Sequence[int]
) -> Iterator[tuple[datetime, datetime]]:
    """Start and end of every window that begins on one of these days, counted from today."""
    for window in windows:
        for ahead in days:
            day = today + timedelta(days=ahead)
            if day.weekday() not in (window.get("days") or range(7)):
                continue
            begins = _on(day, window["from"])
            ends = _on(day, window["to"])
            yield begins, ends if ends > begins else ends + timedelta(days=1)


def _on(day: datetime, clock: str) -> datetime:
    return datetime.combine(day.date(), time.fromisoformat(clock), tzinfo=MOSCOW)
