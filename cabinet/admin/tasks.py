"""Work that staff have begun in the admin and a worker goes on with."""

from celery import shared_task

from cabinet.admin import mass_actions
from cabinet.tasks.task_queue import enqueue_now


@shared_task(name="cabinet.run_staff_action")
def run_staff_action(*, pk: int, **_older: object) -> None:
    """Carry out what waits of an action on many rows; running it twice does no row twice."""
    if mass_actions.work(pk=pk):
        enqueue_now("cabinet.run_staff_action", pk=pk)
