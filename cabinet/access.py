"""Who is asking and for which merchant: the one way from a request to a merchant's rows."""

import ipaddress
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

from csp.decorators import csp_replace
from django.conf import settings
from django.contrib import auth, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_exempt

from cabinet import rules
from cabinet.actors import Actor
from cabinet.errors import NotAllowed, Refused
from cabinet.models import Member, Merchant, User
from cabinet.states import ActorKind, Right, Role

MERCHANT_KEY = "merchant_id"
# The market has vouched for this merchant's cabinet, and nobody is known as its owner yet.
ENTRY_KEY = "entry_merchant_id"
# A person of more companies than this (an accountant of a whole town) picks among the first ones.
MOST_MERCHANTS = 300
_OURS = ZoneInfo(settings.TIME_ZONE)
RowT = TypeVar("RowT", bound=Model)
View = Callable[..., HttpResponseBase]


class MerchantRequest(HttpRequest):
    """A request behind `merchant_page`: the merchant is chosen and the member is known."""

    user: User
    member: Member
    merchant: Merchant
    actor: Actor
    several_merchants: bool


def actor_for(member: Member) -> Actor:
    """Who acts, for the services."""
    return Actor(
        kind=ActorKind.PERSON,
        name=member.user.shown_name,
        user_id=member.user_id,
        role=Role(member.role),
    )


def memberships(user: User) -> QuerySet[Member]:
    """The companies a person belongs to, with what the pages show of them."""
    return (
        Member.objects.filter(user=user).select_related("merchant", "user").order_by("merchant_id")
    )


class MerchantMiddleware:
    """Knows the merchant of the session: the chosen one, or the only one. Times are shown in its zone."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # A probe asks nothing of sessions: it must be answered with the database away.
        if request.path.startswith("/health/"):
            return self._get_response(request)
        zone = self._settle(request) if request.user.is_authenticated else _OURS
        with timezone.override(zone):
            return self._out_of_the_frame(request, self._get_response(request))

    def _settle(self, request: HttpRequest) -> ZoneInfo:
        rows = list(memberships(cast("User", request.user))[:MOST_MERCHANTS])
        marked = cast("MerchantRequest", request)
        marked.several_merchants = len(rows) > 1
        chosen = request.session.get(MERCHANT_KEY)
        member = next((row for row in rows if row.merchant_id == chosen), None)
        if member is None and len(rows) == 1:
            member = rows[0]
        if member is None:
            return _OURS
        marked.member, marked.merchant, marked.actor = member, member.merchant, actor_for(member)
        return ZoneInfo(member.merchant.timezone)

    def _out_of_the_frame(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        # The sign-in page refuses every frame, so a session that ended inside one would leave it blank.
        to_login = response.headers.get("Location", "").startswith(resolve_url(settings.LOGIN_URL))
        if in_a_frame(request) and to_login:
            return framed(_session_over)(request)
        return response


def _session_over(request: HttpRequest) -> HttpResponse:
    return render(request, "cabinet/session_over.html", status=403)


def choose_merchant(request: HttpRequest, merchant: Merchant) -> None:
    """From now on this session works for that merchant; the caller has checked the membership."""
    request.session[MERCHANT_KEY] = merchant.pk


def sign_in(request: HttpRequest, user: User, merchant: Merchant | None = None) -> None:
    """Open a session for the person under a new key; for that merchant, or for the only one they have."""
    auth.login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session.pop(MERCHANT_KEY, None)
    if merchant is not None:
        choose_merchant(request, merchant)


def framed(view: View) -> View:
    """This page may be shown inside the market's cabinet, and nowhere else."""
    allowed = csp_replace({"frame-ancestors": ["'self'", *settings.EVOTOR_FRAME_ANCESTORS]})
    return cast("View", xframe_options_exempt(allowed(view)))


def in_a_frame(request: HttpRequest) -> bool:
    """The browser says that it is loading this page into a frame."""
    return request.headers.get("Sec-Fetch-Dest") in {"iframe", "frame"}


def visitor_address(request: HttpRequest) -> str | None:
    """Whom limits are counted for: the IPv4 address, or the /64 network of an IPv6 one."""
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False).network_address)


def merchant_page(right: Right) -> Callable[[View], View]:
    """The page of a merchant: somebody is signed in, a company is chosen, the role has the right.

    Without a company the visitor is sent to choose one; without the right the answer is 403 with the
    sentence of the rule. A `Refused` that the view lets out becomes a message on the page before.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not hasattr(request, "member"):
                return redirect("merchants")
            member: Member = request.member
            try:
                rules.check_may(Role(member.role), right)
                return view(request, *args, **kwargs)
            except NotAllowed as refusal:
                raise PermissionDenied(refusal.sentence) from refusal

        return framed(never_cache(guarded))

    return decorate


def own_or_404(rows: QuerySet[RowT], merchant: Merchant, **lookup: Any) -> RowT:
    """The merchant's own row. A foreign one is answered as if it never was: 404."""
    row = rows.filter(merchant=merchant, **lookup).first()
    if row is None:
        raise Http404
    return row


def refuse(request: HttpRequest, refusal: Refused, back: str) -> HttpResponseRedirect:
    """Show the sentence on the page the person came from."""
    messages.error(request, refusal.sentence)
    return redirect(back)
