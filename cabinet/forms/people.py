"""Forms of signing in, of the first entry, of the profile and of the team."""

from typing import Any

from django import forms
from django.urls import reverse
from django.utils.html import format_html

from cabinet.enums import Role
from cabinet.forms.fields import CodeField, PhoneField, PlainTextField
from cabinet.models import LegalDocument

ROLE_CHOICES = (
    (
        Role.MANAGER,
        "Администратор — включает и отключает смарт-карты, платит, заказывает, правит реквизиты",
    ),
    (Role.ACCOUNTANT, "Бухгалтер — видит подписку, заказы и документы, платит"),
    (Role.CASHIER, "Кассир — видит смарт-карты и включает их"),
    (Role.OWNER, "Владелец — всё перечисленное, сотрудники, модули и остановка подписки"),
)


class PhoneForm(forms.Form):
    """Where to send the code."""

    phone = PhoneField(
        mobile=True,
        label="Номер мобильного телефона",
        help_text="Пришлём СМС с кодом. Пароль не нужен.",
    )


class CodeForm(forms.Form):
    """What came by SMS."""

    code = CodeField()


class WelcomeForm(forms.Form):
    """Registration of an owner. Offer and consent are separate checkboxes, unchecked by default."""

    name = PlainTextField(
        label="Как к вам обращаться",
        max_length=150,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    phone = PhoneField(
        mobile=True,
        label="Номер мобильного телефона",
        help_text="Пришлём СМС с кодом, чтобы подтвердить номер.",
    )
    email = forms.EmailField(
        label="Электронная почта",
        max_length=254,
        help_text="Для писем об оплате и о работе касс.",
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )

    def __init__(
        self, *args: Any, offer: LegalDocument, consent: LegalDocument, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["offer"] = _tick(
            "Принимаю",
            "публичную оферту",
            offer,
            "Без принятия оферты пользоваться сервисом нельзя.",
        )
        self.fields["consent"] = _tick(
            "Даю",
            "согласие на обработку персональных данных",
            consent,
            "Без согласия мы не можем хранить ваш телефон.",
        )


def _tick(verb: str, words: str, document: LegalDocument, refusal: str) -> forms.BooleanField:
    label = format_html(
        '{} <a href="{}" target="_blank" rel="noopener">{}</a>',
        verb,
        f"{reverse('legal', kwargs={'kind': document.kind})}?edition={document.version}",
        words,
    )
    return forms.BooleanField(label=label, initial=False, error_messages={"required": refusal})


class ProfileForm(forms.Form):
    """What a person may change of themselves."""

    name = PlainTextField(
        label="Имя",
        max_length=150,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    email = forms.EmailField(
        label="Электронная почта",
        max_length=254,
        required=False,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )


class RoleForm(forms.Form):
    """What a member may do."""

    role = forms.ChoiceField(
        label="Что может делать", choices=ROLE_CHOICES, widget=forms.RadioSelect
    )


class NewMemberForm(RoleForm):
    """A new member: by this phone the person signs in."""

    name = PlainTextField(label="Имя и фамилия", max_length=150)
    phone = PhoneField(
        mobile=True,
        label="Номер мобильного телефона",
        help_text="По этому номеру сотрудник будет входить.",
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "off"}),
    )
    field_order = ("name", "phone", "role")
