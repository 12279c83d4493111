"""From our page to the market's: recorded first, then a link, because a form may not lead to another site."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode, urlsplit, urlunsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from cabinet import clock
from cabinet.accounts import rules
from cabinet.accounts.access import MerchantRequest, merchant_page, own_or_404
from cabinet.enums import Right, Role
from cabinet.errors import NotAllowed
from cabinet.models import Merchant
from subscriptions import queries, services
from subscriptions.models import MarketRequest, Module, Tariff
from subscriptions.pricing import Estimate
from subscriptions.states import SubscriptionState as State
from subscriptions.views import texts

Kind = MarketRequest.Kind
LOOPBACK = frozenset({"localhost", "127.0.0.1"})
ABOUT_MODULES = frozenset({Kind.INSTALL, Kind.REMOVE})
THERE = {
    Kind.INSTALL: "нажмите «Установить», выберите период и число карт, оплатите.",
    Kind.REMOVE: "нажмите «Удалить».",
    Kind.RENEW: "нажмите «Оплатить сейчас».",
    Kind.CHANGE: "выберите период и число карт и подтвердите.",
    Kind.STOP: "нажмите «Остановить».",
    Kind.RESUME: "нажмите «Возобновить».",
}


def go(
    request: MerchantRequest,
    module: Module,
    kind: MarketRequest.Kind,
    estimate: Estimate | None = None,
    tariff: Tariff | None = None,
    cards: int | None = None,
) -> HttpResponseBase:
    """Note that the person goes to the market, and show the way there.

    `tariff` and `cards` are what to choose in the market.
    """
    row = services.note_market_request(
        merchant=request.merchant,
        module=module,
        kind=kind,
        estimate_kopecks=estimate.total_kopecks if estimate and estimate.rows else None,
        by=request.actor,
        at=clock.now(),
        tariff=tariff,
        cards=cards,
    )
    return redirect("market_leave", pk=row.pk)


@require_safe
@merchant_page(Right.SEE_SUBSCRIPTION)
def leave(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """The last page before the market: what to press there, and the link."""
    now = clock.now()
    open_rows = queries.open_market_requests(request.merchant, now)
    row = next((one for one in open_rows if one.pk == pk), None)
    if row is None:
        # The answer came while the page lay open.
        answered = own_or_404(MarketRequest.objects.all(), request.merchant, pk=pk)
        return redirect(_home(Kind(answered.kind)))
    kind = Kind(row.kind)
    context = {
        "row": row,
        "there": _there(row, now),
        "address": _address(request, row),
        "estimate_words": texts.ESTIMATE,
        "back_url": reverse(_home(kind)),
    }
    return render(request, "subscriptions/leave.html", context)


def _there(row: MarketRequest, at: datetime) -> str:
    """What to press in the market, by the names of its buttons."""
    kind = Kind(row.kind)
    if kind is Kind.CHANGE and row.tariff and row.cards:
        return texts.choose_there(row.tariff, row.cards)
    views = [
        view
        for view in queries.subscription_views(row.merchant, at)
        if view.row.module_id == row.module_id
    ]
    if kind is not Kind.RENEW or not views:
        return THERE[kind]
    modules = queries.modules_view(row.merchant, at)
    installed = any(one.module.pk == row.module_id and one.installed for one in modules)
    runs = any(view.state is not State.ENDED and not view.row.terminated_at for view in views)
    # The market has «Оплатить сейчас» only where the module stands and its subscription is not over.
    return THERE[kind] if installed and runs else texts.buy_again(views[0])


def _home(kind: MarketRequest.Kind) -> str:
    return "modules" if kind in ABOUT_MODULES else "subscription"


def _address(request: HttpRequest, row: MarketRequest) -> str:
    query = {"user": row.merchant.evotor_user_id or "", "action": row.kind}
    if row.tariff and row.cards:
        query |= {"plan": row.tariff.plan_id, "cards": str(row.cards)}
    url = f"{queries.market_url(row.module)}?{urlencode(query)}"
    return on_same_loopback(url, request.get_host()) if settings.SANDBOX else url


def on_same_loopback(url: str, host: str) -> str:
    """On a developer's machine: by the name that `host` (with a port) has, whose cookies it keeps."""
    parts, opened_by = urlsplit(url), urlsplit(f"//{host}").hostname
    if opened_by not in LOOPBACK or parts.hostname not in LOOPBACK:
        return url
    netloc = f"{opened_by}:{parts.port}" if parts.port else str(opened_by)
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))


def pending_actions(merchant: Merchant, at: datetime, *, modules: bool) -> list[MarketRequest]:
    """What is not answered yet; requests about modules, or those about money."""
    rows = queries.open_market_requests(merchant, at)
    return [row for row in rows if (row.kind in ABOUT_MODULES) == modules]


@dataclass(frozen=True)
class Wait:
    """What the market has not confirmed yet, in words."""

    row: MarketRequest

    @property
    def title(self) -> str:
        """«Ждём, когда Эвотор подтвердит остановку»."""
        return texts.awaited(self.row)


def waits(rows: Iterable[MarketRequest], module_id: int | None = None) -> list[Wait]:
    """Those of a module, or all."""
    return [Wait(row) for row in rows if module_id in (None, row.module_id)]


def refusal(request: MerchantRequest, right: Right) -> str:
    """Why this person may not do it; "" where they may."""
    try:
        rules.check_may(Role(request.member.role), right)
    except NotAllowed as refusal:
        return refusal.sentence
    return ""
