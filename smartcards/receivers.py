"""Doors for signals: they only wake a task after commit."""

from typing import Any

from django.dispatch import receiver

from cabinet.wake import wake
from subscriptions.signals import entitlement_changed


@receiver(entitlement_changed, dispatch_uid="smartcards.entitlement_changed")
def entitlement_may_have_changed(*, merchant_id: int, **_kwargs: Any) -> None:
    """Compare the merchant's cards with what is paid, soon."""
    wake("smartcards.reconcile_merchant", merchant_id=merchant_id)
