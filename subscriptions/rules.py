"""What is entitled, till when, and what that is called. Pure: no clock, no database.

Intervals are half-open; `until` None with a `since` means that no end is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias
from zoneinfo import ZoneInfo

from subscriptions.periods import local_day
from subscriptions.states import ChargeKind, PeriodKind, SubscriptionState

if TYPE_CHECKING:  # only named here: rules ask no database
    from subscriptions.models import Gift, StaffStop, Subscription


class MarketStatus(StrEnum):
    """The states of the market's own diagram, and the one before it."""

    NONE = "none"
    CREATED = "created"
    ACTIVATED = "activated"
    TERMINATED = "terminated"


@dataclass(frozen=True)
class Terms:
    """A plan, a number of terminals (1 where never sent), and of the paid option that counts cards."""

    plan_id: str | None = None
    devices: int = 1
    options: int = 0

    @property
    def cards(self) -> int:
        """How many cards are paid."""
        return self.devices + self.options

    def at_least(self, minimum: "Terms") -> "Terms":
        """These terms with no number below the one in `minimum`."""
        devices = max(self.devices, minimum.devices)
        return Terms(self.plan_id, devices, max(self.options, minimum.options))


@dataclass(frozen=True)
class PaidInterval:
    """Trial or paid time [starts_at, ends_at) and the terms it was given for.

    `charged_kopecks` is None where the market named no sum in roubles; after a change of terms the
    later part carries only what that change cost and `continues` the interval before it.
    """

    kind: PeriodKind
    starts_at: datetime
    ends_at: datetime
    terms: Terms
    charged_kopecks: int | None = None
    continues: bool = False


@dataclass(frozen=True)
class MarketCharge:
    """What the market charged at the event `number`, and for what.

    A payment pays [starts_at, ends_at) on `terms`; a change inside a paid period pays for the rest of it,
    from `starts_at`, what `terms` cost more than `before`; the period began at `period_starts_at`.
    `kopecks` is 0 where nothing was charged, None where the market named no sum in roubles.
    """

    number: int
    kind: ChargeKind
    at: datetime
    kopecks: int | None
    terms: Terms
    before: Terms
    period_starts_at: datetime
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class MarketState:
    """A market subscription as its events say.

    `entitled_from` None: never entitled. `entitled_until` None with an `entitled_from`: no end is
    known, which lasts through the market's attempts to charge and until Terminated is applied.
    `terms` are the last known ones; what is paid at one moment is in `periods`, where a fall waits
    for the next billing date. `last_charged_kopecks` is the latest sum of `charges`, which nothing takes back.
    `missing` (the first 1000) and `held` are sequence numbers.
    """

    status: MarketStatus = MarketStatus.NONE
    terms: Terms = Terms()
    trial_until: datetime | None = None
    paid_until: datetime | None = None
    periods: tuple[PaidInterval, ...] = ()
    stop_requested_at: datetime | None = None
    terminated_at: datetime | None = None
    entitled_from: datetime | None = None
    entitled_until: datetime | None = None
    created_at: datetime | None = None
    last_event_at: datetime | None = None
    last_charged_kopecks: int | None = None
    charges: tuple[MarketCharge, ...] = ()
    missing: tuple[int, ...] = ()
    held: tuple[int, ...] = ()

    @property
    def billing_end(self) -> datetime | None:
        """Where the paid time ends, or the trial where nothing was paid yet."""
        return self.paid_until or self.trial_until


# What has the dates of a subscription: what the fold gives, or the row.
Dates: TypeAlias = "MarketState | Subscription"
# The market tries to charge for five days and repeats its hooks for three.
SILENCE = timedelta(days=8)


@dataclass(frozen=True)
class Entitlement:
    """From when till when the cards may work; never, where `since` is None."""

    since: datetime | None = None
    until: datetime | None = None


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two instants, either of which may be unknown."""
    known = [instant for instant in (one, other) if instant is not None]
    return max(known, default=None)


# Other people's clocks and ours may stand apart by this much.
CLOCKS_APART = timedelta(minutes=10)


def is_ahead(occurred_at: datetime, received_at: datetime) -> bool:
    """Whether something is stamped later than it came, by more than clocks stand apart."""
    return occurred_at > received_at + CLOCKS_APART


def is_entitled(
    *, entitled_from: datetime | None, entitled_until: datetime | None, at: datetime
) -> bool:
    """Whether the cards may work at `at`; the end itself is no longer paid.

    Only the end is sharp: a payment stamped a little ahead of our clock is a payment all the same.
    """
    if entitled_from is None or at + CLOCKS_APART < entitled_from:
        return False
    return entitled_until is None or at < entitled_until


def is_not_over(
    *, entitled_from: datetime | None, entitled_until: datetime | None, at: datetime
) -> bool:
    """Whether what was paid has not ended at `at`, also where it has not begun yet by our clock.

    A clock that steps back makes paid time «not begun»; that never takes away a card that works.
    """
    return entitled_from is not None and (entitled_until is None or at < entitled_until)


def market_entitlement(
    dates: Dates, *, stop: "StaffStop | None", gifts: Sequence["Gift"]
) -> Entitlement:
    """The fold's entitlement, ended by staff unless something was paid beyond it, lengthened by gifts."""
    entitlement = Entitlement(dates.entitled_from, dates.entitled_until)
    end = later(dates.trial_until, dates.paid_until)
    if stop is None or (end is not None and end > stop.ends_at):
        return with_gifts(entitlement, gifts)
    if entitlement.since is not None:
        until = min(entitlement.until or stop.ends_at, stop.ends_at)
        entitlement = replace(entitlement, until=max(until, entitlement.since))
    return with_gifts(entitlement, [gift for gift in gifts if gift.given_at > stop.decided_at])


def with_gifts(entitlement: Entitlement, gifts: Sequence["Gift"]) -> Entitlement:
    """Gifts never shorten: an open end stays open, a known one moves to the last gift's end."""
    if not gifts:
        return entitlement
    last = max(gift.ends_at for gift in gifts)
    if entitlement.since is None:
        return Entitlement(min(gift.starts_at for gift in gifts), last)
    if entitlement.until is None:
        return entitlement
    return replace(entitlement, until=max(entitlement.until, last))


def gift_start(*, at: datetime, ends: Sequence[datetime | None]) -> datetime:
    """Where new gift days begin: after everything that is paid or given, never in the past."""
    return max([at, *(end for end in ends if end is not None)])


def state_of(dates: Dates, at: datetime) -> SubscriptionState:
    """The state of a subscription at `at`."""
    if dates.entitled_from is None:
        return SubscriptionState.ENDED if dates.terminated_at else SubscriptionState.CREATED
    if dates.entitled_until is not None and dates.entitled_until <= at:
        return SubscriptionState.ENDED
    if dates.terminated_at is not None:
        return SubscriptionState.STOPPING
    end = later(dates.trial_until, dates.paid_until)
    if end is None:
        # Nothing was ever tried or paid: it works on a gift and still waits for its first payment.
        return SubscriptionState.CREATED
    if end <= at:
        return SubscriptionState.OVERDUE
    if dates.stop_requested_at is not None:
        return SubscriptionState.STOPPING
    is_paid = dates.paid_until is not None and at < dates.paid_until
    return SubscriptionState.ACTIVE if is_paid else SubscriptionState.TRIAL


def days_left(*, end: datetime | None, at: datetime, zone: ZoneInfo) -> int | None:
    """Local days from today to the day of `end`; 0 on that day and after it."""
    if end is None:
        return None
    return max(0, (local_day(end, zone) - local_day(at, zone)).days)


def known_end(row: "Subscription") -> datetime | None:
    """When the cards stop, where that is known: the end, or after a request to stop the end of what is paid
    or given.

    None while the subscription renews itself or waits for a payment.
    """
    if row.entitled_until is not None or row.stop_requested_at is None:
        return row.entitled_until
    return later(later(row.trial_until, row.paid_until), row.gifts_until)


# Local days before a known end from which it is said, each time louder; a renewal by itself only once.
END_DAYS = (1, 3, 7, 14)
RENEWAL_DAYS = (3,)


def days_step(days: int, steps: Sequence[int]) -> int | None:
    """The step that is reached `days` days before: the smallest of `steps` that is not below; None before all."""
    return min((step for step in steps if days <= step), default=None)


@dataclass(frozen=True)
class ComingEnd:
    """What ends or renews soon: `step` days or fewer are left."""

    at: datetime
    days: int
    step: int
    renews: bool


def coming_end(row: "Subscription", *, at: datetime, zone: ZoneInfo) -> ComingEnd | None:
    """The known end within 14 days, or a renewal within 3; None where neither is near or all is over."""
    end = known_end(row)
    until = end or later(row.trial_until, row.paid_until)
    if until is None or until <= at:
        return None
    days = (local_day(until, zone) - local_day(at, zone)).days
    step = days_step(days, END_DAYS if end else RENEWAL_DAYS)
    return None if step is None else ComingEnd(until, days, step, renews=end is None)


def anchor_day(intervals: Sequence[PaidInterval], zone: ZoneInfo) -> int | None:
    """The day of the month on which the latest unbroken row of paid intervals began."""
    start: datetime | None = None
    end: datetime | None = None
    for one in intervals:
        if one.kind is not PeriodKind.PAID:
            continue
        if start is None or end != one.starts_at:
            start = one.starts_at
        end = one.ends_at
    return None if start is None else start.astimezone(zone).day


def is_silent(dates: Dates, at: datetime) -> bool:
    """Whether an event about how a finished interval goes on should have come by now."""
    end = later(dates.trial_until, dates.paid_until)
    is_open = dates.entitled_from is not None and dates.entitled_until is None
    return is_open and end is not None and end + SILENCE < at


@dataclass(frozen=True)
class InstallEvent:
    """An install or a removal, at the market's own time."""

    event_id: str
    at: datetime
    installed: bool


@dataclass(frozen=True)
class Installed:
    """The module stood in the cabinet: since, till (None: it still does)."""

    since: datetime
    till: datetime | None = None


def installations(events: Sequence[InstallEvent]) -> tuple[Installed, ...]:
    """When the module was installed, in the market's time; an install on top of one adds nothing.

    Of a removal and an install in the same millisecond the install is the later: it is a reinstall.
    """
    found: list[Installed] = []
    for event in sorted(events, key=lambda one: (one.at, one.installed, one.event_id)):
        is_open = bool(found) and found[-1].till is None
        if event.installed and not is_open:
            found.append(Installed(event.at))
        if not event.installed and is_open:
            found[-1] = Installed(found[-1].since, event.at)
    return tuple(found)


class ContractTerms(Protocol):
    """What the contract with an operator says of a switch: kopecks and days, 0 for none."""

    @property
    def activation_fee_kopecks(self) -> int: ...
    @property
    def deactivation_fee_kopecks(self) -> int: ...
    @property
    def min_active_days(self) -> int: ...
    @property
    def min_inactive_days(self) -> int: ...


@dataclass(frozen=True)
class SwitchTerms:
    """What a switch costs (kopecks), and the shortest times of a card on and off (days); 0 for none."""

    activation_fee_kopecks: int
    deactivation_fee_kopecks: int
    min_active_days: int
    min_inactive_days: int
