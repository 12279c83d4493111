"""Sockets that know the call they serve: its time, and whether its first byte has left.

`http` needs both and `requests` tells neither: its timeouts start anew with every byte, and its
exceptions do not say on which side of the first byte they were raised.
"""

import socket
import ssl
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection


@dataclass
class Call:
    """The call this thread is making: when it must end, and whether a byte of it has left."""

    ends_at: float
    sent: bool = False

    def left(self) -> float:
        remaining = self.ends_at - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the call's time is up")
        return remaining


current: ContextVar[Call] = ContextVar("operators_http_call")


class Timed(socket.socket):
    """A socket whose reads and writes share the time of the current call."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(current.get().left())
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        call = current.get()
        self.settimeout(call.left())
        call.sent = True
        super().sendall(*args, **kwargs)


class TimedTls(Timed, ssl.SSLSocket):
    """The same under TLS; the handshake does not pass here, the connect timeout bounds it."""


class _Plain(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return Timed(fileno=super()._new_conn().detach())


class _Tls(HTTPSConnection):
    """`_new_conn` stays: the context wraps its socket into `TimedTls`."""


class PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Tls
