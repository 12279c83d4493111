"""What we do not do: one Celery task for each card, which updates its row."""

import os

import django
from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cabinet.settings")
django.setup()

from django.utils import timezone  # noqa: E402 - after setup

from smartcards.models import SmartCard  # noqa: E402
from smartcards.states import Confirmed  # noqa: E402

app = Celery("naive", broker=os.environ["REDIS_URL"])
app.conf.task_ignore_result = True
app.conf.worker_prefetch_multiplier = 4


@app.task(name="naive.switch_on")
def switch_on(card_id: int) -> None:
    """The operator's call replaced by nothing: only the row is updated."""
    SmartCard.objects.filter(pk=card_id).update(
        confirmed=Confirmed.ACTIVE, confirmed_at=timezone.now(), block_reason=""
    )
