"""Process stored messages: each all or nothing, tried again after an error, then put before staff."""

import logging
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Generic, TypeVar

from django.db import connection, transaction
from django.db.models import (
    DateTimeField,
    DurationField,
    Expression,
    ExpressionWrapper,
    F,
    Func,
    Q,
    QuerySet,
    Value,
    Window,
)
from django.db.models.functions import RowNumber

from cabinet.actors import SYSTEM
from cabinet.inbox.models import InboxMessage
from cabinet.messaging.alerts import close_alert
from cabinet.tasks import advisory_lock
from cabinet.tasks.lock_timeout import is_lock_timeout, limit_lock_waits

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 8
# 10 s, 30 s, 90 s … about two hours before the last try.
FIRST_DELAY = timedelta(seconds=10)
ERROR_CHARACTERS = 8_000
SWEEP_LIMIT = 500
# Seconds for which a message waits for a row, and after which it looks again where that was in vain.
LOCK_WAIT = 0.5
BUSY_DELAY = timedelta(seconds=2)

# Takes the lane (NULL: there is none) where the message still waits, and counts the try before it is
# made: a process that dies reports nothing. 10 s, 30 s, 90 s … till the next.
# One statement: most of the work of a message should be the message, and nearly nothing what another
# process has ended meanwhile.
_WAITS = """
    id = %(pk)s AND state IN ('new', 'failed') AND (
        next_try_at IS NULL OR next_try_at <= %(at)s
        OR next_try_at > %(at)s + interval '10 seconds' * 3 ^ attempts
    )
"""
_BEGIN = """
    WITH waiting AS MATERIALIZED (
        SELECT id FROM {table} WHERE {waits}
    ), lane AS MATERIALIZED (
        SELECT CASE WHEN %(lane)s IS NULL THEN true ELSE pg_try_advisory_lock(%(lane)s) END AS is_ours
        FROM waiting
    ), begun AS (
        UPDATE {table}
        SET attempts = attempts + 1, next_try_at = %(at)s + interval '10 seconds' * 3 ^ attempts
        WHERE id = (
            SELECT id FROM {table} WHERE (SELECT is_ours FROM lane) AND {waits}
            FOR UPDATE SKIP LOCKED
        )
        RETURNING attempts
    )
    SELECT lane.is_ours, begun.attempts FROM lane LEFT JOIN begun ON true
"""
# What the end of a try writes; the rest of a row, its body above all, stays as it is.
_WRITTEN = ("state", "attempts", "next_try_at", "processed_at", "parked_for", "note", "error")

Message = TypeVar("Message", bound=InboxMessage)
State = InboxMessage.State
_OPEN = (State.NEW, State.FAILED)


@dataclass(frozen=True)
class Outcome:
    """How a message ended, in Russian; with `parked_for`, a code, it is parked for staff."""

    note: str = ""
    parked_for: str = ""


class NotYet(Exception):
    """The message came before what it is about: it stays where it is, and no try is counted."""


class Busy(Exception):
    """Somebody else holds the lane of the message, or a row that it needs: the others go on."""


def insert_once(row: InboxMessage) -> bool:
    """Store a new row by one statement; False where its unique key is stored already, also at the same moment."""
    fields = [field for field in row._meta.concrete_fields if not field.primary_key]
    values = [field.get_db_prep_save(field.pre_save(row, True), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(_insert_statement(type(row)), values)
        stored = cursor.fetchone()
    if stored is not None:
        (row.pk,) = stored
    return stored is not None


@cache
def _insert_statement(model: type[InboxMessage]) -> str:
    meta, name = model._meta, connection.ops.quote_name
    columns = [name(str(field.column)) for field in meta.concrete_fields if not field.primary_key]
    names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    into = f"INTO {name(meta.db_table)} ({names}) VALUES ({marks})"
    return f"INSERT {into} ON CONFLICT DO NOTHING RETURNING {name(str(meta.pk.column))}"


def _latest_try(at: datetime) -> Expression:
    """What no try is put off beyond; a later one was by a clock that has stepped back since."""
    delay = Func(
        F("attempts"),
        template="interval '10 seconds' * 3 ^ (%(expressions)s)",
        output_field=DurationField(),
    )
    return ExpressionWrapper(Value(at) + delay, output_field=DateTimeField())


class Inbox(ABC, Generic[Message]):
    """The stored messages of one kind: `rows` are all of them, processed in `order`."""

    rows: QuerySet[Message]
    order: tuple[str, ...] = ("pk",)
    # Whose messages are processed one after the other, in order; nobody's where it is empty.
    lane_field = ""

    @abstractmethod
    def handle(self, row: Message, at: datetime) -> Outcome:
        """Do what the message asks for, inside the transaction that ends the row.

        Raises `NotYet` where it has to wait. Any other exception undoes everything and counts as a
        failed try.
        """

    @abstractmethod
    def alert_key(self, row: Message) -> str:
        """The key of the alert about this row; the same for rows with the same trouble."""

    def same_trouble(self, row: Message) -> QuerySet[Message]:
        """The rows that share the alert of this one: it is closed when the last of them is over."""
        return self.rows.filter(pk=row.pk, state__in=[State.PARKED, State.FAILED], next_try_at=None)

    @abstractmethod
    def alert(self, row: Message, problem: str, at: datetime) -> None:
        """Put a row before staff that was parked or given up; `problem` is a Russian sentence."""

    def process(self, pk: int, *, at: datetime) -> bool:
        """Process one row, all or nothing; whether it was this call that ended it.

        The try is counted first: a process that dies reports nothing. An error undoes everything, is
        kept beside the message, and is tried again later and later; after eight tries staff decide.
        A row that another process holds is left to it.
        """
        try:
            return self._process(pk, "", at)
        except Busy:
            return False

    def _process(self, pk: int, lane: str, at: datetime) -> bool:
        """As `process`. Raises Busy where another process has the lane, or a row for too long."""
        with self._begun(pk, lane, at) as is_begun:
            return is_begun and self._try(pk, at)

    def _try(self, pk: int, at: datetime) -> bool:
        open_rows = self.rows.filter(pk=pk, state__in=_OPEN)
        unheld = open_rows.select_for_update(of=("self",), skip_locked=True)
        try:
            with transaction.atomic():
                limit_lock_waits(LOCK_WAIT)
                row = unheld.first()
                if row is None:
                    return False
                self._finish(row, self.handle(row, at), at)
        except NotYet:
            open_rows.update(attempts=F("attempts") - 1, next_try_at=None)
            return False
        except Exception as error:
            if is_lock_timeout(error):
                open_rows.update(attempts=F("attempts") - 1, next_try_at=at + BUSY_DELAY)
                raise Busy from error
            logger.exception("Message %s of %s could not be processed", pk, type(self).__name__)
            self._note_failure(open_rows, error, at)
            return False
        return True

    def waiting(self, *, at: datetime) -> list[int]:
        """The ids of the rows to process now, in order, by turns where there are lanes."""
        return [pk for pk, _ in self._waiting(at)]

    def process_waiting(self, *, at: datetime) -> int:
        """Process what waits, at most 500 rows; how many ended.

        A lane at which another process works, or whose rows somebody holds, is left for later as a
        whole: its messages stay in order and the others do not wait.
        """
        ended, busy = 0, set()
        for pk, lane in self._waiting(at):
            if lane in busy:
                continue
            try:
                ended += self._process(pk, lane, at)
            except Busy:
                # What belongs to nobody holds up nothing else.
                busy |= {lane} - {""}
        return ended

    def _waiting(self, at: datetime) -> list[tuple[int, str]]:
        """Ids and lanes. The first message of each lane comes before the second of any."""
        new = Q(state=State.NEW, next_try_at=None)
        in_time = Q(next_try_at__lte=at) | Q(next_try_at__gt=_latest_try(at))
        rows = self.rows.filter(new | Q(in_time, state__in=_OPEN))
        if not self.lane_field:
            pks = rows.order_by(*self.order).values_list("pk", flat=True)[:SWEEP_LIMIT]
            return [(pk, "") for pk in pks]
        own = Window(RowNumber(), partition_by=[self.lane_field], order_by=self.order)
        turns = rows.annotate(turn=own).order_by("turn", *self.order)
        return list(turns.values_list("pk", self.lane_field)[:SWEEP_LIMIT])

    @contextmanager
    def _begun(self, pk: int, lane: str, at: datetime) -> Iterator[bool]:
        """Whether there is a try to make: nobody else begins one before its time is over.

        The lane is held for the block. Raises Busy where another process has it.
        """
        name = f"{type(self).__name__}:{lane}"
        table = connection.ops.quote_name(self.rows.model._meta.db_table)
        key = advisory_lock.number_of(name) if lane else None
        facts: dict[str, int | datetime | None] = {"pk": pk, "at": at, "lane": key}
        with connection.cursor() as cursor:
            cursor.execute(_BEGIN.format(table=table, waits=_WAITS), facts)
            is_ours, attempts = cursor.fetchone() or (None, None)
        if is_ours is False:
            raise Busy
        try:
            yield attempts is not None and self._may_try(pk, attempts, at)
        finally:
            if is_ours and lane:
                advisory_lock.release(name)

    def _may_try(self, pk: int, attempts: int, at: datetime) -> bool:
        if attempts > MOST_ATTEMPTS:
            self._give_up_begun(pk, at)
        return attempts <= MOST_ATTEMPTS

    @transaction.atomic
    def _give_up_begun(self, pk: int, at: datetime) -> None:
        row = self.rows.select_for_update(of=("self",)).get(pk=pk)
        row.attempts -= 1
        self._give_up(row, at)

    def _finish(self, row: Message, outcome: Outcome, at: datetime) -> None:
        # An alert is open only where the row was parked or given up before.
        had_trouble = bool(row.parked_for or row.error)
        key, trouble = (self.alert_key(row), self.same_trouble(row)) if had_trouble else ("", None)
        row.state = State.PARKED if outcome.parked_for else State.DONE
        row.parked_for, row.note = outcome.parked_for, outcome.note[:500]
        row.processed_at, row.next_try_at, row.error = at, None, ""
        row.save(update_fields=_WRITTEN)
        if trouble is not None and not trouble.exists():
            close_alert(key=key, by=SYSTEM, at=at)
        if outcome.parked_for:
            self.alert(row, outcome.note, at)

    @transaction.atomic
    def _note_failure(self, open_rows: QuerySet[Message], error: Exception, at: datetime) -> None:
        row = open_rows.select_for_update(of=("self",)).first()
        if row is None:  # another process has ended it meanwhile
            return
        row.error = "".join(traceback.format_exception(error))[-ERROR_CHARACTERS:]
        if row.attempts >= MOST_ATTEMPTS:
            self._give_up(row, at)
            return
        row.state = State.FAILED
        row.next_try_at = at + FIRST_DELAY * 3 ** (row.attempts - 1)
        row.save(update_fields=_WRITTEN)

    def _give_up(self, row: Message, at: datetime) -> None:
        row.state, row.next_try_at = State.FAILED, None
        row.error = row.error or "the process ended before the message did"
        row.save(update_fields=_WRITTEN)
        self.alert(row, f"не удалось обработать за {row.attempts} попыток.", at)
