"""Encrypted model fields: Fernet (AES-CBC with HMAC), the first key encrypts, all keys decrypt."""

import hashlib
import hmac
import json
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


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


class EncryptedTextField(models.TextField[str, str]):
    """Text that lies encrypted in the database and is readable in Python."""

    def from_db_value(self, value: str | None, *_args: Any) -> str | None:
        return decrypt(value) if value else value

    def get_prep_value(self, value: Any) -> Any:
        prepared = super().get_prep_value(value)
        return encrypt(prepared) if prepared else prepared


class EncryptedJSONField(models.TextField[Any, Any]):
    """A small JSON object (keys of an operator's account) that lies encrypted in the database."""

    # For the type checker: in Python the value is whatever JSON holds.
    _pyi_private_set_type: Any
    _pyi_private_get_type: Any

    def from_db_value(self, value: str | None, *_args: Any) -> Any:
        return json.loads(decrypt(value)) if value else {}

    def to_python(self, value: Any) -> Any:
        return value

    def get_prep_value(self, value: Any) -> Any:
        return encrypt(json.dumps(value, ensure_ascii=False)) if value else ""
