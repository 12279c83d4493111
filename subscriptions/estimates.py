"""What a click will cost and bring: computed once, shown before «Подтвердить» and checked after it."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from cabinet.formatting import ru_format
from subscriptions import pricing
from subscriptions.models import Tariff
from subscriptions.periods import add_months, days_of, local_day, nth_end, period_end
from subscriptions.pricing import Estimate, Terms
from subscriptions.queries import SubscriptionView
from subscriptions.rules import later
from subscriptions.states import PeriodKind, SubscriptionState

# Evotor tries to charge once a day for five days (billing/doc_subscriptions.md, 2018).
CHARGE_TRIES = 5
RUNNING_PAID = frozenset({SubscriptionState.ACTIVE, SubscriptionState.STOPPING})


def paid_until_after(view: SubscriptionView, at: datetime, zone: ZoneInfo) -> date | None:
    """Till when a renewal now would pay; None where the period is not known."""
    if view.row.tariff is None:
        return None
    months = view.row.tariff.months
    if view.state is SubscriptionState.ENDED or view.billed_until is None:
        return add_months(local_day(at, zone), months)
    return period_end(view.row.anchor_day, local_day(view.billed_until, zone), months)


def change(
    view: SubscriptionView, wanted: Tariff, cards: int, at: datetime, zone: ZoneInfo
) -> Estimate:
    """What another tariff or number of cards costs now; the trial and unpaid time cost nothing."""
    current = view.row.tariff
    span = _paid_span(view, current.months, at, zone) if current else None
    if current is None or span is None:
        return Estimate(())
    starts_on, ends_on = span
    now, then = (days_of(one.months, starts_on, ends_on) for one in (current, wanted))
    return pricing.estimate_change(
        current=_terms(current, view.paid_cards, now),
        wanted=_terms(wanted, cards, then),
        days_left=min((ends_on - starts_on).days, (ends_on - local_day(at, zone)).days),
        until=ru_format.day(ends_on),
    )


def _terms(tariff: Tariff, cards: int, days: int) -> Terms:
    return Terms(ru_format.months(tariff.months), tariff.price_kopecks, cards, days)


def _paid_span(
    view: SubscriptionView, months: int, at: datetime, zone: ZoneInfo
) -> tuple[date, date] | None:
    """The running paid period, first day and first day after it."""
    end = view.row.paid_until
    if view.state not in RUNNING_PAID or end is None or end <= at:
        return None
    ends_on = local_day(end, zone)
    usual = nth_end(ends_on.day, ends_on, -months)
    # A change splits a period, and the 31st moves its ends: the piece that begins nearest is its first.
    paid = (one for one in view.periods if one.kind == PeriodKind.PAID)
    starts = [local_day(one.starts_at, zone) for one in paid]
    starts_on = min(starts, key=lambda day: abs(day - usual), default=usual)
    return (starts_on, ends_on) if starts_on < ends_on else (usual, ends_on)


def charge_days_left(view: SubscriptionView, at: datetime) -> int | None:
    """For how many more days the market tries to charge, 0 when over; None where nothing is overdue."""
    end = later(view.row.paid_until, view.row.trial_until)
    if view.state is not SubscriptionState.OVERDUE or end is None:
        return None
    return max(0, CHARGE_TRIES - (at - end) // timedelta(days=1))
