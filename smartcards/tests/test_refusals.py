"""Every class of an operator's refusal: what follows by itself, what the merchant and staff read."""

from datetime import timedelta

import pytest

from cabinet.models import Alert
from operators.connections import CallOutcome
from operators.ports import ErrorClass, OurCode, Rejected
from smartcards import texts
from smartcards.dispatch import outcomes
from smartcards.models import Command
from smartcards.states import CommandState, OperatorState
from smartcards.tests.cards import NOW, make_account, make_card, make_command, make_merchant

QUEUED, FAILED, CHECKING = (
    CommandState.QUEUED,
    CommandState.FAILED,
    CommandState.CHECKING,
)
# Class: state of the command after a sure refusal, and whether staff are alerted. Only what was surely not
# done goes again by itself; `auth` and `conflict_pending` stop before the switch, so they do as well.
FOLLOWS = {
    ErrorClass.RATE_LIMITED: (QUEUED, False),
    ErrorClass.TRANSIENT: (QUEUED, False),
    ErrorClass.MAINTENANCE: (QUEUED, False),
    ErrorClass.CONFLICT_PENDING: (QUEUED, False),
    ErrorClass.AUTH: (QUEUED, True),
    ErrorClass.FORBIDDEN: (FAILED, True),
    ErrorClass.NOT_FOUND: (FAILED, True),
    ErrorClass.INVALID: (FAILED, True),
    ErrorClass.CONFIGURATION: (FAILED, True),
    ErrorClass.UNSUPPORTED: (FAILED, True),
    ErrorClass.HELD_BY_OPERATOR: (FAILED, True),
    ErrorClass.UNKNOWN_OUTCOME: (CHECKING, False),
    ErrorClass.ALREADY: (CHECKING, False),
}


def test_every_error_class_has_merchant_and_staff_texts():
    classes = {error.value for error in ErrorClass}

    assert set(texts.FAILURES) == classes
    assert set(texts.STAFF_ADVICE) == classes
    assert set(FOLLOWS) == set(ErrorClass)


@pytest.mark.parametrize("words", [texts.FAILURES, texts.STAFF_ADVICE])
def test_error_texts_are_distinct_short_sentences(words):
    assert len(set(words.values())) == len(words)
    assert [text for text in words.values() if not text.endswith(".") or len(text) > 150] == []


@pytest.mark.django_db
@pytest.mark.parametrize("error", ErrorClass)
def test_what_follows_from_each_class(error):
    card = make_card(make_merchant(), desired_on=True)
    command = make_command(card, state=CommandState.SENDING)

    outcomes.apply_submit(command, CallOutcome(Rejected(error, "17", "нет")), at=NOW)

    command.refresh_from_db()
    alerts = list(Alert.objects.values_list("text", flat=True))
    state, alerted = FOLLOWS[error]
    assert command.state == state
    assert len(alerts) == int(alerted)
    assert all(texts.STAFF_ADVICE[error] in text for text in alerts)


@pytest.mark.django_db
def test_already_so_is_read_where_operator_reports_state():
    card = make_card(make_merchant(), account=make_account("partner", adapter="tmf640"))
    command = make_command(card, state=CommandState.SENDING)

    outcomes.apply_submit(command, CallOutcome(Rejected(ErrorClass.ALREADY, "17", "нет")), at=NOW)

    command.refresh_from_db()
    assert command.state == CHECKING


@pytest.mark.django_db
def test_card_held_by_the_operator_is_shown_as_held():
    card = make_card(make_merchant(), confirmed=OperatorState.INACTIVE)
    command = make_command(card, state=CommandState.SENDING)

    outcomes.apply_submit(
        command, CallOutcome(Rejected(ErrorClass.HELD_BY_OPERATOR, "", "")), at=NOW
    )

    card.refresh_from_db()
    assert card.confirmed == OperatorState.HELD


@pytest.mark.django_db
@pytest.mark.parametrize(
    "error", [error for error, (state, _) in FOLLOWS.items() if state == FAILED]
)
def test_failed_command_shows_the_sentence_of_its_class(error):
    card = make_card(make_merchant())
    command = make_command(card, state=CommandState.SENDING)

    outcomes.apply_submit(command, CallOutcome(Rejected(error, "17", "нет")), at=NOW)

    assert Command.objects.get(pk=command.pk).text == texts.FAILURES[error]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("attempts", "asked_for", "code", "pause"),
    [
        (1, None, "40000029", 5),
        (2, None, "40000029", 15),
        (3, None, "40000029", 60),
        (9, None, "40000029", 300),
        (1, 2.0, "429", 5),
        (1, 20.0, "429", 20),
        (4, 20.0, "429", 180),
        (4, 600.0, "429", 600),
        (5, 2.0, OurCode.QUOTA, 2),
        (5, None, OurCode.QUOTA, 180),
    ],
)
def test_pauses_grow_and_respect_the_requested_minimum(attempts, asked_for, code, pause):
    card = make_card(make_merchant(), desired_on=True)
    command = make_command(card, state=CommandState.SENDING, attempts=attempts)
    refusal = Rejected(ErrorClass.RATE_LIMITED, code, "подождите", retry_after=asked_for)

    outcomes.apply_submit(command, CallOutcome(refusal), at=NOW)

    command.refresh_from_db()
    assert command.state == QUEUED
    assert command.due_at == NOW + timedelta(seconds=pause)
