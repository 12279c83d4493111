"""Free and busy ports of this machine."""

import socket

from cabinet.launcher.errors import LauncherError, why


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def read_port(name: str, raw: str) -> int:
    """The port that a variable names. Raises LauncherError where it is not a port."""
    if raw.isascii() and raw.isdigit() and 0 < int(raw) < 65536:
        return int(raw)
    raise LauncherError(f"{name} — номер порта от 1 до 65535, а указано «{raw}».")


def require_free(name: str, port: int) -> None:
    """Raises LauncherError when somebody listens there or we may not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LauncherError(
                f"Порт {port} недоступен ({why(error)}): освободите его или выберите другой, "
                f"например «make run {name}={port % 65000 + 10}»."
            ) from error
