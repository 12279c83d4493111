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
from operators.ports import OUR_QUOTA, ErrorClass, Rejected, SubmitResult, Unavailable, Unknown
from operators.quota import Urgency
from operators.services import connect, note_exchanges, ping, working_account
from operators.windows import window_end
from smartcards import brake, changes, dispatch, queries, questions
from smartcards.crew import Crew
from smartcards.dispatch import Letter
from smartcards.queries import Waiting
from smartcards.questions import Answer, Question
from smartcards.states import Origin

logger = logging.getLogger(__name__)

# A line gives its worker back after this long; the sweep or the next wake-up goes on.
BUDGET_SECONDS = 60.0
# How long a click may wait for the line to look up from a nap.
NAP_SECONDS = 0.1
# A longer wait for the quota's turn is left to the sweep.
LONGEST_WAIT = 5.0
# Letters begun beyond those in the air, so that the threads never wait for the database: at most so
# many for each thread, and no more than can leave in so many seconds at the operator's present pace.
AHEAD = 6
AHEAD_SECONDS = 0.5
# While enough letters are begun, answers are gathered for so long and written down together.
GATHER_SECONDS = 0.03
_LOCK_SPACE = 7_401
_BROKEN = "ошибка в нашем коде"
_CLICKS = (Origin.PERSON,)
_PRIORITY = {Urgency.CLICK: 0, Urgency.MASS: 1, Urgency.SPARE: 2}

Job = Letter | Question
Result = SubmitResult | Answer


@dataclass(frozen=True)
class Landed:
    """What came back from a thread, and how long it took."""

    result: Result
    seconds: float


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
    call_seconds: float = AHEAD_SECONDS
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
        waiting = queries.waiting_work(self.account, at)
        for urgency, jobs in self._sources(at, waiting):
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

    def _sources(
        self, at: datetime, waiting: Waiting
    ) -> list[tuple[Urgency, Callable[[int], Sequence[Job]]]]:
        """What to take in which order: clicks, questions and mass work by turns, readings."""
        paused = window_end(self.account.maintenance_windows, at) is not None
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
        ahead = (
            min(AHEAD, AHEAD_SECONDS / self.call_seconds) if not quota.windows(self.account) else 0
        )
        return threads + int(threads * ahead) - len(self.flights)

    def _start(self, job: Job) -> None:
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
        flight = self.crew.give(partial(_measured, call), priority=_PRIORITY[job.urgency])
        self.flights[flight] = job

    def _land(self, *, timeout: float | None) -> None:
        """Write down everything that has come back; look up for clicks at least every nap."""
        done, flying = wait(self.flights, timeout=timeout, return_when=FIRST_COMPLETED)
        if not done:
            return
        if len(flying) > self.account.concurrency:
            more, _ = wait(flying, timeout=GATHER_SECONDS, return_when=ALL_COMPLETED)
            done |= more
        self._write_down([(self.flights.pop(flight), self._result(flight)) for flight in done])

    def _write_down(self, landed: Sequence[tuple[Job, Result]]) -> None:
        letters = [(job, _sent(result)) for job, result in landed if isinstance(job, Letter)]
        asked = [(job, _told(result)) for job, result in landed if isinstance(job, Question)]
        if letters:
            dispatch.record(letters, at=self.clock())
        if asked:
            questions.record(asked, at=self.clock())
        self.sent += len(letters)
        self.asked += len(asked)
        self._note([result for _, result in landed])

    def _result(self, flight: "Future[object]") -> Result:
        try:
            landed = flight.result()
        except Exception:
            # A broken adapter must not lose a command that may have been done.
            logger.exception("The adapter of %s broke", self.account.code)
            return Unknown(_BROKEN)
        assert isinstance(landed, Landed)  # noqa: S101 - the crew gives back what `_measured` made
        self.call_seconds = max(0.001, 0.8 * self.call_seconds + 0.2 * landed.seconds)
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
        heard_of = sum(_is_the_operators_word(result) for result in results)
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
        good, _ = ping(self.account)
        breaker.note(self.account, good=int(good), bad=int(not good), at=self.clock())
        return good


def _measured(call: Callable[[], Result]) -> Landed:
    started = time.monotonic()
    result = call()
    return Landed(result, time.monotonic() - started)


def _sent(result: Result) -> SubmitResult:
    return Unknown(_BROKEN) if isinstance(result, Answer) else result


def _told(result: Result) -> Answer:
    """A broken adapter has not answered the question."""
    if isinstance(result, Answer):
        return result
    return Answer(unavailable=Unavailable(ErrorClass.TRANSIENT, "broken", _BROKEN))


def _is_the_operators_word(result: Result) -> bool:
    """Not our own waiting for a turn, nor a lease that ran out before anything left."""
    word = result.unavailable if isinstance(result, Answer) else result
    return getattr(word, "code", "") not in {OUR_QUOTA, "lease"}


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


def error_of(result: Result) -> ErrorClass | None:
    """What an answer says of the operator's health; our own waiting for a turn says nothing."""
    word = result.unavailable if isinstance(result, Answer) else result
    if isinstance(word, Rejected | Unavailable) and word.code in {OUR_QUOTA, "lease"}:
        return None
    if isinstance(word, Rejected | Unknown | Unavailable):
        return ErrorClass(word.error)
    return None


def asked_pause(result: Result) -> float:
    """Seconds that the operator asked everybody to wait; 0 where it did not."""
    word = result.unavailable if isinstance(result, Answer) else result
    if not isinstance(word, Rejected | Unavailable) or word.code == OUR_QUOTA:
        return 0
    return (word.retry_after or 0) if word.error == ErrorClass.RATE_LIMITED else 0


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
