"""How each operator is doing with our commands, for the dashboard of staff: a few queries for all of them."""

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime, timedelta

from django.db.models import Count, DateTimeField, F, Func, Min, Q, Value

from cabinet.formatting import ru_format
from operators.account_snapshot import accounts_now
from operators.ports import ErrorClass
from smartcards.models import Command
from smartcards.monitoring.latency import clicks_done, latency_by_account
from smartcards.monitoring.operator_health import (
    DayFigures,
    OperatorStatus,
    Outbox,
    QueuedCommands,
    TimeBucket,
    assess,
)
from smartcards.states import OPEN_COMMANDS, CommandKind, CommandState, Origin

BUCKET = timedelta(minutes=15)
BUCKETS = 96

_FINISHED = (CommandState.DONE, CommandState.FAILED)


def operator_statuses(at: datetime) -> list[OperatorStatus]:
    """All operators, the worst first: five queries, however many accounts and commands."""
    buckets, outboxes = _buckets(at), _outboxes()
    latency = latency_by_account(clicks_done(_first_bucket(at), at), at)
    rows = []
    for account in accounts_now(at):
        day = DayFigures(buckets.get(account.pk) or _empty(at), latency.get(account.pk))
        outbox = outboxes.get(account.pk, Outbox())
        severity, sentence = assess(account, outbox, day, at)
        rows.append(OperatorStatus(account, outbox, day, severity, sentence))
    return sorted(rows, key=lambda row: _order(row, at))


def _order(row: OperatorStatus, at: datetime) -> tuple[int, float, int, str]:
    waits = (at - (row.outbox.oldest or at)).total_seconds()
    return -row.severity, -waits, -row.outbox.queued, ru_format.sort_key(row.account.title)


# --- what waits now -------------------------------------------------------------------------------


def _outboxes() -> dict[int, Outbox]:
    """Open commands by account: the partial index of open commands serves."""
    queued = Q(state=CommandState.QUEUED)
    not_taken = queued | Q(state=CommandState.SENDING)
    rows = (
        Command.objects.filter(state__in=sorted(OPEN_COMMANDS))
        .values("account_id", "kind", "origin")
        .annotate(
            queued=Count("pk", filter=queued),
            oldest=Min("created_at", filter=queued),
            in_flight=Count(
                "pk", filter=Q(state__in=[CommandState.SENDING, CommandState.ACCEPTED])
            ),
            checking=Count("pk", filter=Q(state=CommandState.CHECKING)),
            for_staff=Count("pk", filter=Q(state=CommandState.NEEDS_STAFF)),
            keyless=Count("pk", filter=not_taken & Q(error=ErrorClass.AUTH)),
        )
        .order_by("account_id", "origin", "kind")
    )
    found: defaultdict[int, Outbox] = defaultdict(Outbox)
    for row in rows:
        outbox = found[row["account_id"]]
        if row["queued"]:
            waiting = QueuedCommands(
                CommandKind(row["kind"]), Origin(row["origin"]), row["queued"], row["oldest"]
            )
            outbox = replace(outbox, waiting=(*outbox.waiting, waiting))
        found[row["account_id"]] = replace(
            outbox,
            in_flight=outbox.in_flight + row["in_flight"],
            checking=outbox.checking + row["checking"],
            for_staff=outbox.for_staff + row["for_staff"],
            keyless=outbox.keyless + row["keyless"],
        )
    return found


# --- the last day ---------------------------------------------------------------------------------


def _first_bucket(at: datetime) -> datetime:
    """Where the picture of 24 hours begins: a whole quarter of an hour."""
    minutes = at.minute % 15
    return at.replace(second=0, microsecond=0) - timedelta(minutes=minutes) - BUCKET * (BUCKETS - 1)


def _empty(at: datetime) -> tuple[TimeBucket, ...]:
    starts = _first_bucket(at)
    return tuple(TimeBucket(starts + BUCKET * number) for number in range(BUCKETS))


def _buckets(at: datetime) -> dict[int, tuple[TimeBucket, ...]]:
    day = (_first_bucket(at), at)
    finished = Command.objects.filter(finished_at__range=day, state__in=_FINISHED)
    # The first condition alone is what the partial index of open commands asks for.
    still_open = Command.objects.filter(state__in=sorted(OPEN_COMMANDS), sent_at__range=day)
    unknown = still_open.filter(state__in=[CommandState.CHECKING, CommandState.NEEDS_STAFF])
    counts: defaultdict[tuple[int, datetime], Counter[str]] = defaultdict(Counter)
    for rows, when in ((finished, "finished_at"), (unknown, "sent_at")):
        bucket: Func = Func(
            Value(BUCKET),
            F(when),
            Value(day[0]),
            function="date_bin",
            output_field=DateTimeField(),
        )
        found = (
            rows.order_by()
            .values_list("account_id", bucket, "state")
            .annotate(
                number=Count("pk"), was_unknown=Count("pk", filter=~Q(outcome_unknown_at=None))
            )
        )
        for account_id, starts_at, state, number, was_unknown in found:
            name = state if state in _FINISHED else "unknown"
            counts[account_id, starts_at].update({name: number, "outcome_unknown": was_unknown})
    return {
        account_id: tuple(
            TimeBucket(bucket.starts_at, **counts[account_id, bucket.starts_at])
            for bucket in _empty(at)
        )
        for account_id in {account_id for account_id, _ in counts}
    }
