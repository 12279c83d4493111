"""Differences between us and the operators: each kind comes and goes, and staff can act on it."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from cabinet.models import AuditEvent
from cabinet.services.groups import ensure_groups
from cabinet.tests.people import make_staff
from smartcards import drift, healing
from smartcards.drift import Drift, Found
from smartcards.models import Command, SmartCard
from smartcards.rules import CardRefused
from smartcards.states import CommandKind, CommandState, Confirmed, Origin
from smartcards.tests.cards import (
    NOW,
    STAFF,
    clock_at,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_member,
    make_merchant,
    make_terminal,
)

pytestmark = pytest.mark.django_db

PAGE = "/admin/smartcards/drift/"
EARLIER = NOW - timedelta(hours=5)
IMEI, OTHER_IMEI = "356938035643809", "490154203237518"


@pytest.fixture
def merchant():
    return make_merchant()


def listed() -> dict[int, list[Found]]:
    return {card.pk: drift.found(card) for card in drift.page_of(NOW)}


def paid(merchant, **fields) -> SmartCard:
    card = make_card(merchant, **fields)
    cover(card, make_live_subscription(merchant), since=NOW - timedelta(hours=20))
    return card


def change(card: SmartCard, **fields) -> None:
    SmartCard.objects.filter(pk=card.pk).update(**fields)


# --- each kind comes and goes ------------------------------------------------------------------


def test_card_that_is_as_it_should_be_is_not_listed(merchant):
    paid(merchant, confirmed=Confirmed.ACTIVE, wished_on=True)
    paid(merchant, confirmed=Confirmed.INACTIVE, wished_on=False)
    make_card(merchant)
    make_card(None, confirmed=Confirmed.ACTIVE)
    make_card(None, lost_to_operator_at=NOW, seen_msisdn="79990001122")

    assert listed() == {}
    assert drift.counts(NOW) == []


def test_paid_card_that_is_off_stands_there_until_it_works(merchant):
    card = paid(
        merchant,
        confirmed=Confirmed.INACTIVE,
        wished_on=True,
        wished_at=NOW - timedelta(days=2),
        off_since=EARLIER,
    )

    off = listed()
    make_command(card)
    under_way = listed()
    Command.objects.all().delete()
    change(card, confirmed=Confirmed.ACTIVE)

    assert off == {card.pk: [Found(Drift.PAID_BUT_OFF, EARLIER)]}
    assert (under_way, listed()) == ({}, {})


def test_new_card_counts_from_its_payment_or_its_wish(merchant):
    card = paid(merchant, wished_on=True, wished_at=NOW - timedelta(days=2))

    assert listed() == {card.pk: [Found(Drift.PAID_BUT_OFF, NOW - timedelta(hours=20))]}


def test_unpaid_card_that_works_counts_from_the_end_of_what_was_paid(merchant):
    card = make_card(merchant, confirmed=Confirmed.ACTIVE, wished_on=True)
    ended = make_live_subscription(merchant, entitled_until=EARLIER)
    cover(card, ended, since=NOW - timedelta(days=1))

    on = listed()
    ended.entitled_until = NOW + timedelta(days=1)
    ended.save()

    assert on == {card.pk: [Found(Drift.ON_BUT_UNPAID, EARLIER)]}
    assert listed() == {}


def test_card_that_works_without_anybodys_wish_and_pay_counts_from_its_last_coverage(merchant):
    card = make_card(merchant, confirmed=Confirmed.ACTIVE)
    never = make_card(merchant, confirmed=Confirmed.ACTIVE)
    subscription = make_live_subscription(merchant)
    cover(card, subscription, since=NOW - timedelta(days=1), till=EARLIER)

    assert listed() == {
        card.pk: [Found(Drift.ON_BUT_UNPAID, EARLIER)],
        never.pk: [Found(Drift.ON_BUT_UNPAID, never.handed_at)],
    }


def test_card_that_works_though_it_was_wished_off(merchant):
    card = paid(merchant, confirmed=Confirmed.ACTIVE, wished_on=False, wished_at=EARLIER)

    on = listed()
    change(card, confirmed=Confirmed.INACTIVE, block_reason="voluntary")

    assert on == {card.pk: [Found(Drift.ON_THOUGH_WISHED_OFF, EARLIER)]}
    assert listed() == {}


@pytest.mark.parametrize(
    ("confirmed", "reason"),
    [(Confirmed.HELD, ""), (Confirmed.HELD, "fraud"), (Confirmed.INACTIVE, "debt")],
)
def test_card_held_by_the_operator(merchant, confirmed, reason):
    card = paid(
        merchant, confirmed=confirmed, block_reason=reason, wished_on=True, off_since=EARLIER
    )

    held = listed()
    change(card, confirmed=Confirmed.ACTIVE, block_reason="")

    assert held == {card.pk: [Found(Drift.HELD, EARLIER)]}
    assert listed() == {}


def test_stolen_card_that_is_off_is_as_it_should_be(merchant):
    make_card(
        merchant,
        confirmed=Confirmed.INACTIVE,
        block_reason="stolen",
        wished_on=False,
        withdrawn_at=NOW,
        withdrawn_because="stolen",
    )

    assert listed() == {}


def test_card_unknown_to_the_operator(merchant):
    card = paid(
        merchant, confirmed=Confirmed.ACTIVE, wished_on=True, lost_to_operator_at=EARLIER
    )

    lost = listed()
    change(card, lost_to_operator_at=None)

    assert lost == {card.pk: [Found(Drift.LOST, EARLIER)]}
    assert listed() == {}


@pytest.mark.parametrize("ours", ["79105550011", ""])
def test_other_number_at_the_operator(merchant, ours):
    card = make_card(merchant, msisdn=ours, seen_msisdn="79105550099", read_at=EARLIER)

    other = listed()
    change(card, msisdn="79105550099")
    same = listed()
    change(card, seen_msisdn="")

    assert other == {card.pk: [Found(Drift.OTHER_NUMBER, EARLIER)]}
    assert (same, listed()) == ({}, {})


def test_other_terminal_by_its_imei(merchant):
    terminal = make_terminal(merchant, imei=IMEI)
    card = make_card(merchant, terminal=terminal, seen_imei=OTHER_IMEI, read_at=EARLIER)

    other = listed()
    change(card, seen_imei=IMEI)

    assert other == {card.pk: [Found(Drift.OTHER_DEVICE, EARLIER)]}
    assert listed() == {}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("", OTHER_IMEI), (IMEI, ""), (IMEI, IMEI[:14]), (IMEI, f"{IMEI[:14]}05")],
)
def test_imei_that_is_not_known_or_written_otherwise_is_no_difference(merchant, ours, theirs):
    make_card(merchant, terminal=make_terminal(merchant, imei=ours), seen_imei=theirs)

    assert listed() == {}


def test_card_without_a_terminal_has_no_device_to_differ_from(merchant):
    make_card(merchant, seen_imei=OTHER_IMEI)

    assert listed() == {}


def test_retired_card_stands_there_until_it_is_written_off(merchant):
    card = paid(merchant, confirmed=Confirmed.RETIRED, wished_on=True, off_since=EARLIER)

    retired = listed()
    healing.write_off(card=card, reason="по договору", by=STAFF, at=NOW)

    assert retired == {card.pk: [Found(Drift.RETIRED, EARLIER)]}
    assert listed() == {}


def test_one_card_may_differ_in_several_ways_and_is_counted_in_each(merchant):
    other = make_account("other", title="Партнёр", adapter="tmf640")
    card = paid(
        merchant,
        confirmed=Confirmed.ACTIVE,
        wished_on=False,
        wished_at=EARLIER,
        lost_to_operator_at=NOW,
    )
    make_card(merchant, account=other, lost_to_operator_at=NOW)

    lines = drift.counts(NOW)

    assert listed()[card.pk] == [Found(Drift.ON_THOUGH_WISHED_OFF, EARLIER), Found(Drift.LOST, NOW)]
    assert [(line.title, line.numbers, line.total) for line in lines] == [
        ("МТС", (0, 0, 1, 0, 1, 0, 0, 0), 2),
        ("Партнёр", (0, 0, 0, 0, 1, 0, 0, 0), 1),
    ]
    assert drift.totals(lines) == [0, 0, 1, 0, 2, 0, 0, 0]
    assert drift.totals([]) == [0] * 8


def test_list_is_of_one_kind_and_account_with_the_longest_lasting_first(merchant):
    other = make_account("other", title="Партнёр", adapter="tmf640")
    late = make_card(merchant, lost_to_operator_at=NOW)
    early = make_card(merchant, lost_to_operator_at=EARLIER)
    far = make_card(merchant, account=other, lost_to_operator_at=EARLIER)
    make_card(merchant, confirmed=Confirmed.HELD)

    lost = drift.page_of(NOW, kind=Drift.LOST, account_id=late.account_id)

    assert [card.pk for card in lost] == [early.pk, late.pk]
    assert [card.pk for card in drift.page_of(NOW, account_id=other.pk)] == [far.pk]
