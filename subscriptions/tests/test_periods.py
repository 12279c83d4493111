"""Months counted from an anchor day."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions.periods import add_months, local_day, nth_end, period_end

days = st.dates(date(2015, 1, 1), date(2090, 12, 31))
months = st.integers(1, 60)


@pytest.mark.parametrize(
    ("anchor", "count", "expected"),
    [
        (date(2025, 1, 31), 1, date(2025, 2, 28)),
        (date(2024, 1, 31), 1, date(2024, 2, 29)),
        (date(2025, 1, 31), 2, date(2025, 3, 31)),
        (date(2025, 1, 31), 3, date(2025, 4, 30)),
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2024, 2, 29), 48, date(2028, 2, 29)),
        (date(2025, 11, 30), 3, date(2026, 2, 28)),
        (date(2025, 12, 15), 1, date(2026, 1, 15)),
        (date(2025, 3, 31), -1, date(2025, 2, 28)),
        (date(2025, 3, 31), 0, date(2025, 3, 31)),
    ],
)
def test_add_months_keeps_the_anchor_and_clips(anchor, count, expected):
    assert add_months(anchor, count) == expected


def test_add_months_refuses_years_out_of_range():
    with pytest.raises(ValueError, match="year"):
        add_months(date(9999, 12, 1), 1)


@pytest.mark.parametrize(
    ("anchor_day", "start", "months", "expected"),
    [
        (31, date(2027, 2, 28), 1, date(2027, 3, 31)),
        (30, date(2028, 2, 29), 3, date(2028, 5, 30)),
        (31, date(2027, 4, 30), 12, date(2028, 4, 30)),
        (15, date(2027, 2, 15), 1, date(2027, 3, 15)),
        # Not the anchor's day: begun anew.
        (31, date(2027, 2, 27), 1, date(2027, 3, 27)),
        (15, date(2027, 2, 28), 1, date(2027, 3, 28)),
        (None, date(2027, 1, 31), 1, date(2027, 2, 28)),
    ],
)
def test_period_keeps_the_anchor_day(anchor_day, start, months, expected):
    assert period_end(anchor_day, start, months) == expected


@given(days, st.lists(st.sampled_from([1, 3, 12]), max_size=8))
def test_renewals_one_by_one_end_as_all_at_once(anchor, lengths):
    end = anchor
    for length in lengths:
        end = period_end(anchor.day, end, length)

    assert end == add_months(anchor, sum(lengths))


@pytest.mark.parametrize("anchor_day", [0, 32, -1])
def test_nth_end_refuses_a_day_that_no_month_has(anchor_day):
    with pytest.raises(ValueError, match="anchor_day"):
        nth_end(anchor_day, date(2025, 1, 1), 1)


@given(days, months, months)
def test_months_one_by_one_end_where_all_at_once_do(anchor, first, second):
    step = nth_end(anchor.day, anchor, first)

    assert nth_end(anchor.day, step, second) == add_months(anchor, first + second)


@given(days, months)
def test_add_months_gives_the_anchor_or_the_last_day(anchor, count):
    end = add_months(anchor, count)

    assert end.day == anchor.day or (end.day < anchor.day and (end + timedelta(1)).day == 1)


@pytest.mark.parametrize(
    ("zone", "expected"),
    [("Europe/Moscow", date(2025, 3, 1)), ("America/New_York", date(2025, 2, 28))],
)
def test_local_day_is_the_day_of_the_zone(zone, expected):
    assert local_day(datetime(2025, 2, 28, 21, tzinfo=UTC), ZoneInfo(zone)) == expected
