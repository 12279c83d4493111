"""Secrets of a developer's machine, made once and kept in LOCAL_DIR."""

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def local_keys(local_dir: Path) -> dict[str, str]:
    """SECRET_KEY and FIELD_KEYS; made at the first call, the same ever after. The files are
    readable by the owner only.
    """
    return {
        "SECRET_KEY": _kept(local_dir / "secret-key", lambda: secrets.token_urlsafe(64)),
        "FIELD_KEYS": _kept(local_dir / "field-keys", _fernet_key),
    }


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode("ascii")


def _kept(path: Path, make: Callable[[], str]) -> str:
    if path.exists() and (value := path.read_text(encoding="ascii").strip()):
        return value
    value = make()
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(value)
    fresh.replace(path)
    return value
