"""One card: its page, its live part, and what people do with it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.views.decorators.http import require_http_methods, require_safe

from cabinet import clock, rules
from cabinet.access import MerchantRequest, merchant_page, own_or_404, refuse
from cabinet.actors import Actor
from cabinet.errors import NotAllowed, Refused
from cabinet.states import Right, Role
from smartcards import queries, services
from smartcards.forms import DescribeForm
from smartcards.models import SmartCard
from smartcards.pages import offers, words
from smartcards.pages.card import card_page
from smartcards.pages.progress import progress_of

_PAGE = ["GET", "HEAD", "POST"]
# A function of `services` that takes card, by and at.
Deed = Callable[..., object]


@require_safe
@merchant_page(Right.SEE_CARDS)
def card(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """Does it work, is it paid, why so, and what may be done."""
    view = card_page(
        card=_own(request, pk),
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
    return render(request, "smartcards/progress.html", {"progress": shown})


@require_http_methods(_PAGE)
@merchant_page(Right.CHOOSE_CARDS)
def edit(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """The label of a card and its till."""
    row = _own(request, pk)
    form = DescribeForm(request.POST or None, card=row)
    if form.is_valid():
        return _do(request, row, _describe(form.cleaned_data), "Сохранено.")
    return render(
        request, "smartcards/edit.html", {"form": form, "card": row, "title": words.title_of(row)}
    )


def _describe(said: dict[str, Any]) -> Deed:
    def deed(*, card: SmartCard, by: Actor, at: datetime) -> None:
        services.describe(card=card, label=said["label"], terminal=said["terminal"], by=by, at=at)

    return deed


@require_http_methods(_PAGE)
@merchant_page(Right.SEE_CARDS)
def activate(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Активировать»."""
    return _posted(request, pk, services.request_activation, "Запрос принят: включаем смарт-карту.")


@require_http_methods(_PAGE)
@merchant_page(Right.SEE_CARDS)
def deactivate(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Деактивировать»: first what it means for the till, then the deed."""
    if request.method == "POST":
        said = "Запрос принят: отключаем смарт-карту."
        return _posted(request, pk, services.request_deactivation, said)
    row = _own(request, pk)
    facts = queries.facts_of(row, clock.now())
    context = {
        "card": row,
        "title": words.title_of(row),
        "place": words.place_of(row),
        "number": words.number_of(row),
        "covered": facts.covered,
        "reason": offers.deactivate_offer(facts, Role(request.member.role)).reason,
    }
    return render(request, "smartcards/deactivate.html", context)


@require_http_methods(_PAGE)
@merchant_page(Right.SEE_CARDS)
def cancel(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Отменить команду», while it waits in our queue."""
    return _posted(
        request, pk, services.cancel_command, "Команда отменена, оператору ничего не отправлено."
    )


@require_http_methods(_PAGE)
@merchant_page(Right.SEE_CARDS)
def check(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Проверить ещё раз»."""
    rules.check_may(Role(request.member.role), Right.ACTIVATE)
    return _posted(request, pk, services.check_again, "Спрашиваем оператора ещё раз.")


def _posted(request: MerchantRequest, pk: int, deed: Deed, said: str) -> HttpResponseBase:
    row = own_or_404(SmartCard.objects.all(), request.merchant, pk=pk)
    # After signing in again the browser comes here by GET: show the card, do nothing.
    if request.method != "POST":
        return redirect("card", pk=pk)
    return _do(request, row, deed, said)


def _do(request: MerchantRequest, row: SmartCard, deed: Deed, said: str) -> HttpResponseBase:
    try:
        deed(card=row, by=request.actor, at=clock.now())
    except NotAllowed:
        raise
    except Refused as refusal:
        return refuse(request, refusal, resolve_url("card", pk=row.pk))
    messages.success(request, said)
    return redirect("card", pk=row.pk)


def _own(request: MerchantRequest, pk: int) -> SmartCard:
    return own_or_404(queries.with_facts(SmartCard.objects.all()), request.merchant, pk=pk)
