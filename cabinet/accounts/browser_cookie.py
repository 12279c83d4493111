"""The cookie of a known browser: its own secret, who has signed in with it and whom the market has let in.

One signed cookie and no row: an anonymous visitor costs nothing in the database. Whoever ends all sessions
of a person makes their browsers unknown, too: the cookie keeps a mark of the stored password.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from cabinet.crypto import fingerprint
from cabinet.models import User

# Browsers keep no cookie longer.
MAX_AGE = 400 * 24 * 3600  # seconds
# A tablet of a shop serves several people; the cookie must stay small.
MAX_PEOPLE = 20
_SALT = "cabinet.browser"
# How somebody came in.
_CODE, _MARKET = "known-browser", "entered-browser"


@dataclass(frozen=True)
class Browser:
    """`secret` binds codes to this browser; `people` are primary keys with marks of how they came in."""

    secret: str = field(repr=False)
    people: Mapping[str, str] = field(default_factory=dict, repr=False)

    def knows(self, user: User) -> bool:
        """Whether this person has given a code in this browser, and has not ended all sessions since."""
        return self._has(user, _CODE)

    def has_seen(self, user: User) -> bool:
        """The same, or the market has let this person in here: that proves nobody, but it is no new browser."""
        return self._has(user, _CODE) or self._has(user, _MARKET)

    def with_person(self, user: User) -> "Browser":
        """The same browser after the person has signed in; of too many people the earliest are dropped."""
        return self._with(user, _CODE)

    def with_entry(self, user: User) -> "Browser":
        """The same browser after the market has let the person in; who is known stays known."""
        return self._with(user, _CODE if self.knows(user) else _MARKET)

    def _has(self, user: User, way: str) -> bool:
        return self.people.get(str(user.pk)) == _mark(user, way)

    def _with(self, user: User, way: str) -> "Browser":
        others = {pk: mark for pk, mark in self.people.items() if pk != str(user.pk)}
        newest = [*others.items(), (str(user.pk), _mark(user, way))][-MAX_PEOPLE:]
        return Browser(self.secret, dict(newest))


def cookie_name() -> str:
    """With HTTPS no other host and no path can set it (prefix `__Host-`)."""
    return "__Host-browser" if settings.HTTPS else "browser"


def browser_of(request: HttpRequest) -> Browser:
    """The visitor's browser; a new one where the cookie is missing, forged or too old."""
    try:
        kept = signing.loads(request.COOKIES.get(cookie_name(), ""), salt=_SALT, max_age=MAX_AGE)
        return Browser(kept["secret"], kept["people"])
    except (signing.BadSignature, KeyError, TypeError):
        return Browser(secrets.token_urlsafe(16))


def remember_browser(response: HttpResponseBase, browser: Browser) -> None:
    """Set the cookie of this browser. In the market's frame FramedSessionMiddleware makes it a partitioned one."""
    value = signing.dumps({"secret": browser.secret, "people": browser.people}, salt=_SALT)
    response.set_cookie(
        cookie_name(), value, max_age=MAX_AGE, secure=settings.HTTPS, httponly=True, samesite="Lax"
    )


def _mark(user: User, way: str) -> str:
    return fingerprint(f"{way}:{user.pk}:{user.password}")[:16]
