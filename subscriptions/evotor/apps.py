"""App config of the market."""

from django.apps import AppConfig


class EvotorConfig(AppConfig):
    name = "subscriptions.evotor"
    label = "evotor"
    verbose_name = "Эвотор"
