"""What an operator's stored event means for cards and commands. Twice is once, in any order.

An event says how things were at its time. About a card it counts unless something later is known;
about a command only if the command has surely left by then.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import OperationalError, transaction
from django.db.models import Q

from cabinet.wake import wake
from operators import callbacks, events
from operators.events import MonitorChanged, ServiceChanged, Unreadable
from operators.models import Callback
from operators.ports import BlockReason, CheckState, Reading, SimState
from smartcards import commands, outcomes, queries, readings
from smartcards.models import Command, SmartCard
from smartcards.services import lock_card
from smartcards.states import OPEN_COMMANDS, CommandKind, CommandState, Told

logger = logging.getLogger(__name__)

BATCH = 500
# How far the clocks of our own machines may stand apart.
_OWN_SKEW = timedelta(seconds=10)
_WAITS_FOR_A_WORD = (CommandState.ACCEPTED, CommandState.CHECKING)


@dataclass(frozen=True)
class Ended:
    """What became of an event; `parked` puts it before staff."""

    note: str
    parked: bool = False


class TooEarly(Exception):
    """The event outran our own record of the command it is about: it waits for the sweep."""


def process_waiting(at: datetime) -> int:
    """Process the events that still wait, in the order of their own times. Returns how many ended."""
    rows = Callback.objects.filter(state=Callback.State.NEW).order_by("occurred_at", "pk")
    waiting = list(rows.values_list("pk", flat=True)[:BATCH])
    return sum(process(callback_id=pk, at=at) for pk in waiting)


def process(*, callback_id: int, at: datetime) -> bool:
    """Do what one event asks for, all or nothing; whether this call ended it.

    An event about a command whose answer is not recorded yet stays where it is. One that breaks our
    code is undone, parked and put before staff: the others go on.
    """
    try:
        with transaction.atomic():
            return _process(callback_id, at)
    except TooEarly:
        return False
    except OperationalError:
        logger.exception("Callback %s has to wait for the database", callback_id)
        return False
    except Exception:
        logger.exception("Callback %s could not be processed", callback_id)
        _park_broken(callback_id, at)
        return False


def _process(callback_id: int, at: datetime) -> bool:
    row = _claimed(callback_id)
    if row is None:
        return False
    _finish(row, _handled(row, at), at)
    return True


def _claimed(callback_id: int) -> Callback | None:
    rows = Callback.objects.select_for_update(of=("self",), skip_locked=True)
    return rows.filter(pk=callback_id, state=Callback.State.NEW).first()


@transaction.atomic
def _park_broken(callback_id: int, at: datetime) -> None:
    row = _claimed(callback_id)
    if row is not None:
        _finish(row, Ended("Ошибка обработки, нужна помощь разработчика.", parked=True), at)


def _finish(row: Callback, ended: Ended, at: datetime) -> None:
    row.state = Callback.State.PARKED if ended.parked else Callback.State.DONE
    row.note = ended.note[:300]
    row.save(update_fields=["state", "note"])
    if ended.parked:
        callbacks.tell_staff(row, at=at)


def _handled(row: Callback, at: datetime) -> Ended:
    # A clock that runs ahead must not make its word outlast the truth.
    told_at = min(row.occurred_at, at)
    try:
        event = events.read_event(row.event_type, row.payload)
    except Unreadable as unreadable:
        return Ended(str(unreadable), parked=True)
    if isinstance(event, ServiceChanged):
        return _service_changed(row, event, told_at, at)
    return _monitor_changed(row, event, told_at, at)


# --- the state of a card --------------------------------------------------------------------------


def _service_changed(
    row: Callback, event: ServiceChanged, told_at: datetime, at: datetime
) -> Ended:
    seen = SmartCard.objects.filter(iccid=event.iccid, account_id=row.account_id).first()
    if seen is None:
        return Ended("У этого договора нет такой смарт-карты.")
    card = lock_card(seen)
    command = _locked(Command.objects.filter(card=card, state__in=OPEN_COMMANDS).first())
    if command is not None and command.state == CommandState.SENDING:
        raise TooEarly
    if _is_overtaken(card, told_at):
        return _overtaken(row, card, event.reading, told_at)
    readings.note_reading(card, event.reading, at=told_at, told=Told.CALLBACK)
    if command is not None and _is_reached(command, event.reading, told_at):
        _end(command, at)
        note = "Состояние записано, команда выполнена."
    else:
        note = "Состояние записано."
    _compare_again(card)
    return Ended(note)


def _overtaken(row: Callback, card: SmartCard, reading: Reading, told_at: datetime) -> Ended:
    """Something later is known, unless the operator's clock is only behind ours: then the card is read."""
    if not _may_be_later(row, card, told_at) or readings.agrees(card, reading):
        return Ended("О смарт-карте уже известно более позднее.")
    _read_soon(card)
    return Ended("Часы оператора могут отставать: смарт-карта будет прочитана.")


def _may_be_later(row: Callback, card: SmartCard, told_at: datetime) -> bool:
    """It came after what we know was written down, from a clock that may be as far behind as it seems.

    Two words by the operator's own clock are compared as they are.
    """
    if card.confirmed_at is None or card.confirmed_from == Told.CALLBACK:
        return False
    behind = timedelta(seconds=max(0.0, -(row.account.clock_skew_seconds or 0)))
    doubtful = told_at >= card.confirmed_at - max(callbacks.WINDOW, behind + _OWN_SKEW)
    came_later = row.received_at + _OWN_SKEW >= card.confirmed_at
    return doubtful and came_later and queries.can_be_read(row.account)


def _read_soon(card: SmartCard) -> None:
    SmartCard.objects.filter(pk=card.pk).update(read_at=None)
    wake("smartcards.read", account_id=card.account_id)


def _is_overtaken(card: SmartCard, told_at: datetime) -> bool:
    return card.confirmed_at is not None and told_at < card.confirmed_at


def _is_reached(command: Command, reading: Reading, told_at: datetime) -> bool:
    """The card is as the command wants it, and was told so after the command had left."""
    if command.state not in _WAITS_FOR_A_WORD or command.sent_at is None:
        return False
    return reading.state == _wanted(command) and told_at >= command.sent_at


def _wanted(command: Command) -> SimState:
    return SimState.ACTIVE if command.kind == CommandKind.ACTIVATE else SimState.INACTIVE


def _end(command: Command, at: datetime) -> None:
    """Done; what the card is has been noted before, at the time of the operator's word."""
    commands.move(command, CommandState.DONE, at=at, error="", code="")


def _compare_again(card: SmartCard) -> None:
    if card.merchant_id is not None:
        wake("smartcards.reconcile_merchant", merchant_id=card.merchant_id)


# --- the state of a request -----------------------------------------------------------------------


def _monitor_changed(
    row: Callback, event: MonitorChanged, told_at: datetime, at: datetime
) -> Ended:
    found = _about(row, event)
    if found is None:
        return Ended("Команды с таким номером у этого договора нет.")
    card = lock_card(found.card)
    command = _locked(found)
    if command is None or command.state not in OPEN_COMMANDS:
        return Ended("Команда уже закончена.")
    if command.state == CommandState.SENDING:
        raise TooEarly
    if event.check.state is CheckState.PENDING:
        return Ended("Запрос ещё выполняется.")
    if command.state not in _WAITS_FOR_A_WORD:
        return Ended(f"Команда «{command.get_state_display()}», исход пришёл.", parked=True)
    if event.check.state is CheckState.FAILED:
        outcomes.apply_check(command, card, event.check, at=at)
        return Ended("Команда не выполнена.")
    # It cannot have ended before it left, whatever the operator's clock says.
    done_at = max(told_at, command.sent_at or told_at)
    if not _is_overtaken(card, done_at):
        readings.note_reading(card, _reached(command), at=done_at, told=Told.CALLBACK)
    elif _may_be_later(row, card, done_at) and not readings.agrees(card, _reached(command)):
        _read_soon(card)
    _end(command, at)
    _compare_again(card)
    return Ended("Команда выполнена.")


def _reached(command: Command) -> Reading:
    state = _wanted(command)
    return Reading(state, None if state is SimState.ACTIVE else BlockReason.VOLUNTARY)


def _about(row: Callback, event: MonitorChanged) -> Command | None:
    """The command by the operator's number, or by our key where we never got the number.

    Raises TooEarly where a command that was on its way may still get this number.
    """
    ours = Command.objects.filter(account_id=row.account_id).select_related("card")
    named = Q(request_id=event.request_id) | (Q(key=event.key) if event.key else Q(pk=None))
    command = ours.filter(named).order_by("-pk").first()
    on_its_way = Q(state=CommandState.SENDING, sent_at__lte=row.received_at + _OWN_SKEW)
    if command is None and ours.filter(on_its_way).exists():
        raise TooEarly
    return command


def _locked(command: Command | None) -> Command | None:
    """The command as it is now, locked till the end of the transaction."""
    rows = Command.objects.select_for_update(of=("self",)).select_related("account", "card")
    return rows.filter(pk=command.pk).first() if command is not None else None
