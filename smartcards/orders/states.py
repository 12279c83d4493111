"""States of an order and what may follow what; carriers, papers, taxes."""

from django.db import models

MAX_CARDS = 500


class OrderState(models.TextChoices):
    """Where an order is; what may follow is in `ORDER_TRANSITIONS`."""

    ACCEPTED = "accepted", "Принят"
    PACKED = "packed", "Собран"
    SHIPPED = "shipped", "Отправлен"
    DELIVERED = "delivered", "Доставлен"
    CANCELLED = "cancelled", "Отменён"


ORDER_TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    OrderState.ACCEPTED: frozenset({OrderState.PACKED, OrderState.CANCELLED}),
    OrderState.PACKED: frozenset({OrderState.SHIPPED, OrderState.ACCEPTED}),
    OrderState.SHIPPED: frozenset({OrderState.DELIVERED}),
    OrderState.DELIVERED: frozenset(),
    OrderState.CANCELLED: frozenset(),
}


class Carrier(models.TextChoices):
    """Who brings the parcel; where its way is shown is in `TRACK_PAGES`."""

    CDEK = "cdek", "СДЭК"
    RUSSIAN_POST = "russian_post", "Почта России"
    OWN = "own", "Наш курьер"


# Addresses as the carriers' own pages have them (November 2026); our courier has no such page.
TRACK_PAGES = {
    Carrier.CDEK: "https://www.cdek.ru/ru/tracking?order_id={}",
    Carrier.RUSSIAN_POST: "https://www.pochta.ru/tracking?barcode={}",
}


class PaperKind(models.TextChoices):
    """Documents of an order: what is to be paid, and what goes with the parcel."""

    INVOICE = "invoice", "Счёт"
    WAYBILL = "waybill", "Накладная"
    UPD = "upd", "УПД"


class ParcelPaper(models.TextChoices):
    """What goes with a paid parcel: the seller's accountant decides. The values are those of `PaperKind`."""

    WAYBILL = PaperKind.WAYBILL.value, "накладная"
    UPD = PaperKind.UPD.value, "УПД"


class VatMode(models.TextChoices):
    """The seller's tax, included in the prices. A number is the rate in per cent."""

    NONE = "none", "без НДС"
    FIVE = "5", "НДС 5 %"
    SEVEN = "7", "НДС 7 %"
    TWENTY = "20", "НДС 20 %"
    TWENTY_TWO = "22", "НДС 22 %"
