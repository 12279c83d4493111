"""The form of the company's requisites."""

from typing import Any

from django import forms

from cabinet.forms.fields import InnField, KppField, OgrnField, PhoneField
from cabinet.services.company import Requisites

# One name for each of the country's eleven zones, by the largest city.
ZONES = (
    ("Europe/Kaliningrad", "Калининград (МСК−1)"),
    ("Europe/Moscow", "Москва"),
    ("Europe/Samara", "Самара (МСК+1)"),
    ("Asia/Yekaterinburg", "Екатеринбург (МСК+2)"),
    ("Asia/Omsk", "Омск (МСК+3)"),
    ("Asia/Novosibirsk", "Новосибирск (МСК+4)"),
    ("Asia/Irkutsk", "Иркутск (МСК+5)"),
    ("Asia/Yakutsk", "Якутск (МСК+6)"),
    ("Asia/Vladivostok", "Владивосток (МСК+7)"),
    ("Asia/Magadan", "Магадан (МСК+8)"),
    ("Asia/Kamchatka", "Петропавловск-Камчатский (МСК+9)"),
)


class CompanyForm(forms.Form):
    """Requisites of an organisation or a sole trader."""

    name = forms.CharField(
        label="Название",
        max_length=200,
        help_text="Как в документах: «ООО „Ромашка“» или «ИП Соколова А. С.».",
    )
    inn = InnField(label="ИНН", required=False)
    kpp = KppField(label="КПП", required=False, help_text="Только у организаций.")
    ogrn = OgrnField(label="ОГРН или ОГРНИП", required=False)
    address = forms.CharField(label="Адрес", max_length=300, required=False)
    phone = PhoneField(label="Телефон", required=False)
    email = forms.EmailField(label="Электронная почта", max_length=254, required=False)
    timezone = forms.ChoiceField(
        label="Часовой пояс",
        choices=ZONES,
        help_text="По нему считаются дни подписки и показывается время.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        inn, ogrn = cleaned.get("inn", ""), cleaned.get("ogrn", "")
        if len(inn) == 12 and cleaned.get("kpp"):
            self.add_error("kpp", "У предпринимателя нет КПП: оставьте поле пустым.")
        if inn and ogrn and (len(inn) == 12) != (len(ogrn) == 15):
            self.add_error(
                "ogrn",
                "ИНН и ОГРН разного вида: у организации 10 и 13 цифр, у предпринимателя 12 и 15.",
            )
        return cleaned

    def requisites(self) -> Requisites:
        """What was typed, for the service; the form is valid."""
        return Requisites(**self.cleaned_data)
