"""A card leaves use for good: lost, stolen or broken. Another replaces it, or it is found again.

Each function is one transaction; locks are taken in the order merchant, subscriptions, cards, commands.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from cabinet import audit
from cabinet.actors import Actor
from cabinet.enums import ActorKind
from cabinet.messaging import alerts
from cabinet.tasks.task_queue import enqueue_on_commit
from smartcards import commands, queries, rules, services
from smartcards.models import CardWithdrawal, Command, SmartCard
from smartcards.reconciliation import paid_slots
from smartcards.rules import AlreadyAsked, CardFacts, CardRefused
from smartcards.states import (
    OPEN_COMMANDS,
    AlertKind,
    CommandKind,
    CommandState,
    OperatorState,
    Origin,
    WithdrawalReason,
)


@transaction.atomic
def withdraw(
    *, card: SmartCard, because: WithdrawalReason, by: Actor, at: datetime, reason: str = ""
) -> Command | None:
    """Take the card out of use: desired state off, slot free, and off at the operator if it is on.

    Returns the command that switches it off, None where none is needed or one is on its way already.
    It goes as a person's click and is never braked. Staff are alerted of a stolen card. Raises NotAllowed
    or CardRefused; of two people at once the second reads that it is done.
    """
    card = _locked(card)
    facts = queries.facts_now(card, at)
    _check_not_twice(card, because, by)
    rules.check_can_withdraw(facts, by.role)
    _check_reason(by, reason)
    CardWithdrawal.objects.create(
        card=card,
        desired_on=bool(card.desired_on),
        subscription_id=paid_slots.free_slot(card, at=at),
        withdrawn_at=at,
    )
    services.set_desired_state(card, on=False, by=by, at=at)
    card.withdrawn_at, card.withdrawn_because = at, because
    card.save(update_fields=["withdrawn_at", "withdrawn_because"])
    command = _switch_off(card, because, by=by, at=at)
    audit.record(
        card, "withdrawn", f"Выведена из работы: {because.label}", by=by, at=at, reason=reason
    )
    if because == WithdrawalReason.STOLEN:
        _alert_staff(card, by=by, at=at)
    enqueue_on_commit("smartcards.reconcile_merchant", merchant_id=card.merchant_id)
    return command


def _locked(card: SmartCard) -> SmartCard:
    if card.merchant is None:
        raise CardRefused("Смарт-карта на складе: её ещё никому не передали.")
    paid_slots.lock_slots(card.merchant)
    return services.lock_card(card)


def _check_not_twice(card: SmartCard, because: WithdrawalReason, by: Actor) -> None:
    author = (card.desired_by, card.desired_by_kind)
    if card.withdrawn_because == because and author == (by.name[:150], by.kind):
        raise AlreadyAsked("Запрос уже принят: смарт-карта выведена из работы.")


def _check_reason(by: Actor, reason: str) -> None:
    if by.kind == ActorKind.STAFF and not reason.strip():
        raise CardRefused("Укажите причину: клиент увидит её на странице смарт-карты.")


def _switch_off(
    card: SmartCard, because: WithdrawalReason, *, by: Actor, at: datetime
) -> Command | None:
    """A queued «on» is taken back, a queued «off» goes first; what has left is awaited and then undone."""
    reason = f"смарт-карта {because.label}"
    waiting = services.lock_command(card, state__in=OPEN_COMMANDS)
    if waiting is not None and waiting.state != CommandState.QUEUED:
        return None
    if waiting is not None and waiting.kind == CommandKind.DEACTIVATE:
        commands.take_over(waiting, by=by, reason=reason)
        return None
    if waiting is not None:
        commands.cancel(waiting, by=by, at=at, text=f"Не нужно: {reason}")
    if card.confirmed not in {OperatorState.ACTIVE, OperatorState.UNKNOWN}:
        return None
    return commands.create(
        card=card,
        kind=CommandKind.DEACTIVATE,
        origin=Origin.PERSON,
        by=by,
        at=at,
        reason=reason,
    )


def _end(card: SmartCard, at: datetime) -> CardWithdrawal:
    """The card's withdrawal, over now: it holds how the card stood before."""
    row = CardWithdrawal.objects.get(card=card, ended_at=None)
    row.ended_at = max(at, row.withdrawn_at)
    row.save(update_fields=["ended_at"])
    return row


def _alert_staff(card: SmartCard, *, by: Actor, at: datetime) -> None:
    if by.kind == ActorKind.STAFF:
        return
    alerts.raise_about(
        AlertKind.CARD_STOLEN,
        card.pk,
        text=f"Украдена смарт-карта {card.iccid} ({card.account}). Проверьте, что оператор её отключил.",
        at=at,
        merchant_id=card.merchant_id,
        link=f"/admin/smartcards/smartcard/{card.pk}/change/",
    )


@transaction.atomic
def take_back(*, card: SmartCard, by: Actor, at: datetime) -> bool:
    """«Нашлась»: a lost card that nobody has replaced is in use again, with a slot if one is free.

    Returns whether it stays switched on: only where the operator has not been asked yet. Raises
    NotAllowed or CardRefused.
    """
    card = _locked(card)
    facts = queries.facts_now(card, at)
    rules.check_can_take_back(facts, by.role)
    before = _end(card, at)
    card.withdrawn_at, card.withdrawn_because = None, ""
    card.save(update_fields=["withdrawn_at", "withdrawn_because"])
    placed = before.subscription_id is not None and paid_slots.occupy_slot(
        card, like=before.subscription_id, at=at
    )
    stays = placed and before.desired_on and _take_command_back(card, facts, by=by, at=at)
    text = "Смарт-карта нашлась и снова в работе"
    audit.record(
        card,
        "taken_back",
        text if placed or not before.subscription_id else _NO_PLACE,
        by=by,
        at=at,
    )
    enqueue_on_commit("smartcards.reconcile_merchant", merchant_id=card.merchant_id)
    return stays


_NO_PLACE = "Смарт-карта нашлась, но оплаченного места для неё уже нет"


def _take_command_back(card: SmartCard, facts: CardFacts, *, by: Actor, at: datetime) -> bool:
    command = services.lock_command(card, state__in=OPEN_COMMANDS)
    queued = command is not None and command.state == CommandState.QUEUED
    if command is None or not queued or facts.confirmed != OperatorState.ACTIVE:
        return False
    services.set_desired_state(card, on=True, by=by, at=at)
    commands.cancel(command, by=by, at=at, text="Смарт-карта нашлась")
    return True


@transaction.atomic
def replace(
    *, card: SmartCard, with_card: SmartCard, by: Actor, at: datetime, reason: str = ""
) -> Command | None:
    """A new card of the same merchant takes over slot, terminal, label and desired state.

    Returns the command that switches it on, None where the old one was not to work or nobody pays; it
    then comes on by itself with the next payment. Raises NotAllowed or CardRefused.
    """
    card, fresh = _locked_pair(card, with_card)
    if card.replaced_by_id == fresh.pk:
        raise AlreadyAsked("Запрос уже принят: смарт-карта заменена.")
    rules.check_can_replace(queries.facts_now(card, at), by.role)
    rules.check_can_be_replacement(queries.facts_now(fresh, at))
    _check_reason(by, reason)
    before = _end(card, at)
    _move_terminal_and_label(card, fresh)
    if before.subscription_id is not None:
        paid_slots.occupy_slot(fresh, like=before.subscription_id, at=at)
    old, new = card.iccid[-4:], fresh.iccid[-4:]
    audit.record(card, "replaced", f"Заменена смарт-картой …{new}", by=by, at=at, reason=reason)
    audit.record(
        fresh,
        "replaces",
        f"Заменяет смарт-карту …{old}: {card.get_withdrawn_because_display()}",
        by=by,
        at=at,
        reason=reason,
    )
    return (
        _take_over_desired_state(fresh, by=by, at=at, reason=reason) if before.desired_on else None
    )


def _locked_pair(card: SmartCard, with_card: SmartCard) -> tuple[SmartCard, SmartCard]:
    if card.merchant is None or with_card.pk == card.pk:
        raise CardRefused("Выберите другую смарт-карту.")
    paid_slots.lock_slots(card.merchant)
    locked = {
        row.pk: services.lock_card(row) for row in sorted((card, with_card), key=lambda row: row.pk)
    }
    old, fresh = locked[card.pk], locked[with_card.pk]
    if fresh.merchant_id != old.merchant_id:
        raise CardRefused("Такой смарт-карты у вас нет.")
    if SmartCard.objects.filter(replaced_by=fresh).exclude(pk=old.pk).exists():
        raise CardRefused("Эта смарт-карта уже заменяет другую.")
    return old, fresh


def _move_terminal_and_label(card: SmartCard, fresh: SmartCard) -> None:
    """Terminal and label move to the new card, which keeps its own where the old one has none."""
    fresh.terminal = card.terminal or fresh.terminal
    fresh.label = card.label or fresh.label
    fresh.save(update_fields=["terminal", "label"])
    card.terminal, card.label, card.replaced_by = None, "", fresh
    card.save(update_fields=["terminal", "label", "replaced_by"])


def _take_over_desired_state(
    fresh: SmartCard, *, by: Actor, at: datetime, reason: str
) -> Command | None:
    facts = queries.facts_now(fresh, at)
    if facts.paid and rules.foreign_block(facts) is None:
        return services.request_activation(card=fresh, by=by, at=at, reason=reason)
    services.set_desired_state(fresh, on=True, by=by, at=at)
    return None


@transaction.atomic
def replace_from_stock(
    *,
    card: SmartCard,
    stock: QuerySet[SmartCard],
    iccid: str,
    by: Actor,
    at: datetime,
    reason: str,
) -> Command | None:
    """Staff give the merchant a card of the `stock` as the replacement of this one; as `replace`.

    `iccid` is bare digits, with or without the check digit. Raises CardRefused where no such card is in that
    stock, or where it may mean two.
    """
    if card.merchant is None:
        raise CardRefused("Смарт-карта на складе: её ещё никому не передали.")
    paid_slots.lock_slots(card.merchant)
    fresh = services.lock_card_named(iccid)
    # Asked after the lock: whoever packed it for an order has committed by now.
    if fresh is None or not stock.filter(pk=fresh.pk).exists():
        raise CardRefused("Такой новой смарт-карты на складе нет, или она собрана для заказа.")
    services.assign_to_merchant(cards=[fresh], merchant=card.merchant, by=by, at=at)
    return replace(card=card, with_card=fresh, by=by, at=at, reason=reason)
