"""Deletes old rows of the two logs of operators in batches, the oldest first."""

import time
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

KEPT_FOR = timedelta(days=30)
PURGE_BATCH = 5_000
# The next purge goes on where this one has stopped.
PURGE_SECONDS = 60.0


def forget(rows: QuerySet[Any], *, moment: str, at: datetime, seconds: float) -> int:
    """Delete those of the rows whose field `moment` lies over thirty days before `at`.

    Takes at most about so many seconds. Returns how many rows went.
    """
    ends_at = time.monotonic() + seconds
    old = rows.filter(**{f"{moment}__lt": at - KEPT_FOR}).order_by(moment)
    gone = 0
    while True:
        deleted = _forget_batch(rows.model, old)
        gone += deleted
        if deleted < PURGE_BATCH or time.monotonic() >= ends_at:
            return gone


def _forget_batch(model: Any, old: QuerySet[Any]) -> int:
    numbers = list(old.values_list("pk", flat=True)[:PURGE_BATCH])
    deleted: int = model.objects.filter(pk__in=numbers).delete()[0]
    return deleted
