"""What answers say of the operator's health, and how an account obeys the pauses they ask for."""

import pytest
from django.conf import settings

from operators import quota
from operators.declared import answers
from operators.ports import (
    OUR_QUOTA,
    TOKENS_AWAY,
    Accepted,
    Applied,
    Check,
    CheckState,
    ErrorClass,
    Reading,
    Rejected,
    SimState,
    Unavailable,
    Unknown,
)
from operators.waits import OUR_OWN
from smartcards.landing import (
    BROKEN,
    Landed,
    asked_pause,
    error_of,
    is_the_operators_word,
    measured,
    obey,
    sent_by,
    told_by,
)
from smartcards.models import Command
from smartcards.questions import Answer
from smartcards.states import CommandState
from smartcards.tests import stand as stands
from smartcards.tests.cards import make_account
from smartcards.tests.stand import standing

pytestmark = pytest.mark.django_db

CONTROL_CENTER = {"username": "demo-user", "api_key": "demo-api-key"}


def unanswered(error: ErrorClass, code: str = "", retry_after: float | None = None) -> Answer:
    return Answer(unavailable=Unavailable(error, code, "", retry_after))


def test_call_is_measured_in_the_thread_that_makes_it():
    landed = measured(Applied)

    assert landed == Landed(Applied(), landed.seconds, landed.own_seconds)
    assert 0 <= landed.own_seconds <= landed.seconds + 0.01


def test_broken_adapter_leaves_a_letter_unknown_and_a_question_unanswered():
    answered = Answer(reading=Reading(SimState.ACTIVE))
    broken = told_by(Unknown(BROKEN)).unavailable

    assert (sent_by(answered), sent_by(Applied())) == (Unknown(BROKEN), Applied())
    assert told_by(answered) is answered
    assert broken is not None
    assert (broken.error, broken.code, broken.text) == (ErrorClass.TRANSIENT, "broken", BROKEN)


@pytest.mark.parametrize(
    ("result", "theirs"),
    [
        (Applied(), True),
        (Rejected(ErrorClass.RATE_LIMITED, "429", ""), True),
        (Rejected(ErrorClass.RATE_LIMITED, OUR_QUOTA, ""), False),
        (Rejected(ErrorClass.TRANSIENT, "lease", ""), False),
        (unanswered(ErrorClass.TRANSIENT, TOKENS_AWAY), False),
        (Answer(check=Check(CheckState.PENDING)), True),
    ],
)
def test_whose_word_an_answer_is(result, theirs):
    assert is_the_operators_word(result) is theirs


@pytest.mark.parametrize("code", sorted(OUR_OWN))
@pytest.mark.parametrize("error", [ErrorClass.TRANSIENT, ErrorClass.RATE_LIMITED])
def test_trouble_of_our_own_says_nothing_of_the_operator(code, error):
    ours = [Rejected(error, code, ""), Unknown("", error, code), unanswered(error, code)]
    prepared = answers.after_preparing(Rejected(error, code, ""))
    theirs = [Rejected(error, "503", ""), Unknown("", error, "503"), unanswered(error, "503")]

    assert prepared == Unknown("", error, code)
    assert [error_of(one) for one in [*ours, prepared]] == [None] * 4
    assert [error_of(one) for one in [*theirs, Unknown("")]] == [
        *[error] * 3,
        ErrorClass.UNKNOWN_OUTCOME,
    ]


@pytest.mark.parametrize(
    ("result", "seconds"),
    [
        (Accepted("r-1", pause=40), 40),
        (Unknown("", ErrorClass.MAINTENANCE, retry_after=40), 40),
        (unanswered(ErrorClass.MAINTENANCE, "503", 120), 120),
        (unanswered(ErrorClass.RATE_LIMITED, OUR_QUOTA, 120), 0),
        (Answer(reading=Reading(SimState.ACTIVE)), 0),
        (Answer(check=Check(CheckState.PENDING)), 0),
    ],
)
def test_pause_of_letters_and_questions(result, seconds):
    assert asked_pause(result) == seconds


def test_account_obeys_the_longest_pause_of_what_has_landed():
    account = make_account("obeys")
    quota.client(settings.REDIS_URL).flushdb()

    obey(account, [Applied(), Answer(reading=Reading(SimState.ACTIVE))])
    before = quota.pause_left(account)
    obey(account, [Unknown("", retry_after=20), unanswered(ErrorClass.TRANSIENT, "503", 40)])

    assert before == 0
    assert 35 < quota.pause_left(account) <= 40


@pytest.mark.parametrize("code", ["tmf640", "control_center"])
@pytest.mark.parametrize("limits", [{"per_minute": 600}, {}])
def test_works_with_a_pause_hold_the_next_card_too(tmp_path, monkeypatch, code, limits):
    monkeypatch.setitem(stands.CREDENTIALS, "control_center", CONTROL_CENTER)
    with standing(code, tmp_path, concurrency=1, **limits) as stand:
        stand.bench.fault("submit", "maintenance", retry_after=60)
        first, second = stand.card(), stand.card()
        stand.activate(first)
        stand.work()
        stand.activate(second)

        stand.work()

        wait = quota.seconds_to_wait(stand.account)
        calls = stand.calls(second)["submit"]
    waiting = Command.objects.get(card=second)
    assert (50 < wait <= 60, calls, waiting.state) == (True, 0, CommandState.QUEUED)
