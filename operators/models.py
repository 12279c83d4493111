"""Contracts with operators, and what was said to each of them."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import localtime

from cabinet.crypto import EncryptedJSONField, EncryptedTextField

# A command is preceded by the reading of the number's confirmation, each within the limit of a call.
LEASE_OF_CALLS = 2
# What a call was for (`ports.CallKind`), as staff read it.
CALL_KINDS = {
    "auth": "вход",
    "submit": "команда",
    "check": "вопрос о команде",
    "read": "чтение состояния",
    "hub": "подписка на события",
}


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
    timeout_seconds = models.PositiveIntegerField(
        "предел одного вызова, с", default=20, validators=[MinValueValidator(1)]
    )
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
    reserve_percent = models.PositiveSmallIntegerField(
        "доля квоты для кликов, %",
        default=10,
        validators=[MaxValueValidator(90)],
        help_text="Массовые действия и сверка её не занимают.",
    )
    maintenance_windows = models.JSONField(
        "окна работ у оператора",
        default=list,
        blank=True,
        help_text="По московскому времени: [{«days»: [0, 6], «from»: «02:00», «to»: «04:30»}], 0 — понедельник.",
    )
    cooldown_seconds = models.PositiveIntegerField(
        "пауза между переключениями одной карты, с", default=0
    )
    activation_fee_kopecks = models.PositiveIntegerField("плата за включение, коп.", default=0)
    deactivation_fee_kopecks = models.PositiveIntegerField("плата за отключение, коп.", default=0)
    min_active_days = models.PositiveSmallIntegerField("наименьший срок работы, дней", default=0)
    min_inactive_days = models.PositiveSmallIntegerField(
        "наименьший срок отключения, дней", default=0
    )
    silence_hours = models.PositiveSmallIntegerField(
        "молчание, после которого сеть придерживает связь, ч", default=72
    )
    hold_hours = models.PositiveSmallIntegerField("сколько сеть придерживает связь, ч", default=24)
    profile = models.JSONField("описание протокола", default=dict, blank=True)
    callback_secret = EncryptedTextField("ключ подписи уведомлений", blank=True, default="")
    enabled = models.BooleanField("работает", default=True)
    failures_in_a_row = models.PositiveIntegerField("сбоев подряд", default=0, editable=False)
    failing_switches = models.PositiveIntegerField("из них команд", default=0, editable=False)
    broken_since = models.DateTimeField("сбой с", null=True, blank=True, editable=False)
    probe_at = models.DateTimeField("следующая проба", null=True, blank=True, editable=False)
    turn = models.BigIntegerField("очередь дошла до", default=0, editable=False)
    changes_since = models.DateTimeField(
        "изменения прочитаны до", null=True, blank=True, editable=False
    )
    last_answer_at = models.DateTimeField("последний ответ", null=True, blank=True, editable=False)
    last_call_at = models.DateTimeField("последний вызов", null=True, blank=True, editable=False)
    last_error = models.CharField("последняя ошибка", max_length=300, blank=True, editable=False)
    last_error_at = models.DateTimeField("когда была ошибка", null=True, blank=True, editable=False)
    keys_refused_since = models.DateTimeField(
        "ключи не приняты с", null=True, blank=True, editable=False
    )
    clock_skew_seconds = models.FloatField(
        "расхождение часов, с", null=True, blank=True, editable=False
    )

    class Meta:
        verbose_name = "договор с оператором"
        verbose_name_plural = "договоры с операторами"
        constraints = [
            models.CheckConstraint(
                condition=Q(timeout_seconds__gte=1)
                & Q(lease_seconds__gte=LEASE_OF_CALLS * F("timeout_seconds")),
                name="operator_lease_outlives_calls",
                violation_error_message="Срок захвата меньше двух пределов одного вызова.",
            ),
            models.CheckConstraint(
                condition=Q(concurrency__gte=1), name="operator_concurrency_positive"
            ),
            models.CheckConstraint(
                condition=Q(broken_since__isnull=True, probe_at__isnull=True)
                | Q(broken_since__isnull=False, probe_at__isnull=False),
                name="operator_breaker_paired",
            ),
            models.CheckConstraint(
                condition=Q(reserve_percent__lte=90), name="operator_reserve_in_range"
            ),
            models.CheckConstraint(
                condition=(Q(per_second__isnull=True) | Q(per_second__gte=1))
                & (Q(per_minute__isnull=True) | Q(per_minute__gte=1)),
                name="operator_quota_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class Exchange(models.Model):
    """One call to an operator, kept for thirty days: secrets and personal data are masked on the way in."""

    account = models.ForeignKey(
        OperatorAccount, models.CASCADE, related_name="exchanges", verbose_name="договор"
    )
    iccid = models.CharField("ICCID", max_length=20, blank=True)
    command_id = models.BigIntegerField("команда", null=True, blank=True)
    at = models.DateTimeField("когда")
    kind = models.CharField("зачем", max_length=10)
    method = models.CharField("метод", max_length=8)
    url = models.CharField("адрес", max_length=500)
    status = models.PositiveSmallIntegerField("ответ HTTP", null=True, blank=True)
    # Of a call that nobody has seen the end of, neither its length is known nor an answer.
    seconds = models.FloatField("длительность, с", null=True, blank=True)
    result = models.CharField("исход", max_length=30, blank=True)
    request = models.TextField("запрос", blank=True)
    reply = models.TextField("ответ", blank=True)

    class Meta:
        verbose_name = "обмен с оператором"
        verbose_name_plural = "обмены с операторами"
        indexes = [
            models.Index(fields=["at"], name="exchange_by_age"),
            models.Index(fields=["account", "-at"], name="exchange_by_account"),
            models.Index(fields=["iccid", "-at"], condition=~Q(iccid=""), name="exchange_by_card"),
            models.Index(
                fields=["command_id"],
                condition=Q(command_id__isnull=False),
                name="exchange_by_command",
            ),
        ]

    def __str__(self) -> str:
        return f"{CALL_KINDS.get(self.kind, self.kind)} {localtime(self.at):%d.%m.%Y %H:%M:%S}"


class Callback(models.Model):
    """One signed event from an operator, kept before anything is done with it; twice is once.

    Secrets and personal data are masked on the way in; an ended event is kept for thirty days.
    """

    class State(models.TextChoices):
        NEW = "new", "ждёт обработки"
        DONE = "done", "обработано"
        PARKED = "parked", "отложено для сотрудника"

    account = models.ForeignKey(
        OperatorAccount, models.CASCADE, related_name="callbacks", verbose_name="договор"
    )
    event_id = models.CharField("номер события", max_length=100)
    event_type = models.CharField("тип", max_length=60)
    occurred_at = models.DateTimeField("время события")
    received_at = models.DateTimeField("получено")
    iccid = models.CharField("ICCID", max_length=20, blank=True)
    request_id = models.CharField("номер запроса", max_length=200, blank=True)
    payload = models.JSONField("содержание")
    state = models.CharField("состояние", max_length=10, choices=State, default=State.NEW)
    note = models.CharField("пояснение", max_length=300, blank=True)

    class Meta:
        verbose_name = "уведомление оператора"
        verbose_name_plural = "уведомления операторов"
        constraints = [
            models.UniqueConstraint(fields=["account", "event_id"], name="callback_once"),
            models.CheckConstraint(
                condition=Q(state__in=["new", "done", "parked"]), name="callback_state_known"
            ),
        ]
        indexes = [
            models.Index(fields=["received_at"], condition=Q(state="new"), name="callback_waiting"),
            models.Index(fields=["received_at"], name="callback_by_age"),
            models.Index(fields=["account", "-received_at"], name="callback_by_account"),
            models.Index(
                fields=["iccid", "-received_at"], condition=~Q(iccid=""), name="callback_by_card"
            ),
            models.Index(
                fields=["request_id"], condition=~Q(request_id=""), name="callback_by_request"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"


class HubSubscription(models.Model):
    """We asked the operator to send events to `callback`, once for a contract; `number` is the operator's.

    `base_url` and `secret_mark` say at which address of the operator and with which secret it was
    asked, so that it is seen when it is out of date. The mark is a hash and tells nothing of the secret.
    """

    account = models.OneToOneField(
        OperatorAccount, models.CASCADE, related_name="hub", verbose_name="договор"
    )
    number = models.CharField("номер у оператора", max_length=200)
    callback = models.CharField("адрес для уведомлений", max_length=500)
    base_url = models.CharField("адрес API при подписке", max_length=300)
    secret_mark = models.CharField("отпечаток ключа подписи", max_length=64)
    since = models.DateTimeField("действует с")

    class Meta:
        verbose_name = "подписка на уведомления"
        verbose_name_plural = "подписки на уведомления"
        constraints = [
            models.CheckConstraint(condition=~Q(number=""), name="hub_subscription_has_number"),
        ]

    def __str__(self) -> str:
        return f"{self.account}: {self.number}"
