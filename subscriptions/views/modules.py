"""«Модули»: what is installed in the Evotor cabinet, what may be installed or removed."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from cabinet import clock
from cabinet.accounts.access import MerchantRequest, merchant_page
from cabinet.enums import Right
from cabinet.formatting import ru_format
from subscriptions import queries
from subscriptions.models import MarketRequest
from subscriptions.queries import CoveredCards, ModuleView, SubscriptionView, covered_cards
from subscriptions.states import SubscriptionState
from subscriptions.views import market_actions, texts

Kind = MarketRequest.Kind
INSTALLED = ru_format.Pill(ru_format.Tone.WORKS, "Установлен")
ABSENT = ru_format.Pill(ru_format.Tone.OFF, "Не установлен")
_PAGE = ["GET", "HEAD", "POST"]


@dataclass(frozen=True)
class ModuleCard:
    """One module on the page."""

    view: ModuleView
    waiting: list[market_actions.Wait]

    @property
    def pill(self) -> ru_format.Pill:
        """The state as a coloured label."""
        return INSTALLED if self.view.installed else ABSENT

    @property
    def prices(self) -> list[texts.Price]:
        """What its tariffs cost."""
        return texts.prices(self.view.tariffs)


@require_safe
@merchant_page(Right.SEE_SUBSCRIPTION)
def modules(request: MerchantRequest) -> HttpResponseBase:
    """All modules on offer, and those the merchant has."""
    now = clock.now()
    waits = market_actions.pending_actions(request.merchant, now, modules=True)
    context = {
        "shown": [
            ModuleCard(view, market_actions.waits(waits, view.module.pk))
            for view in queries.modules_view(request.merchant, now)
        ],
        "reason": market_actions.refusal(request, Right.MANAGE_MODULES),
    }
    return render(request, "subscriptions/modules.html", context)


@require_http_methods(_PAGE)
@merchant_page(Right.MANAGE_MODULES)
def install(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Установить»."""
    view = _module(request, pk)
    if view.installed:
        return redirect("modules")
    if request.method == "POST":
        return market_actions.go(request, view.module, Kind.INSTALL)
    running = _running(request, view)
    return _confirm(
        request, view, f"Установить модуль «{view.module.title}»", _install_brings(request, running)
    )


def _install_brings(request: MerchantRequest, running: list[SubscriptionView]) -> str:
    if running and (end := running[0].billed_until):
        until = texts.day(end, ZoneInfo(request.merchant.timezone))
        return f"Оплаченное время идёт до {until} Заново платить не нужно: карты, тариф и выбор сохранились."
    return (
        "Эвотор попросит выбрать тариф и оплатить первый период. "
        "Сразу после оплаты вы сможете выбрать смарт-карты и включить их."
    )


@require_http_methods(_PAGE)
@merchant_page(Right.MANAGE_MODULES)
def remove(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Удалить модуль»."""
    view = _module(request, pk)
    if not view.installed:
        return redirect("modules")
    if request.method == "POST":
        return market_actions.go(request, view.module, Kind.REMOVE)
    text = (
        "Модуль исчезнет из личного кабинета Эвотор, подписка остановится. "
        "Сюда вы по-прежнему сможете войти по номеру телефона."
    )
    chosen, zone = covered_cards(request.merchant), ZoneInfo(request.merchant.timezone)
    warning = " ".join(
        texts.stop_brings(one, chosen.get(one.row.pk, CoveredCards()).cards, zone, clock.now())
        for one in _running(request, view)
    )
    return _confirm(request, view, f"Удалить модуль «{view.module.title}»", text, warning)


def _running(request: MerchantRequest, module: ModuleView) -> list[SubscriptionView]:
    return [
        view
        for view in queries.subscription_views(request.merchant, clock.now())
        if view.row.module_id == module.module.pk and view.state is not SubscriptionState.ENDED
    ]


def _module(request: MerchantRequest, pk: int) -> ModuleView:
    shown = queries.modules_view(request.merchant, clock.now())
    view = next((one for one in shown if one.module.pk == pk), None)
    if view is None:
        raise Http404
    return view


def _confirm(
    request: MerchantRequest, view: ModuleView, title: str, text: str, warning: str = ""
) -> HttpResponseBase:
    context = {
        "title": title,
        "text": text,
        "warning": warning,
        "view": view,
        "back_url": reverse("modules"),
    }
    return render(request, "subscriptions/module_confirm.html", context)
