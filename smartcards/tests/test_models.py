"""What the database itself keeps right about cards, coverage, commands and the brake."""

from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from smartcards.models import Brake, CardWithdrawal, Command, FairShare, SmartCard
from smartcards.states import OPEN_COMMANDS, CommandState
from smartcards.tests.cards import (
    NOW,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_merchant,
    make_terminal,
)

pytestmark = pytest.mark.django_db


@contextmanager
def refused(constraint: str):
    """The block ends with the named constraint; what it wrote is gone."""
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        yield


# --- cards -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("card_iccid_format", {"iccid": "8970101000000012"}),
        ("card_iccid_format", {"iccid": "8970101000000000001F"}),
        ("card_iccid_format", {"iccid": ""}),
        ("card_msisdn_format", {"msisdn": "+79105550011"}),
        ("card_msisdn_format", {"msisdn": "09105550011"}),
        ("card_state_known", {"confirmed": "sleeping"}),
        ("card_desired_state_has_author", {"desired_on": True, "desired_by": ""}),
        ("card_desired_state_has_author", {"desired_on": True, "desired_at": None}),
        ("card_desired_state_has_author", {"desired_by": "кто-то"}),
        ("card_handed_at_known", {"handed_at": None}),
        ("card_withdrawn_has_reason_and_is_off", {"withdrawn_at": NOW, "desired_on": False}),
        (
            "card_withdrawn_has_reason_and_is_off",
            {"withdrawn_because": "lost", "desired_on": False},
        ),
        (
            "card_withdrawn_has_reason_and_is_off",
            {"withdrawn_at": NOW, "withdrawn_because": "lost", "desired_on": True},
        ),
    ],
)
def test_database_refuses_a_card_that_cannot_be(constraint, fields):
    merchant = make_merchant()

    with refused(constraint):
        make_card(merchant, **fields)

    assert SmartCard.objects.count() == 0


def test_database_refuses_a_second_card_of_the_same_iccid():
    make_card(iccid="89701010000000000015")

    with refused("iccid"):
        make_card(iccid="89701010000000000015")

    assert SmartCard.objects.count() == 1


def test_card_in_stock_has_neither_desired_state_nor_terminal():
    terminal = make_terminal(make_merchant())

    with refused("card_in_stock_is_nobodys"):
        make_card(None, terminal=terminal)
    with refused("card_in_stock_is_nobodys"):
        make_card(None, desired_on=True)

    assert SmartCard.objects.count() == 0


@pytest.mark.parametrize("iccid", ["8" * 17, "8" * 20])
def test_shortest_and_longest_iccid_are_kept(iccid):
    make_card(iccid=iccid, msisdn="")

    assert SmartCard.objects.get().iccid == iccid


WITHDRAWN = {"withdrawn_at": NOW, "withdrawn_because": "lost", "desired_on": False}


def test_withdrawn_card_is_kept_with_the_one_that_replaces_it():
    merchant = make_merchant()
    new = make_card(merchant)

    make_card(merchant, **WITHDRAWN, replaced_by=new)

    assert new.replaces.withdrawn_because == "lost"


def test_card_in_use_is_replaced_by_none():
    merchant = make_merchant()
    new = make_card(merchant)

    with refused("card_withdrawn_has_reason_and_is_off"):
        make_card(merchant, replaced_by=new)

    assert list(SmartCard.objects.values_list("pk", flat=True)) == [new.pk]


def test_one_card_replaces_one_card():
    merchant = make_merchant()
    new = make_card(merchant)
    make_card(merchant, **WITHDRAWN, replaced_by=new)

    with refused("replaced_by"):
        make_card(merchant, **WITHDRAWN, replaced_by=new)

    assert SmartCard.objects.count() == 2


# --- cards out of use ---------------------------------------------------------------------------


def test_card_is_out_of_use_once_at_a_time():
    card = make_card(make_merchant(), **WITHDRAWN)
    row = {"card": card, "desired_on": True, "withdrawn_at": NOW}
    CardWithdrawal.objects.create(**row, ended_at=NOW)
    CardWithdrawal.objects.create(**row)

    with refused("card_withdrawal_open_once"):
        CardWithdrawal.objects.create(**row)

    assert CardWithdrawal.objects.count() == 2


def test_withdrawal_does_not_end_before_it_begins():
    card, before = make_card(make_merchant(), **WITHDRAWN), NOW - timedelta(seconds=1)

    with refused("card_withdrawal_ends_after_start"):
        CardWithdrawal.objects.create(card=card, desired_on=True, withdrawn_at=NOW, ended_at=before)

    assert CardWithdrawal.objects.count() == 0


# --- coverage ----------------------------------------------------------------------------------


def test_card_is_covered_once_at_a_time():
    merchant = make_merchant()
    card, subscription = make_card(merchant), make_live_subscription(merchant, cards=2)
    cover(card, subscription)

    with refused("coverage_open_once"):
        cover(card, subscription)

    assert card.coverages.count() == 1


def test_coverage_of_the_past_stays_beside_the_open_one():
    merchant = make_merchant()
    card, subscription = make_card(merchant), make_live_subscription(merchant)
    cover(card, subscription, since=NOW - timedelta(days=9), till=NOW - timedelta(days=8))
    cover(card, subscription, since=NOW - timedelta(days=7), till=NOW - timedelta(days=7))

    cover(card, subscription)

    assert card.coverages.count() == 3


def test_coverage_does_not_end_before_it_begins():
    merchant = make_merchant()
    card, subscription = make_card(merchant), make_live_subscription(merchant)

    with refused("coverage_ends_after_start"):
        cover(card, subscription, since=NOW, till=NOW - timedelta(seconds=1))

    assert card.coverages.count() == 0


# --- commands ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(OPEN_COMMANDS))
def test_card_has_one_open_command(state):
    card = make_card(make_merchant())
    make_command(card, state=state)

    with refused("command_open_once_per_card"):
        make_command(card)

    assert card.commands.count() == 1


@pytest.mark.parametrize("state", [CommandState.DONE, CommandState.FAILED, CommandState.CANCELLED])
def test_finished_command_makes_room_for_the_next(state):
    card = make_card(make_merchant())
    make_command(card, state=state)

    make_command(card)

    assert card.commands.count() == 2


@pytest.mark.parametrize(
    ("constraint", "state", "fields"),
    [
        ("command_kind_known", CommandState.QUEUED, {"kind": "terminate"}),
        ("command_finished_at_when_over", CommandState.QUEUED, {"finished_at": NOW}),
        ("command_finished_at_when_over", CommandState.DONE, {"finished_at": None}),
        ("command_lease_paired", CommandState.QUEUED, {"lease_until": NOW}),
        ("command_lease_paired", CommandState.QUEUED, {"lease_token": uuid4()}),
        ("command_sent_at_known", CommandState.SENDING, {"sent_at": None}),
        ("command_sent_at_known", CommandState.DONE, {"sent_at": None}),
    ],
)
def test_database_refuses_a_command_that_cannot_be(constraint, state, fields):
    card = make_card(make_merchant())

    with refused(constraint):
        make_command(card, state=state, **fields)

    assert Command.objects.count() == 0


def test_database_refuses_an_unknown_state_of_a_command():
    command = make_command(make_card(make_merchant()), state=CommandState.DONE)

    with refused("command_state_known"):
        Command.objects.filter(pk=command.pk).update(state="lost")

    command.refresh_from_db()
    assert command.state == CommandState.DONE


def test_key_of_a_command_is_unique():
    key = uuid4()
    make_command(make_card(make_merchant()), key=key)

    with refused("key"):
        make_command(make_card(make_merchant()), key=key)

    assert Command.objects.count() == 1


def test_card_with_commands_and_account_with_cards_cannot_be_deleted():
    card = make_card(make_merchant(), account=make_account())
    make_command(card, state=CommandState.DONE)

    with pytest.raises(IntegrityError):
        card.delete()
    with pytest.raises(IntegrityError):
        card.account.delete()

    assert SmartCard.objects.count() == 1


# --- the brake ---------------------------------------------------------------------------------


def test_there_is_one_brake():
    Brake.objects.create()

    with refused("brake_is_one"):
        Brake.objects.create(pk=2)

    assert Brake.objects.count() == 1


@pytest.mark.parametrize("fields", [{"tap_closed_at": NOW}, {"tap_closed_by": "Зоя Старшая"}])
def test_closed_tap_has_an_author(fields):
    with refused("brake_tap_has_author"):
        Brake.objects.create(**fields)

    assert Brake.objects.count() == 0


# --- fair turns --------------------------------------------------------------------------------


def test_merchant_has_one_place_in_the_queue_of_an_account():
    mts, other, merchant = make_account(), make_account("other"), make_merchant()
    FairShare.objects.create(account=mts, merchant=merchant, turn=1)

    with refused("fair_share_once"):
        FairShare.objects.create(account=mts, merchant=merchant, turn=2)
    FairShare.objects.create(account=other, merchant=merchant, turn=2)
    FairShare.objects.create(account=mts, merchant=make_merchant(), turn=3)

    assert list(FairShare.objects.order_by("turn").values_list("turn", flat=True)) == [1, 2, 3]
