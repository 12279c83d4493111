"""The severity of an operator's problems and the sentence that explains it. Pure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import IntegerChoices

from cabinet.formatting import ru_format
from operators.account_snapshot import AccountNow
from operators.limits.maintenance import MOSCOW
from operators.models import RejectionReason
from smartcards.states import CommandKind, Origin

# A click that has not left after this is late; mass work may wait for its quota much longer.
CLICK_IS_LATE = timedelta(minutes=2)
MASS_IS_LATE = timedelta(hours=1)
# A shorter pause that the operator asks for is daily life.
LONG_PAUSE = timedelta(minutes=1)
# Fewer finished commands say nothing of shares.
FEWEST_FOR_SHARE = 10


class Severity(IntegerChoices):
    """How bad it is; the worst operator comes first."""

    FINE = 0, "Работает"
    OFF = 1, "Выключен"
    ATTENTION = 2, "Внимание"
    PROBLEM = 3, "Задержки"
    DOWN = 4, "Сбой"


@dataclass(frozen=True)
class QueuedCommands:
    """Queued commands of one kind and origin."""

    kind: CommandKind
    origin: Origin
    number: int
    oldest: datetime


@dataclass(frozen=True)
class Outbox:
    """Open commands of one account, now; `keyless` were refused because of our keys."""

    waiting: tuple[QueuedCommands, ...] = ()
    in_flight: int = 0
    checking: int = 0
    for_staff: int = 0
    keyless: int = 0

    @property
    def queued(self) -> int:
        """How many commands wait to be sent."""
        return sum(row.number for row in self.waiting)

    @property
    def oldest(self) -> datetime | None:
        """Since when the first of them waits."""
        return min((row.oldest for row in self.waiting), default=None)

    @property
    def oldest_click(self) -> datetime | None:
        """Since when the first of those waits that a person asked for."""
        clicks = (row.oldest for row in self.waiting if row.origin == Origin.PERSON)
        return min(clicks, default=None)


@dataclass(frozen=True)
class TimeBucket:
    """What ended in a quarter of an hour; `unknown` were sent in it and their outcome is not known yet.

    `outcome_unknown` of all these once had an outcome that nobody knew. «Already so» is an answer: that
    it is read once more to be sure makes it no unknown outcome.
    """

    starts_at: datetime
    done: int = 0
    failed: int = 0
    unknown: int = 0
    outcome_unknown: int = 0

    @property
    def total(self) -> int:
        """Commands of the quarter, whatever became of them."""
        return self.done + self.failed + self.unknown


@dataclass(frozen=True)
class Latency:
    """From click to confirmed: the median, the 95th percentile, and of how many commands."""

    usual: timedelta
    worst: timedelta
    clicks: int


@dataclass(frozen=True)
class DayFigures:
    """The last 24 hours of one account."""

    buckets: tuple[TimeBucket, ...] = field(repr=False)
    latency: Latency | None = None

    @property
    def done(self) -> int:
        return sum(bucket.done for bucket in self.buckets)

    @property
    def failed(self) -> int:
        return sum(bucket.failed for bucket in self.buckets)

    @property
    def unknown(self) -> int:
        return sum(bucket.unknown for bucket in self.buckets)

    @property
    def outcome_unknown(self) -> int:
        return sum(bucket.outcome_unknown for bucket in self.buckets)

    @property
    def finished(self) -> int:
        """Commands with a known end."""
        return self.done + self.failed

    @property
    def total(self) -> int:
        return sum(bucket.total for bucket in self.buckets)

    @property
    def success_percent(self) -> int | None:
        """Rounded down: a hundred means that nothing failed."""
        return 100 * self.done // self.finished if self.finished else None

    @property
    def outcome_unknown_percent(self) -> int | None:
        """Rounded up: zero means that every outcome was known."""
        return math.ceil(100 * self.outcome_unknown / self.total) if self.total else None


@dataclass(frozen=True)
class OperatorStatus:
    """One operator: its account, its queue, its day, and the sentence that sums it up."""

    account: AccountNow
    outbox: Outbox
    day: DayFigures
    severity: Severity
    sentence: str


def assess(
    account: AccountNow, outbox: Outbox, day: DayFigures, at: datetime
) -> tuple[Severity, str]:
    """How bad it is with one operator, and why, in a sentence that names it."""
    severity, why = next(_problems(account, outbox, day, at), (Severity.FINE, _fine(day)))
    parts = [why, *([_queue(outbox, at)] if outbox.queued else [])]
    return severity, f"{account.title}: {', '.join(parts)}."


def _problems(
    account: AccountNow, outbox: Outbox, day: DayFigures, at: datetime
) -> Iterator[tuple[Severity, str]]:
    """Every trouble there is, the one that explains the others first."""
    if not account.enabled:
        yield Severity.ATTENTION if outbox.queued else Severity.OFF, "договор выключен"
    if account.broken_since is not None:
        yield Severity.DOWN, f"сбой с {ru_format.by_then(account.broken_since, MOSCOW, at)}"
    if outbox.keyless or account.keys_refused_since is not None:
        yield Severity.PROBLEM, _keyless(account.keys_refused_since, at)
    if account.maintenance and account.maintenance.runs:
        until = time_of(account.maintenance.ends_at)
        yield (
            Severity.ATTENTION if outbox.queued else Severity.FINE,
            f"работы у оператора до {until}",
        )
    yield from _pause(account, at)
    if _is_late(outbox.oldest_click, CLICK_IS_LATE, at):
        yield Severity.PROBLEM, "команды людей уходят с задержкой"
    yield from _refusals(day)
    if outbox.for_staff:
        waits = ru_format.plural(outbox.for_staff, "ждёт", "ждут", "ждут")
        yield Severity.ATTENTION, f"{_commands(outbox.for_staff)} {waits} решения сотрудника"
    if _is_late(outbox.oldest, MASS_IS_LATE, at):
        yield Severity.ATTENTION, "очередь движется медленно"
    if outbox.checking >= FEWEST_FOR_SHARE:
        yield Severity.ATTENTION, f"исход неизвестен: {_commands(outbox.checking)}, уточняем"
    if account.rejected_events:
        yield Severity.ATTENTION, rejected_events(account)


def _pause(account: AccountNow, at: datetime) -> Iterator[tuple[Severity, str]]:
    if account.paused_until is not None and account.paused_until - at >= LONG_PAUSE:
        until = ru_format.by_then(account.paused_until, MOSCOW, at)
        yield Severity.ATTENTION, f"пауза до {until} по просьбе оператора"


def rejected_events(account: AccountNow) -> str:
    """«5 уведомлений отвергнуто за сутки: старое время — 3, неверная подпись — 2»."""
    total = sum(account.rejected_events.values())
    counted = ru_format.counted(total, "уведомление", "уведомления", "уведомлений")
    refused = ru_format.plural(total, "отвергнуто", "отвергнуты", "отвергнуто")
    whys = [
        f"{reason.label} — {account.rejected_events[reason]}"
        for reason in RejectionReason
        if reason in account.rejected_events
    ]
    return f"{counted} {refused} за сутки: {', '.join(whys)}"


def _keyless(refused: datetime | None, at: datetime) -> str:
    """Commands that wait for the keys say it, and so does any reading or poll that was refused."""
    then = f" с {ru_format.by_then(refused, MOSCOW, at)}" if refused else ""
    return f"не принимает наши ключи{then}, проверьте их в договоре"


def _refusals(day: DayFigures) -> Iterator[tuple[Severity, str]]:
    percent = day.success_percent
    if percent is None or day.finished < FEWEST_FOR_SHARE or percent >= 80:
        return
    severity = Severity.PROBLEM if percent < 50 else Severity.ATTENTION
    yield severity, f"за сутки не выполнено {100 - percent}{ru_format.NBSP}% команд"


def _fine(day: DayFigures) -> str:
    done = ru_format.plural(day.done, "выполнена", "выполнены", "выполнено")
    return f"работает, за сутки {done} {_commands(day.done)}" if day.done else "тихо"


def _is_late(oldest: datetime | None, patience: timedelta, at: datetime) -> bool:
    return oldest is not None and at - oldest > patience


def _queue(outbox: Outbox, at: datetime) -> str:
    waits = how_long(at - (outbox.oldest or at))
    if outbox.queued == 1:
        return f"в очереди {_commands(1)}, ждёт {waits}"
    return f"в очереди {_commands(outbox.queued)}, самая старая ждёт {waits}"


def how_long(waited: timedelta, *, units: int = 2) -> str:
    """How long something waits: the greatest units, rounded down, in the case that «ждёт» asks for."""
    left, parts = int(waited.total_seconds()) // 60, []
    for minutes, forms in _LENGTHS:
        number, left = divmod(left, minutes)
        if number:
            parts.append(ru_format.counted(number, *forms))
        elif parts:
            break
    return " ".join(parts[:units]) or "меньше минуты"


_LENGTHS = (
    (24 * 60, ("день", "дня", "дней")),
    (60, ("час", "часа", "часов")),
    (1, ("минуту", "минуты", "минут")),
)


def _commands(number: int) -> str:
    return ru_format.counted(number, "команда", "команды", "команд")


def time_of(moment: datetime) -> str:
    """«10:42», Moscow time."""
    return ru_format.clock_time(moment, MOSCOW)
