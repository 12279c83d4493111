"""Entitlement, states and installs, without a database."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions import rules
from subscriptions.models import Gift, StaffStop
from subscriptions.rules import (
    Entitlement,
    Installed,
    InstallEvent,
    MarketState,
    PaidInterval,
    Terms,
)
from subscriptions.states import SUBSCRIPTION_TRANSITIONS, PeriodKind, SubscriptionState

MOSCOW = ZoneInfo("Europe/Moscow")
DAY = timedelta(days=1)
START = datetime(2026, 3, 1, 9, tzinfo=UTC)
TRIAL_END = START + 14 * DAY
PAID_END = START + 31 * DAY
S = SubscriptionState


def instants():
    return st.integers(-400 * 24, 400 * 24).map(lambda hours: START + timedelta(hours=hours))


# Entitled


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, False),
        (None, START + DAY, False),
        (START, None, True),
        (START + DAY, None, False),
        (START - DAY, START, False),
        (START, START + DAY, True),
    ],
)
def test_entitlement_is_half_open(since, until, expected):
    assert rules.is_entitled(entitled_from=since, entitled_until=until, at=START) is expected


def state(since=START, until=None, paid_until=PAID_END, trial_until=None):
    return MarketState(
        entitled_from=since, entitled_until=until, paid_until=paid_until, trial_until=trial_until
    )


def gift(starts_at, days, given_at=START):
    return Gift(starts_at=starts_at, ends_at=starts_at + days * DAY, given_at=given_at)


def staff_stop(ends_at, decided_at):
    return StaffStop(ends_at=ends_at, decided_at=decided_at)


@pytest.mark.parametrize(
    ("entitlement", "gifts", "expected"),
    [
        (Entitlement(START, PAID_END), [], Entitlement(START, PAID_END)),
        (Entitlement(START, None), [gift(PAID_END, 5)], Entitlement(START, None)),
        (
            Entitlement(START, PAID_END),
            [gift(PAID_END, 5), gift(PAID_END + 5 * DAY, 2)],
            Entitlement(START, PAID_END + 7 * DAY),
        ),
        (Entitlement(START, PAID_END), [gift(START, 5)], Entitlement(START, PAID_END)),
        (Entitlement(), [gift(START, 5)], Entitlement(START, START + 5 * DAY)),
    ],
)
def test_gifts_only_lengthen(entitlement, gifts, expected):
    assert rules.with_gifts(entitlement, gifts) == expected


def test_staff_stop_ends_an_open_entitlement():
    stop = staff_stop(PAID_END + 9 * DAY, PAID_END + 9 * DAY)

    found = rules.market_entitlement(state(), stop=stop, gifts=[])

    assert found == Entitlement(START, stop.ends_at)


def test_payment_beyond_a_staff_stop_outweighs_it():
    stop = staff_stop(PAID_END - DAY, PAID_END - DAY)

    assert rules.market_entitlement(state(), stop=stop, gifts=[]) == Entitlement(START)


def test_only_gifts_given_after_a_staff_stop_count():
    stop = staff_stop(PAID_END, PAID_END)
    before, after = gift(PAID_END, 30, START), gift(PAID_END, 3, PAID_END + DAY)

    found = rules.market_entitlement(state(), stop=stop, gifts=[before, after])

    assert found == Entitlement(START, after.ends_at)


def test_staff_stop_entitles_nobody():
    stop = staff_stop(PAID_END, PAID_END)

    found = rules.market_entitlement(state(since=None), stop=stop, gifts=[])

    assert found == Entitlement()


@given(instants(), instants(), st.one_of(st.none(), instants()))
def test_staff_never_cut_what_is_paid(paid_until, decided_at, until):
    dates = state(until=until and max(until, START, paid_until), paid_until=paid_until)
    stop = staff_stop(max(decided_at, paid_until), decided_at)

    found = rules.market_entitlement(dates, stop=stop, gifts=[])

    assert found.until >= paid_until


@given(instants(), st.lists(st.one_of(st.none(), instants())))
def test_gift_begins_after_everything_that_is_given(at, ends):
    start = rules.gift_start(at=at, ends=ends)

    assert start in [at, *ends]
    assert all(end is None or end <= start for end in [at, *ends])


# States


def dates(since=START, until=None, trial_until=None, paid_until=None, stop=None, terminated=None):
    return MarketState(
        entitled_from=since,
        entitled_until=until,
        trial_until=trial_until,
        paid_until=paid_until,
        stop_requested_at=stop,
        terminated_at=terminated,
    )


@pytest.mark.parametrize(
    ("dates", "at", "expected"),
    [
        (dates(since=None), START, S.CREATED),
        (dates(since=None, terminated=START), START, S.ENDED),
        (dates(trial_until=TRIAL_END), START, S.TRIAL),
        (dates(trial_until=TRIAL_END), TRIAL_END, S.OVERDUE),
        (dates(trial_until=TRIAL_END, stop=START), START, S.STOPPING),
        (dates(trial_until=TRIAL_END, paid_until=PAID_END), START, S.ACTIVE),
        (dates(paid_until=PAID_END), PAID_END - DAY, S.ACTIVE),
        (dates(paid_until=PAID_END), PAID_END, S.OVERDUE),
        (dates(paid_until=PAID_END, stop=START), PAID_END - DAY, S.STOPPING),
        (dates(paid_until=PAID_END, stop=START), PAID_END, S.OVERDUE),
        (
            dates(paid_until=PAID_END, until=PAID_END, terminated=START),
            PAID_END - DAY,
            S.STOPPING,
        ),
        (dates(paid_until=PAID_END, until=PAID_END, terminated=START), PAID_END, S.ENDED),
        (dates(paid_until=PAID_END, until=PAID_END + DAY), PAID_END, S.OVERDUE),
        (dates(until=START + DAY), START, S.CREATED),
    ],
)
def test_state_is_derived(dates, at, expected):
    assert rules.state_of(dates, at) is expected


@given(
    st.builds(
        dates,
        since=st.just(START),
        until=st.one_of(st.none(), instants().map(lambda at: max(at, START))),
        trial_until=st.one_of(st.none(), instants()),
        paid_until=st.one_of(st.none(), instants()),
        stop=st.one_of(st.none(), instants()),
        terminated=st.one_of(st.none(), instants()),
    ),
    instants(),
    instants(),
)
def test_time_alone_moves_a_state_along_the_table(dates, one, other):
    first, second = (rules.state_of(dates, at) for at in sorted((one, other)))

    reachable, found = {first}, set()
    while reachable != found:
        found = set(reachable)
        reachable |= {after for state in found for after in SUBSCRIPTION_TRANSITIONS[state]}
    assert second in reachable


@pytest.mark.parametrize(
    ("end", "at", "expected"),
    [
        (None, START, None),
        (START + 2 * DAY, START, 2),
        (datetime(2026, 3, 1, 21, tzinfo=UTC), datetime(2026, 3, 1, 20, 59, tzinfo=UTC), 1),
        (START, START + DAY, 0),
    ],
)
def test_days_left_are_days_of_the_calendar(end, at, expected):
    assert rules.days_left(end=end, at=at, zone=MOSCOW) == expected


# Anchor


def interval(kind, since, till):
    return PaidInterval(kind, START + since * DAY, START + till * DAY, Terms("p", 1))


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([], None),
        ([interval(PeriodKind.TRIAL, 0, 14)], None),
        ([interval(PeriodKind.TRIAL, 0, 14), interval(PeriodKind.PAID, 14, 45)], 15),
        ([interval(PeriodKind.PAID, 0, 31), interval(PeriodKind.PAID, 31, 61)], 1),
        ([interval(PeriodKind.PAID, 0, 10), interval(PeriodKind.PAID, 20, 50)], 21),
    ],
)
def test_anchor_is_where_the_unbroken_paid_row_begins(intervals, expected):
    assert rules.anchor_day(intervals, MOSCOW) == expected


# Silence


@pytest.mark.parametrize(
    ("subscription", "expected"),
    [
        (dates(paid_until=START), False),
        (dates(paid_until=START - timedelta(seconds=1)), True),
        (dates(), False),
        (dates(until=PAID_END, paid_until=START - DAY), False),
        (dates(since=None, paid_until=START - DAY), False),
    ],
)
def test_silence_is_eight_days_without_an_event(subscription, expected):
    assert rules.is_silent(subscription, START + timedelta(days=8)) is expected


# Installs

INSTALL_EVENTS = (
    InstallEvent("a", START, installed=True),
    InstallEvent("b", START + DAY, installed=False),
    InstallEvent("c", START + 2 * DAY, installed=True),
    InstallEvent("d", START + 3 * DAY, installed=True),
)


@pytest.mark.parametrize("order", list(permutations(INSTALL_EVENTS)))
def test_installs_do_not_depend_on_the_order_of_arrival(order):
    assert rules.installations(order) == (
        Installed(START, START + DAY),
        Installed(START + 2 * DAY),
    )


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], ()),
        ([InstallEvent("a", START, installed=False)], ()),
        (
            [InstallEvent("b", START, installed=False), InstallEvent("a", START, installed=True)],
            (Installed(START),),
        ),
    ],
)
def test_removal_without_an_install_is_nothing(events, expected):
    assert rules.installations(events) == expected
