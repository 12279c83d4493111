"""Months from an anchor, days in a zone, grace."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions.periods import (
    Span,
    add_months,
    day_end,
    day_start,
    extend,
    grace_end,
    instants,
    last_paid_day,
    local_day,
    nth_end,
)

MOSCOW = ZoneInfo("Europe/Moscow")
NEW_YORK = ZoneInfo("America/New_York")
KAMCHATKA = ZoneInfo("Asia/Kamchatka")
HAVANA = ZoneInfo("America/Havana")

days = st.dates(date(2015, 1, 1), date(2090, 12, 31))
months = st.integers(1, 60)
zones = st.sampled_from(
    [
        MOSCOW,
        NEW_YORK,
        KAMCHATKA,
        HAVANA,
        ZoneInfo("Europe/Kaliningrad"),
        ZoneInfo("America/Sao_Paulo"),
        ZoneInfo("Australia/Lord_Howe"),
        ZoneInfo("UTC"),
    ]
)
moments = st.datetimes(datetime(2015, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 bounds of aware values


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


@pytest.mark.parametrize("anchor_day", [0, 32, -1])
def test_nth_end_refuses_a_day_that_no_month_has(anchor_day):
    with pytest.raises(ValueError, match="anchor_day"):
        nth_end(anchor_day, date(2025, 1, 1), 1)


@given(days, months, months)
def test_months_one_by_one_end_where_all_at_once_do(anchor, first, second):
    step = nth_end(anchor.day, anchor, first)

    assert nth_end(anchor.day, step, second) == add_months(anchor, first + second)


@given(days, months)
def test_add_months_lands_on_the_anchor_or_on_the_last_day(anchor, count):
    end = add_months(anchor, count)

    assert end.day == anchor.day or (end.day < anchor.day and (end + timedelta(1)).day == 1)


@given(days)
def test_three_payments_for_a_month_end_on_the_day_of_one_for_three(today):
    span = extend(anchor_day=None, current_end=None, today=today, months=1)
    for _ in range(2):
        span = extend(anchor_day=span.anchor_day, current_end=span.ends_on, today=today, months=1)

    at_once = extend(anchor_day=None, current_end=None, today=today, months=3)

    assert (span.ends_on, span.anchor_day) == (at_once.ends_on, at_once.anchor_day)


@given(days, st.integers(0, 400), st.integers(1, 31), st.sampled_from([1, 3, 12]))
def test_early_extension_never_loses_days(today, ahead, anchor_day, count):
    current_end = today + timedelta(ahead)

    span = extend(anchor_day=anchor_day, current_end=current_end, today=today, months=count)

    assert span.starts_on == current_end
    assert span.days >= 28 * count
    assert span.last_day == span.ends_on - timedelta(1)


@given(days, st.integers(1, 400))
def test_late_extension_starts_today_with_a_new_anchor(today, late):
    current_end = today - timedelta(late)

    span = extend(anchor_day=31, current_end=current_end, today=today, months=1)

    assert span == Span(today, add_months(today, 1), today.day)


def test_extension_from_a_clipped_end_returns_to_the_anchor():
    span = extend(anchor_day=31, current_end=date(2025, 2, 28), today=date(2025, 2, 10), months=1)

    assert span == Span(date(2025, 2, 28), date(2025, 3, 31), 31)


def test_extension_from_an_end_off_its_anchor_takes_that_day():
    span = extend(anchor_day=5, current_end=date(2025, 3, 30), today=date(2025, 3, 1), months=1)

    assert span == Span(date(2025, 3, 30), date(2025, 4, 30), 30)


@pytest.mark.parametrize("count", [0, -1])
def test_extension_refuses_no_months(count):
    with pytest.raises(ValueError, match="months"):
        extend(anchor_day=1, current_end=None, today=date(2025, 1, 1), months=count)


@pytest.mark.parametrize(
    ("day", "zone", "expected"),
    [
        (date(2025, 3, 1), MOSCOW, datetime(2025, 2, 28, 21, tzinfo=UTC)),
        (date(2025, 3, 1), KAMCHATKA, datetime(2025, 2, 28, 12, tzinfo=UTC)),
        (date(2025, 1, 15), NEW_YORK, datetime(2025, 1, 15, 5, tzinfo=UTC)),
        (date(2025, 7, 15), NEW_YORK, datetime(2025, 7, 15, 4, tzinfo=UTC)),
        # Havana skips midnight in spring and has it twice in autumn.
        (date(2024, 3, 10), HAVANA, datetime(2024, 3, 10, 5, tzinfo=UTC)),
        (date(2024, 11, 3), HAVANA, datetime(2024, 11, 3, 4, tzinfo=UTC)),
    ],
)
def test_day_start_is_local_midnight(day, zone, expected):
    assert day_start(day, zone) == expected


@given(days, zones)
def test_a_paid_day_is_exactly_that_local_day(day, zone):
    start, end = day_start(day, zone), day_end(day, zone)

    assert local_day(start, zone) == day
    assert local_day(start - timedelta(microseconds=1), zone) == day - timedelta(1)
    assert last_paid_day(end, zone) == day
    assert timedelta(hours=22) < end - start < timedelta(hours=26)


@given(days, months, zones)
def test_neighbouring_spans_touch_without_hole_or_overlap(today, count, zone):
    first = extend(anchor_day=None, current_end=None, today=today, months=count)
    second = extend(
        anchor_day=first.anchor_day, current_end=first.ends_on, today=today, months=count
    )

    assert instants(first, zone)[1] == instants(second, zone)[0]
    assert last_paid_day(instants(first, zone)[1], zone) == first.last_day


@given(days, zones)
def test_grace_after_a_midnight_is_five_whole_days(day, zone):
    assert grace_end(day_start(day, zone), zone) == day_start(day + timedelta(5), zone)


@given(moments, zones)
def test_grace_is_never_shorter_than_five_local_days(end, zone):
    over = grace_end(end, zone)

    assert local_day(over - timedelta(microseconds=1), zone) == last_paid_day(
        end, zone
    ) + timedelta(5)
    assert over == day_start(local_day(over, zone), zone)
    assert over - end >= timedelta(days=5) - timedelta(hours=2)


def test_grace_is_a_day_of_the_zone_across_a_change_of_clocks():
    end = day_start(date(2025, 3, 7), NEW_YORK)

    assert grace_end(end, NEW_YORK) - end == timedelta(days=5, hours=-1)


@given(moments, zones)
def test_instants_may_come_in_any_zone(at, zone):
    assert grace_end(at.astimezone(KAMCHATKA), zone) == grace_end(at, zone)
