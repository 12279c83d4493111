"""What paid time costs. Integer kopecks everywhere; rounding in one place.

The same function makes the sum shown before «Подтвердить» and the sum charged. For a market
subscription the figure is only an estimate: the market's own charge rules.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate


@dataclass(frozen=True)
class EstimateRow:
    """One row of an estimate: a Russian label, how many cards, kopecks (negative: credited)."""

    what: str
    cards: int
    kopecks: int


@dataclass(frozen=True)
class Estimate:
    """What will be charged and why; the rows always add up to the total."""

    rows: tuple[EstimateRow, ...]

    @property
    def total_kopecks(self) -> int:
        """The sum to charge, in kopecks; never negative, since nothing is returned."""
        return sum(row.kopecks for row in self.rows)

    @property
    def fingerprint(self) -> str:
        """A hash of every row for the confirming form: another hash means «show it again»."""
        rows = json.dumps([asdict(row) for row in self.rows], sort_keys=True)
        return hashlib.sha256(rows.encode()).hexdigest()


@dataclass(frozen=True)
class Terms:
    """A tariff as bought: its period in words, kopecks for one card and whole period, cards, days of it.

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


def split(total_kopecks: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Parts of a sum in proportion to the weights; they add up to it, each within a kopeck of its exact share.

    Raises ValueError where no weight is above zero or one is below.
    """
    whole = sum(weights)
    if whole < 1 or min(weights) < 0:
        raise ValueError("weights are never negative, and one is above zero")
    used = [spent(total_kopecks, gone, whole) for gone in accumulate(weights)]
    return tuple(after - before for before, after in zip([0, *used], used, strict=False))


def remaining(total_kopecks: int, days_left: int, days: int) -> int:
    """Kopecks that the last `days_left` days cost where `days` days cost `total_kopecks`.

    More days than the period has go on at the same daily price. Raises ValueError for a negative
    number of days.
    """
    if days_left < 0:
        raise ValueError("days left are never negative")
    return total_kopecks - spent(total_kopecks, days - days_left, days)


def estimate_period(*, tariff: str, card_kopecks: int, cards: int) -> Estimate:
    """The price of the next whole period. Raises ValueError for a negative sum or number."""
    return Estimate((EstimateRow(tariff, cards, price(card_kopecks, cards)),))


def estimate_change(
    *, current: Terms, wanted: Terms, days_left: int, until: str = "конца периода"
) -> Estimate:
    """What a change of cards or tariff inside a paid period costs now.

    The difference of the daily prices for the days left, the day of the change included; nothing is
    returned on the way down (Evotor, billing/doc_tariffs.md, 2018: 90 ₽ paid on 1 April, a 180 ₽
    plan from the 15th, 48 ₽ more). More days than a tariff's own period has go on at its daily price.
    `until` is the day at which the period ends, as a Russian text. Raises ValueError for a negative
    number of days.
    """
    more = _difference(current, wanted, days_left)
    if not more:
        return Estimate((_free_row(current, wanted),))
    if _same_tariff(current, wanted):
        what = f"Доплата до\u00a0{until}"
        return Estimate((EstimateRow(what, wanted.cards - current.cards, more),))
    return Estimate(_replacement_rows(current, wanted, more, days_left, until))


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


def _free_row(current: Terms, wanted: Terms) -> EstimateRow:
    if (current.kopecks, current.days) == (wanted.kopecks, wanted.days):
        return EstimateRow(f"{wanted.tariff}, без\u00a0доплаты", wanted.cards, 0)
    return EstimateRow(f"{wanted.tariff} со\u00a0следующего списания", wanted.cards, 0)


def _replacement_rows(
    current: Terms, wanted: Terms, more: int, days_left: int, until: str
) -> tuple[EstimateRow, EstimateRow]:
    credited = remaining(current.kopecks, days_left, current.days)
    return (
        EstimateRow(f"{wanted.tariff}, часть до\u00a0{until}", wanted.cards, more + credited),
        EstimateRow(f"Зачтено за\u00a0{current.tariff}", current.cards, -credited),
    )
