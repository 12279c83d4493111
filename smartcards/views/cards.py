"""The first page."""

from django.http import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cabinet import clock, rules
from cabinet.access import MerchantRequest, merchant_page
from cabinet.errors import NotAllowed
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
        "choose_reason": _choose_reason(role),
    }
    return render(request, "smartcards/cards.html", context)


def _choose_reason(role: Role) -> str:
    try:
        rules.check_may(role, Right.CHOOSE_CARDS)
    except NotAllowed as refusal:
        return refusal.sentence
    return ""
