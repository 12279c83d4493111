"""The embedded servers of one LOCAL_DIR, from start to end."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cabinet.launcher.errors import AlreadyRunning, LauncherError
from cabinet.launcher.lock import exclusive_launcher
from cabinet.launcher.postgres import Postgres, postgres
from cabinet.launcher.processes import Supervisor
from cabinet.launcher.valkey import start_valkey

_SLOTS = 8


@dataclass(frozen=True)
class Servers:
    """Where the servers are. `cluster` names the embedded data, and is empty where DATABASE_URL was
    given.
    """

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    cluster: str = ""


@contextlib.contextmanager
def servers(
    local_dir: Path, *, durable: bool, database_url: str = "", redis_url: str = ""
) -> Iterator[Servers]:
    """Embedded servers until the block ends; a given address is used instead of an embedded server.

    `durable=False` is for tests: faster, and a broken cluster is made anew. Raises AlreadyRunning
    when another launcher holds the folder, LauncherError when a server does not start.
    """
    local_dir = local_dir.absolute()
    with exclusive_launcher(local_dir):
        supervisor = Supervisor(local_dir)
        with supervised(
            supervisor, local_dir, durable=durable, database_url=database_url, redis_url=redis_url
        ) as running:
            yield running


@contextlib.contextmanager
def supervised(
    supervisor: Supervisor,
    local_dir: Path,
    *,
    durable: bool,
    database_url: str = "",
    redis_url: str = "",
    meanwhile: Callable[[Servers], None] = lambda _starting: None,
) -> Iterator[Servers]:
    """The same for a launcher that holds the folder already; at the end every child of the
    supervisor is stopped.

    `meanwhile` is called once where PostgreSQL is ours: its address is known, it does not answer yet.
    """
    with contextlib.ExitStack() as stack:
        cluster = ""
        # Stopping comes first, the socket's folder is removed after it.
        stack.callback((local_dir / "servers.json").unlink, missing_ok=True)
        try:
            if not redis_url:
                redis_url = start_valkey(supervisor, local_dir)

            def begin(own: Postgres) -> None:
                meanwhile(Servers(own.url, redis_url, own.cluster))

            if not database_url:
                starting = postgres(supervisor, local_dir, durable=durable, meanwhile=begin)
                own = stack.enter_context(starting)
                database_url, cluster = own.url, own.cluster
            running = Servers(database_url, redis_url, cluster)
            _publish(local_dir, running)
            yield running
        finally:
            supervisor.stop()


def given_addresses() -> dict[str, str]:
    """DATABASE_URL and REDIS_URL of the person who starts us, as arguments of `servers`; "" where unset."""
    return {
        "database_url": os.environ.get("DATABASE_URL", ""),
        "redis_url": os.environ.get("REDIS_URL", ""),
    }


def running_servers(local_dir: Path) -> Servers | None:
    """The servers of a launcher alive in this folder, as it wrote them down."""
    try:
        return Servers(**json.loads((local_dir / "servers.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _publish(local_dir: Path, running: Servers) -> None:
    path = local_dir / "servers.json"
    path.unlink(missing_ok=True)
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
    ) as file:
        json.dump(asdict(running), file)


@contextlib.contextmanager
def servers_for_tests(
    base: Path, *, database_url: str = "", redis_url: str = ""
) -> Iterator[tuple[Path, Servers]]:
    """Servers for one run of the tests, and the folder it may write in. Runs at the same time get
    different folders.
    """
    for slot in range(1, _SLOTS + 1):
        folder = base.absolute() / str(slot)
        with contextlib.ExitStack() as stack:
            try:
                running = stack.enter_context(
                    servers(folder, durable=False, database_url=database_url, redis_url=redis_url)
                )
            except AlreadyRunning:
                continue
            for leftover in ("clock", "sandbox.json"):
                (folder / leftover).unlink(missing_ok=True)
            yield folder, running
            return
    raise LauncherError(
        f"В {base} уже идут тесты, запусков: {_SLOTS}. Подождите или укажите другой LOCAL_DIR."
    )
