"""What a reading of a card makes of the card: its state, its block, its number and IMEI.

Not every operator can tell everything. A hold that a refused switch has shown is not over because a reading
that cannot show holds does not show it; and a weak reading is a hint: it tells of blocks that it names,
never whether a card works.

Every function expects the caller's transaction and the caller's lock on the card.
"""

from datetime import datetime, timedelta

from cabinet import audit
from cabinet.actors import Actor
from cabinet.enums import ActorKind
from cabinet.messaging import alerts
from cabinet.tasks.task_queue import enqueue_on_commit
from operators.ports import ErrorClass, Reading, SimState
from smartcards import commands, queries
from smartcards.models import Command, SmartCard
from smartcards.numbers import NotANumber, parse_msisdn
from smartcards.rules import hold_reason, is_blocked
from smartcards.services import lock_numbers_now
from smartcards.states import OPEN_COMMANDS, CommandState, OperatorState, StateSource

# What is made of a card: its state, and the reason of its block.
Known = tuple[OperatorState, str]

_CONFIRMED = {
    SimState.NEW: OperatorState.NEW,
    SimState.ACTIVE: OperatorState.ACTIVE,
    SimState.INACTIVE: OperatorState.INACTIVE,
    SimState.HELD: OperatorState.HELD,
    SimState.RETIRED: OperatorState.RETIRED,
    SimState.UNKNOWN: OperatorState.UNKNOWN,
}
_SEEN_FIELDS = [
    "read_at",
    "read_due_at",
    "unnamed_since",
    "seen_msisdn",
    "seen_imei",
    "seen_state",
    "lost_to_operator_at",
]
# Every card is read at least this often, paced over the day.
READ_EVERY = timedelta(hours=24)
_OFF_BY_NOBODY_ELSE = frozenset({SimState.INACTIVE, SimState.NEW})


def record_reading(
    card: SmartCard, reading: Reading, *, at: datetime, source: StateSource = StateSource.READING
) -> None:
    """Write down what the operator says of a card; what it cannot tell changes nothing.

    A callback is no reading: the card stays due for one, and number and IMEI as they were read. Where
    the operator's block is seen gone, the merchant's cards are compared again.
    """
    known = _known(card, reading, source)
    if source == StateSource.READING:
        _note_seen(card, reading, at)
    if known is None:
        return
    was_blocked = is_blocked(OperatorState(card.confirmed), card.block_reason)
    confirmed, reason = known
    commands.confirm(
        card,
        confirmed,
        source=source,
        at=at,
        block_reason=reason,
        by=Actor(ActorKind.OPERATOR, card.account.title),
        known_on=_known_on(card, source),
    )
    if was_blocked and not is_blocked(confirmed, reason):
        _note_released(card, at)


def is_outdated(card: SmartCard, *, asked_at: datetime) -> bool:
    """Whether a reading asked for then may be of before: of a switch under way or confirmed since."""
    if card.confirmed_at is not None and card.confirmed_at > asked_at:
        return True
    return Command.objects.filter(card=card, state__in=OPEN_COMMANDS).exists()


def agrees(card: SmartCard, reading: Reading) -> bool:
    """Whether the card is known as the reading tells it."""
    blocked = is_blocked(OperatorState(card.confirmed), card.block_reason)
    return card.confirmed == _CONFIRMED[reading.state] and blocked == is_blocked(
        OperatorState(card.confirmed), str(reading.reason or "")
    )


def _known_on(card: SmartCard, source: StateSource) -> datetime | None:
    """When a card that is read as off was last known to be on; None where its end is known at once."""
    finds_out_later = source == StateSource.READING and not queries.reads_weakly(card.account)
    return card.confirmed_at if finds_out_later else None


def _known(card: SmartCard, reading: Reading, source: StateSource) -> Known | None:
    """What is believed of it; None: nothing."""
    if source == StateSource.READING and queries.reads_weakly(card.account):
        return _weakly_known(card, reading)
    if reading.state == SimState.UNKNOWN:
        return None
    confirmed, reason = _state_in(card, reading)
    hides_holds = source == StateSource.READING and not queries.tells_state(card.account)
    if hides_holds and reading.state in _OFF_BY_NOBODY_ELSE and _is_held(card):
        return None
    return confirmed, reason


def _is_held(card: SmartCard) -> bool:
    return card.confirmed == OperatorState.HELD


def _weakly_known(card: SmartCard, reading: Reading) -> Known | None:
    """A weak reading tells of a block of the operator's that it names, and of the end of such a one.

    What follows the end is known only where our own block stands in its place; otherwise how the card
    is is not known, and the next switch, which asks for no change where there is none, shows it.
    """
    reason = str(reading.reason or "")
    if reading.state == SimState.HELD:
        return (OperatorState.HELD, reason) if is_blocked(OperatorState.INACTIVE, reason) else None
    if not _is_held(card) or card.confirmed_from != StateSource.READING:
        return None
    if reading.state in _OFF_BY_NOBODY_ELSE:
        return _state_in(card, reading)
    # One answer that does not name the block proves nothing.
    ended = reading.state == SimState.ACTIVE or card.unnamed_since is not None
    return (OperatorState.UNKNOWN, "") if ended else None


def _note_seen(card: SmartCard, reading: Reading, at: datetime) -> None:
    card.read_at, card.read_due_at = at, at + READ_EVERY
    card.unnamed_since = at if reading.state == SimState.UNKNOWN else None
    number = _number_in(reading)
    card.seen_msisdn = number or reading.msisdn[:15]
    card.seen_imei = reading.imei[:16]
    is_unknown = reading.state == SimState.UNKNOWN and not queries.reads_weakly(card.account)
    card.seen_state = reading.raw[:60] if is_unknown else ""
    # An operator that answers about a card knows it.
    card.lost_to_operator_at = None
    card.save(update_fields=_SEEN_FIELDS)
    if number and not card.msisdn:
        _take_number(card, number, at)


def _number_in(reading: Reading) -> str:
    """The reported number as we write numbers, whatever the operator's manner; "" where it is none."""
    try:
        return parse_msisdn(reading.msisdn)
    except NotANumber:
        return ""


def _take_number(card: SmartCard, number: str, at: datetime) -> None:
    """A card without a number gets the operator's, unless another in use bears it: that is for staff.

    While somebody else writes numbers, which a long list may take minutes for, nobody waits: the card is read
    again soon.
    """
    if not lock_numbers_now():
        card.read_due_at = None
        card.save(update_fields=["read_due_at"])
        return
    if queries.bearers_of([number]).exists():
        return
    card.msisdn = number
    card.save(update_fields=["msisdn"])
    audit.record(
        target=card,
        action="number_accepted",
        text="Записан номер, который сообщил оператор",
        by=Actor(ActorKind.OPERATOR, card.account.title),
        at=at,
        merchant_id=card.merchant_id,
        details={"before": "", "after": number},
    )


def _state_in(card: SmartCard, reading: Reading) -> Known:
    """What the reading makes of the card, and the reason of its block.

    Operators deliver cards blocked: one that never worked is new, not switched off by somebody.
    """
    reason = str(reading.reason or "")
    if reading.state == SimState.HELD:
        return OperatorState.HELD, hold_reason(reason)
    confirmed = _CONFIRMED[reading.state]
    if (
        confirmed == OperatorState.INACTIVE
        and not is_blocked(confirmed, reason)
        and _is_unused(card)
    ):
        return OperatorState.NEW, ""
    return confirmed, reason


def _is_unused(card: SmartCard) -> bool:
    if card.confirmed == OperatorState.NEW:
        return True
    if card.desired_on is not None or card.off_since is not None:
        return False
    never_on = {OperatorState.INACTIVE, OperatorState.HELD, OperatorState.UNKNOWN}
    done = Command.objects.filter(card=card, state=CommandState.DONE)
    return card.confirmed in never_on and not done.exists()


def _note_released(card: SmartCard, at: datetime) -> None:
    key = f"operator:card:{card.pk}:{ErrorClass.HELD_BY_OPERATOR}"
    alerts.close_alert(key=key, by=Actor(ActorKind.OPERATOR, card.account.title), at=at)
    if card.merchant_id is not None:
        enqueue_on_commit("smartcards.reconcile_merchant", merchant_id=card.merchant_id)
