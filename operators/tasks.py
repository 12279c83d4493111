"""Regular work about operators."""

from celery import shared_task

from cabinet import clock
from cabinet.actors import SYSTEM
from operators import callbacks, exchanges, subscribing


@shared_task(name="operators.purge")
def purge(**_older: object) -> None:
    """Forget exchanges and ended events that are over thirty days old; staff are told of subscriptions to
    events that are out of date.
    """
    at = clock.now()
    subscribing.note_all_outdated(by=SYSTEM, at=at)
    exchanges.purge(at=at)
    callbacks.purge(at=at)
