"""What follows from an operator's words: an answer to a command, to a question, to a reading.

Every function expects the caller's transaction and the caller's locks on card and command.
"""

from datetime import datetime, timedelta

from cabinet import alerts, audit
from cabinet.actors import operator
from cabinet.wake import wake
from operators import registry
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
from smartcards import commands
from smartcards.models import Command, SmartCard
from smartcards.numbers import NotANumber, parse_msisdn
from smartcards.phrases import staff_advice, why_waits
from smartcards.rules import hold_reason, is_blocked
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

_CONFIRMED = {
    SimState.NEW: Confirmed.NEW,
    SimState.ACTIVE: Confirmed.ACTIVE,
    SimState.INACTIVE: Confirmed.INACTIVE,
    SimState.HELD: Confirmed.HELD,
    SimState.RETIRED: Confirmed.RETIRED,
    SimState.UNKNOWN: Confirmed.UNKNOWN,
}


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
            text="Оператор ответил, что уже сделано: проверяем",
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
    """Nothing was done, surely: the same command goes again later. Waiting for the quota is no attempt."""
    waited_only = result.code == OUR_QUOTA
    attempts = command.attempts - 1 if waited_only else command.attempts
    pause = result.retry_after or _RESEND_PAUSES[min(max(attempts, 1), len(_RESEND_PAUSES)) - 1]
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
    advice = staff_advice(error, code, readable=exact(command))
    about = f"account:{command.account_id}" if whole_account else f"card:{command.card_id}"
    alerts.raise_alert(
        key=f"operator:{about}:{error}",
        text=f"{command.account}: отказ «{error}» {code}. {text} {advice}".strip(),
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
            _pending(command, at)
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


def _pending(command: Command, at: datetime) -> None:
    """Wait by the plan; at the deadline read the card where that is possible, else tell staff later."""
    if command.state == CommandState.ACCEPTED and command.deadline_at and at >= command.deadline_at:
        apply_deadline(command, at=at)
        return
    command.check_at = at + timedelta(seconds=poll_pause(command, command.questions))
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
    """The card's state read after an unknown outcome decides it."""
    command.questions += 1
    note_reading(card, reading, at=at)
    wanted = SimState.ACTIVE if command.kind == CommandKind.ACTIVATE else SimState.INACTIVE
    if reading.state == wanted:
        commands.finish_done(command, card, told=Told.READING, at=at)
    elif reading.state == SimState.UNKNOWN:
        ask_again(command, at=at)
    elif reading.state == SimState.HELD:
        commands.finish_failed(command, card, error=ErrorClass.HELD_BY_OPERATOR, at=at)
    else:
        commands.finish_failed(command, card, error=ErrorClass.TRANSIENT, code="not_done", at=at)


def note_reading(
    card: SmartCard, reading: Reading, *, at: datetime, told: Told = Told.READING
) -> None:
    """Write down what the operator says of a card; one that cannot tell changes nothing.

    A callback is no reading: the card stays due for one, and number and IMEI as they were read. Where
    the operator's block is seen gone, the merchant's cards are compared again.
    """
    if told == Told.READING:
        _note_seen(card, reading, at)
    if reading.state == SimState.UNKNOWN:
        return
    was_blocked = is_blocked(Confirmed(card.confirmed), card.block_reason)
    confirmed, reason = _told_by(card, reading)
    by = operator(card.account.title)
    commands.confirm(card, confirmed, told=told, at=at, block_reason=reason, by=by)
    if was_blocked and not is_blocked(confirmed, reason):
        _note_released(card, at)


def _note_seen(card: SmartCard, reading: Reading, at: datetime) -> None:
    card.read_at = at
    card.seen_msisdn = reading.msisdn[:15]
    card.seen_imei = reading.imei[:16]
    card.save(update_fields=["read_at", "seen_msisdn", "seen_imei"])
    if not card.msisdn and reading.msisdn:
        _take_number(card, reading.msisdn, at)


def _take_number(card: SmartCard, told: str, at: datetime) -> None:
    """A card without a number gets the operator's, unless another card bears it: that is for staff."""
    try:
        number = parse_msisdn(told)
    except NotANumber:
        return
    if SmartCard.objects.filter(msisdn=number).exists():
        return
    card.msisdn = number
    card.save(update_fields=["msisdn"])
    audit.record(
        target=card,
        action="number_accepted",
        text="Записан номер, который сообщил оператор",
        by=operator(card.account.title),
        at=at,
        merchant_id=card.merchant_id,
        details={"before": "", "after": number},
    )


def _told_by(card: SmartCard, reading: Reading) -> tuple[Confirmed, str]:
    """What the reading makes of the card, and the reason of its block.

    Operators deliver cards blocked: one that never worked is new, not switched off by somebody.
    """
    reason = str(reading.reason or "")
    if reading.state == SimState.HELD:
        return Confirmed.HELD, hold_reason(reason)
    confirmed = _CONFIRMED[reading.state]
    if confirmed == Confirmed.INACTIVE and not is_blocked(confirmed, reason) and _is_unused(card):
        return Confirmed.NEW, ""
    return confirmed, reason


def _is_unused(card: SmartCard) -> bool:
    if card.confirmed == Confirmed.NEW:
        return True
    if card.wished_on is not None or card.off_since is not None:
        return False
    never_on = {Confirmed.INACTIVE, Confirmed.HELD, Confirmed.UNKNOWN}
    done = Command.objects.filter(card=card, state=CommandState.DONE)
    return card.confirmed in never_on and not done.exists()


def _note_released(card: SmartCard, at: datetime) -> None:
    key = f"operator:card:{card.pk}:{ErrorClass.HELD_BY_OPERATOR}"
    alerts.close_alert(key=key, by=operator(card.account.title), at=at)
    if card.merchant_id is not None:
        wake("smartcards.reconcile_merchant", merchant_id=card.merchant_id)


def ask_again(command: Command, *, at: datetime, retry_after: float | None = None) -> None:
    """The question had no answer: ask again later, and after many times let staff decide."""
    pause = retry_after or _QUESTION_PAUSES[min(command.questions, len(_QUESTION_PAUSES) - 1)]
    command.check_at = at + timedelta(seconds=pause)
    command.save(update_fields=["check_at", "questions"])
    _give_up_if_asked_enough(command, at)


def _give_up_if_asked_enough(command: Command, at: datetime) -> None:
    asked_enough = command.questions >= _MAX_QUESTIONS or (
        command.deadline_at is not None and at >= command.deadline_at + timedelta(hours=24)
    )
    if command.state == CommandState.CHECKING and asked_enough:
        commands.hand_to_staff(command, at=at, text="Оператор так и не сообщил исход")
