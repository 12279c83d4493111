"""The form of another period or number of cards."""

import pytest

from subscriptions.forms import ChangeForm, ConfirmForm
from subscriptions.queries import TariffView

MONTH = TariffView(1, "Месяц", 1, 300_00, 0)
YEAR = TariffView(3, "Год", 12, 3_000_00, 0)


def form(**data):
    return ChangeForm(data, tariffs=[MONTH, YEAR], initial={})


def test_wanted_is_the_tariff_and_the_number():
    bound = form(tariff="3", cards="12")

    assert bound.is_valid()
    assert bound.wanted == (YEAR, 12)


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
def test_mistakes_are_told_in_russian(data, errors):
    assert dict(form(**data).errors) == errors


def test_form_that_was_not_sent_says_nothing():
    bound = ChangeForm(None, tariffs=[MONTH], initial={"tariff": 1, "cards": 5})

    assert (bound.is_bound, dict(bound.errors), bound["cards"].value()) == (False, {}, 5)


def test_fingerprint_may_be_empty():
    assert ConfirmForm({"fingerprint": ""}).is_valid()
