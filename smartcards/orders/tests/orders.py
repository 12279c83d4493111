"""Makes what tests of orders need. Rows of the past are made by the services, as they were in life."""

import uuid
from datetime import UTC, datetime
from typing import Any

from cabinet.models import Merchant
from operators.models import OperatorAccount
from smartcards.models import SmartCard
from smartcards.orders import services
from smartcards.orders.models import Order
from smartcards.orders.services import OrderDetails
from smartcards.tests.cards import OWNER, STAFF, make_account, make_card

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
INN = "7707083893"
DETAILS = OrderDetails(
    quantity=2,
    inn=INN,
    recipient="Соколова Анна",
    phone="79123456789",
    address="614000, Пермь, Ленина, 10, офис 3",
    comment="Позвонить\nза час",
)


def stocked(number: int, account: OperatorAccount | None = None) -> list[SmartCard]:
    """So many new cards in stock."""
    chosen = account or make_account()
    return [make_card(account=chosen) for _ in range(number)]


def place(
    merchant: Merchant, *, quantity: int = 2, key: uuid.UUID | None = None, **fields: Any
) -> Order:
    """An order as the owner places it."""
    details = OrderDetails(**({**vars(DETAILS), "quantity": quantity} | fields))
    return services.place_order(
        merchant=merchant,
        account=make_account(),
        details=details,
        key=key or uuid.uuid4(),
        by=OWNER,
        at=NOW,
    )


def packed(merchant: Merchant, *, quantity: int = 2) -> Order:
    """An order with its cards taken from stock."""
    order = place(merchant, quantity=quantity)
    iccids = [card.iccid for card in stocked(quantity)]
    return services.pack_order(order=order, iccids=iccids, by=STAFF, at=NOW)


def shipped(merchant: Merchant, *, quantity: int = 2) -> Order:
    """An order on its way."""
    order = packed(merchant, quantity=quantity)
    return services.ship_order(order=order, track_number="80084512345678", by=STAFF, at=NOW)


def delivered(merchant: Merchant, *, quantity: int = 2) -> Order:
    """An order whose cards are the merchant's."""
    return services.deliver_order(order=shipped(merchant, quantity=quantity), by=STAFF, at=NOW)
