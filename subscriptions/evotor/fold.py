"""What a market subscription is: a pure fold over the stored events of one subscription.

Computed again at each arrival, in the order of sequence numbers, whatever the order of arrival.
Giving events (Activated, Renewed, more cards, a later billing date) count at once. Taking ones
(Terminated, fewer cards, an earlier billing date) wait until every number before them is here or
staff have accepted the gap. Life cycle: Evotor, billing/doc_subscriptions.md, 2018.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain, islice, pairwise

from subscriptions.evotor.charges import NOTHING_CHARGED, with_charge
from subscriptions.evotor.schemas import (
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
from subscriptions.rules import MarketState, MarketStatus, PaidInterval, Terms
from subscriptions.states import PeriodKind

# A foreign number may be anything; nobody needs to see a million missing ones.
MISSING_SHOWN = 1_000


def fold(
    events: Iterable[SubscriptionEvent | Unknown],
    *,
    addon_id: str = "",
    gaps_accepted_up_to: int = 0,
) -> MarketState:
    """The state after `events` of one subscription, in any order, one for each sequence number.

    `addon_id` is the paid option whose quantity counts cards. An Unknown closes its gap and changes
    nothing else. `gaps_accepted_up_to` is the number up to which staff decided to do without what is
    missing.
    """
    by_number = {event.number: event for event in events if event.number is not None}
    numbers = sorted(by_number)
    known = [gaps_accepted_up_to, *(one for one in numbers if one > gaps_accepted_up_to)]
    gaps = chain.from_iterable(range(low + 1, high) for low, high in pairwise(known))
    missing = tuple(islice(gaps, MISSING_SHOWN))
    state, charges = MarketState(), NOTHING_CHARGED
    for number in numbers:
        event, before = by_number[number], state
        waits = bool(missing) and number > missing[0]
        state = _apply(before, event, addon_id=addon_id, waits=waits)
        charges = with_charge(charges, before=before, after=state, event=event)
    sums = (one.kopecks for one in reversed(charges) if one.kopecks)
    moments = [event.at for event in by_number.values() if event.at is not None]
    return replace(
        state,
        created_at=min(moments, default=None),
        last_event_at=max(moments, default=None),
        last_charged_kopecks=next(sums, None),
        charges=charges,
        missing=missing,
    )


def _apply(
    state: MarketState, event: SubscriptionEvent | Unknown, *, addon_id: str, waits: bool
) -> MarketState:
    match event:
        case Created():
            return _created(state, event)
        case Activated():
            return _paid(state, event.at, event.at, event.next_billing_at, event.charged)
        case Renewed():
            return _renewed(state, event)
        case AddonsUpdated():
            options = dict(event.addons).get(addon_id, 0)
            if event.partial:
                options = max(options, state.terms.options)
            return _options_changed(state, event, options, waits=waits)
        case TermsChanged():
            return _terms_changed(state, event, waits=waits)
        case TerminationRequested():
            return replace(state, stop_requested_at=event.at)
        case Terminated():
            return _terminated(state, event, waits=waits)
        case _:
            return state


def _hold(state: MarketState, number: int) -> MarketState:
    return state if number in state.held else replace(state, held=(*state.held, number))


def _entitle(state: MarketState, at: datetime) -> MarketState:
    """Entitled without a known end; a new start at `at` only where the old entitlement is over."""
    runs_on = state.entitled_from is not None and state.entitled_until is None
    overlaps = state.entitled_until is not None and at <= state.entitled_until
    since = state.entitled_from if runs_on or overlaps else at
    return replace(state, entitled_from=since, entitled_until=None)


def _created(state: MarketState, event: Created) -> MarketState:
    if state.status is not MarketStatus.NONE:
        return state
    devices = state.terms.devices if event.devices is None else event.devices
    terms = replace(state.terms, plan_id=event.plan_id, devices=devices)
    state = replace(state, status=MarketStatus.CREATED, terms=terms)
    if not event.trial_days:
        return state
    until = event.at + timedelta(days=event.trial_days)
    return _entitle(_on_trial(state, event.at, until), event.at)


def _on_trial(state: MarketState, starts_at: datetime, until: datetime) -> MarketState:
    new = PaidInterval(PeriodKind.TRIAL, starts_at, until, state.terms)
    return replace(state, trial_until=until, periods=add_interval(state.periods, new))


def _paid(
    state: MarketState,
    at: datetime,
    starts_at: datetime,
    until: datetime,
    charge: Charge | None,
) -> MarketState:
    kopecks = charge.roubles_in_kopecks if charge else None
    new = PaidInterval(PeriodKind.PAID, starts_at, until, state.terms, kopecks)
    return replace(
        _entitle(state, at),
        status=MarketStatus.ACTIVATED,
        paid_until=max(until, state.paid_until or until),
        periods=add_interval(state.periods, new),
        stop_requested_at=None,
        terminated_at=None,
    )


def _renewed(state: MarketState, event: Renewed) -> MarketState:
    end, until = state.billing_end, event.next_billing_at
    if end is None or until > end:
        # Between a missed payment and the end the cards worked: the payment pays for that time too.
        starts_at = end if end and state.status is not MarketStatus.TERMINATED else event.at
        return _paid(state, event.at, starts_at, until, event.charged)
    resumed = replace(state, stop_requested_at=None)
    if state.status is MarketStatus.CREATED:
        return resumed
    entitled = _entitle(resumed, event.at)
    return replace(entitled, status=MarketStatus.ACTIVATED, terminated_at=None)


def _terminated(state: MarketState, event: Terminated, *, waits: bool) -> MarketState:
    if state.status is MarketStatus.TERMINATED:
        return state
    if waits:
        return _hold(state, event.number)
    promised = (state.entitled_from, state.trial_until, state.paid_until, event.at)
    end = max(at for at in promised if at is not None)
    return replace(
        state,
        status=MarketStatus.TERMINATED,
        terminated_at=event.at,
        entitled_until=end if state.entitled_from else None,
    )


def _options_changed(
    state: MarketState, event: AddonsUpdated, options: int, *, waits: bool
) -> MarketState:
    if waits and options < state.terms.options:
        return _hold(state, event.number)
    return _new_terms(state, replace(state.terms, options=options), event.at, None)


def _terms_changed(state: MarketState, event: TermsChanged, *, waits: bool) -> MarketState:
    terms = replace(state.terms, plan_id=event.plan_id or state.terms.plan_id)
    if event.devices is not None and waits and event.devices < terms.devices:
        state = _hold(state, event.number)
    elif event.devices is not None:
        terms = replace(terms, devices=event.devices)
    state = _billing_moved(replace(state, terms=terms), event, waits=waits)
    return _new_terms(state, terms, event.at, event.charged)


def _new_terms(
    state: MarketState, terms: Terms, at: datetime, charge: Charge | None
) -> MarketState:
    kopecks = charge.roubles_in_kopecks if charge else None
    return replace(state, terms=terms, periods=change_terms(state.periods, at, terms, kopecks))


def _billing_moved(state: MarketState, event: TermsChanged, *, waits: bool) -> MarketState:
    until, end = event.next_billing_at, state.billing_end
    if until is None or until == end:
        return state
    if end is None or until > end:
        return _billing_later(state, event, until)
    if state.status is MarketStatus.TERMINATED:
        return state
    if waits:
        return _hold(state, event.number)
    # A change never reaches back behind the moment it was made.
    new_end = min(end, max(until, event.at))
    periods = cut_at(state.periods, new_end)
    if state.paid_until is None:
        return replace(state, trial_until=new_end, periods=periods)
    return replace(state, paid_until=new_end, periods=periods)


def _billing_later(state: MarketState, event: TermsChanged, until: datetime) -> MarketState:
    last = state.periods[-1] if state.periods else None
    runs = last is not None and last.kind is PeriodKind.PAID and last.ends_at > event.at
    if state.status is MarketStatus.ACTIVATED and runs:
        return replace(state, paid_until=until, periods=move_last_end(state.periods, until))
    if state.status is MarketStatus.ACTIVATED:
        return _paid(state, event.at, state.billing_end or event.at, until, None)
    if event.charged is not None and event.charged.kopecks:
        return _paid(state, event.at, event.at, until, None)
    if state.status is MarketStatus.CREATED and state.trial_until is not None:
        return _on_trial(state, state.trial_until, until)
    return state


Intervals = tuple[PaidInterval, ...]


def add_interval(intervals: Intervals, new: PaidInterval) -> Intervals:
    """`intervals` and what of `new` lies behind the paid time; a trial gives way to a payment.

    Nothing is added where everything up to the end of `new` is paid already.
    """
    paid_ends = [one.ends_at for one in intervals if one.kind is PeriodKind.PAID]
    start = max([new.starts_at, *paid_ends])
    if start >= new.ends_at:
        return intervals
    return (*cut_at(intervals, start), replace(new, starts_at=start))


def cut_at(intervals: Intervals, at: datetime) -> Intervals:
    """What of `intervals` lies before `at`."""
    before = (one for one in intervals if one.starts_at < at)
    return tuple(replace(one, ends_at=min(one.ends_at, at)) for one in before)


def move_last_end(intervals: Intervals, ends_at: datetime) -> Intervals:
    """`intervals` with the last one lasting until `ends_at`."""
    return (*intervals[:-1], replace(intervals[-1], ends_at=ends_at))


def change_terms(
    intervals: Intervals, at: datetime, terms: Terms, charged: int | None
) -> Intervals:
    """`intervals` with `terms` from `at` on; the first one touched takes the charge (kopecks).

    An interval that runs at `at` is split, but keeps what it was paid for: a smaller number waits for
    the next billing date. Intervals that have not begun take the terms as they are.
    """
    changed: list[PaidInterval] = []
    for one in intervals:
        if one.ends_at <= at:
            changed.append(one)
            continue
        begun = one.starts_at < at or one.continues
        new_terms = terms.at_least(one.terms) if begun else terms
        if one.starts_at < at and new_terms != one.terms:
            later = PaidInterval(one.kind, at, one.ends_at, new_terms, charged, continues=True)
            changed += [replace(one, ends_at=at), later]
        else:
            total = one.charged_kopecks if charged is None else (one.charged_kopecks or 0) + charged
            changed.append(replace(one, terms=new_terms, charged_kopecks=total))
        charged = None
    return tuple(changed)
