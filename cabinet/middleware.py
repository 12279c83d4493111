"""Below the pages: whose address it is, and cookies inside the market's frame."""

import http.cookies
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase

FRAMED_KEY = "framed"
_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST")

# Python knows the attribute from 3.14 only; without it Safari and Firefox drop a cookie in a frame.
http.cookies.Morsel._reserved.setdefault("partitioned", "Partitioned")  # type: ignore[attr-defined]  # noqa: SLF001
http.cookies.Morsel._flags.add("partitioned")  # type: ignore[attr-defined]  # noqa: SLF001


class TrustedProxyMiddleware:
    """Believes `X-Forwarded-*` from our own proxies only, and takes the visitor's address from there."""

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
        # The last address that is not ours: what stands before it anybody may have written.
        for address in reversed(meta.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            candidate = address.strip()
            if candidate and candidate not in settings.TRUSTED_PROXIES:
                meta["REMOTE_ADDR"] = candidate
                return


class FramedSessionMiddleware(SessionMiddleware):
    """Sessions as ever; one opened in a frame gets `SameSite=None; Secure; Partitioned`."""

    def process_response(self, request: Any, response: Any) -> Any:
        framed = bool(request.session.get(FRAMED_KEY)) if hasattr(request, "session") else False
        response = super().process_response(request, response)
        cookie = response.cookies.get(settings.SESSION_COOKIE_NAME)
        if framed and cookie is not None:
            cookie["samesite"] = "None"
            cookie["secure"] = True
            cookie["partitioned"] = True
        return response
