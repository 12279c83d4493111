"""Named locks of a transaction, for what has no row to lock yet."""

import hashlib

from django.db import connection


def hold(name: str) -> None:
    """Wait for the lock of that name; it is let go at the end of the transaction (PostgreSQL advisory lock)."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])
