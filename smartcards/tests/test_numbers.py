"""ICCID and MSISDN as people, scanners and spreadsheets give them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from smartcards.numbers import (
    DamagedBySpreadsheet,
    Iccid,
    NotANumber,
    WrongIccid,
    WrongMsisdn,
    issuer_hint,
    issuer_mismatch,
    parse_iccid,
    parse_msisdn,
)

MTS_19 = "8970101123456789019"
MTS_20 = "89701011234567890123"
BEELINE_19 = "8970199123456789012"
DAMAGED = (
    "Excel испортил номер: последние цифры потеряны. "
    "Задайте столбцу формат «Текст» и выгрузите файл заново."
)


@pytest.mark.parametrize(
    "text",
    [
        MTS_19,
        f"  {MTS_19}\n",
        "8970 1011 2345 6789 019",
        "8970\u00a01011\u00a02345\u00a06789\u00a0019",
        "8970\u202f1011\u20092345 6789\t019",
        "8970-1011-2345-6789-019",
        "8970–1011—2345−6789‑019",
        f"{MTS_19}F",
        f"{MTS_19} f",
        f"'{MTS_19}",
        f'="{MTS_19}"',
        f"«{MTS_19}»",
        f"\ufeff{MTS_19}\u200b",
        f"{MTS_19},00",
        f"{MTS_19}.0",
        "８９７０１０１１２３４５６７８９０１９",
        "٨٩٧٠١٠١١٢٣٤٥٦٧٨٩٠١٩",
        "۸۹۷۰۱۰۱۱۲۳۴۵۶۷۸۹۰۱۹",
    ],
)
def test_iccid_is_read_through_what_stands_around_it(text):
    assert parse_iccid(text) == Iccid(MTS_19)


@pytest.mark.parametrize("length", [17, 18, 19, 20])
def test_iccid_of_every_length_in_use_is_taken(length):
    digits = (MTS_20 + "0")[:length]

    assert parse_iccid(digits).value == digits


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("8970101123456789", "В ICCID 16\u00a0цифр, а должно быть от 17 до 20."),
        ("8", "В ICCID 1\u00a0цифра, а должно быть от 17 до 20."),
        ("897010112345678901234", "В ICCID 21\u00a0цифра, а должно быть от 17 до 20."),
        ("", "ICCID не указан."),
        ("F", "ICCID не указан."),
        (
            "89701O1123456789019",
            "ICCID состоит только из цифр: 17–20 цифр, они напечатаны на карте.",
        ),
        (
            "8970101\x00123456789019",
            "ICCID состоит только из цифр: 17–20 цифр, они напечатаны на карте.",
        ),
    ],
)
def test_iccid_that_is_none_is_refused_with_its_reason(text, sentence):
    with pytest.raises(WrongIccid) as caught:
        parse_iccid(text)

    assert caught.value.sentence == sentence


@pytest.mark.parametrize(
    "text", ["8,97E+18", "8.97011E+18", "8,97011E+018", "8.9e18", "8,97Е+18", "'8,97E+18", "9E+18"]
)
@pytest.mark.parametrize("parse", [parse_iccid, parse_msisdn])
def test_a_rounded_number_is_explained(parse, text):
    with pytest.raises(DamagedBySpreadsheet) as caught:
        parse(text)

    assert caught.value.sentence == DAMAGED


@pytest.mark.parametrize(
    "digits", ["897010112345678000", "8970101123456780000", MTS_20[:15] + "00000"]
)
def test_a_tail_of_zeros_is_suspected(digits):
    suspected = "Номер кончается нулями: похоже, Excel потерял последние цифры. Сверьте с картой."

    assert parse_iccid(digits) == Iccid(digits, suspected)


def test_wrong_check_digit_is_only_a_warning():
    wrong = MTS_19[:-1] + "8"

    assert parse_iccid(wrong) == Iccid(
        wrong, "Контрольная цифра не сходится. Сверьте номер с картой."
    )


@pytest.mark.parametrize("length", [17, 18])
def test_a_number_without_its_check_digit_is_not_checked(length):
    assert parse_iccid("89701991234567891"[:17].ljust(length, "7")).warning == ""


def test_a_number_that_is_not_of_telecom_is_doubted():
    foreign = "1234567890123456789"

    assert parse_iccid(foreign) == Iccid(
        foreign, "ICCID обычно начинается с 89. Проверьте, тот ли это номер."
    )


@given(
    st.from_regex(r"8970[0-9]{14,15}", fullmatch=True), st.sampled_from(["", " ", "-", "\u00a0"])
)
def test_every_rightly_ended_number_is_read_back(payload, between):
    digits = payload + luhn.calc_check_digit(payload)
    shown = between.join(digits[start : start + 4] for start in range(0, len(digits), 4)) + "F"

    assert parse_iccid(shown).value == digits


@given(st.text())
def test_any_text_is_read_or_refused(text):
    refusals = []
    for parse in (parse_iccid, parse_msisdn):
        try:
            parse(text)
        except NotANumber as refusal:
            refusals.append(refusal.sentence)

    assert all(refusals)


@given(st.text())
def test_what_is_read_once_is_read_the_same_again(text):
    try:
        first = parse_iccid(text)
    except NotANumber:
        return

    assert parse_iccid(first.value) == first


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("8 (912) 345-67-89", "79123456789"),
        ("+7 912 345 67 89", "79123456789"),
        ("7(912)345-67-89", "79123456789"),
        ("9123456789", "79123456789"),
        ("8.912.345.67.00", "79123456700"),
        ("79123456789,00", "79123456789"),
        ("+375 29 123-45-67", "375291234567"),
        ("8 10 375 29 123 45 67", "375291234567"),
        ("375291234567", "375291234567"),
    ],
)
def test_msisdn_is_kept_with_its_country(text, number):
    assert parse_msisdn(text) == number


@pytest.mark.parametrize("text", ["", "касса", "123", "+7912345678", "0123456789", "7" * 16])
def test_msisdn_that_is_none_is_refused(text):
    with pytest.raises(WrongMsisdn):
        parse_msisdn(text)


@pytest.mark.parametrize(
    ("iccid", "code"),
    [
        (MTS_19, "mts"),
        ("8970102123456789018", "megafon"),
        (BEELINE_19, "beeline"),
        ("8970120" + "1" * 12, "t2"),
    ],
)
def test_the_prefix_hints_at_the_issuer(iccid, code):
    issuer = issuer_hint(iccid)

    assert issuer is not None
    assert issuer.code == code


def test_an_unknown_prefix_hints_at_nobody():
    assert issuer_hint("8988211000000000000") is None


@pytest.mark.parametrize(
    ("iccid", "operator", "warning"),
    [
        (MTS_19, "МТС mts", ""),
        (MTS_19, "МТС Бизнес", ""),
        (MTS_19, "Ростелеком tmf640", ""),
        ("8988211000000000000", "МТС mts", ""),
        (
            BEELINE_19,
            "МТС mts",
            "Начало номера — как у карт «Билайн», а выбран оператор «МТС».",
        ),
    ],
)
def test_a_card_of_another_operator_is_noticed(iccid, operator, warning):
    assert issuer_mismatch(iccid=iccid, operator=operator) == warning
