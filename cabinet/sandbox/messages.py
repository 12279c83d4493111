"""The gateways' part of the sandbox: takes every SMS and e-mail and shows them to people and tests.

`GET /messages` is a page for a browser, which asks for HTML, and a list for everybody else.
"""

import threading
from collections import deque
from typing import Any
from zoneinfo import ZoneInfo

from django.template.loader import render_to_string
from django.utils.dateparse import parse_datetime
from pydantic import BaseModel, ConfigDict, TypeAdapter
from werkzeug.routing import Rule

from cabinet import clock
from cabinet.sandbox.http import (
    Part,
    Request,
    Response,
    html_response,
    json_response,
    route,
    validated,
)

_KEPT = 1000
_SHOWN = 10
_MOSCOW = ZoneInfo("Europe/Moscow")


class _Sms(BaseModel):
    model_config = ConfigDict(extra="forbid")

    to: str
    text: str


class _Email(_Sms):
    subject: str


_SMS: TypeAdapter[_Sms] = TypeAdapter(_Sms)
_EMAIL: TypeAdapter[_Email] = TypeAdapter(_Email)


class MessagesPart(Part):
    """The newest thousand messages."""

    name = "messages"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: deque[dict[str, str]] = deque(maxlen=_KEPT)

    def routes(self) -> list[Rule]:
        return [
            route("GET", "/messages", self._show),
            route("POST", "/messages/sms", self._take_sms),
            route("POST", "/messages/email", self._take_email),
        ]

    def panel(self) -> str:
        context = {"messages": _shown(self._newest()[:_SHOWN])}
        return render_to_string("sandbox/messages.html", context)

    def dump(self) -> Any:
        with self._lock:
            return list(self._messages)

    def load(self, data: Any) -> None:
        """Takes back what `dump` once gave."""
        with self._lock:
            self._messages.extend(data)

    def _newest(self) -> list[dict[str, str]]:
        with self._lock:
            return list(reversed(self._messages))

    def _show(self, request: Request) -> Response:
        if "text/html" not in request.headers.get("Accept", ""):
            return json_response(self._newest())
        context = {"messages": _shown(self._newest())}
        return html_response(render_to_string("sandbox/mailbox.html", context))

    def _take_sms(self, request: Request) -> Response:
        sms = validated(_SMS, request.json)
        return self._store(to=sms.to, channel="sms", subject="", text=sms.text)

    def _take_email(self, request: Request) -> Response:
        email = validated(_EMAIL, request.json)
        return self._store(to=email.to, channel="email", subject=email.subject, text=email.text)

    def _store(self, **message: str) -> Response:
        with self._lock:
            self._messages.append(message | {"at": clock.now().isoformat()})
        return json_response({})


def _shown(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    return [message | {"at": _local(message["at"])} for message in messages]


def _local(at: str) -> str:
    moment = parse_datetime(at)
    return f"{moment.astimezone(_MOSCOW):%d.%m.%Y %H:%M:%S}" if moment else at
