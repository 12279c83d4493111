"""What `make run` does: everything from nothing, until Ctrl-C."""

import http.client
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import urlsplit

from cabinet.launcher.embedded import Servers, given_addresses, supervised
from cabinet.launcher.environment import PROJECT, child_environment, chosen_local_dir
from cabinet.launcher.errors import LauncherError
from cabinet.launcher.lock import exclusive_launcher
from cabinet.launcher.ports import read_port, require_free
from cabinet.launcher.preparation import Step, is_prepared, prepare, start_command
from cabinet.launcher.processes import ProcessSpec, Supervisor

_START_TIMEOUT = 90.0  # seconds to the first answer
_TITLES = {"web": "Первая страница не открылась", "sandbox": "Песочница не ответила"}
_POLL_INTERVAL = 0.2  # seconds
# Without the query string: the entry from the market carries a token there.
_ACCESS_LOG_FORMAT = '%(h)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s %(D)sus'
# With a deadline for reading a request.
_WORKER_CLASS = "cabinet.web_worker.DeadlineThreadWorker"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run() -> None:
    """Starts all, prints the addresses, watches until a signal, stops all. Raises LauncherError
    where that fails.
    """
    for number in _SIGNALS:
        signal.signal(number, _stop_once)
    local_dir = chosen_local_dir(os.environ)
    with exclusive_launcher(local_dir):
        _require_ports()
        supervisor = Supervisor(local_dir)

        def product(running: Servers) -> Product:
            env = child_environment(os.environ, local_dir=local_dir, running=running)
            return Product(supervisor, local_dir, env, running.cluster)

        with supervised(
            supervisor,
            local_dir,
            durable=True,
            meanwhile=lambda starting: product(starting).start_web_early(),
            **given_addresses(),
        ) as running:
            started = product(running)
            started.start()
            started.watch()


def _stop_once(_number: int, _frame: FrameType | None) -> NoReturn:
    # A second Ctrl-C must not interrupt the stopping: it is bounded anyway.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _require_ports() -> None:
    ports = {
        name: read_port(name, os.environ.get(name) or default)
        for name, default in (("PORT", "8000"), ("SANDBOX_PORT", "8100"))
    }
    if ports["PORT"] == ports["SANDBOX_PORT"]:
        raise LauncherError("PORT и SANDBOX_PORT одинаковы: выберите два разных порта.")
    for name, port in ports.items():
        require_free(name, port)


@dataclass(frozen=True)
class Product:
    """Our own processes: web, workers, beat, sandbox. `cluster` is the id of the embedded data, if any."""

    supervisor: Supervisor
    local_dir: Path
    env: Mapping[str, str] = field(repr=False)
    cluster: str = ""

    @property
    def logs(self) -> Path:
        """Folder with one log for each process."""
        return self.local_dir / "logs"

    @property
    def with_sandbox(self) -> bool:
        """Whether the sandbox and the demo data belong to this start."""
        return self.env["SANDBOX"].strip().lower() in {"1", "true", "yes", "on"}

    def start_web_early(self) -> None:
        """The web while PostgreSQL still starts, where nothing has to be prepared: it takes longer to load
        than PostgreSQL to answer.
        """
        if is_prepared(self.local_dir, self.cluster):
            self.supervisor.start(self._web())

    def start(self) -> None:
        """The web first, so that the first page comes early even on two cores; returns when web and sandbox
        answer and all others are started.
        """
        prepared = self.supervisor.knows("web")
        if not prepared:
            prepare(env=self.env, local_dir=self.local_dir, cluster=self.cluster)
            self.supervisor.start(self._web())
        # The demo data of an earlier start are there already: the page does not share the cores with them.
        demo = None if prepared else self._start_demo()
        self._wait_for("web", "PORT", "/health/live")
        demo = demo or self._start_demo()
        if self.with_sandbox:
            self.supervisor.start(self._spec("sandbox", "manage.py", "sandbox"))
        how_to_sign_in = demo.finish() if demo else ""
        if self.with_sandbox:
            self._wait_for("sandbox", "SANDBOX_PORT", "/")
        for worker in self._workers():
            self.supervisor.start(worker)
        self.supervisor.start(self._beat())
        self._print_addresses(how_to_sign_in)

    def _start_demo(self) -> Step | None:
        if not self.with_sandbox:
            return None
        return start_command("seed_demo", env=self.env, logs=self.logs)

    def watch(self) -> None:
        """Restarts who dies, for ever. Raises LauncherError when somebody dies again and again."""
        while True:
            self.supervisor.check()
            time.sleep(_POLL_INTERVAL)

    def _spec(self, name: str, *arguments: str) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            argv=(sys.executable, *arguments),
            log=self.logs / f"{name}.log",
            cwd=PROJECT,
            env=self.env,
        )

    def _web(self) -> ProcessSpec:
        address = f"127.0.0.1:{self.env['PORT']}"
        threads = ("--workers", "2", "--worker-class", _WORKER_CLASS, "--threads", "4", "--preload")
        access = (
            *("--access-logfile", "-", "--access-logformat", _ACCESS_LOG_FORMAT),
            *("--logger-class", "cabinet.logs.access.AccessLogger"),
        )
        return self._spec(
            *("web", "-m", "gunicorn", "cabinet.wsgi", "--bind", address, *threads, *access),
            *("--graceful-timeout", "5", "--no-control-socket"),
        )

    def _workers(self) -> tuple[ProcessSpec, ...]:
        """One for our own work; one that compares cards, so that a chain delays nobody; one whose threads
        wait for operators, so that a slow one delays nobody.
        """
        threads = ("--pool", "threads", "--concurrency", "16")
        return (
            self._worker("worker", "--queues", "default", "--concurrency", "2"),
            self._worker("reconciliation", "--queues", "reconciliation", "--concurrency", "2"),
            self._worker("operators", "--queues", "operators", *threads),
        )

    def _worker(self, name: str, *arguments: str) -> ProcessSpec:
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        celery = ("-m", "celery", "-A", "cabinet", "worker", "--loglevel", "INFO")
        return self._spec(name, *celery, "--hostname", f"{name}@%h", *arguments, *quiet)

    def _beat(self) -> ProcessSpec:
        return self._spec(
            "beat", "-m", "celery", "-A", "cabinet", "beat", "--loglevel", "INFO", "--pidfile", ""
        )

    def _wait_for(self, name: str, port: str, path: str) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while not self._answers(int(self.env[port]), path):
            if time.monotonic() > deadline:
                raise LauncherError(
                    f"{_TITLES[name]} за {_START_TIMEOUT:.0f} с, причина в {self.logs / name}.log."
                )
            self.supervisor.check()
            time.sleep(0.05)

    def _answers(self, port: int, path: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path, headers={"Host": urlsplit(self._public_url).netloc})
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @property
    def _public_url(self) -> str:
        return self.env.get("PUBLIC_URL", f"http://localhost:{self.env['PORT']}").rstrip("/")

    def _print_addresses(self, how_to_sign_in: str) -> None:
        lines = [
            "",
            "«Кассовые сервисы» работают.",
            f"  Кабинет:    {self._public_url}/",
            f"  Сотрудники: {self._public_url}/admin/",
            *(
                [f"  Песочница:  http://localhost:{self.env['SANDBOX_PORT']}/"]
                if self.with_sandbox
                else []
            ),
            *([how_to_sign_in.strip("\n")] if how_to_sign_in.strip() else []),
            f"  Журналы:    {self.logs}",
            "  Остановить: Ctrl-C",
        ]
        print("\n".join(lines), flush=True)
