"""Lanes to an operator: whoever holds a lane of an account is the only one in it, on all machines.

An advisory lock of PostgreSQL: it dies with its connection, so a killed worker never keeps a lane. It
belongs to the database session, so it is let go on the connection that took it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from django.db import OperationalError, connection, transaction
from psycopg2.errors import LockNotAvailable

from operators.models import OperatorAccount


class Lane(IntEnum):
    """The first key of the lock; the account is the second. No other lock of ours has two keys."""

    MAIN = 7_401
    CLICKS = 7_402


@contextmanager
def hold_lane(account_id: int, lane: Lane = Lane.MAIN, *, patience: float = 0) -> Iterator[bool]:
    """Whether the lane is ours within the block; False where another keeps it after `patience` seconds.

    With `patience` 0 it is asked for once and nobody waits.
    """
    ours = _waited_for(account_id, lane, patience) if patience else _taken(account_id, lane)
    try:
        yield ours
    finally:
        if ours:
            _asked("SELECT pg_advisory_unlock(%s, %s)", account_id, lane)


@contextmanager
def beside_the_line(account: OperatorAccount, *, patience: float) -> Iterator[bool]:
    """Whether one call more may be made within the block, beside the workers' line of the account.

    Where the operator takes one call at a time, the line must be at rest: its lane is held meanwhile.
    Where it takes several, this may be one more than the contract's number.
    """
    if account.concurrency > 1:
        yield True
        return
    with hold_lane(account.pk, patience=patience) as ours:
        yield ours


def _taken(account_id: int, lane: Lane) -> bool:
    return bool(_asked("SELECT pg_try_advisory_lock(%s, %s)", account_id, lane))


def _waited_for(account_id: int, lane: Lane, patience: float) -> bool:
    """In PostgreSQL's own queue: a line that begins anew finds somebody waiting, and lets him go first."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = %s", [f"{round(patience * 1000)}ms"])
            cursor.execute(
                "SET LOCAL statement_timeout = %s", [f"{round(patience * 1000) + 5000}ms"]
            )
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [lane.value, account_id])
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            return False
        raise
    return True


def _asked(question: str, account_id: int, lane: Lane) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(question, [lane.value, account_id])
        (answer,) = cursor.fetchone()
    return bool(answer)
