"""Orders of new smart cards, and the cards packed for them."""

import uuid

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from cabinet.models import Merchant
from cabinet.tenancy import MerchantQuerySet
from operators.models import OperatorAccount
from smartcards.models import SmartCard
from smartcards.orders.states import OrderState

MAX_CARDS = 500


class Order(models.Model):
    """How many cards of which operator, to whom, where, what was shipped."""

    merchant = models.ForeignKey(
        Merchant, models.PROTECT, related_name="orders", verbose_name="клиент"
    )
    key = models.UUIDField("ключ формы", default=uuid.uuid4, unique=True)
    account = models.ForeignKey(OperatorAccount, models.PROTECT, verbose_name="оператор")
    quantity = models.PositiveIntegerField(
        "количество", validators=[MinValueValidator(1), MaxValueValidator(MAX_CARDS)]
    )
    inn = models.CharField("ИНН", max_length=12)
    recipient = models.CharField("получатель", max_length=150)
    phone = models.CharField("телефон", max_length=15)
    address = models.CharField("адрес", max_length=300)
    comment = models.CharField("комментарий", max_length=500, blank=True)
    state = models.CharField(
        "состояние", max_length=10, choices=OrderState, default=OrderState.ACCEPTED
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
                condition=Q(quantity__range=(1, MAX_CARDS)), name="order_quantity_in_range"
            ),
            models.CheckConstraint(
                condition=Q(state__in=OrderState.values), name="order_state_known"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["shipped", "delivered"])
                | Q(shipped_at__isnull=False) & ~Q(track_number=""),
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
