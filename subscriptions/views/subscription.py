"""«Подписка»: what is paid, till when, what comes next, and the ways to change it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from cabinet import clock
from cabinet.accounts.access import MerchantRequest, merchant_page
from cabinet.enums import Right
from cabinet.formatting import ru_format
from subscriptions import estimates, payments, queries
from subscriptions.forms import ChangeConfirmForm, ChangeForm, ConfirmForm
from subscriptions.models import MarketRequest, Tariff
from subscriptions.pricing import Estimate
from subscriptions.queries import CoveredCards, ModuleView, SubscriptionView, covered_cards
from subscriptions.states import SubscriptionState
from subscriptions.views import market_actions, texts
from subscriptions.views.texts import Fact

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
class SubscriptionCard:
    """One subscription on the page."""

    view: SubscriptionView
    chosen: CoveredCards
    why: str
    paid_until: str
    is_charged_now: bool
    buttons: tuple[str, ...]
    comes_back: str
    difference: str
    installed: bool
    prices: list[texts.Price]
    waiting: list[market_actions.Wait]

    @property
    def pill(self) -> ru_format.Pill:
        """The state as a coloured label."""
        if self.view.state is State.OVERDUE and self.view.row.stop_requested_at is not None:
            return ru_format.Pill(ru_format.Tone.ATTENTION, "Остановлена, карты пока работают")
        return texts.PILLS[self.view.state]

    @property
    def free(self) -> int:
        """Paid places without a card."""
        return max(0, self.view.paid_cards - self.chosen.cards)


@require_safe
@merchant_page(Right.SEE_SUBSCRIPTION)
def subscription(request: MerchantRequest) -> HttpResponseBase:
    """Every subscription of the merchant, or how to begin."""
    now, zone = clock.now(), ZoneInfo(request.merchant.timezone)
    modules = {one.module.pk: one for one in queries.modules_view(request.merchant, now)}
    chosen = covered_cards(request.merchant)
    waits = market_actions.pending_actions(request.merchant, now, modules=False)
    shown = [
        _shown(view, modules.get(view.row.module_id), chosen, waits, zone, now)
        for view in queries.subscription_views(request.merchant, now)
    ]
    in_front = [one for one in shown if one.view.state is not State.ENDED] or shown[:1]
    context = {
        "shown": in_front,
        "past": [one for one in shown if one not in in_front],
        "begin": [texts.prices(one.tariffs) for one in modules.values()],
        "waits": market_actions.waits(waits),
        "history": payments.payment_history(request.merchant, now),
        "pay_reason": market_actions.refusal(request, Right.PAY),
        "stop_reason": market_actions.refusal(request, Right.STOP),
        "estimate_words": texts.ESTIMATE,
        "may_choose": not market_actions.refusal(request, Right.CHOOSE_CARDS),
    }
    return render(request, "subscriptions/subscription.html", context)


def _shown(
    view: SubscriptionView,
    module: ModuleView | None,
    covered: Mapping[int, CoveredCards],
    waits: list[MarketRequest],
    zone: ZoneInfo,
    at: datetime,
) -> SubscriptionCard:
    chosen = covered.get(view.row.pk, CoveredCards())
    return SubscriptionCard(
        view=view,
        chosen=chosen,
        why=texts.why(view, chosen.working, zone, at),
        paid_until=payments.paid_until_text(view.row, zone=zone, at=at),
        is_charged_now=view.state is State.OVERDUE,
        buttons=_buttons(view),
        comes_back=texts.comes_back(chosen.wanted_on) if view.state is State.ENDED else "",
        difference=texts.difference(view.charge_difference),
        installed=module is not None and module.installed,
        prices=texts.prices(module.tariffs if module else ()),
        waiting=market_actions.waits(waits, view.row.module_id),
    )


def _buttons(view: SubscriptionView) -> tuple[str, ...]:
    """What may be done now."""
    over_there = view.state is State.STOPPING and view.row.terminated_at is not None
    if over_there:
        return ("renew",)
    if view.row.stop_requested_at is not None and view.state is not State.ENDED:
        return ("resume", "change")
    return _BUTTONS[view.state]


@dataclass(frozen=True)
class Confirmation:
    """What a confirming page shows, and what is noted when it is confirmed."""

    kind: MarketRequest.Kind
    title: str
    text: str
    estimate: Estimate | None = None
    after: tuple[Fact, ...] = ()
    warning: str = ""
    button: str = "Подтвердить"
    tariff: Tariff | None = None
    cards: int | None = None

    @property
    def fingerprint(self) -> str:
        """Of everything that is shown: another one means «show it again»."""
        return self.estimate.fingerprint if self.estimate else ""


@dataclass(frozen=True)
class AskedSubscription:
    """A subscription on which something is asked at the instant `at`."""

    request: MerchantRequest
    view: SubscriptionView
    at: datetime

    @property
    def zone(self) -> ZoneInfo:
        """The merchant's."""
        return ZoneInfo(self.request.merchant.timezone)

    @property
    def cards(self) -> int:
        """Cards that are touched: the chosen ones."""
        return covered_cards(self.request.merchant).get(self.view.row.pk, CoveredCards()).cards


def _case(request: MerchantRequest, pk: int) -> AskedSubscription:
    now = clock.now()
    for view in queries.subscription_views(request.merchant, now):
        if view.row.pk == pk:
            return AskedSubscription(request, view, now)
    raise Http404


def _asked(
    request: MerchantRequest,
    pk: int,
    button: str,
    offer: Callable[[AskedSubscription], Confirmation],
) -> HttpResponseBase:
    """The confirming page, and after it the way to the market."""
    case = _case(request, pk)
    if button not in _buttons(case.view):
        messages.info(request, "С этой подпиской сейчас так сделать нельзя. Вот как обстоят дела.")
        return redirect("subscription")
    return _confirm(case, offer(case))


def _confirm(
    case: AskedSubscription, offer: Confirmation, form: ChangeConfirmForm | None = None
) -> HttpResponseBase:
    """The page that shows the offer; the market, once the person has confirmed what it shows now."""
    request = case.request
    if request.method == "POST":
        sent = ConfirmForm(request.POST)
        if sent.is_valid() and sent.cleaned_data["fingerprint"] == offer.fingerprint:
            return market_actions.go(
                request,
                case.view.row.module,
                offer.kind,
                offer.estimate,
                offer.tariff,
                offer.cards,
            )
        messages.warning(request, "Условия успели измениться. Проверьте их ещё раз.")
    context = {
        "offer": offer,
        "rows": texts.sums(offer.estimate) if offer.estimate else [],
        "total": ru_format.money(offer.estimate.total_kopecks) if offer.estimate else "",
        "forms": [
            one for one in (form, ConfirmForm(initial={"fingerprint": offer.fingerprint})) if one
        ],
        "back_url": reverse("subscription"),
        "estimate_words": texts.ESTIMATE,
    }
    return render(request, "subscriptions/confirm.html", context)


@require_http_methods(_PAGE)
@merchant_page(Right.PAY)
def renew(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Продлить»."""
    return _asked(request, pk, "renew", _renewal)


def _renewal(case: AskedSubscription) -> Confirmation:
    until = estimates.paid_until_after(case.view, case.at, case.zone)
    is_over = case.view.state is State.ENDED
    return Confirmation(
        Kind.RENEW,
        "Продлить подписку",
        texts.renewal_brings(case.view, ru_format.day(until) if until else ""),
        queries.estimate_of(case.view.row),
        # Over there it is bought anew, on the former terms.
        tariff=case.view.row.tariff if is_over else None,
        cards=case.view.row.paid_cards if is_over else None,
    )


@require_http_methods(_PAGE)
@merchant_page(Right.STOP)
def stop(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Остановить подписку»."""
    return _asked(request, pk, "stop", _stopping)


def _stopping(case: AskedSubscription) -> Confirmation:
    return Confirmation(
        Kind.STOP,
        "Остановить подписку",
        "Дальше Эвотор не будет списывать деньги. Уже оплаченные дни не пропадут.",
        button="Перейти в\u00a0Эвотор и\u00a0остановить",
        warning=texts.stop_brings(case.view, case.cards, case.zone, case.at),
    )


@require_http_methods(_PAGE)
@merchant_page(Right.PAY)
def resume(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Возобновить подписку»."""
    return _asked(request, pk, "resume", _resuming)


def _resuming(case: AskedSubscription) -> Confirmation:
    end = case.view.billed_until
    when = f" {texts.day(end, case.zone)}" if end else "."
    estimate = queries.estimate_of(case.view.row)
    later = ru_format.money(estimate.total_kopecks) if estimate else "по тарифу"
    return Confirmation(
        Kind.RESUME,
        "Возобновить подписку",
        f"Остановка отменится, за уже оплаченные дни платить не нужно. Следующее списание{when}",
        after=(Fact("При следующем списании", later),),
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
        return _choose_terms(case, form)
    tariff, cards = form.wanted
    if (tariff.id, cards) == (case.view.row.tariff_id, case.view.row.paid_cards):
        form.add_error(
            None, "Сейчас именно так и есть. Выберите другой период или другое число карт."
        )
        return _choose_terms(case, form)
    kept = ChangeConfirmForm(initial={"tariff": tariff.id, "cards": cards})
    return _confirm(case, _changing(case, tariff, cards), kept)


def _change_form(case: AskedSubscription) -> ChangeForm:
    given = case.request.POST if case.request.method == "POST" else case.request.GET
    return ChangeForm(
        given or None,
        tariffs=_tariffs(case),
        initial={"tariff": case.view.row.tariff_id, "cards": case.view.row.paid_cards},
    )


def _tariffs(case: AskedSubscription) -> Sequence[Tariff]:
    """What the market offers for its module now."""
    modules = queries.modules_view(case.request.merchant, case.at)
    return next((one.tariffs for one in modules if one.module == case.view.row.module), ())


def _choose_terms(case: AskedSubscription, form: ChangeForm) -> HttpResponseBase:
    context = {"form": form, "view": case.view, "prices": texts.prices(_tariffs(case))}
    return render(case.request, "subscriptions/change.html", context)


def _changing(case: AskedSubscription, tariff: Tariff, cards: int) -> Confirmation:
    end = case.view.billed_until
    when = f"С {texts.day(end, case.zone)}" if end else "Дальше"
    later = f"{ru_format.money(tariff.price_kopecks * cards)} за {ru_format.months(tariff.months)}"
    return Confirmation(
        Kind.CHANGE,
        "Изменить период или число карт",
        texts.change_brings(case.view, cards, case.zone),
        estimates.change(case.view, tariff, cards, case.at, case.zone),
        after=(Fact(when, later, ru_format.cards(cards)),),
        tariff=tariff,
        cards=cards,
    )
