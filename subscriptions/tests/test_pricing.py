"""Prices, shares of days, estimates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions.pricing import (
    Estimate,
    Line,
    Terms,
    daily_shares,
    estimate_change,
    estimate_renewal,
    price,
    remaining,
    spent,
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

    assert (sum(shares), len(shares)) == (total, days)
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
            Line("Тариф «Расширенный» до\u00a0конца периода", 1, 9_600),
            Line("Зачтено за\u00a0тариф «Базовый»", 1, -4_800),
        )
    )
    assert estimate.total_kopecks == 4_800


def test_one_more_card_costs_its_days():
    estimate = estimate_change(
        current=month(30_000, days=31), wanted=month(30_000, 2, days=31), days_left=17
    )

    assert estimate == Estimate(
        (Line("Дополнительно по\u00a0тарифу «Месяц» до\u00a0конца периода", 1, 16_452),)
    )


def test_nothing_is_returned_on_the_way_down():
    estimate = estimate_change(current=month(30_000, 5), wanted=month(30_000, 2), days_left=20)

    assert estimate == Estimate((Line("Тариф «Месяц» со\u00a0следующего периода", 2, 0),))


def test_an_equal_price_is_free():
    estimate = estimate_change(
        current=month(30_000), wanted=month(30_000, tariff="Другой"), days_left=20
    )

    assert estimate == Estimate((Line("Тариф «Другой», без\u00a0доплаты", 1, 0),))


def test_a_shorter_period_goes_on_at_its_daily_price():
    estimate = estimate_change(
        current=month(365_000, tariff="Год", days=365),
        wanted=month(60_000, tariff="Месяц", days=30),
        days_left=100,
    )

    assert estimate.total_kopecks == 200_000 - 100_000


@pytest.mark.parametrize("left", [-1, 31])
def test_change_refuses_days_outside_the_period(left):
    with pytest.raises(ValueError, match="days"):
        estimate_change(current=month(100), wanted=month(200), days_left=left)


def test_renewal_costs_the_whole_period():
    estimate = estimate_renewal(month(30_000, 3))

    assert estimate == Estimate((Line("Тариф «Месяц»", 3, 90_000),))
    assert estimate.total_kopecks == 90_000


@given(changes())
def test_change_never_returns_money_nor_costs_more_than_the_new_price(change):
    current, wanted, left = change

    total = estimate_change(current=current, wanted=wanted, days_left=left).total_kopecks

    exact = (wanted.kopecks - current.kopecks) * left
    assert 0 <= total <= wanted.kopecks
    assert abs(2 * total * wanted.days - 2 * max(exact, 0)) <= wanted.days


@given(kopecks, periods, st.data())
def test_two_changes_on_one_day_cost_what_one_costs_to_a_kopeck(card_kopecks, days, data):
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
def test_fingerprints_differ_where_lines_differ(one, other):
    first = estimate_change(current=one[0], wanted=one[1], days_left=one[2])
    second = estimate_change(current=other[0], wanted=other[1], days_left=other[2])

    assert (first.fingerprint == second.fingerprint) == (first == second)


@pytest.mark.parametrize("days", [0, -1])
def test_nothing_is_spent_of_a_period_without_days(days):
    with pytest.raises(ValueError, match="at least one day"):
        spent(90_000, 0, days)
