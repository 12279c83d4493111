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
from cabinet.launcher.processes import die_with_parent_argv

_COMMANDS = ("migrate", "collectstatic")
_MARK = "prepared"
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


def start_command(name: str, *arguments: str, env: Mapping[str, str], logs: Path) -> Step:
    """Starts a `manage.py` command."""
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            die_with_parent_argv((sys.executable, "manage.py", name, *arguments)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=PROJECT,
            env=dict(env),
        )
    return Step(name, log, process)


def prepare(*, env: Mapping[str, str], local_dir: Path, cluster: str) -> None:
    """Migrates and collects static files at once, unless `is_prepared`. Raises LauncherError where one fails."""
    if is_prepared(local_dir, cluster):
        return
    mark, logs = local_dir / _MARK, local_dir / "logs"
    mark.unlink(missing_ok=True)
    steps = [start_command(name, "--noinput", env=env, logs=logs) for name in _COMMANDS]
    for step in steps:
        step.finish()
    mark.write_text(_fingerprint(cluster), encoding="ascii")


def is_prepared(local_dir: Path, cluster: str) -> bool:
    """Whether embedded database and static files match this code.

    Never for a database that is not ours, whose `cluster` is empty: somebody else may have touched it.
    """
    mark = local_dir / _MARK
    return bool(cluster) and mark.exists() and mark.read_text("ascii") == _fingerprint(cluster)


def _fingerprint(cluster: str) -> str:
    digest = hashlib.sha256(f"{cluster} {sys.version}".encode())
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
