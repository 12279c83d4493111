"""What can be done in the market, and which hooks report it. Changes the accounts, sends nothing.

Orders of events: Evotor, billing/doc_subscriptions.md, 2018.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import uuid4

from pydantic import AfterValidator, Field

from subscriptions.evotor.sandbox import hooks
from subscriptions.evotor.sandbox.accounts import (
    PLANS,
    Account,
    Billing,
    MarketSubscription,
    ModuleState,
    NotPossible,
    PricedPlan,
    change_kopecks,
    local_day,
    months_later,
)
from subscriptions.evotor.sandbox.hooks import SUBSCRIPTION, Hook, roubles, stamp

INSTALLED = "ApplicationInstalled"
UNINSTALLED = "ApplicationUninstalled"
MOST = 100_000  # cards or options that a script can ask for
MOST_TRIAL_DAYS = 366
FIRST_YEAR, LAST_YEAR = 2000, 2190


def _in_utc(at: datetime) -> datetime:
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise ValueError(f"a year from {FIRST_YEAR} to {LAST_YEAR}")
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


@dataclass(frozen=True)
class Addon:
    """A paid option."""

    id: str = ""
    quantity: Annotated[int, Field(ge=0, le=MOST)] = 0


@dataclass(frozen=True)
class ActionRequest:
    """What is requested, when; None is what was not given. Scripts send it in the market's names."""

    at: Annotated[datetime, AfterValidator(_in_utc)]
    plan_id: Annotated[
        str | None, Field(validation_alias="planId", min_length=1, max_length=100)
    ] = None
    devices: Annotated[int | None, Field(validation_alias="deviceNumber", ge=0, le=MOST)] = None
    addons: list[Addon] | None = None
    trial_days: Annotated[int, Field(validation_alias="trialDays", ge=0, le=MOST_TRIAL_DAYS)] = 0

    @property
    def options(self) -> dict[str, int] | None:
        """The paid options, id to quantity."""
        return None if self.addons is None else {one.id: one.quantity for one in self.addons}


@dataclass(frozen=True)
class AccountModule:
    """One module at one merchant: where an action is done."""

    account: Account
    product_id: str

    @property
    def module(self) -> ModuleState:
        """The module at this merchant."""
        return self.account.module(self.product_id)

    def event(self, kind: str, at: datetime, **facts: Any) -> Hook:
        """The next event of the module's subscription."""
        subscription = self.module.last_subscription
        subscription.number += 1
        body = {
            "subscriptionId": subscription.id,
            "productId": self.product_id,
            "userId": self.account.user_id,
            "timestamp": stamp(at),
            "sequenceNumber": subscription.number,
            "type": kind,
            **facts,
        }
        return Hook(self.account.user_id, SUBSCRIPTION, body)

    def set_installed(self, installed: bool, at: datetime) -> list[Hook]:
        """Install or uninstall the module; no hook where it is so already."""
        if self.module.installed == installed:
            return []
        self.module.installed = installed
        kind = INSTALLED if installed else UNINSTALLED
        return [hooks.installation(self.account.user_id, self.product_id, kind, at)]


def install(target: AccountModule, wanted: ActionRequest) -> list[Hook]:
    """A purchase; in the paid time of a removed one a free return to it."""
    account, subscription = target.account, target.module.subscription
    returns = subscription is not None and subscription.live
    events = _return(target, wanted) if returns else _purchase(target, wanted)
    return [
        hooks.user_create(account.user_id),
        *events,
        *target.set_installed(True, wanted.at),
        hooks.user_token(account.user_id, account.cloud_token),
    ]


def _purchase(target: AccountModule, wanted: ActionRequest) -> list[Hook]:
    subscription = MarketSubscription(
        id=str(uuid4()),
        plan_id=wanted.plan_id or PLANS[0].id,
        devices=1 if wanted.devices is None else wanted.devices,
        addons=wanted.options or {},
        created_at=wanted.at,
    )
    target.module.subscription = subscription
    if wanted.trial_days:
        subscription.trial_until = wanted.at + timedelta(days=wanted.trial_days)
    created = target.event(
        "SubscriptionCreated",
        wanted.at,
        planId=subscription.plan_id,
        trialPeriodDuration=f"P{wanted.trial_days}DT",
        deviceNumber=subscription.devices,
    )
    addons = [_addons(target, subscription, wanted.at)] if subscription.addons else []
    paid = [] if wanted.trial_days else [_first_payment(target, subscription, wanted.at)]
    return [created, *addons, *paid]


def _return(target: AccountModule, wanted: ActionRequest) -> list[Hook]:
    subscription = target.module.live_subscription
    resumed = [_resumed(target, subscription, wanted.at)] if subscription.stop_requested else []
    return [*resumed, *_new_terms(target, wanted)]


def _addons(target: AccountModule, subscription: MarketSubscription, at: datetime) -> Hook:
    listed = [{"id": key, "quantity": quantity} for key, quantity in subscription.addons.items()]
    return target.event("AddonsUpdated", at, addons=listed)


def _start_period(subscription: MarketSubscription, since: datetime) -> None:
    """The next period begins; the anchor's day stays while time runs on."""
    if subscription.paid_until != since:
        subscription.anchor_day = local_day(since).day
    subscription.period_from = since
    subscription.paid_until = months_later(since, subscription.plan.months, subscription.anchor_day)
    subscription.stop_requested, subscription.ended_at, subscription.failed_tries = False, None, 0


def _payment(
    target: AccountModule, subscription: MarketSubscription, kind: str, at: datetime
) -> Hook:
    charged = roubles(subscription.priced_plan.kopecks)
    return target.event(kind, at, nextBillingDate=stamp(subscription.due), chargedSum=charged)


def _first_payment(target: AccountModule, subscription: MarketSubscription, at: datetime) -> Hook:
    _start_period(subscription, at)
    return _payment(target, subscription, "SubscriptionActivated", at)


def activate(target: AccountModule, wanted: ActionRequest) -> list[Hook]:
    """The first payment of a subscription that is on trial."""
    subscription = target.module.live_subscription
    if subscription.paid_until is not None:
        raise NotPossible("Первая оплата уже была: можно только продлить.")
    return [_first_payment(target, subscription, wanted.at)]


def renew(target: AccountModule, wanted: ActionRequest) -> list[Hook]:
    """The next period is paid, early or late; an ended subscription revives from `at` on."""
    subscription = target.module.last_subscription
    if subscription.paid_until is None and subscription.live:
        return [_first_payment(target, subscription, wanted.at)]
    ended = not subscription.live or subscription.paid_until is None
    # What is paid is never lost, however late or early the payment.
    _start_period(subscription, max(wanted.at, subscription.due) if ended else subscription.due)
    return [
        _payment(target, subscription, "SubscriptionRenewed", wanted.at),
        *target.set_installed(True, wanted.at),
    ]


def resume(target: AccountModule, wanted: ActionRequest) -> list[Hook]:
    """A request to stop is taken back: Renewed without a charge or a later date."""
    subscription = target.module.live_subscription
    if not subscription.stop_requested:
        raise NotPossible("Подписка не остановлена, возобновлять нечего.")
    return [_resumed(target, subscription, wanted.at), *target.set_installed(True, wanted.at)]


def _resumed(target: AccountModule, subscription: MarketSubscription, at: datetime) -> Hook:
    subscription.stop_requested = False
    return target.event("SubscriptionRenewed", at, nextBillingDate=stamp(subscription.due))


def change_terms(target: AccountModule, wanted: ActionRequest) -> list[Hook]:
    """Another tariff, number of terminals or of options; charged by the day, nothing is returned."""
    events = _new_terms(target, wanted)
    if not events:
        raise NotPossible("Тариф и число карт уже такие.")
    return events


def _new_terms(target: AccountModule, wanted: ActionRequest) -> list[Hook]:
    subscription = target.module.live_subscription
    before = subscription.priced_plan
    changed: dict[str, Any] = {}
    if wanted.plan_id is not None and wanted.plan_id != subscription.plan_id:
        changed["planId"] = subscription.plan_id = wanted.plan_id
    if wanted.devices is not None and wanted.devices != subscription.devices:
        changed["deviceNumber"] = subscription.devices = wanted.devices
    events = []
    if wanted.options is not None and wanted.options != subscription.addons:
        subscription.addons = wanted.options
        events.append(_addons(target, subscription, wanted.at))
    if (changed or events) and (charged := _change_charge(subscription, before, wanted.at)):
        changed["chargedSum"] = roubles(charged)
    if changed:
        events.append(target.event("SubscriptionTermsChanged", wanted.at, **changed))
    return events


def _change_charge(subscription: MarketSubscription, before: PricedPlan, at: datetime) -> int:
    if subscription.period_from is None or subscription.paid_until is None:
        return 0
    return change_kopecks(
        old=before,
        new=subscription.priced_plan,
        since=subscription.period_from,
        until=subscription.paid_until,
        at=at,
    )


def request_termination(target: AccountModule, wanted: ActionRequest) -> list[Hook]:
    """The merchant asks to stop; the paid time runs on."""
    subscription = target.module.live_subscription
    if subscription.stop_requested:
        raise NotPossible("Остановка уже запрошена.")
    subscription.stop_requested = True
    return [target.event("SubscriptionTerminationRequested", wanted.at)]


def terminate(target: AccountModule, wanted: ActionRequest) -> list[Hook]:
    """The end, and the automatic removal after it."""
    subscription = target.module.live_subscription
    subscription.ended_at = wanted.at
    return [
        target.event("SubscriptionTerminated", wanted.at),
        *target.set_installed(False, wanted.at),
    ]


def uninstall(target: AccountModule, wanted: ActionRequest) -> list[Hook]:
    """The merchant removes the module; a running subscription is asked to stop."""
    if not target.module.installed:
        raise NotPossible("Модуль не установлен.")
    subscription = target.module.subscription
    asks = subscription is not None and subscription.live and not subscription.stop_requested
    stop = request_termination(target, wanted) if asks else []
    return [*stop, *target.set_installed(False, wanted.at)]


ACTIONS = {
    "install": install,
    "activate": activate,
    "renew": renew,
    "resume": resume,
    "change_terms": change_terms,
    "request_termination": request_termination,
    "terminate": terminate,
    "uninstall": uninstall,
}


# One try a day for five days, the first on the day of payment (Evotor, doc_subscriptions.md, 2018).
TRIES = 5


def bill_until(target: AccountModule, now: datetime) -> list[Hook]:
    """Every step that fell due up to `now`, in order and each at its own time.

    A year that passes at once is reported month by month.
    """
    hooks: list[Hook] = []
    if target.account.billing is Billing.BY_HAND:
        return hooks
    while (subscription := target.module.subscription) is not None and subscription.live:
        at = subscription.due + timedelta(days=subscription.failed_tries)
        if at > now:
            break
        hooks += _step(target, subscription, at)
    return hooks


def _step(target: AccountModule, subscription: MarketSubscription, at: datetime) -> list[Hook]:
    if subscription.stop_requested or subscription.failed_tries >= TRIES:
        return terminate(target, ActionRequest(at))
    if target.account.billing is Billing.PAYS:
        return renew(target, ActionRequest(at))
    subscription.failed_tries += 1
    return []
