"""The lock of an operator account: whoever holds it is the only worker of the account, on all machines.

An advisory lock of PostgreSQL: it dies with its connection, so a killed worker never keeps it. It
belongs to the database session, so it is let go on the connection that took it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction

from cabinet.tasks.lock_timeout import is_lock_timeout, limit_lock_waits
from operators.models import OperatorAccount

# The first key of the lock; the account is the second. No other lock of ours has two keys.
_KEY = 7_401


@contextmanager
def hold_account(account_id: int, *, patience: float = 0) -> Iterator[bool]:
    """Whether the account is ours within the block; False where another keeps it after `patience` seconds.

    With `patience` 0 it is asked for once and nobody waits.
    """
    with connection.cursor() as cursor:
        if patience:
            ours = _wait_for_lock(account_id, patience)
        else:
            cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_KEY, account_id])
            [ours] = cursor.fetchone()
    try:
        yield ours
    finally:
        if ours:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_KEY, account_id])


@contextmanager
def beside_worker(account: OperatorAccount, *, patience: float) -> Iterator[bool]:
    """Whether one call more may be made within the block, beside the account's worker.

    Where the operator takes one call at a time, the worker must be at rest: the lock is held meanwhile.
    Where it takes several, this may be one more than the contract's number.
    """
    if account.concurrency > 1:
        yield True
        return
    with hold_account(account.pk, patience=patience) as ours:
        yield ours


def _wait_for_lock(account_id: int, patience: float) -> bool:
    """In PostgreSQL's own queue: a worker that begins anew finds somebody waiting, and goes after them."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            limit_lock_waits(patience)
            cursor.execute(
                "SET LOCAL statement_timeout = %s", [f"{round(patience * 1000) + 5000}ms"]
            )
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [_KEY, account_id])
    except OperationalError as error:
        if is_lock_timeout(error):
            return False
        raise
    return True
