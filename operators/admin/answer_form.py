"""«Вставьте ответ из руководства»: an answer that staff copy from a manual, and what a description reads from it."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from operators.admin.answer_preview import (
    AnswerPreview,
    parsed_reply,
    preview_answer,
    read_calls,
)
from operators.admin.form_fields import ProfileField
from operators.declarative.validation import validate

_MOST_CHARACTERS = 200_000
_CALLS = {
    "activate": "включение",
    "deactivate": "отключение",
    "read": "чтение состояния",
    "check": "вопрос об исходе",
    "find": "поиск смарт-карты",
    "login": "вход",
    "login.steps[0]": "вход, первый шаг",
    "login.steps[1]": "вход, второй шаг",
    "activate.prepare": "подготовка включения",
    "deactivate.prepare": "подготовка отключения",
    "list_changes": "список изменений",
}


class AnswerForm(forms.Form):
    """A description, saved or not, and an answer to one of its calls. Nothing of it is stored or sent."""

    answered_call = forms.ChoiceField(
        label="На какой вызов это ответ",
        choices=[(call, f"{title} ({call})") for call, title in _CALLS.items()],
    )
    answer_status = forms.IntegerField(
        label="Код ответа HTTP", min_value=100, max_value=599, initial=200
    )
    answer = forms.CharField(
        label="Ответ из руководства",
        required=False,
        max_length=_MOST_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 10, "cols": 100, "spellcheck": "false"}),
        help_text="Тело ответа или весь ответ вместе с\u00a0заголовками, как его показывает curl -i."
        " Ничего не сохраняется и не отправляется.",
    )

    def preview(self) -> AnswerPreview:
        """What the description reads from the answer; of a valid form."""
        given = self.cleaned_data
        reply = parsed_reply(given["answer"], status=given["answer_status"])
        return preview_answer(given["profile"], given["answered_call"], reply)


class DescribedAnswerForm(AnswerForm):
    """The same with the description itself, for a page of its own."""

    profile = ProfileField()
    field_order = ("answered_call", "answer_status", "answer", "profile")

    def clean_profile(self) -> dict[str, Any]:
        """Every mistake is reported with its field."""
        profile: dict[str, Any] = self.cleaned_data["profile"]
        if problems := validate(profile):
            raise ValidationError([str(problem) for problem in problems])
        return profile

    def clean(self) -> dict[str, Any]:
        """Only a call that the description has."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if "profile" in cleaned and cleaned.get("answered_call"):
            known = read_calls(cleaned["profile"])
            if cleaned["answered_call"] not in known:
                sentence = f"Такого вызова в описании нет; есть {', '.join(known)}."
                self.add_error("answered_call", sentence)
        return cleaned
