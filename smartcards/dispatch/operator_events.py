"""What an operator's stored event means for cards and commands. Twice is once, in any order.

An event says how things were at its time. About a card it counts unless something later is known;
about a command only if the command has surely left by then.
"""

from datetime import datetime, timedelta

from django.db.models import Q

from cabinet.inbox.processing import Inbox, NotYet, Outcome
from cabinet.tasks.task_queue import enqueue_on_commit
from operators.events import event_mapping, inbox
from operators.events.event_mapping import MonitorChanged, ServiceChanged, Unreadable
from operators.models import Callback
from operators.ports import BlockReason, CheckState, Reading, SimState
from smartcards import commands, queries
from smartcards.dispatch import outcomes, state_sync
from smartcards.models import Command, SmartCard
from smartcards.services import lock_card, lock_command
from smartcards.states import OPEN_COMMANDS, CommandState, StateSource

# What an event is parked for: its command was ended otherwise, so staff compare the two.
NEEDS_STAFF = "needs_staff"
# How far the clocks of our own machines may stand apart.
_OWN_SKEW = timedelta(seconds=10)
_AWAITS_OUTCOME = (CommandState.ACCEPTED, CommandState.CHECKING)


class OperatorEvents(Inbox[Callback]):
    """The stored events of all operators, in the order of their own times."""

    rows = Callback.objects.all()
    order = ("occurred_at", "pk")

    def handle(self, row: Callback, at: datetime) -> Outcome:
        """Do what the event asks for. Raises NotYet for a command whose answer is not recorded yet."""
        # An operator's clock that runs ahead must not make its event outlast the truth.
        event_at = min(row.occurred_at, at)
        try:
            event = event_mapping.read_event(row.event_type, row.payload)
        except Unreadable as unreadable:
            return Outcome(str(unreadable), parked_for=inbox.UNREADABLE)
        if isinstance(event, ServiceChanged):
            return _service_changed(row, event, event_at, at)
        return _monitor_changed(row, event, event_at, at)

    def alert_key(self, row: Callback) -> str:
        """As the storage of events names it."""
        return inbox.alert_key(row)

    def alert(self, row: Callback, problem: str, at: datetime) -> None:
        """With a link to the account's events."""
        inbox.alert_staff(row, problem, at)


INBOX = OperatorEvents()


# --- the state of a card --------------------------------------------------------------------------


def _service_changed(
    row: Callback, event: ServiceChanged, event_at: datetime, at: datetime
) -> Outcome:
    seen = queries.cards_by_iccid(row.account_id, [event.iccid]).get(event.iccid)
    if seen is None:
        return Outcome("У этого договора нет такой смарт-карты.")
    card = lock_card(seen)
    command = lock_command(card, state__in=OPEN_COMMANDS)
    if command is not None and command.state == CommandState.SENDING:
        raise NotYet
    if _is_overtaken(card, event_at):
        return _overtaken(row, card, event.reading, event_at)
    state_sync.record_reading(card, event.reading, at=event_at, source=StateSource.CALLBACK)
    if command is not None and _is_reached(command, event.reading, event_at):
        commands.move(command, CommandState.DONE, at=at, error="", code="")
        note = "Состояние записано, команда выполнена."
    else:
        note = "Состояние записано."
    _compare_again(card)
    return Outcome(note)


def _overtaken(row: Callback, card: SmartCard, reading: Reading, event_at: datetime) -> Outcome:
    """Something later is known, unless the operator's clock is only behind ours: then the card is read."""
    if not _may_be_later(row, card, event_at) or state_sync.agrees(card, reading):
        return Outcome("О смарт-карте уже известно более позднее.")
    _read_soon(card)
    return Outcome("Часы оператора могут отставать: смарт-карта будет прочитана.")


def _may_be_later(row: Callback, card: SmartCard, event_at: datetime) -> bool:
    """It came after what we know was written down, from a clock that may be as far behind as it seems.

    Two events by the operator's own clock are compared as they are.
    """
    if card.confirmed_at is None or card.confirmed_from == StateSource.CALLBACK:
        return False
    behind = timedelta(seconds=max(0.0, -(row.account.clock_skew_seconds or 0)))
    doubtful = event_at >= card.confirmed_at - max(inbox.WINDOW, behind + _OWN_SKEW)
    came_later = row.received_at + _OWN_SKEW >= card.confirmed_at
    return doubtful and came_later and queries.can_be_read(row.account)


def _read_soon(card: SmartCard) -> None:
    SmartCard.objects.filter(pk=card.pk).update(read_due_at=None)
    enqueue_on_commit("smartcards.read", account_id=card.account_id)


def _is_overtaken(card: SmartCard, event_at: datetime) -> bool:
    return card.confirmed_at is not None and event_at < card.confirmed_at


def _is_reached(command: Command, reading: Reading, event_at: datetime) -> bool:
    """The card is as the command wants it, by an event of after the command had left."""
    if command.state not in _AWAITS_OUTCOME or command.sent_at is None:
        return False
    return reading.state == outcomes.wanted_state(command) and event_at >= command.sent_at


def _compare_again(card: SmartCard) -> None:
    if card.merchant_id is not None:
        enqueue_on_commit("smartcards.reconcile_merchant", merchant_id=card.merchant_id)


# --- the state of a request -----------------------------------------------------------------------


def _monitor_changed(
    row: Callback, event: MonitorChanged, event_at: datetime, at: datetime
) -> Outcome:
    found = _about(row, event)
    if found is None:
        return Outcome("Команды с таким номером у этого договора нет.")
    card = lock_card(found.card)
    command = lock_command(card, pk=found.pk, state__in=OPEN_COMMANDS)
    if command is None:
        return Outcome("Команда уже закончена.")
    if command.state == CommandState.SENDING:
        raise NotYet
    if event.check.state is CheckState.PENDING:
        return Outcome("Запрос ещё выполняется.")
    if command.state not in _AWAITS_OUTCOME:
        return Outcome(
            f"Команда «{command.get_state_display()}», исход пришёл.", parked_for=NEEDS_STAFF
        )
    if event.check.state is CheckState.FAILED:
        outcomes.apply_check(command, event.check, at=at)
        return Outcome("Команда не выполнена.")
    # It cannot have ended before it left, whatever the operator's clock says.
    done_at = max(event_at, command.sent_at or event_at)
    if not _is_overtaken(card, done_at):
        state_sync.record_reading(card, _reached(command), at=done_at, source=StateSource.CALLBACK)
    elif _may_be_later(row, card, done_at) and not state_sync.agrees(card, _reached(command)):
        _read_soon(card)
    commands.move(command, CommandState.DONE, at=at, error="", code="")
    _compare_again(card)
    return Outcome("Команда выполнена.")


def _reached(command: Command) -> Reading:
    state = outcomes.wanted_state(command)
    return Reading(state, None if state is SimState.ACTIVE else BlockReason.VOLUNTARY)


def _about(row: Callback, event: MonitorChanged) -> Command | None:
    """The command by the operator's number, or by our key where we never got the number.

    Raises NotYet where a command that was on its way may still get this number.
    """
    ours = Command.objects.filter(account_id=row.account_id).select_related("card")
    named = Q(request_id=event.request_id)
    if event.key is not None:
        named |= Q(key=event.key, request_id="")
    command = ours.filter(named).order_by("-pk").first()
    on_its_way = Q(state=CommandState.SENDING, sent_at__lte=row.received_at + _OWN_SKEW)
    if command is None and ours.filter(on_its_way).exists():
        raise NotYet
    return command
