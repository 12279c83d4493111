"""Matters for staff: one open row for one matter, however often it is raised."""

from collections.abc import Sequence
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import F

from cabinet.actors import Actor
from cabinet.models import Alert


def raise_alert(
    *, key: str, text: str, at: datetime, merchant_id: int | None = None, link: str = ""
) -> None:
    """Open the matter, or count one more time where it is open already."""
    repeated = Alert.objects.filter(key=key, closed_at=None).update(
        seen_times=F("seen_times") + 1, text=text[:500]
    )
    if repeated:
        return
    try:
        with transaction.atomic():
            Alert.objects.create(
                key=key, text=text[:500], raised_at=at, merchant_id=merchant_id, link=link
            )
    except IntegrityError:  # two processes at once: the other one has opened it
        return


def close_alert(*, key: str, by: Actor, at: datetime) -> None:
    """The matter is settled; where none is open nothing is to be closed."""
    Alert.objects.filter(key=key, closed_at=None).update(
        closed_at=at, closed_by=by.name[:150] or "сервис"
    )


def close_alerts(*, keys: Sequence[str], by: Actor, at: datetime) -> None:
    """Many matters are settled at once; those that are not open stay as they are."""
    Alert.objects.filter(key__in=keys, closed_at=None).update(
        closed_at=at, closed_by=by.name[:150] or "сервис"
    )
