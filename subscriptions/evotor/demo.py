"""Demo data of the market: an account, an install and a paid subscription, by real events.

They go through the inbox like the market's own, so a replay gives the same again.
"""

import json
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from subscriptions.evotor import inbox, services
from subscriptions.evotor.models import Hook, Sender
from subscriptions.evotor.schemas import UserCreate
from subscriptions.models import Subscription
from subscriptions.periods import add_months

USER_ID = "01-000000000000101"
SUBSCRIPTION_ID = "d3302a7e-0000-4000-8000-000000000101"
INSTALLATION_ID = "d3302a7e-0000-4000-8000-000000000201"
PLAN_ID = "kassovye-3m"
MONTHS = 3
CARDS = 5
CHARGED_RUBLES = 4050
BOUGHT_BEFORE = timedelta(days=20)


def seed(at: datetime) -> list[str]:
    """A paid subscription of five cards for three months; running it again changes nothing."""
    services.register(request=UserCreate(user_id=USER_ID), at=at)
    if Subscription.objects.filter(external_id=SUBSCRIPTION_ID).exists():
        return []
    bought_at = (at - BOUGHT_BEFORE).replace(microsecond=0)
    _deliver(Hook.SUBSCRIPTION, _created(bought_at), at)
    _deliver(Hook.SUBSCRIPTION, _activated(bought_at), at)
    _deliver(Hook.INSTALLATION, _installed(bought_at), at)
    return []


def _deliver(hook: Hook, payload: dict[str, Any], at: datetime) -> None:
    delivery = inbox.store(
        hook=hook,
        body=json.dumps(payload).encode(),
        user_id=USER_ID,
        event_type=payload["type"],
        authorized_as=Sender.APPLICATION,
        at=at,
    )
    inbox.INBOX.process(delivery.pk, at=at)


def _event(number: int, kind: str, at: datetime, **own: Any) -> dict[str, Any]:
    return {
        "subscriptionId": SUBSCRIPTION_ID,
        "productId": settings.EVOTOR_PRODUCT_ID,
        "userId": USER_ID,
        "timestamp": at.isoformat(),
        "sequenceNumber": number,
        "type": kind,
        **own,
    }


def _created(at: datetime) -> dict[str, Any]:
    terms = {"planId": PLAN_ID, "trialPeriodDuration": "P0DT", "deviceNumber": CARDS}
    return _event(1, "SubscriptionCreated", at, **terms)


def _activated(at: datetime) -> dict[str, Any]:
    local = at.astimezone(ZoneInfo("Europe/Moscow"))
    end = datetime.combine(add_months(local.date(), MONTHS), local.timetz())
    charged = {"amount": CHARGED_RUBLES, "currency": "RUB"}
    return _event(
        2,
        "SubscriptionActivated",
        at + timedelta(seconds=5),
        nextBillingDate=end.isoformat(),
        chargedSum=charged,
    )


def _installed(at: datetime) -> dict[str, Any]:
    return {
        "id": INSTALLATION_ID,
        "timestamp": int(at.timestamp() * 1000) + 10_000,
        "version": 2,
        "type": "ApplicationInstalled",
        "data": {"productId": settings.EVOTOR_PRODUCT_ID, "userId": USER_ID},
    }
