"""The log of exchanges: every call to an operator for thirty days, masked before it comes here.

Rows are written after the calls, many at once. A worker that dies in between takes its rows with it;
of a switch that may have left all the same there is a row nevertheless (`note_unheard`).
"""

from collections.abc import Sequence
from datetime import datetime

from cabinet import wording
from operators import keys
from operators.heard import NOTHING_OF_OURS, About
from operators.heard import Exchange as Heard
from operators.models import Exchange, OperatorAccount
from operators.ports import CallKind
from operators.retention import PURGE_SECONDS, forget
from operators.windows import MOSCOW

# The end of a call that nobody has seen; beside the words of `heard.Exchange.result`.
UNHEARD = "unheard"


def keep(
    account: OperatorAccount,
    heard: Sequence[Heard],
    *,
    at: datetime,
    iccid: str = "",
    command_id: int | None = None,
    by_contract: bool = True,
) -> None:
    """Add a batch of exchanges with one INSERT, and remember what they say of our keys.

    An exchange that does not say when it was, or about what, gets `at`, `iccid` and `command_id`.
    `by_contract` is false for calls with other keys than the contract's.
    """
    Exchange.objects.bulk_create(
        _row(account, exchange, at, About(iccid, command_id)) for exchange in heard
    )
    if by_contract:
        keys.note(account, heard, at=at)


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


def note_unheard(
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
    heard of it. Where the answer is recorded later, it has a row of its own.
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
        result=UNHEARD,
        reply=f"{_UNHEARD} {wording.clock_time(at, MOSCOW)} (МСК). {_SO}",
    )
    return True


_UNHEARD = "Команду взяли отправить, но записи о вызове нет и ответа на него тоже. Замечено в"
_SO = (
    "Так бывает, если процесс остановился на полпути: запрос мог уйти, а мог и не уйти."
    " Исход команды уточняем у оператора. Если ответ запишут позже, у него будет своя строка."
)


def purge(*, at: datetime, seconds: float = PURGE_SECONDS) -> int:
    """Forget exchanges over thirty days old, in batches, for at most about so many seconds.

    Returns how many rows went.
    """
    return forget(Exchange.objects.all(), moment="at", at=at, seconds=seconds)
