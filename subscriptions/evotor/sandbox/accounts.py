"""What the market knows: its tariffs (kopecks), its merchants, what they installed and pay for."""

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AliasChoices, Field

from cabinet.formatting import ru_format
from subscriptions.demo import TARIFFS
from subscriptions.periods import days_of, nth_end
from subscriptions.pricing import Terms, estimate_change

ZONE = ZoneInfo("Europe/Moscow")


@dataclass(frozen=True)
class Plan:
    """A tariff of the market: months of its period, kopecks for one card and the whole period."""

    id: str
    title: str
    months: int
    kopecks: int


PLANS = tuple(
    Plan(plan_id, ru_format.months(months), months, kopecks)
    for plan_id, _, months, kopecks in TARIFFS
)


def plan_of(plan_id: str) -> Plan:
    """The plan; one that is not on the list (a script may try it) costs as much as the first."""
    known = {plan.id: plan for plan in PLANS}
    return known.get(plan_id) or Plan(plan_id, plan_id, PLANS[0].months, PLANS[0].kopecks)


def months_later(at: datetime, months: int, anchor_day: int) -> datetime:
    """The same time of day, `months` later, on the anchor's day or the last one of a short month."""
    local = at.astimezone(ZONE)
    day = nth_end(anchor_day, local.date(), months)
    return datetime.combine(day, local.timetz()).astimezone(at.tzinfo)


def local_day(at: datetime) -> date:
    """The calendar day in the market's zone."""
    return at.astimezone(ZONE).date()


@dataclass(frozen=True)
class PricedPlan:
    """A plan for so many cards."""

    plan: Plan
    cards: int

    @property
    def kopecks(self) -> int:
        """What a whole period costs."""
        return self.plan.kopecks * self.cards


def change_kopecks(
    *, old: PricedPlan, new: PricedPlan, since: datetime, until: datetime, at: datetime
) -> int:
    """What a change at `at` costs in the paid period since..until; 0 on the way down.

    The difference of the daily prices for the days left, the day of the change included.
    """
    first, last = local_day(since), local_day(until)
    old_days, new_days = (days_of(one.plan.months, first, last) for one in (old, new))
    left = min(max(0, (last - local_day(at)).days), (last - first).days)
    current = Terms(old.plan.title, old.plan.kopecks, old.cards, old_days)
    wanted = Terms(new.plan.title, new.plan.kopecks, new.cards, new_days)
    return estimate_change(current=current, wanted=wanted, days_left=left).total_kopecks


def number_of(user_id: str) -> int:
    """The number in a user id, for names and ids of the market's own; some are hexadecimal."""
    digits = user_id[3:]
    return int(digits, 10 if digits.isdecimal() else 16)


class Billing(StrEnum):
    """What happens when a payment is due."""

    PAYS = "pays"
    REFUSES = "refuses"
    BY_HAND = "by_hand"  # a script acts for the market: nothing happens by itself


class NotPossible(Exception):
    """The market refuses; the sentence is Russian and shown to a person."""


@dataclass
class MarketSubscription:
    """A subscription as the market keeps it. `addons` are the paid options, id to quantity."""

    id: str
    plan_id: str
    devices: int
    addons: dict[str, int]
    created_at: datetime
    number: int = 0  # of its last event
    trial_until: datetime | None = None
    period_from: datetime | None = None
    paid_until: datetime | None = None
    anchor_day: int = 1
    stop_requested: bool = False
    ended_at: datetime | None = None
    failed_tries: int = 0

    @property
    def live(self) -> bool:
        """Not terminated."""
        return self.ended_at is None

    @property
    def plan(self) -> Plan:
        """The tariff."""
        return plan_of(self.plan_id)

    @property
    def priced_plan(self) -> PricedPlan:
        """The tariff for all cards, those of the options included."""
        return PricedPlan(self.plan, self.devices + sum(self.addons.values()))

    @property
    def due(self) -> datetime:
        """When the next payment is due; at once where nothing was tried or paid."""
        return self.paid_until or self.trial_until or self.created_at


# Files of before name these fields «deal» and «holdings».
_SUBSCRIPTION = Field(validation_alias=AliasChoices("subscription", "deal"))
_MODULES = Field(validation_alias=AliasChoices("modules", "holdings"))


@dataclass
class ModuleState:
    """One of our modules at one merchant."""

    installed: bool = False
    subscription: Annotated[MarketSubscription | None, _SUBSCRIPTION] = None

    @property
    def last_subscription(self) -> MarketSubscription:
        """The running or the ended subscription. Raises NotPossible without one."""
        if self.subscription is None:
            raise NotPossible("Продлевать нечего: модуль ещё не установлен.")
        return self.subscription

    @property
    def live_subscription(self) -> MarketSubscription:
        """The running subscription. Raises NotPossible without one."""
        if self.subscription is None or not self.subscription.live:
            raise NotPossible("Действующей подписки нет: модуль нужно установить.")
        return self.subscription


@dataclass
class Account:
    """A merchant of the market. `token` is the product's answer to user/create."""

    user_id: str
    name: str
    cloud_token: str
    token: str = ""
    billing: Billing = Billing.PAYS
    modules: Annotated[dict[str, ModuleState], _MODULES] = field(default_factory=dict)

    def module(self, product_id: str) -> ModuleState:
        """What the merchant has of this module; an empty one where it has nothing."""
        return self.modules.setdefault(product_id, ModuleState())
