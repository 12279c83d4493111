"""Switching off many cards from the market's cabinet: a code first."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction

from cabinet import clock
from cabinet.accounts import confirmation
from cabinet.accounts.access import MerchantRequest
from cabinet.tasks import advisory_lock
from smartcards import queries, rules

WINDOW = timedelta(hours=1)


def within_limit(
    request: MerchantRequest, action: Callable[..., object], *, number: int = 1
) -> Callable[..., object]:
    """`action`, which switches off `number` cards: raises `confirmation.CodeNeeded` where that makes it many.

    Cards that were switched off one by one within `WINDOW` count. Only sessions that need a code are limited.
    """
    if not number or not confirmation.needs_code(request):
        return action

    def limited(**given: Any) -> object:
        with transaction.atomic():
            # Many clicks at once are counted one after another.
            advisory_lock.acquire(f"switch-off:{request.merchant.pk}")
            since = clock.now() - WINDOW
            before = queries.switched_off_by_people(request.merchant, since=since)
            if rules.is_mass_switch_off(before + number):
                raise confirmation.CodeNeeded
            return action(**given)

    return limited
