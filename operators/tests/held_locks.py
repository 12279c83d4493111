"""An account's lock that another session of PostgreSQL holds, as a worker does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

from operators.limits.account_lock import hold_account


@contextmanager
def held_elsewhere(account_id: int, *, seconds: float = 10) -> Iterator[threading.Event]:
    """Held for so long, until the event is set, or until the block ends; for tests with transactions."""
    taken, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with hold_account(account_id):
                taken.set()
                let_go.wait(seconds)
        finally:
            connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(10)
    try:
        yield let_go
    finally:
        let_go.set()
        holder.join(10)
