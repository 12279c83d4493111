"""The Celery app. Tasks are only wake-up calls: what is to be done is in PostgreSQL."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings
from kombu import Queue
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cabinet.settings")

# By path: `cabinet.tasks` imports this module.
TRANSPORT_ALIASES["redis"] = "cabinet.tasks.redis_transport:Transport"
app = Celery("cabinet")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = [Queue(name) for name in settings.CELERY_TASK_QUEUES_NAMES]
app.conf.task_create_missing_queues = False
app.autodiscover_tasks()
app.autodiscover_tasks(
    ["cabinet.accounts", "cabinet.admin", "subscriptions.evotor", "smartcards.orders"]
)


@setup_logging.connect
def _keep_django_logging(**_kwargs: Any) -> None:
    """Celery would replace the handlers; with a receiver here it leaves Django's alone."""
