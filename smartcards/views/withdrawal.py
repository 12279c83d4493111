"""A card that is lost, stolen or broken: out of use, replaced, found again."""

from collections.abc import Callable
from functools import partial
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.views.decorators.http import require_http_methods

from cabinet import clock
from cabinet.access import MerchantRequest, merchant_page, own_or_404, refuse
from cabinet.errors import NotAllowed, Refused
from cabinet.states import Right
from smartcards import queries, rules, withdrawal
from smartcards.forms import ReplaceForm, WithdrawForm
from smartcards.models import SmartCard
from smartcards.pages.troubles import before_switches
from smartcards.pages.withdrawal import replacement_page, withdrawal_page
from smartcards.rules import CardFacts
from smartcards.states import CommandKind, Confirmed
from smartcards.views.deeds import PAGE, do, own_card

_WITHDRAWN = "Смарт-карта выведена из работы."
_REPLACED = "Смарт-карта заменена. Вставьте новую в кассу."


@require_http_methods(PAGE)
@merchant_page(Right.DEACTIVATE)
def withdraw(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Карта потеряна, украдена или сломана»: the reason, then what it means, then the deed."""
    row = own_card(request, pk)
    form = WithdrawForm(request.POST or None)
    said = form.cleaned_data if form.is_valid() else {}
    if said.get("confirmed"):
        return do(request, row, partial(withdrawal.withdraw, because=said["because"]), _WITHDRAWN)
    facts = queries.facts_of(row, clock.now())
    refusal = _refusal(lambda: rules.check_can_withdraw(facts, request.actor.role))
    if refusal is not None:
        return refuse(request, refusal, resolve_url("card", pk=pk))
    page = withdrawal_page(row, facts, said.get("because"))
    template = "withdraw_confirm" if said else "withdraw"
    context = {"view": page, "form": form, "troubles": _troubles(request, row, facts)}
    return render(request, f"smartcards/{template}.html", context)


def _troubles(request: MerchantRequest, row: SmartCard, facts: CardFacts) -> tuple[str, ...]:
    """Why the switch-off that comes with it may have to wait."""
    if facts.confirmed not in {Confirmed.ACTIVE, Confirmed.UNKNOWN}:
        return ()
    zone = ZoneInfo(request.merchant.timezone)
    return before_switches([row], CommandKind.DEACTIVATE, zone, clock.now())


@require_http_methods(PAGE)
@merchant_page(Right.CHOOSE_CARDS)
def replace(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Заменить»: which of the merchant's new cards takes over, and what goes with it."""
    row = own_card(request, pk)
    if request.method == "POST" and request.POST.get("card") == str(row.replaced_by_id):
        messages.info(request, "Запрос уже принят: смарт-карта заменена.")
        return redirect("card", pk=pk)
    offered = queries.priced_stand_ins(request.merchant, instead_of=row, at=clock.now())
    form = ReplaceForm(request.POST or None, cards=offered)
    if form.is_valid():
        fresh = own_or_404(SmartCard.objects.all(), request.merchant, pk=form.cleaned_data["card"])
        return do(request, row, partial(withdrawal.replace, with_card=fresh), _REPLACED)
    facts = queries.facts_of(row, clock.now())
    refusal = _refusal(lambda: rules.check_can_replace(facts, request.actor.role))
    if refusal is not None:
        return refuse(request, refusal, resolve_url("card", pk=pk))
    page = replacement_page(row, request.actor.role)
    return render(request, "smartcards/replace.html", {"view": page, "form": form})


@require_http_methods(PAGE)
@merchant_page(Right.DEACTIVATE)
def take_back(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Нашлась»."""
    row = own_or_404(SmartCard.objects.all(), request.merchant, pk=pk)
    # After signing in again the browser comes here by GET: show the card, do nothing.
    if request.method != "POST":
        return redirect("card", pk=pk)
    said = "Смарт-карта снова в работе. Если она отключена, нажмите «Активировать»."
    return do(request, row, withdrawal.take_back, said)


def _refusal(check: Callable[[], None]) -> Refused | None:
    try:
        check()
    except NotAllowed:
        raise
    except Refused as refusal:
        return refusal
    return None
