"""Orders of new smart cards, the cards packed for them, what they cost, their papers and the seller of them."""

import uuid

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from cabinet.formatting.ru_format import day
from cabinet.models import Merchant
from cabinet.tenancy import MerchantQuerySet
from operators.models import OperatorAccount
from smartcards.models import SmartCard
from smartcards.orders.documents import bank_numbers
from smartcards.orders.documents.content import PaperContent
from smartcards.orders.states import (
    MAX_CARDS,
    Carrier,
    OrderState,
    PaperKind,
    ParcelPaper,
    VatMode,
)


class OrderTerms(models.Model):
    """The one row of what staff set for new orders. Orders keep the prices of their own day."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    card_kopecks = models.PositiveIntegerField("цена смарт-карты, коп.", default=0)
    delivery_kopecks = models.PositiveIntegerField("цена доставки, коп.", default=0)
    days_from = models.PositiveSmallIntegerField(
        "обычный срок доставки, дней: от", default=3, validators=[MinValueValidator(1)]
    )
    days_to = models.PositiveSmallIntegerField("до", default=7)
    orders_a_day = models.PositiveSmallIntegerField(
        "заказов в день у одного клиента", default=30, validators=[MinValueValidator(1)]
    )
    cards_a_day = models.PositiveIntegerField(
        "смарт-карт в день у одного клиента", default=1000, validators=[MinValueValidator(1)]
    )

    class Meta:
        verbose_name = "условия заказа"
        verbose_name_plural = "условия заказа"
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="order_terms_are_one"),
            models.CheckConstraint(
                condition=Q(days_from__gte=1, days_to__gte=F("days_from")),
                name="order_terms_days_in_order",
                violation_error_message="Срок доставки «до» меньше срока «от».",
            ),
            models.CheckConstraint(
                condition=Q(orders_a_day__gte=1, cards_a_day__gte=1),
                name="order_terms_allow_an_order",
                violation_error_message="Предел не может быть меньше единицы.",
            ),
        ]

    def __str__(self) -> str:
        return "условия заказа"


class Seller(models.Model):
    """The one row with the requisites of who sells the cards: they stand in every счёт issued from then on."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    name = models.CharField("название", max_length=160, help_text="Как в банке: «ООО „Ромашка“».")
    inn = models.CharField("ИНН", max_length=12)
    kpp = models.CharField("КПП", max_length=9, blank=True)
    address = models.CharField("адрес", max_length=300)
    bank = models.CharField("банк", max_length=160)
    bik = models.CharField("БИК", max_length=9)
    account = models.CharField("расчётный счёт", max_length=20)
    corr_account = models.CharField("корреспондентский счёт", max_length=20)
    director = models.CharField(
        "руководитель", max_length=100, help_text="Например, «Иванов И. И.»"
    )
    accountant = models.CharField("главный бухгалтер", max_length=100, blank=True)
    vat = models.CharField("НДС в ценах", max_length=5, choices=VatMode, default=VatMode.NONE)
    parcel_paper = models.CharField(
        "документ к отправлению",
        max_length=10,
        choices=ParcelPaper,
        default=ParcelPaper.WAYBILL,
    )

    class Meta:
        verbose_name = "продавец"
        verbose_name_plural = "продавец"
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="seller_is_one"),
            models.CheckConstraint(
                condition=Q(
                    inn__regex=r"^([0-9]{10}|[0-9]{12})$",
                    bik__regex=r"^[0-9]{9}$",
                    account__regex=r"^[0-9]{20}$",
                    corr_account__regex=r"^[0-9]{20}$",
                ),
                name="seller_numbers_have_their_length",
            ),
            models.CheckConstraint(condition=Q(vat__in=VatMode.values), name="seller_vat_known"),
            models.CheckConstraint(
                condition=Q(parcel_paper__in=ParcelPaper.values), name="seller_parcel_paper_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuses an account that does not belong to the bank: a digit typed wrong sends money away."""
        wrong = bank_numbers.wrong_numbers(self.bik, self.account, self.corr_account)
        if wrong:
            raise ValidationError(wrong)

    @property
    def vat_rate(self) -> int | None:
        """In per cent; None for «без НДС»."""
        return None if self.vat == VatMode.NONE else int(self.vat)


class Order(models.Model):
    """To whom and where new cards go, what was shipped; which cards is in its lines. Prices are of its own day."""

    merchant = models.ForeignKey(
        Merchant, models.PROTECT, related_name="orders", verbose_name="клиент"
    )
    key = models.UUIDField("ключ формы", default=uuid.uuid4, unique=True)
    company = models.CharField("компания", max_length=200, blank=True, db_default="")
    inn = models.CharField("ИНН", max_length=12)
    recipient = models.CharField("получатель", max_length=150)
    phone = models.CharField("телефон", max_length=15)
    address = models.CharField("адрес", max_length=300)
    comment = models.CharField("комментарий", max_length=500, blank=True)
    delivery_kopecks = models.PositiveIntegerField("доставка, коп.", default=0, db_default=0)
    state = models.CharField(
        "состояние", max_length=10, choices=OrderState, default=OrderState.ACCEPTED
    )
    carrier = models.CharField(
        "кто везёт", max_length=15, choices=Carrier, blank=True, db_default=""
    )
    track_number = models.CharField("трек-номер", max_length=60, blank=True)
    created_at = models.DateTimeField("оформлен")
    created_by = models.CharField("кто оформил", max_length=150)
    packed_at = models.DateTimeField("собран", null=True, blank=True)
    shipped_at = models.DateTimeField("отправлен", null=True, blank=True)
    delivered_at = models.DateTimeField("доставлен", null=True, blank=True)
    cancelled_at = models.DateTimeField("отменён", null=True, blank=True)

    objects = MerchantQuerySet["Order"].as_manager()

    class Meta:
        verbose_name = "заказ смарт-карт"
        verbose_name_plural = "заказы смарт-карт"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=OrderState.values), name="order_state_known"
            ),
            models.CheckConstraint(
                condition=Q(carrier="") | Q(carrier__in=Carrier.values), name="order_carrier_known"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["shipped", "delivered"])
                | Q(shipped_at__isnull=False) & (~Q(track_number="") | Q(carrier=Carrier.OWN)),
                name="order_shipped_has_track",
            ),
            models.CheckConstraint(
                condition=Q(state="delivered", delivered_at__isnull=False)
                | ~Q(state="delivered") & Q(delivered_at__isnull=True),
                name="order_delivered_at",
            ),
            models.CheckConstraint(
                condition=Q(state="cancelled", cancelled_at__isnull=False)
                | ~Q(state="cancelled") & Q(cancelled_at__isnull=True),
                name="order_cancelled_at",
            ),
            models.CheckConstraint(
                condition=Q(delivered_at__isnull=True) | Q(delivered_at__gte=F("shipped_at")),
                name="order_delivered_after_shipped",
            ),
        ]

    def __str__(self) -> str:
        return f"заказ № {self.pk}"

    @property
    def quantity(self) -> int:
        """How many cards, of all operators."""
        return sum(line.quantity for line in self.lines.all())

    @property
    def valid_papers(self) -> list["OrderPaper"]:
        """Documents that are not cancelled; without a query of its own on what `queries.whole_orders` gave."""
        return [paper for paper in self.papers.all() if paper.cancelled_at is None]

    @property
    def total_kopecks(self) -> int:
        """What it costs, delivery included."""
        return sum(line.total_kopecks for line in self.lines.all()) + self.delivery_kopecks


class OrderLine(models.Model):
    """So many cards of one operator, at the price of the day of the order."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="lines", verbose_name="заказ")
    account = models.ForeignKey(OperatorAccount, models.PROTECT, verbose_name="оператор")
    quantity = models.PositiveIntegerField(
        "количество", validators=[MinValueValidator(1), MaxValueValidator(MAX_CARDS)]
    )
    price_kopecks = models.PositiveIntegerField("цена, коп.", default=0)

    class Meta:
        verbose_name = "заказанные смарт-карты"
        verbose_name_plural = "заказанные смарт-карты"
        ordering = ("account__title", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(quantity__range=(1, MAX_CARDS)), name="order_quantity_in_range"
            ),
            models.UniqueConstraint(fields=["order", "account"], name="order_operator_once"),
        ]

    def __str__(self) -> str:
        return f"{self.account.title}: {self.quantity}"

    @property
    def total_kopecks(self) -> int:
        return self.quantity * self.price_kopecks


class PackedCard(models.Model):
    """A card taken from stock for an order: nobody else can take it."""

    order = models.ForeignKey(Order, models.PROTECT, related_name="packed", verbose_name="заказ")
    card = models.OneToOneField(
        SmartCard, models.PROTECT, related_name="packed", verbose_name="смарт-карта"
    )

    class Meta:
        verbose_name = "собранная смарт-карта"
        verbose_name_plural = "собранные смарт-карты"

    def __str__(self) -> str:
        return str(self.card)


class PaperCounter(models.Model):
    """The last number of a kind of document in a year. Its row is locked while a number is taken: no gaps."""

    kind = models.CharField("документ", max_length=10, choices=PaperKind)
    year = models.PositiveSmallIntegerField("год")
    last = models.PositiveIntegerField("последний номер", default=0)

    class Meta:
        verbose_name = "счётчик документов"
        verbose_name_plural = "счётчики документов"
        constraints = [
            models.UniqueConstraint(fields=["kind", "year"], name="paper_counter_once"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.year}: {self.last}"


class OrderPaper(models.Model):
    """A document of an order. `content` is all that stands in it (`documents.content`): later changes do not touch it.

    A cancelled document keeps its number. A счёт is paid by the payment that staff saw at the bank.
    """

    order = models.ForeignKey(Order, models.PROTECT, related_name="papers", verbose_name="заказ")
    kind = models.CharField("документ", max_length=10, choices=PaperKind)
    year = models.PositiveSmallIntegerField("год")
    number = models.PositiveIntegerField("номер")
    day = models.DateField("дата")
    total_kopecks = models.PositiveIntegerField("сумма, коп.")
    content = models.JSONField("содержание")
    issued_at = models.DateTimeField("выставлен")
    paid_on = models.DateField("дата платежа", null=True, blank=True)
    payment_number = models.CharField("номер платёжного поручения", max_length=30, blank=True)
    cancelled_at = models.DateTimeField("аннулирован", null=True, blank=True)

    class Meta:
        verbose_name = "документ заказа"
        verbose_name_plural = "документы заказов"
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=PaperKind.values), name="paper_kind_known"),
            models.UniqueConstraint(fields=["kind", "year", "number"], name="paper_number_once"),
            models.CheckConstraint(
                condition=Q(number__gte=1, day__year=F("year")), name="paper_number_of_its_year"
            ),
            models.CheckConstraint(condition=Q(total_kopecks__gte=1), name="paper_has_a_sum"),
            models.UniqueConstraint(
                fields=["order", "kind"],
                condition=Q(cancelled_at__isnull=True),
                name="paper_one_valid",
            ),
            models.CheckConstraint(
                condition=Q(paid_on__isnull=True, payment_number="")
                | Q(kind="invoice", paid_on__isnull=False, cancelled_at__isnull=True)
                & ~Q(payment_number=""),
                name="paper_paid_by_a_payment",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} № {self.number} от {day(self.day)}"

    @property
    def frozen(self) -> PaperContent:
        """What stands in it."""
        return PaperContent.from_json(self.content)
