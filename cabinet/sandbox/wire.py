"""How an answer is written to the socket, the misbehaving ways included."""

import socket
import struct
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from cabinet.sandbox.http import Response, Wire

_BODILESS = frozenset({204, 304})


def send(door: BaseHTTPRequestHandler, response: Response) -> None:
    """Writes the answer the way it asks for."""
    _WAYS[response.wire](door, response)


def _normal(door: BaseHTTPRequestHandler, response: Response) -> None:
    time.sleep(response.seconds)
    door.wfile.write(_head(door, response) + _body(door, response))


def _cut(door: BaseHTTPRequestHandler, response: Response) -> None:
    time.sleep(response.seconds)
    door.close_connection = True
    # With a linger of zero close() sends a reset at once. Detached, because the handler's files
    # would keep the socket open
    # and the server would say a polite goodbye first.
    bare = socket.socket(fileno=door.connection.detach())
    bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    bare.close()


def _half(door: BaseHTTPRequestHandler, response: Response) -> None:
    time.sleep(response.seconds)
    door.close_connection = True
    body = _body(door, response)
    door.wfile.write(_head(door, response) + body[: len(body) // 2])


def _drip(door: BaseHTTPRequestHandler, response: Response) -> None:
    door.wfile.write(_head(door, response))
    for byte in _body(door, response):
        time.sleep(response.seconds)
        door.wfile.write(bytes([byte]))


def _head(door: BaseHTTPRequestHandler, response: Response) -> bytes:
    phrase = door.responses.get(response.status, ("",))[0]
    lines = [f"HTTP/1.1 {response.status} {phrase}", f"Date: {door.date_time_string()}"]
    if response.status not in _BODILESS:
        lines += [f"Content-Type: {response.content_type}", f"Content-Length: {len(response.body)}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines += ["Connection: close"] if door.close_connection else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _body(door: BaseHTTPRequestHandler, response: Response) -> bytes:
    return b"" if door.command == "HEAD" or response.status in _BODILESS else response.body


_WAYS: dict[Wire, Callable[[BaseHTTPRequestHandler, Response], None]] = {
    Wire.NORMAL: _normal,
    Wire.CUT: _cut,
    Wire.HALF: _half,
    Wire.DRIP: _drip,
}
