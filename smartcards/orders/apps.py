"""App config of the orders."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    name = "smartcards.orders"
    label = "orders"
    verbose_name = "Заказы смарт-карт"
