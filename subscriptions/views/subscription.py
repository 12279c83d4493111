"""«Подписка»: what is paid, till when, what comes next, and the ways to change it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from cabinet import clock, wording
from cabinet.access import MerchantRequest, merchant_page, own_or_404
from cabinet.states import Right
from subscriptions import queries
from subscriptions.forms import ChangeConfirmForm, ChangeForm, ConfirmForm
from subscriptions.models import MarketRequest, Subscription
from subscriptions.pricing import Estimate
from subscriptions.queries import ModuleView, SubscriptionView, TariffView
from subscriptions.states import Source, SubscriptionState
from subscriptions.views import market, offers, words
from subscriptions.views.cards import Chosen, chosen_cards
from subscriptions.views.offers import Dunning
from subscriptions.views.words import Fact

Kind = MarketRequest.Kind
State = SubscriptionState
_PAGE = ["GET", "HEAD", "POST"]
_BUTTONS = {
    State.CREATED: ("renew", "change"),
    State.TRIAL: ("renew", "change", "stop"),
    State.ACTIVE: ("renew", "change", "stop"),
    State.OVERDUE: ("renew", "change", "stop"),
    State.STOPPING: ("resume", "change"),
    State.ENDED: ("renew",),
}


@dataclass(frozen=True)
class Shown:
    """One subscription on the page."""

    view: SubscriptionView
    chosen: Chosen
    why: str
    dunning: Dunning | None
    buttons: tuple[str, ...]
    comes_back: str
    difference: str
    installed: bool
    prices: list[words.Price]
    waiting: list[market.Waiting]

    @property
    def pill(self) -> wording.Pill:
        """The state in a word."""
        if self.view.state is State.OVERDUE and self.view.stop_requested_at is not None:
            return wording.Pill(wording.Tone.ATTENTION, "Остановлена, карты пока работают")
        return words.PILLS[self.view.state]

    @property
    def free(self) -> int:
        """Paid places without a card."""
        return max(0, self.view.paid_cards - self.chosen.cards)


@require_safe
@merchant_page(Right.SEE_SUBSCRIPTION)
def subscription(request: MerchantRequest) -> HttpResponseBase:
    """Every subscription of the merchant, or how to begin."""
    now, zone = clock.now(), ZoneInfo(request.merchant.timezone)
    modules = {one.id: one for one in queries.modules_view(request.merchant, now)}
    chosen = chosen_cards(request.merchant)
    waits = market.waiting(request.merchant, now, modules=False)
    shown = [
        _shown(view, modules.get(view.module_id), chosen.get(view.id, Chosen()), waits, zone, now)
        for view in queries.subscription_views(request.merchant, now)
    ]
    in_front = [one for one in shown if one.view.state is not State.ENDED] or shown[:1]
    context = {
        "shown": in_front,
        "past": [one for one in shown if one not in in_front],
        "begin": [words.prices(one.tariffs) for one in modules.values()],
        "waits": waits,
        "pay_reason": market.reason(request, Right.PAY),
        "stop_reason": market.reason(request, Right.STOP),
        "estimate_words": words.ESTIMATE,
        "may_choose": not market.reason(request, Right.CHOOSE_CARDS),
    }
    return render(request, "subscriptions/subscription.html", context)


def _shown(
    view: SubscriptionView,
    module: ModuleView | None,
    chosen: Chosen,
    waits: list[market.Waiting],
    zone: ZoneInfo,
    at: datetime,
) -> Shown:
    dunning = offers.dunning(view, at)
    return Shown(
        view=view,
        chosen=chosen,
        why=words.why(view, dunning, zone),
        dunning=dunning,
        buttons=_buttons(view),
        comes_back=words.comes_back(chosen.wished) if view.state is State.ENDED else "",
        difference=words.difference(view.charge_difference),
        installed=module is not None and module.installed,
        prices=words.prices(module.tariffs if module else ()),
        waiting=[one for one in waits if one.module_id == view.module_id],
    )


def _buttons(view: SubscriptionView) -> tuple[str, ...]:
    """What may be done now; the market moves only its own subscriptions."""
    if view.source is not Source.MARKET:
        return ()
    over_there = view.state is State.STOPPING and view.terminated_at is not None
    if over_there:
        return ("renew",)
    if view.stop_requested_at is not None and view.state is not State.ENDED:
        return ("resume", "change")
    return _BUTTONS[view.state]


@dataclass(frozen=True)
class Offer:
    """What a confirming page shows, and what is noted when it is confirmed."""

    kind: MarketRequest.Kind
    title: str
    text: str
    estimate: Estimate | None = None
    after: tuple[Fact, ...] = ()
    warning: str = ""
    wanted: str = ""

    @property
    def fingerprint(self) -> str:
        """Of everything that is shown: another one means «show it again»."""
        return self.estimate.fingerprint if self.estimate else ""


@dataclass(frozen=True)
class Case:
    """A subscription on which something is asked at the instant `at`."""

    request: MerchantRequest
    row: Subscription
    view: SubscriptionView
    at: datetime

    @property
    def zone(self) -> ZoneInfo:
        """The merchant's."""
        return ZoneInfo(self.request.merchant.timezone)

    @property
    def cards(self) -> int:
        """Cards that are touched: the chosen ones."""
        return chosen_cards(self.request.merchant).get(self.row.pk, Chosen()).cards


def _case(request: MerchantRequest, pk: int) -> Case:
    row = own_or_404(Subscription.objects.select_related("module"), request.merchant, pk=pk)
    now = clock.now()
    views = queries.subscription_views(request.merchant, now)
    return Case(request, row, next(view for view in views if view.id == row.pk), now)


def _asked(
    request: MerchantRequest, pk: int, button: str, offer: Callable[[Case], Offer]
) -> HttpResponseBase:
    """The confirming page, and after it the way to the market."""
    case = _case(request, pk)
    if button not in _buttons(case.view):
        messages.info(request, "С этой подпиской сейчас так сделать нельзя. Вот как обстоят дела.")
        return redirect("subscription")
    made = offer(case)
    if request.method == "POST" and _still_the_same(request, made):
        return market.go(request, case.row.module, made.kind, made.estimate, made.wanted)
    return _confirm(request, made)


def _still_the_same(request: MerchantRequest, offer: Offer) -> bool:
    form = ConfirmForm(request.POST)
    if form.is_valid() and form.cleaned_data["fingerprint"] == offer.fingerprint:
        return True
    messages.warning(request, "Условия успели измениться. Проверьте их ещё раз.")
    return False


def _confirm(
    request: MerchantRequest, offer: Offer, form: ChangeConfirmForm | None = None
) -> HttpResponseBase:
    context = {
        "offer": offer,
        "rows": words.sums(offer.estimate) if offer.estimate else [],
        "total": wording.money(offer.estimate.total_kopecks) if offer.estimate else "",
        "forms": [
            one for one in (form, ConfirmForm(initial={"fingerprint": offer.fingerprint})) if one
        ],
        "back_url": reverse("subscription"),
        "estimate_words": words.ESTIMATE,
    }
    return render(request, "subscriptions/confirm.html", context)


@require_http_methods(_PAGE)
@merchant_page(Right.PAY)
def renew(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Продлить»."""
    return _asked(request, pk, "renew", _renewal)


def _renewal(case: Case) -> Offer:
    until = offers.paid_until_after(case.view, case.at, case.zone)
    return Offer(
        Kind.RENEW,
        "Продлить подписку",
        words.renewal_brings(case.view, wording.day(until) if until else ""),
        offers.renewal(case.view, case.at, case.zone),
    )


@require_http_methods(_PAGE)
@merchant_page(Right.STOP)
def stop(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Остановить подписку»."""
    return _asked(request, pk, "stop", _stopping)


def _stopping(case: Case) -> Offer:
    return Offer(
        Kind.STOP,
        "Остановить подписку",
        "Дальше Эвотор не будет списывать деньги. Уже оплаченные дни не пропадут.",
        warning=words.stop_brings(case.view, case.cards, case.zone),
    )


@require_http_methods(_PAGE)
@merchant_page(Right.PAY)
def resume(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Возобновить подписку»."""
    return _asked(request, pk, "resume", _resuming)


def _resuming(case: Case) -> Offer:
    end = case.view.billed_until
    when = f" {words.day(end, case.zone)}" if end else "."
    estimate = offers.renewal(case.view, case.at, case.zone)
    later = wording.money(estimate.total_kopecks) if estimate else "по тарифу"
    return Offer(
        Kind.RESUME,
        "Возобновить подписку",
        f"Остановка отменится, за уже оплаченные дни платить не нужно. Следующее списание{when}",
        after=(Fact("При следующем списании", later, words.ESTIMATE),),
    )


@require_http_methods(_PAGE)
@merchant_page(Right.PAY)
def change(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Изменить период или число карт»: a form, then what it costs, then the market."""
    case = _case(request, pk)
    if "change" not in _buttons(case.view):
        return redirect("subscription")
    form = _change_form(case)
    if not form.is_valid():
        return _choose_terms(request, case, form)
    tariff, cards = form.wanted
    if (tariff.id, cards) == (case.row.tariff_id, case.view.next_cards):
        form.add_error(
            None, "Сейчас именно так и есть. Выберите другой период или другое число карт."
        )
        return _choose_terms(request, case, form)
    return _change_to(request, case, tariff, cards)


def _change_form(case: Case) -> ChangeForm:
    tariffs = _module(case).tariffs
    given = case.request.POST if case.request.method == "POST" else case.request.GET
    return ChangeForm(
        given or None,
        tariffs=tariffs,
        initial={"tariff": case.row.tariff_id, "cards": case.view.next_cards},
    )


def _module(case: Case) -> ModuleView:
    modules = queries.modules_view(case.request.merchant, case.at)
    module = next((one for one in modules if one.id == case.row.module_id), None)
    return module or ModuleView(case.row.module_id, "", case.view.module_title, "", "", None, 0, ())


def _choose_terms(request: MerchantRequest, case: Case, form: ChangeForm) -> HttpResponseBase:
    context = {"form": form, "view": case.view, "prices": words.prices(_module(case).tariffs)}
    return render(request, "subscriptions/change.html", context)


def _change_to(
    request: MerchantRequest, case: Case, tariff: TariffView, cards: int
) -> HttpResponseBase:
    made = _changing(case, tariff, cards)
    if request.method == "POST" and _still_the_same(request, made):
        return market.go(request, case.row.module, made.kind, made.estimate, made.wanted)
    kept = ChangeConfirmForm(initial={"tariff": tariff.id, "cards": cards})
    return _confirm(request, made, kept)


def _changing(case: Case, tariff: TariffView, cards: int) -> Offer:
    end = case.view.billed_until
    when = f"С {words.day(end, case.zone)}" if end else "Дальше"
    later = f"{wording.money(tariff.price_kopecks * cards)} за {wording.months(tariff.months)}"
    return Offer(
        Kind.CHANGE,
        "Изменить период или число карт",
        words.change_brings(case.view, cards, case.zone),
        offers.change(case.view, tariff, cards, case.at, case.zone),
        after=(Fact(when, later, f"{wording.cards(cards)}, {words.ESTIMATE}"),),
        wanted=f"тариф «{tariff.title}», {wording.cards(cards)}",
    )
