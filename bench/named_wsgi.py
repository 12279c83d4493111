"""The web of the fault run: the product's own, which can be told to die between COMMIT and publish."""

import os
import signal
from pathlib import Path
from typing import Any

from django.conf import settings

from cabinet.wsgi import application

__all__ = ["application"]

from cabinet.celery import app

WORD = "die-before-publish"
_publish = app.send_task


def _dying(*arguments: Any, **named: Any) -> Any:
    word = Path(settings.LOCAL_DIR) / WORD
    try:
        word.unlink()
    except FileNotFoundError:
        return _publish(*arguments, **named)
    return os.kill(os.getpid(), signal.SIGKILL)


setattr(app, "send_task", _dying)  # noqa: B010 - a method, which may not be assigned
