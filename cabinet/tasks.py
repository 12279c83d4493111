"""Regular work of the floor."""

from celery import shared_task

from cabinet import clock, health
from cabinet.services import codes


@shared_task(name=health.OWN_SWEEP)
def sweep() -> None:
    """Forget old login codes; show that beat and workers live."""
    codes.purge_codes(at=clock.now())
    health.beat(health.OWN_SWEEP)
