"""What people and staff do with cards. Each function is one transaction."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction

from cabinet import alerts, audit
from cabinet.actors import Actor
from cabinet.models import Merchant, Terminal
from cabinet.states import ActorKind
from cabinet.wake import wake
from smartcards import commands, phrases, queries, rules
from smartcards.models import Command, SmartCard
from smartcards.rules import CardRefused
from smartcards.states import CommandKind, CommandState, Confirmed, Origin, Told


def lock_card(card: SmartCard) -> SmartCard:
    """The card as it is now, locked till the end of the transaction."""
    return (
        SmartCard.objects.select_for_update(of=("self",)).select_related("account").get(pk=card.pk)
    )


@transaction.atomic
def request_activation(
    *, card: SmartCard, by: Actor, at: datetime, origin: Origin = Origin.PERSON, reason: str = ""
) -> Command | None:
    """Wish the card on and queue the command.

    Returns None where the operator has the card on already and only the wish was missing. Raises
    NotAllowed or CardRefused; two people at once make one command, and the second reads who was first.
    Order of effects: wish, command with its first step, audit, after commit the wake-up.
    """
    card = lock_card(card)
    facts = queries.facts_now(card, at)
    rules.check_can_activate(facts, by.role, queries.shown_name(by.kind, by.name))
    record_wish(card, on=True, by=by, at=at)
    command = None
    if facts.confirmed != Confirmed.ACTIVE:
        command = commands.create(
            card=card, kind=CommandKind.ACTIVATE, origin=origin, by=by, at=at, reason=reason
        )
    _note(card, "activation_requested", "Запрошено включение", by=by, at=at, reason=reason)
    return command


@transaction.atomic
def request_deactivation(
    *, card: SmartCard, by: Actor, at: datetime, origin: Origin = Origin.PERSON, reason: str = ""
) -> Command | None:
    """Wish the card off and queue the command; as `request_activation` otherwise.

    A click of a person is never braked. Staff must give a reason.
    """
    card = lock_card(card)
    facts = queries.facts_now(card, at)
    rules.check_can_deactivate(facts, by.role, queries.shown_name(by.kind, by.name))
    if by.kind == ActorKind.STAFF and not reason:
        raise CardRefused("Укажите причину отключения: клиент увидит её на странице смарт-карты.")
    record_wish(card, on=False, by=by, at=at)
    command = None
    if facts.confirmed in {Confirmed.ACTIVE, Confirmed.UNKNOWN}:
        command = commands.create(
            card=card, kind=CommandKind.DEACTIVATE, origin=origin, by=by, at=at, reason=reason
        )
    _note(card, "deactivation_requested", "Запрошено отключение", by=by, at=at, reason=reason)
    return command


@transaction.atomic
def cancel_command(*, card: SmartCard, by: Actor, at: datetime) -> None:
    """Take back the command that still waits in our queue; the wish goes back with it.

    Raises CardRefused where it has left already.
    """
    card = lock_card(card)
    rules.check_can_cancel(queries.facts_now(card, at), by.role)
    command = Command.objects.select_for_update(of=("self",)).get(
        card=card, state=CommandState.QUEUED
    )
    record_wish(card, on=command.kind == CommandKind.DEACTIVATE, by=by, at=at)
    commands.cancel(
        command, card, by=by, at=at, text=f"Отменил(а) {queries.shown_name(by.kind, by.name)}"
    )


@transaction.atomic
def check_again(*, card: SmartCard, by: Actor, at: datetime) -> None:
    """«Проверить ещё раз»: ask the operator now.

    Raises NotAllowed, and CardRefused where nothing is unclear and no block is to be seen gone.
    """
    rules.check_may_ask(by.role)
    card = lock_card(card)
    command = (
        Command.objects.select_for_update(of=("self",))
        .filter(card=card, state__in=[CommandState.CHECKING, CommandState.NEEDS_STAFF])
        .first()
    )
    if command is not None and command.state == CommandState.NEEDS_STAFF:
        commands.move(
            command,
            CommandState.CHECKING,
            at=at,
            text=f"Проверить ещё раз попросил(а) {queries.shown_name(by.kind, by.name)}",
            check_at=at,
        )
    elif command is not None:
        _ask_sooner(command, card, at)
    else:
        readable = queries.tells_state(card.account)
        rules.check_can_ask_operator(queries.facts_now(card, at), readable=readable)
        wake("smartcards.read", account_id=card.account_id)
    SmartCard.objects.filter(pk=card.pk).update(read_at=None)
    _note(card, "asked_again", "Попросили уточнить состояние у оператора", by=by, at=at)
    wake("smartcards.dispatch", account_id=card.account_id)


@transaction.atomic
def send_what_waits_for_keys(*, account_id: int, by: Actor, at: datetime) -> int:
    """The operator's keys are in order again: what waited for them is due now. Returns how many.

    Order of effects: due times, the alerts about the keys closed, after commit the wake-up.
    """
    waiting = Command.objects.filter(
        account=account_id, state=CommandState.QUEUED, error__in=phrases.WAITS_FOR_STAFF
    )
    moved = waiting.filter(due_at__gt=at).update(due_at=at)
    for error in phrases.WAITS_FOR_STAFF:
        alerts.close_alert(key=f"operator:account:{account_id}:{error}", by=by, at=at)
    wake("smartcards.dispatch", account_id=account_id)
    return moved


def _ask_sooner(command: Command, card: SmartCard, at: datetime) -> None:
    """At once, but never within the operator's quiet time: what is read there may be of before."""
    quiet_until = (command.sent_at or at) + timedelta(seconds=card.account.quiet_seconds)
    command.check_at = max(at, quiet_until)
    command.save(update_fields=["check_at"])


@transaction.atomic
def settle_by_staff(*, command: Command, done: bool, reason: str, by: Actor, at: datetime) -> None:
    """Staff know the outcome (from the operator's cabinet or by phone) and write it down with a reason."""
    if not reason.strip():
        raise CardRefused("Укажите, откуда известен исход.")
    card = lock_card(command.card)
    command = (
        Command.objects.select_for_update(of=("self",)).select_related("account").get(pk=command.pk)
    )
    if command.state != CommandState.NEEDS_STAFF:
        raise CardRefused("Эта команда уже не ждёт решения.")
    command.reason = reason[:300]
    if done:
        commands.finish_done(command, card, told=Told.STAFF, at=at)
    else:
        commands.finish_failed(command, card, error="unknown_outcome", at=at)
    _note(
        card, "settled_by_staff", "Исход команды записан сотрудником", by=by, at=at, reason=reason
    )


@transaction.atomic
def hand_over(*, cards: Iterable[SmartCard], merchant: Merchant, by: Actor, at: datetime) -> int:
    """Give stock cards to a merchant: they appear in the cabinet as «Новая». Returns how many.

    Raises CardRefused, and gives none, where one of them is not in stock any more.
    """
    ids = [card.pk for card in cards]
    locked = list(
        SmartCard.objects.select_for_update(of=("self",))
        .select_related("account")
        .filter(pk__in=ids)
        .order_by("pk")
    )
    taken = [card for card in locked if card.merchant_id is not None]
    if taken or len(locked) != len(set(ids)):
        raise CardRefused(
            "Часть смарт-карт уже не на складе. Обновите страницу и соберите заказ заново."
        )
    for card in locked:
        card.merchant = merchant
        card.handed_at = at
        card.save(update_fields=["merchant", "handed_at"])
        _note(card, "handed_over", "Смарт-карта передана клиенту", by=by, at=at)
    return len(locked)


@transaction.atomic
def describe(
    *, card: SmartCard, label: str, terminal: Terminal | None, by: Actor, at: datetime
) -> None:
    """Set the label and the terminal of a card; the caller has checked whose terminal it is."""
    card = lock_card(card)
    if terminal is not None and terminal.merchant_id != card.merchant_id:
        raise CardRefused("Такой кассы у вас нет.")
    if (card.label, card.terminal_id) == (label, terminal.pk if terminal else None):
        return
    card.label = label[:100]
    card.terminal = terminal
    card.save(update_fields=["label", "terminal"])
    place = f"касса «{terminal.name}»" if terminal else "без кассы"
    _note(card, "described", f"Изменены подпись и место: {place}", by=by, at=at)


def record_wish(card: SmartCard, *, on: bool, by: Actor, at: datetime) -> None:
    """The last word of a person about a card. Expects the caller's lock; the journal is the caller's."""
    card.wished_on = on
    card.wished_at = at
    card.wished_by = by.name[:150]
    card.wished_by_kind = by.kind
    card.save(update_fields=["wished_on", "wished_at", "wished_by", "wished_by_kind"])


def _note(
    card: SmartCard, action: str, text: str, *, by: Actor, at: datetime, reason: str = ""
) -> None:
    audit.record(
        target=card,
        action=action,
        text=text,
        reason=reason,
        by=by,
        at=at,
        merchant_id=card.merchant_id,
    )
