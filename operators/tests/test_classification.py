"""What an answer means: for the command, the breaker, the account's pauses and staff."""

import pytest

from operators.backoff import LONGEST_PAUSE
from operators.classification import NOT_ASKED, POLICIES, Classification, Health, Outcome, classify
from operators.ports import (
    Accepted,
    Already,
    Applied,
    Check,
    CheckState,
    ErrorClass,
    Identity,
    IdentityState,
    OurCode,
    Reading,
    Rejected,
    SimState,
    Unavailable,
    Unknown,
)

E = ErrorClass


def refused(error: ErrorClass, seconds: float | None = None, code: str = "") -> Rejected:
    return Rejected(error, code, "", seconds)


def test_every_error_class_has_its_policy():
    assert set(POLICIES) == set(ErrorClass)


def test_breaker_counts_only_errors_of_the_operators_health():
    counted = {error for error, policy in POLICIES.items() if policy.breaker}

    assert counted == {E.TRANSIENT, E.MAINTENANCE, E.UNKNOWN_OUTCOME}


@pytest.mark.parametrize(
    ("result", "outcome", "error"),
    [
        (Applied(), Outcome.DONE, None),
        (Accepted("r-1"), Outcome.ACCEPTED, None),
        (Already(), Outcome.ALREADY, None),
        (refused(E.ALREADY), Outcome.ALREADY, E.ALREADY),
        (refused(E.RATE_LIMITED), Outcome.RESEND, E.RATE_LIMITED),
        (refused(E.TRANSIENT), Outcome.RESEND, E.TRANSIENT),
        (refused(E.MAINTENANCE), Outcome.RESEND, E.MAINTENANCE),
        (refused(E.CONFLICT_PENDING), Outcome.RESEND, E.CONFLICT_PENDING),
        (refused(E.AUTH), Outcome.RESEND, E.AUTH),
        (refused(E.NOT_FOUND), Outcome.FAILED, E.NOT_FOUND),
        (refused(E.UNKNOWN_OUTCOME), Outcome.UNKNOWN, E.UNKNOWN_OUTCOME),
        (Unknown(""), Outcome.UNKNOWN, E.UNKNOWN_OUTCOME),
        (Unknown("", E.MAINTENANCE), Outcome.UNKNOWN, E.MAINTENANCE),
        (Check(CheckState.COMPLETED), Outcome.DONE, None),
        (Check(CheckState.PENDING), Outcome.PENDING, None),
        (Check(CheckState.LOST), Outcome.LOST, None),
        (Check(CheckState.FAILED), Outcome.FAILED, E.INVALID),
        (Check(CheckState.FAILED, error=E.ALREADY), Outcome.DONE, E.ALREADY),
        (Reading(SimState.ACTIVE), Outcome.ANSWERED, None),
        (Identity(IdentityState.CONFIRMED), Outcome.ANSWERED, None),
        (Unavailable(E.TRANSIENT, "500", ""), Outcome.UNANSWERED, E.TRANSIENT),
    ],
)
def test_outcome_and_error_of_an_answer(result, outcome, error):
    found = classify(result)

    assert found.outcome == outcome
    assert found.error == error


@pytest.mark.parametrize(
    ("result", "health"),
    [
        (Applied(), Health.GOOD),
        (refused(E.NOT_FOUND, code="404"), Health.GOOD),
        (refused(E.RATE_LIMITED, code="429"), Health.GOOD),
        (refused(E.RATE_LIMITED, code=OurCode.QUOTA), Health.NONE),
        (refused(E.TRANSIENT, code=OurCode.LEASE_EXPIRED), Health.NONE),
        (Unavailable(E.TRANSIENT, OurCode.TOKENS_AWAY, ""), Health.NONE),
        (Unavailable(E.TRANSIENT, OurCode.BROKEN, ""), Health.BAD),
        (Unknown(""), Health.BAD),
        (Unknown("", E.MAINTENANCE), Health.BAD),
        (Check(CheckState.PENDING), Health.GOOD),
        (Check(CheckState.FAILED, error=E.TRANSIENT), Health.GOOD),
        (Reading(SimState.ACTIVE), Health.GOOD),
    ],
)
def test_what_an_answer_says_of_the_operators_health(result, health):
    assert classify(result).health is health


@pytest.mark.parametrize("code", sorted(NOT_ASKED))
@pytest.mark.parametrize("error", [E.TRANSIENT, E.RATE_LIMITED])
def test_trouble_of_our_own_says_nothing_of_the_operator(code, error):
    ours = [
        Rejected(error, code, "", 9),
        Unknown("", error, code, 9),
        Unavailable(error, code, "", 9),
    ]

    assert [classify(one) for one in ours] == [
        Classification(Outcome.RESEND, Health.NONE, error),
        Classification(Outcome.UNKNOWN, Health.NONE, error),
        Classification(Outcome.UNANSWERED, Health.NONE, error),
    ]


@pytest.mark.parametrize(
    ("result", "seconds", "grows"),
    [
        (Applied(), 0, False),
        (Already(), 0, False),
        (Accepted("r-1", retry_in=40), 0, False),
        (Accepted("r-1", pause=40), 40, False),
        (Accepted("r-1", pause=10**6), LONGEST_PAUSE, False),
        (refused(E.RATE_LIMITED, 40), 40, False),
        (refused(E.RATE_LIMITED, 0), 0, False),
        (refused(E.RATE_LIMITED), 2, True),
        (Unavailable(E.RATE_LIMITED, "429", ""), 2, True),
        (refused(E.MAINTENANCE, 120), 120, False),
        (refused(E.MAINTENANCE), 30, False),
        (Unknown("", E.MAINTENANCE), 30, False),
        (Unavailable(E.MAINTENANCE, "503", ""), 30, False),
        (refused(E.TRANSIENT, 40), 40, False),
        (refused(E.TRANSIENT, 10**6), LONGEST_PAUSE, False),
        (refused(E.TRANSIENT), 0, False),
        (Unknown("", retry_after=40), 40, False),
        (Unknown(""), 0, False),
        (Unavailable(E.AUTH, "403", "", 40), 40, False),
        *((refused(error, 40), 0, False) for error in (
            E.NOT_FOUND, E.INVALID, E.ALREADY,
            E.CONFLICT_PENDING, E.HELD_BY_OPERATOR,
        )),
        *((refused(E.RATE_LIMITED, 40, code), 0, False)
          for code in (OurCode.QUOTA, OurCode.TOKENS_AWAY, "lease")),
    ],
)  # fmt: skip
def test_pause_that_an_answer_asks_of_the_account(result, seconds, grows):
    found = classify(result)

    assert found.pause == seconds
    assert found.pause_grows == grows
