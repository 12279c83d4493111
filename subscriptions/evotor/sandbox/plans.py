"""The played market's own price list and calendar. Prices are invented, in kopecks."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Moscow")
HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Plan:
    """A tariff of the market: months of its period, kopecks for one card and the whole period."""

    id: str
    title: str
    months: int
    kopecks: int


PLANS = (
    Plan("kassovye-1m", "1 месяц", 1, 300_00),
    Plan("kassovye-3m", "3 месяца", 3, 810_00),
    Plan("kassovye-12m", "12 месяцев", 12, 3_000_00),
)


def plan_of(plan_id: str) -> Plan:
    """The plan; one that is not on the list (a script may try it) costs as much as the first."""
    known = {plan.id: plan for plan in PLANS}
    return known.get(plan_id) or Plan(plan_id, plan_id, PLANS[0].months, PLANS[0].kopecks)


def months_later(at: datetime, months: int, anchor_day: int) -> datetime:
    """The same time of day, `months` later, on the anchor's day or the last one of a short month."""
    local = at.astimezone(ZONE)
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    day = min(anchor_day, monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day).astimezone(at.tzinfo)


def local_day(at: datetime) -> date:
    """The calendar day in the market's zone."""
    return at.astimezone(ZONE).date()


@dataclass(frozen=True)
class Taken:
    """A plan taken for so many cards."""

    plan: Plan
    cards: int

    @property
    def kopecks(self) -> int:
        """What a whole period costs."""
        return self.plan.kopecks * self.cards

    def daily(self, since: datetime) -> Fraction:
        """What a day costs in a period that begins at `since`."""
        end = months_later(since, self.plan.months, local_day(since).day)
        return Fraction(self.kopecks, (local_day(end) - local_day(since)).days)


def change_kopecks(
    *, old: Taken, new: Taken, since: datetime, until: datetime, at: datetime
) -> int:
    """What a change at `at` costs in the paid stretch since..until; 0 on the way down.

    The difference of the daily prices for the days left, the day of the change included.
    """
    days = (local_day(until) - local_day(since)).days
    was = Fraction(old.kopecks, max(days, 1))
    left = max(0, (local_day(until) - local_day(at)).days)
    now = Fraction(new.kopecks, max(days, 1)) if new.plan == old.plan else new.daily(since)
    return max(0, int((now - was) * left + HALF))


def tries(due: datetime, number: int) -> datetime:
    """When the market tries to charge for the `number`-th time (from 0): once a day."""
    return due + timedelta(days=number)
