"""A card leaves use for good: lost, stolen or broken. Another takes its place, or it is found again.

Each function is one transaction; locks are taken in the order merchant, subscriptions, cards, commands.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from cabinet import alerts, audit
from cabinet.actors import Actor
from cabinet.models import AuditEvent
from cabinet.states import ActorKind
from cabinet.wake import wake
from smartcards import commands, coverage, queries, rules, services
from smartcards.models import Command, SmartCard
from smartcards.rules import AlreadyAsked, CardFacts, CardRefused
from smartcards.states import (
    OPEN_COMMANDS,
    CommandKind,
    CommandState,
    Confirmed,
    Origin,
    Withdrawal,
)

_WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Before:
    """How a card stood when it left use: was it wished on, and by which subscription was it paid."""

    wished_on: bool
    subscription_id: int | None


@transaction.atomic
def withdraw(
    *, card: SmartCard, because: Withdrawal, by: Actor, at: datetime, reason: str = ""
) -> Command | None:
    """Take the card out of use: wish off, place of payment free, and off at the operator if it is on.

    Returns the command that switches it off, None where none is needed or one is on its way already.
    It goes as a person's click and is never braked. Staff are told of a stolen card. Raises NotAllowed
    or CardRefused; of two people at once the second reads that it is done.
    """
    card = _locked(card)
    facts = queries.facts_now(card, at)
    _check_not_twice(card, because, by)
    rules.check_can_withdraw(facts, by.role)
    _check_reason(by, reason)
    before = Before(bool(card.wished_on), coverage.leave_place(card, at=at))
    _mark(card, because, by=by, at=at)
    command = _switch_off(card, because, by=by, at=at)
    _note_withdrawn(card, because, before, by=by, at=at, reason=reason)
    if because == Withdrawal.STOLEN:
        _tell_staff(card, by=by, at=at)
    wake("smartcards.reconcile_merchant", merchant_id=card.merchant_id)
    return command


def _locked(card: SmartCard) -> SmartCard:
    if card.merchant is None:
        raise CardRefused("Смарт-карта на складе: её ещё никому не передали.")
    coverage.lock_places(card.merchant)
    return services.lock_card(card)


def _check_not_twice(card: SmartCard, because: Withdrawal, by: Actor) -> None:
    author = (card.wished_by, card.wished_by_kind)
    if card.withdrawn_because == because and author == (by.name[:150], by.kind):
        raise AlreadyAsked("Запрос уже принят: смарт-карта выведена из работы.")


def _check_reason(by: Actor, reason: str) -> None:
    if by.kind == ActorKind.STAFF and not reason.strip():
        raise CardRefused("Укажите причину: клиент увидит её на странице смарт-карты.")


def _mark(card: SmartCard, because: Withdrawal, *, by: Actor, at: datetime) -> None:
    services.record_wish(card, on=False, by=by, at=at)
    card.withdrawn_at = at
    card.withdrawn_because = because
    card.save(update_fields=["withdrawn_at", "withdrawn_because"])


def _switch_off(card: SmartCard, because: Withdrawal, *, by: Actor, at: datetime) -> Command | None:
    """A queued «on» is taken back, a queued «off» goes first; what has left is awaited and then undone."""
    reason = f"смарт-карта {because.label}"
    waiting = _open_command(card)
    if waiting is not None and waiting.state != CommandState.QUEUED:
        return None
    if waiting is not None and waiting.kind == CommandKind.DEACTIVATE:
        _hurry(waiting)
        return None
    if waiting is not None:
        commands.cancel(waiting, card, by=by, at=at, text=f"Не нужно: {reason}")
    if card.confirmed not in {Confirmed.ACTIVE, Confirmed.UNKNOWN}:
        return None
    return commands.create(
        card=card,
        kind=CommandKind.DEACTIVATE,
        origin=Origin.PERSON,
        by=by,
        at=at,
        reason=reason,
    )


def _open_command(card: SmartCard) -> Command | None:
    rows = Command.objects.select_for_update(of=("self",)).select_related("account")
    return rows.filter(card=card, state__in=OPEN_COMMANDS).first()


def _hurry(command: Command) -> None:
    command.origin = Origin.PERSON
    command.save(update_fields=["origin"])
    wake("smartcards.dispatch", account_id=command.account_id)


def _note_withdrawn(
    card: SmartCard, because: Withdrawal, before: Before, *, by: Actor, at: datetime, reason: str
) -> None:
    audit.record(
        target=card,
        action=_WITHDRAWN,
        text=f"Выведена из работы: {because.label}",
        reason=reason,
        by=by,
        at=at,
        merchant_id=card.merchant_id,
        details={"wished_on": before.wished_on, "subscription": before.subscription_id},
    )


def _before(card: SmartCard) -> Before:
    """What the journal remembers of the last withdrawal."""
    rows = AuditEvent.objects.filter(target="smartcard", target_id=card.pk, action=_WITHDRAWN)
    row = rows.order_by("-at", "-pk").first()
    details = row.details if row is not None else {}
    return Before(bool(details.get("wished_on")), details.get("subscription"))


def _tell_staff(card: SmartCard, *, by: Actor, at: datetime) -> None:
    if by.kind == ActorKind.STAFF:
        return
    alerts.raise_alert(
        key=f"stolen:{card.pk}",
        text=f"Украдена смарт-карта {card.iccid} ({card.account}). Проверьте, что оператор её отключил.",
        at=at,
        merchant_id=card.merchant_id,
        link=f"/admin/smartcards/smartcard/{card.pk}/change/",
    )


@transaction.atomic
def take_back(*, card: SmartCard, by: Actor, at: datetime) -> bool:
    """«Нашлась»: a lost card that nobody has replaced is in use again, with its place if one is free.

    Returns whether it stays switched on: only where the operator has not been asked yet. Raises
    NotAllowed or CardRefused.
    """
    card = _locked(card)
    facts = queries.facts_now(card, at)
    rules.check_can_take_back(facts, by.role)
    before = _before(card)
    card.withdrawn_at, card.withdrawn_because = None, ""
    card.save(update_fields=["withdrawn_at", "withdrawn_because"])
    placed = before.subscription_id is not None and coverage.take_place(
        card, like=before.subscription_id, at=at
    )
    stays = placed and before.wished_on and _take_command_back(card, facts, by=by, at=at)
    text = "Смарт-карта нашлась и снова в работе"
    _note(card, "taken_back", text if placed or not before.subscription_id else _NO_PLACE, by, at)
    wake("smartcards.reconcile_merchant", merchant_id=card.merchant_id)
    return stays


_NO_PLACE = "Смарт-карта нашлась, но оплаченного места для неё уже нет"


def _take_command_back(card: SmartCard, facts: CardFacts, *, by: Actor, at: datetime) -> bool:
    command = _open_command(card)
    queued = command is not None and command.state == CommandState.QUEUED
    if command is None or not queued or facts.confirmed != Confirmed.ACTIVE:
        return False
    services.record_wish(card, on=True, by=by, at=at)
    commands.cancel(command, card, by=by, at=at, text="Смарт-карта нашлась")
    return True


@transaction.atomic
def replace(
    *, card: SmartCard, with_card: SmartCard, by: Actor, at: datetime, reason: str = ""
) -> Command | None:
    """A new card of the same merchant takes over place of payment, till, label and wish.

    Returns the command that switches it on, None where the old one was not to work or nobody pays; it
    then comes on by itself with the next payment. Raises NotAllowed or CardRefused.
    """
    card, fresh = _locked_pair(card, with_card)
    if card.replaced_by_id == fresh.pk:
        raise AlreadyAsked("Запрос уже принят: смарт-карта заменена.")
    rules.check_can_replace(queries.facts_now(card, at), by.role)
    rules.check_can_stand_in(queries.facts_now(fresh, at))
    _check_reason(by, reason)
    before = _before(card)
    _hand_down(card, fresh)
    if before.subscription_id is not None:
        coverage.take_place(fresh, like=before.subscription_id, at=at)
    old, new = card.iccid[-4:], fresh.iccid[-4:]
    _note(card, "replaced", f"Заменена смарт-картой …{new}", by, at, reason)
    _note(fresh, "replaces", f"Заменяет смарт-карту …{old}: {_because(card)}", by, at, reason)
    return _take_over_wish(fresh, by=by, at=at, reason=reason) if before.wished_on else None


def _locked_pair(card: SmartCard, with_card: SmartCard) -> tuple[SmartCard, SmartCard]:
    if card.merchant is None or with_card.pk == card.pk:
        raise CardRefused("Выберите другую смарт-карту.")
    coverage.lock_places(card.merchant)
    locked = {row.pk: services.lock_card(row) for row in sorted((card, with_card), key=_pk)}
    old, fresh = locked[card.pk], locked[with_card.pk]
    if fresh.merchant_id != old.merchant_id:
        raise CardRefused("Такой смарт-карты у вас нет.")
    if SmartCard.objects.filter(replaced_by=fresh).exclude(pk=old.pk).exists():
        raise CardRefused("Эта смарт-карта уже заменяет другую.")
    return old, fresh


def _pk(card: SmartCard) -> int:
    return card.pk


def _because(card: SmartCard) -> str:
    return str(Withdrawal(card.withdrawn_because).label)


def _hand_down(card: SmartCard, fresh: SmartCard) -> None:
    """Till and label go where the work goes on; what the old card lacks the new one keeps."""
    fresh.terminal = card.terminal or fresh.terminal
    fresh.label = card.label or fresh.label
    fresh.save(update_fields=["terminal", "label"])
    card.terminal, card.label, card.replaced_by = None, "", fresh
    card.save(update_fields=["terminal", "label", "replaced_by"])


def _take_over_wish(fresh: SmartCard, *, by: Actor, at: datetime, reason: str) -> Command | None:
    facts = queries.facts_now(fresh, at)
    if facts.paid and rules.foreign_block(facts) is None:
        return services.request_activation(card=fresh, by=by, at=at, reason=reason)
    services.record_wish(fresh, on=True, by=by, at=at)
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
    """Staff hand over a card of the `stock` and let it take the place of this one; as `replace`.

    `iccid` is bare digits. Raises CardRefused where no such card is in that stock.
    """
    if card.merchant is None:
        raise CardRefused("Смарт-карта на складе: её ещё никому не передали.")
    coverage.lock_places(card.merchant)
    fresh = SmartCard.objects.select_for_update(of=("self",)).filter(iccid=iccid).first()
    # Asked after the lock: whoever packed it for an order has committed by now.
    if fresh is None or not stock.filter(pk=fresh.pk).exists():
        raise CardRefused("Такой новой смарт-карты на складе нет, или она собрана для заказа.")
    services.hand_over(cards=[fresh], merchant=card.merchant, by=by, at=at)
    return replace(card=card, with_card=fresh, by=by, at=at, reason=reason)


def _note(
    card: SmartCard, action: str, text: str, by: Actor, at: datetime, reason: str = ""
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
