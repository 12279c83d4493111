"""Proofs, decisions of staff and processing in any order end as what is believed says."""

import contextlib
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest
from django.db import transaction
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cabinet.actors import Actor
from cabinet.enums import ActorKind
from cabinet.errors import Refused
from cabinet.models import Alert, Merchant
from subscriptions.evotor import holds, inbox, queries
from subscriptions.evotor.fold import fold
from subscriptions.evotor.models import Delivery, Hook, Problem, Sender
from subscriptions.evotor.schemas import parse_subscription_event
from subscriptions.evotor.tests import market
from subscriptions.models import Subscription

STAFF = Actor(ActorKind.STAFF, "Ольга Поддержкина", 7)
END = market.FIRST_END
EVENTS = {
    1: market.created(),
    2: market.activated(),
    3: market.terminated(3, market.NOW),
    4: market.renewed(4, END),
}


def bring(number: int, sender: Sender, spaces: int, at: datetime) -> None:
    inbox.store(
        hook=Hook.SUBSCRIPTION,
        body=json.dumps(EVENTS[number]).encode() + b" " * spaces,
        user_id=market.USER,
        event_type=EVENTS[number]["type"],
        authorized_as=sender,
        at=at,
    )


def accept(at: datetime) -> None:
    with contextlib.suppress(Refused):
        rows = queries.unproved(market.USER)
        inbox.accept(rows=rows, reason="Проверено", by=STAFF, at=at)


def release(at: datetime) -> None:
    for row in queries.unprocessed_payment_events(at).order_by("pk"):
        holds.release(delivery=row, reason="Мусор", by=STAFF, at=at)


def prolong(at: datetime) -> None:
    for row in queries.waiting_payment_events().order_by("pk"):
        holds.prolong(delivery=row, reason="Разбираемся", by=STAFF, at=at)


def sweep(at: datetime) -> None:
    inbox.requeue_known_users()
    inbox.requeue_believed(at=at)
    inbox.INBOX.process_waiting(at=at)
    holds.review(at=at)


def replay(at: datetime) -> None:
    for pk in Delivery.objects.exclude(state="new").order_by("pk").values_list("pk", flat=True):
        inbox.replay(delivery_id=pk, by=STAFF, at=at)


def register(at: datetime) -> None:
    Merchant.objects.get_or_create(evotor_user_id=market.USER, defaults={"created_at": at})


ACTS: dict[str, Callable[[datetime], None]] = {
    act.__name__: act for act in (accept, release, prolong, sweep, replay, register)
}
ARRIVALS = st.tuples(
    st.sampled_from(sorted(EVENTS)), st.sampled_from(list(Sender)), st.integers(0, 1)
)
STEPS = st.lists(
    st.tuples(st.sampled_from(sorted(ACTS)) | ARRIVALS, st.integers(0, 20)), max_size=12
)


def held_by_the_application(at: datetime) -> list[int]:
    """Events with the application token that wait for less than a quarter of an hour, undecided by staff."""
    rows = Delivery.objects.filter(state="new", authorized_as=Sender.APPLICATION, holds_until=None)
    return list(
        rows.filter(received_at__gt=at - timedelta(minutes=15)).values_list("pk", flat=True)
    )


def play(steps: Sequence[tuple[str | tuple[int, Sender, int], int]]) -> None:
    """One step after the other, each so many minutes after the one before; then all is processed."""
    at = market.NOW
    for step, minutes in steps:
        at += timedelta(minutes=minutes)
        if isinstance(step, str):
            ACTS[step](at)
        else:
            bring(*step, at=at)
        if held_by_the_application(at) and Merchant.objects.exists():
            assert queries.merchants_with_unprocessed_payment(at).count() == 1
    register(at)
    for later in (1, 2, 3):
        sweep(at + timedelta(hours=later))


def believed_numbers() -> set[int]:
    rows = Delivery.objects.filter(queries.believed())
    return {json.loads(row.body)["sequenceNumber"] for row in rows}


@pytest.mark.django_db
@settings(max_examples=40)
@example(steps=[((2, Sender.USER, 0), 0), ("sweep", 0), ((2, Sender.APPLICATION, 1), 0)])
@example(steps=[((4, Sender.USER, 0), 0), ("sweep", 0), ("accept", 0), ("release", 1)])
@given(steps=STEPS)
def test_any_order_ends_as_what_is_believed_says(steps):
    with transaction.atomic():
        market.make_module()
        play(steps)

        known = believed_numbers()
        state = fold([parse_subscription_event(EVENTS[number]) for number in known])
        row = Subscription.objects.first() or Subscription(paid_cards=state.terms.cards)
        parked = Delivery.objects.filter(state="parked", parked_for=Problem.UNPROVED)
        alerts = Alert.objects.filter(closed_at=None, key__startswith="evotor.unproved.")
        assert not Delivery.objects.filter(state__in=["new", "failed"]).exists()
        assert (row.paid_until, row.terminated_at, row.entitled_until, row.paid_cards) == (
            state.paid_until,
            state.terminated_at,
            state.entitled_until,
            state.terms.cards,
        )
        assert known.isdisjoint(json.loads(one.body)["sequenceNumber"] for one in parked)
        assert alerts.count() == min(parked.count(), 1)
        transaction.set_rollback(True)
