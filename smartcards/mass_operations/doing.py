"""One batch of cards of a confirmed operation, done or taken back. Expects the lock of the operation."""

from collections.abc import Sequence
from datetime import datetime

from cabinet.actors import Actor
from smartcards import commands, queries, rules, services
from smartcards.mass_operations import storing
from smartcards.models import Command, Coverage, MassOperation, MassOperationCard, SmartCard
from smartcards.reconciliation import paid_slots
from smartcards.rules import NOT_ENOUGH_PAID, CardRefused
from smartcards.services import Switched
from smartcards.states import (
    MASS_SWITCHES,
    CardOutcome,
    CommandKind,
    CommandState,
    MassAction,
)


def do_batch(
    operation: MassOperation, rows: Sequence[MassOperationCard], *, by: Actor, at: datetime
) -> None:
    """Do it with these cards and store what became of each."""
    kind = MASS_SWITCHES.get(MassAction(operation.action))
    if kind is None:
        _choose(operation, rows, by, at)
    else:
        _switch(operation, rows, kind, by, at)
    storing.store(rows, storing.DONE)


# --- switches ---------------------------------------------------------------------------------------


def _switch(
    operation: MassOperation,
    rows: Sequence[MassOperationCard],
    kind: CommandKind,
    by: Actor,
    at: datetime,
) -> None:
    switched = services.request_switches(
        card_ids=[row.card_id for row in rows],
        kind=kind,
        by=by,
        at=at,
        due_at=operation.starts_at or at,
        since=operation.confirmed_at or at,
        reason=operation.reason,
    )
    found = {one.card.pk: one for one in switched}
    for row in rows:
        _note_switch(row, found.get(row.card_id), at)


def _note_switch(row: MassOperationCard, found: Switched | None, at: datetime) -> None:
    if found is None or found.refusal:
        _refuse(row, found.refusal if found else "Такой смарт-карты больше нет.")
        return
    _accept(row, at)
    card = found.card
    row.command = found.command
    row.before_on, row.before_at = card.desired_on, card.desired_at
    row.before_by, row.before_by_kind = card.desired_by, card.desired_by_kind


def _accept(row: MassOperationCard, at: datetime) -> None:
    row.outcome, row.done_at = CardOutcome.ACCEPTED, at


def _refuse(row: MassOperationCard, sentence: str) -> None:
    row.outcome, row.reason = CardOutcome.REFUSED, sentence[:300]


# --- what is paid -----------------------------------------------------------------------------------


def _choose(
    operation: MassOperation, rows: Sequence[MassOperationCard], by: Actor, at: datetime
) -> None:
    """As many of these cards as there is room for become paid, or all of them are left out."""
    merchant = operation.merchant
    paid_slots.lock_slots(merchant)
    covered = _covered(operation)
    chosen, wanted = set(covered), list(rows)
    if operation.action == MassAction.UNCHOOSE:
        chosen -= {row.card_id for row in rows}
    else:
        free = max(0, queries.paid_slots(merchant, at).total - len(covered))
        wanted = [row for row in rows if row.card_id in covered] + [
            row for row in rows if row.card_id not in covered
        ][:free]
        chosen |= {row.card_id for row in wanted}
    for row in rows:
        _accept(row, at) if row in wanted else _refuse(row, NOT_ENOUGH_PAID)
    try:
        paid_slots.choose_cards(merchant=merchant, card_ids=chosen, by=by, at=at)
    except CardRefused as refusal:
        for row in rows:
            row.done_at = None
            _refuse(row, refusal.sentence)
        return
    _name_commands(rows, at)


def _covered(operation: MassOperation) -> set[int]:
    rows = Coverage.objects.filter(card__merchant=operation.merchant_id, till=None)
    return set(rows.values_list("card_id", flat=True))


def _name_commands(rows: Sequence[MassOperationCard], at: datetime) -> None:
    """The switch-offs that came of it, for the page."""
    made = Command.objects.filter(card__in=[row.card_id for row in rows], created_at=at)
    of_card = {command.card_id: command for command in made}
    for row in rows:
        row.command = of_card.get(row.card_id)


# --- taking back ------------------------------------------------------------------------------------


def take_back(rows: Sequence[MassOperationCard], *, by: Actor, at: datetime) -> None:
    """What has not left does not leave, and the earlier decision about the card counts again.

    Where somebody has decided about the card since, that stays. A command that left meanwhile stays too,
    with its decision.
    """
    locked = SmartCard.objects.select_for_update(of=("self",)).order_by("pk")
    cards = {card.pk: card for card in locked.filter(pk__in=[row.card_id for row in rows])}
    waiting = _waiting(rows, cards)
    back = [row for row in rows if row.command_id is None or row.command_id in waiting]
    storing.bring_decisions_back(back)
    text = f"Отменил(а) {rules.shown_name(by.kind, by.name)}"
    commands.cancel_many(list(waiting.values()), by=by, at=at, text=text)
    ids = [row.pk for row in back]
    MassOperationCard.objects.filter(pk__in=ids).update(outcome=CardOutcome.REVERTED)


def _waiting(rows: Sequence[MassOperationCard], cards: dict[int, SmartCard]) -> dict[int, Command]:
    """Their commands that have not left, locked, each with its card."""
    locked = Command.objects.select_for_update(of=("self",)).order_by("pk")
    ids = [row.command_id for row in rows if row.command_id is not None]
    waiting = {one.pk: one for one in locked.filter(pk__in=ids, state=CommandState.QUEUED)}
    for command in waiting.values():
        command.card = cards[command.card_id]
    return waiting
