"""Till when it is paid: the day or the known end with its hour, and how near it is."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cabinet.formatting.ru_format import NBSP
from subscriptions.models import Subscription
from subscriptions.payments import coming_end_text, end_text, paid_until_text
from subscriptions.periods import add_months, days_of
from subscriptions.rules import END_DAYS, ComingEnd, coming_end

MOSCOW = ZoneInfo("Europe/Moscow")
NOW = datetime(2027, 2, 1, 9, tzinfo=UTC)
END = datetime(2027, 2, 28, 12, 56, tzinfo=UTC)
RUNNING = {"entitled_from": NOW - timedelta(days=9)}


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, ""),
        ({"paid_until": END}, "до 28 февраля, затем Эвотор спишет снова"),
        ({"trial_until": END}, "до 28 февраля, затем Эвотор спишет оплату"),
        (
            {"paid_until": END, "stop_requested_at": NOW},
            "до 28 февраля, 15:56 по Москве",
        ),
        ({"trial_until": END, "stop_requested_at": NOW}, "до 28 февраля, 15:56 по Москве"),
        (
            {"paid_until": NOW, "stop_requested_at": NOW, "gifts_until": END},
            "до 28 февраля, 15:56 по Москве",
        ),
        (
            {"paid_until": NOW, "entitled_until": END, "terminated_at": NOW},
            "до 28 февраля, 15:56 по Москве",
        ),
        (
            {"paid_until": NOW - timedelta(days=1)},
            "до 31 января, ждём списания Эвотор",
        ),
    ],
)
def test_paid_time_is_said_with_what_comes_then(facts, text):
    row = Subscription(**RUNNING | facts)

    assert paid_until_text(row, zone=MOSCOW, at=NOW).replace(NBSP, " ") == text


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("Europe/Moscow", "28 февраля, 15:56 по Москве"),
        ("Asia/Yekaterinburg", "28 февраля, 17:56 МСК+2"),
        ("Europe/Kaliningrad", "28 февраля, 14:56 МСК−1"),
    ],
)
def test_hour_of_the_end_names_its_clock(zone, text):
    assert end_text(END, ZoneInfo(zone), NOW).replace(NBSP, " ") == text


def test_end_of_another_year_names_the_year():
    seen = NOW - timedelta(days=40)

    assert end_text(END, MOSCOW, seen).replace(NBSP, " ") == "28 февраля 2027 г., 15:56 по Москве"


@pytest.mark.parametrize(
    ("coming", "text"),
    [
        (ComingEnd(END, 0, 1, renews=False), "Сегодня в 15:56 по Москве смарт-карты отключатся"),
        (
            ComingEnd(END, 7, 7, renews=False),
            "Через 7 дней, 28 февраля, в 15:56 по Москве смарт-карты отключатся",
        ),
        (ComingEnd(END, 3, 3, renews=True), "Через 3 дня, 28 февраля, Эвотор спишет оплату"),
        (ComingEnd(END, 1, 3, renews=True), "Завтра Эвотор спишет оплату"),
    ],
)
def test_coming_end_is_said_in_one_sentence(coming, text):
    said = coming_end_text(coming, zone=MOSCOW, at=NOW).replace(NBSP, " ")

    assert said.startswith(text)


@given(
    st.integers(0, 40 * 24 * 60),
    st.booleans(),
)
def test_end_is_seen_from_its_first_day_and_grows_nearer(minutes, stopped):
    at = END - timedelta(minutes=minutes)
    row = Subscription(paid_until=END, stop_requested_at=NOW if stopped else None, **RUNNING)

    found = coming_end(row, at=at, zone=MOSCOW)

    days = (END.astimezone(MOSCOW).date() - at.astimezone(MOSCOW).date()).days
    if minutes == 0 or days > (14 if stopped else 3):
        assert found is None
    else:
        steps = [step for step in (END_DAYS if stopped else (3,)) if days <= step]
        assert found == ComingEnd(END, days, steps[0], renews=not stopped)


@given(st.dates(date(2026, 1, 1), date(2030, 1, 1)), st.sampled_from([1, 3, 12]))
def test_days_of_a_period_are_its_own(first, months):
    last = add_months(first, months)

    assert days_of(months, first, last) == (last - first).days


def test_days_of_another_tariff_are_the_usual_ones():
    first, last = date(2026, 1, 31), date(2026, 2, 28)

    found = {months: days_of(months, first, last) for months in (1, 3, 12)}

    assert found == {1: 28, 3: 89, 12: 365}
