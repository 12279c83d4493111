"""What the market sent: about a merchant on the staff's one page about it, and what waits for staff."""

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db.models import Count, Min
from django.urls import reverse

from cabinet.admin.merchant_panels import Cell, Panel
from cabinet.admin.today import TodayPanel, Waiting
from cabinet.formatting import ru_format
from cabinet.models import Merchant
from subscriptions.evotor.models import Delivery

SHOWN = 20
COLUMNS = ("Получено", "Хук", "Событие", "Состояние", "Пояснение")


def deliveries(merchant: Merchant, at: datetime) -> Panel:
    """The latest twenty deliveries."""
    zone = ZoneInfo(merchant.timezone)
    latest = Delivery.objects.filter(
        user_id=(merchant.evotor_user_id or "").upper() or None
    ).order_by("-pk")
    rows = [_row(row, zone, at) for row in latest[:SHOWN]]
    return Panel("Входящие из Эвотор", COLUMNS, rows)


def _row(row: Delivery, zone: ZoneInfo, at: datetime) -> list[Cell]:
    return [
        (
            ru_format.moment(row.received_at, zone, at),
            f"/admin/evotor/delivery/{row.pk}/change/",
        ),
        row.hook,
        row.event_type or "—",
        row.get_state_display(),
        row.note or "—",
    ]


def _waiting(at: datetime) -> Iterable[Waiting]:
    """Parked deliveries; and those that were given up after many errors, where there are any."""
    listed = reverse("admin:evotor_delivery_changelist")
    parked = Delivery.objects.filter(state=Delivery.State.PARKED)
    found = parked.aggregate(number=Count("pk"), oldest=Min("received_at"))
    url = f"{listed}?state__exact=parked"
    yield Waiting("Отложенные события Эвотор", found["number"], url, found["oldest"])
    given_up = Delivery.objects.filter(state=Delivery.State.FAILED, next_try_at=None)
    found = given_up.aggregate(number=Count("pk"), oldest=Min("received_at"))
    if found["number"]:
        url = f"{listed}?state__exact=failed&next_try_at__isnull=True"
        yield Waiting("События Эвотор с ошибкой", found["number"], url, found["oldest"])


deliveries_today = TodayPanel("evotor.view_delivery", _waiting)
