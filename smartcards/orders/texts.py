"""How an order is shown: what is ordered, its price, its pill, its steps, the way of its parcel."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from urllib.parse import quote

from cabinet.formatting.ru_format import (
    NBSP,
    RANGE,
    Pill,
    Tone,
    cards,
    day,
    days,
    moment_full,
    money,
)
from smartcards.orders.models import Order, OrderPaper, OrderTerms
from smartcards.orders.states import TRACK_PAGES, Carrier, OrderState
from smartcards.presentation.progress import Step

FREE = "бесплатно"
_TONES = {
    OrderState.ACCEPTED: Tone.PROGRESS,
    OrderState.PACKED: Tone.PROGRESS,
    OrderState.SHIPPED: Tone.PROGRESS,
    OrderState.DELIVERED: Tone.WORKS,
    OrderState.CANCELLED: Tone.OFF,
}
_WAY = (OrderState.ACCEPTED, OrderState.PACKED, OrderState.SHIPPED, OrderState.DELIVERED)
# Shown for the step that comes next.
_NEXT = {
    OrderState.PACKED: "Собираем",
    OrderState.SHIPPED: "Передаём в доставку",
    OrderState.DELIVERED: "В пути",
}


@dataclass(frozen=True)
class PriceRow:
    """One line of the sums: what, how much, and how it is counted."""

    term: str
    value: str
    hint: str = ""


def pill(state: str) -> Pill:
    """The state as a pill."""
    known = OrderState(state)
    return Pill(_TONES[known], known.label)


def operators(order: Order) -> str:
    """«МТС», or with numbers where there are several: «Билайн — 3, МТС — 2»."""
    lines = list(order.lines.all())
    if len(lines) == 1:
        return lines[0].account.title
    return ", ".join(f"{line.account.title}{NBSP}— {line.quantity}" for line in lines)


def ordered_in_full(order: Order) -> str:
    """«5 смарт-карт, Билайн — 3, МТС — 2»."""
    return f"{cards(order.quantity)}, {operators(order)}"


def price(kopecks: int) -> str:
    """«1 200 ₽», «бесплатно»."""
    return money(kopecks) if kopecks else FREE


def price_rows(lines: Iterable[tuple[str, int, int]], delivery: int) -> list[PriceRow]:
    """The sums of an order; `lines`: operator, number of cards, price of one."""
    rows = [
        PriceRow(title, price(number * each), _counted(number, each))
        for title, number, each in lines
    ]
    return [*rows, PriceRow("Доставка", price(delivery))]


def _counted(number: int, each: int) -> str:
    return f"{cards(number)} × {money(each)}" if each else cards(number)


def terms_lead(terms: OrderTerms) -> str:
    """What a person knows before ordering: «Смарт-карта — 300 ₽, доставка бесплатно. Обычно привозим за 3–7 дней.»"""
    cost = "Смарт-карты и доставка бесплатно."
    if terms.card_kopecks or terms.delivery_kopecks:
        cost = f"Смарт-карта{_dash(terms.card_kopecks)}, доставка{_dash(terms.delivery_kopecks)}."
    return f"{cost} {usual_time(terms)}"


def _dash(kopecks: int) -> str:
    return f"{NBSP}— {money(kopecks)}" if kopecks else f" {FREE}"


def usual_time(terms: OrderTerms) -> str:
    """«Обычно привозим за 3–7 дней.»"""
    since = "" if terms.days_from == terms.days_to else f"{terms.days_from}{RANGE}"
    return f"Обычно привозим за {since}{days(terms.days_to)}."


def track_link(order: Order) -> str:
    """The carrier's page about the parcel; empty where there is none."""
    if not (order.track_number and order.carrier in TRACK_PAGES):
        return ""
    return TRACK_PAGES[Carrier(order.carrier)].format(quote(order.track_number, safe=""))


def shipped(order: Order) -> str:
    """«Заказ отправлен: СДЭК, трек-номер 1234567890», for the history."""
    parts = [order.get_carrier_display()] if order.carrier else []
    parts += [f"трек-номер {order.track_number}"] if order.track_number else []
    return f"Заказ отправлен: {', '.join(parts)}"


def invoice_status(invoice: OrderPaper) -> Pill:
    """Whether it is paid."""
    if invoice.paid_on:
        return Pill(Tone.WORKS, f"Оплачен {day(invoice.paid_on)}")
    return Pill(Tone.ATTENTION, "Ждёт оплаты")


def steps(order: Order, zone: tzinfo, invoice: OrderPaper | None = None) -> list[Step]:
    """The whole way of the order with the times of what is behind it, the payment among it where there is one."""
    if order.state == OrderState.CANCELLED:
        return [
            _done(OrderState.ACCEPTED, order.created_at, zone),
            replace(_done(OrderState.CANCELLED, order.cancelled_at, zone), state="failed"),
        ]
    if invoice is None:
        return _way(order, zone)
    first, *rest = _way(order, zone)
    if invoice.paid_on:
        return [first, Step("Оплачен", "done", day(invoice.paid_on)), *rest]
    waiting = [Step(step.text, "waiting") if step.state == "current" else step for step in rest]
    return [first, Step("Оплачен", "current", "Ждём оплату счёта"), *waiting]


def _way(order: Order, zone: tzinfo) -> list[Step]:
    reached = _WAY.index(OrderState(order.state))
    times = (order.created_at, order.packed_at, order.shipped_at, order.delivered_at)
    return [
        *(_done(state, at, zone) for state, at in zip(_WAY[: reached + 1], times, strict=False)),
        *(Step(state.label, "current", _NEXT[state]) for state in _WAY[reached + 1 : reached + 2]),
        *(Step(state.label, "waiting") for state in _WAY[reached + 2 :]),
    ]


def _done(state: OrderState, at: datetime | None, zone: tzinfo) -> Step:
    return Step(state.label, "done", moment_full(at, zone) if at else "")
