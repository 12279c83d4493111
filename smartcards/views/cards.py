"""The first page."""

from functools import partial
from urllib.parse import urlencode
from uuid import uuid4

from django.conf import settings
from django.http import HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.utils.module_loading import import_string
from django.views.decorators.http import require_POST, require_safe

from cabinet import clock
from cabinet.accounts import rules
from cabinet.accounts.access import MerchantRequest, merchant_page
from cabinet.enums import Right, Role
from smartcards.forms import MOST_TICKS, ListQueryForm, TicksForm
from smartcards.listing import card_filter
from smartcards.models import SmartCard
from smartcards.presentation.actions import refusal_of
from smartcards.presentation.card_list import card_list_page


@require_safe
@merchant_page(Right.SEE_CARDS)
def cards(request: MerchantRequest) -> HttpResponseBase:
    """All cards of the merchant: what works, what needs a hand, and the list."""
    return _list(request, request.GET)


@require_POST
@merchant_page(Right.ACTIVATE)
def cards_ticked(request: MerchantRequest) -> HttpResponseBase:
    """The same page of the list with the cards ticked that were, and all those of a shop."""
    form = TicksForm(request.POST)
    if not form.is_valid():
        return redirect("cards")
    ticked: frozenset[int] = form.cleaned_data["card"]
    if shop := form.cleaned_data["tick_shop"]:
        ticked |= _cards_of_shop(request, shop)
    return _list(request, request.POST, ticked)


def _cards_of_shop(request: MerchantRequest, shop: int) -> frozenset[int]:
    """Those of them that the filter shows, no more than a form carries."""
    wanted = ListQueryForm(request.POST).query().wanted
    found = card_filter.cards_matching(merchant=request.merchant, wanted=wanted, at=clock.now())
    cards = found.filter(terminal__shop=shop).order_by("list_key", "pk")
    return frozenset(cards.values_list("pk", flat=True)[:MOST_TICKS])


def _list(
    request: MerchantRequest, asked: QueryDict, ticked: frozenset[int] = frozenset()
) -> HttpResponseBase:
    role, query = Role(request.member.role), ListQueryForm(asked).query()
    own = SmartCard.objects.of(request.merchant).filter(pk__in=ticked)
    context = {
        "view": card_list_page(
            merchant=request.merchant,
            role=role,
            query=query,
            at=clock.now(),
            ticked=frozenset(own.values_list("pk", flat=True)) if ticked else frozenset(),
        ),
        "more_notices": [
            notice
            for dotted in settings.FIRST_PAGE_NOTICES
            for notice in import_string(dotted)(request.merchant, role)
        ],
        "address": QueryDict(urlencode(query.address)),
        "form_key": uuid4(),
        "may_order": rules.may(role, Right.ORDER),
        "choose_reason": refusal_of(partial(rules.check_may, role, Right.CHOOSE_CARDS)),
    }
    return render(request, "smartcards/cards.html", context)
