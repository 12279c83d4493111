"""The environment that our processes get: what the person set, and the defaults of a developer's
machine.
"""

import base64
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from cabinet.launcher.embedded import Servers

PROJECT = Path(__file__).resolve().parents[2]
# What a person's shell may carry and a test run must not inherit.
_DROPPED_FOR_TESTS = (
    *("PUBLIC_URL", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "TRUSTED_PROXIES", "HTTPS"),
    *("EVOTOR_APP_TOKEN", "EVOTOR_BASIC", "EVOTOR_PRODUCT_ID", "EVOTOR_API_URL"),
    *("EVOTOR_MARKET_URL", "EVOTOR_FRAME_ANCESTORS", "EMAIL_URL", "SMS_URL", "SMS_COUNTRIES"),
)


def chosen_local_dir(environ: Mapping[str, str]) -> Path:
    """LOCAL_DIR, absolute; `.local` of the project where unset."""
    return Path(environ.get("LOCAL_DIR") or PROJECT / ".local").absolute()


def child_environment(
    environ: Mapping[str, str], *, local_dir: Path, running: Servers
) -> dict[str, str]:
    """What `make run` gives to its processes: every value that the person set stays."""
    given = {name: value for name, value in environ.items() if value}
    defaults = local_keys(local_dir) | {
        "DJANGO_SETTINGS_MODULE": "cabinet.settings",
        "SANDBOX": "1",
        "PORT": "8000",
        "SANDBOX_PORT": "8100",
        # Our files and our Russian are UTF-8 whatever LANG says.
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
    }
    addresses = {
        "LOCAL_DIR": str(local_dir),
        "DATABASE_URL": running.database_url,
        "REDIS_URL": running.redis_url,
    }
    return defaults | given | addresses


def isolate_environment(*, local_dir: Path, running: Servers) -> None:
    """Gives this process the environment of a test run, the same on every machine."""
    for name in _DROPPED_FOR_TESTS:
        os.environ.pop(name, None)
    os.environ.update(child_environment({"DEBUG": "0"}, local_dir=local_dir, running=running))


def local_keys(local_dir: Path) -> dict[str, str]:
    """SECRET_KEY and FIELD_KEYS of a developer's machine; made at the first call, the same ever after.

    They are kept in LOCAL_DIR, in files that only their owner can read.
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
    fresh.touch(mode=0o600)
    fresh.write_text(value, encoding="ascii")
    fresh.replace(path)
    return value
