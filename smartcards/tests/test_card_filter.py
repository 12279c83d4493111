"""Which cards a text and the other fields above the list find, and the columns that the database keeps for it."""

from importlib import import_module

import pytest
from django.db import connection
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from smartcards.listing import card_groups
from smartcards.listing.card_filter import CardFilter, PaymentFilter, StateFilter, cards_matching
from smartcards.models import SmartCard
from smartcards.states import OperatorState
from smartcards.tests.cards import (
    NOW,
    cover,
    make_account,
    make_card,
    make_live_subscription,
    make_merchant,
    make_terminal,
)

pytestmark = pytest.mark.django_db
WAS_ON = {"confirmed": OperatorState.ACTIVE, "desired_on": True}
_FILL = import_module("smartcards.migrations.0019_fill_card_list_columns")


@pytest.fixture
def merchant():
    return make_merchant()


def found(merchant, **wanted):
    cards = cards_matching(merchant=merchant, wanted=CardFilter(**wanted), at=NOW)
    return [card.pk for card in cards.order_by("pk")]


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("0701", True),
        ("8970 1019 9912", True),
        ("…0701", True),
        ("8 (916) 555-44-33", True),
        ("8 (916) 555", True),
        ("8 (916", True),
        ("8916555", True),
        ("+7 916 555 44 33", True),
        ("916-555", True),
        ("35 912345", True),
        ("351234567890123", True),
        ("sn-77а", True),
        ("ЕЛОЧ", True),
        ("ёлоч", True),
        ("е\u0308лоч", True),
        ("первыи\u0306", True),
        ("касса  у", True),
        ("у базар веранда 0701", True),
        ("0701 касса 5544", True),
        ("5544 0701", True),
        ("билайн", True),
        ("Билайн веранда", True),
        ("%", False),
        ("_", False),
        ("0702", False),
        ("8 (901) 555", False),
        ("касса мтс", False),
        ("базар 0702", False),
        ("'; DROP TABLE", False),
        ("() -", False),
    ],
)
def test_text_finds_every_word_in_any_part(merchant, text, is_found):
    till = make_terminal(
        merchant,
        "Первый ёлочный базар",
        "Касса у входа",
        imei="359123450000000",
        serial_number="SN-77А",
    )
    card = make_card(
        merchant,
        iccid="8970101999123450701",
        msisdn="79165554433",
        seen_imei="351234567890123",
        label="летняя Веранда",
        terminal=till,
        account=make_account("beeline", title="Билайн"),
    )

    assert found(merchant, text=text) == ([card.pk] if is_found else [])


def test_number_that_begins_with_eight_is_no_part_of_an_iccid(merchant):
    make_card(merchant, iccid="8970107912345000001")
    card = make_card(merchant, msisdn="79123450000")

    assert found(merchant, text="8 (912) 345") == [card.pk]


def test_short_number_is_the_whole_number_of_a_name(merchant):
    cards = {
        name: make_card(merchant, terminal=make_terminal(merchant, "Ёлка 5", name)).pk
        for name in ("Касса 2", "Касса 12", "Касса №02")
    }

    assert [
        found(merchant, text="касса 2"),
        found(merchant, text="12"),
        found(merchant, text="1"),
        found(merchant, text="5 12"),
    ] == [[cards["Касса 2"], cards["Касса №02"]], [cards["Касса 12"]], [], [cards["Касса 12"]]]


def test_filters_narrow_together(merchant):
    beeline = make_account("beeline", title="Билайн")
    till = make_terminal(merchant, "Ёлка", "Касса 1")
    live = make_live_subscription(merchant, cards=9)
    ended = make_live_subscription(merchant, cards=9, entitled_until=NOW)
    works = make_card(merchant, terminal=till, **WAS_ON)
    lapsed = make_card(merchant, terminal=till, account=beeline, **WAS_ON)
    loose = make_card(merchant, account=beeline)
    cover(works, live)
    cover(lapsed, ended)
    shop = str(till.shop_id)

    assert [
        found(merchant, shop=shop),
        found(merchant, shop="none"),
        found(merchant, operator="Билайн"),
        found(merchant, payment=PaymentFilter.PAID),
        found(merchant, payment=PaymentFilter.ENDED),
        found(merchant, payment=PaymentFilter.NOT_CHOSEN),
        found(merchant, state=StateFilter.WORKS),
        found(merchant, state=StateFilter.WORKS, payment=PaymentFilter.ENDED, shop=shop),
        found(merchant, text="елка", operator="Билайн", state=StateFilter.UNPAID),
        found(merchant, state=StateFilter.NEW, shop=shop),
    ] == [
        [works.pk, lapsed.pk],
        [loose.pk],
        [lapsed.pk, loose.pk],
        [works.pk],
        [lapsed.pk],
        [loose.pk],
        [works.pk, lapsed.pk],
        [lapsed.pk],
        [lapsed.pk],
        [],
    ]


def test_filter_finds_no_cards_of_others(merchant):
    other = make_merchant()
    till = make_terminal(other, "Ёлка", "Касса 1")
    make_card(other, terminal=till, **WAS_ON)
    make_card(label="Ёлка")

    assert [
        found(merchant),
        found(merchant, text="елка"),
        found(merchant, shop=str(till.shop_id)),
        found(merchant, state=StateFilter.WORKS),
    ] == [[], [], [], []]


def test_found_cards_can_be_changed_at_once(merchant):
    cards = [make_card(merchant, label=label, **WAS_ON) for label in ("один", "два")]
    wanted = CardFilter(state=StateFilter.WORKS, text="один")

    changed = cards_matching(merchant=merchant, wanted=wanted, at=NOW).update(label="три")

    assert changed == 1
    assert list(SmartCard.objects.order_by("pk").values_list("pk", "label")) == [
        (cards[0].pk, "три"),
        (cards[1].pk, "два"),
    ]


filters = st.builds(
    CardFilter,
    text=st.text(st.sampled_from("аё й1&=?#%+"), max_size=9).map(
        lambda text: " ".join(text.split())
    ),
    state=st.sampled_from(StateFilter).map(str),
    shop=st.one_of(st.just("none"), st.just(""), st.integers(1, 10**18 - 1).map(str)),
    operator=st.sampled_from(["", "МТС", "Билайн & Ко"]),
    payment=st.sampled_from(PaymentFilter).map(str),
)


@given(wanted=filters)
def test_filter_comes_back_from_its_address(wanted):
    assert CardFilter.from_data(QueryDict(wanted.as_query())) == wanted


def kept(card):
    card.refresh_from_db()
    return card.list_key.replace("\x01", "|"), card.search_text[1:].split("\n")


def lettered(shop_id):
    return f"{shop_id:019}".translate(str.maketrans("0123456789", "abcdefghij"))


def test_database_keeps_order_and_text_of_a_card(merchant):
    till = make_terminal(merchant, "Ёлка  №2", "Касса 10", imei="359", serial_number="SN1")
    card = make_card(
        merchant, iccid="89701019991234507", msisdn="79165554433", label="Зал", terminal=till
    )
    shop = lettered(till.shop_id)

    assert kept(card) == (
        f"0елка  №0000000002|{shop}|касса 0000000010|зал",
        ["89701019991234507", "79165554433", "", "359", "sn1", "зал", "касса 10", "елка  №2"],
    )


@pytest.mark.parametrize("number", ["7", "0007", "12345678901234567890"])
def test_numbers_in_names_are_padded_whatever_their_length(merchant, number):
    card = make_card(merchant, label=f"n{number}n{number}")
    padded = (number.lstrip("0") or "0").zfill(10)

    assert kept(card)[0] == f"2||n{padded}n{padded}"


def test_longest_names_fit_into_the_index(merchant):
    till = make_terminal(merchant, "😀" * 200, "1😀" * 100)

    card = make_card(merchant, label="ё1" * 50, terminal=till)

    assert len(kept(card)[0]) == 1 + 200 + 1 + 19 + 1 + 200 + 1 + 200


def test_order_and_text_follow_every_change(merchant):
    till, other = make_terminal(merchant, "А", "К"), make_terminal(merchant, "Б", "Л")
    card, shop = make_card(merchant, terminal=till), till.shop
    a, b = lettered(shop.pk), lettered(other.shop_id)
    seen = []

    def look():
        key, text = kept(card)
        seen.append((key, text[5:]))

    SmartCard.objects.filter(pk=card.pk).update(label="Я")
    look()
    shop.name = "В"
    shop.save()
    look()
    type(till).objects.filter(pk=till.pk).update(name="К2")
    look()
    SmartCard.objects.filter(pk=card.pk).update(terminal=other)
    look()
    type(other).objects.filter(pk=other.pk).update(shop=shop)
    look()
    shop.delete()
    look()
    other.delete()
    look()
    card.list_key = card.search_text = "чужое"
    card.save()
    look()
    assert seen == [
        (f"0а|{a}|к|я", ["я", "к", "а"]),
        (f"0в|{a}|к|я", ["я", "к", "в"]),
        (f"0в|{a}|к0000000002|я", ["я", "к2", "в"]),
        (f"0б|{b}|л|я", ["я", "л", "б"]),
        (f"0в|{a}|л|я", ["я", "л", "в"]),
        ("1|л|я", ["я", "л", ""]),
        ("2||я", ["я", "", ""]),
        ("2||я", ["я", "", ""]),
    ]


def test_migration_fills_cards_that_were_there_before(merchant):
    make_card(merchant, label="Зал")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE smartcards_smartcard DISABLE TRIGGER card_in_list")
        SmartCard.objects.update(list_key="", search_text="")
        cursor.execute("ALTER TABLE smartcards_smartcard ENABLE TRIGGER card_in_list")

    with connection.schema_editor() as editor:
        _FILL.fill(None, editor)
        _FILL.fill(None, editor)

    [(key, text)] = SmartCard.objects.order_by("pk").values_list("list_key", "search_text")
    assert key == "2\x01\x01зал"
    assert text.endswith("\nзал\n\n")


def test_counts_of_a_large_merchant_are_kept_for_a_while(merchant, monkeypatch):
    make_card(merchant)
    monkeypatch.setattr(card_groups, "COUNTED_EACH_TIME", 1)
    small = card_groups.total(card_groups.groups_of(merchant, NOW))
    make_card(merchant)
    counted = card_groups.total(card_groups.groups_of(merchant, NOW))
    make_card(merchant)

    kept = card_groups.total(card_groups.groups_of(merchant, NOW))

    assert [small, counted, kept] == [1, 2, 2]
