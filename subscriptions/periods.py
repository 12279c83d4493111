"""Paid time: months from an anchor day, days in the merchant's zone, instants in UTC.

A stretch of days is half-open like a stretch of instants: `ends_on` is the first day that is not
paid, which is also the day of the next charge. What was paid ends at the local midnight that
begins `ends_on`, that is at the midnight after the last paid day.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

GRACE_DAYS = 5

ONE_DAY = timedelta(days=1)
SMALLEST_STEP = timedelta(microseconds=1)


@dataclass(frozen=True)
class Span:
    """Days paid in one go: from `starts_on`, up to and without `ends_on`.

    `anchor_day` (1..31) is the day of the month to keep for the next extension.
    """

    starts_on: date
    ends_on: date
    anchor_day: int

    @property
    def days(self) -> int:
        """How many days are paid."""
        return (self.ends_on - self.starts_on).days

    @property
    def last_day(self) -> date:
        """The last paid day, the one to show as «оплачено по … включительно»."""
        return self.ends_on - ONE_DAY


def add_months(anchor: date, months: int) -> date:
    """The anchor's day, `months` later, clipped to the end of a shorter month.

    Always count from the anchor and never from an end that was clipped already: 31 January + 1 is
    28 or 29 February, + 2 is 31 March. Raises ValueError outside the years 1..9999.
    """
    return nth_end(anchor.day, anchor, months)


def nth_end(anchor_day: int, first_start: date, months_total: int) -> date:
    """The first unpaid day after `months_total` months counted from the month of `first_start`.

    `anchor_day` (1..31) is the day asked for; the month's length clips it. Raises ValueError for
    an anchor outside 1..31 and for a result outside the years 1..9999.
    """
    if not 1 <= anchor_day <= 31:
        raise ValueError("anchor_day must be 1..31")
    year, month = divmod(first_start.year * 12 + first_start.month - 1 + months_total, 12)
    if not date.min.year <= year <= date.max.year:
        raise ValueError("the year is out of range")
    return date(year, month + 1, _clip(anchor_day, year, month + 1))


def _clip(day: int, year: int, month: int) -> int:
    return min(day, monthrange(year, month)[1])


def extend(*, anchor_day: int | None, current_end: date | None, today: date, months: int) -> Span:
    """The days that a payment for `months` made `today` adds.

    They start at the later of today and the current end, so an early renewal never loses days and
    a late one never pays for days that are gone. The old anchor is kept while time runs on
    without a hole and the current end stands on it; otherwise the start becomes the new anchor.
    Raises ValueError unless `months` is positive.
    """
    if months < 1:
        raise ValueError("months must be positive")
    starts_on = max(today, current_end or today)
    anchor = _kept_anchor(anchor_day, current_end, starts_on)
    return Span(starts_on, nth_end(anchor, starts_on, months), anchor)


def _kept_anchor(anchor_day: int | None, current_end: date | None, starts_on: date) -> int:
    # An end moved off its anchor (by a gift of days, say) would make the next «month» too short.
    if anchor_day is None or starts_on != current_end:
        return starts_on.day
    on_anchor = starts_on.day == _clip(anchor_day, starts_on.year, starts_on.month)
    return anchor_day if on_anchor else starts_on.day


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The instant, in UTC, at which `day` begins in `zone`.

    Where clocks skip midnight it is the first instant that exists; where midnight comes twice, the
    first one.
    """
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def day_end(day: date, zone: ZoneInfo) -> datetime:
    """The instant, in UTC, at which a paid `day` is over: the local midnight after it."""
    return day_start(day + ONE_DAY, zone)


def local_day(at: datetime, zone: ZoneInfo) -> date:
    """The calendar day that an aware instant falls on in `zone`."""
    return at.astimezone(zone).date()


def last_paid_day(end: datetime, zone: ZoneInfo) -> date:
    """The last local day that has any paid time before the instant `end`, which is excluded."""
    return local_day(end.astimezone(UTC) - SMALLEST_STEP, zone)


def instants(span: Span, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The half-open stretch of UTC instants that `span` covers for a merchant in `zone`."""
    return day_start(span.starts_on, zone), day_start(span.ends_on, zone)


def grace_end(end: datetime, zone: ZoneInfo) -> datetime:
    """When grace after the paid `end` is over under own billing, in UTC.

    Five whole local days; a day that was paid in part is not one of them.
    """
    return day_end(last_paid_day(end, zone) + GRACE_DAYS * ONE_DAY, zone)
