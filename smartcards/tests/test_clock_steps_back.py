"""A clock that steps back three hours takes nothing away from who has paid meanwhile."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcards import queries, rules, safety_brake
from smartcards.dispatch import outbox
from smartcards.models import Brake, Command, Coverage
from smartcards.reconciliation import discrepancies, reconcile
from smartcards.states import CommandKind, CommandState, OperatorState, Origin
from smartcards.tests.cards import (
    NOW,
    STAFF,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_merchant,
)
from subscriptions.rules import CLOCKS_APART, is_entitled, is_not_over

pytestmark = pytest.mark.django_db

BACK = NOW - timedelta(hours=3)
instants = st.datetimes(
    min_value=NOW.replace(tzinfo=None), max_value=NOW.replace(tzinfo=None, year=2027)
)


@pytest.fixture
def merchant():
    return make_merchant()


def paid_an_hour_ago(merchant, cards=1, **fields):
    """A first payment of an hour ago: by the clock of three hours ago it has not begun."""
    begun = NOW - timedelta(hours=1)
    subscription = make_live_subscription(merchant, cards=cards, entitled_from=begun, **fields)
    subscription.periods.update(starts_at=begun)
    return subscription


def working(merchant, subscription, **fields):
    card = make_card(merchant, confirmed=OperatorState.ACTIVE, desired_on=True, **fields)
    cover(card, subscription, since=NOW - timedelta(hours=1))
    return card


def sweeps(at) -> int:
    return sum(
        [
            reconcile.reconcile_just_ended(at=at),
            reconcile.reconcile_all(at=at),
            reconcile.reconcile_all(at=at, thorough=True),
        ]
    )


def test_paid_card_works_on_when_its_payment_lies_ahead(merchant):
    card = working(merchant, paid_an_hour_ago(merchant))

    assert sweeps(BACK) == 0
    assert reconcile.reconcile_merchant(merchant_id=merchant.pk, at=BACK) == 0
    facts = queries.facts_now(card, BACK)
    assert facts.paid is False
    assert rules.is_in_step(facts) is True
    assert discrepancies.counts(BACK) == []


def test_payment_that_lies_ahead_switches_nothing_on(merchant):
    card = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=True)
    cover(card, paid_an_hour_ago(merchant))

    assert sweeps(BACK) == 0
    assert sweeps(NOW) == 1


def test_switch_off_queued_before_is_cancelled_when_payment_lies_ahead(merchant):
    card = working(merchant, paid_an_hour_ago(merchant))
    command = make_command(card, kind=CommandKind.DEACTIVATE, at=BACK, origin=Origin.RECONCILE)

    claimed = outbox.claim(account=card.account, at=BACK)

    command.refresh_from_db()
    assert claimed is None
    assert command.state == CommandState.CANCELLED


def test_cards_bought_since_keep_their_slots(merchant):
    subscription = make_live_subscription(merchant, cards=1, until=NOW - timedelta(hours=1))
    subscription.periods.create(
        kind="paid",
        cards=5,
        starts_at=NOW - timedelta(hours=1),
        ends_at=NOW + timedelta(days=30),
    )
    cards = [working(merchant, subscription) for _ in range(5)]

    assert sweeps(BACK) == 0
    assert reconcile.reconcile_merchant(merchant_id=merchant.pk, at=BACK) == 0
    covered = Coverage.objects.filter(till=None).values_list("card", flat=True)
    assert set(covered) == {card.pk for card in cards}


def test_second_subscription_bought_since_keeps_its_slots(merchant):
    make_live_subscription(merchant, cards=1)
    card = working(merchant, paid_an_hour_ago(merchant))

    sweeps(BACK)
    reconcile.reconcile_merchant(merchant_id=merchant.pk, at=BACK)

    assert Coverage.objects.filter(till=None).values_list("card", flat=True).get() == card.pk
    assert Command.objects.count() == 0


@pytest.mark.parametrize("apart", [timedelta(0), CLOCKS_APART, timedelta(hours=3)])
def test_brake_counts_though_its_release_lies_ahead(merchant, apart):
    account = make_account(brake_cards=3, brake_percent=100)
    Brake.objects.create(counts_from=NOW + apart)
    subscription = make_live_subscription(merchant, cards=10, entitled_until=NOW)
    for _ in range(5):
        working(merchant, subscription, account=account)

    reconcile.reconcile_all(at=NOW)

    assert Command.objects.count() == 3
    assert Brake.objects.get().engaged_at == NOW


def test_released_brake_lets_go_on_a_clock_that_stepped_back(merchant):
    account = make_account(brake_cards=3, brake_percent=100)
    subscription = make_live_subscription(merchant, cards=10, entitled_until=BACK)
    for _ in range(5):
        working(merchant, subscription, account=account)
    reconcile.reconcile_all(at=BACK)

    safety_brake.release(reason="конец подписки сети", by=STAFF, at=BACK)
    reconcile.reconcile_all(at=BACK)

    assert Command.objects.count() == 5


@given(begin=instants, lasts=st.none() | st.integers(0, 10**7), ahead=st.integers(-(10**7), 10**7))
def test_what_is_not_over_survives_an_earlier_clock(begin, lasts, ahead):
    begin = begin.replace(tzinfo=NOW.tzinfo)
    end = None if lasts is None else begin + timedelta(seconds=lasts)
    dates = {"entitled_from": begin, "entitled_until": end}
    at = begin + timedelta(seconds=ahead)

    if is_not_over(**dates, at=at):
        assert is_not_over(**dates, at=at - timedelta(hours=3))
    if is_entitled(**dates, at=at):
        assert is_not_over(**dates, at=at)
