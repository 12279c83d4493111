"""Named locks (PostgreSQL advisory locks), for what has no row to lock."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


def acquire(name: str) -> None:
    """Wait for the lock of that name; PostgreSQL releases it at the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number_of(name)])


def acquire_now(name: str) -> bool:
    """The same without waiting: False where somebody else has the lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number_of(name)])
        [ours] = cursor.fetchone()
    return bool(ours)


@contextmanager
def only_one(name: str) -> Iterator[bool]:
    """Whether nobody else is within a block of that name now; nobody waits.

    The lock belongs to the database session and dies with it, so a killed worker never keeps it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [number_of(name)])
        [ours] = cursor.fetchone()
    try:
        yield ours
    finally:
        if ours:
            release(name)


def release(name: str) -> None:
    """Let go what this session has taken by `pg_try_advisory_lock`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(%s)", [number_of(name)])


def number_of(name: str) -> int:
    """The key by which PostgreSQL knows the lock, for statements that take it beside other work."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
