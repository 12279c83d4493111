"""One card: its page, its live part, and what people do with it."""

from collections.abc import Callable
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.views.decorators.http import require_http_methods, require_safe

from cabinet import clock
from cabinet.accounts.access import MerchantRequest, merchant_page, own_or_404, redirect_with_error
from cabinet.enums import Right, Role
from cabinet.errors import NotAllowed, Refused
from cabinet.tasks.deadlock_retry import retry_on_deadlock
from smartcards import queries, rules, services
from smartcards.forms import AgreedForm, DescribeForm
from smartcards.models import SmartCard
from smartcards.presentation import actions, display_format, outages, switch_conditions
from smartcards.presentation.card import card_page
from smartcards.presentation.progress import progress_of
from smartcards.presentation.switch_conditions import Terms
from smartcards.rules import AlreadyAsked
from smartcards.states import CardState, CommandKind
from smartcards.views.mass_switch_off import within_limit

PAGE = ["GET", "HEAD", "POST"]


def run_card_action(
    request: MerchantRequest, row: SmartCard, action: Callable[..., object], done: str
) -> HttpResponseBase:
    """Do it and show the card with the sentence `done`; a refusal becomes a message, one's own second click
    a calm one. Nothing is done by GET: after signing in again the browser comes here so. `action` is
    given card, by and at.
    """
    if request.method != "POST":
        return redirect("card", pk=row.pk)
    try:
        retry_on_deadlock(partial(action, card=row, by=request.actor, at=clock.now()))
    except NotAllowed:
        raise
    except AlreadyAsked as refusal:
        messages.info(request, refusal.sentence)
        return redirect("card", pk=row.pk)
    except Refused as refusal:
        return redirect_with_error(request, refusal, resolve_url("card", pk=row.pk))
    messages.success(request, done)
    return redirect("card", pk=row.pk)


def own_card(request: MerchantRequest, pk: int) -> SmartCard:
    """The merchant's own card with its facts, or 404."""
    return own_or_404(
        queries.with_facts(SmartCard.objects.all(), terms=True), request.merchant, pk=pk
    )


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
    """The label of a card and its terminal."""
    row = own_card(request, pk)
    form = DescribeForm(request.POST or None, card=row)
    if form.is_valid():
        action = partial(services.update_label_and_terminal, **form.cleaned_data)
        return run_card_action(request, row, action, "Сохранено.")
    return render(
        request,
        "smartcards/edit.html",
        {"form": form, "card": row, "title": display_format.name_of(row).title},
    )


@require_http_methods(PAGE)
@merchant_page(Right.SEE_CARDS)
def activate(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Активировать»: at once, or after the page that tells the price and the conditions."""
    row, at = own_card(request, pk), clock.now()
    found = switch_conditions.activation_terms(row, ZoneInfo(request.merchant.timezone), at)
    if found.asks_first:
        button = actions.activate_button(queries.facts_of(row, at), Role(request.member.role))
        if not button.reason and not _agreed(request, found):
            context = _asked(request, row, found, CommandKind.ACTIVATE)
            return render(request, "smartcards/activate.html", context)
    return run_card_action(request, row, services.request_activation, _GOES_ON)


_GOES_ON = "Запрос принят: включаем смарт-карту."


def _agreed(request: MerchantRequest, found: Terms) -> bool:
    """Whether the person has pressed «Подтвердить» under the price of now."""
    form = AgreedForm(request.POST)
    return request.method == "POST" and form.is_valid() and form.cleaned_data["fee"] == found.fee


def _asked(
    request: MerchantRequest, row: SmartCard, found: Terms, kind: CommandKind
) -> dict[str, Any]:
    """What is read before a switch: which card, what it costs, how long it takes."""
    at, zone = clock.now(), ZoneInfo(request.merchant.timezone)
    sentences = outages.before_switches([row], kind, zone, at)
    return {
        "card_name": display_format.name_of(row),
        "terms": found,
        "hints": switch_conditions.switch_hints(row, kind, zone, at),
        "outages": sentences,
        "promise": ""
        if sentences
        else f"{display_format.eta_text(display_format.eta_of(row.account, at))}.",
    }


@require_http_methods(PAGE)
@merchant_page(Right.SEE_CARDS)
def deactivate(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Деактивировать»: first what it means and costs, then the switch.

    Of a card that is off already it is «Не включать»: nothing is sent, so nothing has a price.
    """
    row = own_card(request, pk)
    facts = queries.facts_of(row, clock.now())
    found = switch_conditions.deactivation_terms(
        row, ZoneInfo(request.merchant.timezone), clock.now()
    )
    reason = actions.deactivate_button(facts, Role(request.member.role)).reason
    off = not reason and rules.card_state(facts) in {CardState.NEW, CardState.INACTIVE}
    settled = reason or off or not found.fee
    if request.method == "POST" and (settled or _agreed(request, found)):
        if off:
            return run_card_action(request, row, services.request_deactivation, _STAYS_OFF)
        action = within_limit(request, services.request_deactivation)
        return run_card_action(request, row, action, _GOES_OFF)
    context = _asked(request, row, found, CommandKind.DEACTIVATE)
    context |= {"covered": facts.covered, "reason": reason}
    return render(request, f"smartcards/{'stay_off' if off else 'deactivate'}.html", context)


_GOES_OFF = "Запрос принят: отключаем смарт-карту."
_STAYS_OFF = "Смарт-карта сама не включится. Когда понадобится, нажмите «Активировать»."


@require_http_methods(PAGE)
@merchant_page(Right.SEE_CARDS)
def cancel(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Отменить команду», while it waits in our queue."""
    row = own_or_404(SmartCard.objects.all(), request.merchant, pk=pk)
    done = "Команда отменена, оператору ничего не отправлено."
    return run_card_action(request, row, services.cancel_command, done)


@require_http_methods(PAGE)
@merchant_page(Right.SEE_CARDS)
def check(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Проверить ещё раз»."""
    row = own_or_404(SmartCard.objects.all(), request.merchant, pk=pk)
    return run_card_action(request, row, services.check_again, "Спрашиваем оператора ещё раз.")
