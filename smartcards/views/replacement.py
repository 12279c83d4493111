"""A card that is lost, stolen or broken: out of use, replaced, found again."""

from functools import partial
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.views.decorators.http import require_http_methods

from cabinet import clock
from cabinet.accounts import rules as roles
from cabinet.accounts.access import MerchantRequest, merchant_page, own_or_404, redirect_with_error
from cabinet.enums import Right
from smartcards import queries, replacement, rules
from smartcards.forms import ReplaceForm, WithdrawForm
from smartcards.models import SmartCard
from smartcards.presentation.display_format import name_of
from smartcards.presentation.outages import before_switches
from smartcards.presentation.replacement import HEADINGS, consequences
from smartcards.rules import CardFacts, CardRefused
from smartcards.states import CommandKind, OperatorState, WithdrawalReason
from smartcards.views.card import PAGE, own_card, run_card_action
from smartcards.views.mass_switch_off import within_limit


@require_http_methods(PAGE)
@merchant_page(Right.DEACTIVATE)
def withdraw(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Карта потеряна, украдена или сломана»: the reason, then the consequences, then the action."""
    row = own_card(request, pk)
    form = WithdrawForm(request.POST or None)
    cleaned = form.cleaned_data if form.is_valid() else {}
    if cleaned.get("confirmed"):
        withdraw_card = partial(replacement.withdraw, because=cleaned["because"])
        action = within_limit(request, withdraw_card)
        return run_card_action(request, row, action, "Смарт-карта выведена из работы.")
    facts = queries.facts_of(row, clock.now())
    try:
        rules.check_can_withdraw(facts, request.actor.role)
    except CardRefused as refusal:
        return redirect_with_error(request, refusal, resolve_url("card", pk=pk))
    context = {"card_name": name_of(row), "form": form}
    if not cleaned:
        return render(request, "smartcards/withdraw.html", context)
    because = cleaned["because"]
    context |= {
        "because": because,
        "heading": HEADINGS[because],
        "points": consequences(row, facts, because),
        "outages": _outages(request, row, facts),
    }
    return render(request, "smartcards/withdraw_confirm.html", context)


def _outages(request: MerchantRequest, row: SmartCard, facts: CardFacts) -> tuple[str, ...]:
    """Why the switch-off that comes with it may have to wait."""
    if facts.confirmed not in {OperatorState.ACTIVE, OperatorState.UNKNOWN}:
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
    offered = queries.priced_replacement_candidates(
        request.merchant, instead_of=row, at=clock.now()
    )
    form = ReplaceForm(request.POST or None, cards=offered)
    if form.is_valid():
        fresh = own_or_404(SmartCard.objects.all(), request.merchant, pk=form.cleaned_data["card"])
        action = partial(replacement.replace, with_card=fresh)
        done = "Смарт-карта заменена. Вставьте новую в кассу."
        return run_card_action(request, row, action, done)
    facts = queries.facts_of(row, clock.now())
    try:
        rules.check_can_replace(facts, request.actor.role)
    except CardRefused as refusal:
        return redirect_with_error(request, refusal, resolve_url("card", pk=pk))
    role = request.actor.role
    context = {
        "card_name": name_of(row),
        "form": form,
        "because": WithdrawalReason(row.withdrawn_because).label,
        "may_order": role is None or roles.may(role, Right.ORDER),
    }
    return render(request, "smartcards/replace.html", context)


@require_http_methods(PAGE)
@merchant_page(Right.DEACTIVATE)
def take_back(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """«Нашлась»."""
    row = own_or_404(SmartCard.objects.all(), request.merchant, pk=pk)
    done = "Смарт-карта снова в работе. Если она отключена, нажмите «Активировать»."
    return run_card_action(request, row, replacement.take_back, done)
