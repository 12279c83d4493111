"""Text is stored and found in one form."""

import unicodedata

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from cabinet.formatting import plain_text
from cabinet.forms.fields import InnField, KppField, OgrnField, PlainTextField


def refusal(field, text):
    with pytest.raises(ValidationError) as refused:
        field.clean(text)
    return refused.value.messages


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("Чайная", "Чайная"),
        (unicodedata.normalize("NFD", "Чайная «Ёлка»"), "Чайная «Ёлка»"),
        ("Пе\u00adкар\u200bня\ufeff", "Пекарня"),
        ("  ООО\u00a0 «Сыр» ", "ООО «Сыр»"),
        ("первая  строка\r\nвторая", "первая строка\nвторая"),
        ("\u200b\u200d\ufeff", ""),
    ],
)
def test_text_is_stored_as_it_is_seen(typed, stored):
    assert plain_text.checked(typed) == stored
    assert PlainTextField(required=False).clean(typed) == stored


@pytest.mark.parametrize("sign", ["\u202e", "\u200f", "\u2066", "\x07", "\x1b", "\x00"])
def test_harmful_characters_are_refused_in_words(sign):
    messages = refusal(PlainTextField(), f"ООО{sign}Сыр")

    assert len(messages) == 1
    assert messages[0].startswith(("В тексте есть невидимые", "Символы с нулевыми"))
    assert plain_text.visible(f"ООО{sign}Сыр") == "ОООСыр"


def test_name_that_nobody_sees_is_no_name():
    assert refusal(PlainTextField(), "\u200b\u00ad") == ["Обязательное поле."]


@given(st.text(max_size=60))
def test_visible_text_stays_as_it_is(text):
    once = plain_text.visible(text)

    assert plain_text.visible(once) == once
    assert unicodedata.is_normalized("NFC", once)


@pytest.mark.parametrize(
    ("field", "typed", "stored"),
    [
        (KppField(), "7712АВ001", "7712AB001"),
        (InnField(), "7712\u00ad34\u00a056\u200b71", "7712345671"),
        (InnField(), "7712–345671", "7712345671"),
    ],
)
def test_number_is_read_through_what_documents_add(field, typed, stored):
    assert field.clean(typed) == stored


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        (InnField(), "0000000000", "Проверьте ИНН: он не начинается с двух нулей."),
        (InnField(), "000000000000", "Проверьте ИНН: он не начинается с двух нулей."),
        (OgrnField(), "0000000000000", "Проверьте ОГРН: он начинается с 1 или 5, ОГРНИП — с 3."),
        (OgrnField(), "2207712345675", "Проверьте ОГРН: он начинается с 1 или 5, ОГРНИП — с 3."),
        (OgrnField(), "100000000000000", "Проверьте ОГРН: он начинается с 1 или 5, ОГРНИП — с 3."),
    ],
)
def test_impossible_number_is_refused(field, typed, sentence):
    assert refusal(field, typed) == [sentence]
