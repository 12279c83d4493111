"""Stored events and what is made of them: rows to dataclasses of the schema, folds to facts."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from subscriptions.evotor.fold import MarketState, paid_cards
from subscriptions.evotor.models import InstallationEvent, SubscriptionEvent
from subscriptions.evotor.schema import (
    Activated,
    AddonsUpdated,
    Charge,
    Created,
    Renewed,
    TermsChanged,
    Unknown,
    parse_subscription_event,
)
from subscriptions.evotor.schema import SubscriptionEvent as Event
from subscriptions.rules import Entitlement, MarketFacts, Move, Stretch
from subscriptions.states import PeriodKind

Payload = dict[str, Any]
INSTALLED = "ApplicationInstalled"
UNINSTALLED = "ApplicationUninstalled"


def payload_of(event: Event | Unknown) -> Payload:
    """The event in the market's own words, in one canonical spelling and without unknown keys."""
    kind = event.type if isinstance(event, Unknown) else f"Subscription{type(event).__name__}"
    common: Payload = {
        "type": "AddonsUpdated" if isinstance(event, AddonsUpdated) else kind,
        "subscriptionId": event.subscription_id,
        "productId": event.product_id,
        "userId": event.user_id,
        "sequenceNumber": event.number,
        "timestamp": _iso(event.at),
    }
    return _told(common | _own(event))


def _own(event: Event | Unknown) -> Payload:
    match event:
        case Created():
            trial = f"P{event.trial_days}DT"
            return {
                "planId": event.plan_id,
                "trialPeriodDuration": trial,
                "deviceNumber": event.devices,
            }
        case AddonsUpdated():
            return {"addons": [{"id": key, "quantity": count} for key, count in event.addons]}
        case Activated() | Renewed():
            return _billing(event.next_billing_at, event.charged)
        case TermsChanged():
            terms = {"planId": event.plan_id, "deviceNumber": event.devices}
            return terms | _billing(event.next_billing_at, event.charged)
        case _:
            return {}


def _billing(next_billing_at: datetime | None, charged: Charge | None) -> Payload:
    # Kopecks over 100 as a float come back exact: the shortest spelling has two decimals.
    amount = charged and {"amount": charged.kopecks / 100, "currency": charged.currency}
    return {"nextBillingDate": _iso(next_billing_at), "chargedSum": amount}


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _told(payload: Payload) -> Payload:
    return {key: value for key, value in payload.items() if value is not None}


def stored_events(rows: Iterable[SubscriptionEvent]) -> list[Event | Unknown]:
    """The rows as the fold wants them."""
    return [parse_subscription_event(row.payload) for row in rows]


def facts_of(rows: Sequence[SubscriptionEvent], state: MarketState, addon_id: str) -> MarketFacts:
    """The core's facts of one market subscription; `rows` are its events and are not empty."""
    return MarketFacts(
        external_id=rows[0].subscription_id,
        created_at=min(row.occurred_at for row in rows),
        plan_id=state.plan_id or "",
        paid_cards=paid_cards(state, addon_id or None),
        entitlement=Entitlement(state.entitled_from, state.entitled_until),
        stretches=_stretches(state, addon_id or None),
        trial_until=state.trial_until,
        paid_until=state.paid_until,
        stop_requested_at=state.stop_requested_at,
        terminated_at=state.terminated_at,
        charged_kopecks=state.last_charged_kopecks,
        last_event_at=state.last_event_at,
    )


def _stretches(state: MarketState, addon_id: str | None) -> tuple[Stretch, ...]:
    return tuple(
        Stretch(
            kind=PeriodKind(period.kind.value),
            starts_at=period.starts_at,
            ends_at=period.ends_at,
            plan_id=period.plan_id or "",
            cards=period.cards(addon_id),
            charged_kopecks=period.charged_kopecks,
        )
        for period in state.periods
    )


def moves_of(rows: Iterable[InstallationEvent]) -> list[Move]:
    """Installs and removals as the core's rule wants them."""
    known = {INSTALLED: True, UNINSTALLED: False}
    return [
        Move(row.event_id, row.occurred_at, known[row.type]) for row in rows if row.type in known
    ]
