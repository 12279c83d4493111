"""What people and staff do with orders. Each function is one transaction.

Locks are taken in one order: merchant, order, cards, the counter of documents.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime

from django.db import transaction

from cabinet import audit
from cabinet.actors import Actor
from cabinet.enums import ActorKind, MessageEvent
from cabinet.formatting.ru_format import cards as counted_cards
from cabinet.formatting.ru_format import day, money
from cabinet.messaging.events import notify
from cabinet.models import Merchant
from operators.models import OperatorAccount
from smartcards.models import SmartCard
from smartcards.orders import issuing, queries, rules, texts
from smartcards.orders.models import Order, OrderLine, OrderTerms, PackedCard
from smartcards.orders.rules import CannotPack, OrderRefused
from smartcards.orders.states import OrderState, PaperKind
from smartcards.queries import cards_spelled
from smartcards.services import assign_to_merchant

REASON_MAX = 300
TRACK_MAX = 60
PAYMENT_NUMBER_MAX = 30


@dataclass(frozen=True)
class OrderDetails:
    """To whom the cards go and where, cleaned. `phone` is E.164 without plus."""

    company: str
    inn: str
    recipient: str
    phone: str
    address: str
    comment: str = ""

    @classmethod
    def of(cls, order: Order) -> "OrderDetails":
        """What was ordered."""
        return cls(**{field.name: getattr(order, field.name) for field in fields(cls)})


@transaction.atomic
def place_order(
    *,
    merchant: Merchant,
    wanted: Mapping[OperatorAccount, int],
    details: OrderDetails,
    agreed_kopecks: int,
    key: uuid.UUID,
    by: Actor,
    at: datetime,
) -> Order:
    """A new order, with a счёт where it costs something; the same form again gives the order it made the first time.

    `wanted`: how many cards of which operator. Raises OrderRefused where an operator or a number is not on offer,
    where the merchant's limit of the day is reached, and where the form with this `key` has made an order of other
    contents; PriceChanged where the sum is not the one agreed to.
    """
    # One form of a merchant at a time: limits are counted, and a second click finds the order of the first.
    Merchant.objects.select_for_update(no_key=True).get(pk=merchant.pk)
    order = Order.objects.filter(key=key).first()
    if order is None:
        order = _new_order(merchant, wanted, details, agreed_kopecks, key, by, at)
    _check_same(order, merchant, wanted, details)
    return order


def _new_order(
    merchant: Merchant,
    wanted: Mapping[OperatorAccount, int],
    details: OrderDetails,
    agreed_kopecks: int,
    key: uuid.UUID,
    by: Actor,
    at: datetime,
) -> Order:
    terms = queries.order_terms()
    _check_new(merchant, wanted, agreed_kopecks, terms, at)
    order, made = Order.objects.get_or_create(
        key=key,
        defaults={
            "merchant": merchant,
            "delivery_kopecks": terms.delivery_kopecks,
            "created_at": at,
            "created_by": by.name[:150],
            **asdict(details),
        },
    )
    if made:
        _add_lines(order, wanted, terms)
        order = queries.orders_with_lines().select_related("merchant").get(pk=order.pk)
        text = f"Заказ принят: {texts.ordered_in_full(order)}"
        audit.record(order, "order_placed", text, by=by, at=at)
        if order.total_kopecks:
            issuing.issue(order=order, kind=PaperKind.INVOICE, by=by, at=at)
    return order


def _check_new(
    merchant: Merchant,
    wanted: Mapping[OperatorAccount, int],
    agreed_kopecks: int,
    terms: OrderTerms,
    at: datetime,
) -> None:
    rules.check_wanted(wanted)
    number = sum(wanted.values())
    today = queries.ordered_today(merchant, at)
    rules.check_limits(terms, orders=today.orders, cards=today.cards, wanted=number)
    total = rules.price_of(number, terms)
    rules.check_price(total=total, agreed=agreed_kopecks, seller=queries.seller())


def _add_lines(order: Order, wanted: Mapping[OperatorAccount, int], terms: OrderTerms) -> None:
    OrderLine.objects.bulk_create(
        OrderLine(order=order, account=account, quantity=number, price_kopecks=terms.card_kopecks)
        for account, number in wanted.items()
    )


@transaction.atomic
def record_payment(
    *, order: Order, paid_on: date, payment_number: str, by: Actor, at: datetime
) -> Order:
    """The money for the счёт has come, as staff saw at the bank. Raises OrderRefused."""
    order = _locked(order)
    invoice = rules.check_payable(order, queries.invoice_of(order))
    rules.check_paid_on(paid_on, today=issuing.day_of(at))
    invoice.paid_on = paid_on
    invoice.payment_number = payment_number.strip()[:PAYMENT_NUMBER_MAX]
    invoice.save(update_fields=["paid_on", "payment_number"])
    text = f"Заказ оплачен: {money(invoice.total_kopecks)}, платёж {day(paid_on)}"
    audit.record(order, "order_paid", text, by=by, at=at)
    return order


@transaction.atomic
def withdraw_payment(*, order: Order, reason: str, by: Actor, at: datetime) -> Order:
    """The payment was marked by mistake, or the money went back. Raises OrderRefused."""
    order = _locked(order)
    invoice = rules.check_payment_can_be_withdrawn(order, queries.invoice_of(order))
    invoice.paid_on, invoice.payment_number = None, ""
    invoice.save(update_fields=["paid_on", "payment_number"])
    reason = reason.strip()[:REASON_MAX]
    audit.record(order, "order_unpaid", "Отметка об оплате снята", by=by, at=at, reason=reason)
    if order.state == OrderState.CANCELLED:
        issuing.cancel(order=order, kind=PaperKind.INVOICE, at=at)
    return order


@transaction.atomic
def reissue_invoice(*, order: Order, reason: str, by: Actor, at: datetime) -> Order:
    """A счёт with the requisites of now under the next number; the number of the old one stays used.

    Raises OrderRefused where the order is cancelled, free or paid.
    """
    order = _locked(order)
    rules.check_payable(order, queries.invoice_of(order))
    issuing.cancel(order=order, kind=PaperKind.INVOICE, at=at)
    issuing.issue(
        order=order, kind=PaperKind.INVOICE, by=by, at=at, reason=reason.strip()[:REASON_MAX]
    )
    return order


@transaction.atomic
def cancel_order(*, order: Order, by: Actor, at: datetime, reason: str = "") -> Order:
    """Nobody will pack it, and its unpaid счёт is void.

    Raises OrderRefused unless the order is only accepted, and for a merchant where it is paid. A paid счёт stays
    valid until staff take the payment off it.
    """
    order = _locked(order)
    invoice = queries.invoice_of(order)
    if by.kind != ActorKind.STAFF:
        rules.check_may_cancel(invoice)
    order.cancelled_at = at
    _move(order, OrderState.CANCELLED, "cancelled_at")
    if invoice is not None and not invoice.paid_on:
        issuing.cancel(order=order, kind=PaperKind.INVOICE, at=at)
    audit.record(order, "order_cancelled", "Заказ отменён", by=by, at=at, reason=reason.strip())
    return order


@transaction.atomic
def pack_order(*, order: Order, iccids: Sequence[str], by: Actor, at: datetime) -> Order:
    """Take exactly the ordered number of cards from stock for this order.

    `iccids` are bare digits, with or without the check digit. Raises CannotPack with what is wrong with
    each card, OrderRefused where the order is not waiting to be packed.
    """
    order = _locked(order)
    rules.check_move(state=OrderState(order.state), to=OrderState.PACKED)
    cards = _cards_to_pack(order, iccids)
    PackedCard.objects.bulk_create(PackedCard(order=order, card=card) for card in cards)
    order.packed_at = at
    _move(order, OrderState.PACKED, "packed_at")
    audit.record(order, "order_packed", f"Заказ собран: {counted_cards(len(cards))}", by=by, at=at)
    return order


@transaction.atomic
def unpack_order(*, order: Order, reason: str, by: Actor, at: datetime) -> Order:
    """The cards go back to stock and the order waits again. Raises OrderRefused."""
    if not reason.strip():
        raise OrderRefused("Укажите причину: её увидит клиент.")
    order = _locked(order)
    order.packed_at = None
    _move(order, OrderState.ACCEPTED, "packed_at")
    PackedCard.objects.filter(order=order).delete()
    text = "Заказ разобран: смарт-карты вернулись на склад"
    reason = reason.strip()[:REASON_MAX]
    audit.record(order, "order_unpacked", text, by=by, at=at, reason=reason)
    return order


@transaction.atomic
def ship_order(*, order: Order, carrier: str, track_number: str, by: Actor, at: datetime) -> Order:
    """The parcel is on its way; a paid one with its накладная or УПД.

    Raises OrderRefused where it is not paid, and without a track number, which only our courier needs none of.
    """
    track_number = track_number.strip()
    if len(track_number) > TRACK_MAX:
        raise OrderRefused(f"Трек-номер длиннее {TRACK_MAX} знаков.")
    order = _locked(order)
    rules.check_move(state=OrderState(order.state), to=OrderState.SHIPPED)
    invoice = queries.invoice_of(order)
    rules.check_may_ship(invoice, carrier=carrier, track_number=track_number)
    order.carrier, order.track_number, order.shipped_at = carrier, track_number, at
    _move(order, OrderState.SHIPPED, "carrier", "track_number", "shipped_at")
    audit.record(order, "order_shipped", texts.shipped(order), by=by, at=at)
    seller = queries.seller()
    if invoice is not None and seller is not None:
        issuing.issue(
            order=order, kind=PaperKind(seller.parcel_paper), by=by, at=at, paid_by=invoice
        )
    notify(
        merchant=order.merchant,
        event=MessageEvent.ORDER_SENT,
        context={"number": order.pk, "track": track_number},
        at=at,
        key=f"order_sent:{order.pk}",
    )
    return order


@transaction.atomic
def deliver_order(*, order: Order, by: Actor, at: datetime) -> Order:
    """The parcel is with the merchant, and its cards are the merchant's from now on.

    Raises OrderRefused unless the order is on its way, CardRefused where a card left stock.
    """
    order = _locked(order)
    # A clock that was put back must not make a delivery earlier than its dispatch.
    order.delivered_at = max(at, order.shipped_at or at)
    _move(order, OrderState.DELIVERED, "delivered_at")
    cards = queries.packed_cards(order)
    assign_to_merchant(cards=cards, merchant=order.merchant, by=by, at=at)
    text = f"Заказ доставлен: {counted_cards(len(cards))}"
    audit.record(order, "order_delivered", text, by=by, at=at)
    notify(
        merchant=order.merchant,
        event=MessageEvent.ORDER_DELIVERED,
        context={"number": order.pk, "cards": counted_cards(len(cards))},
        at=at,
        key=f"order_delivered:{order.pk}",
    )
    return order


def _locked(order: Order) -> Order:
    """The order as it is now, locked until the end of the transaction, its merchant first."""
    Merchant.objects.select_for_update(no_key=True).get(pk=order.merchant_id)
    rows = queries.orders_with_lines().select_for_update(of=("self",)).select_related("merchant")
    return rows.get(pk=order.pk)


def _move(order: Order, to: OrderState, *changed: str) -> None:
    rules.check_move(state=OrderState(order.state), to=to)
    order.state = to
    order.save(update_fields=["state", *changed])


def _check_same(
    order: Order,
    merchant: Merchant,
    wanted: Mapping[OperatorAccount, int],
    details: OrderDetails,
) -> None:
    if order.merchant_id != merchant.pk:
        raise OrderRefused("Форма устарела. Начните новый заказ.")
    ordered = {line.account_id: line.quantity for line in order.lines.all()}
    asked = {account.pk: number for account, number in wanted.items()}
    if OrderDetails.of(order) != details or ordered != asked:
        raise OrderRefused(
            f"По этой форме уже оформлен заказ № {order.pk} с другими данными. Начните новый заказ."
        )


def _cards_to_pack(order: Order, iccids: Sequence[str]) -> list[SmartCard]:
    """The cards that were read, in any spelling of their numbers, locked. Raises CannotPack."""
    wanted = list(dict.fromkeys(iccids))
    rows = SmartCard.objects.select_for_update(of=("self",)).select_related("account")
    meant = cards_spelled(rows.order_by("pk"), wanted)
    # Asked after the lock: whoever was quicker has committed by now.
    packed_for = queries.packed_for([card for cards in meant.values() for card in cards])
    chosen: dict[int, SmartCard] = {}
    problems: dict[str, str] = {}
    for iccid in wanted:
        cards = meant[iccid]
        earlier = any(card.pk in chosen for card in cards)
        sentence = rules.why_not_packable(cards, order, packed_for=packed_for, earlier=earlier)
        if sentence:
            problems[iccid] = sentence
        else:
            chosen[cards[0].pk] = cards[0]
    if problems:
        raise CannotPack("Не все смарт-карты можно взять для этого заказа.", problems)
    if wrong := rules.why_not_counted(order, list(chosen.values())):
        raise CannotPack(wrong)
    return list(chosen.values())
