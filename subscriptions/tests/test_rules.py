"""Entitlement, states and installs, without a database."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import permutations
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions import rules
from subscriptions.rules import (
    Entitlement,
    Gift,
    Installed,
    MarketFacts,
    Move,
    StaffStop,
    Standing,
    Stretch,
    SwitchTerms,
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


@pytest.mark.parametrize(
    ("paid_end", "expected"),
    [
        # Midnight in Moscow: five whole days follow.
        (datetime(2026, 3, 31, 21, tzinfo=UTC), datetime(2026, 4, 5, 21, tzinfo=UTC)),
        # The rest of a day that was paid in part is not one of the five.
        (datetime(2026, 4, 1, 9, tzinfo=UTC), datetime(2026, 4, 6, 21, tzinfo=UTC)),
    ],
)
def test_own_billing_gives_five_whole_days_of_grace(paid_end, expected):
    found = rules.own_entitlement(
        starts_at=START, paid_end=paid_end, stop_requested_at=None, zone=MOSCOW
    )

    assert found == Entitlement(START, expected)


def test_own_billing_gives_no_grace_after_a_stop_that_was_asked_for():
    found = rules.own_entitlement(
        starts_at=START, paid_end=PAID_END, stop_requested_at=START, zone=MOSCOW
    )

    assert found == Entitlement(START, PAID_END)


def facts(since=START, until=None, paid_until=PAID_END, trial_until=None):
    return MarketFacts(
        external_id="x",
        created_at=START,
        plan_id="p",
        paid_cards=1,
        entitlement=Entitlement(since, until),
        paid_until=paid_until,
        trial_until=trial_until,
    )


def gift(starts_at, days, given_at=START):
    return Gift(starts_at, starts_at + days * DAY, given_at)


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
    stop = StaffStop(PAID_END + 9 * DAY, PAID_END + 9 * DAY)

    found = rules.market_entitlement(facts=facts(), stop=stop, gifts=[])

    assert found == Entitlement(START, stop.ends_at)


def test_payment_beyond_a_staff_stop_outweighs_it():
    stop = StaffStop(PAID_END - DAY, PAID_END - DAY)

    assert rules.market_entitlement(facts=facts(), stop=stop, gifts=[]) == Entitlement(START)


def test_only_gifts_given_after_a_staff_stop_count():
    stop = StaffStop(PAID_END, PAID_END)
    before, after = gift(PAID_END, 30, START), gift(PAID_END, 3, PAID_END + DAY)

    found = rules.market_entitlement(facts=facts(), stop=stop, gifts=[before, after])

    assert found == Entitlement(START, after.ends_at)


def test_staff_stop_entitles_nobody():
    stop = StaffStop(PAID_END, PAID_END)

    found = rules.market_entitlement(facts=facts(since=None), stop=stop, gifts=[])

    assert found == Entitlement()


@given(instants(), instants(), st.one_of(st.none(), instants()))
def test_staff_never_cut_what_is_paid(paid_until, decided_at, until):
    told = facts(until=until and max(until, START, paid_until), paid_until=paid_until)
    stop = StaffStop(max(decided_at, paid_until), decided_at)

    found = rules.market_entitlement(facts=told, stop=stop, gifts=[])

    assert found.until >= paid_until


@given(instants(), st.lists(st.one_of(st.none(), instants())))
def test_gift_begins_after_everything_that_is_given(at, ends):
    start = rules.gift_start(at=at, ends=ends)

    assert start in [at, *ends]
    assert all(end is None or end <= start for end in [at, *ends])


# States


def standing(
    since=START, until=None, trial_until=None, paid_until=None, stop=None, terminated=None
):
    return Standing(Entitlement(since, until), trial_until, paid_until, stop, terminated)


@pytest.mark.parametrize(
    ("told", "at", "expected"),
    [
        (standing(since=None), START, S.CREATED),
        (standing(since=None, terminated=START), START, S.ENDED),
        (standing(trial_until=TRIAL_END), START, S.TRIAL),
        (standing(trial_until=TRIAL_END), TRIAL_END, S.OVERDUE),
        (standing(trial_until=TRIAL_END, stop=START), START, S.STOPPING),
        (standing(trial_until=TRIAL_END, paid_until=PAID_END), START, S.ACTIVE),
        (standing(paid_until=PAID_END), PAID_END - DAY, S.ACTIVE),
        (standing(paid_until=PAID_END), PAID_END, S.OVERDUE),
        (standing(paid_until=PAID_END, stop=START), PAID_END - DAY, S.STOPPING),
        (standing(paid_until=PAID_END, stop=START), PAID_END, S.OVERDUE),
        (
            standing(paid_until=PAID_END, until=PAID_END, terminated=START),
            PAID_END - DAY,
            S.STOPPING,
        ),
        (standing(paid_until=PAID_END, until=PAID_END, terminated=START), PAID_END, S.ENDED),
        (standing(paid_until=PAID_END, until=PAID_END + DAY), PAID_END, S.OVERDUE),
        (standing(until=START + DAY), START, S.CREATED),
    ],
)
def test_state_is_derived(told, at, expected):
    assert rules.state_of(told, at) is expected


@given(
    st.builds(
        standing,
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
def test_time_alone_moves_a_state_along_the_table(told, one, other):
    first, second = (rules.state_of(told, at) for at in sorted((one, other)))

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


def stretch(kind, since, till):
    return Stretch(kind, START + since * DAY, START + till * DAY, "p", 1)


@pytest.mark.parametrize(
    ("stretches", "expected"),
    [
        ([], None),
        ([stretch(PeriodKind.TRIAL, 0, 14)], None),
        ([stretch(PeriodKind.TRIAL, 0, 14), stretch(PeriodKind.PAID, 14, 45)], 15),
        ([stretch(PeriodKind.PAID, 0, 31), stretch(PeriodKind.PAID, 31, 61)], 1),
        ([stretch(PeriodKind.PAID, 0, 10), stretch(PeriodKind.PAID, 20, 50)], 21),
    ],
)
def test_anchor_is_where_the_unbroken_paid_row_begins(stretches, expected):
    assert rules.anchor_day(stretches, MOSCOW) == expected


# Silence


@pytest.mark.parametrize(
    ("entitlement", "end", "expected"),
    [
        (Entitlement(START), START, False),
        (Entitlement(START), START - timedelta(seconds=1), True),
        (Entitlement(START), None, False),
        (Entitlement(START, PAID_END), START - DAY, False),
        (Entitlement(), START - DAY, False),
    ],
)
def test_silence_is_eight_days_without_a_word(entitlement, end, expected):
    at = START + timedelta(days=8)

    assert rules.is_silent(entitlement=entitlement, billing_end=end, at=at) is expected


# Installs

MOVES = (
    Move("a", START, installed=True),
    Move("b", START + DAY, installed=False),
    Move("c", START + 2 * DAY, installed=True),
    Move("d", START + 3 * DAY, installed=True),
)


@pytest.mark.parametrize("order", list(permutations(MOVES)))
def test_installs_do_not_depend_on_the_order_of_arrival(order):
    assert rules.installations(order) == (
        Installed(START, START + DAY),
        Installed(START + 2 * DAY),
    )


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([], ()),
        ([Move("a", START, installed=False)], ()),
        (
            [Move("b", START, installed=False), Move("a", START, installed=True)],
            (Installed(START, START),),
        ),
    ],
)
def test_removal_without_an_install_is_nothing(moves, expected):
    assert rules.installations(moves) == expected


# --- what a switch costs ------------------------------------------------------------------------

CONTRACT = SwitchTerms(1_500, 700, 30, 14)


@dataclass(frozen=True)
class Told:
    """The four words of a tariff; None where it has none."""

    activation_fee_kopecks: int | None = None
    deactivation_fee_kopecks: int | None = None
    min_active_days: int | None = None
    min_inactive_days: int | None = None


@pytest.mark.parametrize(
    ("tariff", "expected"),
    [
        (None, CONTRACT),
        (Told(), CONTRACT),
        (Told(0, 0, 0, 0), SwitchTerms(0, 0, 0, 0)),
        (Told(9_900, 100, 90, 1), SwitchTerms(9_900, 100, 90, 1)),
        (Told(deactivation_fee_kopecks=100), SwitchTerms(1_500, 100, 30, 14)),
        (Told(min_inactive_days=0), SwitchTerms(1_500, 700, 30, 0)),
    ],
)
def test_word_of_the_tariff_stands_before_that_of_the_contract(tariff, expected):
    assert rules.switch_terms(tariff=tariff, contract=CONTRACT) == expected
