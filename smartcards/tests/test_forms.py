"""What the forms of the cards make of addresses and of boxes."""

import pytest
from django.http import QueryDict

from smartcards.forms import ChoiceForm, DescribeForm, ListQueryForm
from smartcards.listing.card_filter import CardFilter
from smartcards.listing.card_pages import PageQuery, Sort
from smartcards.presentation.list_options import ListQuery
from smartcards.tests.cards import make_card, make_merchant, make_terminal


@pytest.mark.parametrize(
    ("address", "query"),
    [
        ("", ListQuery()),
        (
            "q=+6789+&state=unpaid&after=3",
            ListQuery(CardFilter(text="6789", state="unpaid"), PageQuery(after=3)),
        ),
        (
            "shop=12&operator=МТС&payment=paid&sort=number&size=200&before=7",
            ListQuery(
                CardFilter(shop="12", operator="МТС", payment="paid"),
                PageQuery(Sort.NUMBER, 200, before=7),
            ),
        ),
        ("shop=none&after=2&before=7", ListQuery(CardFilter(shop="none"), PageQuery(after=2))),
        ("state=weird&payment=1&shop=x&q=Ленина", ListQuery(CardFilter(text="Ленина"))),
        ("q=%00&sort=1&size=7", ListQuery()),
        (f"q={'9' * 101}&state=off", ListQuery(CardFilter(state="off"))),
        ("after=99999999999999999999&before=-1", ListQuery()),
        ("after=%00&before=x&page=2", ListQuery()),
    ],
)
def test_list_query_form_ignores_what_makes_no_sense(address, query):
    assert ListQueryForm(QueryDict(address)).query() == query


def test_choice_form_reads_boxes_and_what_was_shown():
    form = ChoiceForm(QueryDict("shown=1,2,3&cards=2&cards=3&confirmed=1&go=show"))

    assert form.is_valid()
    assert form.cleaned_data == {
        "shown": frozenset({1, 2, 3}),
        "cards": frozenset({2, 3}),
        "confirmed": "1",
        "go": "show",
    }


def test_choice_form_takes_no_box_for_a_choice():
    form = ChoiceForm(QueryDict("shown=5"))

    assert form.is_valid()
    assert form.cleaned_data["shown"] == frozenset({5})
    assert form.cleaned_data["cards"] == frozenset()


@pytest.mark.parametrize(
    "body",
    [
        "shown=1,x",
        "shown=1,,2",
        "cards=-1",
        "cards=1.5",
        "cards=%00",
        "go=elsewhere",
        "cards=9999999999999999999",
        "shown=" + ",".join(["1"] * 211),
        "&".join(["cards=1"] * 211),
    ],
)
def test_choice_form_refuses_garbage(body):
    assert not ChoiceForm(QueryDict(body)).is_valid()


@pytest.mark.django_db
def test_describe_form_offers_existing_terminals_in_russian_order():
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
def test_describe_form_keeps_terminal_that_evotor_has_removed():
    merchant = make_merchant()
    till = make_terminal(merchant, "Ель", "Старая", gone_at=make_card().imported_at)
    card = make_card(merchant, terminal=till, label="летняя")

    form = DescribeForm({"label": "летняя", "terminal": till.pk}, card=card)

    assert form.is_valid()
    assert form.cleaned_data == {"label": "летняя", "terminal": till}


@pytest.mark.django_db
def test_describe_form_refuses_foreign_terminal_and_long_label():
    card = make_card(make_merchant())
    foreign = make_terminal(make_merchant())

    form = DescribeForm({"label": "я" * 101, "terminal": foreign.pk}, card=card)

    assert sorted(form.errors) == ["label", "terminal"]
