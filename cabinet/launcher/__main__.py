"""`python -m cabinet.launcher run` and `python -m cabinet.launcher env -- COMMAND…`."""

import argparse
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

from cabinet.launcher.embedded import Servers, given_addresses, running_servers, servers
from cabinet.launcher.environment import child_environment, chosen_local_dir
from cabinet.launcher.errors import AlreadyRunning, LauncherError, why
from cabinet.launcher.run import run


def main(argv: list[str]) -> int:
    """The exit code; what went wrong is one sentence on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    arguments = _parser().parse_args(argv)
    try:
        if arguments.what == "env":
            return with_servers(arguments.command)
        run()
    except LauncherError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"Не получается открыть {error.filename or 'файл'} ({why(error)}): исправьте это "
            "или укажите в LOCAL_DIR другую папку.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("Остановлено.", flush=True)
    return 0


def with_servers(command: list[str]) -> int:
    """Runs a command with the environment set, on the servers of a live `make run` if any."""
    local_dir = chosen_local_dir(os.environ)
    # Ctrl-C belongs to the command; we wait for its end to stop the servers.
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with servers(local_dir, durable=True, **given_addresses()) as running:
            return _run_command(command, local_dir, running)
    except AlreadyRunning:
        others = running_servers(local_dir)
        if others is None:
            raise
        return _run_command(command, local_dir, others)


def _run_command(command: list[str], local_dir: Path, running: Servers) -> int:
    env = child_environment(os.environ, local_dir=local_dir, running=running)
    return subprocess.run(command, env=env, check=False).returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cabinet.launcher", description="Запуск «Кассовых сервисов»"
    )
    what = parser.add_subparsers(dest="what", required=True)
    what.add_parser("run", help="всё с нуля, до Ctrl-C")
    command = what.add_parser("env", help="команда с серверами и переменными окружения")
    command.add_argument("command", nargs="+", help="после --")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
