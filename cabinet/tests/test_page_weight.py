"""How heavy the pages are on a bad line, and how many questions they ask the database."""

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from cabinet.enums import Role
from cabinet.models import Merchant
from cabinet.tests.companies import Company, make_companies
from cabinet.tests.people import signed_in
from operators.models import OperatorAccount
from smartcards.orders.tests.orders import delivered, place
from smartcards.states import OperatorState
from smartcards.tests.cards import (
    clock_at,
    cover,
    make_account,
    make_card,
    make_live_subscription,
    make_member,
    make_merchant,
    make_module,
    make_terminal,
)

pytestmark = pytest.mark.django_db

FIRST_VIEW = 50_000  # bytes of everything a first visit loads, unpacked
PAGES = (
    "cards",
    "choose_cards",
    "subscription",
    "modules",
    "orders",
    "order_new",
    "company",
    "team",
    "documents",
    "profile",
    "merchants",
)
OBJECT_PAGES = (
    ("card", "working"),
    ("card", "waiting"),
    ("card_edit", "working"),
    ("card_deactivate", "working"),
    ("subscription_renew", "subscription"),
    ("subscription_change", "subscription"),
    ("subscription_stop", "subscription"),
    ("market_leave", "asked"),
    ("order", "order"),
    ("order_cancel", "order"),
)
SHOPS, TILLS_OF_A_SHOP = 4, 3


@pytest.fixture(autouse=True)
def _now(settings: Any, tmp_path: Path) -> None:
    clock_at(settings, tmp_path)


@pytest.fixture
def company() -> Company:
    """A company of four shops with three tills each, some orders behind it, a team of four."""
    ours, _outsider = make_companies()
    for shop in range(SHOPS):
        for till in range(TILLS_OF_A_SHOP):
            _card_in_a_till(ours, f"Магазин на Садовой, {shop + 1}", f"Касса {till + 1}")
    for _ in range(3):
        delivered(ours.merchant, quantity=2)
    return ours


def _card_in_a_till(company: Company, shop: str, till: str) -> None:
    terminal = make_terminal(company.merchant, shop=shop, name=till)
    card = make_card(
        company.merchant, confirmed=OperatorState.ACTIVE, desired_on=True, terminal=terminal
    )
    cover(card, company.subscription)


# --- weight ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_a_first_view_is_light(name, company):
    assert weight(company.client(), reverse(name)) < FIRST_VIEW


@pytest.mark.parametrize(("name", "thing"), OBJECT_PAGES)
def test_a_first_view_of_one_thing_is_light(name, thing, company):
    address = reverse(name, kwargs={"pk": getattr(company, thing).pk})

    assert weight(company.client(), address) < FIRST_VIEW


@pytest.mark.parametrize("address", ["/login/", "/legal/offer/"])
def test_a_first_view_of_a_public_page_is_light(address):
    make_companies()

    assert weight(Client(), address) < FIRST_VIEW


def weight(client: Client, address: str) -> int:
    """Bytes of the page and of everything that its tags name."""
    page = client.get(address)
    assert page.status_code == 200
    html = _unpacked(page.content, page.headers.get("Content-Encoding", ""))
    return len(html) + sum(_size(named) for named in _named(html.decode()))


def _unpacked(content: bytes, encoding: str) -> bytes:
    return gzip.decompress(content) if encoding == "gzip" else content


def _named(html: str) -> set[str]:
    """What the browser loads by itself: styles, scripts, pictures, the icon."""
    tags = re.findall(r"<(?:link|script|img|source|use)\b[^>]*>", html)
    found = (re.search(r'\b(?:href|src|srcset)="([^"#]+)', tag) for tag in tags)
    return {match.group(1) for match in found if match}


def _size(address: str) -> int:
    assert address.startswith(django_settings.STATIC_URL), f"{address}: only files of our own"
    file = django_settings.BASE_DIR / "static" / address.removeprefix(django_settings.STATIC_URL)
    return int(file.stat().st_size) + _named_in_styles(file)


def _named_in_styles(file: Path) -> int:
    if file.suffix != ".css":
        return 0
    named = set(re.findall(r"url\(['\"]?([^'\")]+)", file.read_text(encoding="utf-8")))
    return sum((file.parent / one).stat().st_size for one in named if not one.startswith("data:"))


# --- questions to the database --------------------------------------------------------------------


def questions(client: Client, address: str) -> int:
    """How many queries the page needs, once the session is warm."""
    client.get(address)
    with CaptureQueriesContext(connection) as asked:
        assert client.get(address).status_code == 200
    return len(asked)


def _cards(merchant: Merchant, number: int) -> None:
    subscription = make_live_subscription(merchant, cards=number)
    for shop in range(number):
        terminal = make_terminal(merchant, shop=f"Магазин {shop}")
        card = make_card(merchant, account=_operator(shop), terminal=terminal, desired_on=True)
        cover(card, subscription)


def _operator(number: int) -> OperatorAccount:
    return make_account(f"operator-{number}", title=f"Оператор {number}")


def _orders(merchant: Merchant, number: int) -> None:
    for _ in range(number):
        place(merchant)


def _team(merchant: Merchant, number: int) -> None:
    for _ in range(number):
        make_member(merchant, Role.CASHIER)


def _subscriptions(merchant: Merchant, number: int) -> None:
    for module in range(number):
        bought = make_live_subscription(merchant, cards=2, module=make_module(f"module-{module}"))
        cover(make_card(merchant), bought)


LISTS = (
    ("cards", _cards, 11),
    ("choose_cards", _cards, 9),
    ("orders", _orders, 7),
    ("team", _team, 4),
    ("subscription", _subscriptions, 15),
    ("modules", _subscriptions, 8),
)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(("name", "fill", "number"), LISTS, ids=[row[0] for row in LISTS])
def test_a_longer_list_asks_no_more(name, fill, number, rows):
    merchant = make_merchant()
    client = signed_in(Client(), make_member(merchant))
    fill(merchant, rows)

    assert questions(client, reverse(name)) == number
