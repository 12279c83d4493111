"""Ticks on the list and the form below it: who sees them, what they carry, «отметить все в магазине»."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from cabinet.enums import Role
from smartcards.tests.cards import (
    NOW,
    clock_at,
    make_card,
    make_member,
    make_merchant,
    make_terminal,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _noon(settings, tmp_path):
    clock_at(settings, tmp_path, NOW)


@pytest.fixture
def merchant():
    return make_merchant()


def signed_in(merchant, role=Role.OWNER):
    client = Client()
    client.force_login(make_member(merchant, role).user)
    return client


def ticks(page):
    """Each box of the list and whether it is ticked."""
    found = re.findall(
        r'type="checkbox" form="mass" name="card" value="(\d+)"[^>]*?( checked)?>',
        page.content.decode(),
    )
    return {int(pk): bool(checked) for pk, checked in found}


def hidden(page):
    """The hidden fields of the form below the list, without what differs in each page."""
    [form] = re.findall(r'<form class="card mass".*?</form>', page.content.decode(), re.DOTALL)
    fields = re.findall(r'type="hidden" name="(\w+)" value="(.*?)"', form)
    return [one for one in fields if one[0] not in {"csrfmiddlewaretoken", "form_key"}]


def actions(page):
    return re.findall(r'name="action" value="(\w+)"', page.content.decode())


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.OWNER, ["activate", "deactivate", "choose", "unchoose"]),
        (Role.MANAGER, ["activate", "deactivate", "choose", "unchoose"]),
        (Role.CASHIER, ["activate"]),
        (Role.ACCOUNTANT, []),
    ],
)
@pytest.mark.urls("smartcards.tests.mass_urls")
def test_each_role_is_offered_what_it_may(merchant, role, allowed):
    card = make_card(merchant)

    page = signed_in(merchant, role).get("/")

    assert actions(page) == allowed
    assert ticks(page) == ({card.pk: False} if allowed else {})


@pytest.mark.urls("smartcards.tests.mass_urls")
def test_form_carries_the_filter_company_and_a_fresh_key(merchant):
    make_card(merchant, label="Зал")
    client = signed_in(merchant)

    pages = [client.get("/", {"q": "зал", "state": "new", "size": "100"}) for _ in range(2)]

    assert hidden(pages[0]) == [
        ("for_company", str(merchant.pk)),
        ("q", "зал"),
        ("state", "new"),
        ("size", "100"),
    ]
    keys = {
        re.findall(r'name="form_key" value="([\w-]{36})"', page.content.decode())[0]
        for page in pages
    }
    assert len(keys) == 2
    assert "Со всеми найденными: 1" in pages[0].content.decode()


@pytest.mark.urls("smartcards.tests.mass_urls")
def test_button_ticks_all_cards_of_a_shop_beyond_the_page(merchant):
    loose = make_card(merchant, label="Запасная")
    cards = [
        make_card(merchant, terminal=make_terminal(merchant, "Ёлка", f"Касса {number}")).pk
        for number in range(1, 53)
    ]
    shop = str(make_terminal(merchant, "Ёлка", "Касса 99").shop_id)
    client = signed_in(merchant)

    page = client.post(reverse("cards_ticked"), {"tick_shop": shop, "card": [loose.pk]})

    assert ticks(page) == dict.fromkeys(cards[:50], True)
    assert [value for name, value in hidden(page) if name == "card"] == [
        str(pk) for pk in sorted([*cards[50:], loose.pk])
    ]
    assert "Отмечено: 53" in page.content.decode()
    assert "из них на других страницах: 3." in page.content.decode()


@pytest.mark.urls("smartcards.tests.mass_urls")
def test_shop_is_ticked_as_far_as_the_filter_shows(merchant):
    till, other = (
        make_terminal(merchant, "Ёлка", "Касса 1"),
        make_terminal(merchant, "Ёлка", "Касса 2"),
    )
    wanted, _left_out = make_card(merchant, terminal=till), make_card(merchant, terminal=other)
    body = {"tick_shop": str(till.shop_id), "q": "касса 1"}

    page = signed_in(merchant).post(reverse("cards_ticked"), body)

    assert ticks(page) == {wanted.pk: True}
    assert [value for name, value in hidden(page) if name == "q"] == ["касса 1"]


@pytest.mark.urls("smartcards.tests.mass_urls")
def test_ticks_of_others_and_garbage_are_left_out(merchant):
    stranger = make_merchant()
    foreign = make_card(stranger, terminal=make_terminal(stranger, "Ёлка"))
    own = make_card(merchant)
    client = signed_in(merchant)

    body = {"card": [own.pk, foreign.pk], "tick_shop": str(foreign.terminal.shop_id)}
    page = client.post(reverse("cards_ticked"), body)
    garbage = client.post(reverse("cards_ticked"), {"card": ["x"]})

    assert ticks(page) == {own.pk: True}
    assert hidden(page) == [("for_company", str(merchant.pk))]
    assert garbage.headers["Location"] == "/"


def test_ticking_needs_a_right_to_switch(merchant):
    answers = {
        role: signed_in(merchant, role).post(reverse("cards_ticked"), {}).status_code
        for role in Role
    }

    assert answers == {
        Role.OWNER: 200,
        Role.MANAGER: 200,
        Role.ACCOUNTANT: 403,
        Role.CASHIER: 200,
    }
