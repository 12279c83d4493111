"""The doors of the worker."""

from celery import shared_task

from cabinet import clock, health
from subscriptions import services


@shared_task(name="subscriptions.sweep")
def sweep() -> None:
    """Put subscriptions before staff that the market keeps silent about."""
    services.alert_silent(at=clock.now())
    health.beat("subscriptions.sweep")
