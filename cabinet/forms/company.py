"""The form of the company's requisites."""

from typing import Any

from django import forms

from cabinet.forms.fields import InnField, KppField, OgrnField, PhoneField, PlainTextField

# Every zone of Russia and Kazakhstan by the cities that people look for. Neighbours with one time today
# had different ones before and may again, so each has its own rules.
ZONES = (
    (
        "Россия",
        (
            ("Europe/Kaliningrad", "Калининград (МСК−1)"),
            ("Europe/Moscow", "Москва, Санкт-Петербург, Казань, Сочи (МСК)"),
            ("Europe/Simferopol", "Симферополь, Севастополь (МСК)"),
            ("Europe/Kirov", "Киров (МСК)"),
            ("Europe/Volgograd", "Волгоград (МСК)"),
            ("Europe/Astrakhan", "Астрахань (МСК+1)"),
            ("Europe/Samara", "Самара, Ижевск (МСК+1)"),
            ("Europe/Saratov", "Саратов (МСК+1)"),
            ("Europe/Ulyanovsk", "Ульяновск (МСК+1)"),
            ("Asia/Yekaterinburg", "Екатеринбург, Уфа, Челябинск, Пермь, Тюмень (МСК+2)"),
            ("Asia/Omsk", "Омск (МСК+3)"),
            ("Asia/Barnaul", "Барнаул, Горно-Алтайск (МСК+4)"),
            ("Asia/Krasnoyarsk", "Красноярск, Абакан, Кызыл (МСК+4)"),
            ("Asia/Novokuznetsk", "Кемерово, Новокузнецк (МСК+4)"),
            ("Asia/Novosibirsk", "Новосибирск (МСК+4)"),
            ("Asia/Tomsk", "Томск (МСК+4)"),
            ("Asia/Irkutsk", "Иркутск, Улан-Удэ (МСК+5)"),
            ("Asia/Chita", "Чита (МСК+6)"),
            ("Asia/Khandyga", "Хандыга (МСК+6)"),
            ("Asia/Yakutsk", "Якутск, Благовещенск (МСК+6)"),
            ("Asia/Ust-Nera", "Усть-Нера (МСК+7)"),
            ("Asia/Vladivostok", "Владивосток, Хабаровск (МСК+7)"),
            ("Asia/Magadan", "Магадан (МСК+8)"),
            ("Asia/Sakhalin", "Южно-Сахалинск (МСК+8)"),
            ("Asia/Srednekolymsk", "Среднеколымск (МСК+8)"),
            ("Asia/Anadyr", "Анадырь (МСК+9)"),
            ("Asia/Kamchatka", "Петропавловск-Камчатский (МСК+9)"),
        ),
    ),
    (
        "Казахстан",
        (
            ("Asia/Aqtau", "Актау (МСК+2)"),
            ("Asia/Aqtobe", "Актобе (МСК+2)"),
            ("Asia/Almaty", "Алматы, Астана, Шымкент (МСК+2)"),
            ("Asia/Atyrau", "Атырау (МСК+2)"),
            ("Asia/Qostanay", "Костанай (МСК+2)"),
            ("Asia/Qyzylorda", "Кызылорда (МСК+2)"),
            ("Asia/Oral", "Уральск (МСК+2)"),
        ),
    ),
)

# The same without the countries.
ZONE_LABELS = tuple(zone for _country, zones in ZONES for zone in zones)


class CompanyForm(forms.Form):
    """Requisites of an organisation or a sole trader."""

    name = PlainTextField(
        label="Название",
        max_length=200,
        help_text="Как в документах: «ООО „Ромашка“» или «ИП Соколова А. С.».",
    )
    inn = InnField(label="ИНН", required=False)
    kpp = KppField(label="КПП", required=False, help_text="Только у организаций.")
    ogrn = OgrnField(label="ОГРН или ОГРНИП", required=False)
    address = PlainTextField(label="Адрес", max_length=300, required=False)
    phone = PhoneField(label="Телефон", required=False)
    email = forms.EmailField(label="Электронная почта", max_length=254, required=False)
    timezone = forms.ChoiceField(
        label="Часовой пояс",
        choices=ZONES,
        help_text="По нему считаются дни подписки и показывается время.",
    )

    def clean(self) -> dict[str, Any]:
        """ИНН, КПП and ОГРН must be of one kind: all of an organisation, or of a sole trader."""
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
