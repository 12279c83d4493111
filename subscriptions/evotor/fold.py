"""What a market subscription is: a pure fold over the stored events of one subscription.

Computed again at each arrival, in the order of sequence numbers, whatever the order of arrival.
Giving events (Activated, Renewed, more cards, a later billing date) count at once. Taking ones
(Terminated, fewer cards, an earlier billing date) wait until every number before them is here or
staff have accepted the gap. Life cycle: Evotor, billing/doc_subscriptions.md, 2018.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain, islice, pairwise

from subscriptions.evotor.schema import (
    Activated,
    AddonsUpdated,
    Charge,
    Created,
    Renewed,
    SubscriptionEvent,
    Terminated,
    TerminationRequested,
    TermsChanged,
    Unknown,
)
from subscriptions.evotor.stretches import (
    Addons,
    FoldedPeriod,
    PeriodKind,
    Terms,
    add_period,
    change_terms,
    cut_at,
    larger,
    move_last_end,
)

__all__ = [
    "FoldedPeriod",
    "MarketState",
    "PeriodKind",
    "Status",
    "fold",
    "paid_cards",
    "paid_cards_at",
]

Event = SubscriptionEvent | Unknown

# A foreign number may be anything; nobody needs to see a million missing ones.
MISSING_SHOWN = 1_000
UNSENT_DEVICES = 1


class Status(StrEnum):
    """The states of the market's own diagram, and the one before it."""

    NONE = "none"
    CREATED = "created"
    ACTIVATED = "activated"
    TERMINATED = "terminated"


@dataclass(frozen=True)
class MarketState:
    """A market subscription as its events tell it. Instants are UTC, stretches half-open.

    `entitled_from` None: never entitled. `entitled_until` None with an `entitled_from`: no end is
    known, which lasts through the market's attempts to charge and until Terminated is applied.
    `device_number` and `addons` are the last known ones; what is paid at one moment is in
    `periods`, where a fall waits for the next billing date. `missing` (the first 1000), `held` and
    `conflicts` are sequence numbers.
    """

    state: Status = Status.NONE
    plan_id: str | None = None
    device_number: int | None = None
    addons: Addons = ()
    trial_from: datetime | None = None
    trial_until: datetime | None = None
    paid_until: datetime | None = None
    periods: tuple[FoldedPeriod, ...] = ()
    stop_requested_at: datetime | None = None
    terminated_at: datetime | None = None
    entitled_from: datetime | None = None
    entitled_until: datetime | None = None
    last_event_at: datetime | None = None
    missing: tuple[int, ...] = ()
    held: tuple[int, ...] = ()
    conflicts: tuple[int, ...] = ()

    def entitled(self, at: datetime) -> bool:
        """Whether the last stretch of entitlement holds `at`."""
        if self.entitled_from is None or at < self.entitled_from:
            return False
        return self.entitled_until is None or at < self.entitled_until

    @property
    def billing_end(self) -> datetime | None:
        """Where the paid time ends, or the trial where nothing was paid yet."""
        return self.paid_until or self.trial_until

    @property
    def terms(self) -> Terms:
        """The last known plan, terminals (1 where never sent) and options."""
        devices = UNSENT_DEVICES if self.device_number is None else self.device_number
        return Terms(self.plan_id, devices, self.addons)

    @property
    def last_charged_kopecks(self) -> int | None:
        """The charge of the latest period that has one, in kopecks."""
        sums = (period.charged_kopecks for period in reversed(self.periods))
        return next((kopecks for kopecks in sums if kopecks is not None), None)


def fold(
    events: Iterable[Event],
    *,
    gap_limit_reached: bool = False,
    gaps_accepted_up_to: int = 0,
) -> MarketState:
    """The state after `events` of one subscription, given in the order in which they were stored.

    A number stored twice with the same content counts once; with other content the first stored
    one counts and the number is reported in `conflicts`. An Unknown closes its place in the row and
    changes nothing. `gaps_accepted_up_to` is the number up to which staff decided to do without
    what is missing; `gap_limit_reached` does without everything that is missing. Raises ValueError
    for events of two subscriptions.
    """
    stored, conflicts = _by_number(events)
    numbers = sorted(stored)
    accepted = numbers[-1] if gap_limit_reached and numbers else gaps_accepted_up_to
    first_gap = next(_gaps(numbers, accepted), None)
    state = MarketState()
    for number in numbers:
        waits = first_gap is not None and number > first_gap
        state = _apply(state, stored[number], waits=waits)
    missing = tuple(islice(_gaps(numbers, gaps_accepted_up_to), MISSING_SHOWN))
    return replace(state, missing=missing, conflicts=conflicts)


def paid_cards(state: MarketState, addon_id: str | None) -> int:
    """The last known number of terminals, 1 where never sent, plus the quantity of the add-on."""
    return state.terms.cards(addon_id)


def paid_cards_at(state: MarketState, addon_id: str | None, at: datetime) -> int:
    """How many cards are paid at `at`: by the running period, else by the last known terms.

    Differs from `paid_cards` after a fall inside a paid period, which counts from the next one.
    Does not ask whether the subscription entitles to anything.
    """
    running = (period for period in state.periods if period.starts_at <= at < period.ends_at)
    period = next(running, None)
    return paid_cards(state, addon_id) if period is None else period.cards(addon_id)


def _by_number(events: Iterable[Event]) -> tuple[dict[int, Event], tuple[int, ...]]:
    stored: dict[int, Event] = {}
    conflicts: set[int] = set()
    for event in events:
        if event.number is not None and stored.setdefault(event.number, event) != event:
            conflicts.add(event.number)
    if len({event.subscription_id for event in stored.values()} - {None}) > 1:
        raise ValueError("events of more than one subscription")
    return stored, tuple(sorted(conflicts))


def _gaps(numbers: list[int], accepted: int) -> Iterator[int]:
    """The numbers above `accepted` and below the last one that are not there, ascending."""
    above = [accepted, *(number for number in numbers if number > accepted)]
    return chain.from_iterable(range(low + 1, high) for low, high in pairwise(above))


def _apply(state: MarketState, event: Event, *, waits: bool) -> MarketState:
    state = _seen(state, event)
    match event:
        case Created():
            return _created(state, event)
        case Activated():
            return _paid(state, event.at, event.at, event.next_billing_at, event.charged)
        case Renewed():
            return _renewed(state, event)
        case AddonsUpdated():
            return _addons_updated(state, event, waits=waits)
        case TermsChanged():
            return _terms_changed(state, event, waits=waits)
        case TerminationRequested():
            return replace(state, stop_requested_at=event.at)
        case Terminated():
            return _terminated(state, event, waits=waits)
        case _:
            return state


def _seen(state: MarketState, event: Event) -> MarketState:
    moments = [at for at in (state.last_event_at, event.at) if at is not None]
    return replace(state, last_event_at=max(moments, default=None))


def _hold(state: MarketState, number: int) -> MarketState:
    return state if number in state.held else replace(state, held=(*state.held, number))


def _entitle(state: MarketState, at: datetime) -> MarketState:
    """Entitled without a known end; a new stretch begins at `at` only where the old one is over."""
    runs_on = state.entitled_from is not None and state.entitled_until is None
    overlaps = state.entitled_until is not None and at <= state.entitled_until
    since = state.entitled_from if runs_on or overlaps else at
    return replace(state, entitled_from=since, entitled_until=None)


def _created(state: MarketState, event: Created) -> MarketState:
    if state.state is not Status.NONE:
        return state
    taken = replace(state, state=Status.CREATED, plan_id=event.plan_id, device_number=event.devices)
    return _trial(taken, event) if event.trial_days else taken


def _trial(state: MarketState, event: Created) -> MarketState:
    until = event.at + timedelta(days=event.trial_days)
    periods = add_period(state.periods, PeriodKind.TRIAL, event.at, until, state.terms)
    trial = replace(state, trial_from=event.at, trial_until=until, periods=periods)
    return _entitle(trial, event.at)


def _paid(
    state: MarketState,
    at: datetime,
    starts_at: datetime,
    until: datetime,
    charged: Charge | None,
) -> MarketState:
    periods = add_period(state.periods, PeriodKind.PAID, starts_at, until, state.terms)
    if charged is not None and periods != state.periods:
        periods = change_terms(periods, periods[-1].starts_at, state.terms, _roubles(charged))
    return replace(
        _entitle(state, at),
        state=Status.ACTIVATED,
        paid_until=max(until, state.paid_until or until),
        periods=periods,
        stop_requested_at=None,
        terminated_at=None,
    )


def _roubles(charged: Charge | None) -> int | None:
    return charged.kopecks if charged is not None and charged.currency == "RUB" else None


def _renewed(state: MarketState, event: Renewed) -> MarketState:
    end, until = state.billing_end, event.next_billing_at
    if end is not None and until <= end:
        return _resumed(state, event.at)
    # Between a missed payment and the end the cards worked: the payment pays for that time too.
    starts_at = event.at if end is None or state.state is Status.TERMINATED else end
    return _paid(state, event.at, starts_at, until, event.charged)


def _resumed(state: MarketState, at: datetime) -> MarketState:
    resumed = replace(state, stop_requested_at=None)
    if state.state is Status.CREATED:
        return resumed
    return replace(_entitle(resumed, at), state=Status.ACTIVATED, terminated_at=None)


def _terminated(state: MarketState, event: Terminated, *, waits: bool) -> MarketState:
    if state.state is Status.TERMINATED:
        return state
    if waits:
        return _hold(state, event.number)
    return replace(
        state,
        state=Status.TERMINATED,
        terminated_at=event.at,
        entitled_until=_end_of_entitlement(state, event.at),
    )


def _end_of_entitlement(state: MarketState, terminated_at: datetime) -> datetime | None:
    if state.entitled_from is None:
        return None
    promised = (state.entitled_from, state.trial_until, state.paid_until, terminated_at)
    return max(at for at in promised if at is not None)


def _addons_updated(state: MarketState, event: AddonsUpdated, *, waits: bool) -> MarketState:
    if waits and _any_fewer(state.addons, event.addons):
        state = _hold(state, event.number)
    addons = larger(state.addons, event.addons) if waits else event.addons
    return _retell(replace(state, addons=addons), event.at, None)


def _any_fewer(before: Addons, after: Addons) -> bool:
    left = dict(after)
    return any(left.get(key, 0) < quantity for key, quantity in before)


def _terms_changed(state: MarketState, event: TermsChanged, *, waits: bool) -> MarketState:
    state = _devices_changed(state, event, waits=waits)
    state = replace(state, plan_id=event.plan_id or state.plan_id)
    state = _billing_moved(state, event, waits=waits)
    return _retell(state, event.at, _roubles(event.charged))


def _retell(state: MarketState, at: datetime, kopecks: int | None) -> MarketState:
    return replace(state, periods=change_terms(state.periods, at, state.terms, kopecks))


def _devices_changed(state: MarketState, event: TermsChanged, *, waits: bool) -> MarketState:
    if event.devices is None:
        return state
    if waits and event.devices < state.terms.devices:
        return _hold(state, event.number)
    return replace(state, device_number=event.devices)


def _billing_moved(state: MarketState, event: TermsChanged, *, waits: bool) -> MarketState:
    until, end = event.next_billing_at, state.billing_end
    if until is None or until == end:
        return state
    if end is None or until > end:
        return _billing_later(state, event, until)
    if state.state is Status.TERMINATED:
        return state
    if waits:
        return _hold(state, event.number)
    # A change never reaches back behind the moment it was made.
    return _billing_earlier(state, min(end, max(until, event.at)))


def _billing_later(state: MarketState, event: TermsChanged, until: datetime) -> MarketState:
    last = state.periods[-1] if state.periods else None
    runs = last is not None and last.kind is PeriodKind.PAID and last.ends_at > event.at
    if state.state is Status.ACTIVATED and runs:
        return replace(state, paid_until=until, periods=move_last_end(state.periods, until))
    if state.state is Status.ACTIVATED:
        return _paid(state, event.at, state.billing_end or event.at, until, None)
    if event.charged is not None and event.charged.kopecks:
        return _paid(state, event.at, event.at, until, None)
    if state.state is Status.CREATED and state.trial_until is not None:
        return _trial_longer(state, state.trial_until, until)
    return state


def _trial_longer(state: MarketState, end: datetime, until: datetime) -> MarketState:
    periods = add_period(state.periods, PeriodKind.TRIAL, end, until, state.terms)
    return replace(state, trial_until=until, periods=periods)


def _billing_earlier(state: MarketState, end: datetime) -> MarketState:
    periods = cut_at(state.periods, end)
    if state.paid_until is None:
        return replace(state, trial_until=end, periods=periods)
    return replace(state, paid_until=end, periods=periods)
