"""Checks an operator's test stand against the contract, point by point.

Through the port only, so it serves every protocol. It makes real calls, and real switches where it
is allowed to, each in its turn of the contract's quota. Its exchanges go to the log like all others,
about the card of the check; nothing else is written, and its access tokens are its own.
"""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import chain
from typing import TypeVar
from uuid import uuid4

from django.db.models import Q

from cabinet import clock
from operators import registry
from operators.conformance.report import (
    Failed,
    Plan,
    PointOutcome,
    PointReport,
    Skipped,
    expected,
    run_point,
)
from operators.conformance.session import ConformanceSession, RetryTracker
from operators.limits.account_lock import beside_worker
from operators.limits.quota import QuotaAway, note_call, seconds_to_wait
from operators.models import Callback, OperatorAccount
from operators.ports import (
    WANTED_STATE,
    Accepted,
    Action,
    Already,
    Check,
    CheckState,
    ErrorClass,
    Reading,
    Rejected,
    Sim,
    SimState,
    StateQuality,
    SubmitResult,
    Unavailable,
    Unknown,
)

# Digits that no operator gives away: 7-0-99 is no mobile network of any country.
UNKNOWN_SIM = Sim(iccid="89709900000000000001", msisdn="70990000001")
_OTHER = {Action.ACTIVATE: Action.DEACTIVATE, Action.DEACTIVATE: Action.ACTIVATE}
_TITLES = {Action.ACTIVATE: "Включение", Action.DEACTIVATE: "Отключение"}
# The points that prove that the stand switches.
SWITCHES = frozenset(_TITLES.values())

# A worker gives the lock back after a minute and its last call.
_LOCK_PATIENCE = 120.0

T = TypeVar("T")


def run_checks(account: OperatorAccount, plan: Plan) -> Iterator[PointReport]:
    """The results of the points, each as soon as it is known. Calls the operator.

    With `plan.allow_switch` the card is switched and switched back; whatever fails on the way, the
    last switch is the one back to the state found. Raises what the registry raises for a protocol
    that is not there.
    """
    return _StandCheck(account, plan).reports()


class _StandCheck:
    def __init__(self, account: OperatorAccount, plan: Plan) -> None:
        self._account, self._plan = account, plan
        self._described = registry.capabilities(account.adapter, account.profile)
        self._session = ConformanceSession(account, plan.sim)
        self._recorder, self._operator = self._session.connected(account.credentials)
        self._retries = RetryTracker()
        self._began_at = clock.now()
        # The key of the switch away, and what each switch was answered, by its key.
        self._key = str(uuid4())
        self._answers: dict[str, SubmitResult] = {}
        self._first: SimState | None = None

    def reports(self) -> Iterator[PointReport]:
        """Each result after its exchanges are in the log, so that staff can look why at once."""
        for report in self._points():
            self._session.keep()
            yield report

    def _points(self) -> Iterator[PointReport]:
        yield run_point("Вход с ключами договора", self._log_in)
        yield run_point("Смарт-карта находится, состояние понятно", self._read)
        yield run_point("Незнакомая смарт-карта: понятный отказ", self._read_unknown_card)
        yield run_point("Неверный ключ: отказ во входе", self._log_in_with_wrong_keys)
        yield from self._switching()
        yield run_point("Retry-After: пауза помогает", self._check_pauses)
        yield run_point("Уведомление пришло", self._await_callback)

    def _with_retries(self, ask: Callable[[], T]) -> T:
        """The answer, after the pauses that the operator asks for. Raises `Unavailable`."""
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self._single_call(ask)
            except Unavailable as trouble:
                if not self._retries.wait(trouble, attempt):
                    raise
            else:
                if not isinstance(answer, Rejected) or not self._retries.wait(answer, attempt):
                    return answer

    def _single_call(self, ask: Callable[[], T]) -> T:
        """One question, with the time of the call noted before.

        Where the operator takes one call at a time, its lock is taken for one question only and not for the
        whole check, because commands wait for it. Raises `Failed` where the lock is not free in time.
        """
        with beside_worker(self._account, patience=_LOCK_PATIENCE) as ours:
            if not ours:
                raise Failed("оператор принимает один вызов за раз, и ему всё время уходят команды")
            note_call(self._account)
            return ask()

    # --- questions --------------------------------------------------------------------------------

    def _log_in(self) -> str:
        try:
            # A counter of calls that was lost rests first, as it does for the workers.
            time.sleep(seconds_to_wait(self._account))
        except QuotaAway as away:
            raise Failed("счётчик вызовов (Redis) не отвечает") from away
        return self._with_retries(self._operator.ping)

    def _read(self) -> str:
        self._need_readable()
        reading = self._reading()
        if reading.state is SimState.UNKNOWN and not self._is_weak():
            raise Failed(f"состояние «{reading.raw}» незнакомо")
        self._first = reading.state
        if reading.state is SimState.UNKNOWN:
            # Weak readings tell of blocks only: without one the card works.
            self._first = SimState.ACTIVE
            return "о блокировках оператор не сообщает, считаем, что работает"
        reason = f", причина {reading.reason}" if reading.reason else ""
        return f"{reading.state}{reason}"

    def _reading(self) -> Reading:
        return self._with_retries(lambda: self._operator.read_state(sim=self._plan.sim))

    def _is_weak(self) -> bool:
        return self._described.state_quality is StateQuality.WEAK

    def _shows(self, goal: SimState) -> bool:
        """Whether the card is read so; a weak reading may also say nothing."""
        state = self._reading().state
        return state is goal or (self._is_weak() and state is SimState.UNKNOWN)

    def _need_readable(self) -> None:
        if self._described.state_quality is StateQuality.NONE:
            raise Skipped("протокол не умеет читать состояние")

    def _read_unknown_card(self) -> str:
        self._need_readable()
        try:
            reading = self._with_retries(lambda: self._operator.read_state(sim=UNKNOWN_SIM))
        except Unavailable as refused:
            return expected(refused, {ErrorClass.NOT_FOUND, ErrorClass.INVALID})
        raise Failed(f"оператор знает смарт-карту, которой нет: «{reading.raw}»")

    def _log_in_with_wrong_keys(self) -> str:
        secret = {one.name for one in self._described.credentials if one.secret}
        wrong = {
            name: f"wrong-{uuid4().hex}" if name in secret and value else value
            for name, value in self._account.credentials.items()
        }
        if wrong == self._account.credentials:
            raise Skipped("в договоре нет секретных ключей")
        _, intruder = self._session.connected(wrong)
        try:
            self._with_retries(intruder.ping)
        except Unavailable as refused:
            return expected(refused, {ErrorClass.AUTH, ErrorClass.FORBIDDEN})
        raise Failed("оператор пускает с любым ключом")

    # --- switches ---------------------------------------------------------------------------------

    def _switching(self) -> Iterator[PointReport]:
        titles = ("Переключение", "Немедленный повтор", "Возврат в прежнее состояние",
                  "Поздний повтор с тем же ключом")  # fmt: skip
        refusal = self._why_not_switch()
        if refusal:
            yield from (PointReport(title, PointOutcome.SKIPPED, refusal) for title in titles)
            return
        away = Action.DEACTIVATE if self._first is SimState.ACTIVE else Action.ACTIVATE
        yield run_point(_TITLES[away], lambda: self._switch(away, self._key))
        yield run_point(titles[1], lambda: self._repeat_at_once(away))
        back = run_point(titles[2], lambda: self._switch_back(_OTHER[away]))
        yield back
        yield run_point(titles[3], lambda: self._repeat_late(away, back.outcome))

    def _why_not_switch(self) -> str:
        if not self._plan.allow_switch:
            return "не разрешено (--allow-switch)"
        if self._first not in (SimState.ACTIVE, SimState.INACTIVE):
            return "смарт-карта должна быть включена или отключена по нашей просьбе"
        return ""

    def _switch(self, action: Action, key: str) -> str:
        """One switch to its end."""
        started, at = time.monotonic(), clock.now()
        answer = self._submit(action, key)
        self._answers[key] = answer
        ends_at = started + self._plan.deadline
        match answer:
            case Accepted(request_id=request_id):
                self._follow(request_id, answer.retry_in, at, ends_at)
            case Rejected(text=text, code=code):
                raise Failed(f"отказ {code}: {text}")
            case Unknown(text=text):
                raise Failed(f"исход неизвестен: {text}")
        self._reach(WANTED_STATE[action], ends_at)
        return f"за {time.monotonic() - started:.1f} с"

    def _switch_back(self, action: Action) -> str:
        """The state found before. «So it is already» is no end while the switch away may still come."""
        ended, key = self._wait_for_end(_OTHER[action]), str(uuid4())
        note = self._switch(action, key)
        if not ended and isinstance(self._answers[key], Already):
            raise Failed("встречный запрос у оператора ещё идёт и может переключить смарт-карту")
        return note

    def _wait_for_end(self, away: Action) -> bool:
        """Wait until the switch away has ended one way or the other; whether it has."""
        answer = self._answers.get(self._key)
        if answer is None or isinstance(answer, Rejected):
            return True
        if isinstance(answer, Accepted):
            longest = max(self._plan.deadline, self._account.deadline_seconds)
            number = answer.request_id
            return _wait_until(
                lambda: self._check(number, self._began_at).state is not CheckState.PENDING,
                time.monotonic() + longest,
            )
        self._await(WANTED_STATE[away], time.monotonic() + self._plan.deadline)
        # What had no number and does not show by now was not done.
        return True

    def _submit(self, action: Action, key: str) -> SubmitResult:
        sim = self._plan.sim
        return self._with_retries(
            lambda: self._operator.submit(action=action, sim=sim, key=key, at=clock.now())
        )

    def _follow(
        self, request_id: str, pause: float | None, submitted_at: datetime, ends_at: float
    ) -> Check:
        """Ask by the account's plan until the request has ended. Raises `Failed`."""
        pauses = chain([] if pause is None else [pause], self._account.poll_plan or [5])
        while (left := ends_at - time.monotonic()) > 0:
            pause = next(pauses, pause) or 1
            # The last question is asked at the deadline, however far the plan's next one is.
            time.sleep(min(pause, left))
            check = self._check(request_id, submitted_at)
            if check.state is CheckState.COMPLETED:
                return check
            if check.state is not CheckState.PENDING:
                raise Failed(f"запрос: {check.state} {check.code} {check.text}".strip())
        raise Failed(f"за {self._plan.deadline:.0f} с запрос не закончен")

    def _check(self, request_id: str, submitted_at: datetime) -> Check:
        sim = self._plan.sim
        return self._with_retries(
            lambda: self._operator.check(
                request_id=request_id, sim=sim, submitted_at=submitted_at, at=clock.now()
            )
        )

    def _reach(self, goal: SimState, ends_at: float) -> None:
        """The state itself shows it, sooner or later. Raises `Failed`."""
        if not self._await(goal, ends_at):
            raise Failed(f"оператор ответил «сделано», а состояние не {goal}")

    def _await(self, goal: SimState, ends_at: float) -> bool:
        return _wait_until(lambda: self._shows(goal), ends_at)

    def _repeat_at_once(self, action: Action) -> str:
        """The same request again: the operator answers that it is so already, or the same number as before."""
        first = self._first_answer()
        answer, at = self._submit(action, self._key), clock.now()
        note = self._check_repeat(answer, first, at)
        self._reach(WANTED_STATE[action], time.monotonic())
        return note

    def _check_repeat(self, answer: SubmitResult, first: SubmitResult, at: datetime) -> str:
        """The note of a repeat that changed nothing. Raises `Failed`."""
        if isinstance(answer, Accepted):
            same = _same(first, answer.request_id)
            return "тот же номер запроса" if same else self._ends_as_already(answer.request_id, at)
        if isinstance(answer, Unknown) or (
            isinstance(answer, Rejected) and answer.error is not ErrorClass.ALREADY
        ):
            raise Failed(f"ответ на повтор: {answer.code} {answer.text}".strip())
        return "так уже и было"

    def _ends_as_already(self, request_id: str, at: datetime) -> str:
        check = self._follow(request_id, None, at, time.monotonic() + self._plan.deadline)
        if check.error is not ErrorClass.ALREADY:
            raise Failed("повтор выполнен как второй запрос")
        return "второй запрос закончился словом «так уже и было»"

    def _repeat_late(self, action: Action, back: PointOutcome) -> str:
        """After the switch back the first key must not switch the card again."""
        first = self._first_answer()
        # Asked after that: a switch that was refused before it left says nothing of the protocol.
        if not self._recorder.has_sent(self._key):
            raise Skipped("протокол не передаёт ключ повтора")
        if back is not PointOutcome.PASSED:
            raise Skipped("прежнее состояние не возвращено")
        answer, at = self._submit(action, self._key), clock.now()
        if isinstance(answer, Accepted) and not _same(first, answer.request_id):
            self._follow(answer.request_id, None, at, time.monotonic() + self._plan.deadline)
        if self._shows(WANTED_STATE[_OTHER[action]]):
            return "состояние прежнее"
        self._switch(_OTHER[action], str(uuid4()))
        raise Failed("повтор сработал второй раз; прежнее состояние возвращено")

    def _first_answer(self) -> SubmitResult:
        """What the switch away was answered. One that was refused may be made anew with its key: `Skipped`."""
        answer = self._answers.get(self._key)
        if answer is None or isinstance(answer, Rejected):
            raise Skipped("первый запрос не принят")
        return answer

    # --- what was seen on the way -----------------------------------------------------------------

    def _check_pauses(self) -> str:
        if self._retries.problems:
            raise Failed("; ".join(self._retries.problems))
        if not self._retries.waited:
            raise Skipped("оператор ни разу не просил подождать")
        return f"ждали {self._retries.waited:.0f} с"

    def _await_callback(self) -> str:
        if not self._plan.callback_wait:
            raise Skipped("не ждали (--callback-wait)")
        ends_at = time.monotonic() + self._plan.callback_wait
        numbers = [one.request_id for one in self._answers.values() if isinstance(one, Accepted)]
        ours = Q(iccid=self._plan.sim.iccid) | Q(request_id__in=numbers, request_id__gt="")
        rows = Callback.objects.filter(ours, account=self._account, received_at__gte=self._began_at)
        if not _wait_until(rows.exists, ends_at):
            raise Failed(f"за {self._plan.callback_wait:.0f} с ни одного")
        return ", ".join(sorted(set(rows.values_list("event_type", flat=True))))


def _wait_until(is_so: Callable[[], bool], ends_at: float) -> bool:
    """Whether it became so by `ends_at` of the monotonic clock."""
    while not is_so():
        if time.monotonic() >= ends_at:
            return False
        time.sleep(0.3)
    return True


def _same(answer: SubmitResult, request_id: str) -> bool:
    return isinstance(answer, Accepted) and answer.request_id == request_id
