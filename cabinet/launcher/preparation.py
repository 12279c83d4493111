"""Migrations, static files and demo data: done before the first page, and not again while nothing
has changed.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cabinet.launcher.environment import PROJECT
from cabinet.launcher.errors import LauncherError
from cabinet.launcher.processes import tethered

_APPS = ("cabinet", "subscriptions", "operators", "smartcards")


@dataclass
class Step:
    """One `manage.py` command under way. What it prints is kept, what it logs goes to the log."""

    name: str
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    def finish(self) -> str:
        """Waits for the end and returns what was printed. Raises LauncherError naming the log where
        it failed.
        """
        printed, _ = self.process.communicate()
        if self.process.returncode:
            raise LauncherError(
                f"Команда «manage.py {self.name}» не выполнена, причина в {self.log}."
            )
        return printed.decode("utf-8", "replace")


def begin(name: str, *arguments: str, env: Mapping[str, str], logs: Path) -> Step:
    """Starts a `manage.py` command."""
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            tethered((sys.executable, "manage.py", name, *arguments)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=PROJECT,
            env=dict(env),
        )
    return Step(name, log, process)


class Preparation:
    """Whether the embedded database and the static files already match this code."""

    def __init__(self, *, local_dir: Path, cluster: str) -> None:
        self._mark = local_dir / "prepared"
        self._cluster = cluster

    def needed(self) -> bool:
        """Always for a database that is not ours: somebody else may have touched it."""
        return (
            not self._cluster
            or not self._mark.exists()
            or self._mark.read_text("ascii") != self._fingerprint()
        )

    def run(self, *, env: Mapping[str, str], logs: Path) -> None:
        """Migrates and collects static files at once. Raises LauncherError where one fails."""
        self._mark.unlink(missing_ok=True)
        steps = [
            begin("migrate", "--noinput", env=env, logs=logs),
            begin("collectstatic", "--noinput", env=env, logs=logs),
        ]
        for step in steps:
            step.finish()
        self._mark.write_text(self._fingerprint(), encoding="ascii")

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self._cluster} {sys.version}".encode())
        for path in sorted(_watched()):
            status = path.stat()
            digest.update(os.fsencode(path) + f" {status.st_size} {status.st_mtime_ns}".encode())
        return digest.hexdigest()


def _watched() -> Iterator[Path]:
    yield from PROJECT.glob("requirements*.txt")
    yield PROJECT / "cabinet" / "settings.py"
    yield from (path for path in (PROJECT / "static").rglob("*") if path.is_file())
    for app in _APPS:
        yield from (PROJECT / app).rglob("migrations/*.py")
