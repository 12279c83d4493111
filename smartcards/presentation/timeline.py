"""What happened to a card: the audit log and the steps of commands in one list, newest first."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cabinet.formatting.ru_format import Tone
from cabinet.models import AuditEvent, Merchant
from smartcards.models import CommandStep, SmartCard
from smartcards.rules import shown_name
from smartcards.states import CommandKind, CommandState, OperatorState
from smartcards.texts import STEP

SHORT, LONG = 15, 300


@dataclass(frozen=True)
class Event:
    """One entry. Staff have no names here; `text` is the reason or an explanation, mostly empty."""

    at: datetime
    title: str
    who: str
    text: str
    tone: str


@dataclass(frozen=True)
class Timeline:
    """Newest first; `more`: older events were left out."""

    events: tuple[Event, ...]
    more: bool


# These steps are left out where the audit log has such an entry of the same instant.
_SHOWN_BY = {
    CommandState.QUEUED: frozenset({"activation_requested", "deactivation_requested"}),
    CommandState.DONE: frozenset({"confirmed"}),
    CommandState.FAILED: frozenset({"command_failed"}),
    CommandState.CANCELLED: frozenset({"command_cancelled"}),
}
_KINDS = {CommandKind.ACTIVATE: "Включение", CommandKind.DEACTIVATE: "Отключение"}
# Texts of the audit log that are worded differently for the merchant.
_TO_MERCHANT = {"handed_over": "Смарт-карта передана вам"}
_ACTION_TONES = {
    "activation_requested": Tone.PROGRESS,
    "deactivation_requested": Tone.PROGRESS,
    "asked_again": Tone.PROGRESS,
    "command_failed": Tone.PROBLEM,
}
_STEP_TONES = {
    CommandState.CHECKING: Tone.ATTENTION,
    CommandState.NEEDS_STAFF: Tone.ATTENTION,
    CommandState.FAILED: Tone.PROBLEM,
    CommandState.DONE: Tone.WORKS,
}


def timeline_of(*, card: SmartCard, merchant: Merchant, limit: int = SHORT) -> Timeline:
    """The newest `limit` events of the time the card has been this merchant's: two queries."""
    logged = _audit_events(card, merchant, limit + 1)
    steps = _steps(card, limit + 1)
    shown = steps if limit >= LONG else _newest_attempts(steps)
    events = _merged(logged, shown)
    more = len(events) > limit or len(shown) < len(steps)
    return Timeline(events=tuple(events[:limit]), more=more)


def whole_histories(
    cards: Sequence[SmartCard], merchant: Merchant
) -> list[tuple[SmartCard, list[Event]]]:
    """Every event of these cards since they are this merchant's, newest first: two queries for all cards."""
    logged: dict[int, list[AuditEvent]] = defaultdict(list)
    rows = AuditEvent.objects.filter(
        target="smartcard", target_id__in=[card.pk for card in cards], merchant_id=merchant.pk
    )
    for row in rows.order_by("-at", "-pk"):
        logged[row.target_id].append(row)
    steps: dict[int, list[CommandStep]] = defaultdict(list)
    taken = CommandStep.objects.filter(command__card__in=cards).select_related("command")
    for step in taken.order_by("-at", "-pk"):
        steps[step.command.card_id].append(step)
    return [
        (card, _merged(logged[card.pk], [one for one in steps[card.pk] if _is_of_owner(one, card)]))
        for card in cards
    ]


def _is_of_owner(step: CommandStep, card: SmartCard) -> bool:
    return card.handed_at is None or step.command.created_at >= card.handed_at


def _merged(logged: Sequence[AuditEvent], steps: Sequence[CommandStep]) -> list[Event]:
    shown_events = {(row.at, row.action) for row in logged}
    events = [_of_audit_event(row) for row in logged]
    events += [_of_step(step) for step in steps if not _is_shown(step, shown_events)]
    return sorted(events, key=lambda event: event.at, reverse=True)


def _audit_events(card: SmartCard, merchant: Merchant, limit: int) -> list[AuditEvent]:
    # `merchant_id`: a card may have been somebody else's before.
    rows = AuditEvent.objects.filter(target="smartcard", target_id=card.pk, merchant_id=merchant.pk)
    return list(rows.order_by("-at", "-pk")[:limit])


def _steps(card: SmartCard, limit: int) -> list[CommandStep]:
    rows = CommandStep.objects.filter(command__card=card)
    if card.handed_at is not None:
        rows = rows.filter(command__created_at__gte=card.handed_at)
    return list(rows.select_related("command").order_by("-at", "-pk")[:limit])


def _newest_attempts(steps: Sequence[CommandStep]) -> list[CommandStep]:
    """Of a command that went out again and again only the last try: the rest would bury all else."""
    kept, seen = [], set()
    for step in steps:
        key = (step.command_id, step.state)
        again = step.state == CommandState.SENDING or _is_put_off(step)
        if not again or key not in seen:
            kept.append(step)
        if again:
            seen.add(key)
    return kept


def _is_put_off(step: CommandStep) -> bool:
    """Back in the queue after a try."""
    return step.state == CommandState.QUEUED and step.at != step.command.created_at


def _is_shown(step: CommandStep, shown_events: set[tuple[datetime, str]]) -> bool:
    actions = _SHOWN_BY.get(CommandState(step.state), frozenset())
    return any((step.at, action) in shown_events for action in actions)


def _of_audit_event(row: AuditEvent) -> Event:
    return Event(
        at=row.at,
        title=_TO_MERCHANT.get(row.action, row.text),
        who=shown_name(row.actor_kind, row.actor_name),
        text=_sentence(row.reason),
        tone=_audit_tone(row),
    )


def _audit_tone(row: AuditEvent) -> Tone:
    if row.action == "confirmed":
        return Tone.WORKS if row.details.get("after") == OperatorState.ACTIVE else Tone.OFF
    return _ACTION_TONES.get(row.action, Tone.OFF)


def _of_step(step: CommandStep) -> Event:
    state, command = CommandState(step.state), step.command
    asked = state == CommandState.QUEUED and not _is_put_off(step)
    state_text = _PUT_OFF if _is_put_off(step) else STEP[state]
    return Event(
        at=step.at,
        title=f"{_KINDS[CommandKind(command.kind)]}: {state_text[0].lower()}{state_text[1:]}",
        who=shown_name(command.asked_by_kind, command.asked_by) if asked else "",
        text=_sentence(step.text),
        tone=_STEP_TONES.get(state, Tone.PROGRESS),
    )


_PUT_OFF = "Ждёт повторной отправки"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
