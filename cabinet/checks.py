"""System checks of the floor: what a start should refuse with a clear word."""

from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError, connection


@register(Tags.security)
def field_keys(**_kwargs: Any) -> list[CheckMessage]:
    """Every key of FIELD_KEYS is a Fernet key."""
    wrong = [number for number, key in enumerate(settings.FIELD_KEYS, start=1) if not _is_key(key)]
    return [
        Error(
            f"Key number {number} of FIELD_KEYS is not 32 url-safe base64 bytes.",
            hint='Make one: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"',
            id="cabinet.E001",
        )
        for number in wrong
    ]


def _is_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True


@register(Tags.database)
def russian_letters(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """The database folds Russian letters: under the C locale search and sorting would miss them."""
    if not databases:
        return []
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT lower('Я')")
            (folded,) = cursor.fetchone()
    except DatabaseError:
        return []  # no database to ask; its absence has its own message
    if folded == "я":
        return []
    return [
        Error(
            "The database does not fold Russian letters: lower('Я') is not 'я'.",
            hint="CREATE DATABASE … LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' TEMPLATE template0",
            id="cabinet.E002",
        )
    ]
