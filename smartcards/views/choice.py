"""Which cards are paid: boxes, a warning where working cards drop out, the deed."""

from functools import partial
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from cabinet import clock, rules
from cabinet.access import MerchantRequest, merchant_page, refuse
from cabinet.conflicts import through_conflicts
from cabinet.errors import NotAllowed, Refused
from cabinet.states import Right, Role
from smartcards import coverage
from smartcards.coverage import NotEnoughPlaces
from smartcards.forms import ChoiceForm, WishForm
from smartcards.pages.choice import Change, change_of, choice_page, leaving_of
from smartcards.pages.troubles import before_switches
from smartcards.states import CommandKind


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
    said = form.cleaned_data
    if said["back"]:
        return _boxes(request, said["cards"])
    change = change_of(
        merchant=request.merchant, shown=said["shown"], ticked=said["cards"], at=clock.now()
    )
    if change.dropped and said["confirmed"] != change.mark:
        return _confirm(request, change, said["shown"], said["cards"])
    return _choose(request, change, said["cards"])


def _choose(request: MerchantRequest, change: Change, ticked: frozenset[int]) -> HttpResponseBase:
    try:
        through_conflicts(
            partial(
                coverage.choose_cards,
                merchant=request.merchant,
                card_ids=change.chosen,
                by=request.actor,
                at=clock.now(),
            )
        )
    except NotAllowed:
        raise
    except NotEnoughPlaces as refusal:
        return _boxes(request, ticked, refusal.sentence)
    except Refused as refusal:
        return refuse(request, refusal, "choose_cards")
    messages.success(request, "Выбор сохранён.")
    return redirect("cards")


def _boxes(
    request: MerchantRequest, ticked: frozenset[int] | None = None, problem: str = ""
) -> HttpResponseBase:
    wish = WishForm(request.GET).wish()
    context = {
        "view": choice_page(
            merchant=request.merchant,
            text=wish.text,
            number=wish.page,
            chosen=ticked,
            at=clock.now(),
        ),
        "problem": problem,
        "may_pay": rules.may(Role(request.member.role), Right.SEE_SUBSCRIPTION),
    }
    return render(request, "smartcards/choose.html", context)


def _confirm(
    request: MerchantRequest, change: Change, shown: frozenset[int], ticked: frozenset[int]
) -> HttpResponseBase:
    zone = ZoneInfo(request.merchant.timezone)
    context = {
        "leaving": leaving_of(change),
        "mark": change.mark,
        "shown": ",".join(str(pk) for pk in sorted(shown)),
        "ticked": sorted(ticked),
        "troubles": before_switches(change.dropped, CommandKind.DEACTIVATE, zone, clock.now()),
    }
    return render(request, "smartcards/choose_confirm.html", context)
