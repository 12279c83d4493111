"""Encrypted model fields: Fernet (AES-CBC with HMAC), the first key encrypts, all keys decrypt."""

import hashlib
import hmac
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models
from django.db.models.query_utils import DeferredAttribute


class Undecryptable(Exception):
    """The stored secret was written with a key that is not in FIELD_KEYS."""


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(text: str) -> str:
    """Text for the database; the same text never gives the same result twice."""
    return _fernet(tuple(settings.FIELD_KEYS)).encrypt(text.encode()).decode()


def decrypt(stored: str) -> str:
    """The text back. Raises Undecryptable where no key of FIELD_KEYS fits."""
    try:
        return _fernet(tuple(settings.FIELD_KEYS)).decrypt(stored.encode()).decode()
    except InvalidToken as error:
        raise Undecryptable from error


def fingerprint(secret: str) -> str:
    """A keyed hash to look a secret up by without keeping it readable (HMAC-SHA256, hex)."""
    return hmac.new(settings.SECRET_KEY.encode(), secret.encode(), hashlib.sha256).hexdigest()


class _Unreadable:
    """Value of a field whose secret cannot be decrypted: the rest of the row stays usable."""


class _SecretAttribute(DeferredAttribute):
    """The attribute of an encrypted field: raises Undecryptable where the stored secret cannot be read."""

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if isinstance(value, _Unreadable):
            raise Undecryptable
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        # Makes this a data descriptor: Python calls `__get__` even where the instance has a value.
        instance.__dict__[self.field.attname] = value


class _Encrypted:
    """How both fields read a column: a secret that cannot be decrypted waits for whoever asks for it."""

    # What an empty column stands for, and what makes the value of a decrypted text.
    _empty = ""
    _plain: Callable[[str], Any] = str

    def from_db_value(self, value: str | None, *_args: Any) -> Any:
        if value is None:
            return None
        try:
            return self._plain(decrypt(value) if value else self._empty)
        except Undecryptable:
            return _Unreadable()


class EncryptedTextField(_Encrypted, models.TextField[str, str]):
    """Text that is encrypted in the database and plain in Python.

    A row whose secret cannot be decrypted still loads; reading the attribute raises Undecryptable.
    """

    descriptor_class = _SecretAttribute

    def get_prep_value(self, value: Any) -> Any:
        prepared = super().get_prep_value(value)
        return encrypt(prepared) if prepared else prepared


class EncryptedJSONField(_Encrypted, models.TextField[Any, Any]):
    """A small JSON object (keys of an operator's account), encrypted in the database.

    Reading it raises Undecryptable as `EncryptedTextField` does.
    """

    # For the type checker: in Python the value is whatever JSON holds.
    _pyi_private_set_type: Any
    _pyi_private_get_type: Any

    descriptor_class = _SecretAttribute
    _empty = "{}"
    _plain = staticmethod(json.loads)

    def to_python(self, value: Any) -> Any:
        return value

    def get_prep_value(self, value: Any) -> Any:
        return encrypt(json.dumps(value, ensure_ascii=False)) if value else ""
