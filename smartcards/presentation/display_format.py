"""Names, numbers and times that several pages show in one way."""

import math
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cabinet.formatting import ru_format
from cabinet.formatting.ru_format import NBSP
from operators.models import OperatorAccount
from smartcards.models import SmartCard
from smartcards.monitoring.operator_health import how_long
from smartcards.monitoring.switch_eta import SHORTEST_SECONDS, SwitchEta, switch_eta


@dataclass(frozen=True)
class CardName:
    """How pages name a card. `title`: its terminal, else its label, else its last digits."""

    pk: int
    title: str
    label: str
    terminal: str
    shop: str
    operator: str
    iccid: str
    msisdn: str

    @property
    def location(self) -> str:
        """«Касса 1, Магазин на Ленина»; empty for a card without a terminal."""
        return ", ".join(filter(None, (self.terminal, self.shop)))

    @property
    def tail(self) -> str:
        """The last four digits of the ICCID: the ones people look for."""
        return self.iccid[-4:]

    @property
    def groups(self) -> tuple[str, ...]:
        """The ICCID as people compare it with the plastic: fours, and the last four apart."""
        return (*ru_format.iccid_groups(self.iccid[:-4]), self.tail)


def name_of(card: SmartCard) -> CardName:
    """The name of a card that comes with its account, terminal and shop."""
    terminal = card.terminal
    return CardName(
        pk=card.pk,
        title=terminal.name if terminal else card.label or short_name(card),
        label=card.label,
        terminal=terminal.name if terminal else "",
        shop=terminal.shop.name if terminal and terminal.shop else "",
        operator=card.account.title,
        iccid=card.iccid,
        msisdn=card.msisdn,
    )


def short_name(card: SmartCard) -> str:
    """«Смарт-карта …6789»: what a card is called where nobody has named it."""
    return f"Смарт-карта{NBSP}…{card.iccid[-4:]}"


def hours(number: int) -> str:
    """«72 часов»: as it stands after «больше» and «до»."""
    return ru_format.counted(number, "часа", "часов", "часов")


def eta_of(account: OperatorAccount, at: datetime) -> SwitchEta:
    """How long a switch takes, in seconds rounded up to what is shown: measured, else the contract's times.

    A few queries each five minutes for an operator, mostly none.
    """
    eta = switch_eta(account, at=at)
    usual, worst = _rounded_up(eta.usual), _rounded_up(eta.worst)
    return replace(eta, usual=usual, worst=max(usual, worst))


def eta_text(eta: SwitchEta) -> str:
    """«Обычно до 2 минут, в редких случаях до суток», without the full stop, of what `eta_of` returns.

    Where more than a few wait longer by now, this is shown instead of the worst time, or of both.
    """
    usual, worst = _up_to(eta.usual), _up_to(eta.worst)
    now = f"запросы ждут уже {how_long(timedelta(seconds=eta.waits), units=1)}"
    if eta.waits and eta.usual_is_met:
        return f"Обычно {usual}, но сейчас некоторые {now}"
    if eta.waits:
        return f"Сейчас дольше обычного: {now}"
    return f"Обычно {usual}" if usual == worst else f"Обычно {usual}, в редких случаях {worst}"


def _rounded_up(seconds: int) -> int:
    """What is shown as «до 2 минут» must not be 149 seconds."""
    length = next((unit for least, unit, *_ in ru_format.ABOUT if seconds >= least), None)
    return math.ceil(seconds / length) * length if length else SHORTEST_SECONDS


def _up_to(seconds: int) -> str:
    if seconds <= SHORTEST_SECONDS:
        return f"до{NBSP}минуты"
    # «около» and «до» take the same case.
    return ru_format.about(timedelta(seconds=seconds)).replace("около", "до", 1)


def of_operator(title: str) -> str:
    """The form after «у»: «МТС», «Билайна», «Партнёр-Телекома»; names with a space are quoted."""
    if " " in title:
        return f"оператора «{title}»"
    return f"{title}а" if _DECLINED.search(title) else title


# A Russian name that ends on a consonant; abbreviations and foreign names stay as they are.
_DECLINED = re.compile(r"[а-яё][бвгдзклмнпрстфхцчшщ]$")
