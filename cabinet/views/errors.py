"""What people see when something goes wrong. None of these pages needs the database to be there."""

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

from cabinet.access import framed, in_a_frame

RETRY_AFTER = 30  # seconds


def _answer(request: HttpRequest, page: Callable[[HttpRequest], HttpResponse]) -> HttpResponseBase:
    # A refusal must be readable where the page would have stood; it holds nothing worth stealing a click for.
    return framed(page)(request) if in_a_frame(request) else page(request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """400. A page asked for while another window of this browser was signing in is asked for again."""
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
    """404, the same for what never was and for what belongs to somebody else."""
    return _answer(request, lambda asked: render(asked, "404.html", status=404))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """403 for a form that was open too long, or whose cookie did not come back."""
    return _answer(request, lambda asked: render(asked, "403_csrf.html", status=403))


def server_error(request: HttpRequest) -> HttpResponseBase:
    """500; where the database is away or takes no writes, 503 with `Retry-After`."""
    error = sys.exc_info()[1]
    if _was_caused_by(error, (ReadOnlySqlTransaction,)):
        return _answer(request, partial(_unavailable, "cabinet/read_only.html"))
    if _was_caused_by(error, (OperationalError, InterfaceError)):
        return _answer(request, partial(_unavailable, "cabinet/unavailable.html"))
    return _answer(request, lambda _asked: HttpResponse(_page("500.html"), status=500))


def _was_caused_by(error: BaseException | None, kinds: tuple[type[BaseException], ...]) -> bool:
    while error is not None:
        if isinstance(error, kinds):
            return True
        error = error.__cause__ or error.__context__
    return False


def _unavailable(template: str, _request: HttpRequest) -> HttpResponse:
    return HttpResponse(_page(template), status=503, headers={"Retry-After": str(RETRY_AFTER)})


def _page(template: str) -> str:
    # Without the request: no context processor asks for a session, a person or a message.
    context: dict[str, Any] = {"support_phone": settings.SUPPORT_PHONE}
    return render_to_string(template, context)
