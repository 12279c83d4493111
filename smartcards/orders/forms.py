"""Forms of the orders: the merchant's, and the staff's."""

import re
import uuid
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError

from cabinet.forms.fields import InnField, PhoneField
from cabinet.models import Member
from operators.models import OperatorAccount
from smartcards.numbers import NotANumber, parse_iccid
from smartcards.orders.models import Order
from smartcards.orders.queries import operators_on_offer
from smartcards.orders.rules import MAX_CARDS, REASON_MAX, TRACK_MAX
from smartcards.orders.services import OrderDetails

# A comma parts numbers, but not inside of what a spreadsheet made of one: «8,97E+18».
_BETWEEN_NUMBERS = re.compile(r"[\r\n;\t]+|,(?!\d+[EeЕе])")


class OrderForm(forms.Form):
    """How many cards, to whom, where. `key` makes one order of one form, however often sent."""

    account = forms.ModelChoiceField(
        OperatorAccount.objects.none(),
        label="Оператор",
        empty_label="Выберите оператора",
        error_messages={
            "required": "Выберите оператора.",
            "invalid_choice": "Смарт-карты этого оператора сейчас не заказать. Выберите другого.",
        },
    )
    quantity = forms.IntegerField(
        label="Сколько смарт-карт",
        min_value=1,
        max_value=MAX_CARDS,
        help_text=f"От 1 до {MAX_CARDS}.",
        error_messages=dict.fromkeys(
            ("invalid", "min_value", "max_value"), f"Введите число от 1 до {MAX_CARDS}."
        ),
    )
    inn = InnField(label="ИНН")
    recipient = forms.CharField(
        label="Получатель",
        max_length=150,
        help_text="Фамилия и имя того, кто заберёт посылку.",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    phone = PhoneField(label="Телефон получателя")
    address = forms.CharField(
        label="Адрес доставки",
        max_length=300,
        help_text="Индекс, город, улица, дом, офис.",
        widget=forms.TextInput(attrs={"autocomplete": "street-address"}),
    )
    comment = forms.CharField(
        label="Комментарий",
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    key = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        account = cast("forms.ModelChoiceField[OperatorAccount]", self.fields["account"])
        account.queryset = operators_on_offer()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if "key" in self.errors:
            raise ValidationError("Форма устарела. Откройте страницу «Новый заказ» ещё раз.")
        return cleaned

    def details(self) -> OrderDetails:
        """What the service takes; of a valid form."""
        chosen = self.cleaned_data
        return OrderDetails(
            quantity=chosen["quantity"],
            inn=chosen["inn"],
            recipient=chosen["recipient"],
            phone=chosen["phone"],
            address=chosen["address"],
            comment=chosen["comment"],
        )


def first_values(member: Member) -> dict[str, Any]:
    """What is known before the merchant types anything."""
    merchant = member.merchant
    offers = list(operators_on_offer()[:2])
    return {
        "key": uuid.uuid4(),
        "account": offers[0].pk if len(offers) == 1 else None,
        "quantity": 1,
        "inn": merchant.inn,
        "recipient": member.user.name,
        "phone": merchant.phone or member.user.phone or "",
        "address": merchant.address,
    }


def repeated_values(order: Order) -> dict[str, Any]:
    """A new form with what was ordered before."""
    return {
        "key": uuid.uuid4(),
        "account": order.account_id,
        "quantity": order.quantity,
        "inn": order.inn,
        "recipient": order.recipient,
        "phone": order.phone,
        "address": order.address,
        "comment": order.comment,
    }


class PackForm(forms.Form):
    """ICCIDs as they are typed or scanned: one a line, or with commas and semicolons between."""

    iccids = forms.CharField(
        label="ICCID",
        max_length=40_000,
        widget=forms.Textarea(attrs={"rows": 12, "cols": 40, "autofocus": True}),
        help_text="По одному в строке: наберите или считайте сканером.",
        error_messages={"required": "Наберите или считайте ICCID смарт-карт."},
    )

    def clean_iccids(self) -> list[str]:
        seen: list[str] = []
        errors: list[str] = []
        for text in filter(
            None, map(str.strip, _BETWEEN_NUMBERS.split(self.cleaned_data["iccids"]))
        ):
            try:
                iccid = parse_iccid(text).value
            except NotANumber as refusal:
                errors.append(f"{text[:40]}: {refusal.sentence}")
                continue
            if iccid in seen:
                errors.append(f"{iccid}: Считана дважды.")
            seen.append(iccid)
        if errors:
            raise ValidationError(errors)
        return seen


class ReasonForm(forms.Form):
    """Why staff do it; the merchant reads it."""

    reason = forms.CharField(
        label="Причина",
        max_length=REASON_MAX,
        help_text="Её увидит клиент.",
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        error_messages={"required": "Укажите причину: её увидит клиент."},
    )


class ShipForm(forms.Form):
    """The parcel's number."""

    track_number = forms.CharField(
        label="Трек-номер",
        max_length=TRACK_MAX,
        error_messages={"required": "Укажите трек-номер отправления."},
    )


class NoFieldsForm(forms.Form):
    """A step that only asks to be confirmed."""
