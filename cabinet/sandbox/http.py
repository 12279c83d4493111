"""What a part of the sandbox speaks: requests, responses, routes. Standard library only."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import parse_qsl

_NONE: Mapping[str, str] = MappingProxyType({})


class BadRequest(Exception):
    """The request cannot be understood; the server answers 400 with the text."""


@dataclass(frozen=True)
class Request:
    """One request. The path is decoded and without the query, header names are lower-case."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    match: Mapping[str, str]  # named groups of the route

    def json(self) -> Any:
        """The body as JSON. Raises BadRequest where it is not."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise BadRequest("The body is not JSON.") from error

    def form(self) -> dict[str, str]:
        """The body as a urlencoded form; of a repeated field the last value counts.

        Raises BadRequest where it is not UTF-8.
        """
        try:
            return dict(parse_qsl(self.body.decode("utf-8"), keep_blank_values=True))
        except UnicodeDecodeError as error:
            raise BadRequest("The form is not UTF-8.") from error


class Wire(StrEnum):
    """How the bytes of an answer leave."""

    NORMAL = "normal"
    CUT = "cut"  # the connection is reset without a byte
    HALF = "half"  # full length announced, half of the body sent, then closed
    DRIP = "drip"  # the body one byte at a time


@dataclass(frozen=True)
class Response:
    """An answer. `seconds` is waited before it, with Wire.DRIP before each byte of the body."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=lambda: _NONE)
    wire: Wire = Wire.NORMAL
    seconds: float = 0


def json_response(data: Any, status: int = 200, **headers: str) -> Response:
    """JSON in UTF-8; in names of headers `_` stands for `-`."""
    body = json.dumps(data, ensure_ascii=False).encode("utf-8")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, body=body, headers=named)


def html_response(text: str) -> Response:
    """A page."""
    return Response(body=text.encode("utf-8"), content_type="text/html; charset=utf-8")


def redirect(location: str) -> Response:
    """303: after a POST the browser gets the page."""
    return Response(status=303, content_type="text/plain", headers={"Location": location})


@dataclass(frozen=True)
class Route:
    """The pattern must match the whole decoded path; its named groups become `Request.match`."""

    method: str
    pattern: str
    handler: Callable[[Request], Response]

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)


class Part(Protocol):
    """One played world. It guards its state with a lock: handlers run in many threads."""

    name: str

    def routes(self) -> list[Route]:
        """What it answers."""

    def panel(self) -> str:
        """A fragment of HTML for the first page, "" if none."""

    def dump(self) -> Any:
        """Its state as JSON-able data; None if there is nothing to keep."""

    def load(self, data: Any) -> None:
        """Takes back what `dump` once gave."""
