"""What we do not do: one Celery task for each card, which updates its row."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from celery import Celery

from bench import place

QUEUE = "naive"

app = Celery("naive", broker=os.environ.get("REDIS_URL"))
app.conf.task_ignore_result = True
app.conf.task_default_queue = QUEUE
app.conf.worker_prefetch_multiplier = 4


@app.task(name="naive.switch_on")
def switch_on(card_id: int) -> None:
    """The operator's call replaced by nothing: only the row is updated."""
    # The worker sets Django up when it starts.
    from django.utils import timezone  # noqa: PLC0415

    from smartcards.models import SmartCard  # noqa: PLC0415
    from smartcards.states import Confirmed  # noqa: PLC0415

    SmartCard.objects.filter(pk=card_id).update(
        confirmed=Confirmed.ACTIVE, confirmed_at=timezone.now(), block_reason=""
    )


@contextmanager
def worker(card_id: int, *, is_up: Callable[[], bool]) -> Iterator[None]:
    """Two processes that have done their first task (`card_id`) and wait until they are let go."""
    quiet = ("--without-gossip", "--without-mingle", "-l", "ERROR")
    with place.process("-m", "celery", "-A", "bench.naive", "worker", "-c", "2", *quiet):
        switch_on.delay(card_id)
        _wait_for(is_up)
        app.control.cancel_consumer(QUEUE, reply=True, timeout=5)
        yield


def publish(card_ids: Iterable[int]) -> None:
    """Into the queue, which nobody reads meanwhile."""
    for card_id in card_ids:
        switch_on.delay(card_id)


def let_go() -> None:
    """From now on the queue is read."""
    app.control.add_consumer(QUEUE)


def _wait_for(happened: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < ends_at
        time.sleep(0.05)
