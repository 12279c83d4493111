"""When an operator works on its systems: tables of Moscow time, and properties of any rows."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.admin.form_fields import WindowsField
from operators.limits.maintenance import MOSCOW, window_end

NIGHT = {"days": [], "from": "02:00", "to": "04:30"}
OVER_MIDNIGHT = {"days": [], "from": "23:00", "to": "01:00"}
SUNDAY_NIGHT = {"days": [6], "from": "23:00", "to": "02:00"}
WEEKEND = {"days": [5, 6], "from": "10:00", "to": "11:00"}


def moscow(text: str) -> datetime:
    """«22 10:30»: a day of November 2026 and the time in Moscow; the 22nd is a Sunday."""
    day, _, clock = text.partition(" ")
    return datetime.combine(date(2026, 11, int(day)), time.fromisoformat(clock), tzinfo=MOSCOW)


@pytest.mark.parametrize(
    ("windows", "at", "end"),
    [
        ([], "22 03:00", None),
        ([NIGHT], "22 01:59:59", None),
        ([NIGHT], "22 02:00", "22 04:30"),
        ([NIGHT], "22 04:29:59", "22 04:30"),
        ([NIGHT], "22 04:30", None),
        ([OVER_MIDNIGHT], "22 22:59", None),
        ([OVER_MIDNIGHT], "22 23:00", "23 01:00"),
        ([OVER_MIDNIGHT], "23 00:00", "23 01:00"),
        ([OVER_MIDNIGHT], "23 00:59", "23 01:00"),
        ([OVER_MIDNIGHT], "23 01:00", None),
        # It belongs to the day on which it began.
        ([SUNDAY_NIGHT], "22 23:30", "23 02:00"),
        ([SUNDAY_NIGHT], "23 01:30", "23 02:00"),
        ([SUNDAY_NIGHT], "22 01:30", None),
        ([SUNDAY_NIGHT], "23 23:30", None),
        ([WEEKEND], "20 10:30", None),
        ([WEEKEND], "21 10:30", "21 11:00"),
        ([WEEKEND], "22 10:30", "22 11:00"),
        ([WEEKEND], "23 10:30", None),
        # The whole day: it ends where it begins.
        ([{"from": "00:00", "to": "00:00"}], "22 15:00", "23 00:00"),
        ([{"days": [6], "from": "06:00", "to": "06:00"}], "23 05:59", "23 06:00"),
        ([{"days": None, "from": "02:00", "to": "04:30"}], "22 03:00", "22 04:30"),
        # Overlapping ones: the later end, in any order.
        ([NIGHT, {"from": "04:00", "to": "05:00"}], "22 04:10", "22 05:00"),
        ([{"from": "04:00", "to": "05:00"}, NIGHT], "22 04:10", "22 05:00"),
        ([NIGHT, {"from": "03:00", "to": "03:30"}], "22 03:10", "22 04:30"),
        ([OVER_MIDNIGHT, {"from": "00:30", "to": "00:40"}], "23 00:35", "23 01:00"),
        ([NIGHT, WEEKEND], "22 10:30", "22 11:00"),
    ],
)
def test_window_end(windows, at, end):
    assert window_end(windows, moscow(at)) == (moscow(end) if end else None)


def test_window_is_of_moscow_time_wherever_the_clock_stands():
    at = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)

    assert window_end([NIGHT], at) == datetime(2026, 11, 22, 1, 30, tzinfo=UTC)


# --- any rows ------------------------------------------------------------------------------------

clocks = st.times().map(lambda moment: moment.strftime("%H:%M"))
rows = st.lists(
    st.fixed_dictionaries(
        {"days": st.lists(st.integers(0, 6), max_size=3), "from": clocks, "to": clocks}
    ),
    max_size=4,
)
instants = st.integers(0, 4 * 365 * 24 * 60 * 60).map(
    lambda seconds: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
days = st.lists(st.sampled_from(["пн", "вс", "пн-ср", "пт–пн", "ежедневно"]), max_size=2)
moments = st.sampled_from(["0:00", "2:00", "23:59", "24:00", "25:00"])
lines = st.tuples(days.map(", ".join), moments, moments)
typed = st.lists(lines.map(lambda line: "{} {}–{}".format(*line)), max_size=3).map("\n".join)
on_a_busy_machine = settings(deadline=None, max_examples=60)


def minutes(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


def holds(window: dict[str, Any], at: datetime) -> bool:
    """The same rule counted otherwise: minutes since the beginning of each of the last two days."""
    local = at.astimezone(MOSCOW)
    length = (minutes(window["to"]) - minutes(window["from"])) % 1440 or 1440
    since_midnight = local.hour * 60 + local.minute - minutes(window["from"])
    return any(
        0 <= since_midnight + back * 1440 < length
        and (not window["days"] or (local.weekday() - back) % 7 in window["days"])
        for back in (0, 1)
    )


@on_a_busy_machine
@given(rows, instants)
def test_end_is_known_exactly_within_some_window(windows, at):
    end = window_end(windows, at)

    assert (end is not None) == any(holds(window, at) for window in windows)


@on_a_busy_machine
@given(rows, instants)
def test_maintenance_end_is_stable_and_within_a_day(windows, at):
    end = window_end(windows, at)

    if end is not None:
        still = window_end(windows, end - timedelta(microseconds=1))
        assert at < end <= at + timedelta(days=1)
        assert still is not None
        assert still >= end


@on_a_busy_machine
@given(rows, rows, instants)
def test_more_windows_never_end_earlier(some, more, at):
    end, later = window_end(some, at), window_end(some + more, at)

    assert end is None or (later is not None and later >= end)


@on_a_busy_machine
@given(typed, instants)
def test_whatever_can_be_typed_can_be_read(text, at):
    try:
        windows = WindowsField(required=False).clean(text)
    except ValidationError:
        return

    end = window_end(windows, at)

    assert end is None or end > at


def test_invalid_row_is_reported():
    with pytest.raises(ValueError, match="Invalid isoformat"):
        window_end([{**NIGHT, "from": "2 часа"}], moscow("22 03:00"))
