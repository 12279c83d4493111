"""Lanes to an operator: whoever holds a lane of an account is the only one in it, on all machines.

An advisory lock of PostgreSQL: it dies with its connection, so a killed worker never keeps a lane. It
belongs to the database session, so it is let go on the connection that took it, and one session may
take the same lane again inside (a line that holds its lane probes through it).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from django.db import connection

from operators.models import OperatorAccount

_ASKED_AGAIN_EVERY = 0.1


class Lane(IntEnum):
    """The first key of the lock; the account is the second. No other lock of ours has two keys."""

    MAIN = 7_401
    CLICKS = 7_402


@contextmanager
def hold_lane(account_id: int, lane: Lane = Lane.MAIN, *, patience: float = 0) -> Iterator[bool]:
    """Whether the lane is ours within the block; False where another keeps it after `patience` seconds.

    With `patience` 0 it is asked for once and nobody waits.
    """
    ours = _taken(account_id, lane, until=time.monotonic() + patience)
    try:
        yield ours
    finally:
        if ours:
            _asked("SELECT pg_advisory_unlock(%s, %s)", account_id, lane)


@contextmanager
def beside_the_line(account: OperatorAccount, *, patience: float) -> Iterator[bool]:
    """Whether one call more may be made within the block, beside the workers' line of the account.

    Where the operator takes one call at a time, the line must be at rest: its lane is held meanwhile.
    """
    if account.concurrency > 1:
        yield True
        return
    with hold_lane(account.pk, patience=patience) as ours:
        yield ours


def _taken(account_id: int, lane: Lane, *, until: float) -> bool:
    while not _asked("SELECT pg_try_advisory_lock(%s, %s)", account_id, lane):
        left = until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(_ASKED_AGAIN_EVERY, left))
    return True


def _asked(question: str, account_id: int, lane: Lane) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(question, [lane.value, account_id])
        (answer,) = cursor.fetchone()
    return bool(answer)
