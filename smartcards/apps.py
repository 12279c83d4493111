"""App config of the smart cards."""

from django.apps import AppConfig


class SmartcardsConfig(AppConfig):
    name = "smartcards"
    verbose_name = "Смарт-карты"

    def ready(self) -> None:
        # Connects the receivers; before the apps are ready they could not be imported.
        from smartcards import receivers  # noqa: F401, PLC0415
