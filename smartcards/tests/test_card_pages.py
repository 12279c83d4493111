"""Pages of a list by the last card of the page before: their order, their neighbours, what changes meanwhile."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cabinet.enums import Role
from smartcards.listing.card_pages import PageQuery, Sort, card_page
from smartcards.models import SmartCard
from smartcards.presentation.card_list import card_list_page
from smartcards.presentation.list_options import ListQuery
from smartcards.tests.cards import NOW, make_card, make_merchant, make_terminal

pytestmark = pytest.mark.django_db


@pytest.fixture
def merchant():
    return make_merchant()


def page_of(merchant, **wanted):
    cards = SmartCard.objects.of(merchant)
    return card_page(cards, merchant=merchant, wanted=PageQuery(**wanted), at=NOW)


def numbers(page):
    return [card.pk for card in page.cards]


def tills(merchant, count, shop="Магазин"):
    return [
        make_card(merchant, terminal=make_terminal(merchant, shop, f"Касса {number}")).pk
        for number in range(1, count + 1)
    ]


def test_names_with_numbers_are_in_natural_order(merchant):
    names = ["Касса 10", "касса 2", "Касса 1", "Кассa", "Касса 2 (запасная)"]
    for name in names:
        make_card(merchant, terminal=make_terminal(merchant, "Магазин 10", name))
    make_card(merchant, terminal=make_terminal(merchant, "Магазин 9", "Касса 99"))

    shown = [card.terminal.name for card in page_of(merchant).cards]

    assert shown == [
        "Касса 99",
        "Кассa",
        "Касса 1",
        "касса 2",
        "Касса 2 (запасная)",
        "Касса 10",
    ]


def test_shops_of_one_name_do_not_mix(merchant):
    first, second = make_terminal(merchant, "Магазин", "Касса 1"), make_terminal(merchant, "Б", "1")
    second.shop.name = "Магазин"
    second.shop.save()
    cards = [
        make_card(merchant, terminal=terminal, label=label).pk
        for label in ("а", "б")
        for terminal in (first, second)
    ]

    assert numbers(page_of(merchant)) == [cards[0], cards[2], cards[1], cards[3]]


@given(
    shops=st.lists(st.sampled_from(["А", "Б 2", "Б 10", ""]), max_size=8),
    sort=st.sampled_from(Sort),
    size=st.integers(1, 4),
)
@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_walk_there_and_back_shows_each_card_once(shops, sort, size):
    merchant = make_merchant()
    for days, shop in enumerate(shops):
        terminal = make_terminal(merchant, shop, f"Касса {days % 3}") if shop else None
        make_card(merchant, terminal=terminal, handed_at=NOW - timedelta(days=days % 2))
    order = {"": "list_key", "number": "iccid", "newest": "-handed_at"}[sort]
    expected = list(
        SmartCard.objects.of(merchant).order_by(order, "-pk" if sort == "newest" else "pk")
    )
    asked = {"sort": sort, "size": size}

    page = page_of(merchant, **asked)
    there = [page]
    while page.next:
        page = page_of(merchant, after=page.next, **asked)
        there.append(page)
    back = [page]
    while page.previous:
        page = page_of(merchant, before=page.previous, **asked)
        back.append(page)

    assert [pk for page in there for pk in numbers(page)] == [card.pk for card in expected]
    assert [numbers(page) for page in reversed(back)] == [numbers(page) for page in there]


def test_next_page_neither_repeats_nor_skips_after_insertions(merchant):
    cards = tills(merchant, 4)
    first = page_of(merchant, size=2)
    earlier = make_card(merchant, terminal=make_terminal(merchant, "А", "Касса 1")).pk
    SmartCard.objects.filter(pk=cards[0]).update(terminal=None)

    second = page_of(merchant, size=2, after=first.next)

    assert numbers(first) == cards[:2]
    assert numbers(second) == cards[2:]
    assert numbers(page_of(merchant, size=2)) == [earlier, cards[1]]


def test_page_ahead_with_room_left_is_the_first_page(merchant):
    cards = tills(merchant, 3)

    page = page_of(merchant, size=2, before=cards[1])

    assert numbers(page) == cards[:2]
    assert page.previous is None
    assert page.next == cards[1]


def test_place_that_is_gone_begins_the_list_anew(merchant):
    cards, strange = tills(merchant, 2), make_card(make_merchant()).pk

    pages = [numbers(page_of(merchant, after=place)) for place in (strange, 10**18, cards[-1])]

    assert pages == [cards, cards, cards]


def test_torn_shop_keeps_its_name_on_the_next_page(merchant):
    tills(merchant, 51, shop="А")
    last = tills(merchant, 1, shop="Б")
    first = shown(merchant, PageQuery())

    second = shown(merchant, PageQuery(after=first.page.next))
    third = shown(merchant, PageQuery(before=second.page.previous))
    without = shown(merchant, PageQuery(sort=Sort.NUMBER))

    assert titles(first) == [("А", False, 50)]
    assert titles(second) == [("А", True, 1), ("Б", False, 1)]
    assert titles(third) == titles(first)
    assert titles(without) == [("", False, 50)]
    assert second.shops[1].rows[0].name.pk == last[0]
    assert without.shops[0].rows[0].shows_shop is True


def shown(merchant, page):
    return card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(page=page), at=NOW)


def titles(view):
    return [(shop.title, shop.continued, len(shop.rows)) for shop in view.shops]
