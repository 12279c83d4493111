"""What may be done with an order, which card may be packed. Rows and facts are arguments; no database."""

from collections.abc import Mapping, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from cabinet.errors import Refused
from cabinet.formatting.ru_format import cards as counted_cards
from cabinet.formatting.ru_format import counted, day
from cabinet.models import Merchant
from operators.models import OperatorAccount
from smartcards.models import SmartCard
from smartcards.orders.documents.content import Buyer, PaperContent, PaperLine, Requisites
from smartcards.orders.models import Order, OrderPaper, OrderTerms, Seller
from smartcards.orders.states import MAX_CARDS, ORDER_TRANSITIONS, Carrier, OrderState
from smartcards.rules import which_card
from smartcards.states import OperatorState

# Documents have the day of Moscow, wherever the buyer is.
PAPER_ZONE = ZoneInfo("Europe/Moscow")
# Participle and infinitive of each state: «Заказ уже собран, отменить его нельзя.»
_VERBS = {
    OrderState.ACCEPTED: ("принят", "разобрать"),
    OrderState.PACKED: ("собран", "собрать"),
    OrderState.SHIPPED: ("отправлен", "отправить"),
    OrderState.DELIVERED: ("доставлен", "отметить доставленным"),
    OrderState.CANCELLED: ("отменён", "отменить"),
}


class OrderRefused(Refused):
    """This may not be done with the order now."""


class PriceChanged(OrderRefused):
    """The sum is not the one that the person agreed to."""


class CannotPack(OrderRefused):
    """The chosen cards do not make up the order; `problems`: ICCID to the sentence what is wrong with it."""

    def __init__(self, sentence: str, problems: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.problems = problems or {}


def can_move(*, state: OrderState, to: OrderState) -> bool:
    """Whether the table of transitions has this step."""
    return to in ORDER_TRANSITIONS[state]


def check_move(*, state: OrderState, to: OrderState) -> None:
    """Raises OrderRefused with a sentence that names the state the order is in."""
    if not can_move(state=state, to=to):
        raise OrderRefused(f"Заказ уже {_VERBS[state][0]}, {_VERBS[to][1]} его нельзя.")


def check_wanted(wanted: Mapping[OperatorAccount, int]) -> None:
    """Raises OrderRefused where an operator or a number of cards is not on offer."""
    if not all(account.enabled for account in wanted):
        raise OrderRefused("Смарт-карты этого оператора сейчас не заказать. Выберите другого.")
    if not (
        all(number >= 1 for number in wanted.values()) and 1 <= sum(wanted.values()) <= MAX_CARDS
    ):
        raise OrderRefused(f"Можно заказать от 1 до {MAX_CARDS} смарт-карт.")


def check_limits(terms: OrderTerms, *, orders: int, cards: int, wanted: int) -> None:
    """Raises OrderRefused where one more order of so many cards is too much for one day.

    `orders` and `cards`: what the merchant has ordered today.
    """
    if orders >= terms.orders_a_day:
        limit = counted(terms.orders_a_day, "заказ", "заказа", "заказов")
        raise OrderRefused(f"Сегодня уже оформлено {limit}, больше нельзя. Закажите завтра.")
    if cards + wanted > terms.cards_a_day:
        raise OrderRefused(
            f"За день можно заказать до {terms.cards_a_day} смарт-карт, сегодня заказано {cards}."
            " Если нужно больше, напишите в поддержку."
        )


def price_of(wanted: int, terms: OrderTerms) -> int:
    """What so many cards cost with their delivery, in kopecks."""
    return wanted * terms.card_kopecks + terms.delivery_kopecks


def check_price(*, total: int, agreed: int, seller: Seller | None) -> None:
    """Raises PriceChanged where the person agreed to another sum, OrderRefused where nobody can issue a счёт."""
    if total != agreed:
        raise PriceChanged("Цена изменилась. Проверьте заказ ещё раз.")
    if total and seller is None:
        raise OrderRefused("Сейчас смарт-карты не заказать: мы не можем выставить счёт.")


def check_may_cancel(invoice: OrderPaper | None) -> None:
    """Raises OrderRefused for a merchant whose order is paid: the money must go back first."""
    if invoice is not None and invoice.paid_on:
        raise OrderRefused("Заказ оплачен. Чтобы отменить его, напишите в поддержку.")


def check_may_ship(invoice: OrderPaper | None, *, carrier: str, track_number: str) -> None:
    """Raises OrderRefused for an unpaid order, and without what lets the parcel be found."""
    if invoice is not None and not invoice.paid_on:
        raise OrderRefused("Заказ не оплачен: сначала отметьте оплату.")
    if not track_number and carrier != Carrier.OWN:
        raise OrderRefused("Укажите трек-номер отправления.")


def check_payable(order: Order, invoice: OrderPaper | None) -> OrderPaper:
    """The счёт that waits for its money. Raises OrderRefused where there is none."""
    if order.state == OrderState.CANCELLED:
        raise OrderRefused("Заказ отменён.")
    if invoice is None:
        raise OrderRefused("Заказ бесплатный, счёта у него нет.")
    if invoice.paid_on:
        raise OrderRefused(f"Заказ уже оплачен {day(invoice.paid_on)}")
    return invoice


def check_payment_can_be_withdrawn(order: Order, invoice: OrderPaper | None) -> OrderPaper:
    """The paid счёт of an order that has not left. Raises OrderRefused."""
    if invoice is None or not invoice.paid_on:
        raise OrderRefused("Оплата этого заказа не отмечена.")
    if order.state not in {OrderState.ACCEPTED, OrderState.PACKED, OrderState.CANCELLED}:
        raise OrderRefused("Заказ уже отправлен.")
    return invoice


def check_paid_on(paid_on: date, *, today: date) -> None:
    """Raises OrderRefused for a payment of the future."""
    if paid_on > today:
        raise OrderRefused("Дата платежа ещё не наступила.")


def paper_content(
    order: Order, seller: Seller, *, number: int, day_of_issue: date, paid_by: OrderPaper | None
) -> PaperContent:
    """All that stands in a document of the order, with the requisites of now. `paid_by`: the paid счёт."""
    goods = [
        PaperLine(f"Смарт-карта «{line.account.title}»", line.quantity, "шт.", line.price_kopecks)
        for line in order.lines.all()
        if line.price_kopecks
    ]
    if order.delivery_kopecks:
        goods.append(PaperLine("Доставка", 1, "усл.", order.delivery_kopecks))
    ordered_on = day(order.created_at.astimezone(PAPER_ZONE).date())
    return PaperContent(
        number=number,
        day=day_of_issue,
        basis=f"Заказ № {order.pk} от {ordered_on}",
        seller=_requisites(seller),
        buyer=_buyer(order, order.merchant),
        lines=tuple(goods),
        vat_rate=seller.vat_rate,
        parcel_address=order.address,
        payment=_payment(paid_by) if paid_by else "",
    )


def _payment(invoice: OrderPaper) -> str:
    return f"№ {invoice.payment_number} от {invoice.paid_on:%d.%m.%Y}" if invoice.paid_on else ""


def _requisites(seller: Seller) -> Requisites:
    return Requisites(**{name: getattr(seller, name) for name in Requisites.__annotations__})


def _buyer(order: Order, merchant: Merchant) -> Buyer:
    """КПП and the registered address are the company's own, so only where the ИНН is the same."""
    same = merchant.inn == order.inn
    return Buyer(
        name=order.company or merchant.shown_name,
        inn=order.inn,
        kpp=merchant.kpp if same else "",
        address=(merchant.address if same else "") or order.address,
    )


def why_not_counted(order: Order, chosen: Sequence[SmartCard]) -> str:
    """Which operator has too many or too few of the chosen cards; empty where they make up the order."""
    return " ".join(
        f"{line.account.title}: в заказе {counted_cards(line.quantity)}, выбрано: {number}."
        for line in order.lines.all()
        if (number := sum(card.account_id == line.account_id for card in chosen)) != line.quantity
    )


def why_not_packable(
    meant: Sequence[SmartCard], order: Order, *, packed_for: Mapping[int, int], earlier: bool
) -> str:
    """Why what was read from a card cannot be packed for the order; empty where it can.

    `meant`: the cards it may mean (`smartcards.queries.cards_spelled`). `packed_for`: orders that have cards
    already, by the card's id. `earlier`: the card was read before, in another spelling.
    """
    if not meant:
        return "Такой смарт-карты нет на складе."
    if len(meant) > 1:
        return which_card([card.iccid for card in meant])
    [card] = meant
    if earlier:
        return f"Считана дважды: это смарт-карта {card.iccid}."
    return _why_not_free(card, order, packed_for.get(card.pk))


def _why_not_free(card: SmartCard, order: Order, packed_for: int | None) -> str:
    if card.merchant_id is not None:
        return "Смарт-карта уже у клиента."
    if packed_for is not None:
        return f"Смарт-карта уже собрана для заказа № {packed_for}."
    if card.account_id not in {line.account_id for line in order.lines.all()}:
        return f"Смарт-карта другого оператора: {card.account.title}."
    confirmed = OperatorState(card.confirmed)
    if confirmed is not OperatorState.NEW:
        return f"Смарт-карта не новая: по данным оператора она «{confirmed.label}»."
    return ""
