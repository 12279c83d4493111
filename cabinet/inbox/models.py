"""The columns of a stored message that its processing needs."""

from django.db import models


class InboxMessage(models.Model):
    """One message of another system, kept before anything is done with it.

    `parked_for` is the code of what a parked row waits for, `note` says it to people; `error` has the
    traceback of the last try that failed. A failed row without `next_try_at` was given up and waits
    for staff.
    """

    class State(models.TextChoices):
        NEW = "new", "ждёт обработки"
        DONE = "done", "обработано"
        PARKED = "parked", "отложено для сотрудника"
        FAILED = "failed", "ошибка обработки"

    received_at = models.DateTimeField("получено")
    state = models.CharField("состояние", max_length=10, choices=State, default=State.NEW)
    attempts = models.PositiveIntegerField("попыток", default=0)
    next_try_at = models.DateTimeField("следующая попытка", null=True, blank=True)
    processed_at = models.DateTimeField("обработано", null=True, blank=True)
    parked_for = models.CharField("причина", max_length=30, blank=True)
    note = models.CharField("пояснение", max_length=500, blank=True)
    error = models.TextField("ошибка", blank=True)

    class Meta:
        abstract = True
