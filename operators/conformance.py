"""Walks an operator's stand through the contract and says, line by line, what passes.

Through the port only, so it serves every protocol. It makes real calls, and real switches where it
is allowed to, each in its turn of the contract's quota. Its exchanges go to the log like all others,
about the card that is walked; nothing else is written, and it keeps its tokens to itself.
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
from operators.lanes import beside_the_line
from operators.models import Callback, OperatorAccount
from operators.points import Broken, Skip, expected, tried
from operators.points import Line as Line
from operators.points import Plan as Plan
from operators.points import Verdict as Verdict
from operators.ports import (
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
from operators.quota import QuotaAway, note_call, seconds_to_wait
from operators.witness import Pauses, Wire

# Digits that no operator gives away: 7-0-99 is no mobile network of any country.
STRANGER = Sim(iccid="89709900000000000001", msisdn="70990000001")
_GOAL = {Action.ACTIVATE: SimState.ACTIVE, Action.DEACTIVATE: SimState.INACTIVE}
_OTHER = {Action.ACTIVATE: Action.DEACTIVATE, Action.DEACTIVATE: Action.ACTIVATE}
_WORDS = {Action.ACTIVATE: "Включение", Action.DEACTIVATE: "Отключение"}

# A line gives the operator's only place back after a minute and its last call.
_LANE_PATIENCE = 120.0

T = TypeVar("T")


def walk(account: OperatorAccount, plan: Plan) -> Iterator[Line]:
    """The lines of the table, each as soon as it is known.

    With `plan.allow_switch` the card is switched and switched back; whatever fails on the way, the
    last switch is the one back to the state found. Raises what the registry raises for a protocol
    that is not there.
    """
    return _Walk(account, plan).lines()


class _Walk:
    def __init__(self, account: OperatorAccount, plan: Plan) -> None:
        self._account, self._plan = account, plan
        self._described = registry.capabilities(account.adapter, account.profile)
        self._wire = Wire(account, plan.sim, self._described)
        self._ear, self._operator = self._wire.connected(account.credentials)
        self._pauses = Pauses()
        self._began_at = clock.now()
        self._numbers: list[str] = []
        self._first: SimState | None = None

    def lines(self) -> Iterator[Line]:
        """Each line when its exchanges are in the log: whoever reads «нет» may look why at once."""
        for line in self._points():
            self._wire.keep()
            yield line

    def _points(self) -> Iterator[Line]:
        yield tried("Вход с ключами договора", self._log_in)
        yield tried("Смарт-карта находится, состояние понятно", self._read)
        yield tried("Незнакомая смарт-карта: понятный отказ", self._ask_about_stranger)
        yield tried("Неверный ключ: отказ во входе", self._come_with_wrong_keys)
        yield from self._switching()
        yield tried("Retry-After: пауза помогает", self._judge_pauses)
        yield tried("Уведомление пришло", self._await_callback)

    def _patiently(self, ask: Callable[[], T]) -> T:
        """The answer, after the pauses that the operator asks for. Raises `Unavailable`."""
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self._alone(ask)
            except Unavailable as trouble:
                if not self._pauses.wait(trouble, attempt):
                    raise
            else:
                if not isinstance(answer, Rejected) or not self._pauses.wait(answer, attempt):
                    return answer

    def _alone(self, ask: Callable[[], T]) -> T:
        """One question, told beforehand to whoever counts calls.

        Where the operator takes one call at a time it is asked between two stretches of the workers'
        line, and not for the whole walk: people's commands wait there. Raises `Broken` without a turn.
        """
        with beside_the_line(self._account, patience=_LANE_PATIENCE) as ours:
            if not ours:
                raise Broken("оператор принимает один вызов за раз, и ему всё время уходят команды")
            note_call(self._account)
            return ask()

    # --- questions --------------------------------------------------------------------------------

    def _log_in(self) -> str:
        try:
            # A counter of calls that was lost rests first, as it does for the workers.
            time.sleep(seconds_to_wait(self._account))
        except QuotaAway as away:
            raise Broken("счётчик вызовов (Redis) не отвечает") from away
        return self._patiently(self._operator.ping)

    def _read(self) -> str:
        self._need_readable()
        reading = self._reading()
        if reading.state is SimState.UNKNOWN and not self._is_weak():
            raise Broken(f"состояние «{reading.raw}» незнакомо")
        self._first = reading.state
        if reading.state is SimState.UNKNOWN:
            # Weak readings tell of blocks only: without one the card works.
            self._first = SimState.ACTIVE
            return "о блокировках оператор не сообщает, считаем, что работает"
        reason = f", причина {reading.reason}" if reading.reason else ""
        return f"{reading.state}{reason}"

    def _reading(self) -> Reading:
        return self._patiently(lambda: self._operator.read_state(sim=self._plan.sim))

    def _is_weak(self) -> bool:
        return self._described.state_quality is StateQuality.WEAK

    def _shows(self, goal: SimState) -> bool:
        """Whether the card is read so; a weak reading may also say nothing."""
        state = self._reading().state
        return state is goal or (self._is_weak() and state is SimState.UNKNOWN)

    def _need_readable(self) -> None:
        if self._described.state_quality is StateQuality.NONE:
            raise Skip("протокол не умеет читать состояние")

    def _ask_about_stranger(self) -> str:
        self._need_readable()
        try:
            reading = self._patiently(lambda: self._operator.read_state(sim=STRANGER))
        except Unavailable as refused:
            return expected(refused, {ErrorClass.NOT_FOUND, ErrorClass.INVALID})
        raise Broken(f"оператор знает смарт-карту, которой нет: «{reading.raw}»")

    def _come_with_wrong_keys(self) -> str:
        secret = {one.name for one in self._described.credentials if one.secret}
        wrong = {
            name: f"wrong-{uuid4().hex}" if name in secret and value else value
            for name, value in self._account.credentials.items()
        }
        if wrong == self._account.credentials:
            raise Skip("в договоре нет секретных ключей")
        _, stranger = self._wire.connected(wrong)
        try:
            self._patiently(stranger.ping)
        except Unavailable as refused:
            return expected(refused, {ErrorClass.AUTH, ErrorClass.FORBIDDEN})
        raise Broken("оператор пускает с любым ключом")

    # --- switches ---------------------------------------------------------------------------------

    def _switching(self) -> Iterator[Line]:
        titles = ("Переключение", "Немедленный повтор", "Возврат в прежнее состояние",
                  "Поздний повтор с тем же ключом")  # fmt: skip
        refusal = self._why_not_switch()
        if refusal:
            yield from (Line(title, Verdict.SKIPPED, refusal) for title in titles)
            return
        away = Action.DEACTIVATE if self._first is SimState.ACTIVE else Action.ACTIVATE
        key = str(uuid4())
        answers: list[SubmitResult] = []
        yield tried(_WORDS[away], lambda: self._switch(away, key, answers))
        yield tried(titles[1], lambda: self._repeat_at_once(away, key, answers))
        back = tried(titles[2], lambda: self._switch_back(_OTHER[away], answers))
        yield back
        yield tried(titles[3], lambda: self._repeat_late(away, key, answers, back.verdict))

    def _why_not_switch(self) -> str:
        if not self._plan.allow_switch:
            return "не разрешено (--allow-switch)"
        if self._first not in (SimState.ACTIVE, SimState.INACTIVE):
            return "смарт-карта должна быть включена или отключена по нашей просьбе"
        return ""

    def _switch(self, action: Action, key: str, answers: list[SubmitResult]) -> str:
        """One switch to its end. The answer is kept in `answers`."""
        started, at = time.monotonic(), clock.now()
        answer = self._submit(action, key)
        answers.append(answer)
        ends_at = started + self._plan.deadline
        match answer:
            case Accepted(request_id=request_id):
                self._numbers.append(request_id)
                self._follow(request_id, answer.retry_in, at, ends_at)
            case Rejected(text=text, code=code):
                raise Broken(f"отказ {code}: {text}")
            case Unknown(text=text):
                raise Broken(f"исход неизвестен: {text}")
        self._reach(_GOAL[action], ends_at)
        return f"за {time.monotonic() - started:.1f} с"

    def _switch_back(self, action: Action, answers: list[SubmitResult]) -> str:
        """The state found before. «So it is already» is no end while the switch away may still come."""
        ended = self._outlive(_OTHER[action], answers)
        back: list[SubmitResult] = []
        note = self._switch(action, str(uuid4()), back)
        if not ended and isinstance(back[0], Already):
            raise Broken("встречный запрос у оператора ещё идёт и может переключить смарт-карту")
        return note

    def _outlive(self, away: Action, answers: list[SubmitResult]) -> bool:
        """Wait until the switch away has ended one way or the other; whether it has."""
        if not answers or isinstance(answers[0], Rejected):
            return True
        ends_at = time.monotonic() + max(self._plan.deadline, self._account.deadline_seconds)
        if isinstance(answers[0], Accepted):
            return self._has_ended(answers[0].request_id, ends_at)
        self._await(_GOAL[away], time.monotonic() + self._plan.deadline)
        # What had no number and does not show by now was not done.
        return True

    def _has_ended(self, request_id: str, ends_at: float) -> bool:
        while self._check(request_id, self._began_at).state is CheckState.PENDING:
            if time.monotonic() >= ends_at:
                return False
            time.sleep(0.5)
        return True

    def _submit(self, action: Action, key: str) -> SubmitResult:
        sim = self._plan.sim
        return self._patiently(
            lambda: self._operator.submit(action=action, sim=sim, key=key, at=clock.now())
        )

    def _follow(
        self, request_id: str, pause: float | None, submitted_at: datetime, ends_at: float
    ) -> Check:
        """Ask by the account's plan until the request has ended. Raises `Broken`."""
        pauses = chain([] if pause is None else [pause], self._account.poll_plan or [5])
        while (left := ends_at - time.monotonic()) > 0:
            pause = next(pauses, pause) or 1
            # The last question is asked at the deadline, however far the plan's next one is.
            time.sleep(min(pause, left))
            check = self._check(request_id, submitted_at)
            if check.state is CheckState.COMPLETED:
                return check
            if check.state is not CheckState.PENDING:
                raise Broken(f"запрос: {check.state} {check.code} {check.text}".strip())
        raise Broken(f"за {self._plan.deadline:.0f} с запрос не закончен")

    def _check(self, request_id: str, submitted_at: datetime) -> Check:
        sim = self._plan.sim
        return self._patiently(
            lambda: self._operator.check(
                request_id=request_id, sim=sim, submitted_at=submitted_at, at=clock.now()
            )
        )

    def _reach(self, goal: SimState, ends_at: float) -> None:
        """The state itself shows it, sooner or later. Raises `Broken`."""
        if not self._await(goal, ends_at):
            raise Broken(f"оператор ответил «сделано», а состояние не {goal}")

    def _await(self, goal: SimState, ends_at: float) -> bool:
        while not self._shows(goal):
            if time.monotonic() >= ends_at:
                return False
            time.sleep(0.5)
        return True

    def _repeat_at_once(self, action: Action, key: str, answers: list[SubmitResult]) -> str:
        """The same request again: the operator says that it is so, or the same number as before."""
        _need_taken(answers)
        answer, at = self._submit(action, key), clock.now()
        note = self._judge_repeat(answer, answers[0], at)
        self._reach(_GOAL[action], time.monotonic())
        return note

    def _judge_repeat(self, answer: SubmitResult, first: SubmitResult, at: datetime) -> str:
        """The note of a repeat that changed nothing. Raises `Broken`."""
        if isinstance(answer, Accepted):
            same = _same(first, answer.request_id)
            return "тот же номер запроса" if same else self._ends_as_already(answer.request_id, at)
        if isinstance(answer, Unknown) or (
            isinstance(answer, Rejected) and answer.error is not ErrorClass.ALREADY
        ):
            raise Broken(f"ответ на повтор: {answer.code} {answer.text}".strip())
        return "так уже и было"

    def _ends_as_already(self, request_id: str, at: datetime) -> str:
        check = self._follow(request_id, None, at, time.monotonic() + self._plan.deadline)
        if check.error is not ErrorClass.ALREADY:
            raise Broken("повтор выполнен как второй запрос")
        return "второй запрос закончился словом «так уже и было»"

    def _repeat_late(
        self, action: Action, key: str, answers: list[SubmitResult], back: Verdict
    ) -> str:
        """After the switch back the first key must not switch the card again."""
        _need_taken(answers)
        # Asked after that: a switch that was refused before it left says nothing of the protocol.
        if not self._ear.heard(key):
            raise Skip("протокол не передаёт ключ повтора")
        if back is not Verdict.PASSED:
            raise Skip("прежнее состояние не возвращено")
        answer, at = self._submit(action, key), clock.now()
        if isinstance(answer, Accepted) and not _same(answers[0], answer.request_id):
            self._follow(answer.request_id, None, at, time.monotonic() + self._plan.deadline)
        if self._shows(_GOAL[_OTHER[action]]):
            return "состояние прежнее"
        self._switch(_OTHER[action], str(uuid4()), [])
        raise Broken("повтор сработал второй раз; прежнее состояние возвращено")

    # --- what was seen on the way -----------------------------------------------------------------

    def _judge_pauses(self) -> str:
        if self._pauses.troubles:
            raise Broken("; ".join(self._pauses.troubles))
        if not self._pauses.waited:
            raise Skip("оператор ни разу не просил подождать")
        return f"ждали {self._pauses.waited:.0f} с"

    def _await_callback(self) -> str:
        if not self._plan.callback_wait:
            raise Skip("не ждали (--callback-wait)")
        ends_at = time.monotonic() + self._plan.callback_wait
        ours = Q(iccid=self._plan.sim.iccid) | Q(request_id__in=self._numbers, request_id__gt="")
        rows = Callback.objects.filter(ours, account=self._account, received_at__gte=self._began_at)
        while not rows.exists():
            if time.monotonic() >= ends_at:
                raise Broken(f"за {self._plan.callback_wait:.0f} с ни одного")
            time.sleep(0.2)
        return ", ".join(sorted(set(rows.values_list("event_type", flat=True))))


def _need_taken(answers: list[SubmitResult]) -> None:
    """A request that was refused may be made anew with its key. Raises `Skip`."""
    if not answers or isinstance(answers[0], Rejected):
        raise Skip("первый запрос не принят")


def _same(answer: SubmitResult, request_id: str) -> bool:
    return isinstance(answer, Accepted) and answer.request_id == request_id
