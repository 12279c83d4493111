"""The inbox: a delivery is kept before anything is done with it, and is never lost after that."""

import hashlib
import logging
import traceback
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F

from cabinet import audit
from cabinet.actors import MARKET, Actor
from cabinet.alerts import close_alert, raise_alert
from cabinet.errors import Refused
from cabinet.models import Merchant
from cabinet.wake import wake
from subscriptions.evotor import handlers
from subscriptions.evotor.handlers import Outcome
from subscriptions.evotor.hooks import Hook
from subscriptions.evotor.models import Delivery

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 8
FIRST_DELAY = timedelta(seconds=10)
ERROR_CHARACTERS = 8000
REVIVED_AT_ONCE = 1000

State = Delivery.State
_OPEN = (State.NEW, State.FAILED)


@transaction.atomic
def store(
    *, hook: Hook, body: bytes, user_id: str, event_type: str, authorized_as: str, at: datetime
) -> Delivery:
    """Keep a raw notification and wake its processing after commit.

    The same body from the same user is kept once and counted; a list of shops or terminals is
    processed again, since it may tell of a change back. What was tried so often that it was left to
    staff has all its tries again.
    """
    digest = hashlib.sha256(f"{user_id}\n".encode() + body).hexdigest()
    known = Delivery.objects.filter(hook=hook, body_hash=digest)
    if not known.update(repeats=F("repeats") + 1):
        row = Delivery(
            hook=hook,
            body_hash=digest,
            body=body.decode(),
            user_id=user_id,
            event_type=event_type,
            authorized_as=authorized_as,
            received_at=at,
        )
        if _inserted(row):
            wake("evotor.process", delivery_id=row.pk)
            return row
        known.update(repeats=F("repeats") + 1)
    return _repeated(known.get(), at)


def _inserted(row: Delivery) -> bool:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:  # the same body at the same moment: the other one has kept it
        return False
    return True


def _repeated(row: Delivery, at: datetime) -> Delivery:
    """The market says it again: a list is read anew, and what we gave up is tried anew."""
    if Hook(row.hook).is_snapshot:
        row.received_at = at
    if Hook(row.hook).is_snapshot or _is_given_up(row):
        row.state, row.attempts, row.next_try_at = State.NEW, 0, None
        row.save(update_fields=["state", "received_at", "attempts", "next_try_at"])
    if row.state == State.NEW:
        wake("evotor.process", delivery_id=row.pk)
    return row


def _is_given_up(row: Delivery) -> bool:
    return row.state == State.FAILED and row.next_try_at is None


def process(*, delivery_id: int, at: datetime) -> bool:
    """Do what a delivery asks for, all or nothing; whether it was this call that did it.

    The try is counted first, for what ends its process tells nobody. An error undoes everything, is
    kept beside the raw body, and is tried again later and later; after eight tries it is put before
    staff.
    """
    if not _begun(delivery_id, at):
        return False
    try:
        with transaction.atomic():
            row = _claimed(delivery_id)
            if row is None:
                return False
            _finish(row, handlers.handle(row, at), at)
    except Exception as error:
        logger.exception("Delivery %s could not be processed", delivery_id)
        _note_failure(delivery_id, error, at)
        return False
    return True


@transaction.atomic
def _begun(delivery_id: int, at: datetime) -> bool:
    """Whether there is a try to make; nobody else begins one before its time is over."""
    row = _claimed(delivery_id)
    if row is None or (row.next_try_at is not None and row.next_try_at > at):
        return False
    if row.attempts >= MOST_ATTEMPTS:
        _give_up(row, at)
        return False
    row.attempts += 1
    row.next_try_at = at + _delay(row.attempts)
    row.save(update_fields=["attempts", "next_try_at"])
    return True


def _claimed(delivery_id: int) -> Delivery | None:
    rows = Delivery.objects.select_for_update(skip_locked=True)
    return rows.filter(pk=delivery_id, state__in=_OPEN).first()


def _finish(row: Delivery, outcome: Outcome, at: datetime) -> None:
    if not outcome.parked or outcome.note != row.note:
        close_alert(key=_matter(row), by=MARKET, at=at)
    row.state = State.PARKED if outcome.parked else State.DONE
    row.note = outcome.note[:500]
    row.processed_at, row.next_try_at, row.error = at, None, ""
    row.save()
    if outcome.parked:
        _alert(row, f"Эвотор, {row.hook}: {outcome.note}", at)


def _alert(row: Delivery, text: str, at: datetime) -> None:
    merchants = Merchant.objects.filter(evotor_user_id=row.user_id).values_list("pk", flat=True)
    raise_alert(
        key=_matter(row),
        text=text,
        at=at,
        merchant_id=merchants.first() if row.user_id else None,
        link=f"/admin/evotor/delivery/{row.pk}/change/",
    )


def _matter(row: Delivery) -> str:
    """One matter for one delivery, but one unknown tariff is one matter however many take it."""
    if row.note.startswith(handlers.UNKNOWN_PLAN):
        return f"evotor.{row.note}"[:150]
    return f"evotor.delivery.{row.pk}"


@transaction.atomic
def _note_failure(delivery_id: int, error: Exception, at: datetime) -> None:
    row = Delivery.objects.select_for_update().filter(pk=delivery_id, state__in=_OPEN).first()
    if row is None:
        return
    row.error = "".join(traceback.format_exception(error))[-ERROR_CHARACTERS:]
    if row.attempts >= MOST_ATTEMPTS:
        _give_up(row, at)
        return
    row.state, row.next_try_at = State.FAILED, at + _delay(row.attempts)
    row.save()


def _give_up(row: Delivery, at: datetime) -> None:
    row.state, row.next_try_at = State.FAILED, None
    row.save()
    _alert(row, f"Эвотор, {row.hook}: не удалось обработать за {row.attempts} попыток.", at)


def _delay(attempts: int) -> timedelta:
    # 10 s, 30 s, 90 s … about two hours before the last try.
    return FIRST_DELAY * int(3 ** (attempts - 1))


@transaction.atomic
def replay(*, delivery_id: int, by: Actor, at: datetime) -> None:
    """Put a delivery back into the queue at a person's wish. Raises Refused where it waits there."""
    row = Delivery.objects.select_for_update().get(pk=delivery_id)
    if row.state == State.NEW:
        raise Refused("Это входящее и так ждёт обработки.")
    _requeue([row.pk])
    merchant = Merchant.objects.filter(evotor_user_id=row.user_id).first() if row.user_id else None
    audit.record(
        target=row,
        action="replayed",
        text="Входящее из Эвотор отправлено на повторную обработку.",
        by=by,
        at=at,
        merchant_id=merchant.pk if merchant else None,
    )


def revive(*, user_id: str = "") -> int:
    """Queue again what was parked for something that may be known now; how many there were.

    With `user_id`: what came before that merchant was known. Without: everything that waits for a
    merchant who is known by now, for a module or for a tariff.
    """
    rows = Delivery.objects.filter(state=State.PARKED)
    if user_id:
        rows = rows.filter(user_id=user_id, note__startswith=handlers.UNKNOWN_USER)
    else:
        curable = (handlers.UNKNOWN_USER, handlers.UNKNOWN_PRODUCT, handlers.UNKNOWN_PLAN)
        rows = rows.filter(note__regex=f"^({'|'.join(curable)})")
    return _requeue(list(rows.order_by("pk").values_list("pk", flat=True)[:REVIVED_AT_ONCE]))


def revive_known() -> int:
    """Queue again what was parked for a merchant who is known by now."""
    known = Merchant.objects.filter(evotor_user_id__isnull=False).values("evotor_user_id")
    rows = Delivery.objects.filter(
        state=State.PARKED, note__startswith=handlers.UNKNOWN_USER, user_id__in=known
    )
    return _requeue(list(rows.order_by("pk").values_list("pk", flat=True)[:REVIVED_AT_ONCE]))


def _requeue(delivery_ids: list[int]) -> int:
    rows = Delivery.objects.filter(pk__in=delivery_ids).exclude(state=State.NEW)
    number = rows.update(state=State.NEW, attempts=0, next_try_at=None)
    for delivery_id in delivery_ids:
        wake("evotor.process", delivery_id=delivery_id)
    return number
