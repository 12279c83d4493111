"""What can be done in the played market, and which hooks tell of it. Changes the book, sends nothing.

Orders of events: Evotor, billing/doc_subscriptions.md, 2018.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from subscriptions.evotor.sandbox import messages
from subscriptions.evotor.sandbox.book import Account, Deal, Holding, NotPossible
from subscriptions.evotor.sandbox.messages import SUBSCRIPTION, Message, roubles, stamp
from subscriptions.evotor.sandbox.plans import PLANS, Taken, change_kopecks, local_day, months_later

INSTALLED = "ApplicationInstalled"
UNINSTALLED = "ApplicationUninstalled"


@dataclass(frozen=True)
class Order:
    """What was asked for, when; None is what was not said."""

    at: datetime
    plan_id: str | None = None
    devices: int | None = None
    addons: dict[str, int] | None = None
    trial_days: int = 0


@dataclass(frozen=True)
class Seat:
    """One module at one merchant: where an action is done."""

    account: Account
    product_id: str

    @property
    def holding(self) -> Holding:
        """The module at this merchant."""
        return self.account.holding(self.product_id)

    def event(self, deal: Deal, kind: str, at: datetime, **facts: Any) -> Message:
        """The subscription's next event."""
        deal.number += 1
        body = {
            "subscriptionId": deal.id,
            "productId": self.product_id,
            "userId": self.account.user_id,
            "timestamp": stamp(at),
            "sequenceNumber": deal.number,
            "type": kind,
            **facts,
        }
        return Message(self.account.user_id, SUBSCRIPTION, body)

    def moved(self, kind: str, at: datetime) -> Message:
        """The module came or went."""
        return messages.installation(self.account.user_id, self.product_id, kind, at)


def install(seat: Seat, order: Order) -> list[Message]:
    """A purchase; in the paid time of a removed one a free return to it."""
    deal = seat.holding.deal
    fresh = deal is None or not deal.live
    told = _purchase(seat, order) if fresh else _return(seat, seat.holding.live_deal, order)
    token = messages.user_token(seat.account.user_id, seat.account.cloud_token)
    return [messages.user_create(seat.account.user_id), *told, *_put_in(seat, order.at), token]


def _purchase(seat: Seat, order: Order) -> list[Message]:
    deal = Deal(
        id=str(uuid4()),
        plan_id=order.plan_id or PLANS[0].id,
        devices=1 if order.devices is None else order.devices,
        addons=dict(order.addons or {}),
        created_at=order.at,
    )
    seat.holding.deal = deal
    if order.trial_days:
        deal.trial_until = order.at + timedelta(days=order.trial_days)
    created = seat.event(
        deal,
        "SubscriptionCreated",
        order.at,
        planId=deal.plan_id,
        trialPeriodDuration=f"P{order.trial_days}DT",
        deviceNumber=deal.devices,
    )
    addons = [_addons(seat, deal, order.at)] if deal.addons else []
    paid = [] if order.trial_days else [_first_payment(seat, deal, order.at)]
    return [created, *addons, *paid]


def _return(seat: Seat, deal: Deal, order: Order) -> list[Message]:
    renewed = [_resumed(seat, deal, order.at)] if deal.stop_requested else []
    return [*renewed, *_new_terms(seat, deal, order)]


def _put_in(seat: Seat, at: datetime) -> list[Message]:
    if seat.holding.installed:
        return []
    seat.holding.installed = True
    return [seat.moved(INSTALLED, at)]


def _taken_out(seat: Seat, at: datetime) -> list[Message]:
    if not seat.holding.installed:
        return []
    seat.holding.installed = False
    return [seat.moved(UNINSTALLED, at)]


def _addons(seat: Seat, deal: Deal, at: datetime) -> Message:
    listed = [{"id": key, "quantity": quantity} for key, quantity in deal.addons.items()]
    return seat.event(deal, "AddonsUpdated", at, addons=listed)


def _pays_until(deal: Deal, since: datetime) -> None:
    """The next period begins; the anchor's day stays while time runs on."""
    if deal.paid_until != since:
        deal.anchor_day = local_day(since).day
    deal.period_from = since
    deal.paid_until = months_later(since, deal.plan.months, deal.anchor_day)
    deal.stop_requested, deal.ended_at, deal.failed_tries = False, None, 0


def _payment(seat: Seat, deal: Deal, kind: str, at: datetime) -> Message:
    return seat.event(
        deal,
        kind,
        at,
        nextBillingDate=stamp(deal.due),
        chargedSum=roubles(deal.taken.kopecks),
    )


def _first_payment(seat: Seat, deal: Deal, at: datetime) -> Message:
    _pays_until(deal, at)
    return _payment(seat, deal, "SubscriptionActivated", at)


def activate(seat: Seat, order: Order) -> list[Message]:
    """The first payment of a subscription that is on trial."""
    deal = seat.holding.live_deal
    if deal.paid_until is not None:
        raise NotPossible("Первая оплата уже была: можно только продлить.")
    return [_first_payment(seat, deal, order.at)]


def renew(seat: Seat, order: Order) -> list[Message]:
    """The next period is paid, early or late; an ended subscription revives from `at` on."""
    deal = seat.holding.deal
    if deal is None:
        raise NotPossible("Продлевать нечего: модуль ещё не установлен.")
    if deal.paid_until is None and deal.live:
        return [_first_payment(seat, deal, order.at)]
    ended = not deal.live or deal.paid_until is None
    # What is paid is never lost, however late or early the payment.
    _pays_until(deal, max(order.at, deal.due) if ended else deal.due)
    return [_payment(seat, deal, "SubscriptionRenewed", order.at), *_put_in(seat, order.at)]


def resume(seat: Seat, order: Order) -> list[Message]:
    """A request to stop is taken back: Renewed without a charge or a later date."""
    deal = seat.holding.live_deal
    if not deal.stop_requested:
        raise NotPossible("Подписка не остановлена, возобновлять нечего.")
    return [_resumed(seat, deal, order.at), *_put_in(seat, order.at)]


def _resumed(seat: Seat, deal: Deal, at: datetime) -> Message:
    deal.stop_requested = False
    return seat.event(deal, "SubscriptionRenewed", at, nextBillingDate=stamp(deal.due))


def change_terms(seat: Seat, order: Order) -> list[Message]:
    """Another tariff, number of terminals or of options; charged by the day, nothing is returned."""
    told = _new_terms(seat, seat.holding.live_deal, order)
    if not told:
        raise NotPossible("Тариф и число карт уже такие.")
    return told


def _new_terms(seat: Seat, deal: Deal, order: Order) -> list[Message]:
    before = deal.taken
    changed: dict[str, Any] = {}
    if order.plan_id is not None and order.plan_id != deal.plan_id:
        changed["planId"] = deal.plan_id = order.plan_id
    if order.devices is not None and order.devices != deal.devices:
        changed["deviceNumber"] = deal.devices = order.devices
    other_addons = order.addons is not None and order.addons != deal.addons
    if other_addons:
        deal.addons = dict(order.addons or {})
    if not changed and not other_addons:
        return []
    charged = _change_charge(deal, before, order.at)
    if charged:
        changed["chargedSum"] = roubles(charged)
    told = [_addons(seat, deal, order.at)] if other_addons else []
    return [
        *told,
        *([seat.event(deal, "SubscriptionTermsChanged", order.at, **changed)] if changed else []),
    ]


def _change_charge(deal: Deal, before: Taken, at: datetime) -> int:
    if deal.period_from is None or deal.paid_until is None:
        return 0
    return change_kopecks(
        old=before, new=deal.taken, since=deal.period_from, until=deal.paid_until, at=at
    )


def request_termination(seat: Seat, order: Order) -> list[Message]:
    """The merchant asks to stop; the paid time runs on."""
    deal = seat.holding.live_deal
    if deal.stop_requested:
        raise NotPossible("Остановка уже запрошена.")
    deal.stop_requested = True
    return [seat.event(deal, "SubscriptionTerminationRequested", order.at)]


def terminate(seat: Seat, order: Order) -> list[Message]:
    """The end, and the automatic removal after it."""
    deal = seat.holding.live_deal
    deal.ended_at = order.at
    return [seat.event(deal, "SubscriptionTerminated", order.at), *_taken_out(seat, order.at)]


def uninstall(seat: Seat, order: Order) -> list[Message]:
    """The merchant removes the module; a running subscription is asked to stop."""
    if not seat.holding.installed:
        raise NotPossible("Модуль не установлен.")
    deal = seat.holding.deal
    asks = deal is not None and deal.live and not deal.stop_requested
    stop = request_termination(seat, order) if asks else []
    return [*stop, *_taken_out(seat, order.at)]


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
