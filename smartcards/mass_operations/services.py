"""What people do with mass operations. Each function is one transaction."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from django.db import transaction

from cabinet import audit
from cabinet.accounts import rules as roles
from cabinet.actors import Actor
from cabinet.enums import ActorKind, Right
from cabinet.errors import Refused
from cabinet.formatting import ru_format
from cabinet.models import Merchant
from cabinet.tasks.task_queue import enqueue_on_commit
from smartcards.listing.card_filter import CardFilter
from smartcards.mass_operations import queries
from smartcards.models import Command, MassOperation
from smartcards.states import (
    MASS_SWITCHES,
    MASS_TRANSITIONS,
    UNCONFIRMED_MASS,
    CardOutcome,
    CommandState,
    MassAction,
    MassState,
)

# Between the confirmation and the first command: so long it can be taken back as if nothing had been.
UNDO_TIME = timedelta(seconds=60)
# What was shown counts so long.
PREVIEW_HOLDS = timedelta(hours=1)
# A cancelled command that the worker has not taken back yet stays in the queue.
_NOT_SOON = timedelta(days=1)

RIGHTS: dict[MassAction, Right] = {
    MassAction.ACTIVATE: Right.ACTIVATE,
    MassAction.DEACTIVATE: Right.DEACTIVATE,
    MassAction.CHOOSE: Right.CHOOSE_CARDS,
    MassAction.UNCHOOSE: Right.CHOOSE_CARDS,
}


class MassRefused(Refused):
    """The operation is not in a state for this."""


def selection_of(*, ids: Iterable[int] = (), wanted: CardFilter | None = None) -> dict[str, Any]:
    """These cards, or, where a filter is given, all that it shows when the worker looks."""
    if wanted is not None:
        return {"filter": dict(wanted.as_fields())}
    return {"ids": sorted(set(ids))}


@transaction.atomic
def begin(
    *,
    merchant: Merchant,
    action: MassAction,
    selection: dict[str, Any],
    form_key: UUID,
    by: Actor,
    at: datetime,
    reason: str = "",
    repeats: MassOperation | None = None,
) -> MassOperation:
    """An operation to be listed and judged by a worker, which is woken after commit; nothing changes yet.

    The one that began before where the same form was sent with the same already. Raises NotAllowed, and
    MassRefused without a card, or where a member of staff gives no reason.
    """
    roles.check_may(by.role, RIGHTS[action])
    if selection.get("ids") == []:
        raise MassRefused("Отметьте хотя бы одну смарт-карту.")
    if by.kind == ActorKind.STAFF and not reason.strip():
        raise MassRefused("Укажите причину: клиент увидит её на странице смарт-карты.")
    # A page that the browser went back to keeps its key, and may be sent with other cards.
    meant = json.dumps([merchant.pk, action.value, selection, reason], sort_keys=True)
    fields = {"merchant": merchant, "action": action, "selection": selection, "repeats": repeats}
    fields |= {"reason": reason.strip()[:300], "created_at": at, **_asker(by)}
    key = uuid5(form_key, meant)
    operation, _ = MassOperation.objects.get_or_create(key=key, defaults=fields)
    _enqueue(operation)
    return operation


@transaction.atomic
def confirm(*, operation: MassOperation, number: int, by: Actor, at: datetime) -> MassOperation:
    """So many cards, as the person has read, are to change; the first command leaves after `UNDO_TIME`.

    Confirmed again it changes nothing. A preview that is too old is made anew. Raises NotAllowed, and
    MassRefused where nothing would change or another number was shown.
    """
    row = lock(operation)
    roles.check_may(by.role, RIGHTS[MassAction(row.action)])
    if row.state != MassState.PREPARED:
        return row
    if row.judged_at is None or row.judged_at + PREVIEW_HOLDS < at:
        return _prepare_anew(row)
    if not row.planned or number != row.planned:
        raise MassRefused("Список изменился. Посмотрите его ещё раз и подтвердите.")
    for name, value in _asker(by).items():
        setattr(row, name, value)
    row.confirmed_at, row.starts_at, row.done = at, at + UNDO_TIME, 0
    change(row, MassState.CONFIRMED)
    text = f"Подтверждено: {row.get_action_display()}, {ru_format.cards(row.planned)}"
    audit.record(row, "mass.confirmed", text, by=by, at=at, reason=row.reason)
    _enqueue(row)
    return row


@transaction.atomic
def cancel(*, operation: MassOperation, by: Actor, at: datetime) -> MassOperation:
    """Nothing more of it leaves from now on; a worker takes back what has not left.

    Cancelled again it changes nothing. Raises NotAllowed, and MassRefused for one that is over, or that
    changes what is paid and is done.
    """
    row = lock(operation)
    roles.check_may(by.role, RIGHTS[MassAction(row.action)])
    if row.state in {MassState.CANCELLING, MassState.CANCELLED}:
        return row
    paid = row.state == MassState.RUNNING and row.action not in MASS_SWITCHES
    if row.state == MassState.FINISHED or paid:
        raise MassRefused("Уже выполнено, отменять нечего.")
    if row.state in UNCONFIRMED_MASS:
        planned = row.cards.filter(outcome=CardOutcome.PLANNED)
        planned.update(outcome=CardOutcome.REVERTED, done_at=at)
        change(row, MassState.CANCELLED, at=at)
        return row
    # In one statement, so that nothing leaves while the worker takes them back one batch after another.
    Command.objects.filter(pk__in=queries.command_ids(row), state=CommandState.QUEUED).update(
        due_at=at + _NOT_SOON
    )
    change(row, MassState.CANCELLING)
    text = f"Отменено: {row.get_action_display()}, {ru_format.cards(row.planned)}"
    audit.record(row, "mass.cancelled", text, by=by, at=at)
    _enqueue(row)
    return row


def repeat(
    *, operation: MassOperation, form_key: UUID, by: Actor, at: datetime, reason: str = ""
) -> MassOperation:
    """A new operation with the cards that were to change and did not. Raises as `begin`."""
    ids = queries.failed(operation).order_by("card").values_list("card_id", flat=True)
    return begin(
        merchant=operation.merchant,
        action=MassAction(operation.action),
        selection=selection_of(ids=ids),
        form_key=form_key,
        by=by,
        at=at,
        reason=reason or operation.reason,
        repeats=operation,
    )


def lock(operation: MassOperation) -> MassOperation:
    """The operation as it is now, locked till the end of the transaction: the first of all locks."""
    rows = MassOperation.objects.select_for_update(of=("self",)).select_related("merchant")
    return rows.get(pk=operation.pk)


def change(row: MassOperation, state: MassState, *, at: datetime | None = None) -> None:
    """Store the row with this state; `at` is when it is over. Raises ValueError for a step out of the table."""
    if state not in MASS_TRANSITIONS[MassState(row.state)]:
        raise ValueError(f"The operation {row.pk} does not become {state} after {row.state}.")
    row.state, row.finished_at = state, at
    row.save()


def _prepare_anew(row: MassOperation) -> MassOperation:
    row.cards.all().delete()
    row.total, row.judged_at = None, None
    row.done = row.planned = row.fee_kopecks = row.lacking = row.dark_terminals = 0
    change(row, MassState.PREPARING)
    _enqueue(row)
    return row


def _asker(by: Actor) -> dict[str, Any]:
    return {"user_id": by.user_id, "asked_by": by.name[:150], "asked_by_kind": by.kind}


def _enqueue(row: MassOperation) -> None:
    """The page that asked works on a short one itself, see `processing.proceed`; else, and behind it, the sweep."""
    if not queries.is_short(row):
        enqueue_on_commit("smartcards.mass_operation", operation_id=row.pk)
