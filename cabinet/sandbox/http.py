"""HTTP of the sandbox: Werkzeug's requests, responses and rules, with answers that arrive broken."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

import werkzeug
from pydantic import TypeAdapter, ValidationError
from werkzeug.exceptions import BadRequest
from werkzeug.routing import Rule

T = TypeVar("T")
# Gets the request and the variables of the route's path by name.
View = Callable[..., "Response"]

BODY_LIMIT = 16 * 1024 * 1024  # bytes


class Request(werkzeug.Request):
    """One request. Its body is taken as JSON whatever Content-Type says: scripts rarely name it.

    `json` raises BadRequest where the body is not JSON.
    """

    @property
    def is_json(self) -> bool:
        return True

    def on_json_loading_failed(self, e: ValueError | None) -> Any:
        raise BadRequest("The body is not JSON.") from e

    @property
    def is_form(self) -> bool:
        """Whether a form of the sandbox's own pages sent it."""
        return self.mimetype == "application/x-www-form-urlencoded"

    @property
    def bearer_token(self) -> str:
        """The token of the Authorization header, "" without one."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.casefold() == "bearer" else ""


class Wire(StrEnum):
    """How the bytes of an answer leave."""

    NORMAL = "normal"
    CUT = "cut"  # the connection is reset without a byte
    HALF = "half"  # full length announced, half of the body sent, then closed
    DRIP = "drip"  # the body one byte at a time


class Response(werkzeug.Response):
    """An answer. `seconds` is waited before it, with Wire.DRIP before each byte of the body."""

    default_mimetype = "application/json"

    def __init__(
        self, *args: Any, wire: Wire = Wire.NORMAL, seconds: float = 0, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.wire = wire
        self.seconds = seconds


def json_response(data: Any, status: int = 200, **headers: str) -> Response:
    """JSON in UTF-8; in names of headers `_` stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(json.dumps(data, ensure_ascii=False), status, named)


def html_response(text: str, status: int = 200) -> Response:
    """A page."""
    return Response(text, status, content_type="text/html; charset=utf-8")


def redirect(location: str) -> Response:
    """303: after a POST the browser gets the page."""
    return Response(status=303, headers={"Location": location}, content_type="text/plain")


def route(method: str, path: str, view: View) -> Rule:
    """A rule of Werkzeug whose endpoint is the view itself."""
    return Rule(path, methods=[method], endpoint=view)


def validated(adapter: TypeAdapter[T], data: Any) -> T:
    """What was sent, as the adapter's type. Raises BadRequest with the first thing that is wrong."""
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(step) for step in first["loc"])
        raise BadRequest(f"{field}: {first['msg']}" if field else first["msg"]) from error


class Part(ABC):
    """One simulated system. It guards its state with a lock: views run in many threads."""

    name: str

    @abstractmethod
    def routes(self) -> list[Rule]:
        """What it answers, see `route`."""

    def panel(self) -> str:
        """A fragment of HTML for the first page, "" if none."""
        return ""

    def advance(self) -> None:  # noqa: B027 most have nothing to do
        """What happens by itself; called some times a second, in a thread of the part's own."""

    def dump(self) -> Any:
        """Its state as JSON-able data; None if there is nothing to keep."""
        return None

    def load(self, data: Any) -> None:  # noqa: B027 most keep nothing
        """Takes back what `dump` once gave."""
