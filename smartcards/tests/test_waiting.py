"""What an account is asked many times a second: has it anything to do now?"""

from datetime import timedelta

import pytest

from smartcards.states import CommandState, Origin
from smartcards.tests.cards import NOW, make_account, make_card, make_command, make_merchant
from smartcards.waiting import Waiting, clicks_wait, waiting_work

pytestmark = pytest.mark.django_db

_MINUTE = timedelta(minutes=1)


def asked(account, at=NOW):
    """Both answers: everything, and the click alone."""
    return waiting_work(account_id=account.pk, at=at), clicks_wait(account_id=account.pk, at=at)


def put(account, **fields):
    """A command of a card of the account."""
    card = make_card(make_merchant(), account=account)
    return make_command(card, **fields)


NOTHING = Waiting(clicks=False, questions=False, others=False)


@pytest.mark.parametrize(
    ("fields", "waiting"),
    [
        ({"origin": Origin.PERSON}, Waiting(clicks=True, questions=False, others=False)),
        ({"origin": Origin.MASS}, Waiting(clicks=False, questions=False, others=True)),
        ({"origin": Origin.RECONCILE}, Waiting(clicks=False, questions=False, others=True)),
        ({"origin": Origin.PERSON, "due_at": NOW + _MINUTE}, NOTHING),
        (
            {"state": CommandState.ACCEPTED, "sent_at": NOW, "check_at": NOW},
            Waiting(clicks=False, questions=True, others=False),
        ),
        (
            {"state": CommandState.CHECKING, "sent_at": NOW, "check_at": NOW},
            Waiting(clicks=False, questions=True, others=False),
        ),
        ({"state": CommandState.CHECKING, "sent_at": NOW, "check_at": NOW + _MINUTE}, NOTHING),
        ({"state": CommandState.NEEDS_STAFF, "sent_at": NOW}, NOTHING),
    ],
)
def test_account_has_to_do_what_is_due(fields, waiting):
    account = make_account()
    put(account, **fields)

    assert asked(account) == (waiting, waiting.clicks)


def test_other_accounts_are_not_asked_for():
    put(make_account("other"), origin=Origin.PERSON)

    found = asked(make_account())

    assert (found, found[0].anything) == ((NOTHING, False), False)
