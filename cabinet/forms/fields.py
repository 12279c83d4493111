"""Fields that understand what a Russian merchant types: phones, ИНН, КПП, ОГРН, codes."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from stdnum.exceptions import ValidationError as NumberError
from stdnum.ru import inn as inn_number

from cabinet import phones, wording


class PhoneField(forms.CharField):
    """«8 (912) 345-67-89», «+7 912…», «912 345 67 89»; cleaned to E.164 without plus."""

    def __init__(self, *, mobile: bool = False, **kwargs: Any) -> None:
        self._mobile = mobile
        kwargs.setdefault("label", "Телефон")
        kwargs.setdefault("max_length", 40)
        kwargs.setdefault("widget", forms.TextInput(attrs={"type": "tel", "autocomplete": "tel"}))
        super().__init__(**kwargs)

    def clean(self, value: Any) -> str:
        text = super().clean(value)
        if not text:
            return ""
        phone = phones.mobile(text) if self._mobile else phones.e164(text)
        if phone is None:
            raise ValidationError(
                "Нужен номер мобильного телефона, например +7 912 345-67-89."
                if self._mobile
                else "Это не похоже на номер телефона. Пример: +7 912 345-67-89."
            )
        return phone

    def prepare_value(self, value: Any) -> Any:
        return wording.phone(value) if isinstance(value, str) and value.isdigit() else value


class _DigitsField(forms.CharField):
    """Digits with any spaces; the widget asks phones for digits."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 30)
        kwargs.setdefault(
            "widget", forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"})
        )
        super().__init__(**kwargs)

    def clean(self, value: Any) -> str:
        digits = re.sub(r"[\s\u00a0-]", "", super().clean(value)).upper()
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
