"""Encrypted model fields: Fernet (AES-CBC with HMAC), the first key encrypts, all keys decrypt."""

import hashlib
import hmac
import json
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models
from django.db.models.query_utils import DeferredAttribute


class Undecryptable(Exception):
    """The stored secret was written with a key that is not in FIELD_KEYS."""


@lru_cache(maxsize=4)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(text: str) -> str:
    """Text for the database; the same text never gives the same result twice."""
    return _box(tuple(settings.FIELD_KEYS)).encrypt(text.encode()).decode()


def decrypt(stored: str) -> str:
    """The text back. Raises Undecryptable where no key of FIELD_KEYS fits."""
    try:
        return _box(tuple(settings.FIELD_KEYS)).decrypt(stored.encode()).decode()
    except InvalidToken as error:
        raise Undecryptable from error


def fingerprint(secret: str) -> str:
    """A keyed hash to look a secret up by without keeping it readable (HMAC-SHA256, hex)."""
    return hmac.new(settings.SECRET_KEY.encode(), secret.encode(), hashlib.sha256).hexdigest()


class _Unreadable:
    """Stands in a row for a secret that no key fits: the rest of the row can still be worked with."""


class _Secret(DeferredAttribute):
    """The attribute of an encrypted field: raises Undecryptable where the stored secret cannot be read."""

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if isinstance(value, _Unreadable):
            raise Undecryptable
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        # With it Python asks `__get__` even where the row holds a value.
        instance.__dict__[self.field.attname] = value


def _read(stored: str) -> Any:
    try:
        return decrypt(stored)
    except Undecryptable:
        return _Unreadable()


class EncryptedTextField(models.TextField[str, str]):
    """Text that lies encrypted in the database and is readable in Python.

    A row whose secret cannot be read loads as ever; only looking at the secret raises Undecryptable.
    """

    descriptor_class = _Secret

    def from_db_value(self, value: str | None, *_args: Any) -> Any:
        return _read(value) if value else value

    def get_prep_value(self, value: Any) -> Any:
        prepared = super().get_prep_value(value)
        return encrypt(prepared) if prepared else prepared


class EncryptedJSONField(models.TextField[Any, Any]):
    """A small JSON object (keys of an operator's account) that lies encrypted in the database."""

    # For the type checker: in Python the value is whatever JSON holds.
    _pyi_private_set_type: Any
    _pyi_private_get_type: Any

    descriptor_class = _Secret

    def from_db_value(self, value: str | None, *_args: Any) -> Any:
        read = _read(value) if value else "{}"
        return read if isinstance(read, _Unreadable) else json.loads(read)

    def to_python(self, value: Any) -> Any:
        return value

    def get_prep_value(self, value: Any) -> Any:
        return encrypt(json.dumps(value, ensure_ascii=False)) if value else ""
