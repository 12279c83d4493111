"""A gateway of SMS and e-mail on this machine, for tests of the outbox."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Gateway:
    """The texts that it received, in order with its answers, and what it does with each request.

    `status` is what it answers, None where it cut the connection.
    """

    def __init__(self) -> None:
        self.received: list[str] = []
        self.answers: list[int | None] = []
        self.status = 200
        self.cuts = False

    def mails(self) -> list[tuple[str, str, str]]:
        """To whom, subject and text of everything, sorted."""
        rows: list[dict[str, Any]] = [json.loads(body) for body in self.received]
        return sorted((row["to"], row.get("subject", ""), row["text"]) for row in rows)


@contextmanager
def serving_gateway(settings: Any) -> Iterator[Gateway]:
    """A running gateway that `settings` name for both kinds of messages."""
    gateway = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            gateway.received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            gateway.answers.append(None if gateway.cuts else gateway.status)
            if gateway.cuts:
                return
            self.send_response(gateway.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    settings.SMS_URL = f"http://token@127.0.0.1:{server.server_port}/sms"
    settings.EMAIL_URL = f"http://token@127.0.0.1:{server.server_port}/email"
    try:
        yield gateway
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
