"""Redis as a broker that survives broken messages.

Celery's own worker ends at a message that is no JSON, or whose kind it refuses, and finds the second
again after its restart: one such message would stop every queue. What no process of ours can have sent
is dropped here. Nothing is lost with it: a sweep stands beside every wake-up.
"""

import base64
import binascii
import json
import logging
from queue import Empty
from typing import Any

from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES, redis

logger = logging.getLogger(__name__)


class Channel(redis.Channel):
    """Takes one message after another from the queues."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except ValueError as error:  # it has been taken from the queue already
            logger.error("A message that is no JSON was dropped")  # noqa: TRY400 its text may be anything
            raise Empty from error


class Transport(redis.Transport):
    """Hands messages of our queues on where they are whole."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str | None) -> None:
        if queue in settings.CELERY_TASK_QUEUES_NAMES and not is_whole(message):
            logger.error("A broken message was dropped from the queue %s", queue)
            return
        super()._deliver(message, queue)


def is_whole(message: object) -> bool:
    """Whether this is what our own processes send: a task by name with JSON arguments."""
    try:
        found = _parts(message)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
        return False
    return found


def _parts(message: Any) -> bool:
    properties, headers = message["properties"], message["headers"]
    arguments = json.loads(base64.b64decode(message["body"], validate=True))
    return (
        message["content-type"] == "application/json"
        and message["content-encoding"] == "utf-8"
        and properties["body_encoding"] == "base64"
        and isinstance(properties["delivery_tag"], str)
        and isinstance(properties["delivery_info"]["exchange"], str)
        and all(isinstance(headers[name], str) for name in ("task", "id"))
        and [type(part) for part in arguments] == [list, dict, dict]
    )


def use() -> None:
    """From now on every `redis://` broker of this process is this one."""
    TRANSPORT_ALIASES["redis"] = "cabinet.broker:Transport"
