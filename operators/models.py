"""Contracts with operators, and what was said to each of them."""

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q

from cabinet.crypto import EncryptedJSONField


def default_poll_plan() -> list[float]:
    """Seconds between questions about an accepted request; the last one is repeated."""
    return [5, 10, 20, 30, 60, 120, 300]


class OperatorAccount(models.Model):
    """One contract with one operator: adapter, address, keys, quotas and times. Staff edit it.

    Times are seconds. A blank quota means that the operator names none.
    """

    code = models.SlugField(
        "код", max_length=32, unique=True, help_text="Латиницей; стоит в адресах."
    )
    title = models.CharField("название на экране", max_length=60, help_text="Например, «МТС».")
    adapter = models.CharField("протокол", max_length=32)
    base_url = models.URLField("адрес API", max_length=300)
    credentials = EncryptedJSONField("ключи", blank=True, default=dict)
    ca_bundle = models.TextField(
        "корневые сертификаты (PEM)", blank=True, help_text="Пусто — обычные корневые сертификаты."
    )
    per_second = models.PositiveIntegerField(
        "вызовов в секунду", null=True, blank=True, validators=[MinValueValidator(1)]
    )
    per_minute = models.PositiveIntegerField(
        "вызовов в минуту", null=True, blank=True, validators=[MinValueValidator(1)]
    )
    concurrency = models.PositiveIntegerField(
        "одновременных вызовов", default=4, validators=[MinValueValidator(1)]
    )
    timeout_seconds = models.PositiveIntegerField("предел одного вызова, с", default=20)
    lease_seconds = models.PositiveIntegerField("срок захвата команды, с", default=60)
    quiet_seconds = models.PositiveIntegerField(
        "тихое время, с",
        default=60,
        help_text="Сколько ждать перед чтением после неизвестного исхода.",
    )
    deadline_seconds = models.PositiveIntegerField(
        "предел ожидания исхода, с", default=3600, help_text="Потом состояние читается у оператора."
    )
    poll_plan = models.JSONField("план опроса, с", default=default_poll_plan)
    usual_seconds = models.PositiveIntegerField("обычное время переключения, с", default=120)
    worst_seconds = models.PositiveIntegerField("наибольшее время переключения, с", default=86400)
    brake_cards = models.PositiveIntegerField(
        "тормоз: автоотключений в час", default=50, validators=[MinValueValidator(1)]
    )
    brake_percent = models.PositiveIntegerField(
        "тормоз: доля автоотключений в час, %", default=20, validators=[MinValueValidator(1)]
    )
    enabled = models.BooleanField("работает", default=True)
    last_answer_at = models.DateTimeField("последний ответ", null=True, blank=True, editable=False)
    last_call_at = models.DateTimeField("последний вызов", null=True, blank=True, editable=False)
    last_error = models.CharField("последняя ошибка", max_length=300, blank=True, editable=False)
    last_error_at = models.DateTimeField("когда была ошибка", null=True, blank=True, editable=False)
    clock_skew_seconds = models.FloatField(
        "расхождение часов, с", null=True, blank=True, editable=False
    )

    class Meta:
        verbose_name = "договор с оператором"
        verbose_name_plural = "договоры с операторами"
        constraints = [
            models.CheckConstraint(
                condition=Q(timeout_seconds__gte=1) & Q(lease_seconds__gt=F("timeout_seconds")),
                name="operator_lease_outlives_call",
                violation_error_message="Срок захвата должен быть больше предела одного вызова.",
            ),
            models.CheckConstraint(
                condition=Q(concurrency__gte=1), name="operator_concurrency_positive"
            ),
            models.CheckConstraint(
                condition=(Q(per_second__isnull=True) | Q(per_second__gte=1))
                & (Q(per_minute__isnull=True) | Q(per_minute__gte=1)),
                name="operator_quota_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.title
