"""On the first days of a month those who wish learn that the report of the last one is ready.

The message has a link and no file: whoever opens it signs in first.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Exists, OuterRef, QuerySet

from cabinet.enums import MessageEvent
from cabinet.formatting import ru_format
from cabinet.messaging.events import notify
from cabinet.models import Merchant, Notice
from cabinet.tasks import advisory_lock
from smartcards.exports.monthly_report import MonthlyReport, monthly_report
from subscriptions.models import Charge
from subscriptions.periods import add_months, local_day

# Later it is no news: the message would be dropped.
LAST_DAY = 3
# Merchants at once: a report of many cards takes a part of a second.
BATCH = 100


def tell_of_reports(*, at: datetime) -> bool:
    """Store what is due and was not stored before, for so many merchants; whether there may be more.

    Each merchant is told once a month, however often it is called. Only one process at a time.
    """
    with advisory_lock.only_one("smartcards.tell_of_reports") as ours:
        if not ours:
            return False
        due = list(_due(at))[:BATCH]
        for merchant, month in due:
            _tell(merchant, month, at)
        return len(due) == BATCH


def _due(at: datetime) -> Iterator[tuple[Merchant, date]]:
    """Merchants in whose zone a month has just begun, with the month before it, that are not told yet."""
    for zone in Merchant.objects.order_by("timezone").values_list("timezone", flat=True).distinct():
        today = local_day(at, ZoneInfo(zone))
        if today.day <= LAST_DAY:
            month = add_months(today.replace(day=1), -1)
            rows = _with_payments(month).filter(timezone=zone).order_by("pk")
            yield from ((merchant, month) for merchant in rows[:BATCH])


def _with_payments(month: date) -> QuerySet[Merchant]:
    """Those for whom something is paid in the month or near it, except whom that is told already."""
    told = Notice.objects.filter(
        event=MessageEvent.MONTH_READY, target_id=_number(month), merchant_id=OuterRef("pk")
    )
    # A day more on both sides: whose days these are depends on the zone.
    since, till = month - timedelta(days=1), add_months(month, 1) + timedelta(days=1)
    paid = Charge.objects.filter(
        subscription__merchant=OuterRef("pk"), starts_at__date__lt=till, ends_at__date__gt=since
    )
    return Merchant.objects.filter(Exists(paid), ~Exists(told))


def _number(month: date) -> int:
    """202701."""
    return month.year * 100 + month.month


def _tell(merchant: Merchant, month: date, at: datetime) -> None:
    report = monthly_report(merchant, month, at)
    notify(
        merchant=merchant,
        event=MessageEvent.MONTH_READY,
        context={
            "month": ru_format.month(month),
            "total": _total(report),
            "first": month,
        },
        at=at,
        key=f"month:{_number(month)}:{merchant.pk}",
        target_id=_number(month),
    )


def _total(report: MonthlyReport) -> str:
    money = ru_format.money(report.kopecks)
    return (
        f"{money}, за\u00a0часть дней Эвотор не\u00a0назвал сумму" if report.lacks_sums else money
    )
