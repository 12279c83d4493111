"""Words and numbers of a card that several pages show in one way."""

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from cabinet import wording
from cabinet.wording import NBSP
from operators.models import OperatorAccount
from operators.windows import MOSCOW
from smartcards import board
from smartcards.models import SmartCard
from smartcards.verdicts import how_long


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


@dataclass(frozen=True)
class Promise:
    """How long a switch takes: seconds, rounded up to what is said, and the sentence without its dot.

    Where more than a few wait longer by now, it says so instead of the worst time, or of both; see
    `board.Outlook`.
    """

    usual: int
    worst: int
    waits: int = 0
    usual_holds: bool = True

    def __str__(self) -> str:
        usual, worst = _up_to(self.usual), _up_to(self.worst)
        if self.waits:
            return self._slower(usual)
        return f"Обычно {usual}" if usual == worst else f"Обычно {usual}, в редких случаях {worst}"

    def _slower(self, usual: str) -> str:
        now = f"запросы ждут уже {how_long(timedelta(seconds=self.waits), units=1)}"
        if self.usual_holds:
            return f"Обычно {usual}, но сейчас некоторые {now}"
        return f"Сейчас дольше обычного: {now}"


def promise_of(account: OperatorAccount, at: datetime) -> Promise:
    """«Обычно до 2 минут, в редких случаях до суток»: measured, else the contract's own times.

    A few queries each five minutes for an operator, mostly none.
    """
    told = board.outlook(account, at=at)
    usual, worst = _rounded_up(told.usual), _rounded_up(told.worst)
    return Promise(usual, max(usual, worst), told.waits, told.usual_holds)


def _rounded_up(seconds: int) -> int:
    """What is said as «до 2 минут» must not be 149 seconds."""
    length = next((unit for least, unit, *_ in wording.ABOUT if seconds >= least), None)
    return math.ceil(seconds / length) * length if length else board.SHORTEST_PROMISE


def _up_to(seconds: int) -> str:
    if seconds <= board.SHORTEST_PROMISE:
        return f"до{NBSP}минуты"
    # The words after «около» and after «до» stand in the same case.
    return wording.about(timedelta(seconds=seconds)).replace("около", "до", 1)


HOME = "МСК"


def zone_name(zone: tzinfo, at: datetime) -> str:
    """«МСК», «МСК+7»: how the hour of a zone is told in Russia."""
    ahead = _offset(at, zone) - _offset(at, MOSCOW)
    hours, minutes = divmod(abs(ahead) // 60, 60)
    sign = wording.MINUS if ahead < 0 else "+"
    return f"{HOME}{sign}{hours}{f':{minutes:02}' if minutes else ''}" if ahead else HOME


def _offset(at: datetime, zone: tzinfo) -> int:
    offset = at.astimezone(zone).utcoffset() or timedelta()
    return int(offset.total_seconds())


def of_operator(title: str) -> str:
    """What stands after «у»: «МТС», «Билайна», «Партнёр-Телекома»; names of several words are quoted."""
    if " " in title:
        return f"оператора «{title}»"
    return f"{title}а" if _DECLINED.search(title) else title


# A Russian word that ends on a consonant; abbreviations and foreign names stay as they are.
_DECLINED = re.compile(r"[а-яё][бвгдзклмнпрстфхцчшщ]$")
