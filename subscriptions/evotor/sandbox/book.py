"""What the played market knows: its merchants, what they installed and what they pay for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from subscriptions.evotor.sandbox.plans import Plan, Taken, plan_of


class Billing(StrEnum):
    """What happens when a payment is due."""

    PAYS = "pays"
    REFUSES = "refuses"
    BY_HAND = "by_hand"  # a script plays the market: nothing happens by itself


class NotPossible(Exception):
    """The market refuses; the sentence is Russian and shown to a person."""


@dataclass
class Deal:
    """A subscription as the market keeps it. `addons` are the paid options, id to quantity."""

    id: str
    plan_id: str
    devices: int
    addons: dict[str, int]
    created_at: datetime
    number: int = 0
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
    def taken(self) -> Taken:
        """The tariff for all cards, those of the options included."""
        return Taken(self.plan, self.devices + sum(self.addons.values()))

    @property
    def due(self) -> datetime:
        """When the next payment is due; at once where nothing was tried or paid."""
        return self.paid_until or self.trial_until or self.created_at


@dataclass
class Holding:
    """One of our modules at one merchant."""

    installed: bool = False
    deal: Deal | None = None

    @property
    def live_deal(self) -> Deal:
        """The running subscription. Raises NotPossible without one."""
        if self.deal is None or not self.deal.live:
            raise NotPossible("Действующей подписки нет: модуль нужно установить.")
        return self.deal


@dataclass
class Account:
    """A merchant of the market. `token` is the product's answer to user/create."""

    user_id: str
    name: str
    cloud_token: str
    token: str = ""
    billing: Billing = Billing.PAYS
    holdings: dict[str, Holding] = field(default_factory=dict)

    def holding(self, product_id: str) -> Holding:
        """What the merchant has of this module; an empty one where it has nothing."""
        return self.holdings.setdefault(product_id, Holding())


def account_dump(account: Account) -> dict[str, Any]:
    """The account as JSON-able data."""
    data: dict[str, Any] = asdict(account)
    for holding in data["holdings"].values():
        if holding["deal"]:
            holding["deal"] = {key: _plain(value) for key, value in holding["deal"].items()}
    return data


def account_load(data: Mapping[str, Any]) -> Account:
    """Takes back what `account_dump` gave."""
    holdings = {
        product_id: Holding(row["installed"], row["deal"] and _deal(row["deal"]))
        for product_id, row in data["holdings"].items()
    }
    return Account(**{**data, "billing": Billing(data["billing"]), "holdings": holdings})


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


_INSTANTS = ("created_at", "trial_until", "period_from", "paid_until", "ended_at")


def _deal(data: Mapping[str, Any]) -> Deal:
    read = {name: data[name] and datetime.fromisoformat(data[name]) for name in _INSTANTS}
    return Deal(**{**data, **read})
