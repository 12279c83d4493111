"""Demo data of the subscriptions: the module and three invented tariffs."""

from datetime import datetime

from django.conf import settings

from cabinet.actors import SYSTEM
from subscriptions.models import Tariff
from subscriptions.services import ensure_module

# planId, name, months, kopecks for one card and the whole period
TARIFFS = (
    ("kassovye-1m", "Месяц", 1, 300_00),
    ("kassovye-3m", "Три месяца", 3, 810_00),
    ("kassovye-12m", "Год", 12, 3_000_00),
)


def seed(at: datetime) -> list[str]:
    """The module of EVOTOR_PRODUCT_ID with its tariffs; running it again changes nothing."""
    module = ensure_module(product_id=settings.EVOTOR_PRODUCT_ID, by=SYSTEM, at=at)
    for plan_id, title, months, kopecks in TARIFFS:
        terms = {"module": module, "title": title, "months": months, "price_kopecks": kopecks}
        Tariff.objects.get_or_create(plan_id=plan_id, defaults=terms)
    return []
