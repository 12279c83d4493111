"""What staff are asked before they act on cards, commands and the brake."""

from typing import Any

from django import forms

from cabinet.forms.reason import ReasonForm, reason_field
from smartcards.numbers import NotANumber, parse_iccid, parse_msisdn
from smartcards.states import WithdrawalReason


class CardPageForm(forms.ModelForm):  # type: ignore[type-arg]
    """The page of a card: its labels may end in a question mark, so no colon follows them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"label_suffix": ""})


class CardReasonForm(ReasonForm):
    """The reason of a switch."""

    reason = reason_field(help_text="Клиент увидит её на странице смарт-карты.")


class WithdrawForm(CardReasonForm):
    """A card leaves use."""

    because = forms.TypedChoiceField(
        label="Что случилось",
        choices=WithdrawalReason.choices,
        coerce=WithdrawalReason,
        widget=forms.RadioSelect(attrs={"class": "radiolist"}),
        error_messages={"required": "Отметьте, что случилось."},
    )
    field_order = ("because", "reason")


class ReplaceForm(CardReasonForm):
    """A card from stock replaces another."""

    iccid = forms.CharField(
        label="ICCID новой смарт-карты",
        max_length=40,
        help_text="Со склада, любого работающего оператора; можно с пробелами.",
        error_messages={"required": "Укажите ICCID."},
    )
    field_order = ("iccid", "reason")

    def clean_iccid(self) -> str:
        """Bare digits."""
        try:
            return parse_iccid(self.cleaned_data["iccid"]).value
        except NotANumber as refusal:
            raise forms.ValidationError(refusal.sentence) from refusal


class NumberForm(forms.Form):
    """The telephone number of a card."""

    msisdn = forms.CharField(
        label="Номер телефона",
        max_length=40,
        required=False,
        help_text="По договору с оператором; можно с пробелами и скобками. "
        "Пусто — номер перешёл к другой смарт-карте.",
    )
    reason = reason_field("Откуда он известен", help_text="Например: «видно в кабинете оператора».")

    def clean_msisdn(self) -> str:
        """E.164 without plus; "" where the card has no number any more."""
        typed = self.cleaned_data["msisdn"]
        try:
            return parse_msisdn(typed) if typed else ""
        except NotANumber as refusal:
            raise forms.ValidationError(refusal.sentence) from refusal


def _either(label: str, yes: tuple[str, str], no: tuple[str, str], required: str) -> forms.Field:
    """Two radio buttons; the value is whether the first was chosen."""
    return forms.TypedChoiceField(
        label=label,
        choices=[yes, no],
        coerce=lambda value: value == yes[0],
        widget=forms.RadioSelect(attrs={"class": "radiolist"}),
        error_messages={"required": required},
    )


class ReleaseForm(forms.Form):
    """The state that the operator named to staff for a card that it had blocked."""

    working = _either(
        "Теперь у оператора",
        ("working", "работает"),
        ("off", "отключена, включить можем мы"),
        "Отметьте, что сказал оператор.",
    )
    reason = reason_field(
        "Откуда это известно",
        help_text="Например: «поддержка МТС по телефону, 15:40». Клиент увидит это на странице смарт-карты.",
        required="Укажите, откуда это известно.",
    )


class OutcomeForm(forms.Form):
    """The outcome of a command, as staff know it from outside."""

    done = _either(
        "Исход", ("done", "выполнено"), ("not_done", "не выполнено"), "Отметьте, что произошло."
    )
    reason = reason_field(
        "Откуда это известно", help_text="Например: «видно в кабинете оператора, 15:40»."
    )
