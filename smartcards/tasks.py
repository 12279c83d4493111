"""Wake-ups. Each is harmless twice, and a sweep stands beside each."""

import logging

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.db import DatabaseError

from cabinet import clock, health
from cabinet.tasks.task_queue import enqueue_now
from smartcards import merchant_news, queries, safety_brake
from smartcards.dispatch import outbox, worker
from smartcards.dispatch.operator_events import INBOX
from smartcards.exports import month_notice
from smartcards.mass_operations import processing
from smartcards.mass_operations.queries import work_waits
from smartcards.reconciliation import reconcile
from smartcards.stock import importing

logger = logging.getLogger(__name__)


@shared_task(name="smartcards.dispatch")
def dispatch_account(
    *, account_id: int, budget: float = worker.BUDGET_SECONDS, **_older: object
) -> None:
    """Send and ask what is due for one account; what is left after `budget` seconds goes on at once."""
    sent, asked = worker.drain_account(account_id=account_id, clock=clock.now, budget=budget)
    # Where nothing could be done it is not tried again and again: the sweep looks later.
    if (sent or asked) and any(outbox.backlog_of(account_id=account_id, at=clock.now())):
        enqueue_now("smartcards.dispatch", account_id=account_id)


@shared_task(name="smartcards.read")
def read_account(*, account_id: int, **_older: object) -> None:
    """The same, and then read the cards whose last reading is oldest, in the quota's background share."""
    worker.drain_account(account_id=account_id, clock=clock.now, reading=True, budget=20)


@shared_task(name="smartcards.reconcile_merchant")
def reconcile_merchant(*, merchant_id: int, **_older: object) -> None:
    """Compare one merchant's cards with what is paid."""
    reconcile.reconcile_merchant(merchant_id=merchant_id, at=clock.now())


@shared_task(name="smartcards.callback")
def process_callback(*, callback_id: int, **_older: object) -> None:
    """An event that an operator sent of its own accord."""
    INBOX.process(callback_id, at=clock.now())


# The longest file takes about a minute, on a busy machine many; what is loaded until then stays.
@shared_task(name="smartcards.import_stock", soft_time_limit=1800, time_limit=1860)
def import_stock(*, import_id: int, **_older: object) -> None:
    """Check or load one file of cards."""
    importing.work(import_id=import_id, at=clock.now())


@shared_task(name="smartcards.mass_operation")
def mass_operation(*, operation_id: int, **_older: object) -> None:
    """List, judge, do or take back one operation; what is left when the time is over goes on at once."""
    if processing.work(operation_id=operation_id, clock=clock.now):
        enqueue_now("smartcards.mass_operation", operation_id=operation_id)


@shared_task(name="smartcards.sweep")
def sweep(**_older: object) -> None:
    """What a lost wake-up or a dead worker left behind."""
    at = clock.now()
    safety_brake.watch_restore(at=at)
    for step in (outbox.release_stuck, INBOX.process_waiting, importing.purge, processing.purge):
        # One that fails, or takes all the time, never keeps the others and the wake-ups from being done.
        try:
            step(at=at)
        except (DatabaseError, SoftTimeLimitExceeded):
            logger.exception("A step of the sweep failed, the next sweep tries again")
    for account_id in queries.accounts_with_work(at).values_list("pk", flat=True):
        enqueue_now("smartcards.dispatch", account_id=account_id)
    for import_id in importing.waiting():
        enqueue_now("smartcards.import_stock", import_id=import_id)
    for operation_id in work_waits(at):
        enqueue_now("smartcards.mass_operation", operation_id=operation_id)
    health.record_heartbeat("smartcards.sweep")


@shared_task(name="smartcards.tell_of_reports")
def tell_of_reports(**_older: object) -> None:
    """The reports of the last month are ready."""
    if month_notice.tell_of_reports(at=clock.now()):
        enqueue_now("smartcards.tell_of_reports")


@shared_task(name="smartcards.reconcile_just_ended")
def reconcile_just_ended(**_older: object) -> None:
    """What the end of a paid day switches."""
    reconcile.reconcile_just_ended(at=clock.now())
    health.record_heartbeat("smartcards.reconcile_just_ended")


@shared_task(name="smartcards.reconcile_all")
def reconcile_all(*, thorough: bool = False, **_older: object) -> None:
    """Every card out of step, the brake's watch, and the paced daily reading."""
    at = clock.now()
    safety_brake.watch(at=at)
    reconcile.reconcile_all(at=at, thorough=thorough)
    reconcile.alert_overdue(at=at)
    for account in queries.readable_accounts():
        enqueue_now("smartcards.read", account_id=account.pk)
    health.record_heartbeat("smartcards.reconcile_all")


@shared_task(name="smartcards.notify")
def notify_merchants(**_older: object) -> None:
    """Messages to people about their cards, switches and operators."""
    merchant_news.notify_all(at=clock.now())
    health.record_heartbeat("smartcards.notify")
