"""SMS and e-mail: against a real gateway and a real mail server on this machine."""

import json
import logging
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests
from django.core.exceptions import ImproperlyConfigured

from cabinet import messengers
from cabinet.messengers import NotSent

SENTENCE = "Не удалось отправить СМС. Попробуйте через минуту."


@dataclass
class Heard:
    """What the gateway was told, and what it answers."""

    status: int = 200
    requests: list[tuple[str, str, object]] = field(default_factory=list)


@pytest.fixture
def gateway():
    heard = Heard()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.requests.append((self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(heard.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield heard, server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def over_http(monkeypatch):
    """The gateway of the test speaks plain HTTP: the scheme is changed on the wire, nothing else."""
    post = requests.post
    monkeypatch.setattr(
        requests, "post", lambda url, **options: post(url.replace("https://", "http://"), **options)
    )


def test_sms_is_posted_with_the_token_of_the_address(settings, gateway, over_http):
    heard, port = gateway
    settings.SMS_URL = f"https://se%3Acret@127.0.0.1:{port}/send?from=kassa"

    messengers.send_sms(to="79120000001", text="Код 123456")

    assert heard.requests == [
        ("/send?from=kassa", "Bearer se:cret", {"to": "+79120000001", "text": "Код 123456"})
    ]


@pytest.mark.parametrize("status", [302, 400, 401, 500])
def test_sms_that_the_gateway_refuses_is_not_sent(settings, gateway, over_http, caplog, status):
    heard, port = gateway
    heard.status = status
    settings.SMS_URL = f"https://secret@127.0.0.1:{port}/send"

    with pytest.raises(NotSent) as refused:
        messengers.send_sms(to="79120000001", text="Код 123456")

    assert refused.value.sentence == SENTENCE
    assert len(heard.requests) == 1
    assert [word in caplog.text for word in (str(status), "secret", "123456", "79120000001")] == [
        True, False, False, False,
    ]  # fmt: skip


def test_sms_through_a_dead_gateway_is_not_sent(settings, caplog):
    settings.SMS_URL = "https://secret@127.0.0.1:1/send"

    with pytest.raises(NotSent) as refused:
        messengers.send_sms(to="79120000001", text="Код 123456")

    assert refused.value.sentence == SENTENCE
    assert "did not answer: ConnectionError" in caplog.text
    assert "secret" not in caplog.text


def test_sms_goes_to_the_log_in_the_sandbox(settings, caplog):
    settings.SMS_URL = "console:"

    with caplog.at_level(logging.INFO, logger="cabinet.messengers"):
        messengers.send_sms(to="79120000001", text="Код 123456")

    assert caplog.messages == ["СМС на +79120000001: Код 123456"]


def test_no_code_goes_to_the_log_outside_the_sandbox(settings, caplog):
    settings.SANDBOX, settings.SMS_URL = False, "console:"
    caplog.set_level(logging.DEBUG)

    with pytest.raises(ImproperlyConfigured):
        messengers.send_sms(to="79120000001", text="Код 123456")

    assert "123456" not in caplog.text


@pytest.mark.parametrize("url", ["http://token@gateway.example/", "ftp://x", "gateway"])
def test_sms_never_leaves_without_tls(settings, url):
    settings.SMS_URL = url

    with pytest.raises(ImproperlyConfigured):
        messengers.send_sms(to="79120000001", text="Код 123456")


def test_letter_goes_to_the_console_in_the_sandbox(settings, capsys):
    settings.EMAIL_URL = "console:"

    messengers.send_email(to="anna@example.com", subject="Оплата", text="Завтра списание.")

    printed = capsys.readouterr().out
    assert "To: anna@example.com" in printed


def test_letter_through_a_dead_server_is_not_sent(settings, caplog):
    settings.EMAIL_URL = "smtp://user:secret@127.0.0.1:1"

    with pytest.raises(NotSent) as refused:
        messengers.send_email(to="anna@example.com", subject="Оплата", text="Завтра списание.")

    assert (
        refused.value.sentence == "Не удалось отправить письмо. Попробуйте через несколько минут."
    )
    assert [word in caplog.text for word in ("secret", "anna@example.com")] == [False, False]
