"""A card is written off while others change what is paid: whose turn it is, and who gets the place."""

import threading

import pytest
from django.db import connection, transaction

from cabinet.tests.waiting import wait_until
from smartcards.models import Coverage, SmartCard
from smartcards.reconciliation import discrepancy_actions, paid_slots, reconcile
from smartcards.states import OperatorState
from smartcards.tests.cards import (
    NOW,
    STAFF,
    cover,
    make_card,
    make_live_subscription,
    make_merchant,
)

pytestmark = pytest.mark.django_db


def write_off(card: SmartCard) -> None:
    discrepancy_actions.write_off(card=card, reason="заменили", by=STAFF, at=NOW)


def waits_for_a_row() -> bool:
    """Whether some other connection waits for a row that this one holds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        (number,) = cursor.fetchone()
    return bool(number)


@pytest.mark.django_db(transaction=True)
def test_write_off_locks_the_slots_before_the_card():
    merchant = make_merchant()
    subscription = make_live_subscription(merchant)
    card = make_card(merchant, confirmed=OperatorState.RETIRED, desired_on=True)
    cover(card, subscription)

    def write_off_aside() -> None:
        write_off(card)
        connection.close()

    aside = threading.Thread(target=write_off_aside)
    with transaction.atomic():
        paid_slots.lock_slots(merchant)
        aside.start()
        wait_until(waits_for_a_row)
        held = SmartCard.objects.select_for_update(nowait=True).get(pk=card.pk)
        while_it_waits = held.coverages.filter(till=None).count()
    aside.join(10)

    assert while_it_waits == 1
    assert list(card.coverages.values_list("till", flat=True)) == [NOW]


def test_slot_of_written_off_card_goes_to_dropped_one(
    django_capture_on_commit_callbacks,
):
    merchant = make_merchant()
    subscription = make_live_subscription(merchant)
    retired = make_card(merchant, confirmed=OperatorState.RETIRED, desired_on=True)
    waiting = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=True)
    cover(retired, subscription)
    dropped = cover(waiting, subscription, till=NOW)
    Coverage.objects.filter(pk=dropped.pk).update(dropped=True)

    with django_capture_on_commit_callbacks() as woken:
        write_off(retired)
    reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)

    assert [(wake.args, wake.keywords) for wake in woken] == [
        (("smartcards.reconcile_merchant",), {"merchant_id": merchant.pk})
    ]
    assert list(Coverage.objects.filter(till=None).values_list("card_id", flat=True)) == [
        waiting.pk
    ]


def test_uncovered_card_is_written_off_too():
    card = make_card(make_merchant(), confirmed=OperatorState.RETIRED, desired_on=False)

    write_off(card)

    card.refresh_from_db()
    assert card.desired_on is False
    assert card.coverages.count() == 0


def test_card_in_stock_is_written_off_and_nobody_is_woken(django_capture_on_commit_callbacks):
    card = make_card(confirmed=OperatorState.RETIRED)

    with django_capture_on_commit_callbacks() as woken:
        write_off(card)

    assert woken == []
