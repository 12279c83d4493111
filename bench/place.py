"""A database, a Redis and a played operator of the benchmark's own; Django set up on them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2

PROJECT = Path(__file__).resolve().parents[1]
DATABASE = "kassovye_bench"


def prepare() -> None:
    """Point the environment at an empty database and another Redis database, then set Django up."""
    if os.environ.get("BENCH_PREPARED") != "1":
        _empty_database()
        _other_redis()
        os.environ["BENCH_PREPARED"] = "1"
        first = True
    else:
        first = False
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cabinet.settings")
    import django  # noqa: PLC0415 - the environment must be complete before the settings are read

    django.setup()
    _after_setup(migrate=first)


def _after_setup(*, migrate: bool) -> None:
    # Django is set up only now.
    import logging  # noqa: PLC0415

    from django.conf import settings  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415

    logging.disable(logging.WARNING)
    settings.OPERATORS = {**settings.OPERATORS, "nothing": "bench.nothing.Nothing"}
    if migrate:
        call_command("migrate", verbosity=0)


def _empty_database() -> None:
    parts = urlsplit(os.environ["DATABASE_URL"])
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0")
    connection.close()
    os.environ["DATABASE_URL"] = urlunsplit(parts._replace(path=f"/{DATABASE}"))


def _other_redis() -> None:
    parts = urlsplit(os.environ["REDIS_URL"])
    os.environ["REDIS_URL"] = urlunsplit(parts._replace(path="/8"))


def start(*arguments: str) -> "subprocess.Popen[str]":
    """A Python process of ours; the caller ends it. Returns when it says that it is ready."""
    started = _popen(arguments)
    assert started.stdout is not None
    started.stdout.readline()
    return started


def _popen(arguments: Sequence[str], **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@contextmanager
def process(*arguments: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """A Python process of ours, ended with the block; killed where it takes too long to end."""
    started = _popen(arguments, **environment)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(timeout=10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextmanager
def ready(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """The same, begun when it has said that it is ready."""
    with process(*arguments) as started:
        assert started.stdout is not None
        started.stdout.readline()
        yield started


@contextmanager
def played_operators() -> Iterator[str]:
    """The sandbox of the operators in a process of its own; gives its address."""
    with process("-m", "bench.played") as started:
        assert started.stdout is not None
        yield started.stdout.readline().strip()
