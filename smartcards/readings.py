"""What an operator's word about a card makes of the card: its state, its block, its number and IMEI.

Not every operator can tell everything. A hold that was told by a refusal is not over because a reading
that cannot show holds does not show it; and a weak reading is a hint: it tells of blocks that it names,
never whether a card works.

Every function expects the caller's transaction and the caller's lock on the card.
"""

from datetime import datetime

from cabinet import alerts, audit
from cabinet.actors import operator
from cabinet.wake import wake
from operators.ports import ErrorClass, Reading, SimState
from smartcards import commands, queries
from smartcards.models import Command, SmartCard
from smartcards.numbers import NotANumber, parse_msisdn
from smartcards.rules import hold_reason, is_blocked
from smartcards.states import CommandState, Confirmed, Told

# What is made of a card: its state, and the reason of its block.
Known = tuple[Confirmed, str]

_CONFIRMED = {
    SimState.NEW: Confirmed.NEW,
    SimState.ACTIVE: Confirmed.ACTIVE,
    SimState.INACTIVE: Confirmed.INACTIVE,
    SimState.HELD: Confirmed.HELD,
    SimState.RETIRED: Confirmed.RETIRED,
    SimState.UNKNOWN: Confirmed.UNKNOWN,
}
_SEEN_FIELDS = ["read_at", "unnamed_since", "seen_msisdn", "seen_imei", "lost_to_operator_at"]
_OFF_BY_NOBODY_ELSE = frozenset({SimState.INACTIVE, SimState.NEW})


def note_reading(
    card: SmartCard, reading: Reading, *, at: datetime, told: Told = Told.READING
) -> None:
    """Write down what the operator says of a card; what it cannot tell changes nothing.

    A callback is no reading: the card stays due for one, and number and IMEI as they were read. Where
    the operator's block is seen gone, the merchant's cards are compared again.
    """
    known = _known(card, reading, told)
    if told == Told.READING:
        _note_seen(card, reading, at)
    if known is None:
        return
    was_blocked = is_blocked(Confirmed(card.confirmed), card.block_reason)
    confirmed, reason = known
    commands.confirm(
        card,
        confirmed,
        told=told,
        at=at,
        block_reason=reason,
        by=operator(card.account.title),
        known_on=_known_on(card, told),
    )
    if was_blocked and not is_blocked(confirmed, reason):
        _note_released(card, at)


def agrees(card: SmartCard, reading: Reading) -> bool:
    """Whether the card is known as the reading tells it."""
    blocked = is_blocked(Confirmed(card.confirmed), card.block_reason)
    return card.confirmed == _CONFIRMED[reading.state] and blocked == is_blocked(
        Confirmed(card.confirmed), str(reading.reason or "")
    )


def _known_on(card: SmartCard, told: Told) -> datetime | None:
    """When a card that is read as off was last told to be on; None where its end is told at once."""
    finds_out_later = told == Told.READING and not queries.reads_weakly(card.account)
    return card.confirmed_at if finds_out_later else None


def _known(card: SmartCard, reading: Reading, told: Told) -> Known | None:
    """What is believed of it; None: nothing."""
    if told == Told.READING and queries.reads_weakly(card.account):
        return _weakly_known(card, reading)
    if reading.state == SimState.UNKNOWN:
        return None
    confirmed, reason = _told_by(card, reading)
    hides_holds = told == Told.READING and not queries.tells_state(card.account)
    if hides_holds and reading.state in _OFF_BY_NOBODY_ELSE and _is_held(card):
        return None
    return confirmed, reason


def _is_held(card: SmartCard) -> bool:
    return card.confirmed == Confirmed.HELD


def _weakly_known(card: SmartCard, reading: Reading) -> Known | None:
    """A weak reading tells of a block of the operator's that it names, and of the end of such a one.

    What follows the end is told only where our own block stands in its place; otherwise how the card
    is is not known, and the next switch, which asks for no change where there is none, shows it.
    """
    reason = str(reading.reason or "")
    if reading.state == SimState.HELD:
        return (Confirmed.HELD, reason) if is_blocked(Confirmed.INACTIVE, reason) else None
    if not _is_held(card) or card.confirmed_from != Told.READING:
        return None
    if reading.state in _OFF_BY_NOBODY_ELSE:
        return _told_by(card, reading)
    # One answer that does not name the block proves nothing.
    ended = reading.state == SimState.ACTIVE or card.unnamed_since is not None
    return (Confirmed.UNKNOWN, "") if ended else None


def _note_seen(card: SmartCard, reading: Reading, at: datetime) -> None:
    card.read_at = at
    card.unnamed_since = at if reading.state == SimState.UNKNOWN else None
    card.seen_msisdn = reading.msisdn[:15]
    card.seen_imei = reading.imei[:16]
    # An operator that answers about a card knows it.
    card.lost_to_operator_at = None
    card.save(update_fields=_SEEN_FIELDS)
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


def _told_by(card: SmartCard, reading: Reading) -> Known:
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
