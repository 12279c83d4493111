"""The worker's part: list, judge, do, take back. One batch is one transaction, with its progress in it.

Whatever stops half-way goes on from there: a batch that is not stored is done again, one that is stored is
not. Operations of one merchant are worked on one after another, those of several side by side.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from celery.exceptions import SoftTimeLimitExceeded
from django.db import OperationalError, transaction
from django.db.models import Q, Sum

from cabinet import audit
from cabinet.accounts.access import actor_for
from cabinet.actors import SYSTEM, Actor
from cabinet.enums import ActorKind
from cabinet.models import Member
from cabinet.tasks import advisory_lock
from cabinet.tasks.lock_timeout import limit_lock_waits
from smartcards import queries as card_queries
from smartcards.mass_operations import queries, storing
from smartcards.mass_operations.doing import do_batch, take_back
from smartcards.mass_operations.judging import Judged, judge
from smartcards.mass_operations.services import change, lock
from smartcards.models import MassOperation, MassOperationCard, SmartCard
from smartcards.rules import NOT_ENOUGH_PAID
from smartcards.states import (
    MASS_SWITCHES,
    UNCONFIRMED_MASS,
    CardOutcome,
    MassAction,
    MassState,
)

logger = logging.getLogger(__name__)

# Seconds that one wake-up may take; what is left goes on behind the wake-ups of others.
BUDGET_SECONDS = 20.0
# The first page is judged alone: a person waits for it.
FIRST_BATCH, BATCH = 50, 250
# Seconds; what somebody else holds for longer is tried again by the sweep.
_LOCK_PATIENCE = 2.0
KEEP_UNCONFIRMED, KEEP_OTHERS = timedelta(days=1), timedelta(days=400)
_BROKEN = "Не получилось. Мы уже разбираемся."


def work(
    *, operation_id: int, clock: Callable[[], datetime], budget: float = BUDGET_SECONDS
) -> bool:
    """Do what the operation waits for until the time is over; whether something is left to do at once.

    Does nothing while another operation of the same merchant is worked on: the sweep comes back.
    """
    operation = MassOperation.objects.select_related("merchant").filter(pk=operation_id).first()
    if operation is None:
        return False
    ends_at = time.monotonic() + budget
    with advisory_lock.only_one(f"mass_operation:{operation.merchant_id}") as ours:
        while ours and _step(operation, clock()):
            if time.monotonic() >= ends_at:
                return True
    return False


def proceed(operation: MassOperation, *, clock: Callable[[], datetime]) -> None:
    """Do at once what a short operation waits for; a long one is left to the worker that was woken."""
    if queries.is_short(operation):
        try:
            work(operation_id=operation.pk, clock=clock)
        except OperationalError:
            logger.exception("Could not do operation %s at once, the sweep will", operation.pk)


def purge(*, at: datetime) -> None:
    """Operations that nobody confirmed are deleted after a day, others after a year and a month."""
    unconfirmed = Q(state__in=UNCONFIRMED_MASS, created_at__lt=at - KEEP_UNCONFIRMED)
    MassOperation.objects.filter(unconfirmed | Q(finished_at__lt=at - KEEP_OTHERS)).delete()


def actor_of(operation: MassOperation) -> Actor | None:
    """Who has asked for it, with the role of now; None where that person has left the company."""
    if operation.asked_by_kind != ActorKind.PERSON:
        return Actor(ActorKind(operation.asked_by_kind), operation.asked_by, operation.user_id)
    rows = Member.objects.filter(merchant=operation.merchant_id, user=operation.user_id)
    member = rows.select_related("user", "merchant").first()
    return None if member is None else actor_for(member)


@transaction.atomic
def _step(operation: MassOperation, at: datetime) -> bool:
    """One batch; whether there may be another one at once."""
    limit_lock_waits(_LOCK_PATIENCE)
    row = lock(operation)
    if row.state == MassState.CANCELLING:
        return _take_back(row, at)
    if row.state == MassState.RUNNING:
        return _finish(row, at)
    if row.state not in {MassState.PREPARING, MassState.CONFIRMED}:
        return False
    by = actor_of(row)
    if by is None:
        return _stop(row)
    if row.state == MassState.CONFIRMED:
        return _do(row, by, at)
    return _list(row, at) if row.total is None else _judge(row, by, at)


def _stop(row: MassOperation) -> bool:
    """Nobody may do it any more."""
    if row.state == MassState.PREPARING:
        row.cards.all().delete()
        row.delete()
        return False
    change(row, MassState.CANCELLING)
    return True


# --- the preview ------------------------------------------------------------------------------------


def _list(row: MassOperation, at: datetime) -> bool:
    """Write down which cards are meant: from here on the list stays."""
    found = queries.selected_ids(row, at)
    storing.list_cards(row.pk, found)
    row.total = len(found)
    row.save(update_fields=["total"])
    return True


def _judge(row: MassOperation, by: Actor, at: datetime) -> bool:
    size = BATCH if row.done else FIRST_BATCH
    listed = row.cards.filter(outcome=CardOutcome.LISTED).order_by("position")
    rows = list(listed[:size])
    if not rows:
        return _show(row, at)
    cards = card_queries.with_facts(SmartCard.objects.all(), terms=True)
    known = cards.filter(merchant=row.merchant_id).in_bulk([one.card_id for one in rows])
    room = _room(row, at)
    for one in rows:
        card = known.get(one.card_id)
        judged = judge(row, card, by=by, at=at) if card else Judged(reason=_NOT_YOURS)
        room -= _write(one, judged, room)
    storing.store(rows, storing.JUDGED)
    row.done += len(rows)
    row.save(update_fields=["done"])
    return True


_NOT_YOURS = "Такой смарт-карты у вас больше нет."
_NO_LIMIT = 10**9


def _room(row: MassOperation, at: datetime) -> int:
    """How many more cards may be chosen than are chosen and planned."""
    if row.action != MassAction.CHOOSE:
        return _NO_LIMIT
    planned = row.cards.filter(outcome=CardOutcome.PLANNED).count()
    return card_queries.paid_slots(row.merchant, at).free - planned


def _write(one: MassOperationCard, judged: Judged, room: int) -> int:
    """Store what was judged in the row; how much room it takes."""
    reason = judged.reason or ("" if room > 0 else NOT_ENOUGH_PAID)
    one.outcome = CardOutcome.EXCLUDED if reason else CardOutcome.PLANNED
    one.reason = reason[:300]
    one.fee_kopecks = 0 if reason else judged.fee_kopecks
    one.goes_dark = not reason and judged.goes_dark
    return not reason


def _show(row: MassOperation, at: datetime) -> bool:
    """All are judged: what it comes to."""
    planned = row.cards.filter(outcome=CardOutcome.PLANNED)
    row.planned = planned.count()
    row.fee_kopecks = planned.aggregate(sum=Sum("fee_kopecks"))["sum"] or 0
    row.lacking = row.cards.filter(reason=NOT_ENOUGH_PAID).count()
    row.dark_terminals = queries.dark_terminals(row)
    row.judged_at = at
    change(row, MassState.PREPARED)
    return False


# --- the work ---------------------------------------------------------------------------------------


def _do(row: MassOperation, by: Actor, at: datetime) -> bool:
    """One batch of cards gets its switches, or its change of what is paid once the time to cancel is over."""
    if row.action not in MASS_SWITCHES and row.starts_at is not None and at < row.starts_at:
        return False
    planned = row.cards.filter(outcome=CardOutcome.PLANNED).order_by("position")
    rows = list(planned[:BATCH])
    if not rows:
        change(row, MassState.RUNNING)
        return True
    _do_safely(row, rows, by, at)
    row.done += len(rows)
    row.save(update_fields=["done"])
    return True


def _do_safely(
    row: MassOperation, rows: Sequence[MassOperationCard], by: Actor, at: datetime
) -> None:
    """Where the batch fails the cards go one by one, so that one that breaks never stops the others."""
    try:
        with transaction.atomic():
            do_batch(row, rows, by=by, at=at)
    except (SoftTimeLimitExceeded, OperationalError):
        # The task's time, or a lock that somebody holds: no fault of a card, tried again.
        raise
    except Exception:
        logger.exception("Could not do %s cards of operation %s together", len(rows), row.pk)
        if len(rows) > 1:
            for one in rows:
                _do_safely(row, [one], by, at)
            return
        broken = MassOperationCard.objects.filter(pk=rows[0].pk)
        broken.update(outcome=CardOutcome.REFUSED, reason=_BROKEN)


def _take_back(row: MassOperation, at: datetime) -> bool:
    """One batch of what has not left is taken back. What changes what is paid is not."""
    rows = list(queries.to_take_back(row)[:BATCH]) if row.action in MASS_SWITCHES else []
    if rows:
        take_back(rows, by=actor_of(row) or SYSTEM, at=at)
        return True
    row.cards.filter(outcome=CardOutcome.PLANNED).update(outcome=CardOutcome.REVERTED, done_at=at)
    change(row, MassState.CANCELLED, at=at)
    return False


def _finish(row: MassOperation, at: datetime) -> bool:
    """Over, once the operators have answered to all commands."""
    if queries.is_under_way(row):
        return False
    change(row, MassState.FINISHED, at=at)
    text = f"Закончено: {row.get_action_display()}"
    audit.record(row, "mass.finished", text, by=SYSTEM, at=at)
    return False
