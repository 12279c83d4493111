"""The fold: late, doubled, reordered, missing and disputed events."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from subscriptions.evotor.fold import fold as fold_events
from subscriptions.evotor.schemas import (
    Activated,
    AddonsUpdated,
    Charge,
    Created,
    Renewed,
    Terminated,
    TerminationRequested,
    TermsChanged,
    Unknown,
)
from subscriptions.rules import Entitlement, MarketCharge, MarketState, PaidInterval, Terms
from subscriptions.rules import MarketStatus as Status
from subscriptions.states import ChargeKind, PeriodKind

START = datetime(2025, 3, 1, 10, tzinfo=UTC)
PAYING = (Activated, Renewed)


def fold(events, *, gaps_accepted_up_to=0):
    return fold_events(events, addon_id="sim", gaps_accepted_up_to=gaps_accepted_up_to)


def cards_at(state, at):
    """How many cards are paid at `at`: by the running interval, else by the last known terms."""
    running = (one for one in state.periods if one.starts_at <= at < one.ends_at)
    return next((one.terms.cards for one in running), state.terms.cards)


def is_entitled(state, at):
    if state.entitled_from is None or at < state.entitled_from:
        return False
    return state.entitled_until is None or at < state.entitled_until


def day(number):
    return START + timedelta(days=number)


def envelope(number, on):
    return {
        "subscription_id": "a99fbf70-6307-4acc-b61c-741ee9eef6c0",
        "product_id": "5f0c2a7e-3d1b-4c8e-9a64-1b7d2f8c9e10",
        "user_id": "01-000000000000001",
        "at": day(on),
        "number": number,
    }


def roubles(sum_of):
    return None if sum_of is None else Charge(sum_of * 100, "RUB")


def created(number=1, on=0, *, trial=0, plan="month", devices=None):
    return Created(**envelope(number, on), plan_id=plan, trial_days=trial, devices=devices)


def activated(number, on, until, charged=None):
    return Activated(**envelope(number, on), next_billing_at=day(until), charged=roubles(charged))


def renewed(number, on, until, charged=None):
    return Renewed(**envelope(number, on), next_billing_at=day(until), charged=roubles(charged))


def changed(number, on, *, plan=None, devices=None, until=None, charged=None):
    return TermsChanged(
        **envelope(number, on),
        plan_id=plan,
        devices=devices,
        next_billing_at=None if until is None else day(until),
        charged=roubles(charged),
    )


def addons(number, on, **quantities):
    return AddonsUpdated(**envelope(number, on), addons=tuple(sorted(quantities.items())))


def requested(number, on):
    return TerminationRequested(**envelope(number, on))


def terminated(number, on):
    return Terminated(**envelope(number, on))


def paid(since, until, *, plan="month", devices=1, options=0, charged=None, rest=False):
    kopecks = None if charged is None else charged * 100
    terms = Terms(plan, devices, options)
    return PaidInterval(PeriodKind.PAID, day(since), day(until), terms, kopecks, rest)


def trial(since, until, *, plan="month", devices=1, options=0, rest=False):
    terms = Terms(plan, devices, options)
    return PaidInterval(PeriodKind.TRIAL, day(since), day(until), terms, None, rest)


def entitlement(state):
    return Entitlement(state.entitled_from, state.entitled_until)


BOUGHT = (created(), activated(2, 0, 31, 300))


def test_nothing_folds_to_nothing():
    state = fold([])

    assert state == MarketState()
    assert state.terms.cards == 1
    assert is_entitled(state, START) is False


def test_whole_lifecycle_is_folded():
    events = [
        created(trial=14, devices=2),
        addons(2, 1, sim=3),
        activated(3, 14, 45, 300),
        renewed(4, 45, 76, 310),
        requested(5, 60),
        terminated(6, 76),
    ]

    assert fold(events) == MarketState(
        status=Status.TERMINATED,
        terms=Terms("month", 2, 3),
        trial_until=day(14),
        paid_until=day(76),
        periods=(
            trial(0, 1, devices=2),
            trial(1, 14, devices=2, options=3, rest=True),
            paid(14, 45, devices=2, options=3, charged=300),
            paid(45, 76, devices=2, options=3, charged=310),
        ),
        stop_requested_at=day(60),
        terminated_at=day(76),
        entitled_from=day(0),
        entitled_until=day(76),
        created_at=day(0),
        last_event_at=day(76),
        last_charged_kopecks=31_000,
        charges=(charge(3, 14, 14, 45, 30_000), charge(4, 45, 45, 76, 31_000)),
    )


def charge(number, at, since, until, kopecks):
    terms = Terms("month", 2, 3)
    return MarketCharge(
        number=number,
        kind=ChargeKind.PAYMENT,
        at=day(at),
        kopecks=kopecks,
        terms=terms,
        before=terms,
        period_starts_at=day(since),
        starts_at=day(since),
        ends_at=day(until),
    )


def test_created_without_a_trial_entitles_to_nothing():
    state = fold([created(devices=3)])

    assert state.status == Status.CREATED
    assert state.periods == ()
    assert entitlement(state) == Entitlement(None, None)
    assert not is_entitled(state, day(1))


def test_created_and_never_paid_ends_without_entitlement():
    state = fold([created(), terminated(2, 5)])

    assert state.status == Status.TERMINATED
    assert entitlement(state) == Entitlement(None, None)


def test_a_trial_entitles_until_terminated_is_applied():
    running = fold([created(trial=14)])
    ended = fold([created(trial=14), terminated(2, 19)])

    assert running.status == Status.CREATED
    assert entitlement(running) == Entitlement(day(0), None)
    assert entitlement(ended) == Entitlement(day(0), day(19))
    assert is_entitled(ended, day(18)) is True
    assert is_entitled(ended, day(19)) is False


@pytest.mark.parametrize(("on", "until"), [(10, 31), (31, 31), (36, 36)])
def test_terminated_never_cuts_before_the_paid_end(on, until):
    assert entitlement(fold([*BOUGHT, terminated(3, on)])) == Entitlement(day(0), day(until))


def test_terminated_never_cuts_before_the_end_of_the_trial():
    assert entitlement(fold([created(trial=14), terminated(2, 3)])) == Entitlement(day(0), day(14))


def test_a_second_terminated_changes_nothing():
    once = fold([*BOUGHT, terminated(3, 36)])
    twice = fold([*BOUGHT, terminated(3, 36), terminated(4, 40)])

    assert replace(twice, last_event_at=day(36)) == once


def test_a_request_to_stop_only_says_so():
    asked = fold([*BOUGHT, requested(3, 10)])

    assert asked == replace(fold(BOUGHT), stop_requested_at=day(10), last_event_at=day(10))


def test_a_free_resumption_makes_no_period():
    resumed = fold([*BOUGHT, requested(3, 10), renewed(4, 12, 31)])

    assert resumed == replace(fold(BOUGHT), last_event_at=day(12))


def test_a_trial_is_resumed_without_becoming_paid():
    resumed = fold([created(trial=14), requested(2, 3), renewed(3, 4, 14)])

    assert resumed == replace(fold([created(trial=14)]), last_event_at=day(4))


def test_a_renewal_before_the_request_does_not_undo_it():
    assert fold([*BOUGHT, renewed(3, 31, 61), requested(4, 40)]).stop_requested_at == day(40)


def test_a_module_put_back_lives_on_with_its_new_tariff():
    events = [
        *BOUGHT,
        requested(3, 10),
        renewed(4, 11, 31),
        changed(5, 11, plan="year", until=376, charged=3000),
    ]

    state = fold(events)

    assert state.status == Status.ACTIVATED
    assert state.stop_requested_at is None
    assert state.terms.plan_id == "year"
    assert entitlement(state) == Entitlement(day(0), None)
    assert state.periods == (
        paid(0, 11, charged=300),
        paid(11, 376, plan="year", charged=3000, rest=True),
    )


def test_a_renewal_after_the_end_revives():
    state = fold([*BOUGHT, terminated(3, 36), renewed(4, 40, 71, 300)])

    assert state.status == Status.ACTIVATED
    assert state.terminated_at is None
    assert entitlement(state) == Entitlement(day(40), None)
    assert state.periods == (paid(0, 31, charged=300), paid(40, 71, charged=300))


def test_renewal_without_a_later_date_revives_but_adds_no_period():
    state = fold([*BOUGHT, terminated(3, 20), renewed(4, 25, 31)])

    assert state == replace(fold(BOUGHT), last_event_at=day(25))


def test_a_payment_in_dunning_leaves_no_hole():
    state = fold([*BOUGHT, renewed(3, 34, 62, 300)])

    assert state.periods == (paid(0, 31, charged=300), paid(31, 62, charged=300))
    assert entitlement(state) == Entitlement(day(0), None)


def test_an_early_payment_loses_no_days():
    state = fold([*BOUGHT, renewed(3, 20, 62, 300)])

    assert state.periods == (paid(0, 31, charged=300), paid(31, 62, charged=300))


def test_a_payment_inside_a_trial_takes_its_place():
    state = fold([created(trial=14), activated(2, 10, 41, 300)])

    assert state.periods == (trial(0, 10), paid(10, 41, charged=300))
    assert state.trial_until == day(14)
    assert state.paid_until == day(41)


def test_only_roubles_are_stored_as_kopecks():
    foreign = replace(activated(2, 0, 31), charged=Charge(100, "KZT"))

    state = fold([created(), foreign])

    assert state.periods == (paid(0, 31),)
    assert state.last_charged_kopecks is None


def test_last_charge_is_stored():
    events = [*BOUGHT, renewed(3, 31, 62, 310), renewed(4, 62, 92)]

    assert fold(events).last_charged_kopecks == 31_000


def test_more_terminals_split_the_running_period():
    state = fold([*BOUGHT, changed(3, 14, devices=2, charged=164)])

    assert state.periods == (
        paid(0, 14, charged=300),
        paid(14, 31, devices=2, charged=164, rest=True),
    )
    assert state.terms.plan_id == "month"
    assert state.terms.devices == 2


def test_fewer_terminals_wait_for_the_next_billing_date():
    events = [created(devices=5), activated(2, 0, 31, 300), changed(3, 14, devices=3)]

    before = fold(events)
    after = fold([*events, renewed(4, 31, 61, 200)])

    assert before.periods == (paid(0, 31, devices=5, charged=300),)
    assert after.periods == (*before.periods, paid(31, 61, devices=3, charged=200))
    assert before.terms.cards == 3
    assert cards_at(before, day(20)) == 5
    assert cards_at(before, day(31)) == 3
    assert after.terms.cards == 3
    assert cards_at(after, day(40)) == 3


def test_fewer_options_wait_for_the_next_billing_date():
    events = [created(), addons(2, 0, sim=4, print=1), activated(3, 0, 31), addons(4, 9, sim=1)]

    state = fold(events)

    assert state.terms.options == 1
    assert state.terms.cards == 2
    assert cards_at(state, day(20)) == 5
    assert state.periods == (paid(0, 31, options=4),)


def test_a_fall_waits_also_at_the_moment_of_another_change():
    events = [created(), addons(2, 0, sim=1), activated(3, 0, 31), addons(4, 9, print=1)]

    state = fold([*events, changed(5, 9, devices=2)])

    assert state.periods == (
        paid(0, 9, options=1),
        paid(9, 31, devices=2, options=1, rest=True),
    )
    assert cards_at(state, day(10)) == 3
    assert state.terms.cards == 2


def test_a_fall_counts_at_once_for_a_period_not_begun():
    events = [created(devices=5), activated(2, 0, 31), renewed(3, 20, 61)]

    state = fold([*events, changed(4, 25, devices=3)])

    assert state.periods == (paid(0, 31, devices=5), paid(31, 61, devices=3))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"plan": "year"}, (paid(0, 10, charged=300), paid(10, 31, plan="year", rest=True))),
        ({"devices": 2}, (paid(0, 10, charged=300), paid(10, 31, devices=2, rest=True))),
        ({"until": 62}, (paid(0, 62, charged=300),)),
        ({"until": 20}, (paid(0, 20, charged=300),)),
        ({"until": 5}, (paid(0, 10, charged=300),)),
        ({"charged": 7}, (paid(0, 31, charged=307),)),
    ],
)
def test_terms_that_are_not_sent_stay(change, expected):
    state = fold([*BOUGHT, changed(3, 10, **change)])

    assert state.periods == expected
    assert state.paid_until == expected[-1].ends_at
    assert state.terms.plan_id == change.get("plan", "month")
    assert state.terms.cards == change.get("devices", 1)


def test_terms_changed_in_dunning_count_from_the_next_payment():
    events = [*BOUGHT, changed(3, 33, devices=4)]

    assert fold(events).periods == (paid(0, 31, charged=300),)
    assert fold([*events, renewed(4, 34, 62)]).periods == (
        paid(0, 31, charged=300),
        paid(31, 62, devices=4),
    )


@pytest.mark.parametrize(("until", "expected"), [(20, (14, 20)), (7, None)])
def test_terms_may_move_the_end_of_a_trial(until, expected):
    state = fold([created(trial=14), changed(2, 3, until=until)])

    assert state.trial_until == day(until)
    assert state.paid_until is None
    assert state.periods == ((trial(0, 14), trial(*expected)) if expected else (trial(0, until),))


def test_terms_with_a_charge_are_a_payment():
    state = fold([created(trial=14), changed(2, 3, until=40, charged=300)])

    assert state.status == Status.ACTIVATED
    assert state.paid_until == day(40)
    assert state.periods == (trial(0, 3), paid(3, 40, charged=300))


def test_terms_of_an_unpaid_subscription_pay_nothing():
    state = fold([created(), changed(2, 3, plan="year", devices=4, until=40)])

    assert state.status == Status.CREATED
    assert state.periods == ()
    assert entitlement(state) == Entitlement(None, None)
    assert state.terms.plan_id == "year"
    assert state.terms.devices == 4


@pytest.mark.parametrize("event", [changed(4, 40, until=90), changed(4, 40, until=10)])
def test_terms_without_a_charge_do_not_touch_an_end(event):
    ended = fold([*BOUGHT, terminated(3, 36)])

    assert fold([*BOUGHT, terminated(3, 36), event]) == replace(ended, last_event_at=day(40))


def test_a_second_created_changes_nothing():
    again = created(3, 5, trial=30, plan="other", devices=9)

    assert fold([*BOUGHT, again]) == replace(fold(BOUGHT), last_event_at=day(5))


# Gaps


def test_a_payment_counts_without_the_beginning():
    state = fold([activated(2, 0, 31, 300)])

    assert state.status == Status.ACTIVATED
    assert state.missing == (1,)
    assert state.held == ()
    assert entitlement(state) == Entitlement(day(0), None)
    assert state.periods == (paid(0, 31, plan=None, charged=300),)
    assert state.terms.cards == 1


def test_a_payment_behind_a_gap_counts_at_once():
    state = fold([*BOUGHT, renewed(5, 62, 92)])

    assert state.missing == (3, 4)
    assert state.held == ()
    assert state.paid_until == day(92)


def test_a_terminated_behind_a_gap_is_held_until_it_closes():
    held = fold([*BOUGHT, terminated(4, 67)])
    closed = fold([*BOUGHT, terminated(4, 67), renewed(3, 31, 62)])

    assert held.status == Status.ACTIVATED
    assert held.missing == (3,)
    assert held.held == (4,)
    assert entitlement(held) == Entitlement(day(0), None)
    assert held.terminated_at is None
    assert closed.status == Status.TERMINATED
    assert closed.missing == ()
    assert closed.held == ()
    assert entitlement(closed) == Entitlement(day(0), day(67))


def test_a_terminated_alone_ends_nothing():
    state = fold([terminated(3, 5)])

    assert state.status == Status.NONE
    assert state.missing == (1, 2)
    assert state.held == (3,)


def test_staff_may_do_without_what_is_missing():
    events = [*BOUGHT, terminated(4, 67)]

    decided = fold(events, gaps_accepted_up_to=4)

    assert decided.status == Status.TERMINATED
    assert decided.held == ()
    assert entitlement(decided) == Entitlement(day(0), day(67))


def test_a_decision_about_one_gap_does_not_reach_the_next():
    events = [*BOUGHT, renewed(4, 62, 92), terminated(6, 97)]

    state = fold(events, gaps_accepted_up_to=4)

    assert state.status == Status.ACTIVATED
    assert state.missing == (5,)
    assert state.held == (6,)


def test_a_decision_about_a_gap_lets_later_events_through():
    events = [*BOUGHT, renewed(4, 62, 92), terminated(5, 97)]

    state = fold(events, gaps_accepted_up_to=4)

    assert state.status == Status.TERMINATED
    assert state.missing == ()
    assert state.held == ()


def test_an_accepted_gap_lets_only_what_it_covers_through():
    state = fold([*BOUGHT, terminated(7, 97)], gaps_accepted_up_to=4)

    assert state.missing == (5, 6)
    assert state.held == (7,)


@pytest.mark.parametrize(
    "event",
    [
        changed(4, 5, devices=2),
        changed(4, 5, until=20),
        addons(4, 5, sim=1),
        addons(4, 5),
    ],
)
def test_taking_changes_behind_a_gap_are_held(event):
    bought = [created(devices=3), addons(2, 0, sim=2)]
    paying = activated(3, 0, 31)
    late = replace(event, number=5)

    state = fold([*bought, paying, late])
    closed = fold([*bought, paying, requested(4, 4), late])

    assert state == replace(fold([*bought, paying]), missing=(4,), held=(5,), last_event_at=day(5))
    assert closed.held == ()
    assert closed.missing == ()
    assert closed.terms != state.terms or closed.paid_until != state.paid_until


@pytest.mark.parametrize(
    ("event", "cards"), [(changed(4, 5, devices=5), 5), (addons(4, 5, sim=3), 4)]
)
def test_giving_changes_behind_a_gap_count_at_once(event, cards):
    state = fold([*BOUGHT, event])

    assert state.missing == (3,)
    assert state.held == ()
    assert state.terms.cards == cards
    assert cards_at(state, day(10)) == cards


def test_the_giving_part_of_a_held_change_counts_at_once():
    bought = [created(devices=3), activated(2, 0, 31)]

    terms = fold([*bought, changed(4, 5, plan="year", devices=1, until=376)])

    assert terms.held == (4,)
    assert terms.terms.plan_id == "year"
    assert terms.terms.devices == 3
    assert terms.paid_until == day(376)


def test_an_option_that_counted_nothing_is_not_missed():
    events = [*BOUGHT, addons(3, 1, sim=0, print=1), addons(5, 6, print=1)]

    assert fold(events).held == ()


def test_an_unknown_event_closes_its_place():
    unknown = Unknown(type="SubscriptionPaused", number=3, at=day(30))

    state = fold([*BOUGHT, unknown, terminated(4, 36)])

    assert state.status == Status.TERMINATED
    assert state.missing == ()
    assert state.held == ()


def test_an_unknown_event_without_a_number_is_passed_over():
    assert fold([*BOUGHT, Unknown(type="SubscriptionPaused")]) == fold(BOUGHT)


def test_a_huge_number_does_not_make_a_huge_answer():
    state = fold([*BOUGHT, terminated(1_000_000, 40)])

    assert state.missing == tuple(range(3, 1_003))
    assert state.held == (1_000_000,)


# Properties

small = st.integers(1, 6)
ALL = 1_000_000


# Steps are drawn as plain tuples: building each event by a strategy of its own is far slower.
steps = st.tuples(
    st.integers(0, 40),
    st.sampled_from(["activated", "renewed", "renewed", "asked", "options", "terms", "ended"]),
    st.integers(0, 120),
    st.none() | st.integers(0, 500),
    st.none() | small,
    st.none() | st.sampled_from(["month", "year"]),
    st.booleans(),
)


def histories(*, shortening=True, terminating=True):
    """Numbered histories without gaps, whose times never run backwards."""
    allowed = steps if terminating else steps.filter(lambda step: step[1] != "ended")
    return st.builds(
        history,
        st.sampled_from([0, 0, 7, 14]),
        st.none() | small,
        st.lists(allowed, max_size=9),
        st.just(shortening),
    )


def history(trial_days, devices, taken, shortening):
    events = [created(trial=trial_days, devices=devices)]
    on = 0
    for number, (wait, *step) in enumerate(taken, start=2):
        on += wait
        events.append(following(number, on, *step, shortening=shortening))
    return events


def following(number, on, kind, lasts, charge, devices, plan, moved, *, shortening):
    return {
        "activated": lambda: activated(number, on, on + lasts, charge),
        "renewed": lambda: renewed(number, on, on + lasts, charge),
        "asked": lambda: requested(number, on),
        "ended": lambda: terminated(number, on),
        "options": lambda: addons(number, on, sim=devices or 0, other=lasts % 3),
        "terms": lambda: changed(
            number,
            on,
            plan=plan,
            devices=devices,
            until=on + lasts if moved and shortening else None,
            charged=charge,
        ),
    }[kind]()


def some_of(events):
    return st.lists(st.sampled_from(events), unique_by=lambda event: event.number)


def end_of(state):
    """The end of entitlement as an instant: the first one for never, the last one for open."""
    if state.entitled_from is None:
        return datetime.min.replace(tzinfo=UTC)
    return state.entitled_until or datetime.max.replace(tzinfo=UTC)


def promised(events):
    """The latest instant that any of the paying events gave."""
    return max(
        (event.next_billing_at for event in events if isinstance(event, PAYING)), default=None
    )


@given(histories(), st.data())
def test_any_order_of_arrival_ends_in_the_same_state(events, data):
    arrived = data.draw(some_of(events))

    assert fold(data.draw(st.permutations(arrived))) == fold(arrived)


@given(histories(), st.data())
def test_doubled_events_change_nothing(events, data):
    arrived = data.draw(some_of(events))
    doubled = arrived + (data.draw(st.lists(st.sampled_from(arrived))) if arrived else [])

    assert fold(data.draw(st.permutations(doubled))) == fold(arrived)


@given(histories(), st.data(), st.booleans())
def test_periods_are_sorted_full_and_never_overlap(events, data, decided):
    accepted = ALL if decided else 0
    periods = fold(data.draw(some_of(events)), gaps_accepted_up_to=accepted).periods

    assert all(period.starts_at < period.ends_at for period in periods)
    assert all(one.ends_at <= other.starts_at for one, other in pairwise(periods))


@given(histories(), st.data())
def test_the_end_is_never_before_the_beginning(events, data):
    state = fold(
        data.draw(some_of(events)), gaps_accepted_up_to=data.draw(st.sampled_from([0, ALL]))
    )

    if state.entitled_until is not None:
        assert state.entitled_from is not None
        assert state.entitled_from <= state.entitled_until
    if state.status is Status.ACTIVATED:
        assert state.entitled_from is not None
        assert state.entitled_until is None


@given(histories(shortening=False), st.data())
def test_a_paid_shop_is_never_cut(events, data):
    arrived = data.draw(some_of(events))
    end = promised(arrived)
    assume(end is not None)

    state = fold(data.draw(st.permutations(arrived)))

    assert end_of(state) >= end


@given(histories(shortening=False, terminating=False), st.data())
def test_what_is_paid_is_entitled_at_every_moment(events, data):
    arrived = data.draw(some_of(events))

    state = fold(arrived)

    for event in arrived:
        if isinstance(event, PAYING) and event.next_billing_at > event.at:
            assert is_entitled(state, event.at)
            assert is_entitled(state, event.next_billing_at)


@given(histories(), st.integers(0, 60), st.integers(0, 120), st.sampled_from([activated, renewed]))
def test_one_more_payment_never_shortens(events, wait, lasts, pay):
    on = (events[-1].at - START).days + wait
    number = len(events) + 1

    before = fold(events)
    in_line = fold([*events, pay(number, on, on + lasts)])
    behind_a_gap = fold([*events, pay(number + 1, on, on + lasts)])

    for after in (in_line, behind_a_gap):
        assert end_of(before) <= end_of(after)
        assert (before.paid_until or START) <= (after.paid_until or START)


@given(histories(shortening=False), st.data())
def test_a_payment_in_the_middle_never_shortens(events, data):
    payments = [event for event in events if isinstance(event, PAYING)]
    assume(payments)
    payment = data.draw(st.sampled_from(payments))
    others = [event for event in events if event is not payment]

    without, complete = fold(others, gaps_accepted_up_to=ALL), fold(events)

    assert end_of(without) <= end_of(complete)
    assert (without.paid_until or START) <= (complete.paid_until or START)


@given(histories(), st.integers(0, 60), st.integers(2, 5))
def test_a_held_end_ends_nothing_until_the_gap_closes(events, wait, skipped):
    assume(fold(events).status is not Status.TERMINATED)
    on = (events[-1].at - START).days + wait
    number = len(events) + skipped
    end = terminated(number, on)
    filling = [requested(missing, on) for missing in range(len(events) + 1, number)]

    open_gap = fold([*events, end])
    closed = fold([end, *filling, *events])

    assert open_gap == replace(
        fold(events),
        last_event_at=end.at,
        held=(number,),
        missing=tuple(range(len(events) + 1, number)),
    )
    assert closed.status == Status.TERMINATED
    assert closed.terminated_at == end.at
    assert closed.held == ()
    assert closed.missing == ()


@given(
    histories(),
    st.none() | small,
    st.none() | st.integers(0, 300),
    st.none() | st.integers(0, 5),
)
def test_cards_never_fall_behind_a_gap(events, devices, lasts, quantity):
    on = (events[-1].at - START).days
    until = None if lasts is None else on + lasts
    late = [changed(len(events) + 2, on, devices=devices, until=until)]
    if quantity is not None:
        late.append(addons(len(events) + 4, on, sim=quantity))

    before, after = fold(events), fold([*events, *late])

    for at in (day(on), day(on + 30), day(on + 300)):
        assert cards_at(after, at) >= cards_at(before, at)
    assert after.terms.cards >= before.terms.cards


@given(histories())
def test_no_charge_is_counted_twice(events):
    charged = sum(period.charged_kopecks or 0 for period in fold(events).periods)
    sent = (getattr(event, "charged", None) for event in events)

    assert charged <= sum(charge.kopecks for charge in sent if charge is not None)
