"""The stretches of trial and paid time of one market subscription, and how events reshape them.

Every function takes and returns a tuple of periods that is sorted, half-open, free of empty ones
and free of overlaps.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

Addons = tuple[tuple[str, int], ...]


class PeriodKind(StrEnum):
    """What a stretch of time is."""

    TRIAL = "trial"
    PAID = "paid"


@dataclass(frozen=True)
class Terms:
    """A plan, a number of terminals and the paid options (pairs of id and quantity, sorted)."""

    plan_id: str | None
    devices: int
    addons: Addons

    def cards(self, addon_id: str | None) -> int:
        """Terminals plus the quantity of the option `addon_id`."""
        return self.devices + sum(quantity for key, quantity in self.addons if key == addon_id)

    def at_least(self, floor: "Terms") -> "Terms":
        """These terms with no number below the one in `floor`."""
        devices = max(self.devices, floor.devices)
        return Terms(self.plan_id, devices, larger(self.addons, floor.addons))


@dataclass(frozen=True)
class FoldedPeriod:
    """One stretch [starts_at, ends_at) in UTC and the terms it was given for.

    `charged_kopecks` is None where the market named no sum in roubles; after a change of terms the
    later piece carries only what that change cost and `continues` the paid stretch before it.
    """

    kind: PeriodKind
    starts_at: datetime
    ends_at: datetime
    plan_id: str | None
    devices: int
    addons: Addons
    charged_kopecks: int | None = None
    continues: bool = False

    @property
    def terms(self) -> Terms:
        """Plan, terminals and options of this stretch."""
        return Terms(self.plan_id, self.devices, self.addons)

    def cards(self, addon_id: str | None) -> int:
        """How many cards this stretch pays for."""
        return self.terms.cards(addon_id)


Periods = tuple[FoldedPeriod, ...]


def larger(one: Addons, other: Addons) -> Addons:
    """For each option the larger of two quantities."""
    quantities = dict(one)
    for key, quantity in other:
        quantities[key] = max(quantity, quantities.get(key, 0))
    return tuple(sorted(quantities.items()))


def add_period(
    periods: Periods,
    kind: PeriodKind,
    starts_at: datetime,
    ends_at: datetime,
    terms: Terms,
) -> Periods:
    """`periods` and a new one behind what is paid already; a trial gives way to a payment.

    Nothing is added where everything up to `ends_at` is paid already.
    """
    paid_ends = [period.ends_at for period in periods if period.kind is PeriodKind.PAID]
    start = max([starts_at, *paid_ends])
    if start >= ends_at:
        return periods
    new = FoldedPeriod(kind, start, ends_at, terms.plan_id, terms.devices, terms.addons)
    return (*cut_at(periods, start), new)


def cut_at(periods: Periods, at: datetime) -> Periods:
    """What of `periods` lies before `at`."""
    before = (period for period in periods if period.starts_at < at)
    return tuple(replace(period, ends_at=min(period.ends_at, at)) for period in before)


def move_last_end(periods: Periods, ends_at: datetime) -> Periods:
    """`periods` with the last one lasting until `ends_at`."""
    return (*periods[:-1], replace(periods[-1], ends_at=ends_at))


def change_terms(periods: Periods, at: datetime, terms: Terms, charged: int | None) -> Periods:
    """`periods` with `terms` from `at` on; the first one touched takes the charge.

    A period that runs at `at` is split, but keeps what it was paid for: a smaller number waits for
    the next billing date. Periods that have not begun take the terms as they are.
    """
    changed: list[FoldedPeriod] = []
    for period in periods:
        if period.ends_at <= at:
            changed.append(period)
            continue
        changed += _with_terms(period, at, terms, charged)
        charged = None
    return tuple(changed)


def _with_terms(
    period: FoldedPeriod, at: datetime, terms: Terms, charged: int | None
) -> list[FoldedPeriod]:
    begun = period.starts_at < at or period.continues
    told = terms.at_least(period.terms) if begun else terms
    if period.starts_at >= at or told == period.terms:
        return [_charged(_retold(period, told), charged)]
    later = replace(_retold(period, told), starts_at=at, charged_kopecks=charged, continues=True)
    return [replace(period, ends_at=at), later]


def _retold(period: FoldedPeriod, terms: Terms) -> FoldedPeriod:
    return replace(period, plan_id=terms.plan_id, devices=terms.devices, addons=terms.addons)


def _charged(period: FoldedPeriod, kopecks: int | None) -> FoldedPeriod:
    if kopecks is None:
        return period
    return replace(period, charged_kopecks=(period.charged_kopecks or 0) + kopecks)
