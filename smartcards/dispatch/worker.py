"""The worker of one operator account: commands and questions through a pool of threads.

One worker of an account runs at a time on all machines (`operators.limits.account_lock`), so an operator's «one
call at a time» holds by itself. One wake-up drains many commands. A command is claimed only when a
thread is free for it, and clicks are looked for before every claim: so a click passes ten thousand
waiting mass commands.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import cast

from cabinet.actors import SYSTEM
from cabinet.messaging import alerts
from operators.classification import Health
from operators.connections import (
    CallOutcome,
    OperatorSession,
    connect,
    probe,
)
from operators.limits import breaker, quota
from operators.limits.account_lock import hold_account
from operators.limits.maintenance import window_end
from operators.limits.quota import Urgency
from operators.models import OperatorAccount
from operators.services import record_exchanges, working_account
from smartcards import safety_brake
from smartcards.dispatch import change_feed, outbox, polling
from smartcards.dispatch.outbox import Backlog, OutgoingCommand, SendOutcome, backlog_of
from smartcards.dispatch.polling import StatusQuery
from smartcards.states import CLICKS, AlertKind, Origin

logger = logging.getLogger(__name__)

# A worker ends after this long; the sweep or the next wake-up goes on.
BUDGET_SECONDS = 60.0
# How long a click may wait for the worker to look up from waiting.
NAP_SECONDS = 0.1
# A longer wait for the quota's turn is left to the sweep.
LONGEST_WAIT = 5.0
# So many cards to read are looked up together.
_READINGS = 10

_NO_CLICKS = tuple(origin for origin in Origin if origin not in CLICKS)

Job = OutgoingCommand | StatusQuery
Answer = SendOutcome | CallOutcome[polling.Answer]
# Whose turn of the quota, and what takes the next job.
Source = tuple[Urgency, Callable[[], Job | None]]


@dataclass
class AccountWorker:
    """One stretch of work for one account; `sessions` are the free ones, one for each thread."""

    account: OperatorAccount
    clock: Callable[[], datetime]
    pool: ThreadPoolExecutor
    sessions: list[OperatorSession]
    ends_at: float
    reading: bool = False
    asked_last: bool = False
    sent: int = 0
    asked: int = 0
    calls: dict[Future[Answer], tuple[Job, OperatorSession]] = field(default_factory=dict)
    to_read: list[StatusQuery] = field(default_factory=list)

    def run(self) -> None:
        """Until nothing is due or the time is up; calls that have begun are always waited for."""
        while True:
            pause = self._start_next() if time.monotonic() < self.ends_at else None
            if self.calls:
                self._collect_one(timeout=NAP_SECONDS if pause is None else pause)
            elif pause is None:
                return
            else:
                time.sleep(pause)

    def drain_due(self) -> bool:
        """Send and ask what may leave at this moment, and wait for it. Returns whether the time is up."""
        while time.monotonic() < self.ends_at and self._start_next() == 0:
            continue
        while self.calls:
            self._collect_one(timeout=NAP_SECONDS)
        return time.monotonic() >= self.ends_at

    def _start_next(self) -> float | None:
        """Start one call. Returns the seconds to wait before the next one may start, at most
        `NAP_SECONDS`; None where nothing waits.
        """
        if not self.sessions:
            return NAP_SECONDS
        at, pauses = self.clock(), list[float]()
        try:
            broken = self.account.broken_since is not None and not self._closes_breaker(at)
            if broken and not self._may_ask(at):
                return None
            backlog = backlog_of(account_id=self.account.pk, at=at)
            if broken:
                backlog = backlog._replace(clicks=False, others=False)
            for urgency, take in self._sources(backlog, at, reading=self.reading and not broken):
                pause = quota.seconds_to_wait(self.account, urgency)
                if pause > 0:
                    pauses.append(pause)
                elif (job := take()) is not None:
                    self._start(job)
                    # Under a quota the next look comes when this one has taken its place in it.
                    return NAP_SECONDS if quota.allowance(self.account).windows else 0
        except quota.QuotaAway:
            logger.warning("The quota of %s cannot be read, nothing is sent", self.account.code)
            return None
        if not pauses or min(pauses) > LONGEST_WAIT or not any(backlog):
            return None
        return min(NAP_SECONDS, *pauses)

    def _sources(self, backlog: Backlog, at: datetime, *, reading: bool) -> list[Source]:
        """What to take in which order: what people wait for, questions and mass work by turns, readings."""
        windows = self.account.maintenance_windows
        paused = bool(windows) and window_end(windows, at) is not None
        asked = [job.command_id for job, _ in self.calls.values() if job.command_id is not None]
        claim = partial(outbox.claim, account=self.account, at=at)
        query = partial(polling.next_due, account=self.account, at=at, asked=asked)
        sources: list[Source] = []
        if backlog.clicks and not paused:
            sources.append((Urgency.CLICK, partial(claim, origins=CLICKS)))
        if backlog.click_queries:
            sources.append((Urgency.CLICK, partial(query, origins=CLICKS)))
        by_turns: list[Source] = []
        if backlog.queries:  # reading does no harm while the operator works on its systems
            by_turns.append((Urgency.MASS, partial(query, origins=_NO_CLICKS)))
        if backlog.others and not paused:
            by_turns.append((Urgency.MASS, partial(claim, origins=_NO_CLICKS)))
        if self.asked_last:
            by_turns.reverse()
        if reading and not paused:
            by_turns.append((Urgency.BACKGROUND, partial(self._next_reading, at)))
        return sources + by_turns

    def _next_reading(self, at: datetime) -> Job | None:
        if not self.to_read and not self.calls:  # those that are being read are still due
            self.to_read = polling.stale_cards(account=self.account, at=at, limit=_READINGS)
        return self.to_read.pop(0) if self.to_read else None

    def _start(self, job: Job) -> None:
        self.asked_last = isinstance(job, StatusQuery)
        quota.note_call(self.account)
        session = self.sessions.pop()
        future: Future[Answer]
        if isinstance(job, OutgoingCommand):
            future = self.pool.submit(outbox.send, session, job, self.clock)
        else:
            future = self.pool.submit(polling.ask, session, job, self.clock)
        self.calls[future] = job, session

    def _collect_one(self, *, timeout: float) -> None:
        """Record one call that has come back, if any does in time: then clicks are looked for again."""
        done, _ = wait(self.calls, timeout=timeout, return_when=FIRST_COMPLETED)
        if not done:
            if timeout:  # calls are going on
                quota.note_call(self.account)
            return
        future = done.pop()
        job, session = self.calls.pop(future)
        self.sessions.append(session)
        answer, at = future.result(), self.clock()
        try:
            if isinstance(job, OutgoingCommand):
                outbox.record(job, cast("SendOutcome", answer), at=at)
            else:
                polling.record(job, cast("CallOutcome[polling.Answer]", answer), at=at)
        except Exception:
            # A command stays in `sending`; when its lease runs out it is read, not lost.
            logger.exception("Could not record an answer about card %s", job.card_id)
        by_switch = isinstance(job, OutgoingCommand)
        if by_switch:
            self.sent += 1
        else:
            self.asked += 1
        call = answer.call if isinstance(answer, SendOutcome) else answer
        record_exchanges(self.account, call.exchanges)
        breaker.record_result(
            self.account,
            call.classification.health,
            at=at,
            by_switches=by_switch,
            card_id=None if call.never_arrived else job.card_id,
            error=call.refusal,
        )
        quota.apply_backoff(self.account, call.classification)

    def _may_ask(self, at: datetime) -> bool:
        """Whether questions may leave while the breaker is open; a probe that is due goes first."""
        return breaker.lets_questions(self.account) and not breaker.probe_is_due(self.account, at)

    def _closes_breaker(self, at: datetime) -> bool:
        """Whether a probe that is due now has closed the breaker.

        A probe only logs in and reads. Where a command waits, that one leaves alone, and its answer
        decides: an operator whose switches fail would take a whole queue down otherwise.
        """
        if self.calls or not breaker.probe_is_due(self.account, at):
            return False
        if quota.seconds_to_wait(self.account) > 0:
            return False
        result = probe(self.sessions[-1])
        if not result.alive:
            health = Health.BAD if result.was_asked else Health.NONE
            breaker.record_result(self.account, health, at=self.clock())
            return False
        paused = window_end(self.account.maintenance_windows, at) is not None
        command = None if paused else outbox.claim(account=self.account, at=at)
        if command is not None:
            breaker.questions_work(self.account)
            breaker.put_off_probe(self.account, at=at)
            self._start(command)
            return False
        breaker.record_result(self.account, Health.GOOD, at=self.clock(), by_switches=True)
        return True


def drain_account(
    *,
    account_id: int,
    clock: Callable[[], datetime],
    reading: bool = False,
    budget: float = BUDGET_SECONDS,
) -> tuple[int, int]:
    """Send and ask what is due for one account. Returns how many commands left and questions were asked.

    With `reading` also the list of changes and then the cards whose reading is due, in the quota's
    background share. Does nothing where another worker has the account, or it is switched off.
    """
    with hold_account(account_id) as ours:
        account = working_account(account_id, at=clock()) if ours else None
        if account is None:
            return 0, 0
        safety_brake.watch_restore(at=clock())
        sessions = _connect(account, clock())
        if not sessions:
            return 0, 0
        with ThreadPoolExecutor(len(sessions), thread_name_prefix="operator") as pool:
            ends_at = time.monotonic() + budget
            worker = AccountWorker(account, clock, pool, sessions, ends_at)
            if reading:
                worker.asked += change_feed.read_changes(sessions[0], clock, stop=worker.drain_due)
                worker.reading = True
            worker.run()
        return worker.sent, worker.asked


def _connect(account: OperatorAccount, at: datetime) -> list[OperatorSession]:
    """A session for each thread, before anything is claimed; none where the account cannot be used.

    Whatever an adapter raises for its account is a matter for staff, and strands no command.
    """
    try:
        sessions = [connect(account) for _ in range(account.concurrency)]
    except Exception:
        logger.exception("The contract %s cannot be used", account.code)
        alerts.raise_about(
            AlertKind.ACCOUNT_UNUSABLE,
            account.pk,
            text=f"{account.title}: договор настроен так, что позвонить оператору нельзя. Проверьте его поля.",
            at=at,
            link=f"/admin/operators/operatoraccount/{account.pk}/change/",
        )
        return []
    alerts.close_about(AlertKind.ACCOUNT_UNUSABLE, target_ids=[account.pk], by=SYSTEM, at=at)
    return sessions
