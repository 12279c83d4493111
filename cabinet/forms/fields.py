"""Form fields: names and other text, telephone, ИНН, КПП, ОГРН, login code."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from stdnum.exceptions import ValidationError as NumberError
from stdnum.ru import inn as inn_number

from cabinet.errors import Refused
from cabinet.formatting import phone_numbers, plain_text, ru_format


class PlainTextField(forms.CharField):
    """What a person typed, as `plain_text.checked` gives it: stored and found in one form."""

    def to_python(self, value: Any) -> str:
        """The text to be stored; a refusal is an error of the field."""
        try:
            return plain_text.checked(super().to_python(value) or "")
        except Refused as refusal:
            raise ValidationError(refusal.sentence) from refusal


class PhoneField(forms.CharField):
    """«8 (912) 345-67-89», «+7 912…», «912 345 67 89»; cleaned to E.164 without plus."""

    def __init__(self, *, mobile: bool = False, **kwargs: Any) -> None:
        self._mobile = mobile
        kwargs.setdefault("label", "Телефон")
        kwargs.setdefault("max_length", 40)
        kwargs.setdefault("widget", forms.TextInput(attrs={"type": "tel", "autocomplete": "tel"}))
        super().__init__(**kwargs)

    def clean(self, value: Any) -> str:
        """E.164 without plus; empty where nothing is typed."""
        text = super().clean(value)
        if not text:
            return ""
        phone = phone_numbers.mobile(text) if self._mobile else phone_numbers.e164(text)
        if phone is None:
            raise ValidationError(self._refusal(text))
        return phone

    def _refusal(self, text: str) -> str:
        if not self._mobile:
            return "Это не похоже на номер телефона. Пример: +7 912 345-67-89."
        if phone_numbers.is_foreign(text):
            return "На номера этой страны мы не отправляем СМС. Нужен, например, +7 912 345-67-89."
        return "Нужен номер мобильного телефона, например +7 912 345-67-89."

    def prepare_value(self, value: Any) -> Any:
        """A stored number is shown in groups; what was typed stays as it was."""
        return ru_format.phone(value) if isinstance(value, str) and value.isdigit() else value


class _DigitsField(forms.CharField):
    """Digits, spaces ignored; `inputmode` opens the numeric keyboard."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 30)
        kwargs.setdefault(
            "widget", forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"})
        )
        super().__init__(**kwargs)

    def clean(self, value: Any) -> str:
        """Without spaces and hyphens, letters as capitals."""
        typed = plain_text.as_latin(plain_text.visible(super().clean(value)))
        digits = re.sub(r"[\s‐-―−-]", "", typed).upper()
        if digits:
            self._check_digits(digits)
        return digits

    def _check_digits(self, digits: str) -> None:
        raise NotImplementedError


class InnField(_DigitsField):
    """ИНН of a company (10 digits) or a person (12), with its check digits."""

    def _check_digits(self, digits: str) -> None:
        if not re.fullmatch(r"[0-9]{10}|[0-9]{12}", digits):
            raise ValidationError("ИНН состоит из 10 цифр у организации и из 12 у предпринимателя.")
        # The first two digits are the region of the tax office, from 01 on (order ММВ-7-6/435@).
        if digits.startswith("00"):
            raise ValidationError("Проверьте ИНН: он не начинается с двух нулей.")
        try:
            inn_number.validate(digits)
        except NumberError:
            raise ValidationError("Проверьте ИНН: контрольная цифра не сходится.") from None


class KppField(_DigitsField):
    """КПП: nine characters, the fifth and the sixth may be Latin capitals (order ММВ-7-6/435@)."""

    def _check_digits(self, digits: str) -> None:
        if not re.fullmatch(r"[0-9]{4}[0-9A-Z]{2}[0-9]{3}", digits):
            raise ValidationError("КПП состоит из 9 знаков.")


class OgrnField(_DigitsField):
    """ОГРН (13 digits) or ОГРНИП (15) with the check digit: the remainder by 11 or 13, its last digit."""

    def _check_digits(self, digits: str) -> None:
        if not re.fullmatch(r"[0-9]{13}|[0-9]{15}", digits):
            raise ValidationError("ОГРН состоит из 13 цифр, ОГРНИП — из 15.")
        # The kind of the record (order 165н): 1 and 5 are organisations, 3 is a sole trader.
        if digits[0] not in ("15" if len(digits) == 13 else "3"):
            raise ValidationError("Проверьте ОГРН: он начинается с 1 или 5, ОГРНИП — с 3.")
        # Not stdnum: its 2.2 refuses an ОГРНИП whose remainder has two digits.
        if int(digits[:-1]) % (len(digits) - 2) % 10 != int(digits[-1]):
            raise ValidationError("Проверьте ОГРН: контрольная цифра не сходится.")


class CodeField(_DigitsField):
    """Six digits from an SMS, with or without a space."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"inputmode": "numeric", "autocomplete": "one-time-code", "autofocus": True}
        super().__init__(
            label="Код из СМС", max_length=20, widget=forms.TextInput(attrs=attrs), **kwargs
        )

    def _check_digits(self, digits: str) -> None:
        if not re.fullmatch(r"[0-9]{6}", digits):
            raise ValidationError("В коде шесть цифр.")
