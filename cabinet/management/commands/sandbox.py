"""`manage.py sandbox`: the server on which operators, the market and the clock are played."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from cabinet.sandbox.server import serving


class Command(BaseCommand):
    help = "Serves the sandbox on SANDBOX_PORT until SIGINT or SIGTERM."
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        if not settings.SANDBOX:
            raise CommandError("The sandbox does not start with SANDBOX=0.")
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        parts = [import_string(path)() for path in settings.SANDBOX_PARTS]
        try:
            with serving(
                parts, port=settings.SANDBOX_PORT, state=settings.LOCAL_DIR / "sandbox.json"
            ):
                self.stdout.write(f"Sandbox: {settings.SANDBOX_URL}/")
                ended.wait()
        except OSError as error:
            raise CommandError(
                f"Port {settings.SANDBOX_PORT} cannot be used: {error.strerror}."
            ) from error
