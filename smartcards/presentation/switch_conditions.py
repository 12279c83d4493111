"""What the tariff and the contract with the operator add to a switch: price, pauses, the network's caution."""

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from cabinet.formatting import ru_format
from operators.models import OperatorAccount
from smartcards import commands, queries
from smartcards.models import SmartCard
from smartcards.presentation import display_format
from smartcards.states import CommandKind
from subscriptions.rules import SwitchTerms


@dataclass(frozen=True)
class Fee:
    """One item of what a switch costs."""

    term: str
    value: str


@dataclass(frozen=True)
class Terms:
    """`fee` is kopecks, named by `fee_name`; `warnings` are shown before the switch."""

    fee: int
    fee_name: str
    warnings: tuple[str, ...]

    @property
    def fees(self) -> tuple[Fee, ...]:
        """The fee as a list of sums, empty where the switch is free."""
        return (Fee(self.fee_name, ru_format.money(self.fee)),) if self.fee else ()

    @property
    def asks_first(self) -> bool:
        """Whether a page comes before the switch."""
        return bool(self.fee or self.warnings)


def activation_terms(card: SmartCard, zone: tzinfo, at: datetime) -> Terms:
    """Of «Активировать», for a card with its terms; no query."""
    found = queries.switch_terms_of(card, at)
    days = found.min_inactive_days
    ends = card.off_since + timedelta(days=days) if days and card.off_since else None
    warnings = []
    if ends is not None and ends > at:
        warnings.append(
            f"По условиям подключения смарт-карту отключают не меньше чем на {ru_format.days(days)}, "
            f"до {_day(ends, zone)} Если включить её раньше, "
            "может понадобиться дополнительная плата или включение задержится."
        )
    return Terms(found.activation_fee_kopecks, "Плата за включение", tuple(warnings))


def deactivation_terms(card: SmartCard, zone: tzinfo, at: datetime) -> Terms:
    """Of «Деактивировать», for a card with its terms: at most one query."""
    found = queries.switch_terms_of(card, at)
    warnings = filter(None, (_too_soon_off(card, found, zone, at), _stays_off(found, at, zone)))
    return Terms(found.deactivation_fee_kopecks, "Плата за отключение", tuple(warnings))


def switch_hints(card: SmartCard, kind: CommandKind, zone: tzinfo, at: datetime) -> tuple[str, ...]:
    """What is shown beside the button: one query where the contract has a pause between switches."""
    silent = kind == CommandKind.ACTIVATE and commands.may_be_held(card, at)
    return tuple(filter(None, (_silence(card) if silent else "", _pause(card, zone, at))))


def fee_text(found: SwitchTerms) -> str:
    """«включение 15 ₽», for a choice among cards; empty where it is free."""
    fee = found.activation_fee_kopecks
    return f"включение {ru_format.money(fee)}" if fee else ""


def held_back(card: SmartCard, zone: tzinfo, at: datetime) -> str:
    """«Сеть может придержать интернет до 23 ноября, 12:40»; empty where it does not."""
    if card.may_hold_until is None or card.may_hold_until <= at:
        return ""
    return f"Сеть может придержать интернет до {ru_format.by_then(card.may_hold_until, zone, at)}"


def held_back_advice(account: OperatorAccount) -> str:
    """Why that is, what to do first, and what then."""
    return (
        f"Смарт-карта молчала больше {display_format.hours(account.silence_hours)}, и сети "
        "проверяют такие карты: это правило связи, а не поломка. Касса печатает чеки и передаст их, "
        f"когда интернет вернётся. {_RESTART}: после долгой паузы это часто нужно модему. Не помогло — "
        "подождите: раньше срока ограничение снимает только контакт-центр оператора. "
        "Если интернета нет и после него, напишите нам."
    )


# A modem that was off the air for long often registers only when it starts anew.
_RESTART = f"Если через 10{ru_format.NBSP}минут после включения интернета нет, перезагрузите кассу"


def _silence(card: SmartCard) -> str:
    account = card.account
    silent = f"молчит больше {display_format.hours(account.silence_hours)}"
    since = "Смарт-карта" if card.off_since else "Смарт-карта, возможно,"
    return (
        f"{since} {silent}: после включения сеть может "
        f"до {display_format.hours(account.hold_hours)} придерживать интернет."
    )


def _pause(card: SmartCard, zone: tzinfo, at: datetime) -> str:
    allowed = queries.switch_allowed_at(card)
    if allowed is None or allowed <= at:
        return ""
    return f"По правилам оператора переключим не раньше {ru_format.by_then(allowed, zone, at)}."


def _too_soon_off(card: SmartCard, found: SwitchTerms, zone: tzinfo, at: datetime) -> str:
    days = found.min_active_days
    since = queries.switched_on_at(card) if days else None
    ends = since + timedelta(days=days) if since else None
    if ends is None or ends <= at:
        return ""
    length = ru_format.counted(days, "дня", "дней", "дней")
    return (
        f"По условиям подключения смарт-карта должна проработать не меньше {length}, "
        f"до {_day(ends, zone)} Если отключить её раньше, плату могут взять за весь срок."
    )


def _stays_off(found: SwitchTerms, at: datetime, zone: tzinfo) -> str:
    days = found.min_inactive_days
    if not days:
        return ""
    return (
        f"По условиям подключения отключают не меньше чем на {ru_format.days(days)}: включение раньше "
        f"{_day(at + timedelta(days=days), zone)} может стоить дополнительных денег."
    )


def _day(at: datetime, zone: tzinfo) -> str:
    return ru_format.day(at.astimezone(zone).date())
