"""What a click will cost and bring: computed once, shown before «Подтвердить» and checked after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from subscriptions import pricing
from subscriptions.periods import add_months, local_day, nth_end
from subscriptions.pricing import Estimate, Terms
from subscriptions.queries import PeriodView, SubscriptionView, TariffView
from subscriptions.states import PeriodKind, SubscriptionState

# Evotor tries to charge once a day for five days (billing/doc_subscriptions.md, 2018).
CHARGE_TRIES = 5
RUNNING_PAID = frozenset({SubscriptionState.ACTIVE, SubscriptionState.STOPPING})


def renewal(view: SubscriptionView, at: datetime, zone: ZoneInfo) -> Estimate | None:
    """The next whole period on the present terms; None where the price is not known."""
    if view.estimate is not None:
        return view.estimate
    if view.months is None or view.price_kopecks is None:
        return None
    return pricing.estimate_period(
        tariff=view.tariff_title,
        card_kopecks=view.price_kopecks,
        cards=view.next_cards,
        months=view.months,
        starts_on=local_day(at, zone),
    )


def paid_until_after(view: SubscriptionView, at: datetime, zone: ZoneInfo) -> date | None:
    """Till when a renewal now would pay; None where the period is not known."""
    if view.months is None:
        return None
    end = view.billed_until
    kept = end is not None and view.state is not SubscriptionState.ENDED
    return add_months(local_day(end if kept and end else at, zone), view.months)


def change(
    view: SubscriptionView, tariff: TariffView, cards: int, at: datetime, zone: ZoneInfo
) -> Estimate:
    """What another tariff or number of cards costs now; the trial and unpaid time cost nothing."""
    span = _paid_span(view, at, zone)
    if span is None or view.price_kopecks is None:
        return Estimate(())
    starts_on, ends_on = span
    days = (ends_on - starts_on).days
    same = (tariff.months, tariff.price_kopecks) == (view.months, view.price_kopecks)
    wanted_days = days if same else (add_months(starts_on, tariff.months) - starts_on).days
    return pricing.estimate_change(
        current=Terms(view.tariff_title, view.price_kopecks, view.paid_cards, days),
        wanted=Terms(tariff.title, tariff.price_kopecks, cards, wanted_days),
        days_left=min(days, (ends_on - local_day(at, zone)).days),
    )


def _paid_span(view: SubscriptionView, at: datetime, zone: ZoneInfo) -> tuple[date, date] | None:
    """The running paid period, first day and first day after it."""
    end = view.paid_until
    if view.state not in RUNNING_PAID or end is None or end <= at or view.months is None:
        return None
    ends_on = local_day(end, zone)
    usual = nth_end(ends_on.day, ends_on, -view.months)
    starts_on = _nearest_start(view.periods, usual, zone)
    return (starts_on, ends_on) if starts_on < ends_on else (usual, ends_on)


def _nearest_start(periods: Sequence[PeriodView], usual: date, zone: ZoneInfo) -> date:
    # A change splits a period, and the 31st moves its ends: the piece that begins nearest is its first.
    paid = (one for one in periods if one.kind is PeriodKind.PAID)
    starts = [local_day(one.starts_at, zone) for one in paid]
    return min(starts, key=lambda day: abs(day - usual), default=usual)


@dataclass(frozen=True)
class Dunning:
    """The market's attempts to charge after the paid end: `days_left` more days, 0 when over."""

    since: datetime
    days_left: int


def dunning(view: SubscriptionView, at: datetime) -> Dunning | None:
    """How long the market goes on trying; None where nothing is overdue."""
    ends = [end for end in (view.paid_until, view.trial_until) if end is not None]
    if view.state is not SubscriptionState.OVERDUE or not ends:
        return None
    gone = (at - max(ends)) // timedelta(days=1)
    return Dunning(max(ends), max(0, CHARGE_TRIES - gone))
