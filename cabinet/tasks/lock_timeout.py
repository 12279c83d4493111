"""How long a transaction waits for rows that another one holds."""

from django.db import OperationalError, connection
from psycopg2.errors import LockNotAvailable


def limit_lock_waits(seconds: float) -> None:
    """From here to its end the current transaction waits at most so long for each lock.

    After that OperationalError is raised, which `is_lock_timeout` tells from others.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = %s", [f"{round(seconds * 1000)}ms"])


def is_lock_timeout(error: BaseException) -> bool:
    """Whether a lock was waited for in vain (SQLSTATE 55P03, `lock_not_available`)."""
    return isinstance(error, OperationalError) and isinstance(error.__cause__, LockNotAvailable)
