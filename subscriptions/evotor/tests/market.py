"""The market as the tests play it: events, deliveries and what is left in the database."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.test import Client

from subscriptions.evotor import inbox
from subscriptions.evotor.models import Delivery, Hook
from subscriptions.models import Module, Subscription, Tariff

DATA = Path(__file__).parent / "data"
USER = "01-000000000000001"
STRANGER = "01-000000000000002"
PRODUCT = "5f0c2a7e-3d1b-4c8e-9a64-1b7d2f8c9e10"
SUBSCRIPTION = "a99fbf70-6307-4acc-b61c-741ee9eef6c0"
BOUGHT = datetime(2025, 3, 1, 10, tzinfo=UTC)
FIRST_END = datetime(2025, 4, 1, 10, tzinfo=UTC)
SECOND_END = datetime(2025, 5, 1, 10, tzinfo=UTC)
NOW = datetime(2025, 3, 2, 10, tzinfo=UTC)


def bearer(token: str = "") -> dict[str, str]:
    return {"Authorization": f"Bearer {token or settings.EVOTOR_APP_TOKENS[0]}"}


def make_module() -> Module:
    module = Module.objects.create(
        code="kassovye",
        title="Кассовые сервисы",
        market_product_id=PRODUCT,
        addon_id="smartcard",
    )
    for plan_id, months, kopecks in (("kassovye-1m", 1, 30_000), ("kassovye-3m", 3, 81_000)):
        Tariff.objects.create(
            module=module,
            plan_id=plan_id,
            title=f"{months} мес.",
            months=months,
            price_kopecks=kopecks,
        )
    return module


def event(number: int, kind: str, at: datetime, **own: Any) -> dict[str, Any]:
    return {
        "subscriptionId": SUBSCRIPTION,
        "productId": PRODUCT,
        "userId": USER,
        "timestamp": at.isoformat(),
        "sequenceNumber": number,
        "type": kind,
    } | own


def created(number: int = 1, at: datetime = BOUGHT, **own: Any) -> dict[str, Any]:
    terms = {"planId": "kassovye-1m", "trialPeriodDuration": "P0DT", "deviceNumber": 2}
    return event(number, "SubscriptionCreated", at, **(terms | own))


def activated(number: int = 2, at: datetime = BOUGHT, **own: Any) -> dict[str, Any]:
    paid = {
        "nextBillingDate": FIRST_END.isoformat(),
        "chargedSum": {"amount": 600, "currency": "RUB"},
    }
    return event(number, "SubscriptionActivated", at, **(paid | own))


def renewed(number: int = 3, at: datetime = FIRST_END, **own: Any) -> dict[str, Any]:
    paid = {
        "nextBillingDate": SECOND_END.isoformat(),
        "chargedSum": {"amount": 600, "currency": "RUB"},
    }
    return event(number, "SubscriptionRenewed", at, **(paid | own))


def terminated(number: int, at: datetime, **own: Any) -> dict[str, Any]:
    return event(number, "SubscriptionTerminated", at, **own)


def moved(kind: str, at: datetime, number: int, **data: Any) -> dict[str, Any]:
    return {
        "id": f"11111111-1111-4111-8111-{number:012}",
        "timestamp": int(at.timestamp() * 1000),
        "version": 2,
        "type": kind,
        "data": {"productId": PRODUCT, "userId": USER} | data,
    }


def sample(name: str) -> dict[str, Any]:
    text = (DATA / "samples" / "webhooks" / f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def register(client: Client, user_id: str = USER) -> str:
    """The token that the market gets for this user."""
    answer = send(client, "user/create", {"userId": user_id})
    token: str = answer.json()["token"]
    return token


def send(client: Client, hook: str, payload: Any, *, headers: Any = None, method: str = "POST"):
    return client.generic(
        method,
        f"/api/v1/{hook}",
        payload if isinstance(payload, bytes) else json.dumps(payload).encode(),
        content_type="application/json",
        headers=bearer() if headers is None else headers,
    )


def deliver(*payloads: dict[str, Any], at: datetime = NOW) -> None:
    """Store and process, as the hook and the worker would."""
    for payload in payloads:
        hook = Hook.INSTALLATION if "data" in payload else Hook.SUBSCRIPTION
        delivery = inbox.store(
            hook=hook,
            body=json.dumps(payload).encode(),
            user_id=payload.get("userId") or payload.get("data", {}).get("userId", ""),
            event_type=payload.get("type", ""),
            authorized_as="приложение",
            at=at,
        )
        inbox.INBOX.process(delivery.pk, at=at)


def work(at: datetime = NOW) -> None:
    """What the sweep does with deliveries."""
    inbox.INBOX.process_waiting(at=at)


def subscription(external_id: str = SUBSCRIPTION) -> Subscription:
    return Subscription.objects.get(external_id=external_id)


class Processed(NamedTuple):
    """State and note of a delivery."""

    state: str
    note: str


def deliveries() -> list[Processed]:
    """Each delivery, in the order in which they came."""
    rows = Delivery.objects.order_by("pk").values_list("state", "note")
    return [Processed(*row) for row in rows]


def kept(row: Subscription) -> dict[str, Any]:
    """Everything a fold decides about a subscription and its periods."""
    facts = {
        name: getattr(row, name)
        for name in (
            "plan_id",
            "tariff_id",
            "paid_cards",
            "anchor_day",
            "created_at",
            "trial_until",
            "paid_until",
            "stop_requested_at",
            "terminated_at",
            "entitled_from",
            "entitled_until",
            "charged_kopecks",
            "last_event_at",
        )
    }
    periods = row.periods.order_by("starts_at").values_list(
        "kind", "tariff_id", "cards", "starts_at", "ends_at", "charged_kopecks"
    )
    charges = row.charges.order_by("number").values_list(
        *("number", "kind", "charged_at", "kopecks", "tariff_id", "cards"),
        *("tariff_before_id", "cards_before", "period_starts_at", "starts_at", "ends_at"),
    )
    return facts | {"periods": list(periods), "charges": list(charges)}


def days(number: int) -> timedelta:
    return timedelta(days=number)


def subscription_delivery() -> int:
    """The first delivery about a subscription."""
    return (
        Delivery.objects.filter(hook=Hook.SUBSCRIPTION)
        .order_by("pk")
        .values_list("pk", flat=True)[0]
    )
