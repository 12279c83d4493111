"""What a stretch of paid time costs. Integer kopecks everywhere; rounding in one place.

The same function makes the sum shown before «Подтвердить» and the sum charged. For a market
subscription the figure is only an estimate: the market's own charge rules.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import date
from itertools import pairwise

from subscriptions.periods import add_months


@dataclass(frozen=True)
class Line:
    """One row of an estimate: words for a person, how many cards, kopecks (negative: credited)."""

    what: str
    cards: int
    kopecks: int


@dataclass(frozen=True)
class Estimate:
    """What will be charged and why; the lines always add up to the total."""

    lines: tuple[Line, ...]

    @property
    def total_kopecks(self) -> int:
        """The sum to charge, in kopecks; never negative, since nothing is returned."""
        return sum(line.kopecks for line in self.lines)

    @property
    def fingerprint(self) -> str:
        """A hash of every line for the confirming form: another hash means «show it again»."""
        rows = json.dumps([asdict(line) for line in self.lines], sort_keys=True)
        return hashlib.sha256(rows.encode()).hexdigest()


@dataclass(frozen=True)
class Terms:
    """A tariff as bought: its name, kopecks for one card and whole period, cards, days of it.

    Raises ValueError for negative money or cards and for a period without days.
    """

    tariff: str
    card_kopecks: int
    cards: int
    days: int

    def __post_init__(self) -> None:
        if self.days < 1:
            raise ValueError("a period has at least one day")
        price(self.card_kopecks, self.cards)

    @property
    def kopecks(self) -> int:
        """The price of the whole period for all cards, in kopecks."""
        return price(self.card_kopecks, self.cards)


def price(tariff_price_kopecks_per_card: int, cards: int) -> int:
    """Kopecks for one whole period of `cards` cards. Raises ValueError for a negative argument."""
    if tariff_price_kopecks_per_card < 0 or cards < 0:
        raise ValueError("money and cards are never negative")
    return tariff_price_kopecks_per_card * cards


def spent(total_kopecks: int, days_gone: int, days: int) -> int:
    """Kopecks of `total_kopecks` that the first `days_gone` of `days` days have used up.

    The only place that rounds, half a kopeck up. Every other share is a difference of two of these,
    so shares always add up to the total. Raises ValueError for a period without days.
    """
    if days < 1:
        raise ValueError("a period has at least one day")
    return (2 * total_kopecks * days_gone + days) // (2 * days)


def remaining(total_kopecks: int, days_left: int, days: int) -> int:
    """Kopecks that the last `days_left` days cost where `days` days cost `total_kopecks`.

    More days than the period has go on at the same daily price. Raises ValueError for a negative
    number of days.
    """
    if days_left < 0:
        raise ValueError("days left are never negative")
    return total_kopecks - spent(total_kopecks, days - days_left, days)


def daily_shares(total_kopecks: int, days: int) -> tuple[int, ...]:
    """The total cut into days, in kopecks: their sum is the total, no two differ by more than 1."""
    marks = [spent(total_kopecks, gone, days) for gone in range(days + 1)]
    return tuple(after - before for before, after in pairwise(marks))


def estimate_renewal(terms: Terms) -> Estimate:
    """The price of the next whole period on `terms`."""
    return Estimate((Line(f"Тариф «{terms.tariff}»", terms.cards, terms.kopecks),))


def estimate_period(
    *, tariff: str, card_kopecks: int, cards: int, months: int, starts_on: date
) -> Estimate:
    """The price of the next whole period, which begins on `starts_on` and lasts so many months."""
    days = (add_months(starts_on, months) - starts_on).days
    return estimate_renewal(Terms(tariff, card_kopecks, cards, days))


def estimate_change(*, current: Terms, wanted: Terms, days_left: int) -> Estimate:
    """What a change of cards or tariff inside a paid period costs now.

    The difference of the daily prices for the days left, the day of the change included; nothing is
    returned on the way down (Evotor, billing/doc_tariffs.md, 2018: 90 ₽ paid on 1 April, a 180 ₽
    plan from the 15th, 48 ₽ more). Raises ValueError unless 0 <= days_left <= current.days.
    """
    if days_left > current.days:
        raise ValueError("no more days can be left than the period has")
    more = _difference(current, wanted, days_left)
    if not more:
        return Estimate((_free_line(current, wanted),))
    if _same_tariff(current, wanted):
        return Estimate((_extra_cards_line(current, wanted, more),))
    return Estimate(_replacement_lines(current, wanted, more, days_left))


def _difference(current: Terms, wanted: Terms, days_left: int) -> int:
    # Over a common number of days the difference is one fraction, so it is rounded once.
    dearer = wanted.kopecks * current.days - current.kopecks * wanted.days
    return remaining(max(dearer, 0), days_left, current.days * wanted.days)


def _same_tariff(current: Terms, wanted: Terms) -> bool:
    return (current.tariff, current.card_kopecks, current.days) == (
        wanted.tariff,
        wanted.card_kopecks,
        wanted.days,
    )


def _free_line(current: Terms, wanted: Terms) -> Line:
    if (current.kopecks, current.days) == (wanted.kopecks, wanted.days):
        return Line(f"Тариф «{wanted.tariff}», без\u00a0доплаты", wanted.cards, 0)
    return Line(f"Тариф «{wanted.tariff}» со\u00a0следующего периода", wanted.cards, 0)


def _extra_cards_line(current: Terms, wanted: Terms, kopecks: int) -> Line:
    what = f"Дополнительно по\u00a0тарифу «{wanted.tariff}» до\u00a0конца периода"
    return Line(what, wanted.cards - current.cards, kopecks)


def _replacement_lines(
    current: Terms, wanted: Terms, more: int, days_left: int
) -> tuple[Line, Line]:
    credited = remaining(current.kopecks, days_left, current.days)
    return (
        Line(f"Тариф «{wanted.tariff}» до\u00a0конца периода", wanted.cards, more + credited),
        Line(f"Зачтено за\u00a0тариф «{current.tariff}»", current.cards, -credited),
    )
