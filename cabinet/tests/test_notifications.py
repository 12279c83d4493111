"""SMS and e-mail: against a real gateway and a real mail server on this machine."""

import http.client
import json
import logging
import socket
import socketserver
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.core.exceptions import ImproperlyConfigured

from cabinet.messaging import notifications
from cabinet.messaging.deadline import Deadline
from cabinet.messaging.notifications import NotSent, OutcomeUnknown

SENTENCE = "Не удалось отправить СМС. Попробуйте через минуту."


@dataclass
class Gateway:
    """The requests that it received, and the status that it answers."""

    status: int = 200
    requests: list[tuple[str, str, object]] = field(default_factory=list)


@pytest.fixture
def gateway():
    received = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.requests.append((self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(received.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield received, server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def over_http(monkeypatch):
    """The gateway of the test speaks plain HTTP: the scheme is changed on the wire, nothing else."""
    monkeypatch.setattr(
        http.client,
        "HTTPSConnection",
        lambda host, port, *, timeout, context: HTTPConnection(host, port, timeout=timeout),
    )


def test_sms_is_posted_with_the_token_of_the_address(settings, gateway, over_http):
    received, port = gateway
    settings.SMS_URL = f"https://se%3Acret@127.0.0.1:{port}/send?from=kassa"

    notifications.send_sms(to="79120000001", text="Код 123456")

    assert received.requests == [
        ("/send?from=kassa", "Bearer se:cret", {"to": "+79120000001", "text": "Код 123456"})
    ]


@pytest.mark.parametrize("status", [302, 400, 401, 429])
def test_sms_that_the_gateway_refuses_is_not_sent(settings, gateway, over_http, caplog, status):
    received, port = gateway
    received.status = status
    settings.SMS_URL = f"https://secret@127.0.0.1:{port}/send"

    with pytest.raises(NotSent) as refused:
        notifications.send_sms(to="79120000001", text="Код 123456")

    assert refused.value.sentence == SENTENCE
    assert len(received.requests) == 1
    secrets = ("secret", "123456", "79120000001")
    assert str(status) in caplog.text
    assert [secret for secret in secrets if secret in caplog.text] == []


@pytest.mark.parametrize("status", [500, 502, 503])
def test_sms_after_a_failure_of_the_gateway_may_have_left(settings, gateway, over_http, status):
    received, port = gateway
    received.status = status
    settings.SMS_URL = f"https://secret@127.0.0.1:{port}/send"

    with pytest.raises(OutcomeUnknown) as unknown:
        notifications.send_sms(to="79120000001", text="Код 123456")

    assert unknown.value.detail == f"ответ {status}"


def test_sms_through_a_dead_gateway_is_not_sent(settings, caplog):
    settings.SMS_URL = "https://secret@127.0.0.1:1/send"

    with pytest.raises(NotSent) as refused:
        notifications.send_sms(to="79120000001", text="Код 123456")

    assert refused.value.sentence == SENTENCE
    assert "did not answer: ConnectionRefusedError" in caplog.text
    assert "secret" not in caplog.text


def test_sms_goes_to_the_log_in_the_sandbox(settings, caplog):
    settings.SMS_URL = "console:"

    with caplog.at_level(logging.INFO, logger="cabinet.messaging.notifications"):
        notifications.send_sms(to="79120000001", text="Код 123456")

    assert caplog.messages == ["СМС на +79120000001: Код 123456"]


def test_no_code_goes_to_the_log_outside_the_sandbox(settings, caplog):
    settings.SANDBOX, settings.SMS_URL = False, "console:"
    caplog.set_level(logging.DEBUG)

    with pytest.raises(ImproperlyConfigured):
        notifications.send_sms(to="79120000001", text="Код 123456")

    assert "123456" not in caplog.text


def test_no_email_goes_to_a_plain_address_outside_the_sandbox(settings):
    settings.SANDBOX, settings.EMAIL_URL = False, "http://localhost:8100/messages/email"

    with pytest.raises(ImproperlyConfigured):
        notifications.send_email(to="anna@example.com", subject="Оплата", text="Завтра.")


@pytest.mark.parametrize("url", ["http://token@gateway.example/", "ftp://x", "gateway"])
def test_sms_never_leaves_without_tls(settings, url):
    settings.SMS_URL = url

    with pytest.raises(ImproperlyConfigured):
        notifications.send_sms(to="79120000001", text="Код 123456")


class MailServer(socketserver.TCPServer):
    """Its `answer` is what follows the text of an e-mail; None hangs up."""

    answer: bytes | None = b""


class MailSession(socketserver.StreamRequestHandler):
    """Speaks as much SMTP as a test needs."""

    server: MailServer

    def handle(self):
        self.wfile.write(b"220 mail.example\r\n")
        while line := self.rfile.readline():
            if not self._answered(line[:4].upper().strip()):
                return

    def _answered(self, verb: bytes) -> bool:
        if verb == b"DATA":
            self.wfile.write(b"354 go on\r\n")
            while self.rfile.readline() != b".\r\n":
                pass
            verb = b"TEXT"
        answer = self.server.answer if verb == b"TEXT" else b"250 ok\r\n"
        if answer is not None:
            self.wfile.write(answer)
        return answer is not None and verb != b"QUIT"


@pytest.fixture
def mail_server(settings):
    with MailServer(("127.0.0.1", 0), MailSession) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        settings.EMAIL_URL = f"smtp://127.0.0.1:{server.server_address[1]}"
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"250 queued\r\n", "sent"),
        (b"554 no\r\n", "NotSent"),
        (b"451 later\r\n", "NotSent"),
        (None, "OutcomeUnknown"),
    ],
)
def test_email_outcome_follows_what_the_server_says(mail_server, answer, outcome):
    mail_server.answer = answer

    try:
        notifications.send_email(to="anna@example.com", subject="Оплата", text="Завтра.")
        seen = "sent"
    except (NotSent, OutcomeUnknown) as error:
        seen = type(error).__name__

    assert seen == outcome


def test_email_is_printed_in_the_sandbox(settings, capsys):
    settings.EMAIL_URL = "console:"

    notifications.send_email(to="anna@example.com", subject="Оплата", text="Завтра списание.")

    printed = capsys.readouterr().out
    assert "To: anna@example.com" in printed


def test_email_through_a_dead_server_is_not_sent(settings, caplog):
    settings.EMAIL_URL = "smtp://user:secret@127.0.0.1:1"

    with pytest.raises(NotSent) as refused:
        notifications.send_email(to="anna@example.com", subject="Оплата", text="Завтра списание.")

    assert (
        refused.value.sentence == "Не удалось отправить письмо. Попробуйте через несколько минут."
    )
    assert "secret" not in caplog.text
    assert "anna@example.com" not in caplog.text


# --- servers that send a byte now and then --------------------------------------------------------


class DrippingServer(socketserver.ThreadingTCPServer):
    """Says `said` at once and then sends `dripped` byte by byte, for ever."""

    daemon_threads = True
    said = b""
    dripped = b"x"


class DrippingSession(socketserver.BaseRequestHandler):
    server: DrippingServer

    def handle(self):
        with suppress(OSError):
            self.request.sendall(self.server.said)
            while True:
                self.request.sendall(self.server.dripped)
                time.sleep(0.05)


@pytest.fixture
def dripping(monkeypatch):
    monkeypatch.setattr(notifications, "_SMS_SECONDS", 0.5)
    monkeypatch.setattr(notifications, "_EMAIL_SECONDS", 0.5)
    with DrippingServer(("127.0.0.1", 0), DrippingSession) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 100 Continue\r\n"], ids=["status", "interim"])
def test_sms_ends_at_the_deadline_however_slow_the_gateway(settings, over_http, dripping, said):
    dripping.said = said
    settings.SMS_URL = f"https://secret@127.0.0.1:{dripping.server_address[1]}/send"
    started = time.monotonic()

    with pytest.raises(OutcomeUnknown):
        notifications.send_sms(to="79120000001", text="Код 123456")

    assert 0.4 < time.monotonic() - started < 5


@pytest.mark.parametrize("said", [b"", b"220-mail.example\r\n220-"], ids=["first line", "second"])
def test_email_ends_at_the_deadline_however_slow_the_server(settings, dripping, said):
    dripping.said = said
    settings.EMAIL_URL = f"smtp://127.0.0.1:{dripping.server_address[1]}"
    started = time.monotonic()

    with pytest.raises(NotSent):
        notifications.send_email(to="anna@example.com", subject="Оплата", text="Завтра.")

    assert 0.4 < time.monotonic() - started < 5


def test_email_whose_end_is_not_answered_in_time_may_have_left(mail_server, monkeypatch):
    monkeypatch.setattr(notifications, "_EMAIL_SECONDS", 0.5)
    mail_server.answer = b"250-"
    started = time.monotonic()

    with pytest.raises(OutcomeUnknown):
        notifications.send_email(to="anna@example.com", subject="Оплата", text="Завтра.")

    assert 0.4 < time.monotonic() - started < 5


def test_connection_that_opens_after_the_deadline_is_not_used():
    near, far = socket.socketpair()
    with near, far, Deadline(0) as deadline:
        time.sleep(0.2)

        with pytest.raises(TimeoutError):
            deadline.watch(near)


def test_deadline_leaves_a_quick_connection_alone():
    near, far = socket.socketpair()
    with near, far:
        with Deadline(0.2) as deadline:
            deadline.watch(near)
        time.sleep(0.3)

        far.sendall(b"ok")

        assert near.recv(2) == b"ok"
