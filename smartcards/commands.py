"""The life of a command: made here, moved here, and nowhere else.

Every function expects the caller's transaction and the caller's lock on the card.
"""

from datetime import datetime, timedelta

from cabinet import alerts, audit
from cabinet.actors import SYSTEM, Actor, operator
from cabinet.errors import Refused
from cabinet.wake import wake
from smartcards import phrases
from smartcards.models import Command, CommandStep, SmartCard
from smartcards.states import (
    COMMAND_TRANSITIONS,
    OPEN_COMMANDS,
    CommandKind,
    CommandState,
    Confirmed,
    Origin,
    Told,
)


class WrongMove(Refused):
    """The table of transitions does not know this step."""


def create(
    *, card: SmartCard, kind: CommandKind, origin: Origin, by: Actor, at: datetime, reason: str = ""
) -> Command:
    """A queued command with its first step; the dispatcher is woken after commit.

    A second open command for the card is refused by the database (`command_open_once_per_card`).
    """
    command = Command.objects.create(
        card=card,
        account_id=card.account_id,
        kind=kind,
        origin=origin,
        asked_by=by.name[:150],
        asked_by_kind=by.kind,
        reason=reason[:300],
        created_at=at,
        due_at=at,
    )
    _step(command, at, reason)
    wake("smartcards.dispatch", account_id=card.account_id)
    return command


def move(
    command: Command, to: CommandState, *, at: datetime, text: str = "", **fields: object
) -> None:
    """Change the state by the table, set the fields, write the step.

    Raises WrongMove where the table has no such arrow. A command that is over lets its lease go.
    """
    if to not in COMMAND_TRANSITIONS[CommandState(command.state)]:
        raise WrongMove(f"Команда «{command}» не переходит из «{command.state}» в «{to}».")
    command.state = to
    for name, value in fields.items():
        setattr(command, name, value)
    if to not in OPEN_COMMANDS:
        command.finished_at = at
        command.check_at = None
        alerts.close_alert(key=f"command:{command.pk}", by=SYSTEM, at=at)
        alerts.close_alert(key=f"late:{command.pk}", by=SYSTEM, at=at)
    if to != CommandState.SENDING:
        command.lease_until = command.lease_token = None
    command.text = text[:300]
    command.save()
    _step(command, at, text)


def _step(command: Command, at: datetime, text: str) -> None:
    CommandStep.objects.create(command=command, state=command.state, at=at, text=text[:300])


def confirm(
    card: SmartCard,
    confirmed: Confirmed,
    *,
    told: Told,
    at: datetime,
    block_reason: str = "",
    by: Actor,
) -> None:
    """Write down what the operator says; a change is audited, the same word again is not."""
    changed = (card.confirmed, card.block_reason) != (confirmed, block_reason)
    before = card.confirmed
    card.confirmed = confirmed
    card.block_reason = block_reason
    card.confirmed_at = at
    card.confirmed_from = told
    card.save(update_fields=["confirmed", "block_reason", "confirmed_at", "confirmed_from"])
    if changed:
        audit.record(
            target=card,
            action="confirmed",
            text=_confirmed_sentence(confirmed),
            by=by,
            at=at,
            merchant_id=card.merchant_id,
            details={"before": before, "after": confirmed, "block_reason": block_reason},
        )


def _confirmed_sentence(confirmed: Confirmed) -> str:
    return {
        Confirmed.NEW: "Смарт-карта у оператора ещё не включалась",
        Confirmed.ACTIVE: "Смарт-карта работает",
        Confirmed.INACTIVE: "Смарт-карта отключена",
        Confirmed.HELD: "Смарт-карту удерживает оператор",
        Confirmed.RETIRED: "Смарт-карта списана оператором",
        Confirmed.UNKNOWN: "Состояние смарт-карты неизвестно",
    }[confirmed]


def finish_done(command: Command, card: SmartCard, *, told: Told, at: datetime) -> None:
    """The operator did it: the card is confirmed and the merchant's cards are compared again."""
    on = command.kind == CommandKind.ACTIVATE
    confirm(
        card,
        Confirmed.ACTIVE if on else Confirmed.INACTIVE,
        told=told,
        at=at,
        block_reason="" if on else "voluntary",
        by=operator(card.account.title),
    )
    move(command, CommandState.DONE, at=at, error="", code="")
    _compare_again(card)


def finish_failed(
    command: Command, card: SmartCard, *, error: str, code: str = "", text: str = "", at: datetime
) -> None:
    """The operator did not do it, surely: the card stays as it was."""
    sentence = phrases.FAILURES.get(error, phrases.FAILURES["unknown_outcome"])
    move(command, CommandState.FAILED, at=at, text=sentence, error=error, code=code[:100])
    audit.record(
        target=card,
        action="command_failed",
        text=f"Не выполнено: {phrases.command_sentence(CommandKind(command.kind))}. {sentence}",
        by=operator(card.account.title),
        at=at,
        merchant_id=card.merchant_id,
        details={"error": error, "code": code, "text": text[:300]},
    )
    _compare_again(card)


def cancel(command: Command, card: SmartCard, *, by: Actor, at: datetime, text: str) -> None:
    """Take a queued command back; nothing was sent."""
    move(command, CommandState.CANCELLED, at=at, text=text)
    audit.record(
        target=card,
        action="command_cancelled",
        text=f"Отменено: {phrases.command_sentence(CommandKind(command.kind))}",
        reason=text,
        by=by,
        at=at,
        merchant_id=card.merchant_id,
    )
    _compare_again(card)


def ask_later(command: Command, *, at: datetime, text: str) -> None:
    """The outcome is not known: wait the operator's quiet time, then read, then decide."""
    quiet = timedelta(seconds=command.account.quiet_seconds)
    move(command, CommandState.CHECKING, at=at, text=text, check_at=at + quiet)


def hand_to_staff(command: Command, *, at: datetime, text: str) -> None:
    """Nobody can read the outcome: staff decide, and an alert says so."""
    move(command, CommandState.NEEDS_STAFF, at=at, text=text, check_at=None)
    alerts.raise_alert(
        key=f"command:{command.pk}",
        text=f"{command.account}: исход команды «{command}» неизвестен. {text}",
        at=at,
        merchant_id=command.card.merchant_id,
        link=f"/admin/smartcards/command/{command.pk}/change/",
    )


def _compare_again(card: SmartCard) -> None:
    if card.merchant_id is not None:
        wake("smartcards.reconcile_merchant", merchant_id=card.merchant_id)
