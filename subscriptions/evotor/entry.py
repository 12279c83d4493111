"""Entry from the market's cabinet: proof of the account, one-time tickets for a new window, the pages.

A GET opens a session only in a browser that has none; over another session, and by a ticket, a person presses
a button first.
"""

import hmac
import re
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from cabinet import clock
from cabinet.accounts import confirmation, queries, stale_forms
from cabinet.accounts.access import (
    ENTRY_KEY,
    MERCHANT_KEY,
    allow_framing,
    is_framed_request,
    sign_in,
)
from cabinet.accounts.services import people
from cabinet.accounts.services.sessions import KIND_KEY
from cabinet.crypto import fingerprint
from cabinet.enums import EVOTOR_USER_ID, SessionKind
from cabinet.middleware import FRAMED_KEY, NEW_ENTRY_KEY
from cabinet.models import Merchant
from subscriptions.evotor.models import Account, EntryTicket

TICKET_LIFETIME = timedelta(minutes=5)
# For a second click of the browser that has just used a ticket.
GRACE = timedelta(minutes=1)
BROWSER_COOKIE = "entry_browser"
_UID = re.compile(EVOTOR_USER_ID)


def merchant_by_token(*, uid: str, token: str) -> Merchant | None:
    """Whose cabinet it is: `token` is ours from user/create or Evotor's from user/token, of that very `uid`.

    None for anything else, whatever was wrong. Compares in constant time.
    """
    if not _UID.fullmatch(uid) or not token:
        return None
    account = (
        Account.objects.select_related("merchant")
        .filter(merchant__evotor_user_id__iexact=uid)
        .first()
    )
    if account is None:
        return None
    shown = fingerprint(token)
    ours = hmac.compare_digest(account.token_fingerprint, shown)
    theirs = hmac.compare_digest(account.cloud_token_fingerprint, shown)
    return account.merchant if ours or theirs else None


def issue_ticket(*, merchant: Merchant, at: datetime) -> str:
    """A ticket of `TICKET_LIFETIME` for one entry; only its fingerprint is kept. Old ones are forgotten."""
    EntryTicket.objects.filter(expires_at__lt=at - TICKET_LIFETIME).delete()
    ticket = secrets.token_urlsafe(32)
    EntryTicket.objects.create(
        fingerprint=_mark(ticket), merchant=merchant, expires_at=at + TICKET_LIFETIME
    )
    return ticket


def ticket_merchant(*, ticket: str, at: datetime) -> Merchant | None:
    """Whose ticket it is while it may still be used; the ticket stays."""
    row = (
        EntryTicket.objects.select_related("merchant")
        .filter(_unused(at), fingerprint=_mark(ticket))
        .first()
    )
    return row.merchant if row else None


@transaction.atomic
def spend_ticket(*, ticket: str, at: datetime, browser: str = "") -> Merchant | None:
    """Use the ticket up. None for one that is used, old, or never was; of two at once one gets None.

    The `browser` that has used it may do so once more within `GRACE`: a second click is no refusal.
    """
    rows = EntryTicket.objects.filter(
        _unused(at) | _just_used(browser, at), fingerprint=_mark(ticket)
    )
    row = rows.select_for_update(of=("self",)).select_related("merchant").first()
    if row is None:
        return None
    if row.used_at is None:
        row.used_at, row.used_by = at, _browser_mark(browser)
        row.save(update_fields=["used_at", "used_by"])
    return row.merchant


def _unused(at: datetime) -> Q:
    return Q(used_at=None, expires_at__gt=at)


def _just_used(browser: str, at: datetime) -> Q:
    if not browser:
        return Q(pk=None)
    return Q(used_by=_browser_mark(browser), used_at__gt=at - GRACE, used_at__lte=at)


def _mark(ticket: str) -> str:
    return fingerprint(f"entry-ticket:{ticket}")


def _browser_mark(browser: str) -> str:
    return fingerprint(f"entry-browser:{browser}") if browser else ""


@login_not_required
@require_safe
@allow_framing
def enter(request: HttpRequest) -> HttpResponseBase:
    """Swap the token in the address for a session, and leave the address behind at once.

    A session of that very owner goes on as it is. Over any other session the person is asked first.
    """
    merchant = merchant_by_token(uid=request.GET.get("uid", ""), token=request.GET.get("token", ""))
    if merchant is None:
        return _refused(request)
    if not _is_open_for(request, merchant):
        if _is_occupied(request):
            return _leave(_ticket_address(request, merchant))
        _open_session(request, merchant)
    if is_framed_request(request):
        request.session[FRAMED_KEY] = True
    return _leave(_next_address(request, merchant))


def _is_occupied(request: HttpRequest) -> bool:
    return request.user.is_authenticated or ENTRY_KEY in request.session


def _is_open_for(request: HttpRequest, merchant: Merchant) -> bool:
    """Whether this browser already works for the company as its owner, or is about to register one."""
    owner = queries.owner_of(merchant)
    if owner is None:
        return request.session.get(ENTRY_KEY) == merchant.pk
    return request.user == owner and request.session.get(MERCHANT_KEY) == merchant.pk


def _open_session(request: HttpRequest, merchant: Merchant) -> None:
    # Nothing of another company or another person stays in this browser's session.
    framed = bool(request.session.get(FRAMED_KEY))
    request.session.flush()
    if framed:
        request.session[FRAMED_KEY] = True
    owner = queries.owner_of(merchant)
    if owner is None:
        request.session[ENTRY_KEY] = merchant.pk
        return
    request.session[KIND_KEY] = SessionKind.MARKET
    sign_in(request, owner, merchant)
    confirmation.mark_entered(request, merchant)
    request.session[NEW_ENTRY_KEY] = True
    people.record_entry(merchant=merchant, owner=owner, at=clock.now())


def _next_address(request: HttpRequest, merchant: Merchant) -> str:
    # A top window keeps its cookie. A frame may lose it, and a browser that does not say may be in one.
    return _home(request) if _is_top_window(request) else _ticket_address(request, merchant)


def _ticket_address(request: HttpRequest, merchant: Merchant) -> str:
    ticket = issue_ticket(merchant=merchant, at=clock.now())
    name = "evotor_ticket" if _is_top_window(request) else "evotor_entered"
    return reverse(name, kwargs={"ticket": ticket})


def _is_top_window(request: HttpRequest) -> bool:
    return request.headers.get("Sec-Fetch-Dest") == "document"


def _home(request: HttpRequest) -> str:
    return reverse("welcome") if ENTRY_KEY in request.session else "/"


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
@allow_framing
def entered(request: HttpRequest, ticket: str) -> HttpResponseBase:
    """Go on where the cookie came back; else offer a window of our own. Over another session: a button."""
    now = clock.now()
    merchant = ticket_merchant(ticket=ticket, at=now)
    if _is_occupied(request) and (merchant is None or _is_open_for(request, merchant)):
        spend_ticket(ticket=ticket, at=now)
        return _leave(_home(request))
    if merchant is None:
        return _refused(request)
    if not _is_occupied(request):
        return _without_trace(render(request, "evotor/open_window.html", {"ticket": ticket}))
    if request.method == "POST":
        return _by_spending(request, ticket)
    return _ask(request, merchant, ticket, framed=True)


@csrf_exempt  # a double click outlives the session that holds Django's token: `_came_from_our_page` instead
@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def by_ticket(request: HttpRequest, ticket: str) -> HttpResponseBase:
    """The new window: GET shows a button, POST opens a session there, once."""
    browser = request.COOKIES.get(BROWSER_COOKIE, "")
    if request.method == "POST":
        return _by_spending(request, ticket, browser if _came_from_our_page(request) else None)
    merchant = ticket_merchant(ticket=ticket, at=clock.now())
    if merchant is None:
        return _refused(request)
    browser = browser or secrets.token_urlsafe(32)
    response = _ask(request, merchant, ticket, browser=browser)
    response.set_cookie(
        BROWSER_COOKIE,
        browser,
        max_age=TICKET_LIFETIME + GRACE,
        path=reverse("evotor_ticket", kwargs={"ticket": "-"}).rstrip("-/") + "/",
        httponly=True,
        samesite="Lax",
        secure=settings.HTTPS,
    )
    return response


def _came_from_our_page(request: HttpRequest) -> bool:
    """Whether the button of our page was pressed: its field equals the cookie, which no other site knows."""
    browser = request.COOKIES.get(BROWSER_COOKIE, "")
    same = hmac.compare_digest(browser.encode(), request.POST.get("browser", "").encode())
    return bool(browser) and same and stale_forms.is_same_origin(request, default=True)


def _by_spending(request: HttpRequest, ticket: str, browser: str | None = "") -> HttpResponseBase:
    """Open the session that the ticket is good for; `browser` is None where the button is not ours."""
    merchant = (
        spend_ticket(ticket=ticket, at=clock.now(), browser=browser)
        if browser is not None
        else None
    )
    if merchant is None:
        return _refused(request)
    if not _is_open_for(request, merchant):
        _open_session(request, merchant)
    return _leave(_home(request))


def _ask(
    request: HttpRequest,
    merchant: Merchant,
    ticket: str,
    *,
    framed: bool = False,
    browser: str = "",
) -> HttpResponse:
    """The page with the button; who works in this browser now is named where it is somebody else."""
    context = {
        "entered_name": merchant.shown_name,
        "ticket": ticket,
        "browser": browser,
        "framed_entry": framed,
        "occupied": _is_occupied(request) and not _is_open_for(request, merchant),
    }
    response = render(request, "evotor/ask.html", context)
    response["Cache-Control"] = "no-store"
    # Not `no-referrer`: the button would be posted with `Origin: null`.
    response["Referrer-Policy"] = "same-origin"
    return response


def _refused(request: HttpRequest) -> HttpResponse:
    return _without_trace(render(request, "evotor/refused.html", status=403))


def _leave(address: str) -> HttpResponse:
    response = redirect(address)
    response.status_code = 303
    return _without_trace(response)


def _without_trace(response: HttpResponse) -> HttpResponse:
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store"
    return response
