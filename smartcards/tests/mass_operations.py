"""Mass operations as a person begins and confirms them, with the worker played by the test."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from cabinet.accounts.access import actor_for
from cabinet.models import Member, Merchant
from smartcards.mass_operations import processing, services
from smartcards.models import Coverage, MassOperation, SmartCard
from smartcards.states import MassAction, OperatorState
from smartcards.tests.cards import (
    NOW,
    OWNER,
    cover,
    make_account,
    make_card,
    make_live_subscription,
    make_member,
    make_merchant,
    make_terminal,
)
from subscriptions.models import Subscription


class Chain(NamedTuple):
    """A merchant with tills, its owner, and what pays for its cards."""

    merchant: Merchant
    owner: Member
    subscription: Subscription


def make_chain(cards: int = 0, *, paid: int = 10, **fields: Any) -> Chain:
    """A chain with so many covered cards, each in a till of its own; `fields` are the cards'."""
    merchant = make_merchant()
    chain = Chain(merchant, make_member(merchant), make_live_subscription(merchant, cards=paid))
    for number in range(1, cards + 1):
        add_card(chain, f"Касса {number}", **fields)
    return chain


def add_card(
    chain: Chain, till: str = "Касса", *, covered: bool = True, **fields: Any
) -> SmartCard:
    """A working card of the chain, unless its fields say otherwise."""
    values = {"confirmed": OperatorState.ACTIVE, "desired_on": True, **fields}
    terminal = make_terminal(chain.merchant, name=till)
    card = make_card(chain.merchant, terminal=terminal, **values)
    if covered:
        cover(card, chain.subscription)
    return card


def begin(
    chain: Chain,
    action: MassAction = MassAction.DEACTIVATE,
    cards: Iterable[SmartCard] | None = None,
    *,
    at: datetime = NOW,
    **given: Any,
) -> MassOperation:
    """An operation with these cards, or with all of the merchant, judged by the worker."""
    chosen = SmartCard.objects.of(chain.merchant) if cards is None else cards
    values = {
        "merchant": chain.merchant,
        "action": action,
        "selection": services.selection_of(ids=[card.pk for card in chosen]),
        "form_key": uuid4(),
        "by": actor_for(chain.owner),
        "at": at,
        **given,
    }
    return run(services.begin(**values), at=at)


def confirm(chain: Chain, operation: MassOperation, *, at: datetime = NOW) -> MassOperation:
    """As it was shown; the worker has done its part."""
    confirmed = services.confirm(
        operation=operation, number=operation.planned, by=actor_for(chain.owner), at=at
    )
    return run(confirmed, at=at)


def run(operation: MassOperation, *, at: datetime = NOW) -> MassOperation:
    """The operation after the worker's wake-up at this time."""
    processing.work(operation_id=operation.pk, clock=lambda: at)
    return MassOperation.objects.select_related("merchant").get(pk=operation.pk)


class Outcome(NamedTuple):
    """What became of a card."""

    outcome: str
    reason: str = ""


def outcomes(operation: MassOperation) -> list[Outcome]:
    """In the order of the list."""
    rows = operation.cards.order_by("position").values_list("outcome", "reason")
    return [Outcome(*row) for row in rows]


LATER = NOW + timedelta(seconds=30)
SENT = NOW + timedelta(seconds=60)


def add_many(chain: Chain, number: int) -> None:
    """So many working cards without tills, covered."""
    account = make_account()
    cards = SmartCard.objects.bulk_create(
        SmartCard(
            iccid=f"8970103{one:012}",
            account=account,
            merchant=chain.merchant,
            imported_at=NOW,
            handed_at=NOW,
            desired_on=True,
            desired_at=NOW - timedelta(days=1),
            desired_by=OWNER.name,
            desired_by_kind=OWNER.kind,
            confirmed=OperatorState.ACTIVE,
            confirmed_at=NOW,
        )
        for one in range(number)
    )
    Coverage.objects.bulk_create(
        Coverage(card=card, subscription=chain.subscription, since=NOW) for card in cards
    )
