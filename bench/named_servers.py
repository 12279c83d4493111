"""PostgreSQL and Valkey of the fault run's own, which may be stopped, frozen and killed."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psutil
import psycopg2
import redis

from cabinet.launcher.embedded import supervised
from cabinet.launcher.environment import isolated_environment
from cabinet.launcher.ledger import Ledger
from cabinet.launcher.lock import only_launcher
from cabinet.launcher.processes import Spec, Supervisor, spawn

_PATIENCE = 30.0  # seconds to the first answer after a start
_PASSING = 10.0  # seconds that a dead server's children may hold its memory


class Watched(Supervisor):
    """A supervisor that remembers how each child was started, so that it can be started again."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self.specs: dict[str, Spec] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, spec: Spec) -> subprocess.Popen[bytes]:
        """As ever, and remembered."""
        process = super().start(spec)
        self.specs[spec.name], self.processes[spec.name] = spec, process
        return process

    def again(self, name: str) -> None:
        """The same child once more, after it has ended."""
        self.start(self.specs[name])


@dataclass
class OwnServers:
    """Both servers. PostgreSQL is reached through a link, which can be led to a standby."""

    folder: Path
    link: Path
    watched: Watched
    redis_url: str = field(repr=False)

    # --- PostgreSQL -----------------------------------------------------------------------------

    def stop_postgres(self, number: int = signal.SIGINT) -> None:
        """«Fast» with SIGINT, as a crash with SIGKILL; returns when nothing of it is left."""
        process = self.watched.processes["postgres"]
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        process.wait(timeout=20)
        psutil.wait_procs(children, timeout=_PASSING)

    def start_postgres(self) -> None:
        """Start it on the same data; returns when it answers."""
        data = Path(self.watched.specs["postgres"].argv[2])
        (data / "postmaster.pid").unlink(missing_ok=True)
        self.watched.again("postgres")
        self.wait_for_postgres()

    def wait_for_postgres(self) -> None:
        """Until it takes connections."""
        ends_at = time.monotonic() + _PATIENCE
        while True:
            try:
                self.session().close()
            except psycopg2.OperationalError:
                if time.monotonic() > ends_at:
                    raise
                time.sleep(0.05)
            else:
                return

    def session(self, database: str = "postgres") -> psycopg2.extensions.connection:
        """A session of our own beside Django's, without a transaction around each statement."""
        connection = psycopg2.connect(
            host=str(self.link), port=5432, user="cabinet", dbname=database, connect_timeout=5
        )
        connection.autocommit = True
        return connection

    def tell_postgres(self, *statements: str, database: str = "postgres") -> None:
        """Statements of the server's own master."""
        with contextlib.closing(self.session(database)) as connection:
            for statement in statements:
                connection.cursor().execute(statement)

    @contextlib.contextmanager
    def asking(self, database: str = "postgres") -> Iterator[psycopg2.extensions.cursor]:
        """A cursor of such a session, closed with the block."""
        with contextlib.closing(self.session(database)) as connection:
            yield connection.cursor()

    def postmaster(self) -> str:
        """When the server was started: after a crash or a restart it is another moment."""
        with self.asking() as cursor:
            cursor.execute("SELECT pg_postmaster_start_time()::text")
            return str((cursor.fetchone() or ("",))[0])

    # --- Valkey ---------------------------------------------------------------------------------

    def stop_valkey(self) -> None:
        """It goes with all it held."""
        process = self.watched.processes["valkey"]
        process.kill()
        process.wait(timeout=10)

    def start_valkey(self) -> None:
        """On the same port, empty; returns when it answers."""
        self.watched.again("valkey")
        ends_at = time.monotonic() + _PATIENCE
        with redis.Redis.from_url(self.redis_url, socket_timeout=1) as line:
            while True:
                try:
                    line.ping()
                except redis.RedisError:
                    if time.monotonic() > ends_at:
                        raise
                    time.sleep(0.02)
                else:
                    return

    @contextlib.contextmanager
    def frozen_valkey(self) -> Iterator[None]:
        """It takes connections and never answers."""
        process = self.watched.processes["valkey"]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def own_servers(local_dir: Path) -> Iterator[OwnServers]:
    """Both servers under `local_dir`, the environment pointed at them; all is gone with the block."""
    with (
        tempfile.TemporaryDirectory(prefix="kassa-", dir="/tmp") as reachable,
        only_launcher(local_dir),
    ):
        ledger = Ledger(local_dir / "processes.json")
        ledger.sweep()
        watched = Watched(ledger)
        with supervised(watched, local_dir, durable=True) as running:
            link = Path(reachable) / "db"
            link.symlink_to(_socket_folder(running.database_url))
            os.environ.update(isolated_environment(local_dir=local_dir, running=running))
            os.environ["DATABASE_URL"] = _through(link, running.database_url)
            servers = OwnServers(local_dir, link, watched, running.redis_url)
            # What an earlier run that was cut off has left switched on.
            servers.tell_postgres("ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")
            yield servers


def _socket_folder(url: str) -> str:
    # `hostname` would be lower-case; the folder's name is not.
    return unquote(urlsplit(url).netloc.split("@")[1].rsplit(":", 1)[0])


def _through(link: Path, url: str) -> str:
    parts = urlsplit(url)
    user, port = parts.netloc.split("@")[0], parts.netloc.rsplit(":", 1)[1]
    return urlunsplit(parts._replace(netloc=f"{user}@{quote(str(link), safe='')}:{port}"))


class Standby:
    """A second PostgreSQL that follows the first without a loss, and can be promoted in its place."""

    def __init__(self, servers: OwnServers) -> None:
        self._servers = servers
        first = servers.watched.specs["postgres"]
        self._first = first
        self._data = Path(first.argv[2]).with_name("standby")
        self._sockets = Path(tempfile.mkdtemp(prefix="kassa-", dir="/tmp"))
        if first.account:
            os.chown(self._sockets, first.account.uid, first.account.gid)

    def follow(self) -> None:
        """Copy and start; from now on a commit waits for it."""
        self._copy()
        options = [
            f"unix_socket_directories={self._sockets}"
            if "unix_socket_directories" in part
            else part
            for part in self._first.argv[3:]
        ]
        argv = (self._first.argv[0], "-D", str(self._data), *options)
        spec = Spec(
            name="standby",
            argv=argv,
            log=self._first.log,
            cwd=self._first.cwd,
            env=self._first.env,
            tier=0,
            stop_signal=self._first.stop_signal,
            account=self._first.account,
        )
        self._servers.watched.start(spec)
        self._wait()
        self._servers.tell_postgres(
            "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"
        )

    def _copy(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        tool = Path(self._first.argv[0]).with_name("pg_basebackup")
        arguments = (
            *(str(tool), "-D", str(self._data), "-h", str(self._servers.link.resolve())),
            *("-p", "5432", "-U", "cabinet", "-R", "-X", "stream", "-c", "fast"),
        )
        copying = spawn(
            Spec(
                "copy",
                arguments,
                self._first.log,
                Path("/"),
                self._first.env,
                account=self._first.account,
            )
        )
        if copying.wait(timeout=60):
            raise RuntimeError(f"pg_basebackup ended with {copying.returncode}")

    def _wait(self) -> None:
        ends_at = time.monotonic() + _PATIENCE
        while not self._streams():
            if time.monotonic() > ends_at:
                raise TimeoutError("the standby does not follow")
            time.sleep(0.1)

    def _streams(self) -> bool:
        with contextlib.closing(self._servers.session()) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
            return cursor.fetchone() != (0,)

    def promote(self) -> None:
        """The first is dead: this one takes writes, and everybody is led to it."""
        fresh = self._servers.link.with_name("db.new")
        fresh.symlink_to(self._sockets)
        with contextlib.closing(self._session()) as connection:
            connection.cursor().execute("SELECT pg_promote(true, 30)")
            connection.cursor().execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.cursor().execute("SELECT pg_reload_conf()")
        fresh.replace(self._servers.link)
        watched = self._servers.watched
        watched.specs["postgres"] = watched.specs.pop("standby")
        watched.processes["postgres"] = watched.processes.pop("standby")

    def _session(self) -> psycopg2.extensions.connection:
        connection = psycopg2.connect(
            host=str(self._sockets), port=5432, user="cabinet", dbname="postgres", connect_timeout=5
        )
        connection.autocommit = True
        return connection
