"""Wake a task by name, after commit. A lost wake-up costs seconds: a sweep stands beside each."""

import logging
from functools import partial
from typing import Any

from django.db import transaction
from kombu.exceptions import OperationalError

from cabinet.celery import app

logger = logging.getLogger(__name__)

# A wake-up this old has been overtaken by the sweep.
EXPIRES_SECONDS = 60


def wake(task: str, **arguments: Any) -> None:
    """Ask a worker to run the task soon. Never raises: the page must not fail with the broker."""
    transaction.on_commit(partial(ring, task, **arguments), robust=True)


def ring(task: str, **arguments: Any) -> None:
    """Publish at once, without waiting for a commit. A broker that is away is only logged."""
    try:
        app.send_task(
            task, kwargs=arguments, retry=False, ignore_result=True, expires=EXPIRES_SECONDS
        )
    except (OperationalError, OSError) as error:
        logger.warning("Could not wake %s, the sweep will: %s", task, type(error).__name__)
