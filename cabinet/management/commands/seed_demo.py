"""Demo data of every app, and how to sign in."""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from cabinet import clock


class Command(BaseCommand):
    help = "Makes the demo data that is missing and says how to sign in. Sandbox only."
    # The first page waits for nothing that `make lint` has checked already.
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        if not settings.SANDBOX:
            raise CommandError("Demo data are for the sandbox only: set SANDBOX=1.")
        at = clock.now()
        lines = [line for dotted in settings.DEMO_PARTS for line in import_string(dotted)(at)]
        self.stdout.write(f"Вход для клиентов: {settings.PUBLIC_URL}/login/")
        for line in lines:
            self.stdout.write(f"  {line}")
        call_command("create_admin", stdout=self.stdout)
