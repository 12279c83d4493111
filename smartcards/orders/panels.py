"""Orders on the staff's page about a merchant."""

from datetime import datetime

from django.urls import reverse
from django.utils import timezone

from cabinet.models import Merchant
from cabinet.panels import Cell, Panel
from cabinet.wording import cards, moment_full
from smartcards.orders.models import Order
from smartcards.orders.queries import orders_of

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
        order.account.title,
        cards(order.quantity),
        order.get_state_display(),
        order.track_number or "—",
    ]
