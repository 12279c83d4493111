"""Wake-ups. Each is harmless twice, and a sweep stands beside each."""

import logging
from collections.abc import Callable
from datetime import datetime

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.db import DatabaseError

from cabinet import clock, health
from cabinet.wake import ring
from operators.lanes import Lane
from smartcards import brake, callbacks, dispatch, line, queries, reconcile

logger = logging.getLogger(__name__)


@shared_task(name="smartcards.dispatch")
def dispatch_account(
    *, account_id: int, budget: float = line.BUDGET_SECONDS, **_older: object
) -> None:
    """Send and ask what is due for one account; what is left after `budget` seconds goes on at once."""
    sent, asked = line.work(account_id=account_id, clock=clock.now, budget=budget)
    # Where nothing could be done it is not tried again and again: the sweep looks later.
    if (sent or asked) and queries.accounts_with_work(clock.now()).filter(pk=account_id).exists():
        ring("smartcards.dispatch", account_id=account_id)


@shared_task(name="smartcards.clicks")
def dispatch_clicks(*, account_id: int, **_older: object) -> None:
    """Send what people wait for, beside the mass work of the same account."""
    line.work(account_id=account_id, clock=clock.now, lane=Lane.CLICKS, budget=20)


@shared_task(name="smartcards.read")
def read_account(*, account_id: int, **_older: object) -> None:
    """The same, and then read the cards whose last reading is oldest, in the quota's spare part."""
    line.work(account_id=account_id, clock=clock.now, reading=True, budget=20)


@shared_task(name="smartcards.reconcile_merchant")
def reconcile_merchant(*, merchant_id: int, **_older: object) -> None:
    """Compare one merchant's cards with what is paid."""
    at = clock.now()
    brake.watch_restore(at=at)
    reconcile.reconcile_merchant(merchant_id=merchant_id, at=at)


@shared_task(name="smartcards.callback")
def process_callback(*, callback_id: int, **_older: object) -> None:
    """What an operator told us of its own accord."""
    callbacks.process(callback_id=callback_id, at=clock.now())


def _release(at: datetime) -> None:
    dispatch.release_stuck(at=at)


def _reconcile(at: datetime) -> None:
    reconcile.reconcile_just_ended(at=at)


def _try(step: Callable[[datetime], object], at: datetime) -> None:
    """One step that fails, or takes all the time, never keeps the others and the wake-ups from being done."""
    try:
        step(at)
    except (DatabaseError, SoftTimeLimitExceeded):
        logger.exception("A step of the sweep failed, the next sweep tries again")


@shared_task(name="smartcards.sweep")
def sweep(**_older: object) -> None:
    """What a lost wake-up, a dead worker or the end of a paid day left behind."""
    at = clock.now()
    brake.watch_restore(at=at)
    for step in (_release, _reconcile, callbacks.process_waiting):
        _try(step, at)
    for account_id in queries.accounts_with_work(at).values_list("pk", flat=True):
        ring("smartcards.dispatch", account_id=account_id)
    health.beat("smartcards.sweep")


@shared_task(name="smartcards.reconcile_all")
def reconcile_all(**_older: object) -> None:
    """Every card out of step, the brake's watch, and the paced daily reading."""
    at = clock.now()
    brake.watch(at=at)
    reconcile.reconcile_all(at=at)
    reconcile.tell_late(at=at)
    for account in queries.readable_accounts():
        ring("smartcards.read", account_id=account.pk)
    health.beat("smartcards.reconcile_all")
