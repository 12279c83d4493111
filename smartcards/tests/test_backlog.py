"""What an account is asked many times a second: has it anything to do now?"""

from datetime import timedelta

import pytest

from smartcards.dispatch.outbox import Backlog, backlog_of
from smartcards.states import CommandState, Origin
from smartcards.tests.cards import (
    NOW,
    make_account,
    make_card,
    make_command,
    make_merchant,
)

pytestmark = pytest.mark.django_db

_MINUTE = timedelta(minutes=1)


def asked(account):
    return backlog_of(account_id=account.pk, at=NOW)


def put(account, **fields):
    """A command of a card of the account."""
    card = make_card(make_merchant(), account=account)
    return make_command(card, **fields)


ASKED = {"sent_at": NOW, "check_at": NOW}


@pytest.mark.parametrize(
    ("fields", "waiting"),
    [
        ({"origin": Origin.PERSON}, Backlog(clicks=True)),
        ({"origin": Origin.PAID}, Backlog(others=True)),
        ({"origin": Origin.MASS}, Backlog(others=True)),
        ({"origin": Origin.RECONCILE}, Backlog(others=True)),
        ({"origin": Origin.PERSON, "due_at": NOW + _MINUTE}, Backlog()),
        (
            {"state": CommandState.ACCEPTED, "origin": Origin.PERSON, **ASKED},
            Backlog(click_queries=True),
        ),
        (
            {"state": CommandState.CHECKING, "origin": Origin.PAID, **ASKED},
            Backlog(queries=True),
        ),
        (
            {"state": CommandState.ACCEPTED, "origin": Origin.MASS, **ASKED},
            Backlog(queries=True),
        ),
        (
            {"state": CommandState.CHECKING, "origin": Origin.RECONCILE, **ASKED},
            Backlog(queries=True),
        ),
        (
            {"state": CommandState.CHECKING, "sent_at": NOW, "check_at": NOW + _MINUTE},
            Backlog(),
        ),
        ({"state": CommandState.NEEDS_STAFF, "sent_at": NOW}, Backlog()),
    ],
)
def test_account_has_to_do_what_is_due(fields, waiting):
    account = make_account()
    put(account, **fields)

    found = asked(account)

    assert found == waiting
    assert any(found) == (waiting != Backlog())


def test_other_accounts_are_not_asked_for():
    put(make_account("other"), origin=Origin.PERSON)

    found = asked(make_account())

    assert found == Backlog()
