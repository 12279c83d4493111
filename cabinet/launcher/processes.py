"""Starts children, keeps them alive, stops them in order."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cabinet.launcher.errors import LauncherError
from cabinet.launcher.pid_registry import PidRegistry

_DIE_WITH_PARENT = Path(__file__).with_name("die_with_parent.py")
_DEATHS = 3
_WITHIN = 60.0  # seconds
_LOG_LIMIT = 10 * 1024 * 1024  # bytes; a longer log is set aside at the next start


@dataclass(frozen=True)
class Account:
    """A user of this machine whom a child runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class ProcessSpec:
    """How a child is started and stopped. Higher tiers stop first."""

    name: str
    argv: tuple[str, ...]
    log: Path
    cwd: Path
    env: Mapping[str, str] = field(repr=False)
    tier: int = 1
    stop_signal: int = signal.SIGTERM
    account: Account | None = None
    stdin: bytes = field(default=b"", repr=False)


def die_with_parent_argv(
    argv: tuple[str, ...], *, stop_signal: int = signal.SIGTERM, account: Account | None = None
) -> list[str]:
    """The command that becomes `argv` and gets `stop_signal` when this process dies.

    Start it from the main thread: the kernel takes the death of the starting thread for that of the
    parent.
    """
    user = f"{account.uid}:{account.gid}" if account else "-"
    wrapper = [
        sys.executable,
        "-I",
        "-S",
        str(_DIE_WITH_PARENT),
        str(os.getpid()),
        str(int(stop_signal)),
        user,
    ]
    return [*wrapper, "--", *argv]


def spawn(spec: ProcessSpec) -> subprocess.Popen[bytes]:
    """Starts the child in a session of its own, so that Ctrl-C reaches the launcher only."""
    spec.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with spec.log.open("ab") as log:
        process = subprocess.Popen(
            die_with_parent_argv(spec.argv, stop_signal=spec.stop_signal, account=spec.account),
            stdin=subprocess.PIPE if spec.stdin else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=spec.cwd,
            env=dict(spec.env),
            start_new_session=True,
        )
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(spec.stdin)
            process.stdin.close()
    return process


def wait_until_ready(
    process: subprocess.Popen[bytes], answers: Callable[[], bool], seconds: float
) -> bool:
    """Whether the child answers in time; one that does not is killed."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        if answers():
            return True
        time.sleep(0.03)
    process.kill()
    process.wait()
    return False


@dataclass
class _Child:
    spec: ProcessSpec
    process: subprocess.Popen[bytes]
    deaths: list[float] = field(default_factory=list)


class Supervisor:
    """The children of one launcher, which holds the lock of `local_dir`."""

    def __init__(self, local_dir: Path) -> None:
        self._registry = PidRegistry(local_dir)
        self._children: dict[str, _Child] = {}

    def start(self, spec: ProcessSpec) -> subprocess.Popen[bytes]:
        """Starts and remembers a child."""
        _rotate(spec.log)
        child = _Child(spec, self._launch(spec))
        self._children[spec.name] = child
        return child.process

    def knows(self, name: str) -> bool:
        """Whether a child of that name was started."""
        return name in self._children

    def forget(self, name: str) -> None:
        """A child that ended and shall not be started again."""
        self._children.pop(name)

    def check(self) -> None:
        """Starts again whoever died. Raises LauncherError when somebody dies for the third time in
        a minute.
        """
        for child in self._children.values():
            if child.process.poll() is not None:
                self._restart(child, now=time.monotonic())

    def stop(self, *, grace: float = 8.0) -> None:
        """Stops all, tier by tier; after `grace` seconds a tier is killed."""
        for tier in sorted({child.spec.tier for child in self._children.values()}, reverse=True):
            _stop([child for child in self._children.values() if child.spec.tier == tier], grace)
        self._children.clear()

    def _launch(self, spec: ProcessSpec) -> subprocess.Popen[bytes]:
        process = spawn(spec)
        self._registry.add(name=spec.name, pid=process.pid, stop_signal=spec.stop_signal)
        return process

    def _restart(self, child: _Child, *, now: float) -> None:
        child.deaths = [death for death in child.deaths if now - death < _WITHIN] + [now]
        ending = f"Процесс {child.spec.name} завершился с кодом {child.process.returncode}"
        if len(child.deaths) >= _DEATHS:
            raise LauncherError(
                f"{ending}, раз за минуту: {_DEATHS}. Всё остановлено, причина в {child.spec.log}."
            )
        print(f"{ending} и запущен снова, причина в {child.spec.log}.", file=sys.stderr, flush=True)
        _kill_group(child.process.pid)
        # What the dead one held (a port, shared memory) is let go within a second or two.
        time.sleep(len(child.deaths) - 1)
        child.process = self._launch(child.spec)


def _stop(children: list[_Child], grace: float) -> None:
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(child.spec.stop_signal)
    deadline = time.monotonic() + grace
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(max(0.0, deadline - time.monotonic()))
        _kill_group(child.process.pid)
        child.process.wait()


def _kill_group(leader: int) -> None:
    # The whole group: a killed head may leave its own children behind.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_suffix(".1.log"))
