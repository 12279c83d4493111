"""What the tariff and the contract with the operator add to a switch: price, pauses, the network's caution."""

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from cabinet import wording
from operators.models import OperatorAccount
from smartcards import commands, queries
from smartcards.models import SmartCard
from smartcards.pages import words
from subscriptions.rules import SwitchTerms


@dataclass(frozen=True)
class Fee:
    """One line of what a switch costs."""

    term: str
    value: str


@dataclass(frozen=True)
class Terms:
    """`fee` is kopecks; `warnings` are to be read before the deed, `hints` beside its button."""

    fee: int
    fees: tuple[Fee, ...]
    warnings: tuple[str, ...]
    hints: tuple[str, ...]

    @property
    def asks_first(self) -> bool:
        """Whether the deed wants a page of its own."""
        return bool(self.fee or self.warnings)


def activation_terms(card: SmartCard, zone: tzinfo, at: datetime) -> Terms:
    """Of «Активировать», for a card with its terms: one query where the contract has a pause between
    switches, else none.
    """
    found = queries.switch_terms_of(card, at)
    silence = (_silence(card),) if commands.may_be_held(card, at) else ()
    return Terms(
        fee=found.activation_fee_kopecks,
        fees=_fees("Плата за включение", found.activation_fee_kopecks),
        warnings=_too_soon_on(card, found, zone, at),
        hints=(*silence, *_pause(card, zone, at)),
    )


def deactivation_terms(card: SmartCard, zone: tzinfo, at: datetime) -> Terms:
    """Of «Деактивировать», for a card with its terms: at most two queries."""
    found = queries.switch_terms_of(card, at)
    return Terms(
        fee=found.deactivation_fee_kopecks,
        fees=_fees("Плата за отключение", found.deactivation_fee_kopecks),
        warnings=(*_too_soon_off(card, found, zone, at), *_stays_off(found, at, zone)),
        hints=_pause(card, zone, at),
    )


def asks_before_activation(card: SmartCard, at: datetime) -> bool:
    """Whether «Активировать» has a price or a condition to be read first; no query for a card with
    its terms.
    """
    found = queries.switch_terms_of(card, at)
    return bool(found.activation_fee_kopecks) or _off_till(card, found, at) is not None


def fee_line(found: SwitchTerms) -> str:
    """«включение 15 ₽», for a choice among cards; empty where it is free."""
    fee = found.activation_fee_kopecks
    return f"включение {wording.money(fee)}" if fee else ""


def held_back(card: SmartCard, zone: tzinfo, at: datetime) -> str:
    """«Сеть может придержать интернет до 23 ноября, 12:40»; empty where it does not."""
    if card.may_hold_until is None or card.may_hold_until <= at:
        return ""
    return f"Сеть может придержать интернет до {words.by_then(card.may_hold_until, zone, at)}"


def held_back_advice(account: OperatorAccount) -> str:
    """Why that is, and what to do."""
    return (
        f"Смарт-карта молчала больше {words.hours(account.silence_hours)}, и сети проверяют такие карты: это правило "
        "связи, а не поломка. Ничего делать не нужно: касса печатает чеки и передаст их, когда интернет вернётся. "
        "Быстрее ограничение снимает только контакт-центр оператора. Если интернета нет и после этого времени, "
        "напишите нам."
    )


def _fees(term: str, kopecks: int) -> tuple[Fee, ...]:
    return (Fee(term, wording.money(kopecks)),) if kopecks else ()


def _silence(card: SmartCard) -> str:
    account = card.account
    silent = f"молчит больше {words.hours(account.silence_hours)}"
    since = "Смарт-карта" if card.off_since else "Смарт-карта, возможно,"
    return (
        f"{since} {silent}: после включения сеть может "
        f"до {words.hours(account.hold_hours)} придерживать интернет."
    )


def _pause(card: SmartCard, zone: tzinfo, at: datetime) -> tuple[str, ...]:
    allowed = queries.switch_allowed_at(card)
    if allowed is None or allowed <= at:
        return ()
    return (f"По правилам оператора переключим не раньше {words.by_then(allowed, zone, at)}.",)


def _off_till(card: SmartCard, found: SwitchTerms, at: datetime) -> datetime | None:
    """The end of the shortest time that the card is to be off, if it is still to come."""
    if not found.min_inactive_days or card.off_since is None:
        return None
    ends = card.off_since + timedelta(days=found.min_inactive_days)
    return ends if ends > at else None


def _too_soon_on(
    card: SmartCard, found: SwitchTerms, zone: tzinfo, at: datetime
) -> tuple[str, ...]:
    ends = _off_till(card, found, at)
    if ends is None:
        return ()
    said = (
        f"По условиям подключения смарт-карту отключают не меньше чем на "
        f"{wording.days(found.min_inactive_days)}, до {_day(ends, zone)} Если включить её раньше, "
        "может понадобиться дополнительная плата или включение задержится."
    )
    return (said,)


def _too_soon_off(
    card: SmartCard, found: SwitchTerms, zone: tzinfo, at: datetime
) -> tuple[str, ...]:
    days = found.min_active_days
    since = queries.switched_on_at(card) if days else None
    ends = since + timedelta(days=days) if since else None
    if ends is None or ends <= at:
        return ()
    said = (
        f"По условиям подключения смарт-карта должна проработать не меньше {_days_of(days)}, "
        f"до {_day(ends, zone)} Если отключить её раньше, плату могут взять за весь срок."
    )
    return (said,)


def _stays_off(found: SwitchTerms, at: datetime, zone: tzinfo) -> tuple[str, ...]:
    days = found.min_inactive_days
    if not days:
        return ()
    said = (
        f"По условиям подключения отключают не меньше чем на {wording.days(days)}: включение раньше "
        f"{_day(at + timedelta(days=days), zone)} может стоить дополнительных денег."
    )
    return (said,)


def _days_of(days: int) -> str:
    return wording.counted(days, "дня", "дней", "дней")


def _day(at: datetime, zone: tzinfo) -> str:
    return wording.day(at.astimezone(zone).date())
