"""The log of exchanges: every exchange with an operator for thirty days, masked before it comes here.

Rows are written after the calls, many at once. A worker that dies in between takes its rows with it;
of a switch that may have left all the same there is a row nevertheless (`note_missing`).
"""

from collections.abc import Iterable
from datetime import datetime

from cabinet.formatting import ru_format
from operators.client.http import NO_CONTEXT, CallContext, HttpExchange
from operators.limits.maintenance import MOSCOW
from operators.models import Exchange, OperatorAccount
from operators.ports import CallKind
from operators.purge import PURGE_SECONDS, forget

# The result of an exchange that nobody has seen; beside those of `HttpExchange.result`.
MISSING = "unheard"


def keep(
    account: OperatorAccount,
    exchanges: Iterable[HttpExchange],
    *,
    at: datetime,
    iccid: str = "",
    command_id: int | None = None,
) -> None:
    """Add exchanges with one INSERT.

    An exchange that does not say when it was, or about what, gets `at`, `iccid` and `command_id`.
    """
    without_context = CallContext(iccid, command_id)
    Exchange.objects.bulk_create(
        Exchange(
            account_id=account.pk,
            iccid=context.iccid[:20],
            command_id=context.command_id,
            at=exchange.at or at,
            kind=exchange.kind,
            method=exchange.method[:8],
            url=exchange.url[:500],
            status=exchange.status,
            seconds=exchange.seconds,
            result=exchange.result[:30],
            request=exchange.request,
            reply=exchange.reply or exchange.error,
        )
        for exchange in exchanges
        for context in [without_context if exchange.context == NO_CONTEXT else exchange.context]
    )


def note_missing(
    *,
    account: OperatorAccount,
    iccid: str,
    command_id: int,
    began_at: datetime,
    at: datetime,
) -> bool:
    """A switch may have left at `began_at` or later, and by `at` nobody has recorded its answer.

    To be called once for each attempt, in the transaction that gives the attempt up. Returns whether a
    row was written: none is where the call stands in the log already, and only the command has not
    recorded it. Where the answer is recorded later, it has a row of its own.
    """
    recorded = Exchange.objects.filter(
        command_id=command_id, kind=CallKind.SUBMIT, at__gte=began_at
    )
    if recorded.exists():
        return False
    Exchange.objects.create(
        account_id=account.pk,
        iccid=iccid[:20],
        command_id=command_id,
        at=began_at,
        kind=CallKind.SUBMIT,
        result=MISSING,
        reply=f"{_MISSING} {ru_format.clock_time(at, MOSCOW)} (МСК). {_SO}",
    )
    return True


_MISSING = "Команду взяли отправить, но записи о вызове нет и ответа на него тоже. Замечено в"
_SO = (
    "Так бывает, если процесс остановился на полпути: запрос мог уйти, а мог и не уйти."
    " Исход команды уточняем у оператора. Если ответ запишут позже, у него будет своя строка."
)


def purge(*, at: datetime, seconds: float = PURGE_SECONDS) -> int:
    """Forget exchanges over thirty days old, in batches, for at most about so many seconds.

    Returns how many rows went.
    """
    return forget(Exchange.objects.all(), moment="at", at=at, seconds=seconds)
