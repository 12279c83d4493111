"""Doors for signals: they wake a task after commit, or make what waits due."""

from datetime import datetime
from typing import Any

from django.dispatch import receiver

from cabinet.actors import Actor
from cabinet.wake import wake
from operators.signals import keys_in_order
from smartcards import services
from subscriptions.signals import entitlement_changed


@receiver(entitlement_changed, dispatch_uid="smartcards.entitlement_changed")
def entitlement_may_have_changed(*, merchant_id: int, **_kwargs: Any) -> None:
    """Compare the merchant's cards with what is paid, soon."""
    wake("smartcards.reconcile_merchant", merchant_id=merchant_id)


@receiver(keys_in_order, dispatch_uid="smartcards.keys_in_order")
def keys_are_in_order(*, account_id: int, by: Actor, at: datetime, **_kwargs: Any) -> None:
    """What waited for the keys leaves at once."""
    services.send_what_waits_for_keys(account_id=account_id, by=by, at=at)
