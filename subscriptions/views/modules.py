"""«Модули»: what is installed in the Evotor cabinet, what may be installed or removed."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from cabinet import clock, wording
from cabinet.access import MerchantRequest, merchant_page
from cabinet.states import Right
from subscriptions import queries
from subscriptions.models import MarketRequest, Module
from subscriptions.queries import ModuleView, SubscriptionView
from subscriptions.states import SubscriptionState
from subscriptions.views import market, words
from subscriptions.views.cards import Chosen, chosen_cards

Kind = MarketRequest.Kind
INSTALLED = wording.Pill(wording.Tone.WORKS, "Установлен")
ABSENT = wording.Pill(wording.Tone.OFF, "Не установлен")
_PAGE = ["GET", "HEAD", "POST"]


@dataclass(frozen=True)
class Shown:
    """One module on the page."""

    view: ModuleView
    waiting: list[market.Waiting]

    @property
    def pill(self) -> wording.Pill:
        """The state in a word."""
        return INSTALLED if self.view.installed else ABSENT

    @property
    def prices(self) -> list[words.Price]:
        """What its tariffs cost."""
        return words.prices(self.view.tariffs)


@require_safe
@merchant_page(Right.SEE_SUBSCRIPTION)
def modules(request: MerchantRequest) -> HttpResponseBase:
    """All modules on offer, and those the merchant has."""
    now = clock.now()
    waits = market.waiting(request.merchant, now, modules=True)
    context = {
        "shown": [
            Shown(view, [one for one in waits if one.module_id == view.id])
            for view in queries.modules_view(request.merchant, now)
        ],
        "reason": market.reason(request, Right.MANAGE_MODULES),
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
        return market.go(request, Module.objects.get(pk=view.id), Kind.INSTALL)
    running = _running(request, view)
    return _confirm(
        request, view, f"Установить модуль «{view.title}»", _install_brings(request, running)
    )


def _install_brings(request: MerchantRequest, running: list[SubscriptionView]) -> str:
    if running and (end := running[0].billed_until):
        until = words.day(end, ZoneInfo(request.merchant.timezone))
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
        return market.go(request, Module.objects.get(pk=view.id), Kind.REMOVE)
    text = (
        "Модуль исчезнет из личного кабинета Эвотор, подписка остановится. "
        "Сюда вы по-прежнему сможете войти по номеру телефона."
    )
    warning = _removal_warning(request, _running(request, view))
    return _confirm(request, view, f"Удалить модуль «{view.title}»", text, warning)


def _removal_warning(request: MerchantRequest, running: list[SubscriptionView]) -> str:
    chosen, zone = chosen_cards(request.merchant), ZoneInfo(request.merchant.timezone)
    return " ".join(
        words.stop_brings(view, chosen.get(view.id, Chosen()).cards, zone) for view in running
    )


def _running(request: MerchantRequest, module: ModuleView) -> list[SubscriptionView]:
    return [
        view
        for view in queries.subscription_views(request.merchant, clock.now())
        if view.module_id == module.id and view.state is not SubscriptionState.ENDED
    ]


def _module(request: MerchantRequest, pk: int) -> ModuleView:
    shown = queries.modules_view(request.merchant, clock.now())
    view = next((one for one in shown if one.id == pk), None)
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
