"""What the forms of the cards make of addresses and of boxes."""

import pytest
from django.http import QueryDict

from smartcards.forms import ChoiceForm, DescribeForm, WishForm
from smartcards.pages.overview import Shelf, Wish
from smartcards.tests.cards import make_card, make_merchant, make_terminal


@pytest.mark.parametrize(
    ("address", "wish"),
    [
        ("", Wish()),
        ("q=+6789+&state=unpaid&page=3", Wish(text="6789", shelf=Shelf.UNPAID, page="3")),
        ("state=weird&q=Ленина", Wish(text="Ленина")),
        ("q=%00&page=2", Wish(page="2")),
        (f"q={'9' * 101}&state=off", Wish(shelf=Shelf.OFF)),
        ("page=99999999999", Wish()),
    ],
)
def test_wish_form_takes_what_makes_sense_and_leaves_the_rest(address, wish):
    assert WishForm(QueryDict(address)).wish() == wish


def test_choice_form_reads_boxes_and_what_was_shown():
    form = ChoiceForm(QueryDict("shown=1,2,3&cards=2&cards=3&confirmed=1"))

    assert form.is_valid()
    assert form.cleaned_data == {
        "shown": frozenset({1, 2, 3}),
        "cards": frozenset({2, 3}),
        "confirmed": "1",
        "back": "",
    }


def test_choice_form_takes_no_box_for_a_choice():
    form = ChoiceForm(QueryDict("shown=5"))

    assert form.is_valid()
    assert (form.cleaned_data["shown"], form.cleaned_data["cards"]) == (frozenset({5}), frozenset())


@pytest.mark.parametrize(
    "body",
    [
        "shown=1,x",
        "shown=1,,2",
        "cards=-1",
        "cards=1.5",
        "cards=%00",
        "cards=9999999999999999999",
        "shown=" + ",".join(["1"] * 200),
        "&".join(["cards=1"] * 200),
    ],
)
def test_choice_form_refuses_garbage(body):
    assert not ChoiceForm(QueryDict(body)).is_valid()


@pytest.mark.django_db
def test_describe_form_offers_own_tills_in_russian_order_and_no_gone_ones():
    merchant, stranger = make_merchant(), make_merchant()
    card = make_card(merchant)
    late = make_terminal(merchant, "Ель", "Яблоко")
    early = make_terminal(merchant, "Ёлка", "Ёж")
    make_terminal(merchant, "Ель", "Убранная", gone_at=card.imported_at)
    make_terminal(stranger, "Чужой", "Касса")

    form = DescribeForm(card=card)

    assert list(form.fields["terminal"].choices) == [
        ("", "Без кассы"),
        (str(early.pk), "Ёж — Ёлка"),
        (str(late.pk), "Яблоко — Ель"),
    ]


@pytest.mark.django_db
def test_describe_form_keeps_the_till_of_a_card_that_evotor_has_removed():
    merchant = make_merchant()
    till = make_terminal(merchant, "Ель", "Старая", gone_at=make_card().imported_at)
    card = make_card(merchant, terminal=till, label="летняя")

    form = DescribeForm({"label": "летняя", "terminal": till.pk}, card=card)

    assert form.is_valid()
    assert form.cleaned_data == {"label": "летняя", "terminal": till}


@pytest.mark.django_db
def test_describe_form_refuses_a_strangers_till_and_a_long_label():
    card = make_card(make_merchant())
    foreign = make_terminal(make_merchant())

    form = DescribeForm({"label": "я" * 101, "terminal": foreign.pk}, card=card)

    assert sorted(form.errors) == ["label", "terminal"]
