"""What keeps a merchant's cards from going off by themselves: staff are told of it and decide about it.

Which events hold is a query (`queries.unprocessed_payment_events`); here are the alerts and decisions.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from cabinet.actors import SYSTEM, Actor
from cabinet.errors import Refused
from cabinet.formatting import ru_format
from cabinet.messaging.alerts import (
    close_about,
    close_alert,
    open_targets,
    raise_about,
    raise_alert,
)
from cabinet.models import Alert
from cabinet.tasks.task_queue import enqueue_on_commit
from subscriptions.evotor import queries
from subscriptions.evotor.models import Delivery, Hook
from subscriptions.evotor.services import record_decision

WAITS_TOO_LONG = "evotor.waits_too_long"
UNPROVED_HOLDS = "evotor_unproved_holds"
PROLONGED_BY = timedelta(hours=1)
REVIEWED_AT_ONCE = 1_000
NAMED = 5
WAITING_LIST = f"/admin/evotor/delivery/?hook__exact={Hook.SUBSCRIPTION}&state__in=new,failed"

_WAITS_TEXT = (
    "События Эвотор о подписках ждут обработки дольше 15 минут и больше не удерживают смарт-карты от "
    "отключения, {}: {}. Обработайте их или удержите отключения ещё на час."
)
_UNPROVED_TEXT = (
    "Оплаченный срок закончился, а событие об оплате пришло с ключом клиента и ждёт решения. "
    "Смарт-карты не отключаются ещё 24 часа, один раз. Примите событие или отмените удержание."
)


def review(*, at: datetime) -> None:
    """Put before staff whose events wait too long, and whose unproved payment holds a paid end.

    Such a payment holds only once: from now on its row knows till when. Alerts that are over are closed.
    """
    _review_waiting(at)
    holding = list(queries.unproved_holds(at)[:REVIEWED_AT_ONCE])
    for row in holding:
        until = row.paid_end + queries.UNPROVED_HOLD
        Delivery.objects.filter(pk=row.pk, holds_until=None).update(holds_until=until)
    _alert_unproved(holding, at)


def _review_waiting(at: datetime) -> None:
    """One alert, however many events wait: it is one cause. What staff have released is decided."""
    released = Q(holds_until__lte=F("received_at"))
    waiting = queries.waiting_payment_events().filter(
        ~released | Q(holds_until=None), until__lte=at
    )
    users = sorted(set(waiting.values_list("user_id", flat=True)[:REVIEWED_AT_ONCE]))
    is_open = Alert.objects.filter(key=WAITS_TOO_LONG, closed_at=None).exists()
    if users and not is_open:
        number = ru_format.counted(len(users), "клиент", "клиента", "клиентов")
        text = _WAITS_TEXT.format(number, ", ".join(users[:NAMED]))
        raise_alert(key=WAITS_TOO_LONG, text=text, at=at, link=WAITING_LIST)
    if is_open and not users:
        close_alert(key=WAITS_TOO_LONG, by=SYSTEM, at=at)


def _alert_unproved(holding: Iterable[Delivery], at: datetime) -> None:
    """One open alert for each merchant whose paid end is held, and no other."""
    found = {queries.merchant_of(row.user_id): row.pk for row in holding}
    by_merchant = {merchant.pk: pk for merchant, pk in found.items() if merchant is not None}
    known = open_targets(UNPROVED_HOLDS)
    for merchant_id in by_merchant.keys() - known:
        raise_about(
            UNPROVED_HOLDS,
            merchant_id,
            text=_UNPROVED_TEXT,
            at=at,
            merchant_id=merchant_id,
            link=f"/admin/evotor/delivery/{by_merchant[merchant_id]}/change/",
        )
    over = known - by_merchant.keys()
    if over:
        close_about(UNPROVED_HOLDS, target_ids=over, by=SYSTEM, at=at)


def check_waits(delivery: Delivery, _at: datetime) -> None:
    """Raises Refused where it is no believed billing event that waits for its processing."""
    if not queries.waiting_payment_events().filter(pk=delivery.pk).exists():
        raise Refused("Это входящее не ждёт обработки, удерживать нечего.")


def check_holds(delivery: Delivery, at: datetime) -> None:
    """Raises Refused where nothing of its merchant stays on because of it."""
    if not queries.unprocessed_payment_events(at).filter(pk=delivery.pk).exists():
        raise Refused("Это входящее ничего не удерживает.")


@transaction.atomic
def prolong(*, delivery: Delivery, reason: str, by: Actor, at: datetime) -> None:
    """Let a waiting event hold for one more hour. Raises Refused without a reason or where it does not wait."""
    check_waits(delivery, at)
    _hold_until(delivery, at + PROLONGED_BY, reason)
    record_decision(
        delivery=delivery,
        action="hold_prolonged",
        text="Смарт-карты не отключаются автоматически ещё час: событие Эвотор ждёт обработки.",
        by=by,
        at=at,
        reason=reason,
    )


@transaction.atomic
def release(*, delivery: Delivery, reason: str, by: Actor, at: datetime) -> None:
    """Hold no longer; the merchant's cards are compared anew after commit.

    Raises Refused without a reason or where the event holds nothing.
    """
    check_holds(delivery, at)
    # Before it came: so it is told from one that staff prolonged and that is over by itself.
    _hold_until(delivery, min(at, delivery.received_at), reason)
    merchant_id = record_decision(
        delivery=delivery,
        action="hold_released",
        text="Удержание отключений отменено сотрудником сервиса.",
        by=by,
        at=at,
        reason=reason,
    )
    if merchant_id is not None:
        enqueue_on_commit("smartcards.reconcile_merchant", merchant_id=merchant_id)


def _hold_until(delivery: Delivery, until: datetime, reason: str) -> None:
    if not reason.strip():
        raise Refused("Укажите причину: её увидит клиент.")
    Delivery.objects.filter(pk=delivery.pk).update(holds_until=until)
