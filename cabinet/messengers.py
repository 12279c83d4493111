"""What leaves for people: SMS and e-mail. Never call these inside a transaction.

`SMS_URL`: `console:` writes the text to the log (sandbox only); `https://token@gateway/path` posts
`{"to", "text"}` as JSON with the token as Bearer. `EMAIL_URL`: `console:`, `smtp://user:password@host:587`
(STARTTLS wherever there is a password) or `smtps://…` (TLS from the first byte).
"""

import logging
from dataclasses import dataclass
from smtplib import SMTPException
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import requests
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.console import EmailBackend as ConsoleBackend
from django.core.mail.backends.smtp import EmailBackend as SmtpBackend

from cabinet.errors import Refused

logger = logging.getLogger(__name__)

_SMS_TIMEOUT = (3.05, 7)  # seconds: connect, each read
_EMAIL_TIMEOUT = 10  # seconds


class NotSent(Refused):
    """The gateway did not take the message, or nobody knows whether it did."""


@dataclass(frozen=True)
class Gateway:
    """Where SMS are posted, and the token shown there."""

    url: str
    token: str


def send_sms(*, to: str, text: str) -> None:
    """Hand the text to the gateway. `to` is E.164 without plus. Raises NotSent."""
    address = urlsplit(settings.SMS_URL)
    if address.scheme == "console":
        _to_log(f"СМС на +{to}: {text}")
        return
    if address.scheme != "https":
        raise ImproperlyConfigured("SMS_URL must be console: or https://token@host/path.")
    _post_sms(_gateway(address), to, text)


def _to_log(line: str) -> None:
    # The texts carry codes: outside the sandbox a log must never hold one.
    if not settings.SANDBOX:
        raise ImproperlyConfigured("console: is for the sandbox only.")
    logger.info("%s", line)


def _gateway(address: SplitResult) -> Gateway:
    host = (address.hostname or "") + (f":{address.port}" if address.port else "")
    token = unquote(address.password or address.username or "")
    return Gateway(urlunsplit(("https", host, address.path, address.query, "")), token)


def _post_sms(gateway: Gateway, to: str, text: str) -> None:
    try:
        with requests.post(
            gateway.url,
            json={"to": f"+{to}", "text": text},
            headers={"Authorization": f"Bearer {gateway.token}"},
            timeout=_SMS_TIMEOUT,
            allow_redirects=False,
            stream=True,
        ) as reply:
            status = reply.status_code
    except requests.RequestException as error:
        logger.warning("The SMS gateway did not answer: %s", type(error).__name__)
        raise _sms_not_sent() from None
    if not 200 <= status < 300:
        logger.warning("The SMS gateway answered %s", status)
        raise _sms_not_sent()


def _sms_not_sent() -> NotSent:
    return NotSent("Не удалось отправить СМС. Попробуйте через минуту.")


def send_email(*, to: str, subject: str, text: str) -> None:
    """Send a plain letter. Raises NotSent."""
    letter = EmailMessage(subject, text, settings.DEFAULT_FROM_EMAIL, [to], connection=_mail())
    try:
        letter.send()
    except (SMTPException, OSError) as error:
        logger.warning("The mail server did not take a letter: %s", type(error).__name__)
        raise NotSent("Не удалось отправить письмо. Попробуйте через несколько минут.") from None


def _mail() -> BaseEmailBackend:
    address = urlsplit(settings.EMAIL_URL)
    if address.scheme == "console":
        return ConsoleBackend()
    if address.scheme not in {"smtp", "smtps"}:
        raise ImproperlyConfigured("EMAIL_URL must be console:, smtp://… or smtps://….")
    over_tls = address.scheme == "smtps"
    return SmtpBackend(
        host=address.hostname or "localhost",
        port=address.port or (465 if over_tls else 587),
        username=unquote(address.username or ""),
        password=unquote(address.password or ""),
        use_ssl=over_tls,
        use_tls=not over_tls and bool(address.password),
        timeout=_EMAIL_TIMEOUT,
    )
