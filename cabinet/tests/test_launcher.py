"""The launcher: embedded servers in odd places, killed launchers, busy ports, dying children."""

import errno
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis
from cryptography.fernet import Fernet

from cabinet.launcher import LauncherError, servers, servers_for_tests
from cabinet.launcher.embedded import supervised
from cabinet.launcher.environment import PROJECT, local_keys
from cabinet.launcher.errors import AlreadyRunning, why
from cabinet.launcher.lock import exclusive_launcher
from cabinet.launcher.pid_registry import PidRegistry
from cabinet.launcher.ports import free_port, read_port, require_free
from cabinet.launcher.preparation import is_prepared
from cabinet.launcher.processes import ProcessSpec, Supervisor
from cabinet.launcher.run import Product
from cabinet.tests.waiting import wait_until


@pytest.fixture
def local_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "касса у дома" / ".local"
    folder.mkdir(parents=True)
    yield folder
    record = folder / "postgres-location"
    if record.exists():  # as root the data may lie outside of the closed folder of the tests
        shutil.rmtree(record.read_text(encoding="utf-8"))


def query(url, sql):
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


def data_folder(local_dir):
    record = local_dir / "postgres-location"
    home = Path(record.read_text(encoding="utf-8")) if record.exists() else local_dir / "postgres"
    return home / "data"


def run_under(local_dir, *command, **variables):
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in {"DATABASE_URL", "REDIS_URL"}
    }
    return subprocess.Popen(
        [sys.executable, "-m", "cabinet.launcher", *command],
        cwd=PROJECT,
        env=env | {"LOCAL_DIR": str(local_dir)} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def sleeper(*, ignores=False):
    code = "import signal, time\n"
    code += "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if ignores else ""
    return code + "print('up', flush=True)\ntime.sleep(60)"


def make_spec(tmp_path, name="child", *, code="import time; time.sleep(60)", tier=1):
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-c", code),
        log=tmp_path / f"{name}.log",
        cwd=tmp_path,
        env=dict(os.environ),
        tier=tier,
    )


def test_servers_work_and_keep_their_data(local_dir):
    with servers(local_dir, durable=True) as first:
        query(first.database_url, "CREATE TABLE kept AS SELECT 7 AS n")
        folded = query(first.database_url, "SELECT lower('ЁЖ'), 'МАГАЗИН' ILIKE 'магазин'")
        pong = redis.Redis.from_url(first.redis_url).ping()
    with servers(local_dir, durable=True) as second:
        kept = query(second.database_url, "SELECT n FROM kept")

    assert folded == [("ёж", True)]
    assert pong is True
    assert kept == [(7,)]
    assert first.cluster == second.cluster
    assert not (data_folder(local_dir) / "postmaster.pid").exists()
    assert not (local_dir / "servers.json").exists()


def test_addresses_are_known_before_postgres_answers(local_dir):
    known = []

    def look(starting):
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(starting.database_url)
        known.append(starting)

    with exclusive_launcher(local_dir):
        supervisor = Supervisor(local_dir)
        with supervised(supervisor, local_dir, durable=False, meanwhile=look) as running:
            query(running.database_url, "SELECT 1")

    assert known == [running]


def test_web_is_not_started_early_where_nothing_is_prepared(tmp_path):
    supervisor = Supervisor(tmp_path)

    Product(supervisor, tmp_path, {}, "abc").start_web_early()

    assert not supervisor.knows("web")


def test_valkey_wants_its_password(local_dir):
    with servers(local_dir, durable=False) as running:
        keyless = redis.Redis(
            port=redis.Redis.from_url(running.redis_url).get_connection_kwargs()["port"]
        )
        with pytest.raises(redis.AuthenticationError):
            keyless.ping()
        keyless.close()


def test_second_launcher_is_refused_and_harms_nothing(local_dir):
    with servers(local_dir, durable=False) as running:
        with (
            pytest.raises(AlreadyRunning, match=rf"уже запущено \(процесс {os.getpid()}\)"),
            servers(local_dir, durable=False),
        ):
            pass

        assert query(running.database_url, "SELECT 1") == [(1,)]


def test_given_addresses_start_nothing(local_dir):
    with servers(
        local_dir, durable=True, database_url="postgres://db/x", redis_url="redis://r/0"
    ) as running:
        assert running.database_url == "postgres://db/x"
        assert running.redis_url == "redis://r/0"
        assert running.cluster == ""

    assert not (local_dir / "postgres").exists()


def test_parallel_test_runs_get_separate_folders(local_dir):
    given = {"database_url": "postgres://db/x", "redis_url": "redis://r/0"}

    with (
        servers_for_tests(local_dir, **given) as (first, _),
        servers_for_tests(local_dir, **given) as (second, _),
    ):
        assert first == local_dir / "1"
        assert second == local_dir / "2"


def test_interrupted_initdb_is_made_anew(local_dir):
    with servers(local_dir, durable=True) as first:
        pass
    (data_folder(local_dir).parent / "ready").unlink()
    (data_folder(local_dir) / "PG_VERSION").unlink()

    with servers(local_dir, durable=True) as second:
        assert query(second.database_url, "SELECT 1") == [(1,)]

    assert second.cluster != first.cluster


def test_broken_data_are_named_and_not_removed(local_dir):
    with servers(local_dir, durable=True):
        pass
    (data_folder(local_dir) / "PG_VERSION").unlink()

    with (
        pytest.raises(
            LauncherError,
            match=r"PostgreSQL не запустился, причина в .*postgres\.log; чтобы начать",
        ),
        servers(local_dir, durable=True),
    ):
        pass

    assert (data_folder(local_dir) / "base").is_dir()


def test_broken_data_of_tests_are_made_anew(local_dir):
    with servers(local_dir, durable=False):
        pass
    (data_folder(local_dir) / "PG_VERSION").unlink()

    with servers(local_dir, durable=False) as running:
        assert query(running.database_url, "SELECT 1") == [(1,)]


def test_stale_pid_file_naming_another_process_is_removed(local_dir):
    with servers(local_dir, durable=False):
        pass
    note = data_folder(local_dir) / "postmaster.pid"
    note.write_text(f"{os.getpid()}\n{data_folder(local_dir)}\n0\n5432\n", encoding="utf-8")

    with servers(local_dir, durable=False) as running:
        assert query(running.database_url, "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    "foreign", [{"LANG": "xx_YY.KOI8-R"}, {"LC_ALL": "xx_YY", "PGPORT": "1", "PGHOST": "nowhere"}]
)
def test_command_runs_in_the_environment_whatever_the_locale(local_dir, foreign):
    code = (
        "import os, psycopg2\n"
        "name = psycopg2.connect(os.environ['DATABASE_URL']).info.dbname\n"
        "print(name, os.environ['SANDBOX'])"
    )

    with run_under(local_dir, "env", "--", sys.executable, "-c", code, **foreign) as process:
        printed, errors = process.communicate(timeout=60)

    assert process.returncode == 0
    assert printed == "cabinet 1\n"
    assert errors == ""


def test_command_code_is_passed_on(local_dir):
    given = {"DATABASE_URL": "postgres://db/x", "REDIS_URL": "redis://r/0"}

    with run_under(local_dir, "env", "--", "sh", "-c", "exit 7", **given) as process:
        process.communicate(timeout=60)

    assert process.returncode == 7


def test_killed_launcher_leaves_no_process_and_loses_no_data(local_dir):
    command = ("env", "--", sys.executable, "-c", sleeper())
    with run_under(local_dir, *command) as killed:
        killed.stdout.readline()
        postmaster = psutil.Process(
            int((data_folder(local_dir) / "postmaster.pid").read_text().split()[0])
        )
        killed.kill()
    wait_until(lambda: not postmaster.is_running() or postmaster.status() == psutil.STATUS_ZOMBIE)
    sockets = Path((local_dir / "socket-location").read_text(encoding="utf-8"))

    with servers(local_dir, durable=True) as running:
        assert query(running.database_url, "SELECT 1") == [(1,)]

    assert sockets.exists() is False


def test_orphan_is_stopped_by_the_next_start(tmp_path):
    registry = PidRegistry(tmp_path)
    with subprocess.Popen([sys.executable, "-c", sleeper()], stdout=subprocess.PIPE) as orphan:
        assert orphan.stdout is not None
        orphan.stdout.readline()
        registry.add(name="orphan", pid=orphan.pid, stop_signal=signal.SIGTERM)

        swept = PidRegistry(tmp_path).sweep()

    assert swept == ["orphan"]
    assert psutil.pid_exists(orphan.pid) is False
    assert PidRegistry(tmp_path).sweep() == []


def test_other_process_with_a_recorded_pid_is_left_alone(tmp_path):
    (tmp_path / "processes.json").write_text(
        f'[{{"name": "web", "pid": {os.getpid()}, "started": 1.0, "stop_signal": 9}}]',
        encoding="utf-8",
    )

    assert PidRegistry(tmp_path).sweep() == []


def test_dead_child_is_started_again(tmp_path, capsys):
    supervisor = Supervisor(tmp_path)
    first = supervisor.start(make_spec(tmp_path))
    first.kill()
    first.wait()

    supervisor.check()
    supervisor.check()
    supervisor.stop()

    assert capsys.readouterr().err == (
        f"Процесс child завершился с кодом -9 и запущен снова, причина в {tmp_path / 'child.log'}.\n"
    )


def test_child_that_keeps_dying_stops_everything(tmp_path):
    supervisor = Supervisor(tmp_path)
    other = supervisor.start(make_spec(tmp_path, "other"))
    supervisor.start(make_spec(tmp_path, code="raise SystemExit(3)"))

    def watch():
        while True:
            supervisor.check()
            time.sleep(0.02)

    with pytest.raises(LauncherError, match="Процесс child завершился с кодом 3, раз за минуту: 3"):
        watch()
    supervisor.stop()

    assert other.returncode == -signal.SIGTERM


def test_stopping_is_bounded_and_goes_by_tiers(tmp_path):
    supervisor = Supervisor(tmp_path)
    server = supervisor.start(make_spec(tmp_path, "server", tier=0))
    stubborn = supervisor.start(make_spec(tmp_path, "stubborn", code=sleeper(ignores=True)))
    wait_until(lambda: "up" in (tmp_path / "stubborn.log").read_text())
    began = time.monotonic()

    supervisor.stop(grace=0.5)

    assert server.returncode == -signal.SIGTERM
    assert stubborn.returncode == -signal.SIGKILL
    assert time.monotonic() - began < 5


def test_busy_port_is_named_with_its_variable():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        with pytest.raises(
            LauncherError, match=rf"^Порт {port} недоступен \(уже занят\).*make run SANDBOX_PORT="
        ):
            require_free("SANDBOX_PORT", port)

    require_free("SANDBOX_PORT", free_port())


@pytest.mark.parametrize("raw", ["", "0", "65536", "-1", "web", "８０００"])
def test_invalid_port_is_refused(raw):
    with pytest.raises(LauncherError, match=r"^PORT — номер порта от 1 до 65535"):
        read_port("PORT", raw)


def test_run_with_a_busy_port_fails_with_one_sentence(local_dir):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])

        with run_under(local_dir, "run", PORT=port, SANDBOX_PORT=str(free_port())) as process:
            printed, errors = process.communicate(timeout=30)

    assert process.returncode == 1
    assert printed == ""
    assert errors.count("\n") == 1
    assert errors.startswith(f"Порт {port} недоступен (уже занят): ")


def test_run_in_an_impossible_folder_fails_with_one_sentence(tmp_path):
    (tmp_path / "file").write_text("", encoding="ascii")

    with run_under(tmp_path / "file" / "local", "run") as process:
        _, errors = process.communicate(timeout=30)

    assert process.returncode == 1
    assert errors.count("\n") == 1
    assert errors.startswith("Не получается открыть ")
    assert "(это не папка)" in errors


def test_reason_of_an_os_error_is_russian_where_known():
    known, rare = OSError(errno.ENOSPC, "No space left"), OSError(errno.EXDEV, "Cross-device link")

    assert why(known) == "на диске нет места"
    assert why(rare) == "Cross-device link"
    assert why(OSError("odd")) == "odd"


def test_keys_are_made_once_and_private(tmp_path):
    first = local_keys(tmp_path)
    again = local_keys(tmp_path)

    assert first == again
    assert len(first["SECRET_KEY"]) >= 50
    assert Fernet(first["FIELD_KEYS"]).decrypt(Fernet(first["FIELD_KEYS"]).encrypt(b"x")) == b"x"
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_database_of_others_is_always_migrated(tmp_path):
    (tmp_path / "prepared").write_text("a fingerprint of other code", encoding="ascii")

    assert is_prepared(tmp_path, cluster="") is False
    assert is_prepared(tmp_path, cluster="abc") is False
