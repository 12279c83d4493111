"""Retry of a transaction that PostgreSQL rolled back: deadlock or serialization failure."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connection
from psycopg2.extensions import TransactionRollbackError

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

TRIES = 4
_PAUSE = 0.05  # seconds, for the other transaction to end


def retry_on_deadlock(run: Callable[[], ResultT]) -> ResultT:
    """The result of `run`, which is called again after a deadlock or a serialization failure.

    `run` must be one transaction of its own: nothing of a failed one is kept. After four tries the
    OperationalError is raised. Inside an outer transaction, which is lost as a whole, it is tried once.
    """
    for left in reversed(range(TRIES)):
        try:
            return run()
        except OperationalError as error:
            if not left or connection.in_atomic_block or not _is_conflict(error):
                raise
            logger.warning("Rolled back in favour of another transaction, tried again")
            time.sleep(_PAUSE)
    raise AssertionError("the last try returns or raises")


def _is_conflict(error: OperationalError) -> bool:
    return isinstance(error.__cause__, TransactionRollbackError)
