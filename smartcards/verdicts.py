"""How bad it is with an operator, and the sentence that says why: facts in, words out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

from cabinet import wording
from operators.board import AccountNow
from operators.windows import MOSCOW
from smartcards.states import CommandKind, Origin

# A click that has not left after this is late; mass work may wait for its quota much longer.
CLICK_IS_LATE = timedelta(minutes=2)
MASS_IS_LATE = timedelta(hours=1)
# Fewer finished commands say nothing of shares.
FEWEST_FOR_SHARE = 10


class Level(IntEnum):
    """How bad it is; the worst operator comes first."""

    FINE = 0
    OFF = 1
    ATTENTION = 2
    PROBLEM = 3
    DOWN = 4


@dataclass(frozen=True)
class Waiting:
    """Queued commands of one kind and origin."""

    kind: CommandKind
    origin: Origin
    number: int
    oldest: datetime


@dataclass(frozen=True)
class Outbox:
    """Open commands of one account, now; `keyless` were refused because of our keys."""

    waiting: tuple[Waiting, ...] = ()
    in_flight: int = 0
    checking: int = 0
    for_staff: int = 0
    keyless: int = 0

    @property
    def queued(self) -> int:
        return sum(line.number for line in self.waiting)

    @property
    def oldest(self) -> datetime | None:
        return min((line.oldest for line in self.waiting), default=None)

    @property
    def oldest_click(self) -> datetime | None:
        clicks = (line.oldest for line in self.waiting if line.origin == Origin.PERSON)
        return min(clicks, default=None)


@dataclass(frozen=True)
class Slot:
    """What ended in a quarter of an hour; `unknown` were sent in it and their outcome is not known yet."""

    starts_at: datetime
    done: int = 0
    failed: int = 0
    unknown: int = 0

    @property
    def total(self) -> int:
        return self.done + self.failed + self.unknown


@dataclass(frozen=True)
class Times:
    """From click to confirmed: the median, the 95th percentile, and of how many commands."""

    usual: timedelta
    worst: timedelta
    clicks: int


@dataclass(frozen=True)
class Day:
    """The last 24 hours of one account; `doubted` commands once had an outcome that nobody knew."""

    slots: tuple[Slot, ...] = field(repr=False)
    doubted: int = 0
    times: Times | None = None

    @property
    def done(self) -> int:
        return sum(slot.done for slot in self.slots)

    @property
    def failed(self) -> int:
        return sum(slot.failed for slot in self.slots)

    @property
    def unknown(self) -> int:
        return sum(slot.unknown for slot in self.slots)

    @property
    def finished(self) -> int:
        return self.done + self.failed

    @property
    def total(self) -> int:
        return sum(slot.total for slot in self.slots)

    @property
    def success_percent(self) -> int | None:
        """Rounded down: a hundred means that nothing failed."""
        return 100 * self.done // self.finished if self.finished else None

    @property
    def doubted_percent(self) -> int | None:
        return math.ceil(100 * self.doubted / self.total) if self.total else None


@dataclass(frozen=True)
class Standing:
    """One operator: its account, its queue, its day, and the sentence that sums it up."""

    account: AccountNow
    outbox: Outbox
    day: Day
    level: Level
    sentence: str


def verdict(account: AccountNow, outbox: Outbox, day: Day, at: datetime) -> tuple[Level, str]:
    """How bad it is with one operator, and why, in a sentence that names it."""
    level, why = next(_troubles(account, outbox, day, at), (Level.FINE, _fine(day)))
    said = [why, *([_queue(outbox, at)] if outbox.queued else [])]
    return level, f"{account.title}: {', '.join(said)}."


def _troubles(
    account: AccountNow, outbox: Outbox, day: Day, at: datetime
) -> Iterator[tuple[Level, str]]:
    """Every trouble there is, the one that explains the others first."""
    if not account.enabled:
        yield Level.ATTENTION if outbox.queued else Level.OFF, "договор выключен"
    if account.broken_since is not None:
        yield Level.DOWN, f"сбой с {since(account.broken_since, at)}"
    if outbox.keyless or account.keys_refused_since is not None:
        yield Level.PROBLEM, _keyless(account.keys_refused_since, at)
    if account.maintenance and account.maintenance.runs:
        until = time_of(account.maintenance.ends_at)
        yield Level.ATTENTION if outbox.queued else Level.FINE, f"работы у оператора до {until}"
    if _is_late(outbox.oldest_click, CLICK_IS_LATE, at):
        yield Level.PROBLEM, "команды людей уходят с задержкой"
    yield from _refusals(day)
    if outbox.for_staff:
        waits = wording.plural(outbox.for_staff, "ждёт", "ждут", "ждут")
        yield Level.ATTENTION, f"{_commands(outbox.for_staff)} {waits} решения сотрудника"
    if _is_late(outbox.oldest, MASS_IS_LATE, at):
        yield Level.ATTENTION, "очередь движется медленно"
    if outbox.checking >= FEWEST_FOR_SHARE:
        yield Level.ATTENTION, f"исход неизвестен: {_commands(outbox.checking)}, уточняем"


def _keyless(refused: datetime | None, at: datetime) -> str:
    """Commands that wait for the keys say it, and so does any reading or poll that was refused."""
    then = f" с {since(refused, at)}" if refused else ""
    return f"не принимает наши ключи{then}, проверьте их в договоре"


def _refusals(day: Day) -> Iterator[tuple[Level, str]]:
    percent = day.success_percent
    if percent is None or day.finished < FEWEST_FOR_SHARE or percent >= 80:
        return
    level = Level.PROBLEM if percent < 50 else Level.ATTENTION
    yield level, f"за сутки не выполнено {100 - percent}{wording.NBSP}% команд"


def _fine(day: Day) -> str:
    done = wording.plural(day.done, "выполнена", "выполнены", "выполнено")
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
    left, said = int(waited.total_seconds()) // 60, []
    for minutes, forms in _LENGTHS:
        number, left = divmod(left, minutes)
        if number:
            said.append(wording.counted(number, *forms))
        elif said:
            break
    return " ".join(said[:units]) or "меньше минуты"


_LENGTHS = (
    (24 * 60, ("день", "дня", "дней")),
    (60, ("час", "часа", "часов")),
    (1, ("минуту", "минуты", "минут")),
)


def _commands(number: int) -> str:
    return wording.counted(number, "команда", "команды", "команд")


def since(moment: datetime, at: datetime) -> str:
    """«10:42» of today, «21 ноября, 10:42» of another day; Moscow time."""
    said = time_of(moment)
    day = moment.astimezone(MOSCOW).date()
    return said if day == at.astimezone(MOSCOW).date() else f"{wording.day_short(day)}, {said}"


def time_of(moment: datetime) -> str:
    """«10:42», Moscow time."""
    return wording.clock_time(moment, MOSCOW)
