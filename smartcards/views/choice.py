"""Which cards are paid: boxes, kept while the person goes on, a warning where working cards drop out, saving."""

from functools import partial
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.views.decorators.http import require_http_methods

from cabinet import clock
from cabinet.accounts import rules
from cabinet.accounts.access import MerchantRequest, merchant_page, redirect_with_error
from cabinet.enums import Right, Role
from cabinet.errors import NotAllowed, Refused
from cabinet.formatting import ru_format
from cabinet.tasks.deadlock_retry import retry_on_deadlock
from smartcards.forms import ChoiceForm, ChoiceStep, ListQueryForm
from smartcards.listing import paid_cards_draft
from smartcards.presentation.display_format import name_of
from smartcards.presentation.outages import before_switches
from smartcards.presentation.paid_cards_choice import Change, change_of, choice_page, offered
from smartcards.reconciliation import paid_slots
from smartcards.reconciliation.paid_slots import NotEnoughSlots
from smartcards.states import CommandKind
from smartcards.views.mass_switch_off import within_limit


@require_http_methods(["GET", "HEAD", "POST"])
@merchant_page(Right.CHOOSE_CARDS)
def choose_cards(request: MerchantRequest) -> HttpResponseBase:
    """«Выбрать карты»."""
    if request.method != "POST":
        return _boxes(request)
    form = ChoiceForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Список смарт-карт не читается. Выберите карты ещё раз.")
        return redirect("choose_cards")
    cleaned = form.cleaned_data
    try:
        _keep(request, cleaned["shown"], cleaned["cards"])
    except NotAllowed:
        raise
    except Refused as refusal:
        return redirect_with_error(request, refusal, "choose_cards")
    # The buttons of the neighbouring pages say only where they lead.
    if cleaned["go"] or {"after", "before"} & request.POST.keys():
        return _go(request, ChoiceStep(cleaned["go"] or ChoiceStep.SHOW))
    change = change_of(merchant=request.merchant, by=request.actor, at=clock.now())
    if change.dropped and cleaned["confirmed"] != change.mark:
        return _confirm(request, change)
    return _choose(request, change)


def _keep(request: MerchantRequest, shown: frozenset[int], ticked: frozenset[int]) -> None:
    if not shown and not ticked:
        return
    paid_cards_draft.keep_ticks(
        merchant=request.merchant, shown=shown, ticked=ticked, by=request.actor, at=clock.now()
    )


def _go(request: MerchantRequest, step: ChoiceStep) -> HttpResponseBase:
    """Do what the button says and show the page that was asked for."""
    query, at = ListQueryForm(request.POST).query(), clock.now()
    if step is ChoiceStep.DISCARD:
        paid_cards_draft.discard(merchant=request.merchant, by=request.actor)
    elif step is not ChoiceStep.SHOW:
        paid_cards_draft.tick_all(
            merchant=request.merchant,
            cards=offered(request.merchant, query.wanted, at),
            on=step is ChoiceStep.TICK_FOUND,
            by=request.actor,
            at=at,
        )
    return redirect(f"{resolve_url('choose_cards')}?{urlencode(query.fields)}")


def _choose(request: MerchantRequest, change: Change) -> HttpResponseBase:
    choose = within_limit(request, paid_slots.choose_cards, number=len(change.dropped))
    try:
        retry_on_deadlock(
            partial(
                choose,
                merchant=request.merchant,
                card_ids=change.chosen,
                by=request.actor,
                at=clock.now(),
            )
        )
    except NotAllowed:
        raise
    except NotEnoughSlots as refusal:
        return _boxes(request, refusal.sentence)
    except Refused as refusal:
        return redirect_with_error(request, refusal, "choose_cards")
    paid_cards_draft.discard(merchant=request.merchant, by=request.actor)
    messages.success(request, "Выбор сохранён.")
    return redirect("cards")


def _boxes(request: MerchantRequest, problem: str = "") -> HttpResponseBase:
    asked = request.POST if request.method == "POST" else request.GET
    context = {
        "view": choice_page(
            merchant=request.merchant,
            by=request.actor,
            query=ListQueryForm(asked).query(),
            at=clock.now(),
        ),
        "problem": problem,
        "may_pay": rules.may(Role(request.member.role), Right.SEE_SUBSCRIPTION),
    }
    return render(request, "smartcards/choose.html", context)


def _confirm(request: MerchantRequest, change: Change) -> HttpResponseBase:
    zone = ZoneInfo(request.merchant.timezone)
    number = len(change.dropped)
    verb = ru_format.plural(number, "Отключится", "Отключатся", "Отключатся")
    context = {
        "title": f"{verb} {ru_format.cards(number)}",
        "change": change,
        "leaving": [name_of(card) for card in change.named],
        "outages": before_switches(change.dropped, CommandKind.DEACTIVATE, zone, clock.now()),
    }
    return render(request, "smartcards/choose_confirm.html", context)
