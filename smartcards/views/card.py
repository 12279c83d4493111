"""One card: its page, its live part, and what people do with it."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from cabinet import clock
from cabinet.access import MerchantRequest, merchant_page, own_or_404
from cabinet.actors import Actor
from cabinet.states import Right, Role
from smartcards import queries, rules, services
from smartcards.forms import AgreedForm, DescribeForm
from smartcards.models import SmartCard
from smartcards.pages import offers, terms, troubles, words
from smartcards.pages.card import card_page
from smartcards.pages.progress import progress_of
from smartcards.pages.terms import Terms
from smartcards.states import CardState, CommandKind
from smartcards.views.deeds import PAGE, Deed, do, own_card


@require_safe
@merchant_page(Right.SEE_CARDS)
def card(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """Does it work, is it paid, why so, and what may be done."""
    view = card_page(
        card=own_card(request, pk),
        merchant=request.merchant,
        role=Role(request.member.role),
        at=clock.now(),
        whole_history="history" in request.GET,
    )
    return render(request, "smartcards/card.html", {"view": view, "progress": view.progress})


@require_safe
@merchant_page(Right.SEE_CARDS)
def progress(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """The live part of the page, asked for again and again while the card is switching."""
    row = own_or_404(SmartCard.objects.all(), request.merchant, pk=pk)
    shown = progress_of(card=row, merchant=request.merchant, at=clock.now())
    # Another state than the page was made for: buttons and history change with it.
    seen = request.GET.get("seen")
    if shown is not None and seen and seen != shown.state:
        shown = None
    return render(request, "smartcards/progress.html", {"progress": shown})


@require_http_methods(PAGE)
@merchant_page(Right.CHOOSE_CARDS)
def edit(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """The label of a card and its till."""
    row = own_card(request, pk)
    form = DescribeForm(request.POST or None, card=row)
    if form.is_valid():
        return do(request, row, _describe(form.cleaned_data), "Сохранено.")
    return render(
        request, "smartcards/edit.html", {"form": form, "card": row, "title": words.title_of(row)}
    )


def _describe(said: dict[str, Any]) -> Deed:
    def deed(*, card: SmartCard, by: Actor, at: datetime) -> None:
        services.describe(card=card, label=said["label"], terminal=said["terminal"], by=by, at=at)

    return deed


@require_http_methods(PAGE)
@merchant_page(Right.SEE_CARDS)
def activate(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Активировать»: at once, or after the page that tells the price and the conditions."""
    row = own_card(request, pk)
    offer = offers.activate_offer(queries.facts_of(row, clock.now()), Role(request.member.role))
    found = terms.activation_terms(row, ZoneInfo(request.merchant.timezone), clock.now())
    if found.asks_first and not offer.reason and not _agreed(request, found):
        context = _asked(request, row, found, CommandKind.ACTIVATE)
        return render(request, "smartcards/activate.html", context)
    return _posted(request, pk, services.request_activation, "Запрос принят: включаем смарт-карту.")


def _agreed(request: MerchantRequest, found: Terms) -> bool:
    """Whether the person has pressed «Подтвердить» under the price of now."""
    form = AgreedForm(request.POST)
    return request.method == "POST" and form.is_valid() and form.cleaned_data["fee"] == found.fee


def _asked(
    request: MerchantRequest, row: SmartCard, found: Terms, kind: CommandKind
) -> dict[str, Any]:
    """What is read before a switch: which card, what it costs, how long it takes."""
    at, zone = clock.now(), ZoneInfo(request.merchant.timezone)
    said = troubles.before_switches([row], kind, zone, at)
    return {
        "card": row,
        "title": words.title_of(row),
        "place": words.place_of(row),
        "number": words.number_of(row),
        "terms": found,
        "troubles": said,
        "promise": "" if said else f"{words.promise_of(row.account, at)}.",
    }


@require_http_methods(PAGE)
@merchant_page(Right.SEE_CARDS)
def deactivate(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Деактивировать»: first what it means for the till and what it costs, then the deed.

    Of a card that is off already it is «Не включать»: nothing is sent, so nothing has a price.
    """
    row = own_card(request, pk)
    facts = queries.facts_of(row, clock.now())
    found = terms.deactivation_terms(row, ZoneInfo(request.merchant.timezone), clock.now())
    reason = offers.deactivate_offer(facts, Role(request.member.role)).reason
    off = not reason and rules.card_state(facts) in {CardState.NEW, CardState.INACTIVE}
    settled = reason or off or not found.fee
    if request.method == "POST" and (settled or _agreed(request, found)):
        return _posted(request, pk, services.request_deactivation, _STAYS_OFF if off else _GOES_OFF)
    context = _asked(request, row, found, CommandKind.DEACTIVATE)
    context |= {"covered": facts.covered, "reason": reason}
    return render(request, f"smartcards/{'stay_off' if off else 'deactivate'}.html", context)


_GOES_OFF = "Запрос принят: отключаем смарт-карту."
_STAYS_OFF = "Смарт-карта сама не включится. Когда понадобится, нажмите «Активировать»."


@require_http_methods(PAGE)
@merchant_page(Right.SEE_CARDS)
def cancel(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Отменить команду», while it waits in our queue."""
    return _posted(
        request, pk, services.cancel_command, "Команда отменена, оператору ничего не отправлено."
    )


@require_http_methods(PAGE)
@merchant_page(Right.SEE_CARDS)
def check(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Проверить ещё раз»."""
    return _posted(request, pk, services.check_again, "Спрашиваем оператора ещё раз.")


def _posted(request: MerchantRequest, pk: int, deed: Deed, said: str) -> HttpResponseBase:
    row = own_or_404(SmartCard.objects.all(), request.merchant, pk=pk)
    # After signing in again the browser comes here by GET: show the card, do nothing.
    if request.method != "POST":
        return redirect("card", pk=pk)
    return do(request, row, deed, said)
