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

from cabinet.launcher.embedded import supervised
from cabinet.launcher.environment import PROJECT, child_environment, chosen_local_dir
from cabinet.launcher.errors import LauncherError
from cabinet.launcher.ledger import Ledger
from cabinet.launcher.lock import only_launcher
from cabinet.launcher.ports import read_port, require_free
from cabinet.launcher.preparation import Preparation, begin
from cabinet.launcher.processes import Spec, Supervisor

_PATIENCE = 90.0  # seconds to the first page
_LOOK = 0.2  # seconds between two looks at the children
# Without the query string: the entry from the market carries a token there.
_ACCESS_LINE = '%(h)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s %(D)sus'
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run() -> None:
    """Starts all, prints the addresses, watches until a signal, stops all. Raises LauncherError
    where that fails.
    """
    for number in _SIGNALS:
        signal.signal(number, _stop_once)
    local_dir = chosen_local_dir(os.environ)
    with only_launcher(local_dir):
        ledger = Ledger(local_dir / "processes.json")
        ledger.sweep()
        _require_ports()
        supervisor = Supervisor(ledger)
        with supervised(
            supervisor,
            local_dir,
            durable=True,
            database_url=os.environ.get("DATABASE_URL", ""),
            redis_url=os.environ.get("REDIS_URL", ""),
        ) as running:
            env = child_environment(os.environ, local_dir=local_dir, running=running)
            product = Product(supervisor, local_dir, env)
            product.start(Preparation(local_dir=local_dir, cluster=running.cluster))
            product.watch()


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
    """Our own processes: web, workers, beat, sandbox."""

    supervisor: Supervisor
    local_dir: Path
    env: Mapping[str, str] = field(repr=False)

    @property
    def logs(self) -> Path:
        return self.local_dir / "logs"

    @property
    def played(self) -> bool:
        """Whether the sandbox and the demo data belong to this start."""
        return self.env["SANDBOX"].strip().lower() in {"1", "true", "yes", "on"}

    def start(self, preparation: Preparation) -> None:
        """The web first, so that the first page comes early; returns when it answers and all others
        are started.
        """
        if preparation.needed():
            preparation.run(env=self.env, logs=self.logs)
        self.supervisor.start(self._web())
        demo = begin("seed_demo", env=self.env, logs=self.logs) if self.played else None
        if self.played:
            self.supervisor.start(self._spec("sandbox", "manage.py", "sandbox"))
        self._wait_for_first_page()
        how_to_sign_in = demo.finish() if demo else ""
        for worker in self._workers():
            self.supervisor.start(worker)
        self.supervisor.start(self._beat())
        self._tell(how_to_sign_in)

    def watch(self) -> None:
        """Restarts who dies, for ever. Raises LauncherError when somebody dies again and again."""
        while True:
            self.supervisor.check()
            time.sleep(_LOOK)

    def _spec(self, name: str, *arguments: str) -> Spec:
        return Spec(
            name=name,
            argv=(sys.executable, *arguments),
            log=self.logs / f"{name}.log",
            cwd=PROJECT,
            env=self.env,
        )

    def _web(self) -> Spec:
        address = f"127.0.0.1:{self.env['PORT']}"
        threads = ("--workers", "2", "--worker-class", "gthread", "--threads", "4", "--preload")
        access = ("--access-logfile", "-", "--access-logformat", _ACCESS_LINE)
        return self._spec(
            *("web", "-m", "gunicorn", "cabinet.wsgi", "--bind", address, *threads, *access),
            *("--graceful-timeout", "5", "--no-control-socket"),
        )

    def _workers(self) -> tuple[Spec, ...]:
        """One for our own work; one whose threads wait for operators, so that a slow one delays nobody;
        one for clicks, which mass work would keep waiting in that process.
        """
        threads = ("--pool", "threads", "--concurrency", "16")
        return (
            self._worker("worker", "--queues", "default", "--concurrency", "2"),
            self._worker("operators", "--queues", "operators", *threads),
            self._worker("clicks", "--queues", "clicks", *threads),
        )

    def _worker(self, name: str, *arguments: str) -> Spec:
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        celery = ("-m", "celery", "-A", "cabinet", "worker", "--loglevel", "INFO")
        return self._spec(name, *celery, "--hostname", f"{name}@%h", *arguments, *quiet)

    def _beat(self) -> Spec:
        return self._spec(
            "beat", "-m", "celery", "-A", "cabinet", "beat", "--loglevel", "INFO", "--pidfile", ""
        )

    def _wait_for_first_page(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._alive():
            if time.monotonic() > deadline:
                raise LauncherError(
                    f"Первая страница не открылась за {_PATIENCE:.0f} с, причина в {self.logs / 'web.log'}."
                )
            self.supervisor.check()
            time.sleep(0.05)

    def _alive(self) -> bool:
        line = http.client.HTTPConnection("127.0.0.1", int(self.env["PORT"]), timeout=5)
        try:
            line.request("GET", "/health/live", headers={"Host": urlsplit(self._public_url).netloc})
            return line.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            line.close()

    @property
    def _public_url(self) -> str:
        return self.env.get("PUBLIC_URL", f"http://localhost:{self.env['PORT']}").rstrip("/")

    def _tell(self, how_to_sign_in: str) -> None:
        lines = [
            "",
            "«Кассовые сервисы» работают.",
            f"  Кабинет:    {self._public_url}/",
            f"  Сотрудники: {self._public_url}/admin/",
            *(
                [f"  Песочница:  http://localhost:{self.env['SANDBOX_PORT']}/"]
                if self.played
                else []
            ),
            *([how_to_sign_in.strip("\n")] if how_to_sign_in.strip() else []),
            f"  Журналы:    {self.logs}",
            "  Остановить: Ctrl-C",
        ]
        print("\n".join(lines), flush=True)
