"""Signal receivers: they make what waits due."""

from datetime import datetime
from typing import Any

from django.dispatch import receiver

from cabinet.actors import Actor
from operators.signals import keys_in_order
from smartcards import services


@receiver(keys_in_order, dispatch_uid="smartcards.keys_in_order")
def keys_are_in_order(*, account_id: int, by: Actor, at: datetime, **_kwargs: Any) -> None:
    """What waited for the keys leaves at once."""
    services.send_what_waits_for_keys(account_id=account_id, by=by, at=at)
