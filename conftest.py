"""Starts the servers before Django's settings are read, and gives tests settings of their own."""

import atexit
import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.conf import settings

from cabinet.launcher import servers_for_tests
from cabinet.launcher.environment import chosen_local_dir, forget_foreign, isolated_environment

_running = ExitStack()
_BASE = "KASSOVYE_TESTS_BASE"
# Beside pytest_unconfigure, which a broken start never reaches; closing twice is harmless.
atexit.register(_running.close)


def _start_servers() -> None:
    """Servers of this process's own: each of several processes of one run has its own, too."""
    if "PYTEST_XDIST_WORKER" in os.environ and _BASE in os.environ:
        # What the first process has started is its own; only what the person gave is shared.
        os.environ.pop("DATABASE_URL", None)
        os.environ.pop("REDIS_URL", None)
    base = os.environ.get(_BASE) or str(chosen_local_dir(os.environ) / "test")
    given = {name: os.environ.get(name, "") for name in ("DATABASE_URL", "REDIS_URL")}
    folder, running = _running.enter_context(
        servers_for_tests(
            Path(base), database_url=given["DATABASE_URL"], redis_url=given["REDIS_URL"]
        )
    )
    forget_foreign()
    os.environ.update(isolated_environment(local_dir=folder, running=running))
    if not any(given.values()):
        os.environ[_BASE] = base


# At import: pytest-django reads the settings as soon as this file is read.
_start_servers()


def pytest_configure() -> None:
    """What makes tests quick and independent of one another; the product's own code is the same."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.CELERY_BROKER_URL = "memory://"
    # WhiteNoise warns where the folder is missing, and warnings are errors.
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    settings.STORAGES = settings.STORAGES | {
        # The manifest is made by collectstatic, which tests do without.
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }


def pytest_unconfigure() -> None:
    _running.close()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With REQUIRE_BROWSER=1 a run without a single browser journey is a failed run."""
    is_helper = hasattr(session.config, "workerinput")
    if os.environ.get("REQUIRE_BROWSER") == "1" and not is_helper and not _journeys:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        session.config.get_terminal_writer().line("REQUIRE_BROWSER=1, and no browser journey ran.")


_journeys: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes the journeys that came to their end, in whichever process; a skipped one does not count."""
    if report.when == "call" and report.passed and "journey" in report.keywords:
        _journeys.append(report.nodeid)
