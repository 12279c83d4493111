"""The first page."""

from django.http import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cabinet import clock, rules
from cabinet.access import MerchantRequest, merchant_page
from cabinet.states import Right, Role
from smartcards.forms import WishForm
from smartcards.pages.overview import overview


@require_safe
@merchant_page(Right.SEE_CARDS)
def cards(request: MerchantRequest) -> HttpResponseBase:
    """All cards of the merchant: what works, what needs a hand, and the list."""
    role = Role(request.member.role)
    context = {
        "view": overview(
            merchant=request.merchant, role=role, wish=WishForm(request.GET).wish(), at=clock.now()
        ),
        "may_order": rules.may(role, Right.ORDER),
        "may_choose": rules.may(role, Right.CHOOSE_CARDS),
    }
    return render(request, "smartcards/cards.html", context)
