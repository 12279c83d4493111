"""When an operator works on its systems: tables of Moscow time, and properties of any rows."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.windows import MOSCOW, problem, window_end

SENTENCE = "Окно {}: нужны «days» (0–6), «from» и «to» вида «02:00»."

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


@pytest.mark.parametrize(
    ("windows", "sentence"),
    [
        ([], ""),
        ([NIGHT, OVER_MIDNIGHT, SUNDAY_NIGHT, WEEKEND], ""),
        ([{"from": "02:00", "to": "04:30"}], ""),
        ([{"days": None, "from": "02:00", "to": "04:30"}], ""),
        (None, "Окна записываются списком."),
        ({}, "Окна записываются списком."),
        ("02:00", "Окна записываются списком."),
        ([{"to": "04:30"}], SENTENCE.format(1)),
        ([{"from": "02:00"}], SENTENCE.format(1)),
        ([{"from": "2 часа", "to": "04:30"}], SENTENCE.format(1)),
        ([{"from": "02:00", "to": "24:30"}], SENTENCE.format(1)),
        ([{"from": 2, "to": 4}], SENTENCE.format(1)),
        ([NIGHT, {**NIGHT, "days": [7]}], SENTENCE.format(2)),
        ([NIGHT, {**NIGHT, "days": [-1]}], SENTENCE.format(2)),
        ([NIGHT, NIGHT, {**NIGHT, "days": ["0"]}], SENTENCE.format(3)),
        # A lone Monday without its brackets would be taken for «every day».
        ([{**NIGHT, "days": 0}], SENTENCE.format(1)),
        ([{**NIGHT, "days": ""}], SENTENCE.format(1)),
        ([{**NIGHT, "days": 5}], SENTENCE.format(1)),
        ([{**NIGHT, "days": [[1]]}], SENTENCE.format(1)),
        ([["02:00", "04:30"]], SENTENCE.format(1)),
        ([None], SENTENCE.format(1)),
        (["02:00"], SENTENCE.format(1)),
    ],
)
def test_problem(windows, sentence):
    assert problem(windows) == sentence


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
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | clocks
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["days", "from", "to", "x"]), inner)
    ),
)
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
def test_end_is_told_exactly_within_some_window(windows, at):
    end = window_end(windows, at)

    assert (end is not None) == any(holds(window, at) for window in windows)


@on_a_busy_machine
@given(rows, instants)
def test_end_is_ahead_by_a_day_at_most_and_stays_until_it_comes(windows, at):
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
@given(st.lists(anything, max_size=3) | anything, instants)
def test_rows_without_a_problem_can_always_be_read(windows, at):
    if problem(windows) == "":
        end = window_end(windows, at)
        assert end is None or end > at
