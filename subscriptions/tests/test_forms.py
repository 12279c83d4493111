"""The form of another period or number of cards."""

import pytest

from subscriptions.forms import ChangeForm, ConfirmForm
from subscriptions.models import Tariff

MONTH = Tariff(pk=1, title="Месяц", months=1, price_kopecks=300_00)
YEAR = Tariff(pk=3, title="Год", months=12, price_kopecks=3_000_00)


def form(**data):
    return ChangeForm(data, tariffs=[MONTH, YEAR], initial={})


def test_wanted_is_the_tariff_and_the_number():
    bound = form(tariff="3", cards="12")

    assert bound.is_valid()
    tariff, cards = bound.wanted
    assert tariff == YEAR
    assert cards == 12


def test_choices_say_period_and_price():
    labels = [label.replace("\u00a0", " ") for _, label in form().fields["tariff"].choices]

    assert labels == [
        "1 месяц — 300 ₽ за одну смарт-карту",
        "12 месяцев — 3 000 ₽ за одну смарт-карту",
    ]


@pytest.mark.parametrize(
    ("data", "errors"),
    [
        ({}, {"tariff": ["Выберите период оплаты."], "cards": ["Напишите число смарт-карт."]}),
        (
            {"tariff": "2", "cards": "1"},
            {"tariff": ["Такого тарифа больше нет. Выберите другой."]},
        ),
        ({"tariff": "1", "cards": "пять"}, {"cards": ["Напишите число смарт-карт цифрами."]}),
        (
            {"tariff": "1", "cards": "0"},
            {
                "cards": [
                    "Нужна хотя бы одна смарт-карта. Чтобы не платить совсем, остановите подписку."
                ]
            },
        ),
        (
            {"tariff": "1", "cards": "1001"},
            {"cards": ["Больше 1000 смарт-карт оформляет поддержка: напишите нам."]},
        ),
    ],
)
def test_errors_are_in_russian(data, errors):
    assert dict(form(**data).errors) == errors


def test_form_that_was_not_sent_says_nothing():
    bound = ChangeForm(None, tariffs=[MONTH], initial={"tariff": 1, "cards": 5})

    assert bound.is_bound is False
    assert dict(bound.errors) == {}
    assert bound["cards"].value() == 5


def test_fingerprint_may_be_empty():
    assert ConfirmForm({"fingerprint": ""}).is_valid()
