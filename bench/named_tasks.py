"""Tasks that no worker should have to run: poison."""

import os
import signal

from celery import shared_task


@shared_task(name="bench.raises")
def raises() -> None:
    """Always fails."""
    raise RuntimeError("poison")


@shared_task(name="bench.dies")
def dies() -> None:
    """Ends its process, as the kernel does to one that takes all the memory."""
    os.kill(os.getpid(), signal.SIGKILL)
