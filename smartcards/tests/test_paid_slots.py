"""Which cards are paid: chosen by the merchant, moved by us only when the number of places changes."""

from datetime import timedelta

import pytest
from django.db import transaction

from smartcards import commands, queries
from smartcards.models import Command, Coverage
from smartcards.queries import PaidSlots
from smartcards.reconciliation import paid_slots
from smartcards.reconciliation.paid_slots import NotEnoughSlots
from smartcards.rules import FEW_CARDS, CardRefused
from smartcards.states import CommandKind, OperatorState, Origin
from smartcards.tests.cards import (
    NOW,
    OWNER,
    cover,
    make_card,
    make_live_subscription,
    make_merchant,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def merchant():
    return make_merchant()


def covered(merchant, subscription=None) -> set[int]:
    rows = Coverage.objects.filter(card__merchant=merchant, till=None)
    if subscription is not None:
        rows = rows.filter(subscription=subscription)
    return set(rows.values_list("card_id", flat=True))


def settle(merchant, at=NOW) -> None:
    with transaction.atomic():
        paid_slots.settle_coverage(merchant=merchant, at=at)


def test_chosen_cards_are_covered_and_no_others(merchant):
    make_live_subscription(merchant, cards=2)
    first, second, third = (make_card(merchant) for _ in range(3))
    paid_slots.choose_cards(merchant=merchant, card_ids={first.pk, second.pk}, by=OWNER, at=NOW)

    paid_slots.choose_cards(merchant=merchant, card_ids={second.pk, third.pk}, by=OWNER, at=NOW)

    assert covered(merchant) == {second.pk, third.pk}
    assert queries.paid_slots(merchant, NOW) == PaidSlots(total=2, taken=2)


def test_choice_beyond_the_paid_number_changes_nothing(merchant):
    make_live_subscription(merchant, cards=1)
    cards = [make_card(merchant) for _ in range(2)]

    with pytest.raises(NotEnoughSlots, match="Выбрано смарт-карт: 2, а оплачено: 1"):
        paid_slots.choose_cards(
            merchant=merchant, card_ids={card.pk for card in cards}, by=OWNER, at=NOW
        )

    assert covered(merchant) == set()


def test_card_of_a_stranger_cannot_be_chosen(merchant):
    make_live_subscription(merchant, cards=5)
    foreign = make_card(make_merchant("ИП Чужой"))

    with pytest.raises(CardRefused, match="Такой смарт-карты у вас нет"):
        paid_slots.choose_cards(merchant=merchant, card_ids={foreign.pk}, by=OWNER, at=NOW)


def test_dropped_working_card_goes_off_as_a_click(merchant):
    subscription = make_live_subscription(merchant, cards=1)
    card = make_card(merchant, confirmed=OperatorState.ACTIVE, desired_on=True)
    cover(card, subscription)

    paid_slots.choose_cards(merchant=merchant, card_ids=set(), by=OWNER, at=NOW)

    command = Command.objects.get()
    assert command.kind == CommandKind.DEACTIVATE
    assert command.origin == Origin.PERSON
    assert command.asked_by == OWNER.name


def test_many_cards_that_drop_out_are_mass_work(merchant, django_capture_on_commit_callbacks):
    subscription = make_live_subscription(merchant, cards=10)
    many = [
        make_card(merchant, confirmed=OperatorState.ACTIVE, desired_on=True)
        for _ in range(FEW_CARDS + 2)
    ]
    for card in many:
        cover(card, subscription)
    busy = many[0]
    commands.create(
        card=busy,
        kind=CommandKind.DEACTIVATE,
        origin=Origin.PERSON,
        by=OWNER,
        at=NOW,
        wake_dispatcher=False,
    )

    with django_capture_on_commit_callbacks() as enqueued:
        paid_slots.choose_cards(merchant=merchant, card_ids=set(), by=OWNER, at=NOW)

    made = Command.objects.exclude(card=busy).values_list("kind", "origin", "asked_by")
    assert list(made) == [(CommandKind.DEACTIVATE, Origin.MASS, OWNER.name)] * (FEW_CARDS + 1)
    assert [task.args[0] for task in enqueued if task.keywords.get("account_id")] == [
        "smartcards.dispatch"
    ]


def test_several_subscriptions_add_up(merchant):
    make_live_subscription(merchant, cards=1)
    make_live_subscription(merchant, cards=2)
    cards = [make_card(merchant) for _ in range(3)]

    paid_slots.choose_cards(
        merchant=merchant, card_ids={card.pk for card in cards}, by=OWNER, at=NOW
    )

    assert covered(merchant) == {card.pk for card in cards}


def test_cards_of_an_ended_subscription_move_to_a_living_one(merchant):
    ended = make_live_subscription(merchant, cards=2, entitled_until=NOW - timedelta(hours=1))
    cards = [make_card(merchant, desired_on=True) for _ in range(2)]
    for card in cards:
        cover(card, ended, since=NOW - timedelta(hours=20))
    living = make_live_subscription(merchant, cards=2)

    settle(merchant)

    assert covered(merchant, living) == {card.pk for card in cards}


def test_where_nothing_lives_the_cards_keep_their_row(merchant):
    ended = make_live_subscription(merchant, cards=1, entitled_until=NOW - timedelta(hours=1))
    card = make_card(merchant, desired_on=True)
    cover(card, ended, since=NOW - timedelta(hours=20))

    settle(merchant)

    assert covered(merchant, ended) == {card.pk}


def test_fewer_slots_drop_inactive_cards_first_then_the_last_covered(merchant):
    subscription = make_live_subscription(merchant, cards=2)
    old, young = (
        make_card(merchant, confirmed=OperatorState.ACTIVE, desired_on=True) for _ in range(2)
    )
    idle = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=False)
    third = make_card(merchant, confirmed=OperatorState.ACTIVE, desired_on=True)
    for hours, card in enumerate((idle, old, young, third)):
        cover(card, subscription, since=NOW - timedelta(hours=20 - hours))

    settle(merchant)

    assert covered(merchant) == {old.pk, young.pk}


def test_settling_twice_changes_nothing_more(merchant):
    subscription = make_live_subscription(merchant, cards=1)
    for _ in range(2):
        cover(make_card(merchant, desired_on=True), subscription)
    settle(merchant)
    rows = list(Coverage.objects.values())

    settle(merchant)

    assert list(Coverage.objects.values()) == rows


def test_slot_taken_by_us_is_given_back_later(merchant):
    subscription = make_live_subscription(merchant, cards=2)
    first, second = (make_card(merchant, desired_on=True) for _ in range(2))
    cover(first, subscription, since=NOW - timedelta(hours=2))
    cover(second, subscription, since=NOW - timedelta(hours=1))
    subscription.periods.update(cards=1)
    settle(merchant)
    after_the_fall = covered(merchant)

    subscription.periods.update(cards=2)
    settle(merchant, at=NOW + timedelta(minutes=5))

    assert after_the_fall == {first.pk}
    assert covered(merchant) == {first.pk, second.pk}


def test_slot_that_a_person_gave_up_is_not_given_back(merchant):
    subscription = make_live_subscription(merchant, cards=2)
    card = make_card(merchant, desired_on=True)
    cover(card, subscription)
    paid_slots.choose_cards(merchant=merchant, card_ids=set(), by=OWNER, at=NOW)

    settle(merchant)

    assert covered(merchant) == set()


def test_retired_card_loses_its_slot_before_a_working_one(merchant):
    subscription = make_live_subscription(merchant, cards=1)
    retired = make_card(merchant, confirmed=OperatorState.RETIRED, desired_on=True)
    works = make_card(merchant, confirmed=OperatorState.ACTIVE, desired_on=True)
    cover(retired, subscription, since=NOW - timedelta(hours=2))
    cover(works, subscription, since=NOW - timedelta(hours=1))

    settle(merchant)

    assert covered(merchant) == {works.pk}


def test_card_that_lost_its_slot_twice_gets_one_back(merchant):
    subscription = make_live_subscription(merchant, cards=3)
    card = make_card(merchant, desired_on=True)
    for hours in (5, 3):
        row = cover(
            card,
            subscription,
            since=NOW - timedelta(hours=hours),
            till=NOW - timedelta(hours=hours - 1),
        )
        type(row).objects.filter(pk=row.pk).update(dropped=True)

    settle(merchant)
    settle(merchant)

    assert Coverage.objects.filter(card=card, till=None).count() == 1


def test_card_without_a_free_slot_drops_out_and_comes_back(merchant):
    ended = make_live_subscription(merchant, cards=2, entitled_until=NOW - timedelta(hours=1))
    first, second = (make_card(merchant, desired_on=True) for _ in range(2))
    for hours, card in enumerate((first, second)):
        cover(card, ended, since=NOW - timedelta(hours=20 - hours))
    living = make_live_subscription(merchant, cards=1)
    settle(merchant)
    with_one_place = covered(merchant)

    living.periods.update(cards=2)
    settle(merchant, at=NOW + timedelta(minutes=5))

    assert with_one_place == {first.pk}
    assert covered(merchant, living) == {first.pk, second.pk}
