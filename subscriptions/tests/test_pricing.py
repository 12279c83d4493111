"""Prices, shares of days, estimates."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions.pricing import (
    Estimate,
    EstimateRow,
    Terms,
    estimate_change,
    estimate_period,
    price,
    remaining,
    spent,
    split,
)

kopecks = st.integers(0, 10**9)
cards = st.integers(0, 1000)
periods = st.integers(1, 400)


@st.composite
def changes(draw):
    days = draw(periods)
    left = draw(st.integers(0, days))
    return (
        Terms("Старый", draw(kopecks), draw(cards), days),
        Terms("Новый", draw(kopecks), draw(cards), days),
        left,
    )


def daily_shares(total, days):
    """What each day of the period costs, in kopecks."""
    marks = [spent(total, gone, days) for gone in range(days + 1)]
    return [after - before for before, after in pairwise(marks)]


@given(kopecks, st.lists(st.integers(0, 31), min_size=1, max_size=50).filter(any))
def test_split_adds_up_and_follows_the_weights(total, weights):
    parts = split(total, weights)

    exact = [Fraction(total * weight, sum(weights)) for weight in weights]
    assert sum(parts) == total
    assert len(parts) == len(weights)
    assert max(abs(part - share) for part, share in zip(parts, exact, strict=True)) <= 1
    assert [part for part, weight in zip(parts, weights, strict=True) if not weight and part] == []


@pytest.mark.parametrize("weights", [[], [0, 0], [2, -1]])
def test_split_refuses_weights_that_mean_nothing(weights):
    with pytest.raises(ValueError, match="weights"):
        split(100, weights)


def month(card_kopecks, number=1, tariff="Месяц", days=30):
    return Terms(tariff, card_kopecks, number, days)


def test_price_is_one_card_times_cards():
    assert price(29_999, 7) == 209_993


@pytest.mark.parametrize(("card_kopecks", "number"), [(-1, 1), (1, -1)])
def test_price_refuses_negatives(card_kopecks, number):
    with pytest.raises(ValueError, match="negative"):
        price(card_kopecks, number)


def test_terms_refuse_a_period_without_days():
    with pytest.raises(ValueError, match="day"):
        Terms("Пусто", 100, 1, 0)


def test_spent_rounds_half_a_kopeck_up():
    assert [spent(1, 1, 2), spent(3, 1, 2), spent(100, 1, 3), spent(200, 1, 3)] == [1, 2, 33, 67]


@given(kopecks, periods)
def test_daily_shares_add_up_and_are_even(total, days):
    shares = daily_shares(total, days)

    assert sum(shares) == total
    assert len(shares) == days
    assert max(shares) - min(shares) <= 1


@given(kopecks, periods, st.data())
def test_gone_and_left_add_up(total, days, data):
    gone = data.draw(st.integers(0, days))

    assert spent(total, gone, days) + remaining(total, days - gone, days) == total
    assert remaining(total, days - gone, days) == sum(daily_shares(total, days)[gone:])


def test_remaining_refuses_negative_days():
    with pytest.raises(ValueError, match="negative"):
        remaining(100, -1, 30)


def test_change_costs_what_the_market_documents():
    estimate = estimate_change(
        current=month(9_000, tariff="Базовый"),
        wanted=month(18_000, tariff="Расширенный"),
        days_left=16,
    )

    assert estimate == Estimate(
        (
            EstimateRow("Расширенный, часть до\u00a0конца периода", 1, 9_600),
            EstimateRow("Зачтено за\u00a0Базовый", 1, -4_800),
        )
    )
    assert estimate.total_kopecks == 4_800


def test_one_more_card_costs_its_days():
    estimate = estimate_change(
        current=month(30_000, days=31), wanted=month(30_000, 2, days=31), days_left=17
    )

    assert estimate == Estimate((EstimateRow("Доплата до\u00a0конца периода", 1, 16_452),))


def test_nothing_is_returned_on_the_way_down():
    estimate = estimate_change(current=month(30_000, 5), wanted=month(30_000, 2), days_left=20)

    assert estimate == Estimate((EstimateRow("Месяц со\u00a0следующего списания", 2, 0),))


def test_an_equal_price_is_free():
    estimate = estimate_change(
        current=month(30_000), wanted=month(30_000, tariff="Другой"), days_left=20
    )

    assert estimate == Estimate((EstimateRow("Другой, без\u00a0доплаты", 1, 0),))


def test_a_shorter_period_goes_on_at_its_daily_price():
    estimate = estimate_change(
        current=month(365_000, tariff="Год", days=365),
        wanted=month(60_000, tariff="Месяц", days=30),
        days_left=100,
    )

    assert estimate.total_kopecks == 200_000 - 100_000


def test_change_refuses_negative_days():
    with pytest.raises(ValueError, match="days"):
        estimate_change(current=month(100), wanted=month(200), days_left=-1)


def test_more_days_than_the_present_tariff_has_go_on():
    estimate = estimate_change(current=month(30_000), wanted=month(60_000), days_left=300)

    assert estimate.total_kopecks == 300_000


def test_renewal_costs_the_whole_period():
    estimate = estimate_period(tariff="Месяц", card_kopecks=30_000, cards=3)

    assert estimate == Estimate((EstimateRow("Месяц", 3, 90_000),))
    assert estimate.total_kopecks == 90_000


@given(changes())
def test_change_costs_between_nothing_and_the_new_price(change):
    current, wanted, left = change

    total = estimate_change(current=current, wanted=wanted, days_left=left).total_kopecks

    exact = (wanted.kopecks - current.kopecks) * left
    assert 0 <= total <= wanted.kopecks
    assert abs(2 * total * wanted.days - 2 * max(exact, 0)) <= wanted.days


@given(kopecks, periods, st.data())
def test_two_changes_on_one_day_cost_as_one(card_kopecks, days, data):
    few, more, most = sorted(data.draw(st.tuples(cards, cards, cards)))
    left = data.draw(st.integers(0, days))

    def cost(before, after):
        return estimate_change(
            current=month(card_kopecks, before, days=days),
            wanted=month(card_kopecks, after, days=days),
            days_left=left,
        ).total_kopecks

    assert abs(cost(few, more) + cost(more, most) - cost(few, most)) <= 1


@given(changes(), changes())
def test_fingerprints_differ_where_rows_differ(one, other):
    first = estimate_change(current=one[0], wanted=one[1], days_left=one[2])
    second = estimate_change(current=other[0], wanted=other[1], days_left=other[2])

    assert (first.fingerprint == second.fingerprint) == (first == second)


@pytest.mark.parametrize("days", [0, -1])
def test_nothing_is_spent_of_a_period_without_days(days):
    with pytest.raises(ValueError, match="at least one day"):
        spent(90_000, 0, days)
