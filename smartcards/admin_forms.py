"""What staff are asked before they act on cards, commands and the brake."""

from typing import Any

from django import forms

DONE, NOT_DONE = "done", "not_done"


class NothingToAsk(forms.Form):
    """A page that only wants the button."""


class ReasonForm(forms.Form):
    """Why: the merchant reads it where the card is the merchant's."""

    reason = forms.CharField(
        label="Причина",
        max_length=300,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60, "class": "vLargeTextField"}),
        error_messages={"required": "Укажите причину."},
    )


class CardReasonForm(ReasonForm):
    """The reason of a switch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].help_text = "Клиент увидит её на странице смарт-карты."


class OutcomeForm(ReasonForm):
    """What staff know of a command whose outcome the operator does not tell."""

    outcome = forms.ChoiceField(
        label="Исход",
        choices=[(DONE, "выполнено"), (NOT_DONE, "не выполнено")],
        widget=forms.RadioSelect,
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
