"""What people and staff do with orders. Each function is one transaction.

Locks are taken in one order: merchant, order, cards.
"""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import transaction

from cabinet import audit
from cabinet.actors import Actor
from cabinet.models import Merchant
from cabinet.wording import cards as counted_cards
from operators.models import OperatorAccount
from smartcards.models import SmartCard
from smartcards.orders import queries, rules
from smartcards.orders.models import Order, PackedCard
from smartcards.orders.rules import CannotPack, CardProblem, OrderRefused
from smartcards.orders.states import OrderState
from smartcards.services import hand_over


@dataclass(frozen=True)
class OrderDetails:
    """What is ordered and where it goes, cleaned. `phone` is E.164 without plus."""

    quantity: int
    inn: str
    recipient: str
    phone: str
    address: str
    comment: str = ""


@transaction.atomic
def place_order(
    *,
    merchant: Merchant,
    account: OperatorAccount,
    details: OrderDetails,
    key: uuid.UUID,
    by: Actor,
    at: datetime,
) -> Order:
    """A new order; the same form sent again gives the order it made the first time.

    Raises OrderRefused where the operator or the quantity is not on offer, and where the form with
    this `key` has made an order of other contents.
    """
    order = Order.objects.filter(key=key).first()
    if order is None:
        rules.check_place(operator_works=account.enabled, quantity=details.quantity)
        # Another click may have been quicker: the unique key decides, and one row is made.
        order, made = Order.objects.get_or_create(
            key=key,
            defaults={
                "merchant": merchant,
                "account": account,
                "created_at": at,
                "created_by": by.name[:150],
                **asdict(details),
            },
        )
        if made:
            text = f"Заказ принят: {counted_cards(order.quantity)}, {account.title}"
            _note(order, "order_placed", text, by=by, at=at)
    _check_same(order, merchant, account, details)
    return order


@transaction.atomic
def cancel_order(*, order: Order, by: Actor, at: datetime, reason: str = "") -> Order:
    """Nobody will pack it. Raises OrderRefused unless the order is only accepted."""
    order = _locked(order)
    order.cancelled_at = at
    _move(order, OrderState.CANCELLED, "cancelled_at")
    _note(order, "order_cancelled", "Заказ отменён", by=by, at=at, reason=reason.strip())
    return order


@transaction.atomic
def pack_order(*, order: Order, iccids: Sequence[str], by: Actor, at: datetime) -> Order:
    """Take exactly the ordered number of cards from stock for this order.

    `iccids` are bare digits. Raises CannotPack with what is wrong with each card, OrderRefused
    where the order is not waiting to be packed.
    """
    order = _locked(order)
    rules.check_move(state=OrderState(order.state), to=OrderState.PACKED)
    cards = _cards_to_pack(order, iccids)
    PackedCard.objects.bulk_create(PackedCard(order=order, card=card) for card in cards)
    order.packed_at = at
    _move(order, OrderState.PACKED, "packed_at")
    _note(order, "order_packed", f"Заказ собран: {counted_cards(len(cards))}", by=by, at=at)
    return order


@transaction.atomic
def unpack_order(*, order: Order, reason: str, by: Actor, at: datetime) -> Order:
    """The cards go back to stock and the order waits again. Raises OrderRefused."""
    said = rules.check_reason(reason)
    order = _locked(order)
    order.packed_at = None
    _move(order, OrderState.ACCEPTED, "packed_at")
    PackedCard.objects.filter(order=order).delete()
    text = "Заказ разобран: смарт-карты вернулись на склад"
    _note(order, "order_unpacked", text, by=by, at=at, reason=said)
    return order


@transaction.atomic
def ship_order(*, order: Order, track_number: str, by: Actor, at: datetime) -> Order:
    """The parcel is on its way. Raises OrderRefused, without a track number too."""
    said = rules.check_track_number(track_number)
    order = _locked(order)
    order.track_number = said
    order.shipped_at = at
    _move(order, OrderState.SHIPPED, "track_number", "shipped_at")
    _note(order, "order_shipped", f"Заказ отправлен, трек-номер {said}", by=by, at=at)
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
    hand_over(cards=cards, merchant=order.merchant, by=by, at=at)
    text = f"Заказ доставлен: {counted_cards(len(cards))}"
    _note(order, "order_delivered", text, by=by, at=at)
    return order


def _locked(order: Order) -> Order:
    """The order as it is now, locked till the end of the transaction, its merchant before it."""
    Merchant.objects.select_for_update(no_key=True).get(pk=order.merchant_id)
    rows = Order.objects.select_for_update(of=("self",)).select_related("merchant", "account")
    return rows.get(pk=order.pk)


def _move(order: Order, to: OrderState, *changed: str) -> None:
    rules.check_move(state=OrderState(order.state), to=to)
    order.state = to
    order.save(update_fields=["state", *changed])


def _check_same(
    order: Order, merchant: Merchant, account: OperatorAccount, details: OrderDetails
) -> None:
    if order.merchant_id != merchant.pk:
        raise OrderRefused("Форма устарела. Начните новый заказ.")
    placed = OrderDetails(
        quantity=order.quantity,
        inn=order.inn,
        recipient=order.recipient,
        phone=order.phone,
        address=order.address,
        comment=order.comment,
    )
    if placed != details or order.account_id != account.pk:
        raise OrderRefused(
            f"По этой форме уже оформлен заказ № {order.pk} с другими данными. Начните новый заказ."
        )


def _cards_to_pack(order: Order, iccids: Sequence[str]) -> list[SmartCard]:
    wanted = list(dict.fromkeys(iccids))
    cards = list(
        SmartCard.objects.select_for_update(of=("self",))
        .select_related("account")
        .filter(iccid__in=wanted)
        .order_by("pk")
    )
    # Asked after the lock: whoever was quicker has committed by now.
    facts = queries.stock_facts(cards, order)
    doubts = [CardProblem(iccid, rules.why_not_packable(facts.get(iccid))) for iccid in wanted]
    problems = [doubt for doubt in doubts if doubt.sentence]
    if problems:
        raise CannotPack("Не все смарт-карты можно взять для этого заказа.", problems)
    rules.check_pack_quantity(wanted=order.quantity, chosen=len(cards))
    return cards


def _note(
    order: Order, action: str, text: str, *, by: Actor, at: datetime, reason: str = ""
) -> None:
    audit.record(
        target=order,
        action=action,
        text=text,
        reason=reason,
        by=by,
        at=at,
        merchant_id=order.merchant_id,
    )
