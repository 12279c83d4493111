"""Servers on loopback that treat each connection as given, for the tests of the HTTP client."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

from operators.client import http
from operators.client.http import CallRecord, HttpClient
from operators.ports import CallKind, Reply

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Behaviour = Callable[[socket.socket], None]


@pytest.fixture(autouse=True)
def closed_sessions() -> Iterator[None]:
    yield
    http.close_sessions()


@contextmanager
def listening(behave: Behaviour, *, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that treats each connection as given; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()
        thread = threading.Thread(target=_serve, args=(server, behave, context, stop), daemon=True)
        thread.start()
        port = server.getsockname()[1]
        scheme = "https" if context else "http"
        try:
            yield f"{scheme}://127.0.0.1:{port}"
        finally:
            stop.set()
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            thread.join(5)


def _serve(
    server: socket.socket,
    behave: Behaviour,
    context: ssl.SSLContext | None,
    stop: threading.Event,
) -> None:
    while not stop.is_set():
        bare, _ = server.accept()
        with bare, suppress(OSError):
            if stop.is_set():
                return
            with context.wrap_socket(bare, server_side=True) if context else bare as line:
                line.settimeout(5)
                behave(line)


@contextmanager
def unanswered() -> Iterator[int]:
    """A port of 127.0.0.1 whose connections are neither taken nor refused: its queue is full."""
    with ExitStack() as open_sockets:
        server = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):
            waiting = open_sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def read_request(line: socket.socket) -> bytes:
    """One request, without a body or with a short one."""
    return line.recv(65536)


def answering(*answers: bytes) -> Behaviour:
    """Answers each request of one connection in turn, then closes it."""

    def behave(line: socket.socket) -> None:
        for answer in answers:
            if not read_request(line):
                return
            line.sendall(answer)

    return behave


def dripping(answer: bytes, pause: float) -> Behaviour:
    def behave(line: socket.socket) -> None:
        read_request(line)
        for byte in answer:
            time.sleep(pause)
            line.sendall(bytes([byte]))

    return behave


def client(call: CallRecord | None = None, **fields: Any) -> HttpClient:
    """A client of five seconds; `call` is what it works for."""
    return HttpClient("test", **{"total_seconds": 5, "call": call or CallRecord(), **fields})


def get(client: HttpClient, url: str, **parts: Any) -> Reply:
    return client.request("GET", url, kind=CallKind.READ, **parts)
