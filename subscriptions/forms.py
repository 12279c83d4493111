"""Forms of the subscription's pages."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms

from cabinet.formatting import ru_format
from subscriptions.models import Tariff

MOST_CARDS = 1000


class ChangeForm(forms.Form):
    """Another period or another number of cards."""

    tariff = forms.ChoiceField(label="Период оплаты", widget=forms.RadioSelect)
    cards = forms.IntegerField(
        label="Сколько смарт-карт оплачивать",
        min_value=1,
        max_value=MOST_CARDS,
        error_messages={
            "required": "Напишите число смарт-карт.",
            "invalid": "Напишите число смарт-карт цифрами.",
            "min_value": "Нужна хотя бы одна смарт-карта. Чтобы не платить совсем, остановите подписку.",
            "max_value": f"Больше {MOST_CARDS} смарт-карт оформляет поддержка: напишите нам.",
        },
    )

    def __init__(
        self,
        data: Mapping[str, Any] | None,
        *,
        tariffs: Iterable[Tariff],
        initial: Mapping[str, Any],
    ) -> None:
        super().__init__(data, initial=dict(initial))
        self._tariffs = {str(one.id): one for one in tariffs}
        field = self.fields["tariff"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - for the type checker
        field.choices = [(key, _choice(one)) for key, one in self._tariffs.items()]
        field.error_messages |= {
            "required": "Выберите период оплаты.",
            "invalid_choice": "Такого тарифа больше нет. Выберите другой.",
        }

    @property
    def wanted(self) -> tuple[Tariff, int]:
        """The tariff and the number of cards of a valid form."""
        return self._tariffs[self.cleaned_data["tariff"]], self.cleaned_data["cards"]


class ChangeConfirmForm(forms.Form):
    """What was shown before «Подтвердить»: carried along unchanged."""

    tariff = forms.CharField(widget=forms.HiddenInput)
    cards = forms.IntegerField(widget=forms.HiddenInput)


class ConfirmForm(forms.Form):
    """The fingerprint of the estimate that the person saw; empty where there was none."""

    fingerprint = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)


def _choice(tariff: Tariff) -> str:
    return (
        f"{ru_format.months(tariff.months)} — {ru_format.money(tariff.price_kopecks)}"
        " за\u00a0одну смарт-карту"
    )
