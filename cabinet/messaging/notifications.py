"""SMS and e-mail to people. Never call these inside a transaction.

`SMS_URL`: `https://token@gateway/path` posts `{"to", "text"}` as JSON with the token as Bearer. `EMAIL_URL`:
`smtp://user:password@host:587` (STARTTLS wherever there is a password), `smtps://…` (TLS from the first byte) or
`console:`. With SANDBOX=1 also: `http://localhost…` posts both kinds to the sandbox, SMS texts are in the log too, and
`console:` writes SMS to the log only.
"""

import http.client
import json
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from smtplib import (
    SMTP,
    SMTP_SSL,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPResponseException,
)
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import certifi
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.console import EmailBackend as ConsoleBackend
from django.core.mail.backends.smtp import EmailBackend as SmtpBackend

from cabinet.errors import Refused
from cabinet.messaging.deadline import Deadline

logger = logging.getLogger(__name__)

# For connecting to one address of the gateway, with TLS; for an SMS; for one answer of the mail server; for an e-mail.
_CONNECT_SECONDS = 3.05
_SMS_SECONDS = 10.0
_READ_SECONDS = 10.0
_EMAIL_SECONDS = 30.0


class NotSent(Refused):
    """The gateway surely took nothing: it may be tried again. `detail` says what it answered."""

    def __init__(self, sentence: str, detail: str) -> None:
        super().__init__(sentence)
        self.detail = detail


class OutcomeUnknown(Exception):
    """Nobody knows whether the gateway took the message: it must not be sent again."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def send_sms(*, to: str, text: str) -> None:
    """Post the text to the gateway, at most 10 seconds. `to` is E.164 without plus.

    Raises NotSent where there was no connection or the answer is 3xx or 4xx, OutcomeUnknown after any other
    failure: a gateway that answers 5xx or not at all may have taken the message before.
    """
    address = urlsplit(settings.SMS_URL)
    to_log = settings.SANDBOX and address.scheme == "console"
    if to_log or _is_sandbox(address):
        # The texts carry codes: outside the sandbox a log must never hold one.
        logger.info("СМС на +%s: %s", to, text)
    if to_log:
        return
    if address.scheme != "https" and not _is_sandbox(address):
        raise ImproperlyConfigured("SMS_URL must be https://token@host/path.")
    _post(address, {"to": f"+{to}", "text": text}, _SMS_REFUSED)


def _is_sandbox(address: SplitResult) -> bool:
    """Whether it is a server of this machine, which only SANDBOX=1 allows: without TLS nothing else is."""
    return settings.SANDBOX and address.scheme == "http" and address.hostname in _THIS_MACHINE


_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
_SMS_REFUSED = "Не удалось отправить СМС. Попробуйте через минуту."
_EMAIL_REFUSED = "Не удалось отправить письмо. Попробуйте через несколько минут."


def _post(address: SplitResult, body: dict[str, str], refusal: str) -> None:
    status = _status_of(address, json.dumps(body).encode(), refusal)
    if 200 <= status < 300:
        return
    logger.warning("The gateway answered %s", status)
    if 300 <= status < 500:
        raise NotSent(refusal, f"ответ {status}")
    raise OutcomeUnknown(f"ответ {status}")


def _status_of(address: SplitResult, body: bytes, refusal: str) -> int:
    token = unquote(address.password or address.username or "")
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "User-Agent": "cabinet/1",
    }
    target = urlunsplit(("", "", address.path or "/", address.query, ""))
    with closing(_connection(address)) as connection, Deadline(_SMS_SECONDS) as deadline:
        try:
            connection.connect()
            deadline.watch(connection.sock)
        except OSError as error:
            raise NotSent(refusal, f"нет связи: {_logged(error)}") from None
        try:
            connection.sock.settimeout(_SMS_SECONDS)
            connection.request("POST", target, body, headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise OutcomeUnknown(f"нет ответа: {_logged(error)}") from None


def _connection(address: SplitResult) -> http.client.HTTPConnection:
    host, port = address.hostname or "", address.port
    if address.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=_CONNECT_SECONDS)
    context = ssl.create_default_context(cafile=certifi.where())
    return http.client.HTTPSConnection(host, port, timeout=_CONNECT_SECONDS, context=context)


def _logged(error: Exception) -> str:
    name = type(error).__name__
    logger.warning("The gateway did not answer: %s", name)
    return name


def send_email(*, to: str, subject: str, text: str) -> None:
    """Send a plain-text e-mail, within half a minute. Raises NotSent, OutcomeUnknown."""
    address = urlsplit(settings.EMAIL_URL)
    if _is_sandbox(address):
        _post(address, {"to": to, "subject": subject, "text": text}, _EMAIL_REFUSED)
        return
    with Deadline(_EMAIL_SECONDS) as deadline:
        backend = _backend(address, deadline)
        email = EmailMessage(subject, text, settings.DEFAULT_FROM_EMAIL, [to], connection=backend)
        try:
            _send_through(backend, email)
        finally:
            with suppress(SMTPException, OSError):
                backend.close()


def _send_through(backend: BaseEmailBackend, email: EmailMessage) -> None:
    try:
        backend.open()
    except (SMTPException, OSError) as error:
        raise _email_not_sent(error) from None
    try:
        email.send()
    # The server has said no to this message.
    except (SMTPResponseException, SMTPRecipientsRefused) as error:
        raise _email_not_sent(error) from None
    except (SMTPException, OSError) as error:
        logger.warning("The mail server broke off: %s", type(error).__name__)
        raise OutcomeUnknown(f"нет ответа: {type(error).__name__}") from None


def _email_not_sent(error: Exception) -> NotSent:
    logger.warning("The mail server did not accept an e-mail: %s", type(error).__name__)
    return NotSent(_EMAIL_REFUSED, f"не принято: {type(error).__name__}")


def _backend(address: SplitResult, deadline: Deadline) -> BaseEmailBackend:
    if address.scheme == "console":
        return ConsoleBackend()
    if address.scheme not in {"smtp", "smtps"}:
        raise ImproperlyConfigured("EMAIL_URL must be console:, smtp://… or smtps://….")
    over_tls = address.scheme == "smtps"
    return _TimedBackend(
        deadline,
        host=address.hostname or "localhost",
        port=address.port or (465 if over_tls else 587),
        username=unquote(address.username or ""),
        password=unquote(address.password or ""),
        use_ssl=over_tls,
        use_tls=not over_tls and bool(address.password),
        timeout=_READ_SECONDS,
    )


class _TimedBackend(SmtpBackend):
    """Django's, with a deadline for the whole conversation."""

    def __init__(self, deadline: Deadline, **options: Any) -> None:
        super().__init__(**options)
        self._deadline = deadline

    @property
    def connection_class(self) -> Callable[..., SMTP]:  # type: ignore[override]
        return partial(_TimedSmtpTls if self.use_ssl else _TimedSmtp, self._deadline)


class _Timed:
    """Gives the connection to the deadline before the server has said its first word."""

    def __init__(self, deadline: Deadline, *arguments: Any, **options: Any) -> None:
        self._deadline = deadline
        super().__init__(*arguments, **options)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        self._deadline.watch(connection)
        return connection


class _TimedSmtp(_Timed, SMTP):
    """Without TLS, or with STARTTLS."""


class _TimedSmtpTls(_Timed, SMTP_SSL):
    """With TLS from the first byte."""
