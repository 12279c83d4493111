"""The log of exchanges: every call to an operator for thirty days, masked before it comes here."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from operators.heard import NOTHING_OF_OURS, About
from operators.heard import Exchange as Heard
from operators.models import Exchange, OperatorAccount

KEPT_FOR = timedelta(days=30)
PURGE_BATCH = 5_000
# The next purge goes on where this one has stopped.
PURGE_SECONDS = 60.0


def keep(
    account: OperatorAccount,
    heard: Sequence[Heard],
    *,
    at: datetime,
    iccid: str = "",
    command_id: int | None = None,
) -> None:
    """Add a batch of exchanges with one INSERT.

    An exchange that does not say when it was, or about what, gets `at`, `iccid` and `command_id`.
    """
    Exchange.objects.bulk_create(
        _row(account, exchange, at, About(iccid, command_id)) for exchange in heard
    )


def _row(account: OperatorAccount, heard: Heard, at: datetime, about: About) -> Exchange:
    about = about if heard.about == NOTHING_OF_OURS else heard.about
    return Exchange(
        account_id=account.pk,
        iccid=about.iccid[:20],
        command_id=about.command_id,
        at=heard.at or at,
        kind=heard.kind,
        method=heard.method[:8],
        url=heard.url[:500],
        status=heard.status,
        seconds=heard.seconds,
        result=heard.result[:30],
        request=heard.request,
        reply=heard.reply or heard.error,
    )


def purge(*, at: datetime, seconds: float = PURGE_SECONDS) -> int:
    """Forget exchanges over thirty days old, in batches, for at most about so many seconds.

    Returns how many rows went.
    """
    ends_at = time.monotonic() + seconds
    gone = 0
    while deleted := _purge_batch(at - KEPT_FOR):
        gone += deleted
        if deleted < PURGE_BATCH or time.monotonic() >= ends_at:
            break
    return gone


def _purge_batch(before: datetime) -> int:
    old = Exchange.objects.filter(at__lt=before).order_by("at")
    numbers = list(old.values_list("pk", flat=True)[:PURGE_BATCH])
    deleted, _ = Exchange.objects.filter(pk__in=numbers).delete()
    return deleted
