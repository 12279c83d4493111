"""The way out to the market: noted first, then a link, because a form may not lead to another site."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode, urlsplit, urlunsplit

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from cabinet import clock, rules
from cabinet.access import MerchantRequest, merchant_page
from cabinet.errors import NotAllowed
from cabinet.models import Merchant
from cabinet.states import Right, Role
from subscriptions import queries, services
from subscriptions.models import MarketRequest, Module
from subscriptions.pricing import Estimate
from subscriptions.queries import SubscriptionView
from subscriptions.states import SubscriptionState
from subscriptions.views import words

Kind = MarketRequest.Kind
LOOPBACK = frozenset({"localhost", "127.0.0.1"})
ABOUT_MODULES = frozenset({Kind.INSTALL, Kind.REMOVE})
THERE = {
    Kind.INSTALL: "В маркете нажмите «Установить», выберите тариф и оплатите.",
    Kind.REMOVE: "В маркете нажмите «Удалить».",
    Kind.RENEW: "В маркете нажмите «Оплатить сейчас».",
    Kind.CHANGE: "В маркете выберите тариф и число карт и подтвердите.",
    Kind.STOP: "В маркете нажмите «Остановить».",
    Kind.RESUME: "В маркете нажмите «Возобновить».",
}


@dataclass(frozen=True)
class Waiting:
    """A request that the market has not answered yet."""

    what: str
    asked_at: datetime
    module_id: int
    again_url: str


def go(
    request: MerchantRequest,
    module: Module,
    kind: MarketRequest.Kind,
    estimate: Estimate | None = None,
    wanted: str = "",
) -> HttpResponseBase:
    """Note that the person goes to the market, and show the way there.

    `wanted` is what to choose over there, in words.
    """
    row = services.note_market_request(
        merchant=request.merchant,
        module=module,
        kind=kind,
        estimate_kopecks=estimate.total_kopecks if estimate and estimate.lines else None,
        by=request.actor,
        at=clock.now(),
    )
    address = reverse("market_leave", kwargs={"pk": row.pk})
    return redirect(f"{address}?{urlencode({'wanted': wanted})}" if wanted else address)


@require_safe
@merchant_page(Right.SEE_SUBSCRIPTION)
def leave(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """The last page before the market: what to press there, and the link."""
    now = clock.now()
    open_rows = queries.open_market_requests(request.merchant, now)
    row = next((one for one in open_rows if one.pk == pk), None)
    if row is None:
        return _answered(request, pk)
    kind = Kind(row.kind)
    context = {
        "row": row,
        "there": _there(row, now),
        "wanted": request.GET.get("wanted", "")[:200],
        "address": _address(request, row),
        "estimate_words": words.ESTIMATE,
        "back_url": reverse(_home(kind)),
    }
    return render(request, "subscriptions/leave.html", context)


def _there(row: MarketRequest, at: datetime) -> str:
    """What to press in the market, by the names of its buttons."""
    kind = Kind(row.kind)
    views = [
        view
        for view in queries.subscription_views(row.merchant, at)
        if view.module_id == row.module_id
    ]
    if kind is not Kind.RENEW or not views or _may_be_paid_on(row, views, at):
        return THERE[kind]
    return words.buy_again(views[0])


def _may_be_paid_on(row: MarketRequest, views: list[SubscriptionView], at: datetime) -> bool:
    # The market has «Оплатить сейчас» only where the module stands and its subscription is not over.
    modules = queries.modules_view(row.merchant, at)
    return any(one.id == row.module_id and one.installed for one in modules) and any(
        view.state is not SubscriptionState.ENDED and view.terminated_at is None for view in views
    )


def _answered(request: MerchantRequest, pk: int) -> HttpResponseBase:
    # The answer came while the page lay open.
    row = MarketRequest.objects.of(request.merchant).filter(pk=pk).first()
    if row is None:
        raise Http404
    return redirect(_home(Kind(row.kind)))


def _home(kind: MarketRequest.Kind) -> str:
    return "modules" if kind in ABOUT_MODULES else "subscription"


def _address(request: HttpRequest, row: MarketRequest) -> str:
    query = {"user": row.merchant.evotor_user_id or "", "action": row.kind}
    return _near(f"{queries.market_url(row.module)}?{urlencode(query)}", request)


def _near(url: str, request: HttpRequest) -> str:
    """On a developer's machine: the name by which the cabinet was opened, whose cookies it keeps."""
    parts, host = urlsplit(url), urlsplit(f"//{request.get_host()}").hostname
    if not settings.SANDBOX or host not in LOOPBACK or parts.hostname not in LOOPBACK:
        return url
    netloc = f"{host}:{parts.port}" if parts.port else str(host)
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))


def waiting(merchant: Merchant, at: datetime, *, modules: bool) -> list[Waiting]:
    """What is not answered yet; requests about modules, or those about money."""
    return [
        Waiting(
            row.get_kind_display(),
            row.asked_at,
            row.module_id,
            reverse("market_leave", kwargs={"pk": row.pk}),
        )
        for row in queries.open_market_requests(merchant, at)
        if (Kind(row.kind) in ABOUT_MODULES) == modules
    ]


def reason(request: MerchantRequest, right: Right) -> str:
    """Why this person may not do it; "" where they may."""
    try:
        rules.check_may(Role(request.member.role), right)
    except NotAllowed as refusal:
        return refusal.sentence
    return ""
