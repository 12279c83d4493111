"""One card under every spelling of its number: which of ours an operator means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from operators.ports import iccid_of, iccid_spellings, same_card
from smartcards import queries, replacement, rules
from smartcards.admin.search import cards_matching
from smartcards.models import Command, SmartCard
from smartcards.orders import services as orders
from smartcards.orders.rules import CannotPack
from smartcards.orders.tests.orders import place
from smartcards.rules import CardRefused
from smartcards.states import WithdrawalReason
from smartcards.tests.cards import (
    NOW,
    OWNER,
    STAFF,
    make_account,
    make_card,
    make_command,
    make_merchant,
)

# A beginning that no made card has.
BARE = "8970102000000000008"
FULL = f"{BARE}6"
# Nineteen digits that end in their own check digit may also stand before one.
_BARE18 = "897010200000000001"
BETWEEN = f"{_BARE18}{luhn.calc_check_digit(_BARE18)}"
EITHER = (_BARE18, f"{BETWEEN}{luhn.calc_check_digit(BETWEEN)}")


@pytest.mark.parametrize(
    ("given", "digits"),
    [
        (FULL, FULL),
        (int(FULL), FULL),
        (f" {FULL}F ", FULL),
        (f"{BARE}ff", BARE),
        (f"{BARE}-6", FULL),
        ("8970 1010 0000 0000 062", "8970101000000000062"),
        (f"{BARE}\u20116", FULL),
        ("897010100000000F0006", ""),
        (8.970101e18, ""),
        (True, ""),
        (None, ""),
        ("1234567890123456", ""),
        ("123456789012345678901", ""),
    ],
)
def test_digits_of_a_spelled_number(given, digits):
    assert iccid_of(given) == digits


@given(st.from_regex(r"[0-9]{17,19}", fullmatch=True))
def test_card_with_its_check_digit_is_the_same_both_ways(bare):
    full = f"{bare}{luhn.calc_check_digit(bare)}"
    wrong = f"{bare}{(int(full[-1]) + 1) % 10}"

    assert same_card(full, bare)
    assert same_card(bare, full)
    assert not same_card(wrong, bare)
    assert not same_card(bare, wrong)


def test_spellings_begin_with_the_given_one():
    assert iccid_spellings(FULL) == (FULL, BARE)
    assert iccid_spellings(BARE)[0] == BARE
    assert FULL in iccid_spellings(BARE)


@pytest.mark.django_db
def test_named_card_is_the_exact_one_before_another_spelling():
    account, other = make_account("one"), make_account("two")
    make_card(account=other, iccid=BARE[:-1] + "1")
    full = make_card(account=account, iccid=FULL)

    by_bare = queries.cards_by_iccid(account.pk, [BARE])
    bare = make_card(account=account, iccid=BARE)
    both = queries.cards_by_iccid(account.pk, [BARE, FULL, BARE[:-1] + "1"])

    assert by_bare == {BARE: full}
    assert both == {BARE: bare, FULL: full}


@pytest.mark.django_db
def test_name_that_could_mean_two_cards_means_none():
    account = make_account("one")
    for iccid in EITHER:
        make_card(account=account, iccid=iccid)

    assert queries.cards_by_iccid(account.pk, [BETWEEN]) == {}


# --- packing an order -----------------------------------------------------------------------------


def pack(merchant, *iccids, quantity=1):
    order = place(merchant, quantity=quantity)
    return orders.pack_order(order=order, iccids=iccids, by=STAFF, at=NOW)


@pytest.mark.django_db
@pytest.mark.parametrize(("stored", "read"), [(BARE, FULL), (FULL, BARE), (FULL, FULL)])
def test_card_is_packed_in_either_spelling(stored, read):
    card = make_card(iccid=stored)

    order = pack(make_merchant(), read)

    assert [packed.card for packed in order.packed.all()] == [card]


@pytest.mark.django_db
def test_exact_card_is_packed_before_the_other_spelling():
    make_card(iccid=FULL)
    exact = make_card(iccid=BARE)

    order = pack(make_merchant(), BARE)

    assert [packed.card for packed in order.packed.all()] == [exact]


@pytest.mark.django_db
def test_wrong_check_digit_names_no_card():
    make_card(iccid=BARE)

    with pytest.raises(CannotPack) as refusal:
        pack(make_merchant(), f"{BARE}3")

    assert refusal.value.problems == {f"{BARE}3": "Такой смарт-карты нет на складе."}


@pytest.mark.django_db
def test_number_of_two_cards_is_not_packed():
    for iccid in EITHER:
        make_card(iccid=iccid)

    with pytest.raises(CannotPack) as refusal:
        pack(make_merchant(), BETWEEN)

    assert refusal.value.problems == {BETWEEN: rules.which_card(EITHER)}


@pytest.mark.django_db
def test_one_card_read_in_two_spellings_is_named():
    make_card(iccid=BARE)
    make_card()

    with pytest.raises(CannotPack) as refusal:
        pack(make_merchant(), BARE, FULL, quantity=2)

    assert refusal.value.problems == {FULL: f"Считана дважды: это смарт-карта {BARE}."}


# --- replacing a card -----------------------------------------------------------------------------


def replace_by(iccid, merchant):
    old = make_card(merchant)
    replacement.withdraw(card=old, because=WithdrawalReason.LOST, by=OWNER, at=NOW)
    replacement.replace_from_stock(
        card=old,
        stock=queries.unassigned_stock(),
        iccid=iccid,
        by=STAFF,
        at=NOW,
        reason="по звонку",
    )
    old.refresh_from_db()
    return old.replaced_by


@pytest.mark.django_db
@pytest.mark.parametrize(("stored", "typed"), [(BARE, FULL), (FULL, BARE), (FULL, FULL)])
def test_replacement_from_stock_is_found_in_either_spelling(stored, typed):
    fresh = make_card(iccid=stored)

    assert replace_by(typed, make_merchant()) == fresh


@pytest.mark.django_db
def test_replacement_that_could_be_two_cards_is_refused():
    for iccid in EITHER:
        make_card(iccid=iccid)

    with pytest.raises(CardRefused) as refusal:
        replace_by(BETWEEN, make_merchant())

    assert refusal.value.sentence == (
        f"Под этот ICCID подходят две смарт-карты: {EITHER[0]} и {EITHER[1]}. "
        "Они отличаются контрольной цифрой: введите ICCID нужной целиком."
    )


# --- staff search ---------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(("stored", "typed"), [(BARE, FULL), (FULL, BARE), (BARE, f"{FULL}F")])
def test_staff_find_a_card_in_either_spelling(stored, typed):
    card = make_card(iccid=stored)
    command = make_command(card)

    assert list(SmartCard.objects.filter(cards_matching(typed)).order_by("pk")) == [card]
    assert list(Command.objects.filter(cards_matching(typed, at="card__")).order_by("pk")) == [
        command
    ]
