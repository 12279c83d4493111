"""App config, and the admin site of ours."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class CabinetConfig(AppConfig):
    name = "cabinet"
    verbose_name = "Клиенты и люди"

    def ready(self) -> None:
        # Registers checks and receivers; before the apps are ready they could not be imported.
        from cabinet import checks  # noqa: F401, PLC0415
        from cabinet.accounts import receivers  # noqa: F401, PLC0415


class CabinetAdminConfig(AdminConfig):
    default_site = "cabinet.admin_site.CabinetAdminSite"
