"""Contracts with operators, the log of calls to them, and the events they sent."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import localtime

from cabinet.crypto import EncryptedJSONField, EncryptedTextField
from cabinet.inbox.models import InboxMessage

# Columns that are left in the database where they are not needed: they may be unreadable.
SECRETS = ("credentials", "callback_secret")
# A command is preceded by the reading of the number's confirmation, each within the limit of a call.
LEASE_OF_CALLS = 2
# What a call was for (`ports.CallKind`), as staff read it.
CALL_KINDS = {
    "auth": "вход",
    "submit": "команда",
    "check": "вопрос о команде",
    "read": "чтение состояния",
}


class CallResult(models.TextChoices):
    """How an exchange ended, as the transport saw it (`client.exchange.HttpExchange.result`)."""

    OK = "ok", "принято"
    HTTP_1XX = "http_1xx", "промежуточный ответ"
    HTTP_3XX = "http_3xx", "переадресация"
    HTTP_4XX = "http_4xx", "отказ"
    HTTP_5XX = "http_5xx", "сбой"
    LOST_REPLY = "lost_reply", "ответ потерян"
    # The value is older than the name.
    NOT_RECORDED = "unheard", "ответ не записан вовремя"
    NO_QUOTA = "not_sent_quota", "не отправлено: квота"
    NO_ADDRESS = "not_sent_dns", "не отправлено: адрес не найден"
    FORBIDDEN_ADDRESS = "not_sent_address", "не отправлено: внутренняя сеть"
    NO_TLS = "not_sent_tls", "не отправлено: защищённое соединение"
    NO_CONNECTION_IN_TIME = "not_sent_timeout", "не отправлено: нет ответа на соединение"
    REFUSED_CONNECTION = "not_sent_refused", "не отправлено: соединение отклонено"
    WRONG_ADDRESS = "not_sent_url", "не отправлено: неверный адрес"
    NO_NETWORK = "not_sent_network", "не отправлено: нет соединения"


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
    # Ids of cards by what failed: {"switches": […], "questions": […]}; see `limits.breaker`.
    failing_cards = models.JSONField(
        "о каких картах",
        default=dict,
        db_default=models.Value({}, models.JSONField()),
        editable=False,
    )
    broken_since = models.DateTimeField("сбой с", null=True, blank=True, editable=False)
    probe_at = models.DateTimeField("следующая проба", null=True, blank=True, editable=False)
    silent_until = models.DateTimeField("без оповещений до", null=True, blank=True, editable=False)
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
    """One call to an operator, kept for thirty days; redacted before it is stored (`client.redaction`)."""

    account = models.ForeignKey(
        OperatorAccount, models.CASCADE, related_name="exchanges", verbose_name="договор"
    )
    iccid = models.CharField("ICCID", max_length=20, blank=True)
    command_id = models.BigIntegerField("команда", null=True, blank=True)
    at = models.DateTimeField("когда")
    kind = models.CharField("зачем", max_length=10, choices=list(CALL_KINDS.items()))
    method = models.CharField("метод", max_length=8)
    url = models.CharField("адрес", max_length=500)
    status = models.PositiveSmallIntegerField("ответ HTTP", null=True, blank=True)
    # Null for a call whose end was not recorded.
    seconds = models.FloatField("длительность, с", null=True, blank=True)
    result = models.CharField("исход", max_length=30, blank=True, choices=CallResult)
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


class Callback(InboxMessage):
    """One signed event from an operator, stored before it is processed and unique by its id.

    Redacted before it is stored; a processed event is kept for thirty days.
    """

    account = models.ForeignKey(
        OperatorAccount, models.CASCADE, related_name="callbacks", verbose_name="договор"
    )
    event_id = models.CharField("номер события", max_length=100)
    event_type = models.CharField("тип", max_length=60)
    occurred_at = models.DateTimeField("время события")
    iccid = models.CharField("ICCID", max_length=20, blank=True)
    request_id = models.CharField("номер запроса", max_length=200, blank=True)
    # SHA-256 of the whole body's content; empty in rows of before.
    digest = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    payload = models.JSONField("содержание")

    class Meta:
        verbose_name = "уведомление оператора"
        verbose_name_plural = "уведомления операторов"
        constraints = [
            models.UniqueConstraint(fields=["account", "event_id"], name="callback_once"),
            models.CheckConstraint(
                condition=Q(state__in=["new", "done", "parked", "failed"]),
                name="callback_state_known",
            ),
        ]
        indexes = [
            models.Index(
                fields=["received_at"],
                condition=Q(state__in=["new", "failed"]),
                name="callback_waiting",
            ),
            models.Index(
                fields=["received_at"], condition=Q(state="parked"), name="callback_parked"
            ),
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


class RejectionReason(models.TextChoices):
    """Why a signed event was not taken."""

    AGE = "age", "старое время"
    SIGNATURE = "signature", "неверная подпись"
    CONFLICT = "conflict", "тот же номер с другим содержанием"


class EventRejection(models.Model):
    """How many signed events of a contract were refused within an hour, kept for thirty days."""

    account = models.ForeignKey(OperatorAccount, models.CASCADE, related_name="+")
    hour = models.DateTimeField("час")
    reason = models.CharField("почему", max_length=10, choices=RejectionReason)
    times = models.PositiveIntegerField("сколько")

    class Meta:
        verbose_name = "отвергнутые уведомления"
        verbose_name_plural = "отвергнутые уведомления"
        constraints = [
            models.UniqueConstraint(
                fields=["account", "hour", "reason"], name="event_rejection_once_an_hour"
            ),
            models.CheckConstraint(
                condition=Q(reason__in=["age", "signature", "conflict"]) & Q(times__gte=1),
                name="event_rejection_known",
            ),
        ]
        indexes = [models.Index(fields=["hour"], name="event_rejection_by_age")]

    def __str__(self) -> str:
        return f"{self.get_reason_display()}: {self.times}"
