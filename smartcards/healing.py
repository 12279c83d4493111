"""What staff do about a difference between us and an operator. Each function is one transaction."""

import re
from datetime import datetime

from django.db import transaction

from cabinet import audit
from cabinet.actors import Actor
from cabinet.wake import wake
from smartcards import commands, coverage, queries
from smartcards.models import Command, SmartCard
from smartcards.rules import CardRefused
from smartcards.services import lock_card, record_wish
from smartcards.states import OPEN_COMMANDS, CommandKind, Confirmed, Origin

# What the database keeps as a number.
_MSISDN = re.compile(r"[1-9][0-9]{9,14}")


@transaction.atomic
def accept_number(*, card: SmartCard, reason: str, by: Actor, at: datetime) -> None:
    """The operator's number becomes ours. Raises CardRefused where it told none or a command is open.

    An open command was addressed to the old number: it must end first.
    """
    card = lock_card(card)
    if not card.seen_msisdn or card.seen_msisdn == card.msisdn:
        raise CardRefused("Другого номера оператор не сообщал.")
    if not _MSISDN.fullmatch(card.seen_msisdn):
        raise CardRefused("Оператор сообщил не номер телефона: прочитайте карту ещё раз.")
    _check_not_busy(card)
    before, card.msisdn = card.msisdn, card.seen_msisdn
    card.save(update_fields=["msisdn"])
    _note(
        card,
        "number_accepted",
        "Принят номер, который сообщил оператор",
        reason=reason,
        by=by,
        at=at,
        details={"before": before, "after": card.msisdn},
    )


@transaction.atomic
def read_again(*, card: SmartCard, reason: str, by: Actor, at: datetime) -> None:
    """The card is the next to be read at its operator. Raises CardRefused where cards cannot be read."""
    card = lock_card(card)
    if not queries.can_be_read(card.account):
        raise CardRefused("Этот оператор не сообщает состояние смарт-карт: сверьте в его кабинете.")
    SmartCard.objects.filter(pk=card.pk).update(read_at=None)
    _note(
        card,
        "asked_again",
        "Попросили уточнить состояние у оператора",
        reason=reason,
        by=by,
        at=at,
    )
    wake("smartcards.read", account_id=card.account_id)


@transaction.atomic
def write_number(*, card: SmartCard, msisdn: str, reason: str, by: Actor, at: datetime) -> None:
    """Staff know the telephone number of a card; `msisdn` is E.164 without plus.

    A paid card that only lacked it comes on by itself. Raises CardRefused where that is its number
    already, another card bears it, or a command is open: that was addressed to the old number.
    """
    card = lock_card(card)
    if card.msisdn == msisdn:
        raise CardRefused("Этот номер у смарт-карты уже записан.")
    if SmartCard.objects.filter(msisdn=msisdn).exists():
        raise CardRefused("Этот номер записан у другой смарт-карты.")
    _check_not_busy(card)
    before, card.msisdn = card.msisdn, msisdn
    # What was read was read of the old number: the card is the next to be read.
    card.seen_msisdn, card.read_at = "", None
    card.save(update_fields=["msisdn", "seen_msisdn", "read_at"])
    _note(
        card,
        "number_written",
        "Записан номер смарт-карты",
        reason=reason,
        by=by,
        at=at,
        details={"before": before, "after": msisdn},
    )
    if card.merchant_id is not None:
        wake("smartcards.reconcile_merchant", merchant_id=card.merchant_id)


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
    if card.confirmed != Confirmed.ACTIVE:
        raise CardRefused("Смарт-карта и так отключена.")
    _check_not_busy(card)
    _note(
        card,
        "deactivation_requested",
        "Запрошено отключение",
        reason=reason,
        by=by,
        at=at,
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
    """The operator has retired the card: its paid place becomes free, and nobody wishes it on any more.

    Raises CardRefused without a reason, where the operator says otherwise, or while a command is open.
    """
    if not reason.strip():
        raise CardRefused("Укажите причину: клиент увидит её на странице смарт-карты.")
    if card.merchant is not None:
        coverage.lock_places(card.merchant)
    card = lock_card(card)
    if card.confirmed != Confirmed.RETIRED:
        raise CardRefused("Оператор эту смарт-карту не списывал.")
    _check_not_busy(card)
    coverage.leave_place(card, at=at)
    if card.wished_on:
        record_wish(card, on=False, by=by, at=at)
    _note(
        card,
        "written_off",
        "Смарт-карта списана: место в подписке свободно",
        reason=reason,
        by=by,
        at=at,
    )
    if card.merchant_id is not None:
        wake("smartcards.reconcile_merchant", merchant_id=card.merchant_id)


def _check_not_busy(card: SmartCard) -> None:
    if Command.objects.filter(card=card, state__in=OPEN_COMMANDS).exists():
        raise CardRefused(
            "Команда по этой смарт-карте ещё не закончена. Дождитесь ответа оператора."
        )


def _note(
    card: SmartCard,
    action: str,
    text: str,
    *,
    reason: str,
    by: Actor,
    at: datetime,
    details: dict[str, str] | None = None,
) -> None:
    audit.record(
        target=card,
        action=action,
        text=text,
        reason=reason,
        by=by,
        at=at,
        merchant_id=card.merchant_id,
        details=details,
    )
