"""App config of the operators."""

from django.apps import AppConfig


class OperatorsConfig(AppConfig):
    name = "operators"
    verbose_name = "Операторы связи"

    def ready(self) -> None:
        # Registers the checks; before the apps are ready they could not be imported.
        from operators import checks  # noqa: F401, PLC0415
