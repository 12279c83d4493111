"""What an account is asked many times a second: has it anything to do now?"""

from datetime import timedelta

import pytest

from smartcards.states import CommandState, Origin
from smartcards.tests.cards import NOW, make_account, make_card, make_command, make_merchant
from smartcards.waiting import Waiting, waiting_work

pytestmark = pytest.mark.django_db

_MINUTE = timedelta(minutes=1)


def asked(account, **moments):
    return waiting_work(account_id=account.pk, at=NOW, **moments)


def put(account, **fields):
    """A command of a card of the account."""
    card = make_card(make_merchant(), account=account)
    return make_command(card, **fields)


ASKED = {"sent_at": NOW, "check_at": NOW}


@pytest.mark.parametrize(
    ("fields", "waiting"),
    [
        ({"origin": Origin.PERSON}, Waiting(clicks=True)),
        ({"origin": Origin.PAID}, Waiting(others=True)),
        ({"origin": Origin.MASS}, Waiting(others=True)),
        ({"origin": Origin.RECONCILE}, Waiting(others=True)),
        ({"origin": Origin.PERSON, "due_at": NOW + _MINUTE}, Waiting()),
        (
            {"state": CommandState.ACCEPTED, "origin": Origin.PERSON, **ASKED},
            Waiting(questions_of_clicks=True),
        ),
        (
            {"state": CommandState.CHECKING, "origin": Origin.PAID, **ASKED},
            Waiting(questions=True),
        ),
        (
            {"state": CommandState.ACCEPTED, "origin": Origin.MASS, **ASKED},
            Waiting(questions=True),
        ),
        (
            {"state": CommandState.CHECKING, "origin": Origin.RECONCILE, **ASKED},
            Waiting(questions=True),
        ),
        (
            {"state": CommandState.CHECKING, "sent_at": NOW, "check_at": NOW + _MINUTE},
            Waiting(),
        ),
        ({"state": CommandState.NEEDS_STAFF, "sent_at": NOW}, Waiting()),
    ],
)
def test_account_has_to_do_what_is_due(fields, waiting):
    account = make_account()
    put(account, **fields)

    found = asked(account)

    assert (found, found.anything) == (waiting, waiting != Waiting())


def test_clicks_of_just_now_may_be_left_to_their_own_lane():
    account = make_account()
    put(account, origin=Origin.PERSON, due_at=NOW)
    put(account, origin=Origin.MASS, due_at=NOW)

    found = asked(account, clicks_at=NOW - timedelta(seconds=1))

    assert found == Waiting(others=True)


def test_other_accounts_are_not_asked_for():
    put(make_account("other"), origin=Origin.PERSON)

    found = asked(make_account())

    assert found == Waiting()
