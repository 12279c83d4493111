"""Starts the servers before Django's settings are read, and gives tests settings of their own."""

import atexit
import os
from contextlib import ExitStack

import pytest
from django.conf import settings

from cabinet.launcher import servers_for_tests
from cabinet.launcher.environment import chosen_local_dir, forget_foreign, isolated_environment

_running = ExitStack()
# Beside pytest_unconfigure, which a broken start never reaches; closing twice is harmless.
atexit.register(_running.close)


def _start_servers() -> None:
    folder, running = _running.enter_context(
        servers_for_tests(
            chosen_local_dir(os.environ) / "test",
            database_url=os.environ.get("DATABASE_URL", ""),
            redis_url=os.environ.get("REDIS_URL", ""),
        )
    )
    forget_foreign()
    os.environ.update(isolated_environment(local_dir=folder, running=running))


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
    if os.environ.get("REQUIRE_BROWSER") == "1" and not session.config.stash.get(_journeys, 0):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        session.config.get_terminal_writer().line("REQUIRE_BROWSER=1, and no browser journey ran.")


_journeys = pytest.StashKey[int]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    """Counts the journeys that came to their end; a skipped one does not count."""
    result = yield
    if item.get_closest_marker("journey"):
        item.config.stash[_journeys] = item.config.stash.get(_journeys, 0) + 1
    return result
