"""Error pages. None of them needs the database."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from psycopg2.errors import ReadOnlySqlTransaction

from cabinet.accounts import stale_forms
from cabinet.accounts.access import allow_framing, is_framed_request

RETRY_AFTER = 30  # seconds


def _answer(request: HttpRequest, page: Callable[[HttpRequest], HttpResponse]) -> HttpResponseBase:
    # Readable in the frame where the page would have been; the error page has nothing worth clickjacking.
    return allow_framing(page)(request) if is_framed_request(request) else page(request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """400. A page asked for while another window of this browser was signing in is asked for again; 503 where
    the session could not be stored because the database is away.
    """
    away = _database_away(request, exception)
    if away is not None:
        return away
    if isinstance(exception, SessionInterrupted) and request.method in {"GET", "HEAD"}:
        return redirect(request.get_full_path())
    return _answer(request, lambda asked: render(asked, "400.html", status=400))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """403 with the sentence of the rule, where there is one."""
    context = {"sentence": str(exception)}
    return _answer(
        request, lambda asked: render(asked, "cabinet/forbidden.html", context, status=403)
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """404, the same for a missing row and for one of another merchant."""
    return _answer(request, lambda asked: render(asked, "404.html", status=404))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """403 for a form that was open too long, or whose cookie did not come back; what was typed into a form of
    ours is kept to be sent again.
    """
    if stale_forms.is_ours(request):
        return _answer(request, stale_forms.before_sign_out)
    return _answer(request, lambda asked: render(asked, "403_csrf.html", status=403))


def server_error(request: HttpRequest) -> HttpResponseBase:
    """500; where the database is away or takes no writes, 503 with `Retry-After`."""
    away = _database_away(request, sys.exc_info()[1])
    if away is not None:
        return away
    return _answer(request, lambda _asked: HttpResponse(_page("500.html"), status=500))


def _database_away(request: HttpRequest, error: BaseException | None) -> HttpResponseBase | None:
    """503 where this error comes from a database that is away or takes no writes; else None."""
    if _was_caused_by(error, (ReadOnlySqlTransaction,)):
        return _answer(request, partial(_unavailable, "cabinet/read_only.html"))
    if _was_caused_by(error, (OperationalError, InterfaceError)):
        return _answer(request, partial(_unavailable, "cabinet/unavailable.html"))
    return None


def _was_caused_by(error: BaseException | None, kinds: tuple[type[BaseException], ...]) -> bool:
    while error is not None:
        if isinstance(error, kinds):
            return True
        error = error.__cause__ or error.__context__
    return False


def _unavailable(template: str, _request: HttpRequest) -> HttpResponse:
    return HttpResponse(_page(template), status=503, headers={"Retry-After": str(RETRY_AFTER)})


def page_of_status(status: int) -> str:
    """The page of 414 and 431, which the web server answers before there is a request."""
    return _page(f"{status}.html")


def _page(template: str) -> str:
    # Without the request: no context processor asks for a session, a person or a message.
    context: dict[str, Any] = {"support_phone": settings.SUPPORT_PHONE}
    return render_to_string(template, context)
