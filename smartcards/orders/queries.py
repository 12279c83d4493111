"""Reads: orders of a merchant, cards packed for them, cards that may be packed."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db.models import Count, Prefetch, Q, QuerySet, Sum

from cabinet.formatting.phone_numbers import e164
from cabinet.models import AuditEvent, Merchant
from operators.account_snapshot import has_keys
from operators.models import SECRETS, OperatorAccount
from operators.ports import iccid_spellings
from smartcards.models import SmartCard
from smartcards.numbers import NotANumber, parse_iccid
from smartcards.orders.models import (
    Order,
    OrderLine,
    OrderPaper,
    OrderTerms,
    PackedCard,
    Seller,
)
from smartcards.orders.states import OrderState, PaperKind
from smartcards.states import OperatorState

# Greater numbers are no numbers of orders, and PostgreSQL refuses to compare with them.
_BIGGEST_ID = 2**63 - 1
_SECRETS_OF_ACCOUNT = [f"account__{name}" for name in SECRETS]


def orders_with_lines() -> QuerySet[Order]:
    """Orders with their lines and operators in one more query, however many there are."""
    lines = OrderLine.objects.select_related("account").defer(*_SECRETS_OF_ACCOUNT)
    return Order.objects.prefetch_related(Prefetch("lines", lines.order_by("account__title", "pk")))


def whole_orders() -> QuerySet[Order]:
    """The same with their documents in another query."""
    papers = OrderPaper.objects.order_by("issued_at", "pk")
    return orders_with_lines().prefetch_related(Prefetch("papers", papers))


def valid_papers() -> QuerySet[OrderPaper]:
    """Documents that are not cancelled, in the order in which they were issued."""
    return OrderPaper.objects.filter(cancelled_at=None).order_by("issued_at", "pk")


def orders_of(merchant: Merchant) -> QuerySet[Order]:
    """The merchant's orders as `whole_orders` gives them, newest first."""
    return whole_orders().filter(merchant=merchant).order_by("-created_at", "-pk")


def running_orders(merchant: Merchant) -> QuerySet[Order]:
    """The merchant's orders that are neither with him nor cancelled, as `whole_orders` gives them."""
    over = (OrderState.DELIVERED, OrderState.CANCELLED)
    return orders_of(merchant).exclude(state__in=over)


def last_order(merchant: Merchant) -> Order | None:
    """The merchant's newest order, whatever became of it."""
    return Order.objects.of(merchant).order_by("-created_at", "-pk").first()


def invoice_of(order: Order) -> OrderPaper | None:
    """The valid счёт of the order; None where it is free or cancelled."""
    return valid_papers().filter(order=order, kind=PaperKind.INVOICE).first()


def order_terms() -> OrderTerms:
    """Prices and limits as staff set them; the usual ones where they set nothing."""
    return OrderTerms.objects.first() or OrderTerms()


def seller() -> Seller | None:
    """Who sells the cards; None until staff have entered the requisites."""
    return Seller.objects.first()


@dataclass(frozen=True)
class OrderedToday:
    """How many orders and cards a merchant has ordered today."""

    orders: int
    cards: int


def ordered_today(merchant: Merchant, at: datetime) -> OrderedToday:
    """Of the merchant's own day. Cards of cancelled orders are not counted, the orders are."""
    local = at.astimezone(ZoneInfo(merchant.timezone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    today = Order.objects.of(merchant).filter(created_at__gte=midnight)
    alive = ~Q(state=OrderState.CANCELLED)
    found = today.aggregate(
        orders=Count("pk", distinct=True), cards=Sum("lines__quantity", filter=alive)
    )
    return OrderedToday(found["orders"], found["cards"] or 0)


def packed_cards(order: Order) -> list[SmartCard]:
    """The cards packed for the order, in the order of their numbers."""
    return list(SmartCard.objects.filter(packed__order=order).order_by("iccid"))


def operators_on_offer() -> QuerySet[OperatorAccount]:
    """Operators whose cards can be ordered now: a contract without keys could switch none of them."""
    enabled = OperatorAccount.objects.filter(enabled=True)
    ready = [one.pk for one in enabled.defer(*SECRETS) if has_keys(one)]
    return enabled.filter(pk__in=ready).defer(*SECRETS).order_by("title", "pk")


def stock_of(account: OperatorAccount) -> QuerySet[SmartCard]:
    """New cards of the operator that nobody has and nobody has packed, the oldest first."""
    new = SmartCard.objects.filter(merchant=None, packed=None, confirmed=OperatorState.NEW)
    return new.filter(account=account).order_by("imported_at", "pk")


def packed_for(cards: Collection[SmartCard]) -> dict[int, int]:
    """Ids of the orders that have these cards already, by the card's id."""
    found = PackedCard.objects.filter(card__in=cards)
    return dict(found.values_list("card_id", "order_id"))


def matching(text: str) -> Q:
    """Orders by number, telephone, ИНН, ICCID, userId, track number or name of the client."""
    text = text.strip()
    found = (
        Q(inn=text)
        | Q(track_number__iexact=text)
        | Q(merchant__evotor_user_id__iexact=text)
        | Q(merchant__name__icontains=text)
        | Q(recipient__icontains=text)
    )
    return found | _by_number(text) | _by_phone(text) | _by_iccid(text)


def _by_number(text: str) -> Q:
    number = text.lstrip("№ ")
    known = number.isascii() and number.isdigit() and int(number[:20]) <= _BIGGEST_ID
    return Q(pk=int(number)) if known and len(number) <= 19 else Q(pk__in=[])


def _by_phone(text: str) -> Q:
    phone = e164(text)
    return Q(phone=phone) if phone else Q(pk__in=[])


def _by_iccid(text: str) -> Q:
    try:
        iccid = parse_iccid(text).value
    except NotANumber:
        return Q(pk__in=[])
    return Q(packed__card__iccid__in=iccid_spellings(iccid))


def history_of(order: Order) -> QuerySet[AuditEvent]:
    """What happened to the order, newest first."""
    return AuditEvent.objects.filter(target="order", target_id=order.pk).order_by("-at", "-pk")
