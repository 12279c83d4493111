"""Invented merchants, cards and commands in bulk, and calls of the sandbox."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import requests
from django.db import connection, transaction

from cabinet import clock
from cabinet.enums import ActorKind
from cabinet.models import Merchant
from operators.demo.contracts import CONTRACTS
from operators.models import OperatorAccount
from smartcards.models import Command, Coverage, SmartCard
from smartcards.states import CommandKind, OperatorState, Origin
from smartcards.tests.cards import make_module
from subscriptions.models import Subscription

_BATCH = 2000
_numbers = count(1)


def account(adapter: str, sandbox: str = "http://127.0.0.1:9", **fields: Any) -> OperatorAccount:
    """A contract with an operator of the sandbox, without a quota unless `fields` name one."""
    usual = {
        "code": f"bench-{next(_numbers)}",
        "title": "Оператор",
        "base_url": f"{sandbox}/operators/{adapter}",
        "credentials": CONTRACTS.get(adapter, {}).get("credentials", {}),
        "concurrency": 8,
        "timeout_seconds": 20,
        "lease_seconds": 60,
    }
    return OperatorAccount.objects.create(adapter=adapter, **usual | fields)


def merchant(slots: int) -> Subscription:
    """A merchant with so many paid cards; the subscription leads to both."""
    at = clock.now()
    return Subscription.objects.create(
        merchant=Merchant.objects.create(name="ООО «Замер»", created_at=at),
        module=make_module("bench"),
        external_id=str(uuid4()),
        paid_cards=slots,
        created_at=at,
        entitled_from=at - timedelta(days=1),
    )


def users(number: int) -> list[str]:
    """The market's ids of so many new merchants."""
    at = clock.now()
    found = [f"01-{970_000_000_000_000 + next(_numbers):015}" for _ in range(number)]
    Merchant.objects.bulk_create(
        Merchant(name="ИП Замер", evotor_user_id=user_id, created_at=at) for user_id in found
    )
    return found


# A card and its coverage as those of one that exists already, in the name of each merchant in turn.
_COPY_CARDS = """
WITH payer AS (
    SELECT merchant_id, row_number() OVER (ORDER BY id) - 1 AS place
      FROM subscriptions_subscription WHERE id = ANY(%(payers)s)
)
INSERT INTO smartcards_smartcard ({columns})
SELECT {values} FROM smartcards_smartcard AS card, payer, generate_series(1, %(each)s) AS number
 WHERE card.id = %(like)s
"""
_COPY_COVERAGES = """
INSERT INTO smartcards_coverage (card_id, subscription_id, since, dropped)
SELECT card.id, payer.id, card.handed_at, false
  FROM smartcards_smartcard AS card
  JOIN subscriptions_subscription AS payer USING (merchant_id)
 WHERE payer.id = ANY(%(payers)s) AND card.id <> %(like)s
"""
_CARDS_OF_EACH = 100


def many_working(contract: OperatorAccount, number: int) -> int:
    """So many paid cards that work, a hundred for each new merchant. Returns how many."""
    payers = _many_merchants(number // _CARDS_OF_EACH)
    [like] = cards(contract, payers[0], 1, OperatorState.ACTIVE)
    begins = f"'8970102' || lpad((payer.place * {_CARDS_OF_EACH} + number + {like.pk}::bigint * 1000000)::text"
    own = {
        "merchant_id": "payer.merchant_id",
        "iccid": f"{begins}, 13, '0')",
        "msisdn": "''",
    }
    fields = [field for field in SmartCard._meta.concrete_fields if not field.primary_key]
    names = [str(field.column) for field in fields]
    made = {
        "columns": ", ".join(names),
        "values": ", ".join(own.get(name, f"card.{name}") for name in names),
    }
    given: dict[str, Any] = {
        "payers": [one.pk for one in payers],
        "each": _CARDS_OF_EACH,
        "like": like.pk,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(_COPY_CARDS.format(**made), given)
        cursor.execute(_COPY_COVERAGES, given)
    return number


def _many_merchants(number: int) -> list[Subscription]:
    first = merchant(_CARDS_OF_EACH + 1)
    companies = Merchant.objects.bulk_create(
        [Merchant(name="ООО «Замер»", created_at=first.created_at) for _ in range(number - 1)],
        batch_size=_BATCH,
    )
    others = [
        Subscription(
            merchant=company,
            module=first.module,
            external_id=str(uuid4()),
            paid_cards=_CARDS_OF_EACH + 1,
            created_at=first.created_at,
            entitled_from=first.entitled_from,
        )
        for company in companies
    ]
    return [first, *Subscription.objects.bulk_create(others, batch_size=_BATCH)]


def cards(
    contract: OperatorAccount,
    subscription: Subscription,
    number: int,
    confirmed: OperatorState = OperatorState.INACTIVE,
) -> list[SmartCard]:
    """Covered cards of that merchant whose desired state is on, inactive where nothing else is said."""
    at = clock.now()
    found = [
        SmartCard(
            iccid=f"8970101{next(_numbers):013}",
            msisdn=f"79{next(_numbers):09}",
            account=contract,
            merchant_id=subscription.merchant_id,
            imported_at=at,
            handed_at=at,
            desired_on=True,
            desired_at=at,
            desired_by="замер",
            desired_by_kind=ActorKind.PERSON,
            confirmed=confirmed,
            confirmed_at=at,
            block_reason="voluntary" if confirmed == OperatorState.INACTIVE else "",
        )
        for _ in range(number)
    ]
    SmartCard.objects.bulk_create(found, batch_size=_BATCH)
    covered = [Coverage(card=card, subscription=subscription, since=at) for card in found]
    Coverage.objects.bulk_create(covered, batch_size=_BATCH)
    return found


def undecided(
    sandbox: str, contract: OperatorAccount, subscription: Subscription, number: int
) -> list[SmartCard]:
    """The same that nobody has decided about: reconciliation, which runs meanwhile, leaves them alone.

    The operator of the sandbox knows them.
    """
    with transaction.atomic():
        found = cards(contract, subscription, number)
        SmartCard.objects.filter(pk__in=[card.pk for card in found]).update(
            desired_on=None, desired_at=None, desired_by=""
        )
    add_to_sandbox(sandbox, found)
    return found


def queue(cards: list[SmartCard]) -> None:
    """One waiting mass command «on» for each card, in the merchant's turns."""
    at = clock.now()
    commands = [
        Command(
            card=card,
            account_id=card.account_id,
            kind=CommandKind.ACTIVATE,
            origin=Origin.MASS,
            asked_by="замер",
            asked_by_kind=ActorKind.SYSTEM,
            created_at=at,
            due_at=at,
            turn=turn,
        )
        for turn, card in enumerate(cards, start=1)
    ]
    Command.objects.bulk_create(commands, batch_size=_BATCH)


def add_to_sandbox(sandbox: str, cards: Sequence[SmartCard], state: str = "inactive") -> None:
    """Make the cards known to the simulated operator of their account, in this state."""
    with requests.Session() as session, ThreadPoolExecutor(2) as pool:

        def add(card: SmartCard) -> None:
            address = f"{sandbox}/state/{card.account.adapter}/{card.iccid}"
            answer = session.put(address, json={"msisdn": card.msisdn, "state": state}, timeout=20)
            answer.raise_for_status()

        list(pool.map(add, cards))
