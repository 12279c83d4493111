"""Others at work on the same rows: connections that hold them, and one that does not wait."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet


@contextmanager
def held_elsewhere(rows: QuerySet[Any]) -> Iterator[None]:
    """Another connection holds these rows."""
    holds, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            list(rows.select_for_update(of=("self",)))
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
