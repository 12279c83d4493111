"""The code that a session needs before what could take the company away.

A session that the market's cabinet opened: the market proves an account and not a person, by a token that many
may read, so it does the work of the day for its one company. And every session of a person who has set up an
app: whoever gets hold of the phone's number reads SMS, and not the app. A code is good for `HOLDS`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, cast

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render

from cabinet import clock
from cabinet.accounts import stale_forms
from cabinet.accounts.browser_cookie import browser_of
from cabinet.accounts.services import login_codes, second_factor, step_up
from cabinet.accounts.visitor import visitor_address
from cabinet.actors import Actor
from cabinet.enums import ActorKind
from cabinet.errors import Refused
from cabinet.models import Merchant, User

# Session keys: the company that the market proved; when a code was last given; the code that was sent.
ENTERED_KEY, PROVED_KEY, SENT_KEY = "entered_merchant_id", "code_given_at", "step_up_code"
KEYS = (ENTERED_KEY, PROVED_KEY, SENT_KEY)
# Fields of the page that asks for the code.
CODE, AGAIN, BY_LINK = "step_up_code", "step_up_again", "step_up_link"
HOLDS = timedelta(hours=12)
View = Callable[..., HttpResponseBase]


class CodeNeeded(Exception):
    """This session has to be confirmed by a code first; `asks_for_code` makes the page of it."""


def mark_entered(request: HttpRequest, merchant: Merchant) -> None:
    """The session, just opened, is the market's: it works for this company only until a code is given."""
    request.session[ENTERED_KEY] = merchant.pk


def mark_proved(request: HttpRequest, at: datetime) -> None:
    """The person has just given a code in this session."""
    request.session[PROVED_KEY] = at.timestamp()


def only_company(request: HttpRequest) -> int | None:
    """The only company that this session may work for; None where it may for all of the person's."""
    return None if PROVED_KEY in request.session else request.session.get(ENTERED_KEY)


def needs_code(request: HttpRequest) -> bool:
    """Whether the market opened this session, or the person has an app, and no code was given in it for `HOLDS`."""
    proved = _proved_at(request)
    if proved is not None and abs(clock.now() - proved) < HOLDS:
        return False
    return ENTERED_KEY in request.session or _has_app(request)


def require_code(request: HttpRequest) -> None:
    """Raise CodeNeeded where the session needs a code: before owners, roles, e-mail, the end of others' sessions."""
    if needs_code(request):
        raise CodeNeeded


def asks_for_code(view: View) -> View:
    """Decorator: where the view raises CodeNeeded, a page asks for the code; what was typed goes on after it.

    After «Завершить все сеансы» a session of the market gets nothing else before its first code.
    """

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if AGAIN in request.POST and not _has_app(request):
            return _page(request, problem=_send(request))
        if CODE in request.POST:
            problem = _take_code(request)
            if problem:
                return _page(request, problem=problem)
            if BY_LINK in request.POST:
                return redirect(request.get_full_path())
        if _is_locked(request):
            return _ask(request)
        try:
            return view(request, *args, **kwargs)
        except CodeNeeded:
            return _ask(request)

    return guarded


def _ask(request: HttpRequest) -> HttpResponse:
    # A GET sends nothing: it may be a prefetch.
    unsent = request.method == "POST" and SENT_KEY not in request.session and not _has_app(request)
    return _page(request, problem=_send(request) if unsent else "")


def _is_locked(request: HttpRequest) -> bool:
    merchant: Merchant | None = getattr(request, "merchant", None)
    since = merchant.entry_code_since if merchant else None
    if since is None or ENTERED_KEY not in request.session:
        return False
    proved = _proved_at(request)
    return proved is None or proved < since


def _proved_at(request: HttpRequest) -> datetime | None:
    stored = request.session.get(PROVED_KEY)
    return None if stored is None else datetime.fromtimestamp(stored, UTC)


def _has_app(request: HttpRequest) -> bool:
    """Whether the person confirms by an app, so that no SMS is sent."""
    return second_factor.is_set_up(cast("User", request.user))


def _send(request: HttpRequest) -> str:
    """Send a code by SMS; the sentence of a refusal, else an empty text."""
    user = cast("User", request.user)
    try:
        request.session[SENT_KEY] = step_up.send_code(
            user=user,
            address=visitor_address(request),
            session=request.session.session_key or "",
            is_known=PROVED_KEY in request.session or browser_of(request).knows(user),
            at=clock.now(),
        )
    except Refused as refusal:
        return refusal.sentence
    return ""


def _take_code(request: HttpRequest) -> str:
    """Check the typed code and mark the session; the sentence of a refusal, else an empty text."""
    user, now = cast("User", request.user), clock.now()
    try:
        step_up.check_code(
            user=user,
            code="".join(request.POST[CODE].split()),
            sent=request.session.get(SENT_KEY),
            merchant=getattr(request, "merchant", None),
            by=Actor(ActorKind.PERSON, user.shown_name, user.pk),
            at=now,
        )
    except login_codes.CodeExpired as refusal:
        request.session.pop(SENT_KEY, None)
        return refusal.sentence
    except Refused as refusal:
        return refusal.sentence
    request.session.pop(SENT_KEY, None)
    mark_proved(request, now)
    return ""


def _page(request: HttpRequest, *, problem: str) -> HttpResponse:
    own = {CODE, AGAIN, BY_LINK}
    context = {
        "typed": [one for one in stale_forms.typed_fields(request) if one[0] not in own],
        "by_link": request.method != "POST" or BY_LINK in request.POST,
        "address": request.get_full_path(),
        "sent": SENT_KEY in request.session,
        "problem": problem,
        "entered": ENTERED_KEY in request.session,
        "has_app": _has_app(request),
        "phone": cast("User", request.user).phone or "",
    }
    return render(request, "cabinet/step_up.html", context, status=403)
