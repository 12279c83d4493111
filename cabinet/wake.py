"""Wake a task by name, after commit. A lost wake-up costs seconds: a sweep stands beside each."""

import logging
import time
from functools import partial
from typing import Any

from django.db import transaction
from kombu import Connection
from kombu.exceptions import LimitExceeded, OperationalError
from kombu.pools import producers

from cabinet.celery import app

logger = logging.getLogger(__name__)

# A wake-up this old has been overtaken by the sweep.
EXPIRES_SECONDS = 60
# A page waits so long for a broker that is away or frozen, and then not again for a while.
PATIENCE_SECONDS = 0.5
SILENCE_SECONDS = 5.0
# Celery's own connection would try for six seconds to reach a broker that is stopped.
_IMPATIENT = {
    "socket_timeout": PATIENCE_SECONDS,
    "socket_connect_timeout": PATIENCE_SECONDS,
    "connect_retries_timeout": PATIENCE_SECONDS,
    "max_retries": 0,
    "interval_start": 0,
}


def wake(task: str, **arguments: Any) -> None:
    """Ask a worker to run the task soon. Never raises: the page must not fail with the broker."""
    transaction.on_commit(partial(ring, task, **arguments), robust=True)


def ring(task: str, **arguments: Any) -> None:
    """Publish at once, without waiting for a commit. A broker that is away is only logged.

    Takes half a second at the longest, and after a failure nothing is rung for five: the sweep finds
    what was left.
    """
    if time.monotonic() < _silence.ends_at:
        return
    try:
        with producers[_bell()].acquire(block=True, timeout=PATIENCE_SECONDS) as producer:
            app.send_task(
                task,
                kwargs=arguments,
                producer=producer,
                retry=False,
                ignore_result=True,
                expires=EXPIRES_SECONDS,
            )
    except (OperationalError, LimitExceeded, OSError) as error:
        _silence.ends_at = time.monotonic() + SILENCE_SECONDS
        logger.warning("Could not wake %s, the sweep will: %s", task, type(error).__name__)


def _bell() -> Connection:
    """Not connected: it only names the pool of connections, which is the same each time."""
    return app.connection_for_write(transport_options=_IMPATIENT)


class _Silence:
    """Till when this process rings for nobody, by the monotonic clock."""

    ends_at = 0.0


_silence = _Silence()
