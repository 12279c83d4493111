"""Gunicorn's worker with threads, with a deadline for reading a request and pages of ours for one that is too long.

A thread of Gunicorn's own waits for the rest of a request for ever: eight halves of a body stop a server
of two workers with four threads. A proxy that collects bodies first stands before it, as
docs/how-to/production.md says, but nothing may depend on that.
"""

import errno
import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine
from gunicorn.workers.gthread import ThreadWorker

# For the next bytes of a request: the rest of a half never comes.
NEXT_BYTES_SECONDS = 5.0
# For the request line, the headers and the body together: bytes may also come one by one.
REQUEST_SECONDS = 30.0
# For one piece of an answer that the other side does not read.
SEND_SECONDS = 30.0
# For the rest of a request that was refused unread.
DRAIN_SECONDS = 2.0
# What is longer than gunicorn takes: its default limits are 4,094 bytes of the request line, 8,190 of a header.
_TOO_LONG = {LimitRequestLine: (414, "URI Too Long"), LimitRequestHeaders: (431, "Too Large")}
_HEAD = (
    "HTTP/1.1 {status} {reason}\r\n"
    "Connection: close\r\n"
    "Content-Type: text/html; charset=utf-8\r\n"
    "Content-Length: {length}\r\n"
    "Cache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Content-Security-Policy: default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'\r\n\r\n"
)


class DeadlineSocket(socket.socket):
    """A connection whose requests must arrive in time.

    Gunicorn makes a connection blocking where it begins to read a request: the time is counted from
    there. What has arrived already is read even after it.
    """

    _ends_at = 0.0

    def setblocking(self, flag: bool) -> None:
        if flag:
            self._ends_at = time.monotonic() + REQUEST_SECONDS
            self.settimeout(SEND_SECONDS)
        else:
            super().setblocking(False)

    def recv(self, *arguments: Any) -> bytes:
        """Some bytes. Raises ConnectionResetError where they are late: Gunicorn closes quietly then."""
        self.settimeout(max(0.0, min(NEXT_BYTES_SECONDS, self._ends_at - time.monotonic())))
        try:
            return super().recv(*arguments)
        except (TimeoutError, BlockingIOError) as late:
            raise ConnectionResetError(errno.ECONNRESET, "The request came too late.") from late
        finally:
            self.settimeout(SEND_SECONDS)

    def drain(self) -> None:
        """Take what is still on its way: an answer is lost where a connection is closed with bytes unread."""
        self._ends_at = time.monotonic() + DRAIN_SECONDS
        with suppress(OSError):
            self.shutdown(socket.SHUT_WR)
            # What has arrived is read even after the deadline: somebody may send without an end.
            while time.monotonic() < self._ends_at and self.recv(65536):
                pass


class DeadlineThreadWorker(ThreadWorker):  # type: ignore[misc] # Gunicorn has no types
    """Threads whose connections are `DeadlineSocket`s, and whose refusals of long requests are for people."""

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection with something to read over to a thread."""
        if not isinstance(conn.sock, DeadlineSocket):
            conn.sock = DeadlineSocket(fileno=conn.sock.detach())
            conn.sock.setblocking(True)
        super().enqueue_req(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Gunicorn's; an address or a header that is too long gets a page of ours, 414 or 431."""
        refusal = _TOO_LONG.get(type(exc))
        if refusal is None:
            if req is not None:
                req.uri = req.path  # it goes to the log, and the query may hold the market's token
            super().handle_error(req, client, addr, exc)
            return
        status, reason = refusal
        self.log.warning("Request from %s refused: %s %s", (addr or ("", 0))[0], status, reason)
        with suppress(OSError):
            client.sendall(_refusal(status, reason))
        client.drain()


def _refusal(status: int, reason: str) -> bytes:
    # Here: gunicorn reads this module before the application has set Django up.
    from cabinet.views.errors import page_of_status  # noqa: PLC0415

    body = page_of_status(status).encode()
    return _HEAD.format(status=status, reason=reason, length=len(body)).encode() + body
