"""What staff do about a difference between us and an operator. Each function is one transaction."""

from datetime import datetime

from django.db import transaction

from cabinet import audit
from cabinet.actors import Actor
from cabinet.tasks.task_queue import enqueue_on_commit
from smartcards import commands, queries
from smartcards.models import Command, SmartCard
from smartcards.numbers import NotANumber, parse_msisdn
from smartcards.reconciliation import paid_slots
from smartcards.rules import MAY_BE_ON, CardRefused, number_is_taken
from smartcards.services import lock_card, lock_numbers, set_desired_state
from smartcards.states import OPEN_COMMANDS, CommandKind, OperatorState, Origin


@transaction.atomic
def accept_number(*, card: SmartCard, reason: str, by: Actor, at: datetime) -> None:
    """The operator's number becomes ours.

    Raises CardRefused where it reported none, where it finds cards by number and another in use bears this
    one, or while a command is open: that was addressed to the old number.
    """
    card = lock_card(card)
    number = _reported_number(card)
    _check_not_busy(card)
    lock_numbers()
    if queries.needs_number(card.account):
        _check_number_free(card, number)
    before, card.msisdn = card.msisdn, number
    card.save(update_fields=["msisdn"])
    audit.record(
        card,
        "number_accepted",
        "Принят номер, который сообщил оператор",
        by=by,
        at=at,
        reason=reason,
        details={"before": before, "after": card.msisdn},
    )


def _reported_number(card: SmartCard) -> str:
    """The other number that the operator has reported, in E.164. Raises CardRefused without one."""
    if card.seen_msisdn in {"", card.msisdn}:
        raise CardRefused("Другого номера оператор не сообщал.")
    try:
        return parse_msisdn(card.seen_msisdn)
    except NotANumber as no_number:
        text = "Оператор сообщил не номер телефона: прочитайте карту ещё раз."
        raise CardRefused(text) from no_number


@transaction.atomic
def read_again(*, card: SmartCard, reason: str, by: Actor, at: datetime) -> None:
    """The card is the next to be read at its operator. Raises CardRefused where cards cannot be read."""
    card = lock_card(card)
    if not queries.can_be_read(card.account):
        raise CardRefused("Этот оператор не сообщает состояние смарт-карт: сверьте в его кабинете.")
    SmartCard.objects.filter(pk=card.pk).update(read_due_at=None)
    audit.record(
        card, "asked_again", "Попросили уточнить состояние у оператора", by=by, at=at, reason=reason
    )
    enqueue_on_commit("smartcards.read", account_id=card.account_id)


@transaction.atomic
def write_number(*, card: SmartCard, msisdn: str, reason: str, by: Actor, at: datetime) -> None:
    """Staff know the telephone number of a card; `msisdn` is E.164 without plus, "" where it has none any more.

    A paid card that only lacked it comes on by itself. Raises CardRefused where that is its number
    already, another card in use bears it, or a command is open: that was addressed to the old number.
    """
    card = lock_card(card)
    if card.msisdn == msisdn:
        raise CardRefused("Этот номер у смарт-карты уже записан.")
    _check_not_busy(card)
    if msisdn:
        lock_numbers()
        _check_number_free(card, msisdn)
    elif not card.withdrawn_because or card.confirmed in MAY_BE_ON:
        raise CardRefused(
            "Убрать номер можно только у отключённой смарт-карты, выведенной из работы."
        )
    before, card.msisdn = card.msisdn, msisdn
    # What was read was read of the old number: the card is the next to be read.
    card.seen_msisdn, card.read_at, card.read_due_at = "", None, None
    card.save(update_fields=["msisdn", "seen_msisdn", "read_at", "read_due_at"])
    audit.record(
        card,
        "number_written",
        "Записан номер смарт-карты" if msisdn else "У смарт-карты больше нет номера",
        by=by,
        at=at,
        reason=reason,
        details={"before": before, "after": msisdn},
    )
    if card.merchant_id is not None:
        enqueue_on_commit("smartcards.reconcile_merchant", merchant_id=card.merchant_id)


@transaction.atomic
def switch_off_in_stock(*, card: SmartCard, reason: str, by: Actor, at: datetime) -> Command:
    """A card in stock works and costs: it is switched off. Returns the command.

    Raises CardRefused without a reason, where somebody has the card, it does not work, or a command is
    open.
    """
    if not reason.strip():
        raise CardRefused("Укажите причину отключения.")
    card = lock_card(card)
    if card.merchant_id is not None:
        raise CardRefused("Смарт-карта уже передана клиенту.")
    if card.confirmed != OperatorState.ACTIVE:
        raise CardRefused("Смарт-карта и так отключена.")
    _check_not_busy(card)
    audit.record(
        card, "deactivation_requested", "Запрошено отключение", by=by, at=at, reason=reason
    )
    return commands.create(
        card=card,
        kind=CommandKind.DEACTIVATE,
        origin=Origin.PERSON,
        by=by,
        at=at,
        reason=reason,
    )


@transaction.atomic
def write_off(*, card: SmartCard, reason: str, by: Actor, at: datetime) -> None:
    """The operator has retired the card: its slot becomes free and its desired state off.

    Raises CardRefused without a reason, where the operator has not retired it, or while a command is open.
    """
    if not reason.strip():
        raise CardRefused("Укажите причину: клиент увидит её на странице смарт-карты.")
    if card.merchant is not None:
        paid_slots.lock_slots(card.merchant)
    card = lock_card(card)
    if card.confirmed != OperatorState.RETIRED:
        raise CardRefused("Оператор эту смарт-карту не списывал.")
    _check_not_busy(card)
    paid_slots.free_slot(card, at=at)
    if card.desired_on:
        set_desired_state(card, on=False, by=by, at=at)
    audit.record(
        card,
        "written_off",
        "Смарт-карта списана: место в подписке свободно",
        by=by,
        at=at,
        reason=reason,
    )
    if card.merchant_id is not None:
        enqueue_on_commit("smartcards.reconcile_merchant", merchant_id=card.merchant_id)


def _check_not_busy(card: SmartCard) -> None:
    if Command.objects.filter(card=card, state__in=OPEN_COMMANDS).exists():
        raise CardRefused(
            "Команда по этой смарт-карте ещё не закончена. Дождитесь ответа оператора."
        )


def _check_number_free(card: SmartCard, msisdn: str) -> None:
    """Raises CardRefused where another card in use bears the number. Expects `lock_numbers`."""
    other = queries.bearers_of([msisdn]).exclude(pk=card.pk).order_by("pk").first()
    if other is not None:
        raise CardRefused(number_is_taken(other.iccid))
