"""The line to one operator: letters and questions through one pool of threads, the database in one.

One line of an account works at a time on all machines (an advisory lock of PostgreSQL that dies with
its connection), so one account never holds more than one worker, and an operator's «one call at a
time» holds by itself. One wake-up drains many commands; between two calls the line looks again for
clicks, so a click passes ten thousand waiting mass commands.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from django.db import connection

from cabinet import alerts
from operators import breaker, quota
from operators.http import About, Exchange
from operators.models import OperatorAccount
from operators.ports import (
    Unknown,
)
from operators.quota import Urgency
from operators.services import connect, note_exchanges, ping, working_account
from operators.windows import window_end
from smartcards import brake, changes, dispatch, questions
from smartcards.crew import Crew
from smartcards.dispatch import Letter
from smartcards.landing import (
    BROKEN,
    Landed,
    Result,
    asked_pause,
    error_of,
    is_the_operators_word,
    measured,
    sent_by,
    told_by,
)
from smartcards.pace import Pace
from smartcards.questions import Question
from smartcards.states import Origin
from smartcards.waiting import Waiting, clicks_wait, waiting_work

logger = logging.getLogger(__name__)

# A line gives its worker back after this long; the sweep or the next wake-up goes on.
BUDGET_SECONDS = 60.0
# How long a click may wait for the line to look up from a nap.
NAP_SECONDS = 0.1
# A longer wait for the quota's turn is left to the sweep.
LONGEST_WAIT = 5.0
# While enough letters are begun, answers are gathered for so long and written down together, and
# clicks are looked for so often meanwhile.
GATHER_SECONDS = 0.2
PEEK_SECONDS = 0.02
# A click's call is left alone for so long before the line goes on with what it was doing.
CLICK_SECONDS = 0.03
_LOCK_SPACE = 7_401
_CLICKS = (Origin.PERSON,)
_PRIORITY = {Urgency.CLICK: 0, Urgency.MASS: 1, Urgency.SPARE: 2}

Job = Letter | Question


@dataclass
class Line:
    """One stretch of work for one account."""

    account: OperatorAccount
    clock: Callable[[], datetime]
    crew: Crew
    ends_at: float
    reading: bool = False
    asked_last: bool = False
    sent: int = 0
    asked: int = 0
    pace: Pace = field(default_factory=Pace)
    paused: bool = False
    deaf_until: float = 0
    flights: dict[Future[object], Job] = field(default_factory=dict)
    heard: list[Exchange] = field(default_factory=list)

    def run(self) -> None:
        """Until nothing is due or the time is up; what is in the air is always waited for."""
        while True:
            nap = self._fill() if time.monotonic() < self.ends_at else None
            if self.flights:
                self._land(timeout=nap)
            elif nap is None:
                return
            else:
                time.sleep(nap)

    def catch_up(self) -> bool:
        """What may leave at this moment leaves and comes back. Returns whether the time is up."""
        if time.monotonic() < self.ends_at:
            self._fill()
        while self.flights:
            self._land(timeout=NAP_SECONDS)
        return time.monotonic() >= self.ends_at

    def _fill(self) -> float | None:
        """Start what may start. Returns how long to wait for a turn, or None where nothing waits."""
        at = self.clock()
        if not self._is_up(at):
            return None
        try:
            return self._fill_from_queue(at)
        except quota.QuotaAway:
            logger.warning("The quota of %s cannot be read, nothing is sent", self.account.code)
            return None

    def _fill_from_queue(self, at: datetime) -> float | None:
        waits = []
        waiting = waiting_work(account_id=self.account.pk, at=at)
        self.paused = window_end(self.account.maintenance_windows, at) is not None
        for urgency, jobs in self._sources(waiting):
            room = self._room()
            if room <= 0:
                return NAP_SECONDS
            pause = quota.seconds_to_wait(self.account, urgency)
            if pause > 0:
                waits.append(pause)
                continue
            for job in jobs(room if not quota.windows(self.account) else 1):
                self._start(job)
        return self._nap(waits, waiting)

    def _nap(self, waits: list[float], waiting: Waiting) -> float | None:
        if self.flights:
            return NAP_SECONDS
        if not waits or min(waits) > LONGEST_WAIT or not waiting.anything:
            return None
        return min(NAP_SECONDS, *waits)

    def _sources(self, waiting: Waiting) -> list[tuple[Urgency, Callable[[int], Sequence[Job]]]]:
        """What to take in which order: clicks, questions and mass work by turns, readings."""
        paused = self.paused
        first: list[tuple[Urgency, Callable[[int], Sequence[Job]]]] = []
        if waiting.clicks and not paused:
            first.append((Urgency.CLICK, partial(self._letters, origins=_CLICKS)))
        by_turns: list[tuple[Urgency, Callable[[int], Sequence[Job]]]] = []
        if waiting.questions:  # reading does no harm while the operator works on its systems
            by_turns.append((Urgency.MASS, self._questions))
        if waiting.others and not paused:
            by_turns.append((Urgency.MASS, partial(self._letters, origins=tuple(Origin))))
        if self.asked_last:
            # Where there is room for one only, half of it is no room at all for letters.
            by_turns.reverse()
        if self.reading and not paused:
            by_turns.append((Urgency.SPARE, self._readings))
        return first + by_turns

    def _letters(self, room: int, *, origins: Sequence[Origin]) -> list[Letter]:
        return dispatch.claim(account=self.account, at=self.clock(), limit=room, origins=origins)

    def _questions(self, room: int) -> list[Question]:
        # Half of the room: polling must not keep the letters at home.
        asked = [job.command_id for job in self.flights.values() if isinstance(job, Question)]
        return questions.due(
            account=self.account,
            at=self.clock(),
            limit=max(1, room // 2),
            asked=[pk for pk in asked if pk is not None],
        )

    def _readings(self, room: int) -> list[Question]:
        if self.flights:
            return []
        return questions.stale_cards(account=self.account, at=self.clock(), limit=min(room, 10))

    def _room(self) -> int:
        threads = self.account.concurrency
        ahead = 0 if quota.windows(self.account) else self.pace.ahead(threads)
        return threads + ahead - len(self.flights)

    def _start(self, job: Job) -> "Future[object]":
        self.asked_last = isinstance(job, Question)
        operator = connect(
            self.account,
            heard=self.heard.append,
            urgency=job.urgency,
            about=About(iccid=job.sim.iccid, command_id=job.command_id),
        )
        if isinstance(job, Letter):
            call: Callable[[], Result] = partial(dispatch.send, operator, job, self.clock)
        else:
            call = partial(questions.ask, operator, job, self.clock())
        flight = self.crew.give(partial(measured, call), priority=_PRIORITY[job.urgency])
        self.flights[flight] = job
        return flight

    def _land(self, *, timeout: float | None) -> None:
        """Write down everything that has come back; look up for clicks at least every nap."""
        done, flying = wait(self.flights, timeout=timeout, return_when=FIRST_COMPLETED)
        if not done:
            return
        gathered_at = time.monotonic() + GATHER_SECONDS
        while len(flying) > self.account.concurrency and time.monotonic() < gathered_at:
            more, flying = wait(flying, timeout=PEEK_SECONDS, return_when=ALL_COMPLETED)
            done |= more
            self._let_clicks_pass()
        landed = [(self.flights.pop(flight), self._result(flight)) for flight in done]
        self._write_down(landed)
        self.crew.widen(self.pace.width(self.account.concurrency))

    def _let_clicks_pass(self) -> None:
        """A person's command begun since the last look leaves now, not after what is being done.

        Under a quota the line looks up after every call anyway.
        """
        if quota.windows(self.account) or not self._hears_clicks():
            return
        try:
            started = self._start_clicks()
        except quota.QuotaAway:
            started = []
        if not started:
            # Kept back on purpose: asking again and again would only cost.
            self.deaf_until = time.monotonic() + NAP_SECONDS
        # What waits here to be written down would only take the interpreter from the click's call.
        wait(started, timeout=CLICK_SECONDS)

    def _hears_clicks(self) -> bool:
        if self.paused or breaker.is_open(self.account):
            return False
        if not self.deaf_until < time.monotonic() < self.ends_at:
            return False
        return clicks_wait(account_id=self.account.pk, at=self.clock())

    def _start_clicks(self) -> "list[Future[object]]":
        if quota.seconds_to_wait(self.account, Urgency.CLICK) > 0:
            return []
        letters = self._letters(self.account.concurrency, origins=_CLICKS)
        return [self._start(letter) for letter in letters]

    def _write_down(self, landed: Sequence[tuple[Job, Result]]) -> None:
        letters = [(job, sent_by(result)) for job, result in landed if isinstance(job, Letter)]
        asked = [(job, told_by(result)) for job, result in landed if isinstance(job, Question)]
        if letters:
            dispatch.record(letters, at=self.clock())
        self._let_clicks_pass()
        if asked:
            questions.record(asked, at=self.clock())
        self.sent += len(letters)
        self.asked += len(asked)
        self._note([result for _, result in landed])
        self._let_clicks_pass()

    def _result(self, flight: "Future[object]") -> Result:
        try:
            landed = flight.result()
        except Exception:
            # A broken adapter must not lose a command that may have been done.
            logger.exception("The adapter of %s broke", self.account.code)
            return Unknown(BROKEN)
        assert isinstance(landed, Landed)  # noqa: S101 - the crew gives back what `measured` made
        self.pace.note(seconds=landed.seconds, own_seconds=landed.own_seconds)
        return landed.result

    def _note(self, results: Sequence[Result]) -> None:
        # Threads append meanwhile: what is taken is cut off, the rest stays.
        heard = self.heard[:]
        del self.heard[: len(heard)]
        if quota.windows(self.account):
            quota.note_call(self.account)
        note_exchanges(self.account, heard)
        errors = [error_of(result) for result in results]
        bad = sum(breaker.is_trouble(error) for error in errors)
        heard_of = sum(is_the_operators_word(result) for result in results)
        breaker.note(self.account, good=heard_of - bad, bad=bad, at=self.clock())
        pause = max((asked_pause(result) for result in results), default=0)
        if pause > 0:
            quota.pause(self.account, pause)

    def _is_up(self, at: datetime) -> bool:
        """The breaker: closed, or closed again by a probe that is due now."""
        if not breaker.is_open(self.account):
            return True
        if self.flights or not breaker.probe_is_due(self.account, at):
            return False
        link = ping(self.account)
        failed = link.was_asked and not link.works
        breaker.note(self.account, good=int(link.works), bad=int(failed), at=self.clock())
        return link.works


def _can_be_called(account: OperatorAccount, at: datetime) -> bool:
    """Asked before anything is claimed: a contract whose adapter cannot be made would only strand commands."""
    unheard: list[Exchange] = []
    try:
        connect(account, heard=unheard.append)
    except Exception:
        logger.exception("The contract %s cannot be used", account.code)
        alerts.raise_alert(
            key=f"operator:account:{account.pk}:unusable",
            text=f"{account.title}: договор настроен так, что позвонить оператору нельзя. Проверьте его поля.",
            at=at,
            link=f"/admin/operators/operatoraccount/{account.pk}/change/",
        )
        return False
    return True


def work(
    *,
    account_id: int,
    clock: Callable[[], datetime],
    reading: bool = False,
    budget: float = BUDGET_SECONDS,
) -> tuple[int, int]:
    """Send and ask what is due for one account. Returns how many commands left and questions were asked.

    Does nothing where another line of the account works, or the account is switched off.
    """
    with _only_one(account_id) as ours:
        account = working_account(account_id, at=clock()) if ours else None
        if account is None:
            return 0, 0
        brake.watch_restore(at=clock())
        if not _can_be_called(account, clock()):
            return 0, 0
        with Crew(account.concurrency) as crew:
            line = Line(account, clock, crew, time.monotonic() + budget)
            if reading:
                line.asked += changes.read_changes(account, clock, enough=line.catch_up)
                line.reading = True
            line.run()
        return line.sent, line.asked


@contextmanager
def _only_one(account_id: int) -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_LOCK_SPACE, account_id])
        (ours,) = cursor.fetchone()
    try:
        yield bool(ours)
    finally:
        if ours:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_LOCK_SPACE, account_id])
