"""Regular work about operators."""

from celery import shared_task

from cabinet import clock
from operators import exchanges


@shared_task(name="operators.purge")
def purge(**_older: object) -> None:
    """Forget exchanges that are over thirty days old."""
    exchanges.purge(at=clock.now())
