"""For how long staff want no alerts, and why."""

from django import forms

from cabinet.formatting import ru_format
from cabinet.forms.reason import ReasonForm


def hours_field(*hours: int) -> forms.TypedChoiceField:
    """A choice of lengths, the last of which ends the pause: 0 hours."""
    lengths = [(one, ru_format.counted(one, "час", "часа", "часов")) for one in hours]
    return forms.TypedChoiceField(
        label="На сколько", coerce=int, choices=[*lengths, (0, "Закончить паузу")]
    )


class CompanySilenceForm(ReasonForm):
    """A pause that begins at once, or planned works that begin later."""

    starts_at = forms.DateTimeField(
        label="Начало",
        required=False,
        help_text="Пусто — сейчас. Работы по плану: 01.12.2026 22:00, время московское.",
    )
    hours = hours_field(1, 4, 8, 24, 72)
    field_order = ("starts_at", "hours", "reason")
