"""Periodic tasks, and the sending of messages to people."""

import time
from datetime import timedelta

from celery import shared_task

from cabinet import clock, health
from cabinet.accounts.services import login_codes, sessions
from cabinet.messaging import outbox
from cabinet.models import StaffAction, SubmittedForm
from cabinet.tasks.task_queue import enqueue_now

# Longer than anybody leaves a page of the admin open.
FORM_KEPT = timedelta(days=30)
# One run leaves the thread to others after this; what is left is sent by the next.
_SENDING_SECONDS = 30.0


@shared_task(name=health.OWN_SWEEP)
def sweep() -> None:
    """Delete what is old, wake the sending of messages; the heartbeat shows that beat and workers run."""
    now = clock.now()
    login_codes.purge_codes(at=now)
    SubmittedForm.objects.filter(at__lt=now - FORM_KEPT).delete()
    sessions.purge(at=clock.real_now())
    StaffAction.objects.filter(finished_at__lt=now - FORM_KEPT).delete()
    for pk in (
        StaffAction.objects.filter(finished_at=None).order_by("pk").values_list("pk", flat=True)
    ):
        enqueue_now("cabinet.run_staff_action", pk=pk)
    outbox.settle_overdue(at=now)
    outbox.purge_messages(at=now)
    if outbox.messages_wait(at=now):
        enqueue_now("cabinet.send_messages")
    health.record_heartbeat(health.OWN_SWEEP)


@shared_task(name="cabinet.send_messages")
def send_messages() -> None:
    """Send what is due. Running it twice is harmless: a message is claimed before it is sent."""
    end = time.monotonic() + _SENDING_SECONDS
    while time.monotonic() < end:
        if not outbox.send_next(at=clock.now()):
            return
    enqueue_now("cabinet.send_messages")
