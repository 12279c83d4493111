"""The sandbox's HTTP server: keep-alive, a thread for each connection, one process."""

import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    LengthRequired,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
)
from werkzeug.routing import Map
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from cabinet.sandbox.home_page import home_page_routes
from cabinet.sandbox.http import BODY_LIMIT, Part, Request, Response, View, Wire, json_response
from cabinet.sandbox.state_file import StateFile

logger = logging.getLogger(__name__)

ADVANCE_EVERY = 0.2  # seconds between two looks at what happens by itself
_SAVE_EVERY = 1.0  # seconds between two looks at the state
_BODILESS = frozenset({204, 304})


class Sandbox:
    """All parts behind one map of routes; as a WSGI application it sends every answer whole."""

    def __init__(self, parts: Sequence[Part]) -> None:
        rules = [rule for part in parts for rule in part.routes()] + home_page_routes(parts)
        self._map = Map(rules, strict_slashes=False, merge_slashes=False)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.respond(Request(environ))(environ, start_response)

    def respond(self, request: Request) -> Response:
        """Never raises: 400, 404, 405 and 500 are answers too, all of them JSON."""
        try:
            view, variables = self._find(request)
            return view(request, **variables)
        except MethodNotAllowed as error:
            allow = ", ".join(sorted(set(error.valid_methods or ()) - {"HEAD"}))
            return json_response({"error": f"Only {allow} here."}, 405, Allow=allow)
        except HTTPException as error:
            return _error(error)
        except Exception:
            logger.exception("The sandbox failed at %s %s", request.method, request.path)
            return json_response({"error": "The sandbox failed, see its log."}, 500)

    def _find(self, request: Request) -> tuple[View, dict[str, str]]:
        try:
            view, variables = self._map.bind_to_environ(request.environ).match()
        except NotFound as error:
            raise NotFound(f"Nothing at {request.path}.") from error
        return view, dict(variables)


def _error(error: HTTPException) -> Response:
    return json_response({"error": error.description}, error.code or 500)


class SandboxServer(ThreadedWSGIServer):
    """Answers on a socket that listens already."""

    # A stop must not wait for an idle keep-alive connection or a dripping answer.
    block_on_close = False

    def __init__(self, listening: socket.socket, sandbox: Sandbox) -> None:
        host, port = listening.getsockname()
        super().__init__(host, port, sandbox, _RequestHandler, fd=listening.fileno())
        self.server_port = port
        self.sandbox = sandbox

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not an error."""
        logger.debug("The connection of %s ended early", client_address)


class _RequestHandler(WSGIRequestHandler):
    """Werkzeug's handler closes the connection after each answer and can send only whole ones."""

    server: SandboxServer
    disable_nagle_algorithm = True
    timeout = 75  # seconds an idle connection is kept

    def run_wsgi(self) -> None:
        request = Request(self.make_environ())
        try:
            self._read_body(request)
            response = self.server.sandbox.respond(request)
        except HTTPException as error:
            self.close_connection = True  # the unread body stands where the next request would
            response = _error(error)
        # Without the query: entry tokens are in it.
        logger.info("%s %s %s", request.method, request.path, response.status_code)
        self._send(request, response)

    def _read_body(self, request: Request) -> None:
        """Takes the body off the connection, so that the next request can be read after it."""
        if "Transfer-Encoding" in self.headers:
            raise LengthRequired("Send Content-Length.")
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            raise BadRequest("Content-Length is not a number.")
        if int(length) > BODY_LIMIT:
            raise RequestEntityTooLarge("The body is too large.")
        request.get_data()

    def _send(self, request: Request, response: Response) -> None:
        if response.wire is not Wire.DRIP:
            time.sleep(response.seconds)
        if response.wire is Wire.CUT:
            self._reset_connection()
            return
        if response.wire is Wire.HALF:
            self.close_connection = True
        # Not get_wsgi_response(): it corrects headers, and a wrong Location must leave as it is.
        body = b"" if response.status_code in _BODILESS else response.get_data()
        self._send_head(response, len(body))
        if self.command != "HEAD":
            self._send_body(response, body)

    def _send_head(self, response: Response, length: int) -> None:
        self.send_response_only(response.status_code)
        self.send_header("Date", self.date_time_string())
        for name, value in response.headers.items():
            if name != "Content-Length":
                self.send_header(name, value)
        if response.status_code not in _BODILESS:
            self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _send_body(self, response: Response, body: bytes) -> None:
        match response.wire:
            case Wire.HALF:
                self.wfile.write(body[: len(body) // 2])
            case Wire.DRIP:
                for byte in body:
                    time.sleep(response.seconds)
                    self.wfile.write(bytes([byte]))
            case _:
                self.wfile.write(body)

    def _reset_connection(self) -> None:
        self.close_connection = True
        # With a linger of zero close() sends RST at once. Detached, because the handler's files
        # would keep the socket open and the server would shut it down with FIN first.
        detached = socket.socket(fileno=self.connection.detach())
        detached.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        detached.close()

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 name of the base class
        logger.debug(message, *args)


@contextmanager
def serving(
    parts: Sequence[Part], *, port: int, state: Path, host: str = "127.0.0.1"
) -> Iterator[SandboxServer]:
    """A server answering until the block ends; port 0 takes a free one, see `server_port`.

    At the end the state is written for the last time. Raises OSError where the port is taken.
    """
    file, ended = StateFile(state, parts), threading.Event()
    with (
        socket.create_server((host, port), backlog=256) as listening,
        SandboxServer(listening, Sandbox(parts)) as server,
    ):
        file.load()
        answering = _in_thread(server.serve_forever, 0.1)
        saving = _in_thread(_repeat, file.save, _SAVE_EVERY, ended)
        for part in parts:
            _in_thread(_repeat, part.advance, ADVANCE_EVERY, ended)
        try:
            yield server
        finally:
            ended.set()
            with suppress(KeyboardInterrupt):
                server.shutdown()
                answering.join()
            saving.join()
            file.save()


def _in_thread(work: Callable[..., None], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=args, name="sandbox", daemon=True)
    thread.start()
    return thread


def _repeat(work: Callable[[], None], seconds: float, ended: threading.Event) -> None:
    while not ended.wait(seconds):
        try:
            work()
        except Exception:
            logger.exception("The sandbox failed between two requests")
