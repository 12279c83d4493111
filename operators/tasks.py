"""Regular work about operators."""

from celery import shared_task

from cabinet import clock
from operators.client import exchange_log
from operators.events import inbox, rejections


@shared_task(name="operators.purge")
def purge(**_older: object) -> None:
    """Forget exchanges and ended events that are over thirty days old."""
    at = clock.now()
    exchange_log.purge(at=at)
    inbox.purge(at=at)
    rejections.purge(at=at)
