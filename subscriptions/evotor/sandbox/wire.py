"""How a hook travels to the product: one POST with the application token, and what came back."""

import http.client
import json
import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from subscriptions.evotor.sandbox.messages import Message

logger = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds, like the market (documentation-api, 2017)
ANSWER_LIMIT = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """What the product said; without a status nothing came back."""

    status: int | None = None
    body: Any = None

    @property
    def good(self) -> bool:
        """Delivered: 200 is the only word for it."""
        return self.status == 200


def post(message: Message) -> Answer:
    """Send one hook to settings.PUBLIC_URL. Never raises for the product's trouble."""
    url = urlsplit(settings.PUBLIC_URL)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    line = kind(url.hostname or "localhost", url.port, timeout=PATIENCE)
    try:
        line.request("POST", url.path + message.path, json.dumps(message.body), _headers())
        reply = line.getresponse()
        return Answer(reply.status, _read(reply.read(ANSWER_LIMIT)))
    except (OSError, http.client.HTTPException) as trouble:
        logger.info("No answer to %s: %s", message.path, type(trouble).__name__)
        return Answer()
    finally:
        line.close()


def _headers() -> dict[str, str]:
    return {
        "Authorization": f"Bearer {settings.EVOTOR_APP_TOKENS[0]}",
        "Content-Type": "application/json;charset=UTF-8",
        "Accept": "application/json;charset=UTF-8",
    }


def _read(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")[:500]
