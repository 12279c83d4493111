"""Two transactions wanted each other's rows: PostgreSQL broke one off, and that one is done again."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connection
from psycopg2.extensions import TransactionRollbackError

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

TRIES = 4
_PAUSE = 0.05  # seconds, so that the other one is through


def through_conflicts(deed: Callable[[], ResultT]) -> ResultT:
    """The deed's result; a deed that was broken off by a deadlock or a serialization failure is done again.

    The deed must be one transaction of its own: nothing of the one broken off is kept. Four tries,
    then the error goes on. Inside an outer transaction, which is lost as a whole, it is tried once.
    """
    for left in reversed(range(TRIES)):
        try:
            return deed()
        except OperationalError as error:
            if not left or connection.in_atomic_block or not _is_conflict(error):
                raise
            logger.warning("Broken off in favour of another transaction, tried again")
            time.sleep(_PAUSE)
    raise AssertionError("the last try returns or raises")


def _is_conflict(error: OperationalError) -> bool:
    return isinstance(error.__cause__, TransactionRollbackError)
