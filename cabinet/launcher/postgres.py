"""A real PostgreSQL from the wheel, as a child of ours, on a private Unix socket."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2

from cabinet.launcher.errors import LauncherError
from cabinet.launcher.pid_registry import stop_process
from cabinet.launcher.postgres_home import PostgresHome, find_home
from cabinet.launcher.processes import (
    ProcessSpec,
    Supervisor,
    die_with_parent_argv,
    wait_until_ready,
)

_NAME = "cabinet"  # of the role and of the database
_PORT = 5432  # only part of the socket's name; always given, because PGPORT may differ
_PREFIX = "kassa-"
_START_TIMEOUT = 60.0  # seconds to the first answer, the recovery after a kill included
_NO_DURABILITY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
# Held by the last children of a dead server for a second or two.
_TEMPORARY_ERRORS = (b"shared memory block", b"lock file")


@dataclass(frozen=True)
class Postgres:
    """A running server: its DATABASE_URL, and the id of its data, which changes when they were made anew."""

    url: str
    cluster: str


@contextlib.contextmanager
def _socket_folder(home: PostgresHome, note: Path) -> Iterator[Path]:
    """A short private folder: a socket's path may not be longer than about a hundred bytes.

    Only its owner enters it, and that is the whole access control of the server. The note names it,
    so that the one of a killed launcher is removed by the next.
    """
    if note.exists() and (left := Path(note.read_text(encoding="utf-8"))).name.startswith(_PREFIX):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp"))
    note.write_text(str(folder), encoding="utf-8")
    if home.account:
        os.chown(folder, home.account.uid, home.account.gid)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        note.unlink(missing_ok=True)


@contextlib.contextmanager
def postgres(
    supervisor: Supervisor,
    local_dir: Path,
    *,
    durable: bool,
    meanwhile: Callable[[Postgres], None] = lambda _starting: None,
) -> Iterator[Postgres]:
    """A server that answers, with an empty or kept database. The supervisor stops it.

    `meanwhile` is called once, before the server is started.

    Where `durable` is false a crash of the machine may lose the data, and a cluster that does not
    start is made anew. Raises LauncherError naming the log where it does not start.
    """
    home = find_home(local_dir)
    log = local_dir / "logs" / "postgres.log"
    with _socket_folder(home, local_dir / "socket-location") as sockets:
        _ensure_cluster(home, log, durable=durable)
        url = f"postgres://{_NAME}@{quote(str(sockets), safe='')}:{_PORT}/{_NAME}"
        meanwhile(_postgres(url, home))
        spec = _spec(home, sockets, log, durable=durable)
        if not _start(supervisor, spec, sockets, home):
            if durable:
                raise LauncherError(
                    f"PostgreSQL не запустился, причина в {log}; "
                    f"чтобы начать с пустой базы, удалите {home.folder}."
                )
            home.mark.unlink()
            _ensure_cluster(home, log, durable=False)
            if not _start(supervisor, spec, sockets, home):
                raise LauncherError(f"PostgreSQL не запустился, причина в {log}.")
        _ensure_database(sockets)
        yield _postgres(url, home)


def _postgres(url: str, home: PostgresHome) -> Postgres:
    return Postgres(url, home.mark.read_text(encoding="ascii"))


def _environment() -> dict[str, str]:
    # The C locale exists everywhere; PG… variables of the person would change what the tools do.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "LC_", "LANG"))
    }
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _ensure_cluster(home: PostgresHome, log: Path, *, durable: bool) -> None:
    if home.mark.exists():
        return
    # Without the mark initdb was interrupted: half a cluster is worth nothing.
    shutil.rmtree(home.data, ignore_errors=True)
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    argv = (
        *(str(home.bin / "initdb"), "-D", str(home.data), f"--username={_NAME}", "--auth=trust"),
        *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        "--no-instructions",
        *(() if durable else ("--no-sync",)),
    )
    with log.open("ab") as output:
        made = subprocess.run(
            die_with_parent_argv(argv, account=home.account),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=_environment(),
            check=False,
        )
    if made.returncode:
        raise LauncherError(f"PostgreSQL не смог создать базу в {home.data}, причина в {log}.")
    home.mark.write_text(secrets.token_hex(8), encoding="ascii")


def _spec(home: PostgresHome, sockets: Path, log: Path, *, durable: bool) -> ProcessSpec:
    settings = (
        *(
            "listen_addresses=",
            f"port={_PORT}",
            f"unix_socket_directories={sockets}",
            "unix_socket_permissions=0700",
        ),
        *("max_connections=200", "timezone=UTC", "log_timezone=UTC"),
        *(() if durable else _NO_DURABILITY),
    )
    options = [part for setting in settings for part in ("-c", setting)]
    return ProcessSpec(
        name="postgres",
        argv=(str(home.bin / "postgres"), "-D", str(home.data), *options),
        log=log,
        cwd=Path("/"),
        env=_environment(),
        tier=0,
        stop_signal=signal.SIGINT,  # PostgreSQL's «fast»: ends sessions, writes everything down
        account=home.account,
    )


def _start(supervisor: Supervisor, spec: ProcessSpec, sockets: Path, home: PostgresHome) -> bool:
    for _ in range(5):
        _clear_pid_file(home)
        before = spec.log.stat().st_size if spec.log.exists() else 0
        if wait_until_ready(supervisor.start(spec), partial(_answers, sockets), _START_TIMEOUT):
            return True
        supervisor.forget(spec.name)
        with spec.log.open("rb") as log:
            log.seek(min(before, spec.log.stat().st_size))
            new_lines = log.read()
        if not any(error in new_lines for error in _TEMPORARY_ERRORS):
            return False
        time.sleep(1)
    return False


def _clear_pid_file(home: PostgresHome) -> None:
    """Ends a server that outlived its launcher, and drops a note about one that is no more.

    PostgreSQL itself only looks whether some process has that number, and in a container one always
    has.
    """
    note = home.data / "postmaster.pid"
    try:
        process = psutil.Process(int(note.read_text(encoding="utf-8").split("\n", 1)[0]))
        if str(home.data) in process.cmdline():
            stop_process(process, signal.SIGINT)
    except FileNotFoundError:
        return
    except (ValueError, psutil.Error):
        pass
    note.unlink(missing_ok=True)


def _answers(sockets: Path) -> bool:
    with contextlib.suppress(psycopg2.OperationalError):
        _connect(sockets).close()
        return True
    return False


def _connect(sockets: Path) -> psycopg2.extensions.connection:
    return psycopg2.connect(
        host=str(sockets), port=_PORT, user=_NAME, dbname="postgres", connect_timeout=5
    )


def _ensure_database(sockets: Path) -> None:
    connection = _connect(sockets)
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_NAME])
        if cursor.fetchone() is None:
            cursor.execute(f'CREATE DATABASE "{_NAME}"')
