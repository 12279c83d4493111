"""«Сегодня»: what waits for staff, on the first page. Each app provides its panels, listed in TODAY_PANELS."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.module_loading import import_string

from cabinet import clock
from cabinet.admin.actor import may
from cabinet.formatting import ru_format
from cabinet.messaging.alerts import put_off
from cabinet.models import Alert

# What waits longer is shown louder.
LATE = timedelta(days=1)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Waiting:
    """One kind of work: how many rows of it wait, since when the oldest does, where they are listed."""

    title: str
    number: int
    url: str
    oldest: datetime | None = None
    details: str = ""


@dataclass(frozen=True)
class TodayPanel:
    """The work of one list. `waiting` is asked only where the member of staff has the permission."""

    permission: str
    waiting: Callable[[datetime], Iterable[Waiting]]


@dataclass(frozen=True)
class Line:
    """One kind of work as the page shows it: `age` is that of the oldest row, in words."""

    waiting: Waiting
    age: str
    late: bool


def lines(request: HttpRequest) -> Sequence[Line]:
    """What waits, as far as the signed-in member of staff may see it; in the order of TODAY_PANELS."""
    at = clock.now()
    panels: Iterable[TodayPanel] = map(import_string, settings.TODAY_PANELS)
    return [
        _line(waiting, at)
        for panel in panels
        if may(request, panel.permission)
        for waiting in panel.waiting(at)
    ]


def _line(waiting: Waiting, at: datetime) -> Line:
    if not waiting.number or waiting.oldest is None:
        return Line(waiting, "", late=False)
    age = at - waiting.oldest
    return Line(waiting, ru_format.duration(age), late=age >= LATE)


def _alerts(at: datetime) -> Iterable[Waiting]:
    rows = Alert.objects.filter(closed_at=None).exclude(put_off(at))
    found = rows.aggregate(
        number=Count("pk"),
        oldest=Min("raised_at"),
        within_hour=Count("pk", filter=Q(raised_at__gt=at - _HOUR)),
        earlier=Count("pk", filter=Q(raised_at__lte=at - LATE)),
    )
    number, late = found["number"], found["earlier"]
    ages = {
        "за последний час": found["within_hour"],
        "за сутки": number - late - found["within_hour"],
        "раньше": late,
    }
    yield Waiting(
        "Дела для сотрудников",
        number,
        reverse("admin:cabinet_alert_changelist") + "?closed_at__isempty=1",
        found["oldest"],
        ", ".join(f"{age}\u00a0— {count}" for age, count in ages.items() if count),
    )


alerts = TodayPanel("cabinet.view_alert", _alerts)
