"""What each card cost in a month: charged sums by day and card, in whole kopecks. Pure.

A charge is spread evenly over the days it pays for, and each month's share over the days of the cards that it
covered then. Paid places without a card take part like cards. Nothing is lost or made: all shares add up to the charge.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from subscriptions import pricing


@dataclass(frozen=True)
class Days:
    """Calendar days of the merchant, half-open: `first` up to `end`."""

    first: date
    end: date

    @property
    def number(self) -> int:
        return max(0, (self.end - self.first).days)

    def before(self, day: date) -> int:
        """How many of them lie before this day."""
        return min(max(0, (day - self.first).days), self.number)

    def within(self, month: "Days") -> int:
        """Those of them that lie in the month, as bits: the lowest is the month's first day."""
        return _first_bits(month.before(self.end)) & ~_first_bits(month.before(self.first))


def _first_bits(number: int) -> int:
    return (1 << number) - 1


@dataclass(frozen=True)
class PaidTime:
    """A sum in kopecks that pays for so many cards of a subscription on these days."""

    subscription_id: int
    days: Days
    cards: int
    kopecks: int

    def share(self, month: Days) -> int:
        """Kopecks for its days in the month."""
        total, number = self.kopecks, self.days.number
        until, since = self.days.before(month.end), self.days.before(month.first)
        return pricing.spent(total, until, number) - pricing.spent(total, since, number)


@dataclass(frozen=True)
class Costs:
    """By the card's id: days that were paid for it, and kopecks; `free`: kopecks for places without a card."""

    days: Mapping[int, int]
    kopecks: Mapping[int, int]
    free: int


# Days of the month as bits, by subscription and card.
Covered = Mapping[int, Mapping[int, int]]


def month_costs(paid: Iterable[PaidTime], covered: Covered, month: Days) -> Costs:
    """The costs of the month; `paid` has at least one day each."""
    days: dict[int, int] = {}
    kopecks: Counter[int] = Counter()
    free = 0
    for one in paid:
        bits = one.days.within(month)
        if not bits:
            continue
        used = {card: bits & on for card, on in covered.get(one.subscription_id, {}).items()}
        *parts, left = pricing.split(one.share(month), _weights(used, one.cards, bits))
        free += left
        for (card, on), part in zip(used.items(), parts, strict=True):
            days[card] = days.get(card, 0) | on
            kopecks[card] += part
    numbers = {card: on.bit_count() for card, on in days.items() if on}
    return Costs(numbers, {card: kopecks[card] for card in numbers}, free)


def _weights(used: Mapping[int, int], cards: int, bits: int) -> list[int]:
    """Days of each card, and last the days of paid places without one."""
    taken = [on.bit_count() for on in used.values()]
    places = cards * bits.bit_count()
    free = max(0, places - sum(taken))
    return [*taken, free if free or any(taken) else 1]
