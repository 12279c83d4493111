"""The log of exchanges: every call to an operator for thirty days, masked before it comes here."""

from collections.abc import Sequence
from datetime import datetime

from operators.heard import NOTHING_OF_OURS, About
from operators.heard import Exchange as Heard
from operators.models import Exchange, OperatorAccount
from operators.retention import PURGE_SECONDS, forget


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
    return forget(Exchange.objects.all(), moment="at", at=at, seconds=seconds)
