"""What stands between an operator that tells of changes and our door: it hands on twice, late, or the
last first. The operator's signature stays as it was.
"""

import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

_SIGNED = ("Content-Type", "X-Signature")
_PAUSE = 0.2


@dataclass
class Relay:
    """`mischief`: everything twice, and in any order. `doors` are the addresses that it hands on to."""

    url: str = ""
    doors: tuple[str, ...] = ()
    mischief: bool = False
    handed_on: int = 0
    refused: list[str] = field(default_factory=list)
    chance: random.Random = field(default_factory=random.Random)
    _waiting: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, headers: Mapping[str, str], body: bytes) -> None:
        """An event from the operator; it is answered before it is handed on."""
        with self._lock:
            self._waiting.append(({name: headers[name] for name in _SIGNED}, body))

    def hand_on(self) -> None:
        """What waits goes on; what the door could not take stays for the next time."""
        with self._lock:
            events, self._waiting = self._waiting, []
        if self.mischief:
            events = events * 2
            self.chance.shuffle(events)
        late = [event for event in events if not self._given(*event)]
        with self._lock:
            self._waiting += late

    def _given(self, headers: Mapping[str, str], body: bytes) -> bool:
        for door in self.doors:
            try:
                answer = requests.post(door, data=body, headers=dict(headers), timeout=5)
            except requests.RequestException:
                return False
            if answer.status_code >= 500:
                return False
            if answer.status_code != 200:
                self.refused.append(f"{answer.status_code} {answer.text[:100]}")
            self.handed_on += 1
        return True


@contextmanager
def relay() -> Iterator[Relay]:
    """A relay on a free port."""
    found, over = Relay(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found.take(self.headers, body)  # type: ignore[arg-type]
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            """Nothing."""

    def go_on() -> None:
        while not over.is_set():
            found.hand_on()
            time.sleep(_PAUSE)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}/"
    for run in (server.serve_forever, go_on):
        threading.Thread(target=run, daemon=True).start()
    try:
        yield found
    finally:
        over.set()
        server.shutdown()
        server.server_close()
