"""Tasks of the market's side. Behind each wake-up stands a sweep."""

from datetime import datetime

from celery import shared_task

from cabinet import clock, health
from cabinet.messaging.alerts import raise_alert
from cabinet.models import Heartbeat
from cabinet.tasks.task_queue import enqueue_now
from subscriptions.evotor import holds, inbox, queries, services
from subscriptions.evotor.cloud import sync_shops

GAPS_EVERY_SECONDS = 60


@shared_task(name="evotor.drain")
def drain() -> None:
    """Process what has come, until nothing is left that this process can end."""
    while inbox.INBOX.process_waiting(at=clock.now()):
        pass


@shared_task(name="evotor.revive")
def revive(user_id: str = "") -> None:
    """Process again what was parked for something that may be known now."""
    inbox.requeue_parked(user_id=user_id)


@shared_task(name="evotor.sync")
def sync_merchant(merchant_id: int) -> None:
    """Read the merchant's shops and terminals from the cloud."""
    sync_shops(merchant_id=merchant_id, at=clock.now())


@shared_task(name="evotor.sweep")
def sweep() -> None:
    """Whatever a lost wake-up left behind."""
    inbox.requeue_known_users()
    inbox.requeue_believed(at=clock.now())
    inbox.INBOX.process_waiting(at=clock.now())
    _look_for_gaps()
    holds.review(at=clock.now())
    for merchant_id in queries.accounts_to_sync(at=clock.now()):
        enqueue_now("evotor.sync", merchant_id=merchant_id)
    health.record_heartbeat("evotor.sweep")


def _look_for_gaps() -> None:
    # All events are counted, so once a minute is enough.
    last = Heartbeat.objects.filter(name="evotor.gaps").values_list("at", flat=True).first()
    if last is not None and (clock.real_now() - last).total_seconds() < GAPS_EVERY_SECONDS:
        return
    alert_gaps(at=clock.now())
    health.record_heartbeat("evotor.gaps")


def alert_gaps(*, at: datetime) -> None:
    """Put gaps older than fifteen minutes before staff; nothing taking is applied meanwhile."""
    for gap in queries.old_gaps(at=at):
        merchant = queries.merchant_of(gap.user_id)
        raise_alert(
            key=services.GAP_ALERT.format(gap.subscription_id),
            text=(
                f"Эвотор не прислал событие № {gap.first_missing} подписки {gap.subscription_id}: "
                "отключения и уменьшения ждут. Решите на странице подписки."
            ),
            at=at,
            merchant_id=merchant.pk if merchant else None,
        )
