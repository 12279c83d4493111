"""The whole product as real processes on a database of its own, the way `make run` starts it."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import redis
import requests

from cabinet.launcher import Servers
from cabinet.launcher.environment import child_environment
from cabinet.launcher.ports import free_port
from cabinet.launcher.processes import Supervisor
from cabinet.launcher.run import Product

PATIENCE = 60.0  # seconds; a shared machine of two cores may be busy with something else
# Journeys of two processes of one run do not meet.
REDIS_DATABASE = 9 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
LOG_TAIL = 2500  # characters of each log that a failed journey shows
T = TypeVar("T")


@dataclass(frozen=True)
class RunningProduct:
    """Where the product and its sandbox answer, and where they write."""

    port: int
    sandbox_port: int
    folder: Path

    @property
    def web(self) -> str:
        """The product, as people open it."""
        return f"http://localhost:{self.port}"

    @property
    def sandbox(self) -> str:
        """The played market and operators."""
        return f"http://localhost:{self.sandbox_port}"

    @property
    def admin_password(self) -> str:
        """What `create_admin` made."""
        return (self.folder / "admin-password").read_text(encoding="ascii").strip()

    def code_for(self, phone: str) -> str:
        """The newest code sent to the phone (E.164 without plus): with SANDBOX=1 it is in the log."""
        return eventually(lambda: self._codes(phone)[-1:], bool)[0]

    def _codes(self, phone: str) -> list[str]:
        log = (self.folder / "logs" / "web.log").read_text(encoding="utf-8", errors="replace")
        return re.findall(rf"СМС на \+{phone}: (\d{{6}})", log)

    def effects(self, operator: str, iccid: str) -> list[str]:
        """What really happened to the SIM at its operator."""
        state = self.ask("GET", f"/state/{operator}/{iccid}")
        return [effect["action"] for effect in state["effects"]]

    def sim_state(self, operator: str, iccid: str) -> str:
        """The true state of the SIM."""
        return str(self.ask("GET", f"/state/{operator}/{iccid}")["state"])

    def let_pass(self, *, days: int) -> None:
        """Moves the clock of all processes."""
        self.ask("POST", "/clock", {"advance_seconds": days * 24 * 3600})

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """A call of the sandbox."""
        answer = requests.request(method, self.sandbox + path, json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def last_words(self) -> str:
        """The ends of all logs, for the report of a failure."""
        logs = sorted((self.folder / "logs").glob("*.log"))
        return "\n".join(
            f"--- {log.name}\n{log.read_text(encoding='utf-8', errors='replace')[-LOG_TAIL:]}"
            for log in logs
        )


def eventually(
    read: Callable[[], T], good: Callable[[T], bool], *, patience: float = PATIENCE
) -> T:
    """Reads until it is good, and gives what was read last."""
    deadline = time.monotonic() + patience
    while not good(found := read()):
        assert time.monotonic() < deadline, f"still {found!r} after {patience:.0f} s"
        time.sleep(0.2)
    return found


@contextmanager
def running_product(folder: Path) -> Iterator[RunningProduct]:
    """Web, worker, beat and sandbox until the block ends; demo data are in."""
    product = RunningProduct(free_port(), free_port(), folder)
    given = os.environ | {"PORT": str(product.port), "SANDBOX_PORT": str(product.sandbox_port)}
    supervisor = Supervisor(folder)
    with _own_database(os.environ["DATABASE_URL"]) as database, _own_redis() as broker:
        env = child_environment(given, local_dir=folder, running=Servers(database, broker))
        try:
            Product(supervisor, folder, env).start()
            yield product
        finally:
            supervisor.stop()


@contextmanager
def _own_database(url: str) -> Iterator[str]:
    name = f"journey_{os.getpid()}"
    _execute(url, f'CREATE DATABASE "{name}" TEMPLATE template0')
    try:
        yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    finally:
        _execute(url, f'DROP DATABASE "{name}" WITH (FORCE)')


def _execute(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@contextmanager
def _own_redis() -> Iterator[str]:
    url = urlunsplit(urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{REDIS_DATABASE}"))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()
