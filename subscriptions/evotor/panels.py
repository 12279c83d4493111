"""What the market sent about a merchant, on the staff's one page about a merchant."""

from datetime import datetime
from zoneinfo import ZoneInfo

from cabinet import wording
from cabinet.models import Merchant
from cabinet.panels import Cell, Panel
from subscriptions.evotor import queries
from subscriptions.evotor.models import Delivery

SHOWN = 20
COLUMNS = ("Получено", "Хук", "Событие", "Состояние", "Пояснение")


def deliveries(merchant: Merchant, at: datetime) -> Panel:
    """The latest twenty deliveries."""
    zone = ZoneInfo(merchant.timezone)
    rows = [_row(row, zone, at) for row in queries.deliveries_of(merchant, SHOWN)]
    return Panel("Входящие из Эвотор", COLUMNS, rows)


def _row(row: Delivery, zone: ZoneInfo, at: datetime) -> list[Cell]:
    return [
        (
            wording.moment(row.received_at, zone, at),
            f"/admin/evotor/delivery/{row.pk}/change/",
        ),
        row.hook,
        row.event_type or "—",
        row.get_state_display(),
        row.note or "—",
    ]
