"""Celery tasks of benchmarks and fault runs."""

import os
import signal

from celery import shared_task

from cabinet import clock
from smartcards.models import SmartCard
from smartcards.states import OperatorState


@shared_task(name="bench.raises")
def raises() -> None:
    """Poison: always fails."""
    raise RuntimeError("poison")


@shared_task(name="bench.dies")
def dies() -> None:
    """Poison: ends its process, as the kernel does to one that takes all the memory."""
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(name="bench.switch_on")
def switch_on(card_id: int) -> None:
    """What we do not do: one task for each card. The operator's call is left out, only the row is updated."""
    SmartCard.objects.filter(pk=card_id).update(
        confirmed=OperatorState.ACTIVE, confirmed_at=clock.now(), block_reason=""
    )
