"""Pages of the entry from the market's cabinet, in its frame or in a window of our own."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from cabinet import clock, queries
from cabinet.access import ENTRY_KEY, MERCHANT_KEY, framed, in_a_frame, sign_in
from cabinet.middleware import FRAMED_KEY
from cabinet.models import Merchant
from cabinet.services import people
from subscriptions.evotor import entry


@login_not_required
@require_safe
@framed
def enter(request: HttpRequest) -> HttpResponseBase:
    """Swap the token in the address for a session, and leave the address behind at once."""
    merchant = entry.merchant_by_token(
        uid=request.GET.get("uid", ""), token=request.GET.get("token", "")
    )
    if merchant is None:
        return _refused(request)
    _open_session(request, merchant)
    if in_a_frame(request):
        request.session[FRAMED_KEY] = True
    return _leave(_next_address(request, merchant))


def _open_session(request: HttpRequest, merchant: Merchant) -> None:
    # Nothing of another company or another person stays in this browser's session.
    request.session.flush()
    owner = queries.owner_of(merchant)
    if owner is None:
        request.session[ENTRY_KEY] = merchant.pk
        return
    sign_in(request, owner, merchant)
    people.note_entry(merchant=merchant, owner=owner, at=clock.now())


def _next_address(request: HttpRequest, merchant: Merchant) -> str:
    # A top window keeps its cookie. A frame may lose it, and a browser that does not say may be in one.
    if request.headers.get("Sec-Fetch-Dest") == "document":
        return _home(request)
    ticket = entry.issue_ticket(merchant=merchant, at=clock.now())
    return reverse("evotor_entered", kwargs={"ticket": ticket})


def _home(request: HttpRequest) -> str:
    return reverse("welcome") if ENTRY_KEY in request.session else "/"


@login_not_required
@require_safe
@framed
def entered(request: HttpRequest, ticket: str) -> HttpResponseBase:
    """Go on where the cookie came back; else offer a window of our own."""
    now = clock.now()
    merchant = entry.ticket_merchant(ticket=ticket, at=now)
    returned = request.session.get(MERCHANT_KEY) or request.session.get(ENTRY_KEY)
    if returned and (merchant is None or merchant.pk == returned):
        entry.spend_ticket(ticket=ticket, at=now)
        return _leave(_home(request))
    if merchant is None:
        return _refused(request)
    return _without_trace(render(request, "evotor/open_window.html", {"ticket": ticket}))


@login_not_required
@require_safe
def by_ticket(request: HttpRequest, ticket: str) -> HttpResponseBase:
    """The new window: the ticket opens a session there, once."""
    merchant = entry.spend_ticket(ticket=ticket, at=clock.now())
    if merchant is None:
        return _refused(request)
    _open_session(request, merchant)
    return _leave(_home(request))


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
