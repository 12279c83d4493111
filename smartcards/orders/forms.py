"""Forms of the orders: the merchant's, and the staff's."""

import re
import uuid
from dataclasses import asdict, fields
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from cabinet.formatting.ru_format import kopecks
from cabinet.forms.fields import InnField, KppField, PhoneField, PlainTextField
from cabinet.forms.reason import ReasonForm, reason_field
from cabinet.models import Member, Merchant
from operators.models import OperatorAccount
from smartcards.numbers import NotANumber, parse_iccid
from smartcards.orders.models import Order, OrderTerms, Seller
from smartcards.orders.queries import last_order, operators_on_offer, seller
from smartcards.orders.services import PAYMENT_NUMBER_MAX, TRACK_MAX, OrderDetails
from smartcards.orders.states import MAX_CARDS, Carrier

_CARDS = "cards_"
_MOST_KOPECKS = 10_000_000
# A comma parts numbers, but not inside of what a spreadsheet made of one: «8,97E+18».
_BETWEEN_NUMBERS = re.compile(r"[\r\n;\t]+|,(?!\d+[EeЕе])")


class OrderForm(forms.Form):
    """How many cards of which operator, to whom, where. `key` makes one order of one form, however often sent."""

    company = PlainTextField(
        label="Название компании",
        max_length=200,
        help_text="Как в документах: «ООО „Ромашка“» или «ИП Соколова А. С.».",
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    inn = InnField(label="ИНН")
    recipient = PlainTextField(
        label="Получатель",
        max_length=150,
        help_text="Фамилия и имя того, кто заберёт посылку.",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    phone = PhoneField(label="Телефон получателя")
    address = PlainTextField(
        label="Адрес доставки",
        max_length=300,
        help_text="Индекс, город, улица, дом, офис.",
        widget=forms.TextInput(attrs={"autocomplete": "street-address"}),
    )
    comment = PlainTextField(
        label="Комментарий",
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    key = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offers = {cards_field(account): account for account in operators_on_offer()}
        numbers = {name: _number_field(account.title) for name, account in self.offers.items()}
        self.fields = numbers | self.fields

    @property
    def numbers(self) -> list[forms.BoundField]:
        """The fields with how many cards: one for each operator on offer."""
        return [self[name] for name in self.offers]

    @property
    def others(self) -> list[forms.BoundField]:
        """All other fields."""
        return [field for field in self if field.name not in self.offers]

    def clean(self) -> dict[str, Any]:
        """All operators together, and what the person could not correct in one field."""
        cleaned: dict[str, Any] = super().clean() or {}
        if "key" in self.errors:
            raise ValidationError("Форма устарела. Откройте страницу «Новый заказ» ещё раз.")
        if self._asks_for_what_is_gone():
            raise ValidationError(
                "Смарт-карты этого оператора сейчас не заказать. Выберите другого."
            )
        if self.offers and not self.offers.keys() & self.errors.keys():
            self._check_number()
        return cleaned

    def _asks_for_what_is_gone(self) -> bool:
        """An operator that was on offer when the page was shown must not be dropped without a word."""
        return any(
            name.startswith(_CARDS) and name not in self.offers and str(value).strip("0 ")
            for name, value in self.data.items()
        )

    def _check_number(self) -> None:
        number = sum(self.wanted().values())
        if not number:
            self.add_error(next(iter(self.offers)), "Укажите, сколько смарт-карт нужно.")
        elif number > MAX_CARDS:
            self.add_error(
                next(iter(self.offers)), f"В одном заказе не больше {MAX_CARDS} смарт-карт."
            )

    def wanted(self) -> dict[OperatorAccount, int]:
        """How many cards of which operator; of a valid form."""
        numbers = {account: self.cleaned_data.get(name) for name, account in self.offers.items()}
        return {account: number for account, number in numbers.items() if number}

    def details(self) -> OrderDetails:
        """What the service takes; of a valid form."""
        return OrderDetails(
            **{field.name: self.cleaned_data[field.name] for field in fields(OrderDetails)}
        )


def cards_field(account: OperatorAccount) -> str:
    """The name of the field with the number of this operator's cards."""
    return f"{_CARDS}{account.pk}"


def _number_field(title: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=title,
        required=False,
        min_value=0,
        max_value=MAX_CARDS,
        widget=forms.NumberInput(attrs={"inputmode": "numeric", "min": 0, "max": MAX_CARDS}),
        error_messages=dict.fromkeys(
            ("invalid", "min_value", "max_value"), f"Введите число от 0 до {MAX_CARDS}."
        ),
    )


def first_values(member: Member) -> dict[str, Any]:
    """What is known before the merchant types anything: from the last order, else from the company."""
    merchant = member.merchant
    offers = list(operators_on_offer()[:2])
    return {
        "company": merchant.name,
        "inn": merchant.inn,
        "recipient": member.user.name,
        "phone": merchant.phone or member.user.phone or "",
        "address": merchant.address,
        **_last_delivery(merchant),
        **({cards_field(offers[0]): 1} if len(offers) == 1 else {}),
        "key": uuid.uuid4(),
    }


def _last_delivery(merchant: Merchant) -> dict[str, Any]:
    """Where the last order went; a comment is about that one parcel only."""
    order = last_order(merchant)
    known = asdict(OrderDetails.of(order)) if order else {}
    return {name: value for name, value in known.items() if value and name != "comment"}


def repeated_values(order: Order) -> dict[str, Any]:
    """A new form with what was ordered before."""
    numbers = {cards_field(line.account): line.quantity for line in order.lines.all()}
    company = {"company": order.company or order.merchant.name}
    return asdict(OrderDetails.of(order)) | company | numbers | {"key": uuid.uuid4()}


class PackForm(forms.Form):
    """ICCIDs as they are typed or scanned: one in each row, or with commas and semicolons between."""

    iccids = forms.CharField(
        label="ICCID",
        max_length=40_000,
        widget=forms.Textarea(attrs={"rows": 12, "cols": 40, "autofocus": True}),
        help_text="По одному в строке: наберите или считайте сканером.",
        error_messages={"required": "Наберите или считайте ICCID смарт-карт."},
    )

    def clean_iccids(self) -> list[str]:
        """Bare digits in the order typed; all that is wrong is reported at once."""
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


class OrderReasonForm(ReasonForm):
    """Why an order is cancelled or unpacked; the merchant reads it."""

    reason = reason_field(
        help_text="Её увидит клиент.", required="Укажите причину: её увидит клиент."
    )


class ShipForm(forms.Form):
    """Who brings the parcel, and its number there."""

    carrier = forms.ChoiceField(label="Кто везёт", choices=Carrier, initial=Carrier.CDEK)
    track_number = PlainTextField(
        label="Трек-номер",
        max_length=TRACK_MAX,
        required=False,
        help_text="Не нужен, если везёт наш курьер.",
    )

    def clean(self) -> dict[str, Any]:
        """Only our own courier needs no number."""
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("carrier") != Carrier.OWN and not cleaned.get("track_number"):
            self.add_error("track_number", "Укажите трек-номер отправления.")
        return cleaned


class PaymentForm(forms.Form):
    """The payment as it stands in the bank's statement."""

    paid_on = forms.DateField(
        label="Дата платежа",
        widget=forms.DateInput(attrs={"type": "date"}),
        error_messages={
            "required": "Укажите дату платежа.",
            "invalid": "Введите дату: 30.11.2026.",
        },
    )
    payment_number = PlainTextField(
        label="Номер платёжного поручения",
        max_length=PAYMENT_NUMBER_MAX,
        error_messages={"required": "Укажите номер платёжного поручения."},
    )


class RoublesField(forms.CharField):
    """A sum in roubles, «300» or «299,50», cleaned to kopecks."""

    def to_python(self, value: Any) -> Any:
        """Kopecks; a refusal is an error of the field."""
        try:
            sum_typed = kopecks(super().to_python(value) or "0")
        except ValueError:
            raise ValidationError("Введите сумму в рублях, например 300 или 299,50.") from None
        if not 0 <= sum_typed <= _MOST_KOPECKS:
            raise ValidationError("Цена — от 0 до 100 000 ₽.")
        return sum_typed

    def prepare_value(self, value: Any) -> Any:
        """Kopecks are shown as roubles; what was typed stays as it was."""
        return f"{value / 100:.2f}".replace(".", ",") if isinstance(value, int) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compared in kopecks."""
        try:
            return bool(self.to_python(data) != initial)
        except ValidationError:
            return True


class TermsForm(forms.ModelForm):  # type: ignore[type-arg]
    """Prices in roubles, times, limits; a price needs a seller who can issue a счёт."""

    card_kopecks = RoublesField(label="Цена смарт-карты, ₽", help_text="0 — бесплатно.")
    delivery_kopecks = RoublesField(label="Цена доставки, ₽", help_text="0 — бесплатно.")

    class Meta:
        model = OrderTerms
        fields = (
            "card_kopecks",
            "delivery_kopecks",
            "days_from",
            "days_to",
            "orders_a_day",
            "cards_a_day",
        )

    def clean(self) -> dict[str, Any]:
        """Without a seller nobody could order for money."""
        cleaned: dict[str, Any] = super().clean() or {}
        has_price = cleaned.get("card_kopecks") or cleaned.get("delivery_kopecks")
        if has_price and seller() is None:
            raise ValidationError(
                "Сначала заполните реквизиты продавца: без них не выставить счёт."
            )
        return cleaned


class SellerForm(forms.ModelForm):  # type: ignore[type-arg]
    """Requisites with their control digits checked; the accounts are checked by the model."""

    inn = InnField(label="ИНН")
    kpp = KppField(label="КПП", required=False, help_text="Только у организаций.")

    class Meta:
        model = Seller
        fields = (
            "name",
            "inn",
            "kpp",
            "address",
            "bank",
            "bik",
            "account",
            "corr_account",
            "director",
            "accountant",
            "vat",
            "parcel_paper",
        )
