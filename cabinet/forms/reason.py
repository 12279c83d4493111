"""Forms of actions that staff confirm: a reason, or nothing to fill in."""

from django import forms

from cabinet.forms.fields import PlainTextField

REASON_MAX = 300


def reason_field(
    label: str = "Причина", *, help_text: str = "", required: str = "Укажите причину."
) -> PlainTextField:
    """A required text of at most 300 characters; `required` is the message where it is left empty."""
    return PlainTextField(
        label=label,
        max_length=REASON_MAX,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60, "class": "vLargeTextField"}),
        help_text=help_text,
        error_messages={"required": required},
    )


class ReasonForm(forms.Form):
    """Why a member of staff does it: `cleaned_data["reason"]`."""

    reason = reason_field()


class NoFieldsForm(forms.Form):
    """A page that only asks to be confirmed."""
