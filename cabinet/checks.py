"""System checks: mistakes of a deployment that must stop the start."""

import zoneinfo
from collections.abc import Sequence
from typing import Any

import tzdata
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError, connection

from cabinet.clock import real_now


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
def database_folds_russian(
    databases: Sequence[str] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """The database lower-cases Cyrillic: under the C locale search and sorting would not."""
    if not databases:
        return []
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT lower('Я')")
            (folded,) = cursor.fetchone()
    except DatabaseError:
        return []  # without a database another message is shown
    if folded == "я":
        return []
    return [
        Error(
            "The database does not fold Russian letters: lower('Я') is not 'я'.",
            hint="CREATE DATABASE … LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' TEMPLATE template0",
            id="cabinet.E002",
        )
    ]


@register(Tags.compatibility)
def time_zones_are_current(**_kwargs: Any) -> list[CheckMessage]:
    """The rules of time zones are those of the package `tzdata`, and not older than two years.

    Old rules move paid days: Kazakhstan changed its time in 2024, Volgograd in 2020.
    """
    if zoneinfo.TZPATH:
        problem = "Time zones are read from the system and not from the package tzdata."
    elif is_outdated(tzdata.IANA_VERSION, real_now().year):
        problem = f"The time zone data {tzdata.IANA_VERSION} is older than two years."
    else:
        return []
    hint = "Install the locked requirements of a newer release."
    return [Error(problem, hint=hint, id="cabinet.E003")]


def is_outdated(version: str, year: int) -> bool:
    """Whether data of that version («2026b») are surely older than two years in `year`."""
    return year - int(version[:4]) > 2
