"""The sandbox's HTTP server: keep-alive, a thread for each connection, one process."""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cabinet.sandbox import wire
from cabinet.sandbox.http import BadRequest, Part, Request, Response, Route, json_response
from cabinet.sandbox.page import page_routes
from cabinet.sandbox.store import Store

logger = logging.getLogger(__name__)

_BODY_LIMIT = 16 * 1024 * 1024  # bytes


class Router:
    """Finds the route, and turns what goes wrong in a handler into an answer."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._routes = [route for part in parts for route in part.routes()] + page_routes(parts)

    def answer(self, call: "Call") -> Response:
        """Never raises: 404, 405, 400 and 500 are answers too."""
        found = [
            (route, match)
            for route in self._routes
            if (match := route.compiled.fullmatch(call.path))
        ]
        for route, match in found:
            if route.method == call.method:
                named = {
                    name: value for name, value in match.groupdict().items() if value is not None
                }
                return _handled(route, call.request(named))
        if found:
            allow = ", ".join(sorted({route.method for route, _ in found}))
            return json_response({"error": f"Only {allow} here."}, 405, Allow=allow)
        return json_response({"error": f"Nothing at {call.path}."}, 404)


@dataclass(frozen=True)
class Call:
    """A request before its route is known."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    def request(self, match: Mapping[str, str]) -> Request:
        return Request(self.method, self.path, self.query, self.headers, self.body, match)


def _handled(route: Route, request: Request) -> Response:
    try:
        return route.handler(request)
    except BadRequest as error:
        return json_response({"error": str(error)}, 400)
    except Exception:
        logger.exception("The sandbox failed at %s %s", request.method, request.path)
        return json_response({"error": "The sandbox failed, see its log."}, 500)


class SandboxServer(ThreadingHTTPServer):
    """Serves the parts; `store` keeps their state."""

    daemon_threads = True
    # A stop must not wait for an idle keep-alive connection or a dripping answer.
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], parts: Sequence[Part], store: Store) -> None:
        self.router = Router(parts)
        self.store = store
        super().__init__(address, _Door)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
        logger.debug("The connection of %s ended early", client_address)


class _Door(BaseHTTPRequestHandler):
    server: SandboxServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 75  # seconds an idle connection is kept

    def _serve(self) -> None:
        refusal, body = self._read_body()
        if refusal:
            self.close_connection = True  # what follows on the line is the unread body
            wire.send(self, refusal)
            return
        url = urlsplit(self.path)
        call = Call(
            method="GET" if self.command == "HEAD" else self.command,
            path=unquote(url.path),
            query=parse_qs(url.query, keep_blank_values=True),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
        )
        response = self.server.router.answer(call)
        self.server.store.touch()
        # Without the query: entry tokens travel there.
        logger.info("%s %s %s", call.method, call.path, response.status)
        wire.send(self, response)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 names of the base class

    def _read_body(self) -> tuple[Response | None, bytes]:
        if "Transfer-Encoding" in self.headers:
            return json_response({"error": "Send Content-Length."}, 411), b""
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            return json_response({"error": "Content-Length is not a number."}, 400), b""
        if int(length) > _BODY_LIMIT:
            return json_response({"error": "The body is too large."}, 413), b""
        return None, self.rfile.read(int(length))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 name of the base class
        logger.debug(format, *args)


@contextmanager
def serving(
    parts: Sequence[Part], *, port: int, state: Path, host: str = "127.0.0.1"
) -> Iterator[SandboxServer]:
    """A server answering until the block ends; port 0 takes a free one, see `server_port`.

    At the end the state is written for the last time. Raises OSError where the port is taken.
    """
    store = Store(state, parts)
    with SandboxServer((host, port), parts, store) as server:
        store.open()
        thread = threading.Thread(
            target=server.serve_forever, args=(0.1,), name="sandbox", daemon=True
        )
        thread.start()
        try:
            yield server
        finally:
            with suppress(KeyboardInterrupt):
                server.shutdown()
                thread.join()
            store.close()
