"""Words and numbers of a card that several pages show in one way."""

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from cabinet import wording
from cabinet.wording import NBSP
from operators.models import OperatorAccount
from smartcards.models import SmartCard


@dataclass(frozen=True)
class Number:
    """An ICCID as people compare it with the plastic: fours, and the last four apart."""

    whole: str
    groups: tuple[str, ...]
    tail: str


def number_of(card: SmartCard) -> Number:
    """The ICCID of a card; its last four digits are the ones people look for."""
    head, tail = card.iccid[:-4], card.iccid[-4:]
    return Number(whole=card.iccid, groups=(*wording.iccid_groups(head), tail), tail=tail)


def short_name(card: SmartCard) -> str:
    """«Смарт-карта …6789»: what a card is called where nobody has named it."""
    return f"Смарт-карта{NBSP}…{card.iccid[-4:]}"


def title_of(card: SmartCard) -> str:
    """The till where the card works, else its label, else its last digits."""
    if card.terminal is not None:
        return card.terminal.name
    return card.label or short_name(card)


def place_of(card: SmartCard) -> str:
    """«Касса 1, Магазин на Ленина»; empty for a card without a till."""
    if card.terminal is None:
        return ""
    shop = card.terminal.shop
    return f"{card.terminal.name}, {shop.name}" if shop else card.terminal.name


def by_then(at: datetime, zone: tzinfo, now: datetime) -> str:
    """What stands after «до» and «не раньше»: «12:40» of today, «23 ноября, 12:40» of another day."""
    local = at.astimezone(zone)
    hour = wording.clock_time(at, zone)
    if local.date() == now.astimezone(zone).date():
        return hour
    return f"{wording.day_short(local)}, {hour}"


def hours(number: int) -> str:
    """«72 часов»: as it stands after «больше» and «до»."""
    return wording.counted(number, "часа", "часов", "часов")


def promise_of(account: OperatorAccount) -> str:
    """«Обычно до 2 минут, в редких случаях до суток»: the operator's own times."""
    usual, worst = _up_to(account.usual_seconds), _up_to(account.worst_seconds)
    return f"Обычно {usual}, в редких случаях {worst}"


def _up_to(seconds: int) -> str:
    # The words after «около» and after «до» stand in the same case.
    return wording.about(timedelta(seconds=seconds)).replace("около", "до", 1)
