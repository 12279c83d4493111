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
from cabinet.launcher.environment import PROJECT
from cabinet.launcher.errors import AlreadyRunning, why
from cabinet.launcher.keys import local_keys
from cabinet.launcher.ledger import Ledger
from cabinet.launcher.ports import free_port, read_port, require_free
from cabinet.launcher.preparation import Preparation
from cabinet.launcher.processes import Spec, Supervisor


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
    return Spec(
        name=name,
        argv=(sys.executable, "-c", code),
        log=tmp_path / f"{name}.log",
        cwd=tmp_path,
        env=dict(os.environ),
        tier=tier,
    )


def wait_until(true, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def test_servers_work_and_keep_their_data(local_dir):
    with servers(local_dir, durable=True) as first:
        query(first.database_url, "CREATE TABLE kept AS SELECT 7 AS n")
        letters = query(first.database_url, "SELECT lower('ЁЖ'), 'МАГАЗИН' ILIKE 'магазин'")
        pong = redis.Redis.from_url(first.redis_url).ping()
    with servers(local_dir, durable=True) as second:
        kept = query(second.database_url, "SELECT n FROM kept")

    assert (letters, pong, kept) == ([("ёж", True)], True, [(7,)])
    assert first.cluster == second.cluster
    assert not (data_folder(local_dir) / "postmaster.pid").exists()
    assert not (local_dir / "servers.json").exists()


def test_valkey_wants_its_password(local_dir):
    with servers(local_dir, durable=False) as running:
        keyless = redis.Redis(
            port=redis.Redis.from_url(running.redis_url).get_connection_kwargs()["port"]
        )
        with pytest.raises(redis.AuthenticationError):
            keyless.ping()
        keyless.close()


def test_second_launcher_is_told_and_harms_nothing(local_dir):
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
        assert (running.database_url, running.redis_url, running.cluster) == (
            "postgres://db/x",
            "redis://r/0",
            "",
        )

    assert not (local_dir / "postgres").exists()


def test_test_runs_at_the_same_time_get_folders_of_their_own(local_dir):
    given = {"database_url": "postgres://db/x", "redis_url": "redis://r/0"}

    with (
        servers_for_tests(local_dir, **given) as (first, _),
        servers_for_tests(local_dir, **given) as (second, _),
    ):
        assert (first, second) == (local_dir / "1", local_dir / "2")


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


def test_stale_note_with_the_number_of_a_living_stranger_does_no_harm(local_dir):
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

    assert (process.returncode, printed, errors) == (0, "cabinet 1\n", "")


def test_command_code_is_passed_on(local_dir):
    given = {"DATABASE_URL": "postgres://db/x", "REDIS_URL": "redis://r/0"}

    with run_under(local_dir, "env", "--", "sh", "-c", "exit 7", **given) as process:
        process.communicate(timeout=60)

    assert process.returncode == 7


def test_killed_launcher_leaves_nothing_behind_and_no_data_are_lost(local_dir):
    command = ("env", "--", sys.executable, "-c", sleeper())
    with run_under(local_dir, *command) as killed:
        killed.stdout.readline()
        postmaster = psutil.Process(
            int((data_folder(local_dir) / "postmaster.pid").read_text().split()[0])
        )
        killed.kill()
    ended = wait_until(
        lambda: not postmaster.is_running() or postmaster.status() == psutil.STATUS_ZOMBIE
    )
    sockets = Path((local_dir / "socket-location").read_text(encoding="utf-8"))

    with servers(local_dir, durable=True) as running:
        assert query(running.database_url, "SELECT 1") == [(1,)]

    assert (ended, sockets.exists()) == (True, False)


def test_orphan_is_stopped_by_the_next_start(tmp_path):
    ledger = Ledger(tmp_path / "processes.json")
    with subprocess.Popen([sys.executable, "-c", sleeper()], stdout=subprocess.PIPE) as orphan:
        assert orphan.stdout is not None
        orphan.stdout.readline()
        ledger.add(name="orphan", pid=orphan.pid, stop_signal=signal.SIGTERM)

        swept = Ledger(tmp_path / "processes.json").sweep()

    assert (swept, psutil.pid_exists(orphan.pid)) == (["orphan"], False)
    assert Ledger(tmp_path / "processes.json").sweep() == []


def test_stranger_with_an_orphans_number_is_left_alone(tmp_path):
    path = tmp_path / "processes.json"
    path.write_text(
        f'[{{"name": "web", "pid": {os.getpid()}, "started": 1.0, "stop_signal": 9}}]',
        encoding="utf-8",
    )

    assert Ledger(path).sweep() == []


def test_dead_child_is_started_again(tmp_path, capsys):
    supervisor = Supervisor(Ledger(tmp_path / "processes.json"))
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
    supervisor = Supervisor(Ledger(tmp_path / "processes.json"))
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
    supervisor = Supervisor(Ledger(tmp_path / "processes.json"))
    server = supervisor.start(make_spec(tmp_path, "server", tier=0))
    stubborn = supervisor.start(make_spec(tmp_path, "stubborn", code=sleeper(ignores=True)))
    wait_until(lambda: "up" in (tmp_path / "stubborn.log").read_text())
    began = time.monotonic()

    supervisor.stop(grace=0.5)

    assert (server.returncode, stubborn.returncode) == (-signal.SIGTERM, -signal.SIGKILL)
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
def test_port_that_is_none_is_refused(raw):
    with pytest.raises(LauncherError, match=r"^PORT — номер порта от 1 до 65535"):
        read_port("PORT", raw)


def test_run_with_a_busy_port_says_one_sentence(local_dir):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])

        with run_under(local_dir, "run", PORT=port, SANDBOX_PORT=str(free_port())) as process:
            printed, errors = process.communicate(timeout=30)

    assert (process.returncode, printed, errors.count("\n")) == (1, "", 1)
    assert errors.startswith(f"Порт {port} недоступен (уже занят): ")


def test_run_on_a_folder_that_cannot_be_says_one_sentence(tmp_path):
    (tmp_path / "file").write_text("", encoding="ascii")

    with run_under(tmp_path / "file" / "local", "run") as process:
        _, errors = process.communicate(timeout=30)

    assert (process.returncode, errors.count("\n")) == (1, 1)
    assert errors.startswith("Не получается открыть ")
    assert "(это не папка)" in errors


def test_rare_refusal_of_the_system_keeps_its_own_words():
    known, rare = OSError(errno.ENOSPC, "No space left"), OSError(errno.EXDEV, "Cross-device link")

    assert [why(error) for error in (known, rare, OSError("odd"))] == [
        "на диске нет места",
        "Cross-device link",
        "odd",
    ]


def test_keys_are_made_once_and_private(tmp_path):
    first = local_keys(tmp_path)
    again = local_keys(tmp_path)

    assert first == again
    assert len(first["SECRET_KEY"]) >= 50
    assert Fernet(first["FIELD_KEYS"]).decrypt(Fernet(first["FIELD_KEYS"]).encrypt(b"x")) == b"x"
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_preparation_is_always_needed_for_a_database_that_is_not_ours(tmp_path):
    assert Preparation(local_dir=tmp_path, cluster="").needed()
    assert Preparation(local_dir=tmp_path, cluster="abc").needed()
