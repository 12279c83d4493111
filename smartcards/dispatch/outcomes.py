"""What an answer of the operator makes of a command and its card.

Every function expects the caller's transaction, the caller's lock on the command, and in `command.card` the
locked card.
"""

from datetime import datetime, timedelta

from cabinet.actors import Actor
from cabinet.enums import ActorKind
from cabinet.messaging import alerts
from operators import registry
from operators.classification import POLICIES, Outcome, classify
from operators.client.redaction import redacted
from operators.connections import CallOutcome
from operators.ports import (
    WANTED_STATE,
    Accepted,
    Action,
    Check,
    ErrorClass,
    OurCode,
    Reading,
    Rejected,
    SimState,
    StateQuality,
    SubmitResult,
    Unavailable,
    Unknown,
)
from smartcards import commands, queries
from smartcards.dispatch import state_sync
from smartcards.models import Command
from smartcards.rules import hold_reason
from smartcards.states import CommandState, OperatorState, StateSource
from smartcards.texts import ALREADY_SO, NO_ANSWER, OUTCOME_UNCLEAR, staff_advice, why_waits

_RESEND_FOR = timedelta(hours=24)
_RESEND_PAUSES = (5, 15, 60, 180, 300)
# A question without an answer is asked again after this, longer and longer.
_QUESTION_PAUSES = (15, 30, 60, 120, 300)
_MAX_QUESTIONS = 40
# With these a contract has no reading to confirm by.
_NO_READING = (ErrorClass.FORBIDDEN, ErrorClass.UNSUPPORTED)
# A request whose answer was lost may still run for so many times the operator's quiet time. Longer ones
# exist, but a till that stands still for an hour costs more than a request that is sent twice.
_MAY_STILL_RUN = 10


def exact(command: Command) -> bool:
    """Whether this operator's reading of a card settles what happened."""
    return (
        registry.capabilities(command.account.adapter, command.account.profile).state_quality
        is StateQuality.EXACT
    )


def wanted_state(command: Command) -> SimState:
    """How the operator has the card when the command is done."""
    return WANTED_STATE[Action(command.kind)]


def apply_submit(command: Command, call: CallOutcome[SubmitResult], *, at: datetime) -> None:
    """The answer to a command that has just been sent."""
    result, answer = call.result, call.classification
    if isinstance(result, Rejected) and answer.alert:
        _alert_staff(command, result, at)
    match answer.outcome:
        case Outcome.DONE:
            commands.finish_done(command, source=StateSource.REQUEST, at=at)
        case Outcome.ACCEPTED if isinstance(result, Accepted):
            _accepted(command, result, at)
        case Outcome.ALREADY:
            said = result.code if isinstance(result, Rejected) else ""
            _already(command, said, StateSource.REQUEST, at)
        case Outcome.RESEND | Outcome.FAILED if isinstance(result, Rejected):
            _rejected(command, result, answer.outcome, at)
        case _:
            _unknown(command, call, at)


def _accepted(command: Command, result: Accepted, at: datetime) -> None:
    command.request_id = result.request_id[:200]
    command.deadline_at = at + timedelta(seconds=command.account.deadline_seconds)
    if command.state == CommandState.CHECKING:
        # The answer came after the lease: now there is a number to ask by.
        command.save(update_fields=["request_id", "deadline_at"])
        return
    check_at = at + timedelta(seconds=result.retry_in or poll_pause(command, 0))
    commands.move(command, CommandState.ACCEPTED, at=at, check_at=check_at, error="", code="")


def _already(command: Command, code: str, source: StateSource, at: datetime) -> None:
    """«Already so» is a success after a confirming read, where the operator can be read.

    One that is being checked already keeps the time of its reading.
    """
    if not queries.can_be_read(command.account):
        commands.finish_done(command, source=source, at=at)
    elif command.state == CommandState.CHECKING:
        command.error, command.code = ErrorClass.ALREADY, code[:100]
        command.save(update_fields=["error", "code", "questions"])
    else:
        commands.move(
            command,
            CommandState.CHECKING,
            at=at,
            text=ALREADY_SO,
            already_so=True,
            check_at=at,
            error=ErrorClass.ALREADY,
            code=code[:100],
        )


def was_already_so(command: Command) -> bool:
    """Whether the operator has answered that the card is so already, and a reading is to confirm it."""
    return command.state == CommandState.CHECKING and command.error == ErrorClass.ALREADY


def _rejected(command: Command, result: Rejected, outcome: Outcome, at: datetime) -> None:
    """Nothing was done, surely: the same command goes again later where that may help."""
    resends = outcome is Outcome.RESEND and at < command.created_at + _RESEND_FOR
    if resends and command.state == CommandState.SENDING:
        _back_to_queue(command, result, at)
    else:
        _failed(command, ErrorClass(result.error), result.code, result.text, at)


def _back_to_queue(command: Command, result: Rejected, at: datetime) -> None:
    """Waiting for the quota is no attempt. The pauses grow with the attempts; an operator that asks for a
    longer one gets it.
    """
    waited_only = result.code == OurCode.QUOTA
    attempts = command.attempts - 1 if waited_only else command.attempts
    pause = float(_RESEND_PAUSES[min(max(attempts, 1), len(_RESEND_PAUSES)) - 1])
    if result.retry_after:
        pause = result.retry_after if waited_only else max(pause, result.retry_after)
    commands.move(
        command,
        CommandState.QUEUED,
        at=at,
        text=why_waits(result.error, result.code),
        attempts=attempts,
        due_at=at + timedelta(seconds=pause),
        error=result.error,
        code=result.code[:100],
    )


def _unknown(command: Command, call: CallOutcome[SubmitResult], at: datetime) -> None:
    result = call.result
    if command.state != CommandState.CHECKING:
        answered = bool(call.exchanges) and call.exchanges[-1].status is not None
        commands.ask_later(command, at=at, text=OUTCOME_UNCLEAR if answered else NO_ANSWER)
    # An error of an earlier try says nothing of this one.
    said = (
        result.code or result.text if isinstance(result, Rejected | Unknown | Unavailable) else ""
    )
    command.error, command.code = "", said[:100]
    command.save(update_fields=["error", "code"])


def _failed(command: Command, error: ErrorClass, code: str, text: str, at: datetime) -> None:
    card = command.card
    if error is ErrorClass.HELD_BY_OPERATOR:
        commands.confirm(
            card,
            OperatorState.HELD,
            source=StateSource.REQUEST,
            at=at,
            block_reason=hold_reason(card.block_reason),
            by=Actor(ActorKind.OPERATOR, card.account.title),
        )
    commands.finish_failed(command, error=error, code=code, text=text, at=at)


def _alert_staff(command: Command, refusal: Rejected | Check, at: datetime) -> None:
    error = ErrorClass(refusal.error or ErrorClass.INVALID)
    whole_account = POLICIES[error].whole_account
    advice = staff_advice(error, refusal.code, readable=queries.tells_state(command.account))
    about = f"account:{command.account_id}" if whole_account else f"card:{command.card_id}"
    text = f"{command.account}: отказ «{error}» {refusal.code}. {redacted(refusal.text)} {advice}"
    alerts.raise_alert(
        key=f"operator:{about}:{error}",
        text=text.strip(),
        at=at,
        merchant_id=None if whole_account else command.card.merchant_id,
        link=f"/admin/smartcards/command/{command.pk}/change/",
        can_wait=not whole_account,
    )


def poll_pause(command: Command, asked: int) -> float:
    """Seconds till the next question, by the account's plan; the last pause repeats."""
    plan = command.account.poll_plan or [30]
    return float(plan[min(asked, len(plan) - 1)])


def apply_check(command: Command, check: Check, *, at: datetime) -> None:
    """The answer to «what became of my request», by a question or by the operator's event."""
    command.questions += 1
    answer = classify(check)
    match answer.outcome:
        case Outcome.DONE if check.error is ErrorClass.ALREADY:
            _check_already(command, check, at)
        case Outcome.DONE:
            commands.finish_done(command, source=StateSource.POLL, at=at)
        case Outcome.FAILED:
            if answer.alert:
                _alert_staff(command, check, at)
            error = check.error or ErrorClass.INVALID
            _failed(command, error, check.code, check.text, at)
        case Outcome.PENDING:
            _pending(command, check.retry_in, at)
        case _:
            _lost(command, at)


def _check_already(command: Command, check: Check, at: datetime) -> None:
    """A request that ended with «so already»; what names the other state than was asked for is a refusal."""
    if check.sim_state not in (None, wanted_state(command)):
        _failed(command, ErrorClass.INVALID, check.code, check.text, at)
    else:
        _already(command, check.code, StateSource.POLL, at)


def _pending(command: Command, retry_in: float | None, at: datetime) -> None:
    """Wait by the plan, and as long as the operator asks; at the deadline read the card where that is
    possible, else tell staff later.
    """
    if command.state == CommandState.ACCEPTED and command.deadline_at and at >= command.deadline_at:
        _deadline_passed(command, at)
        return
    pause = max(poll_pause(command, command.questions), retry_in or 0)
    command.check_at = at + timedelta(seconds=pause)
    if command.deadline_at is not None and command.deadline_at > at:
        command.check_at = min(command.check_at, command.deadline_at)
    # It is found after all.
    command.not_found_at = None
    command.save(update_fields=["check_at", "not_found_at", "questions"])
    _give_up_if_asked_enough(command, at)


def _deadline_passed(command: Command, at: datetime) -> None:
    """The time to wait for an accepted request is over: from now on the card itself is asked about."""
    commands.move(
        command,
        CommandState.CHECKING,
        at=at,
        text="Оператор отвечает дольше обычного, уточняем",
        check_at=at,
    )


def apply_no_answer(command: Command, trouble: Unavailable, *, at: datetime) -> None:
    """A question about a command was not answered. Waiting for our own turn counts as no question."""
    command.questions += 0 if trouble.code == OurCode.QUOTA else 1
    if was_already_so(command) and not exact(command) and trouble.error in _NO_READING:
        commands.finish_done(command, source=StateSource.POLL, at=at)
    elif (
        command.state == CommandState.ACCEPTED and command.deadline_at and at >= command.deadline_at
    ):
        _deadline_passed(command, at)
    else:
        ask_again(command, at=at, retry_after=trouble.retry_after)


def _lost(command: Command, at: datetime) -> None:
    """The operator knows no such request: one «no» is no proof, a second after the quiet time is.

    Then one that was accepted is left to staff, and one whose answer we never got did not arrive and may be
    sent anew. Whoever asks earlier neither shortens that time nor begins it again.
    """
    command.not_found_at = command.not_found_at or at
    believed_at = command.not_found_at + timedelta(seconds=command.account.quiet_seconds)
    if command.state == CommandState.ACCEPTED:
        text = "Оператор не находит запрос, уточняем"
        commands.move(command, CommandState.CHECKING, at=at, text=text, check_at=believed_at)
    elif at < believed_at:
        command.check_at = believed_at
        command.save(update_fields=["not_found_at", "check_at", "questions"])
    elif command.request_id:
        # It was accepted once, so «not found» is no proof that nothing was done.
        commands.hand_to_staff(command, at=at, text="Оператор принял запрос, а потом его не нашёл")
    else:
        commands.finish_failed(command, error=ErrorClass.TRANSIENT, code="lost", at=at)


def apply_reading(command: Command, reading: Reading, *, at: datetime) -> None:
    """The card's state read after an unknown outcome decides it.

    Where only weak readings are to be had, one that shows what was wanted is taken: nobody else tells. After
    «already so» a weak one that says nothing contradicts nothing.
    """
    command.questions += 1
    state_sync.record_reading(command.card, reading, at=at)
    if reading.state == wanted_state(command):
        commands.finish_done(command, source=StateSource.READING, at=at)
    elif reading.state == SimState.UNKNOWN and was_already_so(command) and not exact(command):
        commands.finish_done(command, source=StateSource.POLL, at=at)
    elif reading.state == SimState.UNKNOWN:
        ask_again(command, at=at)
    elif command.card.confirmed == OperatorState.HELD:
        commands.finish_failed(command, error=ErrorClass.HELD_BY_OPERATOR, at=at)
    else:
        _as_before(command, at)


def _as_before(command: Command, at: datetime) -> None:
    """The card is read in its old state: not done, or not done yet.

    An operator that queues requests may still be working on the one whose answer was lost, so it is
    believed only when the time for that is over and two readings agree. A weak reading never proves it, except
    against an «already so».
    """
    if was_already_so(command) and not exact(command):
        commands.finish_failed(command, error=ErrorClass.TRANSIENT, code="not_done", at=at)
        return
    if not exact(command):
        ask_again(command, at=at)
        return
    believed_at = _believed_at(command)
    if believed_at is None or (at >= believed_at and command.unchanged_at is not None):
        commands.finish_failed(command, error=ErrorClass.TRANSIENT, code="not_done", at=at)
        return
    if at < believed_at:
        waited = at - (command.sent_at or command.created_at)
        # By the plan of questions, and longer and longer the longer the operator may take.
        pause = max(timedelta(seconds=_question_pause(command)), waited / 4)
        command.check_at = min(believed_at, at + pause)
    else:
        command.check_at = at + timedelta(seconds=command.account.quiet_seconds)
    command.unchanged_at = at
    command.save(update_fields=["unchanged_at", "check_at", "questions"])


def _believed_at(command: Command) -> datetime | None:
    """When an unchanged card proves that nothing was done; None: at once."""
    account = command.account
    capabilities = registry.capabilities(account.adapter, account.profile)
    if not capabilities.asynchronous:
        return None
    sent_at = command.sent_at or command.created_at
    longest = min(_MAY_STILL_RUN * account.quiet_seconds, account.deadline_seconds)
    return sent_at + timedelta(seconds=longest)


def ask_again(command: Command, *, at: datetime, retry_after: float | None = None) -> None:
    """The question had no answer: ask again later, and after many times let staff decide."""
    pause = retry_after or _question_pause(command)
    command.check_at = at + timedelta(seconds=pause)
    command.save(update_fields=["check_at", "questions"])
    _give_up_if_asked_enough(command, at)


def _question_pause(command: Command) -> float:
    return _QUESTION_PAUSES[min(command.questions, len(_QUESTION_PAUSES) - 1)]


def _give_up_if_asked_enough(command: Command, at: datetime) -> None:
    asked_enough = command.questions >= _MAX_QUESTIONS or (
        command.deadline_at is not None and at >= command.deadline_at + timedelta(hours=24)
    )
    if command.state == CommandState.CHECKING and asked_enough:
        commands.hand_to_staff(command, at=at, text="Оператор так и не сообщил исход")
