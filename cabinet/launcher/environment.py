"""The environment that our processes get: what the person set, and the defaults of a developer's
machine.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from cabinet.launcher.embedded import Servers
from cabinet.launcher.keys import local_keys

PROJECT = Path(__file__).resolve().parents[2]
# What a person's shell may carry and a test run must not inherit.
_FOREIGN_TO_TESTS = (
    *("PUBLIC_URL", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "TRUSTED_PROXIES", "DEBUG", "HTTPS"),
    *(
        "EVOTOR_APP_TOKEN",
        "EVOTOR_BASIC",
        "EVOTOR_PRODUCT_ID",
        "EVOTOR_API_URL",
        "EVOTOR_MARKET_URL",
    ),
    *(
        "EVOTOR_FRAME_ANCESTORS",
        "EMAIL_URL",
        "SMS_URL",
        "PORT",
        "SANDBOX_PORT",
        "SECRET_KEY",
        "FIELD_KEYS",
    ),
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
    return defaults | given | _places(local_dir, running)


def isolated_environment(*, local_dir: Path, running: Servers) -> dict[str, str]:
    """The variables of a test run, the same on every machine; `forget_foreign` drops the others."""
    own = {"DJANGO_SETTINGS_MODULE": "cabinet.settings", "SANDBOX": "1", "DEBUG": "0"}
    return local_keys(local_dir) | own | _places(local_dir, running)


def forget_foreign() -> None:
    """Drops from our own environment what would make tests differ from machine to machine."""
    for name in _FOREIGN_TO_TESTS:
        os.environ.pop(name, None)


def _places(local_dir: Path, running: Servers) -> dict[str, str]:
    return {
        "LOCAL_DIR": str(local_dir),
        "DATABASE_URL": running.database_url,
        "REDIS_URL": running.redis_url,
    }
