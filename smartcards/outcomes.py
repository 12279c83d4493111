"""What follows from an operator's words: an answer to a command, to a question, to a reading.

Every function expects the caller's transaction and the caller's locks on card and command.
"""

from datetime import datetime, timedelta

from cabinet import alerts
from cabinet.actors import operator
from operators import registry
from operators.nameless import nameless
from operators.ports import (
    OUR_QUOTA,
    Accepted,
    Already,
    Applied,
    Check,
    CheckState,
    ErrorClass,
    Reading,
    Rejected,
    SimState,
    StateQuality,
    SubmitResult,
    Unavailable,
    Unknown,
)
from smartcards import commands, queries, readings
from smartcards.models import Command, SmartCard
from smartcards.phrases import ALREADY_SO, staff_advice, why_waits
from smartcards.rules import hold_reason
from smartcards.states import CommandKind, CommandState, Confirmed, Told

# The request surely did nothing, so it may be sent again by itself.
RESENT = frozenset(
    {
        ErrorClass.RATE_LIMITED,
        ErrorClass.TRANSIENT,
        ErrorClass.MAINTENANCE,
        ErrorClass.CONFLICT_PENDING,
        ErrorClass.AUTH,
    }
)
# What only staff can mend.
_STAFF = frozenset(
    {
        ErrorClass.AUTH,
        ErrorClass.CONFIGURATION,
        ErrorClass.FORBIDDEN,
        ErrorClass.HELD_BY_OPERATOR,
        ErrorClass.NOT_FOUND,
        ErrorClass.INVALID,
        ErrorClass.UNSUPPORTED,
    }
)
_RESEND_FOR = timedelta(hours=24)
_RESEND_PAUSES = (5, 15, 60, 180, 300)
# A question without an answer is asked again after this, longer and longer.
_QUESTION_PAUSES = (15, 30, 60, 120, 300)
_MAX_QUESTIONS = 40
# A request whose answer was lost may still run for so many times the operator's quiet time. Longer ones
# exist, but a till that stands still for an hour costs more than a request that is sent twice.
_MAY_STILL_RUN = 10
# Kept as the command's code while a card that is as it was has been read once.
_AS_BEFORE = "not_done"


def exact(command: Command) -> bool:
    """Whether this operator's reading of a card settles what happened."""
    return (
        registry.capabilities(command.account.adapter, command.account.profile).state_quality
        is StateQuality.EXACT
    )


def apply_submit(command: Command, card: SmartCard, result: SubmitResult, *, at: datetime) -> None:
    """The answer to a command that has just been sent."""
    match result:
        case Applied():
            commands.finish_done(command, card, told=Told.REQUEST, at=at)
        case Accepted():
            _accepted(command, result, at)
        case Already():
            _already(command, card, at)
        case Rejected():
            _rejected(command, card, result, at)
        case _:
            _unknown(command, result, at)


def _accepted(command: Command, result: Accepted, at: datetime) -> None:
    if command.state == CommandState.CHECKING:
        # The answer came after the lease: now there is a number to ask by.
        command.request_id = result.request_id[:200]
        command.deadline_at = at + timedelta(seconds=command.account.deadline_seconds)
        command.save(update_fields=["request_id", "deadline_at"])
        return
    pause = result.retry_in or poll_pause(command, 0)
    commands.move(
        command,
        CommandState.ACCEPTED,
        at=at,
        request_id=result.request_id[:200],
        check_at=at + timedelta(seconds=pause),
        deadline_at=at + timedelta(seconds=command.account.deadline_seconds),
        error="",
        code="",
    )


def _already(command: Command, card: SmartCard, at: datetime) -> None:
    """«Already so» is a success after a confirming read, where the operator can be read."""
    if not exact(command):
        commands.finish_done(command, card, told=Told.REQUEST, at=at)
    elif command.state == CommandState.SENDING:
        commands.move(
            command,
            CommandState.CHECKING,
            at=at,
            text=ALREADY_SO,
            check_at=at,
        )


def _rejected(command: Command, card: SmartCard, result: Rejected, at: datetime) -> None:
    error = ErrorClass(result.error)
    if error in _STAFF:
        _tell_staff(command, error, result.code, result.text, at)
    if error is ErrorClass.ALREADY:
        _already(command, card, at)
    elif error is ErrorClass.UNKNOWN_OUTCOME:
        _unknown(command, result, at)
    elif (
        error in RESENT
        and command.state == CommandState.SENDING
        and at < command.created_at + _RESEND_FOR
    ):
        _back_to_queue(command, result, at)
    else:
        _failed(command, card, error, result.code, result.text, at)


def _back_to_queue(command: Command, result: Rejected, at: datetime) -> None:
    """Nothing was done, surely: the same command goes again later. Waiting for the quota is no attempt.

    The pauses grow with the attempts; an operator that asks for a longer one gets it.
    """
    waited_only = result.code == OUR_QUOTA
    attempts = command.attempts - 1 if waited_only else command.attempts
    pause = _resend_pause(attempts)
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


def _resend_pause(attempts: int) -> float:
    return _RESEND_PAUSES[min(max(attempts, 1), len(_RESEND_PAUSES)) - 1]


def _unknown(command: Command, result: Unknown | Rejected, at: datetime) -> None:
    if command.state != CommandState.CHECKING:
        commands.ask_later(command, at=at, text="Ответ оператора не получен, уточняем")
    # An error of an earlier try says nothing of this one.
    command.error, command.code = "", (result.code or result.text)[:100]
    command.save(update_fields=["error", "code"])


def _failed(
    command: Command, card: SmartCard, error: ErrorClass, code: str, text: str, at: datetime
) -> None:
    if error is ErrorClass.HELD_BY_OPERATOR:
        commands.confirm(
            card,
            Confirmed.HELD,
            told=Told.REQUEST,
            at=at,
            block_reason=hold_reason(card.block_reason),
            by=operator(card.account.title),
        )
    commands.finish_failed(command, card, error=error, code=code, text=text, at=at)


def _tell_staff(command: Command, error: ErrorClass, code: str, text: str, at: datetime) -> None:
    whole_account = error in {ErrorClass.AUTH, ErrorClass.CONFIGURATION, ErrorClass.UNSUPPORTED}
    advice = staff_advice(error, code, readable=queries.tells_state(command.account))
    about = f"account:{command.account_id}" if whole_account else f"card:{command.card_id}"
    alerts.raise_alert(
        key=f"operator:{about}:{error}",
        text=f"{command.account}: отказ «{error}» {code}. {nameless(text)} {advice}".strip(),
        at=at,
        merchant_id=None if whole_account else command.card.merchant_id,
        link=f"/admin/smartcards/command/{command.pk}/change/",
    )


def poll_pause(command: Command, asked: int) -> float:
    """Seconds till the next question, by the account's plan; the last pause repeats."""
    plan = command.account.poll_plan or [30]
    return float(plan[min(asked, len(plan) - 1)])


def apply_check(command: Command, card: SmartCard, check: Check, *, at: datetime) -> None:
    """The answer to «what became of my request»."""
    command.questions += 1
    match check.state:
        case CheckState.COMPLETED:
            commands.finish_done(command, card, told=Told.POLL, at=at)
        case CheckState.FAILED:
            _check_failed(command, card, check, at)
        case CheckState.PENDING:
            _pending(command, check.retry_in, at)
        case _:
            _lost(command, card, at)


def _check_failed(command: Command, card: SmartCard, check: Check, at: datetime) -> None:
    error = check.error or ErrorClass.INVALID
    if error is ErrorClass.ALREADY:
        commands.finish_done(command, card, told=Told.POLL, at=at)
        return
    if error in _STAFF:
        _tell_staff(command, error, check.code, check.text, at)
    _failed(command, card, error, check.code, check.text, at)


def _pending(command: Command, retry_in: float | None, at: datetime) -> None:
    """Wait by the plan, and as long as the operator asks; at the deadline read the card where that is
    possible, else tell staff later.
    """
    if command.state == CommandState.ACCEPTED and command.deadline_at and at >= command.deadline_at:
        apply_deadline(command, at=at)
        return
    pause = max(poll_pause(command, command.questions), retry_in or 0)
    command.check_at = at + timedelta(seconds=pause)
    if command.deadline_at is not None and command.deadline_at > at:
        command.check_at = min(command.check_at, command.deadline_at)
    command.save(update_fields=["check_at", "questions"])
    _give_up_if_asked_enough(command, at)


def apply_deadline(command: Command, *, at: datetime) -> None:
    """The time to wait for an accepted request is over: from now on the card itself is asked about."""
    commands.move(
        command,
        CommandState.CHECKING,
        at=at,
        text="Оператор отвечает дольше обычного, уточняем",
        check_at=at,
    )


def apply_silence(command: Command, trouble: Unavailable, *, at: datetime) -> None:
    """The question had no answer. Waiting for our own turn counts as no question."""
    command.questions += 0 if trouble.code == OUR_QUOTA else 1
    if command.state == CommandState.ACCEPTED and command.deadline_at and at >= command.deadline_at:
        apply_deadline(command, at=at)
    else:
        ask_again(command, at=at, retry_after=trouble.retry_after)


def _lost(command: Command, card: SmartCard, at: datetime) -> None:
    """The operator knows no such request.

    An accepted one is asked about again after the quiet time, and then left to staff. One whose answer
    we never got did not arrive: after a second «no» behind another quiet time it may be sent anew.
    """
    if command.state == CommandState.ACCEPTED:
        commands.ask_later(command, at=at, text="Оператор не находит запрос, уточняем")
        return
    if command.code == "lost" and command.request_id:
        # It was accepted once, so «not found» is no proof that nothing was done.
        commands.hand_to_staff(command, at=at, text="Оператор принял запрос, а потом его не нашёл")
        return
    if command.code == "lost":
        commands.finish_failed(command, card, error=ErrorClass.TRANSIENT, code="lost", at=at)
        return
    command.code = "lost"
    command.check_at = at + timedelta(seconds=command.account.quiet_seconds)
    command.save(update_fields=["code", "check_at", "questions"])


def apply_reading(command: Command, card: SmartCard, reading: Reading, *, at: datetime) -> None:
    """The card's state read after an unknown outcome decides it.

    Where only weak readings are to be had, one that shows what was wanted is taken: nobody else tells.
    """
    command.questions += 1
    readings.note_reading(card, reading, at=at)
    wanted = SimState.ACTIVE if command.kind == CommandKind.ACTIVATE else SimState.INACTIVE
    if reading.state == wanted:
        commands.finish_done(command, card, told=Told.READING, at=at)
    elif reading.state == SimState.UNKNOWN:
        ask_again(command, at=at)
    elif card.confirmed == Confirmed.HELD:
        commands.finish_failed(command, card, error=ErrorClass.HELD_BY_OPERATOR, at=at)
    else:
        _as_before(command, card, at)


def _as_before(command: Command, card: SmartCard, at: datetime) -> None:
    """The card is read in its old state: not done, or not done yet.

    An operator that queues requests may still be working on the one whose answer was lost, so it is
    believed only when the time for that is over and two readings agree. A weak reading never proves it.
    """
    if not exact(command):
        ask_again(command, at=at)
        return
    believed_at = _believed_at(command)
    if believed_at is None or (at >= believed_at and command.code == _AS_BEFORE):
        commands.finish_failed(command, card, error=ErrorClass.TRANSIENT, code=_AS_BEFORE, at=at)
        return
    quiet = timedelta(seconds=command.account.quiet_seconds)
    early = at < believed_at
    command.check_at = min(believed_at, at + _pause_of_doubt(command, at)) if early else at + quiet
    command.code = _AS_BEFORE
    command.save(update_fields=["code", "check_at", "questions"])


def _believed_at(command: Command) -> datetime | None:
    """When an unchanged card proves that nothing was done; None: at once."""
    account = command.account
    capabilities = registry.capabilities(account.adapter, account.profile)
    if not capabilities.asynchronous:
        return None
    sent_at = command.sent_at or command.created_at
    longest = min(_MAY_STILL_RUN * account.quiet_seconds, account.deadline_seconds)
    return sent_at + timedelta(seconds=longest)


def _pause_of_doubt(command: Command, at: datetime) -> timedelta:
    """By the plan of questions, and longer and longer the longer the operator may take."""
    waited = at - (command.sent_at or command.created_at)
    return max(timedelta(seconds=_question_pause(command)), waited / 4)


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
