"""Months counted from an anchor day, and days in the merchant's time zone."""

from calendar import monthrange
from datetime import date, datetime
from zoneinfo import ZoneInfo


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
    days_of_month = monthrange(year, month + 1)[1]
    return date(year, month + 1, min(anchor_day, days_of_month))


def period_end(anchor_day: int | None, start: date, months: int) -> date:
    """The first unpaid day of a period of `months` that begins on `start`.

    Where `start` is the anchor's day of its month, clipped or not, the anchor goes on counting: with
    anchor 31 a month from 28 February ends on 31 March. Any other start is an anchor of its own.
    """
    goes_on = anchor_day is not None and nth_end(anchor_day, start, 0) == start
    return (
        nth_end(anchor_day, start, months) if goes_on and anchor_day else add_months(start, months)
    )


# The 31st moves the ends of periods: a month from one clipped day to another has up to so many days more.
_CLIPPED = 3


def days_of(months: int, first: date, last: date) -> int:
    """How many days a tariff of `months` gives: those of the paid period [first, last) where it is one of its.

    Where the period was bought on another tariff, as many as such a period would have from `first` on.
    """
    usual, days = (add_months(first, months) - first).days, (last - first).days
    return days if abs(usual - days) <= _CLIPPED else usual


def local_day(at: datetime, zone: ZoneInfo) -> date:
    """The calendar day that an aware instant falls on in `zone`."""
    return at.astimezone(zone).date()
