"""The product of the journeys, and in it one merchant for each engine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from cabinet.launcher import Servers, servers_for_tests
from cabinet.launcher.environment import (
    PROJECT,
    child_environment,
    forget_foreign,
    isolated_environment,
)
from cabinet.tests.journeys.house import REDIS_DATABASE, House, living

PLAN, PLACES = "kassovye-3m", 2


@contextmanager
def house(base: Path, phones: Sequence[str]) -> Iterator[House]:
    """Servers, web, workers, sandbox; for each phone a merchant with cards. All of it ends with the block."""
    with servers_for_tests(base) as (folder, running):
        forget_foreign()
        os.environ.update(isolated_environment(local_dir=folder, running=running))
        with living(_fresh(folder / "house")) as lived:
            _cast(lived, running, phones)
            yield lived


def _fresh(folder: Path) -> Path:
    """Empty now; what the run leaves, its logs first of all, stays until the next one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _cast(lived: House, running: Servers, phones: Sequence[str]) -> None:
    people = {f"01-0000000000007{number:02}": phone for number, phone in enumerate(phones, start=1)}
    for user_id in people:
        order = {"userId": user_id, "planId": PLAN, "deviceNumber": PLACES}
        lived.ask("POST", "/market/install", order)
    pairs = [f"{user_id}={phone}" for user_id, phone in people.items()]
    subprocess.run(
        [sys.executable, "-m", "bench.browsers.cast", *pairs],
        cwd=PROJECT,
        env=child_environment(os.environ, local_dir=lived.folder, running=_own_places(running)),
        timeout=240,
        check=True,
    )


def _own_places(running: Servers) -> Servers:
    """The database and the Redis database that the house has made for itself."""
    return replace(
        running,
        database_url=_at(running.database_url, f"/journey_{os.getpid()}"),
        redis_url=_at(running.redis_url, f"/{REDIS_DATABASE}"),
    )


def _at(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=path))
