"""The pages of the cards, as the owner, the colleagues and strangers meet them."""

import pytest
from django.urls import reverse

from cabinet.states import Role
from smartcards.states import Confirmed
from smartcards.tests.cards import (
    clock_at,
    cover,
    make_card,
    make_live_subscription,
    make_member,
    make_merchant,
    make_terminal,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _noon(settings, tmp_path):
    clock_at(settings, tmp_path)


@pytest.fixture
def merchant():
    return make_merchant()


@pytest.fixture
def owner(client, merchant):
    client.force_login(make_member(merchant).user)
    return client


def test_first_page(owner, merchant):
    subscription = make_live_subscription(merchant, cards=3)
    card = make_card(
        merchant, confirmed=Confirmed.ACTIVE, wished_on=True, terminal=make_terminal(merchant)
    )
    cover(card, subscription)
    make_card(merchant)

    html = owner.get("/").content.decode()
    print(html)
    for name in ("card", "card_deactivate", "card_edit", "card_progress"):
        r = owner.get(reverse(name, args=[card.pk]))
        print(r.content.decode())
        assert r.status_code == 200
    r = owner.get(reverse("choose_cards"))
    print(r.content.decode())
    assert r.status_code == 200
    r = owner.post(reverse("choose_cards"), {"shown": str(card.pk)})
    print(r.content.decode())
    assert r.status_code == 200
    assert 0
