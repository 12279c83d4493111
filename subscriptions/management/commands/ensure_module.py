"""Make the first module from EVOTOR_PRODUCT_ID; safe at each start."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from cabinet import clock
from cabinet.actors import SYSTEM
from subscriptions import services


class Command(BaseCommand):
    """Make the module of EVOTOR_PRODUCT_ID where there is none."""

    help = "Makes the module of EVOTOR_PRODUCT_ID where there is none; changes nothing otherwise."

    def handle(self, *args: Any, **options: Any) -> None:
        module = services.ensure_module(
            product_id=settings.EVOTOR_PRODUCT_ID, by=SYSTEM, at=clock.now()
        )
        self.stdout.write(f"{module.code}: {module.market_product_id}")
