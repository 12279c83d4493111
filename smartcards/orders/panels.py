"""Orders on the staff's page about a merchant, those that wait for the warehouse, and on the merchant's first page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min
from django.urls import reverse
from django.utils import timezone

from cabinet.accounts import rules as roles
from cabinet.admin.merchant_panels import Cell, Panel
from cabinet.admin.today import TodayPanel, Waiting
from cabinet.enums import Right, Role
from cabinet.formatting.ru_format import NBSP, cards, counted, moment_full, money
from cabinet.models import Merchant
from smartcards.orders import texts
from smartcards.orders.models import Order, OrderPaper
from smartcards.orders.queries import orders_of, running_orders
from smartcards.orders.states import OrderState, PaperKind

SHOWN = 20


def orders(merchant: Merchant, at: datetime) -> Panel:
    """The newest orders of the merchant."""
    return Panel(
        title="Заказы смарт-карт",
        columns=["Заказ", "Оформлен", "Оператор", "Смарт-карты", "Состояние", "Трек-номер"],
        rows=[_row(order) for order in orders_of(merchant)[:SHOWN]],
    )


def _row(order: Order) -> list[Cell]:
    page = reverse("admin:orders_order_change", args=[order.pk])
    return [
        (f"№ {order.pk}", page),
        moment_full(order.created_at, timezone.get_current_timezone()),
        texts.operators(order),
        cards(order.quantity),
        order.get_state_display(),
        order.track_number or "—",
    ]


@dataclass(frozen=True)
class OrderNotice:
    """One sentence for the merchant's first page, and where its link goes."""

    text: str
    url: str
    link: str


def running(merchant: Merchant, role: Role) -> list[OrderNotice]:
    """What the first page says of orders under way: one sentence, however many there are."""
    if not roles.may(role, Right.SEE_ORDERS):
        return []
    found = list(running_orders(merchant))
    if len(found) > 1:
        text = f"{counted(len(found), 'заказ', 'заказа', 'заказов')} смарт-карт в{NBSP}работе."
        return [OrderNotice(text, reverse("orders"), "Показать заказы")]
    return [_notice(order) for order in found]


def _notice(order: Order) -> OrderNotice:
    text = f"Заказ №{NBSP}{order.pk} ({cards(order.quantity)}) {_whereabouts(order)}"
    return OrderNotice(text, reverse("order", kwargs={"pk": order.pk}), "Открыть заказ")


def _whereabouts(order: Order) -> str:
    papers: Sequence[OrderPaper] = order.valid_papers
    unpaid = [one for one in papers if one.kind == PaperKind.INVOICE and not one.paid_on]
    if unpaid:
        return f"ждёт оплаты: {money(unpaid[0].total_kopecks)}."
    if order.state == OrderState.SHIPPED:
        return f"в{NBSP}пути. Когда получите, нажмите «Получил»."
    return "собран, передаём в доставку." if order.state == OrderState.PACKED else "собираем."


def _waiting(at: datetime) -> Iterable[Waiting]:
    yield _in_state("Заказы: собрать", OrderState.ACCEPTED, since="created_at")
    yield _in_state("Заказы: отправить", OrderState.PACKED, since="packed_at")


def _in_state(title: str, state: OrderState, *, since: str) -> Waiting:
    rows = Order.objects.filter(state=state)
    found = rows.aggregate(number=Count("pk"), oldest=Min(since))
    url = f"{reverse('admin:orders_order_changelist')}?state__exact={state}"
    return Waiting(title, found["number"], url, found["oldest"])


orders_today = TodayPanel("orders.change_order", _waiting)
