"""The doors of the worker: each wake-up has a sweep beside it."""

from celery import shared_task

from cabinet import clock, health
from cabinet.alerts import raise_alert
from cabinet.models import Heartbeat
from cabinet.wake import ring
from subscriptions.evotor import inbox, queries, services, sync

GAPS_EVERY_SECONDS = 60


@shared_task(name="evotor.process")
def process(delivery_id: int) -> None:
    """Process one delivery."""
    inbox.process(delivery_id=delivery_id, at=clock.now())


@shared_task(name="evotor.revive")
def revive(user_id: str = "") -> None:
    """Process again what was parked for something that may be known now."""
    inbox.revive(user_id=user_id)


@shared_task(name="evotor.sync")
def sync_merchant(merchant_id: int) -> None:
    """Read the merchant's shops and terminals from the cloud."""
    sync.sync_shops(merchant_id=merchant_id, at=clock.now())


@shared_task(name="evotor.sweep")
def sweep() -> None:
    """Whatever a lost wake-up left behind."""
    inbox.revive_known()
    for delivery_id in queries.waiting_deliveries(at=clock.now()):
        inbox.process(delivery_id=delivery_id, at=clock.now())
    _look_for_gaps()
    for merchant_id in queries.accounts_to_sync(at=clock.now()):
        ring("evotor.sync", merchant_id=merchant_id)
    health.beat("evotor.sweep")


def _look_for_gaps() -> None:
    # All events are counted, so once a minute is enough.
    last = Heartbeat.objects.filter(name="evotor.gaps").values_list("at", flat=True).first()
    if last is not None and (clock.real_now() - last).total_seconds() < GAPS_EVERY_SECONDS:
        return
    alert_gaps()
    health.beat("evotor.gaps")


def alert_gaps() -> None:
    """Put gaps older than fifteen minutes before staff; nothing taking is applied meanwhile."""
    at = clock.now()
    for gap in queries.old_gaps(at=at):
        merchant = queries.merchant_of(gap.user_id)
        raise_alert(
            key=services.gap_key(gap.subscription_id),
            text=(
                f"Эвотор не прислал событие № {gap.first_missing} подписки {gap.subscription_id}: "
                "отключения и уменьшения ждут. Решите на странице подписки."
            ),
            at=at,
            merchant_id=merchant.pk if merchant else None,
        )
