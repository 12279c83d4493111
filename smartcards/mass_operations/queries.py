"""Reads: mass operations and their cards."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet

from cabinet.models import Merchant
from smartcards.listing.card_filter import CardFilter, cards_matching
from smartcards.models import MassOperation, MassOperationCard, SmartCard
from smartcards.states import (
    MASS_SWITCHES,
    OPEN_COMMANDS,
    CardOutcome,
    CommandState,
    MassState,
    OperatorState,
)

Rows = QuerySet[MassOperationCard, MassOperationCard]
# Of these nothing is known for sure before the worker has looked at them.
_ALWAYS_WORK = (MassState.PREPARING, MassState.CANCELLING)


def selected_ids(operation: MassOperation, at: datetime) -> list[int]:
    """The merchant's own cards that the selection means, shop by shop."""
    cards = _selected(operation, at)
    shop, terminal = F("terminal__shop__name"), F("terminal__name")
    in_order = cards.order_by(
        shop.asc(nulls_last=True), terminal.asc(nulls_last=True), "label", "pk"
    )
    return list(in_order.values_list("pk", flat=True))


def _selected(operation: MassOperation, at: datetime) -> QuerySet[SmartCard]:
    selection: Mapping[str, Any] = operation.selection
    if "filter" in selection:
        wanted = CardFilter.from_data(selection["filter"])
        return cards_matching(merchant=operation.merchant, wanted=wanted, at=at)
    return SmartCard.objects.of(operation.merchant).filter(pk__in=selection["ids"])


# So many cards a page may list, judge or do itself.
SHORT = 100


def is_short(operation: MassOperation) -> bool:
    """Whether a page may work on it itself."""
    ids = operation.selection.get("ids")
    number = len(ids) if operation.total is None and ids is not None else operation.total
    return number is not None and number <= SHORT


def work_waits(at: datetime) -> list[int]:
    """Operations that a worker has something to do for, the oldest first."""
    switches = [action.value for action in MASS_SWITCHES]
    begun = Q(action__in=switches) | Q(starts_at__lte=at)
    rows = MassOperation.objects.filter(
        Q(state__in=_ALWAYS_WORK)
        | Q(begun, state=MassState.CONFIRMED)
        | Q(~Exists(_under_way(OuterRef("pk"))), state=MassState.RUNNING)
    )
    return list(rows.order_by("pk").values_list("pk", flat=True))


def is_under_way(operation: MassOperation) -> bool:
    """Whether an operator has not answered yet to one of its commands."""
    return _under_way(operation.pk).exists()


def _under_way(operation: Any) -> Rows:
    return MassOperationCard.objects.filter(operation=operation, command__state__in=OPEN_COMMANDS)


def command_ids(operation: MassOperation) -> list[int]:
    """Its commands, whatever their state."""
    rows = operation.cards.filter(command__isnull=False).order_by()
    return list(rows.values_list("command_id", flat=True))


def to_take_back(operation: MassOperation) -> Rows:
    """Cards of which a cancellation takes something back: the command has not left, or there is none."""
    waiting = Q(command=None) | Q(command__state=CommandState.QUEUED)
    return operation.cards.filter(waiting, outcome=CardOutcome.ACCEPTED).order_by("card")


def failed(operation: MassOperation) -> Rows:
    """Cards that were to change and did not: refused by us after the confirmation, or by the operator."""
    return operation.cards.filter(
        Q(outcome=CardOutcome.REFUSED) | Q(command__state=CommandState.FAILED)
    )


def dark_terminals(operation: MassOperation) -> int:
    """How many tills have no working card any more once the planned cards are off."""
    leaving = operation.cards.filter(outcome=CardOutcome.PLANNED, goes_dark=True)
    stays = SmartCard.objects.filter(
        terminal=OuterRef("card__terminal"), confirmed=OperatorState.ACTIVE
    ).exclude(pk__in=leaving.values("card"))
    rows = leaving.filter(~Exists(stays), card__terminal__isnull=False)
    return rows.values("card__terminal").distinct().count()


def counts(operation: MassOperation) -> dict[tuple[str, str], int]:
    """How many cards there are by outcome and by the state of their command («» without one)."""
    rows = operation.cards.order_by().values_list("outcome", "command__state")
    return {
        (outcome, state or ""): number
        for outcome, state, number in rows.annotate(number=Count("pk"))
    }


def latest(merchant: Merchant) -> QuerySet[MassOperation]:
    """Operations of the merchant, the newest first."""
    return MassOperation.objects.of(merchant).order_by("-created_at", "-pk")
