"""Reads: orders of a merchant, cards packed for them, cards that may be packed."""

from collections.abc import Collection

from django.db.models import Q, QuerySet

from cabinet.models import AuditEvent, Merchant
from cabinet.phones import e164
from operators.models import OperatorAccount
from smartcards.models import SmartCard
from smartcards.numbers import NotANumber, parse_iccid
from smartcards.orders.models import Order, PackedCard
from smartcards.orders.rules import StockFacts
from smartcards.states import Confirmed

# Greater numbers are no numbers of orders, and PostgreSQL refuses to compare with them.
_BIGGEST_ID = 2**63 - 1


def orders_of(merchant: Merchant) -> QuerySet[Order]:
    """The merchant's orders, newest first."""
    return Order.objects.of(merchant).select_related("account").order_by("-created_at", "-pk")


def packed_cards(order: Order) -> list[SmartCard]:
    """The cards packed for the order, in the order of their numbers."""
    return list(SmartCard.objects.filter(packed__order=order).order_by("iccid"))


def operators_on_offer() -> QuerySet[OperatorAccount]:
    """Operators whose cards can be ordered now."""
    return OperatorAccount.objects.filter(enabled=True).order_by("title", "pk")


def stock_of(account: OperatorAccount) -> QuerySet[SmartCard]:
    """New cards of the operator that nobody has and nobody has packed, the oldest first."""
    return SmartCard.objects.filter(
        account=account, merchant=None, packed=None, confirmed=Confirmed.NEW
    ).order_by("imported_at", "pk")


def whole_stock() -> QuerySet[SmartCard]:
    """New cards of all operators that work for us, that nobody has and nobody has packed."""
    return SmartCard.objects.filter(
        account__enabled=True, merchant=None, packed=None, confirmed=Confirmed.NEW
    )


def stock_facts(cards: Collection[SmartCard], order: Order) -> dict[str, StockFacts]:
    """What the rules ask about these cards, by ICCID; the cards bring their accounts along."""
    packed = dict(PackedCard.objects.filter(card__in=cards).values_list("card_id", "order_id"))
    return {
        card.iccid: StockFacts(
            same_operator=card.account_id == order.account_id,
            operator=card.account.title,
            in_stock=card.merchant_id is None,
            packed_for=packed.get(card.pk),
            confirmed=Confirmed(card.confirmed),
        )
        for card in cards
    }


def matching(text: str) -> Q:
    """Orders by number, telephone, ИНН, ICCID, userId, track number or name of the client."""
    words = text.strip()
    found = (
        Q(inn=words)
        | Q(track_number__iexact=words)
        | Q(merchant__evotor_user_id=words)
        | Q(merchant__name__icontains=words)
        | Q(recipient__icontains=words)
    )
    return found | _by_number(words) | _by_phone(words) | _by_iccid(words)


def _by_number(words: str) -> Q:
    number = words.lstrip("№ ")
    known = number.isascii() and number.isdigit() and int(number[:20]) <= _BIGGEST_ID
    return Q(pk=int(number)) if known and len(number) <= 19 else Q(pk__in=[])


def _by_phone(words: str) -> Q:
    phone = e164(words)
    return Q(phone=phone) if phone else Q(pk__in=[])


def _by_iccid(words: str) -> Q:
    try:
        iccid = parse_iccid(words).value
    except NotANumber:
        return Q(pk__in=[])
    return Q(packed__card__iccid=iccid)


def history_of(order: Order) -> QuerySet[AuditEvent]:
    """What happened to the order, newest first."""
    return AuditEvent.objects.filter(target="order", target_id=order.pk).order_by("-at", "-pk")
