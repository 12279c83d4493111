"""Messages about what is paid: a known end is near, a renewal is near, the market has not confirmed a payment.

Each has a key of the subscription, its date and how near it is: it leaves once, however often one looks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce, Greatest

from cabinet.enums import MessageEvent
from cabinet.formatting import ru_format
from cabinet.messaging.events import notify
from cabinet.models import Notice
from cabinet.tasks import advisory_lock
from subscriptions import queries, rules
from subscriptions.models import Subscription

# Days before a known end, the nearest first; the nearer two are loud.
END_DAYS, LOUD_DAYS = (1, 3, 7, 14), 3
RENEWAL_DAYS = 3
# The market's event usually comes within minutes of the date; a day later nobody needs to be asked.
AWAITED_AFTER, AWAITED_FOR = timedelta(hours=3), timedelta(hours=24)
_BATCH = 500


@dataclass(frozen=True)
class Reminder:
    """What to send about one subscription now. `date` is the end, or the day of the charge."""

    event: MessageEvent
    key: str
    date: datetime
    days_left: int


def remind(*, at: datetime) -> int:
    """Store what is due and was not stored before; how many. Only one process at a time."""
    with advisory_lock.only_one("subscriptions.remind") as ours:
        if not ours:
            return 0
        rows, made = _in_question(at).iterator(_BATCH), 0
        while some := list(islice(rows, _BATCH)):
            made += _remind(some, at)
        return made


def _in_question(at: datetime) -> QuerySet[Subscription]:
    """Subscriptions whose end or renewal is near, or whose renewal is awaited."""
    # Greatest ignores NULL in PostgreSQL.
    rows = Subscription.objects.annotate(
        date=Coalesce(F("entitled_until"), Greatest("trial_until", "paid_until"))
    )
    near = Q(
        date__gt=at - AWAITED_AFTER - AWAITED_FOR, date__lte=at + timedelta(days=END_DAYS[-1] + 1)
    )
    found = rows.filter(near, entitled_from__isnull=False).order_by("pk")
    return found.select_related("merchant", "tariff").prefetch_related("periods__tariff")


def _remind(rows: Sequence[Subscription], at: datetime) -> int:
    due = [(row, found) for row in rows if (found := reminder_of(row, at)) is not None]
    known = set(
        Notice.objects.filter(key__in=[one.key for _, one in due]).values_list("key", flat=True)
    )
    return sum(_send(row, one, at) for row, one in due if one.key not in known)


def reminder_of(row: Subscription, at: datetime) -> Reminder | None:
    """What people should know of this subscription now; None for nothing. No query."""
    end = row.entitled_until
    billed = rules.later(row.trial_until, row.paid_until)
    if end is None and row.stop_requested_at is not None:
        end = billed
    if end is not None:
        return _end(row, end, at) if end > at else None
    if billed is None:
        return None
    return _renewal(row, billed, at) if billed > at else _awaited(row, billed, at)


def _end(row: Subscription, end: datetime, at: datetime) -> Reminder | None:
    left = _days(row, end, at)
    mark = next((mark for mark in END_DAYS if left <= mark), None)
    if mark is None:
        return None
    event = MessageEvent.END_SOON if mark <= LOUD_DAYS else MessageEvent.END_NEAR
    return Reminder(event, f"end:{row.pk}:{end:{_STAMP}}:{mark}", end, left)


def _renewal(row: Subscription, billed: datetime, at: datetime) -> Reminder | None:
    left = _days(row, billed, at)
    if left > RENEWAL_DAYS:
        return None
    return Reminder(MessageEvent.RENEWAL_NEAR, f"renewal:{row.pk}:{billed:{_STAMP}}", billed, left)


def _awaited(row: Subscription, billed: datetime, at: datetime) -> Reminder | None:
    if not billed + AWAITED_AFTER <= at < billed + AWAITED_AFTER + AWAITED_FOR:
        return None
    return Reminder(MessageEvent.PAYMENT_AWAITED, f"awaited:{row.pk}:{billed:{_STAMP}}", billed, 0)


_STAMP = "%Y%m%dT%H%M%S"


def _days(row: Subscription, end: datetime, at: datetime) -> int:
    return rules.days_left(end=end, at=at, zone=ZoneInfo(row.merchant.timezone)) or 0


def _send(row: Subscription, reminder: Reminder, at: datetime) -> bool:
    return notify(
        merchant=row.merchant,
        event=reminder.event,
        context=_parts(row, reminder, at),
        at=at,
        key=reminder.key,
        target_id=row.pk,
    )


def _parts(row: Subscription, reminder: Reminder, at: datetime) -> Mapping[str, object]:
    number = queries.paid_cards_at(row, at)
    paid = ru_format.plural(number, "Оплачена", "Оплачены", "Оплачено")
    estimate = queries.estimate_of(row)
    return {
        "paid": f"{paid} {ru_format.cards(number)}",
        "until": ru_format.moment_there(reminder.date, ZoneInfo(row.merchant.timezone)),
        "when": _when(reminder.days_left),
        "goes_off": ru_format.plural(number, "она отключится", "они отключатся", "они отключатся"),
        "charge": f"Потом Эвотор спишет примерно {ru_format.money(estimate.total_kopecks)}."
        if estimate
        else "Потом Эвотор спишет оплату за следующий период.",
    }


def _when(days: int) -> str:
    return ru_format.NEAR_DAYS.get(days) or f"через{ru_format.NBSP}{ru_format.days(days)}"
