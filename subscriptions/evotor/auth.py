"""Who knocks at the hooks: the market with our application token, or with one merchant's own.

Everything is compared in constant time and in full: how many secrets there are may be learnt from
the clock, what they are may not.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

from cabinet.crypto import fingerprint
from subscriptions.evotor.models import Account
from subscriptions.models import Module

APPLICATION = "приложение"
USER = "клиент"


@dataclass(frozen=True)
class Caller:
    """A proved caller; `user_id` is empty for the application, which speaks for everybody."""

    user_id: str = ""

    @property
    def kind(self) -> str:
        """How the proof is called in the inbox."""
        return USER if self.user_id else APPLICATION

    def speaks_for(self, user_id: str) -> bool:
        """Whether this caller may tell something about that user."""
        return not self.user_id or hmac.compare_digest(self.user_id.encode(), user_id.encode())


def application(header: str) -> Caller | None:
    """The application behind an `Authorization` header, by Bearer or Basic; else None."""
    scheme, secret = _split(header)
    if scheme == "bearer":
        return Caller() if _is_one_of(secret, _tokens()) else None
    if scheme == "basic":
        return Caller() if _is_one_of(_decoded(secret), _logins()) else None
    return None


def application_or_user(header: str) -> Caller | None:
    """The application, or the merchant whose token it is; else None."""
    return application(header) or _user(header)


def _user(header: str) -> Caller | None:
    scheme, secret = _split(header)
    if scheme != "bearer" or not secret:
        return None
    # Looked up by a keyed hash: what the index gives away is of no use without the key.
    accounts = Account.objects.select_related("merchant")
    account = accounts.filter(token_fingerprint=fingerprint(secret)).first()
    if account is None or not _is_one_of(secret, [account.token]):
        return None
    user_id = account.merchant.evotor_user_id
    return Caller(user_id) if user_id else None


def _split(header: str) -> tuple[str, str]:
    scheme, _, secret = header.strip().partition(" ")
    return scheme.lower(), secret.strip()


def _decoded(secret: str) -> str:
    try:
        return base64.b64decode(secret, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _tokens() -> list[str]:
    lines = "\n".join(Module.objects.values_list("app_tokens", flat=True)).splitlines()
    return [*settings.EVOTOR_APP_TOKENS, *(line.strip() for line in lines)]


def _logins() -> list[str]:
    return [settings.EVOTOR_BASIC, *Module.objects.values_list("basic_auth", flat=True)]


def _is_one_of(secret: str, known: Iterable[str]) -> bool:
    found = False
    for one in known:
        # No early end: a match takes as long as none. An empty secret is set nowhere.
        found |= bool(one) and hmac.compare_digest(one.encode(), secret.encode())
    return found
