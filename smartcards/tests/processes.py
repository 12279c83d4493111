"""Real worker and beat processes on the test's own database, killed and started at will."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from celery import Celery
from django.db import connection

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE = 40.0


def environment() -> dict[str, str]:
    """The environment of a process that works on the database of this test."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    database = urlunsplit(parts._replace(path="/" + connection.settings_dict["NAME"]))
    return {**os.environ, "DATABASE_URL": database, "PYTHONUNBUFFERED": "1"}


@contextmanager
def celery(*arguments: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A Celery process with its children in a process group of its own; gone at the end."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "cabinet", *arguments],
            cwd=PROJECT,
            env=environment(),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        kill(process)


@contextmanager
def worker(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker of all queues; as in production, threads wait for operators."""
    arguments = (
        "worker",
        "-Q",
        "default,operators,reconciliation",
        "-P",
        "threads",
        "-c",
        "6",
        "-l",
        "INFO",
        "--without-gossip",
        "--without-mingle",
    )
    with celery(*arguments, log=folder / "worker.log") as process:
        yield process


@contextmanager
def beat(folder: Path, name: str = "beat") -> Iterator["subprocess.Popen[bytes]"]:
    """A beat with a schedule file of its own."""
    with celery(
        "beat", "-s", str(folder / name), "-l", "INFO", log=folder / f"{name}.log"
    ) as process:
        yield process


def enqueue(task: str, **arguments: object) -> None:
    """Wake a real worker, as `cabinet.tasks.task_queue` does outside of tests."""
    with Celery(broker=os.environ["REDIS_URL"]) as bell:
        bell.send_task(task, kwargs=arguments, ignore_result=True, queue="default")


def kill(process: "subprocess.Popen[bytes]") -> None:
    """`kill -9` for the process and all its children."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait(timeout=10)


def eventually(happened: Callable[[], bool], *, patience: float = PATIENCE) -> bool:
    """Wait until it is so; False where the patience ran out."""
    ends_at = time.monotonic() + patience
    while time.monotonic() < ends_at:
        if happened():
            return True
        time.sleep(0.1)
    return False
