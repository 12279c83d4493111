"""Others at work on the same rows: connections that hold them, and one that does not wait."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from cabinet.tasks import advisory_lock


@contextmanager
def held_elsewhere(rows: QuerySet[Any]) -> Iterator[None]:
    """Another connection holds these rows."""

    @contextmanager
    def held() -> Iterator[None]:
        with transaction.atomic():
            list(rows.select_for_update(of=("self",)))
            yield

    with _elsewhere(held):
        yield


@contextmanager
def sweeping_elsewhere(name: str) -> Iterator[None]:
    """Another connection has the named lock of a sweep."""
    with _elsewhere(lambda: advisory_lock.only_one(name)):
        yield


@contextmanager
def _elsewhere(held: Callable[[], AbstractContextManager[object]]) -> Iterator[None]:
    holds, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with held():
            holds.set()
            may_go.wait(20)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert holds.wait(10)
    try:
        yield
    finally:
        may_go.set()
        thread.join(10)


@contextmanager
def impatient() -> Iterator[None]:
    """This connection waits a tenth of a second for a row, and not longer."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
        yield
        cursor.execute("RESET lock_timeout")
