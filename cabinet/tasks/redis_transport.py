"""Redis as a broker that survives broken messages.

Celery's own worker ends at a message that is no JSON, or whose kind it refuses, and finds the second
again after its restart: one such message would stop every queue. Messages that no process of ours can
have sent are dropped here. No work is lost with them: a periodic sweep finds it.
"""

import base64
import binascii
import json
import logging
from queue import Empty
from typing import Any

from django.conf import settings
from kombu.transport import redis

logger = logging.getLogger(__name__)


class Channel(redis.Channel):
    """Reads one message after another from the queues."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except ValueError as error:  # it has been taken from the queue already
            logger.error("A message that is no JSON was dropped")  # noqa: TRY400 its text may be anything
            raise Empty from error


class Transport(redis.Transport):
    """Delivers messages of our queues if they are valid."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str | None) -> None:
        if queue in settings.CELERY_TASK_QUEUES_NAMES and not is_valid_message(message):
            logger.error("A broken message was dropped from the queue %s", queue)
            return
        super()._deliver(message, queue)


def is_valid_message(message: Any) -> bool:
    """Whether this is what our own processes send: a task by name with JSON arguments."""
    try:
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
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
        return False
