"""The line to one operator: letters and questions through one pool of threads, the database in one.

One line of an account works at a time on all machines (`operators.lanes`), so one account never holds
more than one worker, and an operator's «one call at a time» holds by itself. One wake-up drains many
commands; between two calls the line looks again for clicks, so a click passes ten thousand waiting
mass commands. Where calls are only bounded by our own work, clicks have a line of their own beside it
(`smartcards.lanes`).
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from cabinet import alerts
from operators import breaker, quota
from operators.http import About, Exchange
from operators.lanes import Lane, hold_lane
from operators.models import OperatorAccount
from operators.ports import TokenStore, Unknown
from operators.quota import Urgency
from operators.services import (
    connect,
    note_exchanges,
    probe,
    workers_tokens,
    working_account,
)
from operators.windows import window_end
from smartcards import brake, changes, dispatch, lanes, questions
from smartcards.crew import Crew
from smartcards.dispatch import Letter
from smartcards.landing import (
    BROKEN,
    Landed,
    Result,
    error_of,
    is_the_operators_word,
    measured,
    obey,
    sent_by,
    told_by,
)
from smartcards.pace import Pace
from smartcards.questions import Question
from smartcards.states import CLICKS, Origin
from smartcards.waiting import Waiting, waiting_work

logger = logging.getLogger(__name__)

# A line gives its worker back after this long; the sweep or the next wake-up goes on.
BUDGET_SECONDS = 60.0
# How long a click may wait for the line to look up from a nap.
NAP_SECONDS = 0.1
# A longer wait for the quota's turn is left to the sweep.
LONGEST_WAIT = 5.0
# While enough letters are begun, answers are gathered for so long and written down together.
GATHER_SECONDS = 0.2
_PRIORITY = {Urgency.CLICK: 0, Urgency.MASS: 1, Urgency.SPARE: 2}

_NO_CLICKS = tuple(origin for origin in Origin if origin not in CLICKS)

Job = Letter | Question
# Whose turn of the quota, and what there is to take for so much room.
Source = tuple[Urgency, Callable[[int], Sequence[Job]]]


@dataclass
class Line:
    """One stretch of work for one account."""

    account: OperatorAccount
    clock: Callable[[], datetime]
    crew: Crew
    ends_at: float
    lane: Lane = Lane.MAIN
    reading: bool = False
    asked_last: bool = False
    sent: int = 0
    asked: int = 0
    pace: Pace = field(default_factory=Pace)
    paused: bool = False
    tokens: TokenStore | None = None
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
        self.paused = window_end(self.account.maintenance_windows, at) is not None
        try:
            return self._fill_from_queue(at) if self._is_up(at) else None
        except quota.QuotaAway:
            logger.warning("The quota of %s cannot be read, nothing is sent", self.account.code)
            return None

    def _fill_from_queue(self, at: datetime) -> float | None:
        waits = []
        waiting = waiting_work(account_id=self.account.pk, at=at, clicks_at=self._clicks_due_by(at))
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

    def _sources(self, waiting: Waiting) -> list[Source]:
        """What to take in which order: what people wait for, questions and mass work by turns, readings."""
        first: list[Source] = []
        if waiting.clicks and not self.paused:
            first.append((Urgency.CLICK, self._clicks))
        if self.lane is Lane.CLICKS:
            return first
        if waiting.questions_of_clicks:
            first.append((Urgency.CLICK, partial(self._questions, origins=CLICKS)))
        return first + self._others(waiting)

    def _others(self, waiting: Waiting) -> list[Source]:
        by_turns: list[Source] = []
        if waiting.questions:  # reading does no harm while the operator works on its systems
            by_turns.append((Urgency.MASS, partial(self._questions, origins=_NO_CLICKS)))
        if waiting.others and not self.paused:
            by_turns.append((Urgency.MASS, partial(self._letters, origins=_NO_CLICKS)))
        if self.asked_last:
            # Where there is room for one only, half of it is no room at all for letters.
            by_turns.reverse()
        if self.reading and not self.paused:
            by_turns.append((Urgency.SPARE, self._readings))
        return by_turns

    def _clicks(self, room: int) -> list[Letter]:
        """A busy line leaves them to their own lane for a moment, where they have one."""
        at = self.clock()
        return dispatch.claim(
            account=self.account, at=at, limit=room, origins=CLICKS, due_by=self._clicks_due_by(at)
        )

    def _clicks_due_by(self, at: datetime) -> datetime:
        busy = self.lane is Lane.MAIN and bool(self.flights)
        return at - lanes.LEFT_FOR if busy and lanes.has_clicks_lane(self.account) else at

    def _letters(self, room: int, *, origins: Sequence[Origin]) -> list[Letter]:
        return dispatch.claim(account=self.account, at=self.clock(), limit=room, origins=origins)

    def _questions(self, room: int, *, origins: Sequence[Origin]) -> list[Question]:
        # Half of the room: polling must not keep the letters at home.
        asked = [job.command_id for job in self.flights.values() if isinstance(job, Question)]
        return questions.due(
            account=self.account,
            at=self.clock(),
            limit=max(1, room // 2),
            asked=[pk for pk in asked if pk is not None],
            origins=origins,
        )

    def _readings(self, room: int) -> list[Question]:
        if self.flights:
            return []
        return questions.stale_cards(account=self.account, at=self.clock(), limit=min(room, 10))

    def _room(self) -> int:
        threads = self._threads
        ahead = 0 if quota.windows(self.account) else self.pace.ahead(threads)
        return threads + ahead - len(self.flights)

    @property
    def _threads(self) -> int:
        return lanes.calls_at_once(self.account, self.lane)

    def _start(self, job: Job) -> None:
        self.asked_last = isinstance(job, Question)
        self._note_calls()
        operator = connect(
            self.account,
            heard=self.heard.append,
            urgency=job.urgency,
            tokens=self.tokens,
            about=About(iccid=job.sim.iccid, command_id=job.command_id),
        )
        if isinstance(job, Letter):
            call: Callable[[], Result] = partial(dispatch.send, operator, job, self.clock)
        else:
            call = partial(questions.ask, operator, job, self.clock())
        flight = self.crew.give(partial(measured, call), priority=_PRIORITY[job.urgency])
        self.flights[flight] = job

    def _note_calls(self) -> None:
        """Before they leave and while they last: what a dead process had in the air is known."""
        if quota.windows(self.account):
            quota.note_call(self.account)

    def _land(self, *, timeout: float | None) -> None:
        """Write down everything that has come back; look up for clicks at least every nap."""
        done, flying = wait(self.flights, timeout=timeout, return_when=FIRST_COMPLETED)
        if not done:
            self._note_calls()
            return
        gathered_at = time.monotonic() + GATHER_SECONDS
        while len(flying) > self._threads and (left := gathered_at - time.monotonic()) > 0:
            more, flying = wait(flying, timeout=left, return_when=FIRST_COMPLETED)
            done |= more
        landed = [(self.flights.pop(flight), self._result(flight)) for flight in done]
        self._write_down(landed)
        self.crew.widen(self.pace.width(self._threads))

    def _write_down(self, landed: Sequence[tuple[Job, Result]]) -> None:
        letters = [(job, sent_by(result)) for job, result in landed if isinstance(job, Letter)]
        asked = [(job, told_by(result)) for job, result in landed if isinstance(job, Question)]
        dispatch.record(letters, at=self.clock())
        questions.record(asked, at=self.clock())
        self.sent += len(letters)
        self.asked += len(asked)
        self._note([answer for _, answer in letters], [answer for _, answer in asked])

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

    def _note(self, sent: Sequence[Result], told: Sequence[Result]) -> None:
        # Threads append meanwhile: what is taken is cut off, the rest stays.
        heard = self.heard[:]
        del self.heard[: len(heard)]
        note_exchanges(self.account, heard)
        self._note_health(sent, told)
        obey(self.account, [*sent, *told])

    def _note_health(self, sent: Sequence[Result], told: Sequence[Result]) -> None:
        for results, by_switches in ((sent, True), (told, False)):
            good, bad = _tally(results)
            breaker.note(self.account, good=good, bad=bad, at=self.clock(), by_switches=by_switches)

    def _is_up(self, at: datetime) -> bool:
        """The breaker: closed, or closed again by a probe that is due now.

        A probe only logs in and reads. Where a command waits, that one leaves alone, and its answer
        decides: an operator whose switches fail would take a whole queue down otherwise.
        """
        if not breaker.is_open(self.account):
            return True
        if not self._may_probe(at):
            return False
        link = probe(self.account)
        if not link.works:
            breaker.note(self.account, good=0, bad=int(link.was_asked), at=self.clock())
            return False
        if self._try_one(at):
            return False
        breaker.note(self.account, good=1, bad=0, at=self.clock(), by_switches=True)
        return True

    def _may_probe(self, at: datetime) -> bool:
        idle = self.lane is Lane.MAIN and not self.flights
        due = idle and breaker.probe_is_due(self.account, at)
        return due and quota.seconds_to_wait(self.account) <= 0

    def _try_one(self, at: datetime) -> bool:
        """Whether a command was there to try the operator with; it is on its way now."""
        letters = [] if self.paused else self._letters(1, origins=tuple(Origin))
        for letter in letters:
            breaker.put_off_probe(self.account, at=at)
            self._start(letter)
        return bool(letters)


def _tally(results: Sequence[Result]) -> tuple[int, int]:
    """How many of the operator's answers were good, and how many speak of its trouble."""
    bad = sum(breaker.is_trouble(error_of(result)) for result in results)
    return sum(map(is_the_operators_word, results)) - bad, bad


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
    lane: Lane = Lane.MAIN,
    reading: bool = False,
    budget: float = BUDGET_SECONDS,
) -> tuple[int, int]:
    """Send and ask what is due for one account. Returns how many commands left and questions were asked.

    Does nothing where another line of the account works in this lane, the account is switched off, or
    has no such lane.
    """
    with hold_lane(account_id, lane) as ours:
        account = working_account(account_id, at=clock()) if ours else None
        if account is None or not (threads := lanes.calls_at_once(account, lane)):
            return 0, 0
        brake.watch_restore(at=clock())
        if not _can_be_called(account, clock()):
            return 0, 0
        with Crew(threads) as crew:
            ends_at, tokens = time.monotonic() + budget, workers_tokens(account)
            line = Line(account, clock, crew, ends_at, lane, tokens=tokens)
            if reading:
                line.asked += changes.read_changes(account, clock, enough=line.catch_up)
                line.reading = True
            line.run()
        return line.sent, line.asked
