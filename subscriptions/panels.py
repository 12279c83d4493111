"""The merchant's subscriptions on the staff's one page about a merchant."""

from datetime import datetime
from zoneinfo import ZoneInfo

from cabinet.admin.merchant_panels import Cell, Panel
from cabinet.formatting import ru_format
from cabinet.models import Merchant
from subscriptions.queries import SubscriptionView, subscription_views

COLUMNS = ("Модуль", "Состояние", "Тариф", "Смарт-карт", "Оплачено до", "Действует до", "Списано")


def subscriptions(merchant: Merchant, at: datetime) -> Panel:
    """One row for each subscription."""
    zone = ZoneInfo(merchant.timezone)
    rows = [_row(view, zone) for view in subscription_views(merchant, at)]
    return Panel("Подписки", COLUMNS, rows)


def _row(view: SubscriptionView, zone: ZoneInfo) -> list[Cell]:
    address = f"/admin/subscriptions/subscription/{view.row.pk}/change/"
    return [
        (view.row.module.title, address),
        str(view.state.label),
        view.row.plan_title or "—",
        str(view.paid_cards),
        _day(view.billed_until, zone),
        _day(view.row.entitled_until, zone),
        "—" if view.row.charged_kopecks is None else ru_format.money(view.row.charged_kopecks),
    ]


def _day(at: datetime | None, zone: ZoneInfo) -> str:
    return ru_format.moment_full(at, zone) if at else "—"
