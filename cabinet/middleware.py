"""Middleware: the visitor's address behind proxies, calls of machines, cookies inside the market's frame, news of
entries with new browsers.
"""

import http.cookies
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import CSRF_SESSION_KEY
from django.urls import Resolver404, ResolverMatch, resolve

from cabinet import clock
from cabinet.accounts.access import is_framed_request
from cabinet.accounts.browser_cookie import browser_of, cookie_name, remember_browser
from cabinet.accounts.services import people, sessions

FRAMED_KEY = "framed"
# Session key: the market has just opened this session, and nobody was told of it yet.
NEW_ENTRY_KEY = "new_entry"
_DOUBLED = re.compile("//+")
View = TypeVar("View", bound=Callable[..., HttpResponseBase])
_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST")

# In Python from 3.14 only; without the attribute Safari and Firefox drop the cookie in a frame.
http.cookies.Morsel._reserved.setdefault("partitioned", "Partitioned")  # type: ignore[attr-defined]  # noqa: SLF001
http.cookies.Morsel._flags.add("partitioned")  # type: ignore[attr-defined]  # noqa: SLF001


class TrustedProxyMiddleware:
    """Takes `X-Forwarded-*` from TRUSTED_PROXIES only, drops it from all others; sets REMOTE_ADDR."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        meta = request.META
        if meta.get("REMOTE_ADDR") in settings.TRUSTED_PROXIES:
            self._take_address(meta)
        else:
            for header in _FORWARDED:
                meta.pop(header, None)
        return self._get_response(request)

    @staticmethod
    def _take_address(meta: dict[str, Any]) -> None:
        # The last address that is not a proxy of ours: anybody may have written the ones before it.
        for address in reversed(meta.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            candidate = address.strip()
            if candidate and candidate not in settings.TRUSTED_PROXIES:
                meta["REMOTE_ADDR"] = candidate
                return


def for_machines(view: View) -> View:
    """Decorator of a view that another system calls: it proves its caller itself and gets nothing but the
    request. No session, person, company, form token or message stands before it.
    """
    view.for_machines = True  # type: ignore[attr-defined]
    return view


class MachineMiddleware:
    """Answers the views of `for_machines` at once; all other requests go on to the middleware below.

    Their addresses are typed into other systems by hand: letter case and doubled slashes do not count.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        found = _machine_view(request.path_info)
        if found is None:
            return self._get_response(request)
        request.resolver_match = found
        response: HttpResponse = found.func(request, *found.args, **found.kwargs)
        response.headers["Content-Length"] = str(len(response.content))
        return response


# The few addresses of machines are asked for by the thousand.
@lru_cache(maxsize=256)
def _machine_view(path: str) -> ResolverMatch | None:
    try:
        found = resolve(_DOUBLED.sub("/", path).lower())
    except Resolver404:
        return None
    return found if getattr(found.func, "for_machines", False) else None


class FramedSessionMiddleware(SessionMiddleware):
    """Django's sessions, with our lifetimes; in the market's frame the cookie is partitioned.

    The secret against forged forms lies in the session where there is one, since a second cookie would be
    lost in a frame, and else in a cookie, so that a page for nobody makes no session.
    """

    def process_request(self, request: Any) -> None:
        """Ends what has lasted too long. Health probes must be answered without a database."""
        super().process_request(request)
        request.was_framed = False
        session = request.session
        if session.session_key is None or request.path.startswith("/health/"):
            return
        request.was_framed = bool(session.get(FRAMED_KEY))
        agent = request.headers.get("User-Agent", "")
        sessions.keep_or_end(session=session, user_agent=agent, at=clock.real_now())
        if CSRF_SESSION_KEY in session:
            request.COOKIES[settings.CSRF_COOKIE_NAME] = session[CSRF_SESSION_KEY]

    def process_response(self, request: Any, response: Any) -> Any:
        """Partitioned where the session is or was one of the frame: deleting needs the same attributes."""
        if not hasattr(request, "session"):
            return super().process_response(request, response)
        framed = request.was_framed or is_framed_request(request)
        _keep_csrf_in_session(request.session, response, framed=framed)
        framed = framed if request.session.is_empty() else bool(request.session.get(FRAMED_KEY))
        response = super().process_response(request, response)
        if framed:
            _partition(response)
        return response


def _partition(response: HttpResponseBase) -> None:
    for name in (settings.SESSION_COOKIE_NAME, cookie_name()):
        cookie = response.cookies.get(name)
        if cookie is not None:
            cookie["samesite"] = "None"
            cookie["secure"] = True
            cookie["partitioned"] = True


def _keep_csrf_in_session(
    session: SessionBase, response: HttpResponseBase, *, framed: bool
) -> None:
    """What Django would send as a cookie is kept in the session, if there is one or a frame needs one."""
    cookie = response.cookies.get(settings.CSRF_COOKIE_NAME)
    if cookie is None or (session.is_empty() and not framed):
        return
    if session.is_empty():
        session[FRAMED_KEY] = True
    if session.get(CSRF_SESSION_KEY) != cookie.value:
        session[CSRF_SESSION_KEY] = cookie.value
    del response.cookies[settings.CSRF_COOKIE_NAME]


class NewDeviceMiddleware:
    """Tells an owner whom the market has let in with a browser that was not seen before.

    Not at the entry itself but when the session's cookie comes back first: a frame may lose it, and the window
    that opens then is one entry and not two. No session works before it was told.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Health probes must be answered without a database.
        is_new = not request.path.startswith("/health/") and request.session.pop(
            NEW_ENTRY_KEY, False
        )
        if not is_new or not request.user.is_authenticated:
            return self._get_response(request)
        user, browser = request.user, browser_of(request)
        if not browser.has_seen(user):
            people.tell_new_device(user=user, at=clock.now(), from_market=True)
        response = self._get_response(request)
        remember_browser(response, browser.with_entry(user))
        return response
