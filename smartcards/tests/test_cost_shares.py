"""What cards cost in a month: charged sums by day and card."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcards.exports.cost_shares import Costs, Days, PaidTime, month_costs
from subscriptions.periods import add_months

JANUARY = Days(date(2027, 1, 1), date(2027, 2, 1))
FIRST_DAY = date(2026, 11, 1)


def days(first: str, end: str) -> Days:
    return Days(date.fromisoformat(first), date.fromisoformat(end))


@pytest.mark.parametrize(
    ("span", "bits"),
    [
        (JANUARY, 2**31 - 1),
        (days("2026-12-30", "2027-01-03"), 0b11),
        (days("2027-01-31", "2027-03-01"), 1 << 30),
        (days("2027-01-05", "2027-01-05"), 0),
        (days("2027-02-01", "2027-03-01"), 0),
        (days("2026-12-01", "2027-01-01"), 0),
    ],
)
def test_days_within_a_month_are_bits(span, bits):
    assert span.within(JANUARY) == bits


def test_charge_is_spread_over_days_and_cards():
    # 31 December – 30 January: thirty days of two cards, 29 of the days in January.
    paid = PaidTime(1, days("2026-12-31", "2027-01-30"), cards=2, kopecks=60_000)
    whole, part = JANUARY.within(JANUARY), days("2027-01-01", "2027-01-11").within(JANUARY)

    costs = month_costs([paid], {1: {7: whole, 8: part}}, JANUARY)

    assert costs == Costs(days={7: 29, 8: 10}, kopecks={7: 29_000, 8: 10_000}, free=19_000)


def test_difference_inside_a_paid_period_adds_money_and_no_days():
    whole = JANUARY.within(JANUARY)
    paid = [PaidTime(1, JANUARY, 1, 3_100), PaidTime(1, days("2027-01-17", "2027-02-01"), 1, 1_500)]

    assert month_costs(paid, {1: {7: whole}}, JANUARY) == Costs({7: 31}, {7: 4_600}, 0)


def test_charge_without_cards_is_not_lost():
    paid = PaidTime(1, JANUARY, cards=0, kopecks=500)

    assert month_costs([paid], {2: {7: 1}}, JANUARY) == Costs({}, {}, 500)


def test_card_that_is_chosen_but_not_paid_has_no_days():
    paid = PaidTime(1, days("2027-01-01", "2027-01-02"), 1, 100)

    assert month_costs([paid], {1: {7: 1, 8: 0b10}}, JANUARY) == Costs({7: 1}, {7: 100}, 0)


spans = st.builds(
    lambda start, length: Days(
        FIRST_DAY + timedelta(days=start), FIRST_DAY + timedelta(days=start + length)
    ),
    st.integers(0, 300),
    st.integers(1, 400),
)
charges = st.lists(
    st.builds(
        PaidTime,
        subscription_id=st.integers(1, 2),
        days=spans,
        cards=st.integers(0, 5),
        kopecks=st.integers(0, 10**8),
    ),
    max_size=6,
)
chosen = st.dictionaries(
    st.integers(1, 2), st.dictionaries(st.integers(1, 6), spans, max_size=6), max_size=2
)


@given(charges, chosen)
def test_shares_of_all_months_add_up_to_what_was_charged(paid, cards):
    months = [
        Days(add_months(FIRST_DAY, number), add_months(FIRST_DAY, number + 1))
        for number in range(25)
    ]

    costs = []
    for month in months:
        covered = {
            subscription: {card: span.within(month) for card, span in spans.items()}
            for subscription, spans in cards.items()
        }
        costs.append(month_costs(paid, covered, month))

    assert sum(one.free + sum(one.kopecks.values()) for one in costs) == sum(
        one.kopecks for one in paid
    )
    assert min((part for one in costs for part in one.kopecks.values()), default=0) >= 0
    assert max((number for one in costs for number in one.days.values()), default=0) <= 31
