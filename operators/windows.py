"""When an operator is known to work on its systems: pure calendar, Moscow time.

A window is `{"days": [0, 6], "from": "02:00", "to": "04:30"}`; 0 is Monday, no days means every day,
an end before the start runs over midnight and belongs to the day it began on.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

MOSCOW = ZoneInfo("Europe/Moscow")


def window_end(windows: Sequence[Mapping[str, Any]], at: datetime) -> datetime | None:
    """The end of the window that holds this instant; None outside of all. Raises ValueError for a bad row."""
    local = at.astimezone(MOSCOW)
    ends = [end for window in windows for end in _ends(window, local) if end is not None]
    return max(ends) if ends else None


def _ends(window: Mapping[str, Any], local: datetime) -> list[datetime | None]:
    """Looks at the window that began today and, over midnight, at the one that began yesterday."""
    return [_end(window, local, local - timedelta(days=back)) for back in (0, 1)]


def _end(window: Mapping[str, Any], local: datetime, day: datetime) -> datetime | None:
    days = window.get("days") or range(7)
    if day.weekday() not in days:
        return None
    begins = _on(day, time.fromisoformat(window["from"]))
    ends = _on(day, time.fromisoformat(window["to"]))
    if ends <= begins:
        ends += timedelta(days=1)
    return ends if begins <= local < ends else None


def _on(day: datetime, moment: time) -> datetime:
    return datetime.combine(day.date(), moment, tzinfo=MOSCOW)
