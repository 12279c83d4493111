"""One launcher to a LOCAL_DIR."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from cabinet.launcher.errors import AlreadyRunning


@contextlib.contextmanager
def only_launcher(local_dir: Path) -> Iterator[None]:
    """Holds the folder; the kernel lets go of it when we die in whatever way.

    Raises AlreadyRunning when another live launcher holds it.
    """
    local_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(local_dir / "launcher.lock", os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"Already running in {local_dir} (process {file.read().strip() or 'unknown'}): "
                "stop it first, or set LOCAL_DIR, PORT and SANDBOX_PORT for a second copy."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
