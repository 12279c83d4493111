"""PostgreSQL and Valkey of the run's own, which may be stopped, frozen and killed."""

import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psutil
import psycopg2
import redis

from bench.timing import until
from cabinet.launcher.embedded import supervised
from cabinet.launcher.environment import chosen_local_dir, isolate_environment
from cabinet.launcher.lock import exclusive_launcher
from cabinet.launcher.processes import ProcessSpec, Supervisor, spawn

if TYPE_CHECKING:
    from bench.harness import Harness

_PATIENCE = 30.0  # seconds to the first answer after a start
_PASSING = 10.0  # seconds that a dead server's children may hold its memory


class Watched(Supervisor):
    """A supervisor that remembers how each child was started, so that it can be killed and started again."""

    def __init__(self, local_dir: Path) -> None:
        super().__init__(local_dir)
        self.specs: dict[str, ProcessSpec] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, spec: ProcessSpec) -> subprocess.Popen[bytes]:
        """As ever, and remembered."""
        process = super().start(spec)
        self.specs[spec.name], self.processes[spec.name] = spec, process
        return process

    def kill(self, *names: str) -> None:
        """`kill -9` for these processes and all their children, where they live."""
        for name in names:
            process = self.processes.pop(name, None)
            if process is not None:
                self.forget(name)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=10)

    def restart(self, *names: str) -> None:
        """Kill them where they live, and start them anew."""
        for name in names:
            self.kill(name)
            self.start(self.specs[name])

    def copy(self, name: str, copy: str, **environment: str) -> None:
        """One more process like `name` under another name, with more environment."""
        spec = self.specs[name]
        argv = tuple(part.replace(f"{name}@", f"{copy}@") for part in spec.argv)
        env = {**spec.env, **environment}
        log = spec.log.with_name(f"{copy}.log")
        self.start(replace(spec, name=copy, argv=argv, env=env, log=log))

    def died(self) -> list[str]:
        """Who ended by itself; they are started again, as the launcher would."""
        names = [name for name, process in self.processes.items() if process.poll() is not None]
        self.restart(*names)
        return names


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
        self.watched.start(self.watched.specs["postgres"])
        answers = partial(_answers, lambda: self.session().close())
        until(answers, "PostgreSQL does not start", seconds=_PATIENCE, pause=0.05)

    def session(self) -> psycopg2.extensions.connection:
        """A session of our own beside Django's, without a transaction around each statement."""
        connection = psycopg2.connect(
            host=str(self.link), port=5432, user="cabinet", dbname="cabinet", connect_timeout=5
        )
        connection.autocommit = True
        return connection

    def execute(self, *statements: str) -> None:
        """Run these statements as the server's owner."""
        with contextlib.closing(self.session()) as connection:
            for statement in statements:
                connection.cursor().execute(statement)

    def value(self, question: str, *parameters: object) -> Any:
        """The first column of the first row, None without one."""
        with contextlib.closing(self.session()) as connection:
            cursor = connection.cursor()
            cursor.execute(question, parameters)
            return (cursor.fetchone() or (None,))[0]

    @contextlib.contextmanager
    def refusing_writes(
        self, events: str, condition: str, sqlstate: str, *, level: str = "STATEMENT"
    ) -> Iterator[None]:
        """Writes of commands fail with this SQLSTATE where the condition holds, as long as the block.

        `events` are those of a trigger, as «BEFORE INSERT»; the condition may use NEW with level ROW,
        and the sequence `bench_writes`.
        """
        drop = "DROP TRIGGER bench ON smartcards_command; DROP FUNCTION bench_refuse(); DROP SEQUENCE bench_writes"
        self.execute(
            "CREATE SEQUENCE bench_writes",
            f"""CREATE FUNCTION bench_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF {condition} THEN RAISE EXCEPTION 'refused by bench' USING ERRCODE = '{sqlstate}'; END IF;
                RETURN NEW; END $$""",
            f"CREATE TRIGGER bench {events} ON smartcards_command"
            f" FOR EACH {level} EXECUTE FUNCTION bench_refuse()",
        )
        try:
            yield
        finally:
            self.execute(drop)

    # --- Valkey ---------------------------------------------------------------------------------

    def stop_valkey(self) -> None:
        """It goes with all it held."""
        process = self.watched.processes["valkey"]
        process.kill()
        process.wait(timeout=10)

    def start_valkey(self) -> None:
        """On the same port, empty; returns when it answers."""
        self.watched.start(self.watched.specs["valkey"])
        with redis.Redis.from_url(self.redis_url, socket_timeout=1) as client:
            answers = partial(_answers, client.ping)
            until(answers, "Valkey does not start", seconds=_PATIENCE, pause=0.05)

    @contextlib.contextmanager
    def frozen_valkey(self) -> Iterator[None]:
        """It takes connections and never answers."""
        process = self.watched.processes["valkey"]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except (psycopg2.OperationalError, redis.RedisError):
        return False
    return True


@contextlib.contextmanager
def own_servers(local_dir: Path) -> Iterator[OwnServers]:
    """Both servers under `local_dir`, empty, the environment pointed at them; all is gone with the block."""
    with (
        tempfile.TemporaryDirectory(prefix="kassa-", dir="/tmp") as reachable,
        exclusive_launcher(local_dir),
    ):
        for earlier in ("postgres", "logs"):
            shutil.rmtree(local_dir / earlier, ignore_errors=True)
        watched = Watched(local_dir)
        with supervised(watched, local_dir, durable=True) as running:
            url = urlsplit(running.database_url)
            # `hostname` would be lower-case; the folder's name is not.
            user, folder, port = re.split("[@:]", url.netloc)
            link = Path(reachable) / "db"
            link.symlink_to(unquote(folder))
            through = url._replace(netloc=f"{user}@{quote(str(link), safe='')}:{port}")
            isolate_environment(local_dir=local_dir, running=running)
            os.environ["DATABASE_URL"] = urlunsplit(through)
            yield OwnServers(local_dir, link, watched, running.redis_url)


@contextlib.contextmanager
def running_product(part: str, **environment: str) -> Iterator["Harness"]:
    """The whole product as by `make run`, on servers of its own in LOCAL_DIR/bench/PART, and Django set up on it.

    Raises LauncherError or AssertionError where it does not start.
    """
    import django  # noqa: PLC0415 - the environment must be complete before the settings are read

    with own_servers(chosen_local_dir(os.environ) / "bench" / part) as servers:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "bench.settings", **environment}
        django.setup()
        logging.disable(logging.WARNING)
        from bench.harness import harness  # noqa: PLC0415 - models are loaded only now

        with harness(servers) as running:
            yield running


class Standby:
    """A second PostgreSQL that follows the first without a loss; it can be promoted, and replaces it then."""

    def __init__(self, servers: OwnServers) -> None:
        self._servers, self._first = servers, servers.watched.specs["postgres"]
        self._data = Path(self._first.argv[2]).with_name("standby")
        self._sockets = Path(tempfile.mkdtemp(prefix="kassa-", dir="/tmp"))
        if self._first.account:
            os.chown(self._sockets, self._first.account.uid, self._first.account.gid)

    def follow(self) -> None:
        """Copy and start; from now on a commit waits for it. Raises RuntimeError or AssertionError."""
        shutil.rmtree(self._data, ignore_errors=True)
        tool = Path(self._first.argv[0]).with_name("pg_basebackup")
        old = str(self._servers.link.readlink())
        connection = f"host={old} port=5432 user=cabinet"
        options = ("-D", str(self._data), "-d", connection, "-R", "-X", "stream", "-c", "fast")
        copy = replace(self._first, name="copy", argv=(str(tool), *options), stdin=b"")
        copying = spawn(replace(copy, cwd=Path("/")))
        if copying.wait(timeout=60):
            raise RuntimeError(f"pg_basebackup ended with {copying.returncode}")
        moved = [part.replace(old, str(self._sockets)) for part in self._first.argv[3:]]
        argv = (self._first.argv[0], "-D", str(self._data), *moved)
        self._servers.watched.start(replace(self._first, name="standby", argv=argv, tier=0))
        follows = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"
        until(lambda: self._servers.value(follows), "the standby does not follow", seconds=30)
        self._servers.execute(
            "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"
        )

    def promote(self) -> None:
        """The first is dead: this one takes writes, and everybody is led to it."""
        fresh = self._servers.link.with_name("db.new")
        fresh.symlink_to(self._sockets)
        fresh.replace(self._servers.link)
        self._servers.execute(
            "SELECT pg_promote(true, 30)",
            "ALTER SYSTEM RESET synchronous_standby_names",
            "SELECT pg_reload_conf()",
        )
        watched = self._servers.watched
        watched.specs["postgres"] = watched.specs.pop("standby")
        watched.processes["postgres"] = watched.processes.pop("standby")
