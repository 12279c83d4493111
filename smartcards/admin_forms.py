"""What staff are asked before they act on cards, commands and the brake."""

from typing import Any

from django import forms

from smartcards.numbers import NotANumber, parse_iccid, parse_msisdn
from smartcards.states import Withdrawal

DONE, NOT_DONE = "done", "not_done"
WORKING, OFF = "working", "off"


class NothingToAsk(forms.Form):
    """A page that only wants the button."""


def why(
    label: str = "Причина", *, help_text: str = "", required: str = "Укажите причину."
) -> forms.CharField:
    """The field of a reason; `required` is said where it is left empty."""
    return forms.CharField(
        label=label,
        max_length=300,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60, "class": "vLargeTextField"}),
        help_text=help_text,
        error_messages={"required": required},
    )


class ReasonForm(forms.Form):
    """Why: the merchant reads it where the card is the merchant's."""

    reason = why()


class CardReasonForm(ReasonForm):
    """The reason of a switch."""

    reason = why(help_text="Клиент увидит её на странице смарт-карты.")


class WithdrawForm(CardReasonForm):
    """A card leaves use."""

    because = forms.TypedChoiceField(
        label="Что случилось",
        choices=Withdrawal.choices,
        coerce=Withdrawal,
        widget=forms.RadioSelect(attrs={"class": "radiolist"}),
        error_messages={"required": "Отметьте, что случилось."},
    )
    field_order = ("because", "reason")


class ReplaceForm(CardReasonForm):
    """A card of the stock takes the place of another."""

    iccid = forms.CharField(
        label="ICCID новой смарт-карты",
        max_length=40,
        help_text="Со склада, любого работающего оператора; можно с пробелами.",
        error_messages={"required": "Укажите ICCID."},
    )
    field_order = ("iccid", "reason")

    def clean_iccid(self) -> str:
        try:
            return parse_iccid(self.cleaned_data["iccid"]).value
        except NotANumber as refusal:
            raise forms.ValidationError(refusal.sentence) from refusal


class NumberForm(forms.Form):
    """The telephone number of a card."""

    msisdn = forms.CharField(
        label="Номер телефона",
        max_length=40,
        help_text="По договору с оператором; можно с пробелами и скобками.",
        error_messages={"required": "Укажите номер."},
    )
    reason = why("Откуда он известен", help_text="Например: «видно в кабинете оператора».")

    def clean_msisdn(self) -> str:
        try:
            return parse_msisdn(self.cleaned_data["msisdn"])
        except NotANumber as refusal:
            raise forms.ValidationError(refusal.sentence) from refusal


class ReleaseForm(forms.Form):
    """What the operator has told staff about a card that it blocked."""

    state = forms.ChoiceField(
        label="Теперь у оператора",
        choices=[(WORKING, "работает"), (OFF, "отключена, включить можем мы")],
        widget=forms.RadioSelect(attrs={"class": "radiolist"}),
        error_messages={"required": "Отметьте, что сказал оператор."},
    )
    reason = why(
        "Откуда это известно",
        help_text="Например: «поддержка МТС по телефону, 15:40». Клиент увидит это на странице смарт-карты.",
        required="Укажите, откуда это известно.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        return cleaned | {"working": cleaned.get("state") == WORKING}


class OutcomeForm(ReasonForm):
    """What staff know of a command whose outcome the operator does not tell."""

    outcome = forms.ChoiceField(
        label="Исход",
        choices=[(DONE, "выполнено"), (NOT_DONE, "не выполнено")],
        widget=forms.RadioSelect(attrs={"class": "radiolist"}),
        error_messages={"required": "Отметьте, что произошло."},
    )
    field_order = ("outcome", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].label = "Откуда это известно"
        self.fields["reason"].help_text = "Например: «видно в кабинете оператора, 15:40»."

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        return cleaned | {"done": cleaned.get("outcome") == DONE}
