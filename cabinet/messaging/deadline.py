"""A deadline for everything that is said over a connection.

Timeouts of sockets start anew with every byte: a server that sends one now and then holds its caller for ever.
"""

import os
import socket
import threading
from contextlib import suppress
from types import TracebackType


class Deadline:
    """Cuts watched connections off after so many seconds, whatever they wait for; a context manager.

    The other side's bytes end then, and so does ours: a call that waits returns or raises at once.
    """

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._copies: list[socket.socket] = []
        self._is_over = False
        self._lock = threading.Lock()

    def watch(self, connection: socket.socket) -> None:
        """This connection ends with the deadline, also after it is put under TLS. Raises TimeoutError after it."""
        with self._lock:
            if self._is_over:
                raise TimeoutError("the time is up")
            # A copy: TLS takes the original over, and what is shut down is the connection itself.
            self._copies.append(socket.socket(fileno=os.dup(connection.fileno())))

    def _cut(self) -> None:
        with self._lock:
            self._is_over = True
            for copy in self._copies:
                with suppress(OSError):
                    copy.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "Deadline":
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for copy in self._copies:
                copy.close()
