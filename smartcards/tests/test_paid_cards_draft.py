"""Ticks of «Выбрать карты» between two pages and until they are saved: whose they are, what they mean later."""

from datetime import timedelta

import pytest
from django.db import IntegrityError

from cabinet.accounts.access import actor_for
from cabinet.enums import Role
from cabinet.errors import NotAllowed
from smartcards.listing import paid_cards_draft
from smartcards.listing.paid_cards_draft import Ticks, ticks_of
from smartcards.models import Coverage, PaidCardsDraft, SmartCard
from smartcards.presentation.paid_cards_choice import change_of
from smartcards.rules import CardRefused
from smartcards.states import CommandState, OperatorState
from smartcards.tests.cards import (
    NOW,
    cover,
    make_card,
    make_command,
    make_live_subscription,
    make_member,
    make_merchant,
)

pytestmark = pytest.mark.django_db
WAS_ON = {"confirmed": OperatorState.ACTIVE, "desired_on": True}


@pytest.fixture
def merchant():
    return make_merchant()


@pytest.fixture
def owner(merchant):
    return actor_for(make_member(merchant))


def keep(merchant, by, shown, ticked, at=NOW):
    paid_cards_draft.keep_ticks(
        merchant=merchant,
        shown=[card.pk for card in shown],
        ticked=[card.pk for card in ticked],
        by=by,
        at=at,
    )


def test_ticks_of_several_pages_add_up(merchant, owner):
    subscription = make_live_subscription(merchant, cards=9)
    paid, dropped, new, other = (make_card(merchant) for _ in range(4))
    cover(paid, subscription)
    cover(dropped, subscription)

    keep(merchant, owner, [paid, new], [paid, new])
    keep(merchant, owner, [dropped, other], [])

    ticks = ticks_of(merchant, owner, NOW)
    assert ticks == Ticks(
        paid=frozenset({paid.pk, dropped.pk}),
        ticked=frozenset({new.pk}),
        unticked=frozenset({dropped.pk}),
    )
    assert ticks.chosen == {paid.pk, new.pk}
    assert ticks.changed is True


def test_box_set_back_is_no_change(merchant, owner):
    paid, new = make_card(merchant), make_card(merchant)
    cover(paid, make_live_subscription(merchant))

    keep(merchant, owner, [paid, new], [new])
    keep(merchant, owner, [paid, new], [paid])

    assert ticks_of(merchant, owner, NOW) == Ticks(paid=frozenset({paid.pk}))


def test_boxes_nobody_touched_follow_a_colleague(merchant, owner):
    subscription = make_live_subscription(merchant, cards=9)
    mine, his = make_card(merchant), make_card(merchant)
    keep(merchant, owner, [mine], [mine])

    cover(his, subscription)
    cover(mine, subscription)

    ticks = ticks_of(merchant, owner, NOW)
    assert ticks == Ticks(paid=frozenset({mine.pk, his.pk}))


def test_draft_belongs_to_one_person_in_one_company(merchant, owner):
    colleague = actor_for(make_member(merchant, Role.MANAGER, "Пётр"))
    card = make_card(merchant)

    keep(merchant, owner, [card], [card])

    assert ticks_of(merchant, owner, NOW).ticked == {card.pk}
    assert ticks_of(merchant, colleague, NOW).ticked == frozenset()
    assert ticks_of(make_merchant(), owner, NOW).ticked == frozenset()


def test_ticks_of_the_day_before_are_begun_anew(merchant, owner):
    first, second = make_card(merchant), make_card(merchant)
    keep(merchant, owner, [first], [first])
    later = NOW + paid_cards_draft.KEPT

    forgotten = ticks_of(merchant, owner, later)
    keep(merchant, owner, [second], [second], at=later)

    assert forgotten.ticked == frozenset()
    assert ticks_of(merchant, owner, later).ticked == {second.pk}


def test_all_found_cards_are_ticked_and_unticked_at_once(merchant, owner):
    paid, new = make_card(merchant), make_card(merchant)
    foreign = make_card(make_merchant())
    cover(paid, make_live_subscription(merchant))
    every = {"merchant": merchant, "cards": SmartCard.objects.of(merchant), "by": owner, "at": NOW}

    paid_cards_draft.tick_all(on=True, **every)
    ticked = ticks_of(merchant, owner, NOW).chosen
    paid_cards_draft.tick_all(on=False, **every)

    assert ticked == {paid.pk, new.pk}
    assert ticks_of(merchant, owner, NOW).chosen == frozenset()
    assert foreign.pk not in ticked


def test_cards_of_others_cannot_be_ticked(merchant, owner):
    foreign = make_card(make_merchant())

    with pytest.raises(CardRefused, match="Такой смарт-карты у вас нет"):
        keep(merchant, owner, [foreign], [foreign])
    assert PaidCardsDraft.objects.count() == 0


def test_whoever_may_not_choose_may_not_tick(merchant):
    cashier = actor_for(make_member(merchant, Role.CASHIER))

    with pytest.raises(NotAllowed):
        keep(merchant, cashier, [make_card(merchant)], [])


def test_discarded_ticks_leave_what_is_paid(merchant, owner):
    card = make_card(merchant)
    keep(merchant, owner, [card], [card])

    paid_cards_draft.discard(merchant=merchant, by=owner)

    assert ticks_of(merchant, owner, NOW) == Ticks(paid=frozenset())


def test_one_draft_for_a_person_in_a_company(merchant, owner):
    row = {"merchant": merchant, "user_id": owner.user_id, "changed_at": NOW}
    PaidCardsDraft.objects.create(**row)

    with pytest.raises(IntegrityError, match="paid_cards_draft_once"):
        PaidCardsDraft.objects.create(**row)


def test_change_lists_working_cards_that_drop_out(merchant, owner):
    subscription = make_live_subscription(merchant, cards=9)
    elsewhere, works = make_card(merchant, **WAS_ON), make_card(merchant, **WAS_ON)
    off = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=False)
    coming, new = make_card(merchant, desired_on=True), make_card(merchant)
    make_command(coming, state=CommandState.ACCEPTED)
    for card in (elsewhere, works, off, coming):
        cover(card, subscription)

    keep(merchant, owner, [works, off, coming, new], [new])
    change = change_of(merchant=merchant, by=owner, at=NOW)

    assert change.chosen == {elsewhere.pk, new.pk}
    assert [card.pk for card in change.dropped] == [works.pk, coming.pk]
    assert change.unnamed == 0


def test_ticked_card_that_has_left_meanwhile_is_left_out(merchant, owner):
    leaves, gone, stays = (make_card(merchant) for _ in range(3))
    keep(merchant, owner, [leaves, gone, stays], [leaves, gone, stays])

    SmartCard.objects.filter(pk=leaves.pk).update(merchant=make_merchant())
    SmartCard.objects.filter(pk=gone.pk).update(confirmed=OperatorState.RETIRED)

    assert change_of(merchant=merchant, by=owner, at=NOW).chosen == {stays.pk}
    assert Coverage.objects.count() == 0


def test_many_cards_that_drop_out_are_counted(merchant, owner):
    subscription = make_live_subscription(merchant, cards=99)
    cards = [make_card(merchant, **WAS_ON) for _ in range(53)]
    for card in cards:
        cover(card, subscription, since=NOW - timedelta(days=1))
    keep(merchant, owner, cards, [])

    change = change_of(merchant=merchant, by=owner, at=NOW)

    assert len(change.named) == 50
    assert change.unnamed == 3
