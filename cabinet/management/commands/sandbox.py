"""`manage.py sandbox`: the server on which operators, the market and the clock are simulated."""

import os
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string


class Command(BaseCommand):
    help = "Serves the sandbox on SANDBOX_PORT until SIGINT or SIGTERM."
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        if not settings.SANDBOX:
            raise CommandError("The sandbox does not start with SANDBOX=0.")
        # Only here: the server needs Werkzeug, which a production installation lacks.
        serving = import_string("cabinet.sandbox.server.serving")
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        parts = [import_string(path)() for path in settings.SANDBOX_PARTS]
        state = settings.LOCAL_DIR / "sandbox.json"
        try:
            with serving(parts, port=settings.SANDBOX_PORT, state=state):
                self.stdout.write(f"Sandbox: {settings.SANDBOX_URL}/")
                stop.wait()
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise CommandError(f"Port {settings.SANDBOX_PORT} cannot be used: {reason}.") from error
