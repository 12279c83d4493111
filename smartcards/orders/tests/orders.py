"""Makes what tests of orders need. Rows of the past are made by the services, as they were in life."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cabinet.models import Merchant
from operators.models import OperatorAccount
from smartcards.models import SmartCard
from smartcards.orders import services
from smartcards.orders.documents.content import Buyer, PaperContent, PaperLine, Requisites
from smartcards.orders.models import Order, OrderLine, OrderPaper, OrderTerms, Seller
from smartcards.orders.services import OrderDetails
from smartcards.orders.states import Carrier, PaperKind
from smartcards.tests.cards import OWNER, STAFF, make_account, make_card

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
INN = "7707083893"
DETAILS = OrderDetails(
    company="ООО «Ромашка»",
    inn=INN,
    recipient="Соколова Анна",
    phone="79123456789",
    address="614000, Пермь, Ленина, 10, офис 3",
    comment="Позвонить\nза час",
)
TRACK = "80084512345678"
# An invented company in an invented bank; control digits are right.
REQUISITES = {
    "name": "ООО «Примерные кассы»",
    "inn": "7712345671",
    "kpp": "771201001",
    "address": "109012, Москва, ул. Примерная, д. 1",
    "bank": "ПАО «Примерный банк», г. Москва",
    "bik": "044525999",
    "account": "40702810900000001234",
    "corr_account": "30101810600000000999",
    "director": "Иванов И. И.",
    "accountant": "Петрова А. А.",
}


def make_seller(**fields: Any) -> Seller:
    """Who sells the cards."""
    return Seller.objects.create(**(REQUISITES | fields))


def priced(card_kopecks: int = 30_000, delivery_kopecks: int = 35_000, **fields: Any) -> OrderTerms:
    """Cards and delivery cost something from now on, and there is a seller."""
    make_seller()
    return OrderTerms.objects.create(
        card_kopecks=card_kopecks, delivery_kopecks=delivery_kopecks, **fields
    )


def stocked(number: int, account: OperatorAccount | None = None) -> list[SmartCard]:
    """So many new cards in stock."""
    chosen = account or make_account()
    return [make_card(account=chosen) for _ in range(number)]


def store_order(
    merchant: Merchant, *, account: OperatorAccount | None = None, quantity: int = 2, **fields: Any
) -> Order:
    """An order as a row, without what the service does."""
    row = {"merchant": merchant, "created_at": NOW, "created_by": "Владелец", **vars(DETAILS)}
    order = Order.objects.create(**(row | fields))
    OrderLine.objects.create(order=order, account=account or make_account(), quantity=quantity)
    return order


def store_paper(order: Order, *, number: int = 1, **fields: Any) -> OrderPaper:
    """A счёт of the order as a row, for 600 roubles."""
    content = PaperContent(
        number=number,
        day=NOW.date(),
        basis=f"Заказ № {order.pk} от 22 ноября 2026 г.",
        seller=Requisites(**REQUISITES),
        buyer=Buyer(order.company, order.inn, "", order.address),
        lines=(PaperLine("Смарт-карта «МТС»", 2, "шт.", 30_000),),
        vat_rate=None,
    )
    row = {"kind": PaperKind.INVOICE, "year": content.day.year, "day": content.day}
    row |= {"total_kopecks": content.total, "content": content.as_json(), "issued_at": NOW}
    return OrderPaper.objects.create(order=order, number=number, **(row | fields))


def place(
    merchant: Merchant,
    *,
    quantity: int = 2,
    wanted: dict[OperatorAccount, int] | None = None,
    agreed_kopecks: int = 0,
    key: uuid.UUID | None = None,
    at: datetime = NOW,
    **fields: Any,
) -> Order:
    """An order as the owner places it."""
    return services.place_order(
        merchant=merchant,
        wanted=wanted or {make_account(): quantity},
        details=replace(DETAILS, **fields),
        agreed_kopecks=agreed_kopecks,
        key=key or uuid.uuid4(),
        by=OWNER,
        at=at,
    )


def place_for_money(merchant: Merchant) -> Order:
    """Two cards of 300 roubles each with a delivery of 350, by `priced`."""
    return place(merchant, agreed_kopecks=95_000)


def paid(order: Order) -> Order:
    """The same order, its счёт paid."""
    return services.record_payment(
        order=order, paid_on=NOW.date(), payment_number="15", by=STAFF, at=NOW
    )


def pack(order: Order) -> Order:
    """With new cards from stock."""
    cards = [card for line in order.lines.all() for card in stocked(line.quantity, line.account)]
    return services.pack_order(order=order, iccids=[card.iccid for card in cards], by=STAFF, at=NOW)


def ship(order: Order, carrier: str = Carrier.RUSSIAN_POST, track_number: str = TRACK) -> Order:
    """On its way."""
    return services.ship_order(
        order=order, carrier=carrier, track_number=track_number, by=STAFF, at=NOW
    )


def packed(merchant: Merchant, *, quantity: int = 2) -> Order:
    """An order with its cards taken from stock."""
    return pack(place(merchant, quantity=quantity))


def shipped(merchant: Merchant, *, quantity: int = 2) -> Order:
    """An order on its way."""
    return ship(packed(merchant, quantity=quantity))


def delivered(merchant: Merchant, *, quantity: int = 2) -> Order:
    """An order whose cards are the merchant's."""
    return services.deliver_order(order=shipped(merchant, quantity=quantity), by=STAFF, at=NOW)
