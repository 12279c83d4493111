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
                f"В {local_dir} уже запущено (процесс {file.read().strip() or 'неизвестен'}): остановите "
                "его или укажите для второй копии свои LOCAL_DIR, PORT и SANDBOX_PORT."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
