"""Invented merchants, cards and commands in bulk."""

import json
import urllib.request
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import uuid4

from django.db import transaction

from cabinet import clock
from cabinet.models import Merchant
from cabinet.states import ActorKind
from operators.models import OperatorAccount
from smartcards.models import Command, Coverage, SmartCard
from smartcards.states import CommandKind, Confirmed, Origin
from subscriptions.models import Module, Subscription
from subscriptions.states import Source

CREDENTIALS = {
    "mts": {"key": "demo-key", "secret": "demo-secret"},
    "tmf640": {"token": "demo-partner-token"},
    "beeline": {"login": "demo-login", "password": "demo-password", "ban": "100000001"},
    "control_center": {"username": "demo-user", "api_key": "demo-api-key"},
    "nothing": {},
}
_numbers = count(1)


def account(adapter: str, sandbox: str = "http://127.0.0.1:9", **fields: Any) -> OperatorAccount:
    """A contract with a played operator, unlimited unless told otherwise."""
    return OperatorAccount.objects.create(
        code=f"bench-{next(_numbers)}",
        title="Оператор",
        adapter=adapter,
        base_url=f"{sandbox}/operators/{adapter}",
        credentials=CREDENTIALS[adapter],
        **{"concurrency": 8, "timeout_seconds": 20, "lease_seconds": 60, **fields},
    )


def merchant(places: int) -> Subscription:
    """A merchant with so many paid places; the subscription leads to both."""
    at = clock.now()
    module, _ = Module.objects.get_or_create(
        code="bench", defaults={"title": "Модуль", "market_product_id": uuid4()}
    )
    company = Merchant.objects.create(name="ООО «Замер»", created_at=at)
    return Subscription.objects.create(
        merchant=company,
        module=module,
        source=Source.MARKET,
        external_id=str(uuid4()),
        paid_cards=places,
        created_at=at,
        entitled_from=at - timedelta(days=1),
    )


def cards(contract: OperatorAccount, subscription: Subscription, number: int) -> list[SmartCard]:
    """Inactive cards of that merchant, wished on and covered."""
    at = clock.now()
    rows = SmartCard.objects.bulk_create(
        [
            SmartCard(
                iccid=f"8970101{next(_numbers):013}",
                msisdn=f"79{next(_numbers):09}",
                account=contract,
                merchant_id=subscription.merchant_id,
                imported_at=at,
                handed_at=at,
                wished_on=True,
                wished_at=at,
                wished_by="замер",
                wished_by_kind=ActorKind.PERSON,
                confirmed=Confirmed.INACTIVE,
                confirmed_at=at,
                block_reason="voluntary",
            )
            for _ in range(number)
        ],
        batch_size=2000,
    )
    Coverage.objects.bulk_create(
        [Coverage(card=row, subscription=subscription, since=at) for row in rows], batch_size=2000
    )
    return rows


def undecided(
    contract: OperatorAccount, subscription: Subscription, number: int
) -> list[SmartCard]:
    """The same that nobody has decided about: reconciliation, which runs meanwhile, leaves them alone."""
    with transaction.atomic():
        found = cards(contract, subscription, number)
        SmartCard.objects.filter(pk__in=[card.pk for card in found]).update(
            wished_on=None, wished_at=None, wished_by=""
        )
    return found


def queue(rows: list[SmartCard], origin: Origin = Origin.MASS) -> None:
    """One waiting «on» for each card, in the merchant's turns."""
    at = clock.now()
    Command.objects.bulk_create(
        [
            Command(
                card=row,
                account_id=row.account_id,
                kind=CommandKind.ACTIVATE,
                origin=origin,
                asked_by="замер",
                asked_by_kind=ActorKind.SYSTEM,
                created_at=at,
                due_at=at,
                turn=turn,
            )
            for turn, row in enumerate(rows, start=1)
        ],
        batch_size=2000,
    )


def tell_sandbox(sandbox: str, rows: list[SmartCard]) -> None:
    """Make the cards known to the played operator of their account."""
    for row in rows:
        put(
            f"{sandbox}/state/{row.account.adapter}/{row.iccid}",
            {"msisdn": row.msisdn, "state": "inactive"},
        )


def put(address: str, body: Any) -> Any:
    """PUT JSON to the sandbox."""
    return call("PUT", address, body)


def call(method: str, address: str, body: Any = None, **headers: str) -> Any:
    """A control call of the sandbox."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data=data, method=method, headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.load(answer)
