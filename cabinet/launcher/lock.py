"""One launcher per LOCAL_DIR."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from cabinet.launcher.errors import AlreadyRunning
from cabinet.launcher.pid_registry import PidRegistry


@contextlib.contextmanager
def exclusive_launcher(local_dir: Path) -> Iterator[None]:
    """Locks the folder until the block ends; the kernel unlocks it however we die.

    First stops the processes that a killed launcher of this folder has left. Raises AlreadyRunning when
    another live launcher holds it.
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
        PidRegistry(local_dir).sweep()
        yield
