"""A payment that was received in time and is processed late switches nothing off meanwhile."""

import json
from datetime import timedelta
from typing import NamedTuple

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcards.dispatch import outbox
from smartcards.models import Brake, Command
from smartcards.reconciliation import paid_slots, reconcile
from smartcards.states import CommandKind, CommandState, OperatorState, Origin
from smartcards.tests.cards import OWNER, make_account, make_card, make_merchant
from subscriptions.evotor import inbox
from subscriptions.evotor.models import Delivery, Hook, Sender
from subscriptions.evotor.queries import EVENT_HOLD
from subscriptions.evotor.tests import market

pytestmark = pytest.mark.django_db

END = market.FIRST_END
SECOND = timedelta(seconds=1)
STOPPED = END - timedelta(days=3)


class Paid(NamedTuple):
    """A merchant whose stopped subscription ends at `END`, with a working card."""

    merchant: object
    card: object
    account: object


def make_paid() -> Paid:
    market.make_module()
    merchant = make_merchant(evotor_user_id=market.USER)
    market.deliver(
        market.created(),
        market.activated(),
        market.event(3, "SubscriptionTerminationRequested", STOPPED),
        market.terminated(4, STOPPED),
        at=STOPPED,
    )
    account = make_account()
    card = make_card(
        merchant,
        account=account,
        confirmed=OperatorState.ACTIVE,
        desired_on=True,
        desired_at=STOPPED,
    )
    paid_slots.choose_cards(merchant=merchant, card_ids={card.pk}, by=OWNER, at=STOPPED)
    return Paid(merchant, card, account)


def receive(at, sender=Sender.APPLICATION) -> Delivery:
    """Renewed is answered 200, and not processed yet."""
    body = json.dumps(market.renewed(5, END - timedelta(minutes=1))).encode()
    return inbox.store(
        hook=Hook.SUBSCRIPTION,
        body=body,
        user_id=market.USER,
        event_type="SubscriptionRenewed",
        authorized_as=sender,
        at=at,
    )


class Outcome(NamedTuple):
    """What reconciliation queued, and whether a command was let out."""

    queued: int
    left: bool


def sweep(paid, at) -> Outcome:
    queued = reconcile.reconcile_just_ended(at=at) + reconcile.reconcile_all(at=at)
    return Outcome(queued, outbox.claim(account=paid.account, at=at) is not None)


def states() -> list[tuple[str, int, str]]:
    rows = Command.objects.order_by("pk").values_list("kind", "origin", "state")
    return list(rows)


AUTOMATIC_OFF = (CommandKind.DEACTIVATE, Origin.RECONCILE)


def test_received_payment_keeps_the_card_on_until_processed():
    paid = make_paid()
    delivery = receive(END - 10 * SECOND)

    waiting = [sweep(paid, END + after * SECOND) for after in (0, 11, 23)]
    inbox.INBOX.process(delivery.pk, at=END + 44 * SECOND)
    processed = sweep(paid, END + 45 * SECOND)

    assert [*waiting, processed] == [Outcome(0, False)] * 4
    assert states() == []


def test_payment_received_after_queueing_stops_the_sending():
    paid = make_paid()
    queued = reconcile.reconcile_just_ended(at=END)
    delivery = receive(END + SECOND)

    while_it_waits = outbox.claim(account=paid.account, at=END + 2 * SECOND)
    kept_in_the_queue = states()
    inbox.INBOX.process(delivery.pk, at=END + 3 * SECOND)
    when_processed = outbox.claim(account=paid.account, at=END + 4 * SECOND)

    assert queued == 1
    assert while_it_waits is None
    assert kept_in_the_queue == [(*AUTOMATIC_OFF, CommandState.QUEUED)]
    assert when_processed is None
    assert states() == [(*AUTOMATIC_OFF, CommandState.CANCELLED)]


def test_hold_of_one_merchant_lets_the_others_go():
    paid = make_paid()
    receive(END - SECOND)
    other = make_merchant("ИП Другой")
    others = make_card(other, account=paid.account, confirmed=OperatorState.ACTIVE, desired_on=True)

    reconcile.reconcile_all(at=END, thorough=True)
    claimed = outbox.claim(account=paid.account, at=END)

    assert claimed is not None
    assert claimed.card_id == others.pk


def test_person_switches_off_while_a_payment_waits():
    paid = make_paid()
    receive(END - SECOND)
    paid_slots.choose_cards(merchant=paid.merchant, card_ids=set(), by=OWNER, at=END)

    claimed = outbox.claim(account=paid.account, at=END)

    assert claimed is not None
    assert claimed.card_id == paid.card.pk


@pytest.mark.parametrize("after", [EVENT_HOLD, EVENT_HOLD + SECOND])
def test_event_nobody_can_process_holds_for_fifteen_minutes(after):
    paid = make_paid()
    receive(END)

    outcome = sweep(paid, END + after)

    assert outcome == Outcome(1, True)
    assert states() == [(*AUTOMATIC_OFF, CommandState.SENDING)]


def test_event_with_a_user_token_holds_nothing_while_new():
    paid = make_paid()
    receive(END + SECOND, Sender.USER)

    outcome = sweep(paid, END + 2 * SECOND)

    assert outcome == Outcome(1, True)


delays = st.integers(min_value=0, max_value=14 * 60)


@settings(max_examples=60)
@given(
    received=st.integers(min_value=-120, max_value=120),
    delay=delays,
    steps=st.lists(delays, min_size=1, max_size=8),
)
def test_no_card_goes_off_between_acceptance_and_processing(received, delay, steps):
    with transaction.atomic():
        paid = make_paid()
        Brake.objects.get_or_create(pk=1)
        plan = sorted(
            [
                (received, 0, "receive"),
                (received + delay, 1, "process"),
                *((after, 2, "queue") for after in steps),
                *((after, 3, "send") for after in steps),
            ]
        )
        left_at = []
        for after, _order, step in plan:
            at = END + after * SECOND
            if step == "receive":
                delivery = receive(at)
            elif step == "process":
                inbox.INBOX.process(delivery.pk, at=at)
            elif step == "queue":
                reconcile.reconcile_all(at=at)
            elif outbox.claim(account=paid.account, at=at) is not None:
                left_at.append(after)

        assert [after for after in left_at if after >= received] == []
        assert left_at == [] or received > 0
        transaction.set_rollback(True)
