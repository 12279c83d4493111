"""How each operator is doing with our commands: the staff's board, and what a merchant may be promised."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import redis
from django.core.cache import cache
from django.db.models import (
    Aggregate,
    Count,
    DateTimeField,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    Func,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Value,
)
from django.db.models.functions import Coalesce

from cabinet import wording
from operators.board import accounts_now
from operators.models import OperatorAccount
from operators.ports import ErrorClass
from smartcards import phrases
from smartcards.models import Command, CommandStep
from smartcards.states import OPEN_COMMANDS, CommandKind, CommandState, Origin
from smartcards.verdicts import Day, Outbox, Slot, Standing, Times, Waiting, verdict

SLOT = timedelta(minutes=15)
SLOTS = 96
PROMISE_FROM = timedelta(days=7)
FEWEST_FOR_PROMISE = 20
PROMISE_CACHED_SECONDS = 300
# A promise names no less than a minute.
SHORTEST_PROMISE = 60

_FLYING = frozenset({CommandState.SENDING, CommandState.ACCEPTED})
_NOT_TAKEN = frozenset({CommandState.QUEUED, CommandState.SENDING})
_UNKNOWN = frozenset({CommandState.CHECKING, CommandState.NEEDS_STAFF})


def standings(at: datetime) -> list[Standing]:
    """All operators, the worst first: six queries, however many accounts and commands."""
    slots, times, doubted, outboxes = _slots(at), _times(at), _doubted(at), _outboxes()
    rows = []
    for account in accounts_now(at):
        day = Day(
            slots.get(account.pk) or _empty(at), doubted.get(account.pk, 0), times.get(account.pk)
        )
        outbox = outboxes.get(account.pk, Outbox())
        level, sentence = verdict(account, outbox, day, at)
        rows.append(Standing(account, outbox, day, level, sentence))
    return sorted(rows, key=lambda row: _badness(row, at))


def _badness(row: Standing, at: datetime) -> tuple[int, float, int, str]:
    waits = (at - (row.outbox.oldest or at)).total_seconds()
    return -row.level, -waits, -row.outbox.queued, wording.sort_key(row.account.title)


# --- what waits now -------------------------------------------------------------------------------


def _outboxes() -> dict[int, Outbox]:
    """Open commands by account: the partial index of open commands serves."""
    found = (
        Command.objects.filter(state__in=sorted(OPEN_COMMANDS))
        .order_by()
        .values_list("account_id", "state", "kind", "origin", "error")
        .annotate(number=Count("pk"), oldest=Min("created_at"))
    )
    rows: dict[int, list[Any]] = {}
    for account_id, *row in found:
        rows.setdefault(account_id, []).append(row)
    return {account_id: _outbox(lines) for account_id, lines in rows.items()}


def _outbox(rows: Sequence[Any]) -> Outbox:
    return Outbox(
        waiting=_waiting(rows),
        in_flight=_sum(rows, _FLYING),
        checking=_sum(rows, {CommandState.CHECKING}),
        for_staff=_sum(rows, {CommandState.NEEDS_STAFF}),
        keyless=_sum((row for row in rows if row[3] == ErrorClass.AUTH), _NOT_TAKEN),
    )


def _waiting(rows: Sequence[Any]) -> tuple[Waiting, ...]:
    """The queue by origin and kind, whatever came of earlier tries."""
    found: dict[tuple[int, str], list[tuple[int, datetime]]] = {}
    for state, kind, origin, _, number, oldest in rows:
        if state == CommandState.QUEUED:
            found.setdefault((origin, kind), []).append((number, oldest))
    return tuple(
        Waiting(
            CommandKind(kind),
            Origin(origin),
            sum(number for number, _ in counted),
            min(oldest for _, oldest in counted),
        )
        for (origin, kind), counted in sorted(found.items())
    )


def _sum(rows: Iterable[Any], states: Iterable[CommandState]) -> int:
    return sum(number for state, *_, number, _ in rows if state in set(states))


# --- the last day ---------------------------------------------------------------------------------


def first_slot(at: datetime) -> datetime:
    """Where the picture of 24 hours begins: a whole quarter of an hour."""
    minutes = at.minute % 15
    return at.replace(second=0, microsecond=0) - timedelta(minutes=minutes) - SLOT * (SLOTS - 1)


def _empty(at: datetime) -> tuple[Slot, ...]:
    starts = first_slot(at)
    return tuple(Slot(starts + SLOT * number) for number in range(SLOTS))


def _ended(at: datetime, *states: CommandState) -> QuerySet[Command]:
    return Command.objects.filter(
        finished_at__gte=first_slot(at), finished_at__lte=at, state__in=states
    ).order_by()


def _still_unknown(at: datetime) -> QuerySet[Command]:
    return (
        Command.objects.filter(
            # The first condition alone is what the partial index of open commands asks for.
            state__in=sorted(OPEN_COMMANDS),
            sent_at__gte=first_slot(at),
            sent_at__lte=at,
        )
        .filter(state__in=sorted(_UNKNOWN))
        .order_by()
    )


def _slots(at: datetime) -> dict[int, tuple[Slot, ...]]:
    counts: dict[tuple[int, datetime], dict[str, int]] = {}
    ended = _ended(at, CommandState.DONE, CommandState.FAILED)
    for rows, when in ((ended, "finished_at"), (_still_unknown(at), "sent_at")):
        for account_id, starts_at, state, number in _by_slot(rows, when, at):
            slot = counts.setdefault((account_id, starts_at), {})
            word = state if state in {CommandState.DONE, CommandState.FAILED} else "unknown"
            slot[word] = slot.get(word, 0) + number
    accounts = {account_id for account_id, _ in counts}
    return {
        account_id: tuple(
            Slot(slot.starts_at, **counts.get((account_id, slot.starts_at), {}))
            for slot in _empty(at)
        )
        for account_id in accounts
    }


def _by_slot(
    rows: QuerySet[Command], when: str, at: datetime
) -> Iterable[tuple[int, datetime, str, int]]:
    slot: Func = Func(
        Value(SLOT),
        F(when),
        Value(first_slot(at)),
        function="date_bin",
        output_field=DateTimeField(),
    )
    return rows.values_list("account_id", slot, "state").annotate(number=Count("pk"))


def _doubted(at: datetime) -> dict[int, int]:
    """How many of the day's commands had an outcome that nobody knew, by account.

    «Already so» is an answer: that it is read once more to be sure makes it no unknown outcome.
    """
    steps = CommandStep.objects.filter(command=OuterRef("pk"), state=CommandState.CHECKING)
    asked = Exists(steps.exclude(text=phrases.ALREADY_SO))
    numbers: dict[int, int] = {}
    ended = _ended(at, CommandState.DONE, CommandState.FAILED)
    for rows in (ended.filter(asked), _still_unknown(at).filter(asked)):
        for account_id, number in rows.values_list("account_id").annotate(number=Count("pk")):
            numbers[account_id] = numbers.get(account_id, 0) + number
    return numbers


class Percentile(Aggregate):
    """`percentile_cont` over an expression."""

    function = "percentile_cont"
    template = "%(function)s(%(fraction)s) WITHIN GROUP (ORDER BY %(expressions)s)"

    def __init__(self, expression: Any, *, fraction: float) -> None:
        super().__init__(expression, fraction=fraction, output_field=DurationField())


def _times(at: datetime) -> dict[int, Times]:
    return _times_of(_clicks_done(first_slot(at), at), at)


def _clicks_done(begins: datetime, at: datetime) -> Q:
    """What people asked for and got between the two instants."""
    return Q(
        finished_at__gte=begins,
        finished_at__lte=at,
        state=CommandState.DONE,
        origin=Origin.PERSON,
    )


def _times_of(which: Q, at: datetime) -> dict[int, Times]:
    """From the click to its end, or to `at` where it has none yet, by account."""
    ends = Coalesce(F("finished_at"), Value(at, output_field=DateTimeField()))
    took = ExpressionWrapper(ends - F("created_at"), output_field=DurationField())
    found = (
        Command.objects.filter(which)
        .order_by()
        .values_list("account_id")
        .annotate(
            usual=Percentile(took, fraction=0.5),
            worst=Percentile(took, fraction=0.95),
            clicks=Count("pk"),
        )
    )
    return {account_id: Times(*facts) for account_id, *facts in found}


# --- what a merchant may be promised --------------------------------------------------------------


@dataclass(frozen=True)
class Outlook:
    """How many seconds a switch takes: usually, and at worst.

    What still waits beyond it weighs in. Where that is more than every twentieth click, `waits` says for
    how long half of these have been waiting by now, and the figures are at least that; it is 0 where
    the figures hold. `usual_holds` says whether at least most clicks are still done as usual.
    """

    usual: int
    worst: int
    waits: int = 0
    usual_holds: bool = True


def promise(account: OperatorAccount, *, at: datetime) -> tuple[int, int]:
    """Usual and worst seconds of a switch, see `outlook`."""
    told = outlook(account, at=at)
    return told.usual, told.worst


def outlook(account: OperatorAccount, *, at: datetime) -> Outlook:
    """The median and the 95th percentile of the last seven days, and whether they hold at this moment.

    With fewer than twenty switches they are what staff have written in the contract. Remembered for
    five minutes; without Redis they are computed each time.
    """
    key = f"promise:{account.pk}"
    recalled = _recall(key)
    known = recalled.known
    if known is None:
        found = _measured(account, at)
        known = (found.usual, found.worst, found.waits, found.usual_holds) if found else ()
        if recalled.answered:
            _remember(key, known)
    return Outlook(*known) if known else _of_contract(account)


def _of_contract(account: OperatorAccount) -> Outlook:
    return Outlook(account.usual_seconds, account.worst_seconds)


def _measured(account: OperatorAccount, at: datetime) -> Outlook | None:
    """None where nothing but the contract speaks of it."""
    done = _times_of(Q(account=account) & _clicks_done(at - PROMISE_FROM, at), at).get(account.pk)
    clicks = done.clicks if done else 0
    told = _of_contract(account)
    if done and clicks >= FEWEST_FOR_PROMISE:
        told = Outlook(_whole(done.usual), _whole(done.worst))
    slow = _slower(told, account, clicks, at)
    return slow or (told if clicks >= FEWEST_FOR_PROMISE else None)


def _slower(told: Outlook, account: OperatorAccount, done: int, at: datetime) -> Outlook | None:
    """What becomes of these figures by the clicks that wait beyond them; None where they hold."""
    beyond = _waiting_beyond(told.usual, account, at)
    if beyond is None or done + beyond.clicks < FEWEST_FOR_PROMISE:
        return None
    if beyond.clicks >= done:
        waits = int(beyond.usual.total_seconds())
        return Outlook(waits, max(told.worst, waits), waits, usual_holds=False)
    beyond = _waiting_beyond(told.worst, account, at)
    if beyond is None or _ONE_OF * beyond.clicks <= done + beyond.clicks:
        return None
    waits = int(beyond.usual.total_seconds())
    return Outlook(told.usual, waits, waits)


# The worst time is that of the 95th percentile.
_ONE_OF = 20


def _waiting_beyond(seconds: int, account: OperatorAccount, at: datetime) -> Times | None:
    """How long people's commands have been waiting by now that wait longer than so."""
    before = at - timedelta(seconds=max(seconds, SHORTEST_PROMISE))
    waiting = Q(
        account=account,
        state__in=sorted(OPEN_COMMANDS),
        origin=Origin.PERSON,
        created_at__lt=before,
    )
    return _times_of(waiting, at).get(account.pk)


def _whole(length: timedelta) -> int:
    return max(1, math.ceil(length.total_seconds()))


# The fields of an `Outlook`; empty where the contract alone speaks.
_Known = tuple[int, int, int, bool] | tuple[()]


@dataclass(frozen=True)
class _Recalled:
    """What is remembered, and whether Redis answered at all: a page waits for it once, not twice."""

    known: _Known | None
    answered: bool = True


def _recall(key: str) -> _Recalled:
    try:
        return _Recalled(cache.get(key))
    except redis.RedisError:
        return _Recalled(None, answered=False)


def _remember(key: str, known: _Known) -> None:
    try:
        cache.set(key, known, PROMISE_CACHED_SECONDS)
    except redis.RedisError:
        return  # measured anew next time
