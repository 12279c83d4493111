"""What is entitled, till when, and what that is called. Pure: no clock, no database.

Stretches are half-open; `until` None with a `since` means that no end is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from subscriptions.periods import grace_end, local_day
from subscriptions.states import PeriodKind, SubscriptionState

# The market tries to charge for five days and repeats its hooks for three.
SILENCE = timedelta(days=8)


@dataclass(frozen=True)
class Entitlement:
    """From when till when the cards may work; never, where `since` is None."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Stretch:
    """One stretch of a subscription on unchanged terms; money in kopecks."""

    kind: PeriodKind
    starts_at: datetime
    ends_at: datetime
    plan_id: str
    cards: int
    charged_kopecks: int | None = None


@dataclass(frozen=True)
class Gift:
    """Days given by staff."""

    starts_at: datetime
    ends_at: datetime
    given_at: datetime


@dataclass(frozen=True)
class StaffStop:
    """Staff ended a subscription that the market keeps silent about."""

    ends_at: datetime
    decided_at: datetime


@dataclass(frozen=True)
class MarketFacts:
    """A market subscription as the fold over its events gives it."""

    external_id: str
    created_at: datetime
    plan_id: str
    paid_cards: int
    entitlement: Entitlement
    stretches: tuple[Stretch, ...] = ()
    trial_until: datetime | None = None
    paid_until: datetime | None = None
    stop_requested_at: datetime | None = None
    terminated_at: datetime | None = None
    charged_kopecks: int | None = None
    last_event_at: datetime | None = None

    @property
    def billing_end(self) -> datetime | None:
        """Where what was paid or tried ends, as far as is known."""
        return later(self.trial_until, self.paid_until)


@dataclass(frozen=True)
class Standing:
    """What a state is derived from."""

    entitlement: Entitlement
    trial_until: datetime | None = None
    paid_until: datetime | None = None
    stop_requested_at: datetime | None = None
    terminated_at: datetime | None = None


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two instants, either of which may be unknown."""
    known = [instant for instant in (one, other) if instant is not None]
    return max(known, default=None)


# Other people's clocks and ours may stand apart by this much.
CLOCKS_APART = timedelta(minutes=10)


def is_entitled(
    *, entitled_from: datetime | None, entitled_until: datetime | None, at: datetime
) -> bool:
    """Whether the cards may work at `at`; the end itself is no longer paid.

    Only the end is sharp: a payment stamped a little ahead of our clock is a payment all the same.
    """
    if entitled_from is None or at + CLOCKS_APART < entitled_from:
        return False
    return entitled_until is None or at < entitled_until


def own_entitlement(
    *, starts_at: datetime, paid_end: datetime, stop_requested_at: datetime | None, zone: ZoneInfo
) -> Entitlement:
    """Own billing: through the trial or paid stretch, then five whole local days of grace.

    There is no grace after a stop that the merchant asked for.
    """
    if stop_requested_at is not None:
        return Entitlement(starts_at, paid_end)
    return Entitlement(starts_at, grace_end(paid_end, zone))


def market_entitlement(
    *, facts: MarketFacts, stop: StaffStop | None, gifts: Sequence[Gift]
) -> Entitlement:
    """The fold's word, ended by staff unless something was paid beyond it, lengthened by gifts."""
    if stop is None or _outweighed(facts, stop):
        return with_gifts(facts.entitlement, gifts)
    ended = _ended(facts.entitlement, stop.ends_at)
    return with_gifts(ended, [gift for gift in gifts if gift.given_at > stop.decided_at])


def _outweighed(facts: MarketFacts, stop: StaffStop) -> bool:
    return facts.billing_end is not None and facts.billing_end > stop.ends_at


def _ended(entitlement: Entitlement, end: datetime) -> Entitlement:
    if entitlement.since is None:
        return entitlement
    until = end if entitlement.until is None else min(entitlement.until, end)
    return replace(entitlement, until=max(until, entitlement.since))


def with_gifts(entitlement: Entitlement, gifts: Sequence[Gift]) -> Entitlement:
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


def state_of(standing: Standing, at: datetime) -> SubscriptionState:
    """The word for where a subscription stands at `at`."""
    if standing.entitlement.since is None:
        return SubscriptionState.ENDED if standing.terminated_at else SubscriptionState.CREATED
    until = standing.entitlement.until
    if until is not None and until <= at:
        return SubscriptionState.ENDED
    return _running_state(standing, at)


def _running_state(standing: Standing, at: datetime) -> SubscriptionState:
    paid = _ahead(standing.paid_until, at)
    on_trial = _ahead(standing.trial_until, at)
    if standing.terminated_at is not None:
        return SubscriptionState.STOPPING
    if not paid and not on_trial:
        return _unpaid_state(standing)
    if standing.stop_requested_at is not None:
        return SubscriptionState.STOPPING
    return SubscriptionState.ACTIVE if paid else SubscriptionState.TRIAL


def _unpaid_state(standing: Standing) -> SubscriptionState:
    # Nothing was ever tried or paid: it works on a gift and still waits for its first payment.
    known_end = later(standing.trial_until, standing.paid_until)
    return SubscriptionState.OVERDUE if known_end else SubscriptionState.CREATED


def _ahead(end: datetime | None, at: datetime) -> bool:
    return end is not None and at < end


def days_left(*, end: datetime | None, at: datetime, zone: ZoneInfo) -> int | None:
    """Local days from today to the day of `end`; 0 on that day and after it."""
    if end is None:
        return None
    return max(0, (local_day(end, zone) - local_day(at, zone)).days)


def anchor_day(stretches: Sequence[Stretch], zone: ZoneInfo) -> int | None:
    """The day of the month on which the latest unbroken row of paid stretches began."""
    start: datetime | None = None
    end: datetime | None = None
    for stretch in stretches:
        if stretch.kind is not PeriodKind.PAID:
            continue
        if start is None or end != stretch.starts_at:
            start = stretch.starts_at
        end = stretch.ends_at
    return None if start is None else local_day(start, zone).day


def is_silent(*, entitlement: Entitlement, billing_end: datetime | None, at: datetime) -> bool:
    """Whether the market should have told by now how a finished stretch goes on."""
    open_end = entitlement.since is not None and entitlement.until is None
    return open_end and billing_end is not None and billing_end + SILENCE < at


@dataclass(frozen=True)
class Move:
    """An install or a removal, at the market's own time."""

    event_id: str
    at: datetime
    installed: bool


@dataclass(frozen=True)
class Installed:
    """The module stood in the cabinet: since, till (None: it still does)."""

    since: datetime
    till: datetime | None = None


def installations(moves: Sequence[Move]) -> tuple[Installed, ...]:
    """Stretches of being installed, in the market's time; an install on top of one adds nothing."""
    found: list[Installed] = []
    for move in sorted(moves, key=lambda move: (move.at, not move.installed, move.event_id)):
        is_open = bool(found) and found[-1].till is None
        if move.installed and not is_open:
            found.append(Installed(move.at))
        if not move.installed and is_open:
            found[-1] = Installed(found[-1].since, move.at)
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


class TariffTerms(Protocol):
    """The same as a tariff says it; None where it leaves the contract's word."""

    @property
    def activation_fee_kopecks(self) -> int | None: ...
    @property
    def deactivation_fee_kopecks(self) -> int | None: ...
    @property
    def min_active_days(self) -> int | None: ...
    @property
    def min_inactive_days(self) -> int | None: ...


@dataclass(frozen=True)
class SwitchTerms:
    """What a switch costs (kopecks), and the shortest times of a card on and off (days); 0 for none."""

    activation_fee_kopecks: int
    deactivation_fee_kopecks: int
    min_active_days: int
    min_inactive_days: int


def switch_terms(*, tariff: TariffTerms | None, contract: ContractTerms) -> SwitchTerms:
    """What counts for a card: the word of its tariff where it has one, else of its contract."""

    def word(told: int | None, usual: int) -> int:
        return usual if told is None else told

    if tariff is None:
        tariff = contract
    return SwitchTerms(
        activation_fee_kopecks=word(tariff.activation_fee_kopecks, contract.activation_fee_kopecks),
        deactivation_fee_kopecks=word(
            tariff.deactivation_fee_kopecks, contract.deactivation_fee_kopecks
        ),
        min_active_days=word(tariff.min_active_days, contract.min_active_days),
        min_inactive_days=word(tariff.min_inactive_days, contract.min_inactive_days),
    )
