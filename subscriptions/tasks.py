"""Tasks of the subscriptions."""

from celery import shared_task

from cabinet import clock, health
from subscriptions import reminders, services


@shared_task(name="subscriptions.sweep")
def sweep() -> None:
    """Put subscriptions before staff that the market keeps silent about."""
    services.alert_silent(at=clock.now())
    health.record_heartbeat("subscriptions.sweep")


@shared_task(name="subscriptions.remind")
def remind() -> None:
    """Messages to people about a coming end or renewal, and about a payment that is awaited."""
    reminders.remind(at=clock.now())
