"""Every class of an operator's refusal: what follows by itself, what the merchant and staff read."""

from datetime import timedelta

import pytest

from cabinet.models import Alert
from operators.ports import OUR_QUOTA, ErrorClass, Rejected
from smartcards import outcomes, phrases
from smartcards.models import Command
from smartcards.states import CommandState, Confirmed
from smartcards.tests.cards import NOW, make_account, make_card, make_command, make_merchant

QUEUED, FAILED, CHECKING, DONE = (
    CommandState.QUEUED,
    CommandState.FAILED,
    CommandState.CHECKING,
    CommandState.DONE,
)
# Class: state of the command after a sure refusal, and whether staff are told. Only what was surely not
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
    ErrorClass.ALREADY: (DONE, False),
}


def test_every_class_has_its_words_for_the_merchant_and_for_staff():
    classes = {error.value for error in ErrorClass}

    assert (set(phrases.FAILURES), set(phrases.STAFF_ADVICE)) == (classes, classes)
    assert set(FOLLOWS) == set(ErrorClass)


@pytest.mark.parametrize("words", [phrases.FAILURES, phrases.STAFF_ADVICE])
def test_no_two_classes_say_the_same_and_each_is_a_short_sentence(words):
    assert len(set(words.values())) == len(words)
    assert [text for text in words.values() if not text.endswith(".") or len(text) > 150] == []


@pytest.mark.django_db
@pytest.mark.parametrize("error", ErrorClass)
def test_what_follows_from_each_class(error):
    card = make_card(make_merchant(), wished_on=True)
    command = make_command(card, state=CommandState.SENDING)

    outcomes.apply_submit(command, card, Rejected(error, "17", "нет"), at=NOW)

    command.refresh_from_db()
    alerts = list(Alert.objects.values_list("text", flat=True))
    state, told = FOLLOWS[error]
    assert (command.state, len(alerts)) == (state, int(told))
    assert all(phrases.STAFF_ADVICE[error] in text for text in alerts)


@pytest.mark.django_db
def test_refusal_of_a_card_that_is_so_already_is_read_where_the_operator_can_be_believed():
    card = make_card(make_merchant(), account=make_account("partner", adapter="tmf640"))
    command = make_command(card, state=CommandState.SENDING)

    outcomes.apply_submit(command, card, Rejected(ErrorClass.ALREADY, "17", "нет"), at=NOW)

    command.refresh_from_db()
    assert command.state == CHECKING


@pytest.mark.django_db
def test_card_held_by_the_operator_is_shown_as_held():
    card = make_card(make_merchant(), confirmed=Confirmed.INACTIVE)
    command = make_command(card, state=CommandState.SENDING)

    outcomes.apply_submit(command, card, Rejected(ErrorClass.HELD_BY_OPERATOR, "", ""), at=NOW)

    card.refresh_from_db()
    assert card.confirmed == Confirmed.HELD


@pytest.mark.django_db
@pytest.mark.parametrize(
    "error", [error for error, (state, _) in FOLLOWS.items() if state == FAILED]
)
def test_failed_command_shows_the_sentence_of_its_class(error):
    card = make_card(make_merchant())
    command = make_command(card, state=CommandState.SENDING)

    outcomes.apply_submit(command, card, Rejected(error, "17", "нет"), at=NOW)

    assert Command.objects.get(pk=command.pk).text == phrases.FAILURES[error]


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
        (5, 2.0, OUR_QUOTA, 2),
        (5, None, OUR_QUOTA, 180),
    ],
)
def test_pauses_grow_with_the_attempts_and_are_never_shorter_than_the_operator_asks(
    attempts, asked_for, code, pause
):
    card = make_card(make_merchant(), wished_on=True)
    command = make_command(card, state=CommandState.SENDING, attempts=attempts)
    refusal = Rejected(ErrorClass.RATE_LIMITED, code, "подождите", retry_after=asked_for)

    outcomes.apply_submit(command, card, refusal, at=NOW)

    command.refresh_from_db()
    assert (command.state, command.due_at) == (QUEUED, NOW + timedelta(seconds=pause))
