"""Send a task by name, after commit. A lost message costs seconds: a periodic sweep finds the same work.

One message for the same task and arguments waits at a time: a key in Redis says that one does, and the
worker deletes it before the task begins to look, so that whatever is stored later sends another.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from celery.signals import task_prerun
from django.db import transaction
from kombu import Producer
from kombu.exceptions import LimitExceeded, OperationalError
from kombu.pools import producers
from redis import RedisError

from cabinet.celery import app

logger = logging.getLogger(__name__)

# By then the sweep has done the work.
EXPIRES_SECONDS = 60
# For how long a message counts as waiting. One that was lost keeps others back no longer.
PENDING_SECONDS = 10
# How long a page waits for an unreachable broker, and for how long it does not try again.
TIMEOUT_SECONDS = 0.5
PAUSE_SECONDS = 5.0
# Celery's own connection would try for six seconds.
_QUICK_FAILURE = {
    "socket_timeout": TIMEOUT_SECONDS,
    "socket_connect_timeout": TIMEOUT_SECONDS,
    "connect_retries_timeout": TIMEOUT_SECONDS,
    "max_retries": 0,
    "interval_start": 0,
}


SOON_SECONDS = 0.05
_scheduled: set[str] = set()
_scheduling = threading.Lock()
# redis-py's own errors come through where its client is used without Kombu.
_UNREACHABLE = (OperationalError, LimitExceeded, OSError, RedisError)


def enqueue_on_commit(task: str, **arguments: Any) -> None:
    """Send the task after the commit of the current transaction. Never raises: pages work without a broker."""
    transaction.on_commit(partial(enqueue_now, task, **arguments), robust=True)


def enqueue_soon(task: str, **arguments: Any) -> None:
    """Send the task within `SOON_SECONDS`, from a thread; calls until then share the one message.

    For work that comes by the thousand: the caller neither waits for the broker nor pays for a message.
    Call it after the commit. A process that ends meanwhile sends nothing: the sweep finds the work.
    """
    key = _pending_key(task, arguments)
    with _scheduling:
        if key in _scheduled:
            return
        _scheduled.add(key)
    send = partial(enqueue_now, task, **arguments)
    timer = threading.Timer(SOON_SECONDS, _send_scheduled, (key, send))
    timer.daemon = True
    timer.start()


def _send_scheduled(key: str, send: Callable[[], None]) -> None:
    # First: whoever comes from now on may be too late for this message.
    with _scheduling:
        _scheduled.discard(key)
    send()


def enqueue_now(task: str, **arguments: Any) -> None:
    """Send the task at once, unless the same message waits already. An unreachable broker is only logged.

    Takes at most half a second; after a failure nothing is sent for five: the sweep finds the work.
    """
    if time.monotonic() < _pause.ends_at:
        return
    try:
        with _producer() as producer:
            if not _is_first(producer, _pending_key(task, arguments)):
                return
            app.send_task(
                task,
                kwargs=arguments,
                producer=producer,
                retry=False,
                ignore_result=True,
                expires=EXPIRES_SECONDS,
            )
    except _UNREACHABLE as error:
        _pause.ends_at = time.monotonic() + PAUSE_SECONDS
        logger.warning(
            "Could not send %s, the sweep will find its work: %s", task, type(error).__name__
        )


def _producer() -> Any:
    # Not connected: it only names the pool of connections, the same each time.
    broker = app.connection_for_write(transport_options=_QUICK_FAILURE)
    return producers[broker].acquire(block=True, timeout=TIMEOUT_SECONDS)


def _pending_key(task: str, arguments: dict[str, Any]) -> str:
    return f"pending:{task}:{json.dumps(arguments, sort_keys=True)}"


def _is_first(producer: Producer, key: str) -> bool:
    """Whether no such message waits; always true with a broker that is not Redis."""
    redis = getattr(producer.channel, "client", None)
    return redis is None or bool(redis.set(key, 1, nx=True, ex=PENDING_SECONDS))


@task_prerun.connect
def _begun(task: Any, kwargs: dict[str, Any], **_signal: Any) -> None:
    """What is stored from now on sends a message of its own."""
    try:
        with _producer() as producer:
            redis = getattr(producer.channel, "client", None)
            if redis is not None:
                redis.delete(_pending_key(task.name, kwargs))
    except _UNREACHABLE as error:
        logger.warning("Could not note the begin of %s: %s", task.name, type(error).__name__)


class _Pause:
    """Until when this process sends nothing, by the monotonic clock."""

    ends_at = 0.0


_pause = _Pause()
