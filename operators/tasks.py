"""Regular work about operators."""

from celery import shared_task

from cabinet import clock
from operators import callbacks, exchanges


@shared_task(name="operators.purge")
def purge(**_older: object) -> None:
    """Forget exchanges and ended events that are over thirty days old."""
    at = clock.now()
    exchanges.purge(at=at)
    callbacks.purge(at=at)
