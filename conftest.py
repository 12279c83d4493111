"""Starts the servers before Django's settings are read, and gives tests settings of their own."""

import atexit
import os
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import pytest
from django.conf import settings

from cabinet.launcher import servers_for_tests
from cabinet.launcher.embedded import given_addresses
from cabinet.launcher.environment import chosen_local_dir, isolate_environment

# The table of the operators' contract at the end of a run.
pytest_plugins = ["operators.tests.contract_table"]
# A machine that is busy with other things says nothing about the code: no limits by the clock.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")
_running = ExitStack()
# The name of this process among several of one run («gw0»); empty in the first.
_process = os.environ.get("PYTEST_XDIST_WORKER", "")
# Beside pytest_unconfigure, which a broken start never reaches; closing twice is harmless.
atexit.register(_running.close)


def _start_servers() -> None:
    """One pair of servers for a run. Each of several processes of it has a database, a Redis database
    and a folder of its own.
    """
    if _process:
        _move_in()
        return
    folder, running = _running.enter_context(
        servers_for_tests(chosen_local_dir(os.environ) / "test", **given_addresses())
    )
    isolate_environment(local_dir=folder, running=running)


def _move_in() -> None:
    folder = Path(os.environ["LOCAL_DIR"]) / _process
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "clock").unlink(missing_ok=True)
    number = int(_process.removeprefix("gw")) + 1
    os.environ["LOCAL_DIR"] = str(folder)
    os.environ["REDIS_URL"] = urlunsplit(
        urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{number}")
    )


# At import: pytest-django reads the settings as soon as this file is read.
_start_servers()


def pytest_configure() -> None:
    """What makes tests quick and independent of one another; the product's own code is the same."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.CELERY_BROKER_URL = "memory://"
    # Without a sandbox beside them, tests read SMS in the log.
    settings.SMS_URL = settings.EMAIL_URL = "console:"
    # The settings of a second process were read from its parent's environment, before this file.
    settings.REDIS_URL = os.environ["REDIS_URL"]
    settings.LOCAL_DIR = Path(os.environ["LOCAL_DIR"])
    settings.CLOCK_FILE = settings.LOCAL_DIR / "clock"
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
