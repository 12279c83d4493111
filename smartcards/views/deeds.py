"""From a posted form to a service and back to the card's page."""

from collections.abc import Callable
from functools import partial

from django.contrib import messages
from django.http import HttpResponseBase
from django.shortcuts import redirect, resolve_url

from cabinet import clock
from cabinet.access import MerchantRequest, own_or_404, refuse
from cabinet.conflicts import through_conflicts
from cabinet.errors import NotAllowed, Refused
from smartcards import queries
from smartcards.models import SmartCard
from smartcards.rules import AlreadyAsked

PAGE = ["GET", "HEAD", "POST"]
# A function of a service that takes card, by and at.
Deed = Callable[..., object]


def do(request: MerchantRequest, row: SmartCard, deed: Deed, said: str) -> HttpResponseBase:
    """Do it and show the card; a refusal becomes a message, one's own second click a calm one."""
    try:
        through_conflicts(partial(deed, card=row, by=request.actor, at=clock.now()))
    except NotAllowed:
        raise
    except AlreadyAsked as refusal:
        messages.info(request, refusal.sentence)
        return redirect("card", pk=row.pk)
    except Refused as refusal:
        return refuse(request, refusal, resolve_url("card", pk=row.pk))
    messages.success(request, said)
    return redirect("card", pk=row.pk)


def own_card(request: MerchantRequest, pk: int) -> SmartCard:
    """The merchant's own card with its facts, or 404."""
    return own_or_404(
        queries.with_facts(SmartCard.objects.all(), terms=True), request.merchant, pk=pk
    )
