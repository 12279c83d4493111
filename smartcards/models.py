"""Cards, what covers them, and the outbox of commands to operators."""

import uuid

from django.db import models
from django.db.models import F, Q
from django.utils.timezone import localtime

from cabinet.models import Merchant, Terminal
from cabinet.states import ActorKind
from cabinet.tenancy import MerchantQuerySet
from operators.models import OperatorAccount
from smartcards.states import (
    OPEN_COMMANDS,
    CommandKind,
    CommandState,
    Confirmed,
    Origin,
    Told,
    Withdrawal,
)
from subscriptions.models import Subscription

_OPEN = sorted(state.value for state in OPEN_COMMANDS)


class SmartCard(models.Model):
    """A SIM: without a merchant it lies in stock.

    `wished` is the last word of a person and survives non-payment; `confirmed` is what the operator
    last said. The target is computed by `rules.target` and stored nowhere.
    """

    iccid = models.CharField("ICCID", max_length=20, unique=True)
    msisdn = models.CharField("номер", max_length=15, blank=True, db_index=True)
    account = models.ForeignKey(
        OperatorAccount, models.PROTECT, related_name="cards", verbose_name="оператор"
    )
    merchant = models.ForeignKey(
        Merchant, models.PROTECT, null=True, blank=True, related_name="cards", verbose_name="клиент"
    )
    terminal = models.ForeignKey(
        Terminal, models.SET_NULL, null=True, blank=True, related_name="cards", verbose_name="касса"
    )
    label = models.CharField("подпись", max_length=100, blank=True)
    imported_at = models.DateTimeField("поступила")
    handed_at = models.DateTimeField("передана клиенту", null=True, blank=True)

    wished_on = models.BooleanField("нужно включить", null=True, blank=True)
    wished_at = models.DateTimeField("когда решено", null=True, blank=True)
    wished_by = models.CharField("кем решено", max_length=150, blank=True)
    wished_by_kind = models.CharField("чьё решение", max_length=10, choices=ActorKind, blank=True)

    confirmed = models.CharField(
        "состояние у оператора", max_length=10, choices=Confirmed, default=Confirmed.NEW
    )
    confirmed_at = models.DateTimeField("подтверждено", null=True, blank=True)
    confirmed_from = models.CharField("откуда известно", max_length=10, choices=Told, blank=True)
    block_reason = models.CharField("причина блокировки", max_length=12, blank=True)
    read_at = models.DateTimeField("прочитано у оператора", null=True, blank=True)
    lost_to_operator_at = models.DateTimeField("оператор её не знает с", null=True, blank=True)
    seen_msisdn = models.CharField("номер у оператора", max_length=15, blank=True)
    seen_imei = models.CharField("IMEI у оператора", max_length=16, blank=True)
    identity = models.CharField("Госуслуги", max_length=30, blank=True)
    identity_at = models.DateTimeField("Госуслуги прочитаны", null=True, blank=True)
    off_since = models.DateTimeField("молчит с", null=True, blank=True)
    may_hold_until = models.DateTimeField("сеть может придержать связь до", null=True, blank=True)
    unnamed_since = models.DateTimeField(
        "блокировку не называют с", null=True, blank=True, editable=False
    )

    withdrawn_at = models.DateTimeField("выведена", null=True, blank=True)
    withdrawn_because = models.CharField(
        "почему выведена", max_length=10, choices=Withdrawal, blank=True
    )
    replaced_by = models.OneToOneField(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="replaces",
        verbose_name="заменена на",
    )

    objects = MerchantQuerySet["SmartCard"].as_manager()

    class Meta:
        verbose_name = "смарт-карта"
        verbose_name_plural = "смарт-карты"
        constraints = [
            models.CheckConstraint(
                condition=Q(iccid__regex=r"^[0-9]{17,20}$"),
                name="card_iccid_format",
                violation_error_message="ICCID состоит из 17–20 цифр.",
            ),
            models.CheckConstraint(
                condition=Q(msisdn__regex=r"^([1-9][0-9]{9,14})?$"), name="card_msisdn_format"
            ),
            models.CheckConstraint(
                condition=Q(confirmed__in=Confirmed.values), name="card_state_known"
            ),
            models.CheckConstraint(
                condition=Q(wished_on__isnull=True, wished_at__isnull=True, wished_by="")
                | Q(wished_on__isnull=False, wished_at__isnull=False) & ~Q(wished_by=""),
                name="card_wish_has_author",
            ),
            models.CheckConstraint(
                condition=Q(merchant__isnull=False)
                | Q(terminal__isnull=True, wished_on__isnull=True),
                name="card_in_stock_is_nobodys",
            ),
            models.CheckConstraint(
                condition=Q(
                    withdrawn_at__isnull=True, withdrawn_because="", replaced_by__isnull=True
                )
                | Q(withdrawn_at__isnull=False, wished_on__isnull=False, wished_on=False)
                & ~Q(withdrawn_because=""),
                name="card_withdrawn_has_reason_and_is_off",
            ),
            models.CheckConstraint(
                condition=Q(merchant__isnull=True) | Q(handed_at__isnull=False),
                name="card_handed_at_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} …{self.iccid[-4:]}"


class Coverage(models.Model):
    """This card is paid by that subscription: since, till."""

    card = models.ForeignKey(
        SmartCard, models.CASCADE, related_name="coverages", verbose_name="смарт-карта"
    )
    subscription = models.ForeignKey(
        Subscription, models.CASCADE, related_name="coverages", verbose_name="подписка"
    )
    since = models.DateTimeField("с")
    till = models.DateTimeField("до", null=True, blank=True)
    dropped = models.BooleanField("снято сервисом: мест стало меньше", default=False)

    class Meta:
        verbose_name = "покрытие"
        verbose_name_plural = "покрытие"
        constraints = [
            models.UniqueConstraint(
                fields=["card"], condition=Q(till__isnull=True), name="coverage_open_once"
            ),
            models.CheckConstraint(
                condition=Q(till__isnull=True) | Q(till__gte=F("since")),
                name="coverage_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.card} с {localtime(self.since):%d.%m.%Y}"


class Command(models.Model):
    """One switch to be sent to an operator: the outbox row. Times are UTC.

    `lease_until` with `lease_token` says who may act on it now; a lease that ran out frees the row.
    """

    key = models.UUIDField("ключ", default=uuid.uuid4, unique=True, editable=False)
    card = models.ForeignKey(
        SmartCard, models.PROTECT, related_name="commands", verbose_name="смарт-карта"
    )
    account = models.ForeignKey(
        OperatorAccount, models.PROTECT, related_name="commands", verbose_name="оператор"
    )
    kind = models.CharField("что сделать", max_length=10, choices=CommandKind)
    state = models.CharField(
        "состояние", max_length=12, choices=CommandState, default=CommandState.QUEUED
    )
    origin = models.PositiveSmallIntegerField("чья", choices=Origin)
    asked_by = models.CharField("кто попросил", max_length=150)
    asked_by_kind = models.CharField("кто это", max_length=10, choices=ActorKind)
    reason = models.CharField("причина", max_length=300, blank=True)
    created_at = models.DateTimeField("создана")
    due_at = models.DateTimeField("отправить не раньше")
    lease_until = models.DateTimeField("захвачена до", null=True, blank=True)
    lease_token = models.UUIDField("захват", null=True, blank=True)
    turn = models.BigIntegerField("очередь", default=0, editable=False)
    attempts = models.PositiveIntegerField("попыток", default=0)
    questions = models.PositiveIntegerField("вопросов", default=0)
    sent_at = models.DateTimeField("отправлена", null=True, blank=True)
    request_id = models.CharField("номер у оператора", max_length=200, blank=True)
    check_at = models.DateTimeField("спросить не раньше", null=True, blank=True)
    deadline_at = models.DateTimeField("ждать исхода до", null=True, blank=True)
    finished_at = models.DateTimeField("закончена", null=True, blank=True)
    error = models.CharField("класс ошибки", max_length=30, blank=True)
    code = models.CharField("код оператора", max_length=100, blank=True)
    text = models.CharField("пояснение", max_length=300, blank=True)

    class Meta:
        verbose_name = "команда оператору"
        verbose_name_plural = "команды операторам"
        constraints = [
            models.UniqueConstraint(
                fields=["card"], condition=Q(state__in=_OPEN), name="command_open_once_per_card"
            ),
            models.CheckConstraint(
                condition=Q(state__in=CommandState.values), name="command_state_known"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=CommandKind.values), name="command_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(state__in=_OPEN, finished_at__isnull=True)
                | ~Q(state__in=_OPEN) & Q(finished_at__isnull=False),
                name="command_finished_at_when_over",
            ),
            models.CheckConstraint(
                condition=Q(lease_until__isnull=True, lease_token__isnull=True)
                | Q(lease_until__isnull=False, lease_token__isnull=False),
                name="command_lease_paired",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "cancelled"]) | Q(sent_at__isnull=False),
                name="command_sent_at_known",
            ),
        ]
        indexes = [
            models.Index(
                fields=["account", "origin", "kind", "turn", "id"],
                condition=Q(state="queued"),
                name="command_queue",
            ),
            models.Index(
                fields=["check_at"],
                condition=Q(state__in=["sending", "accepted", "checking"]),
                name="command_waiting",
            ),
            models.Index(
                fields=["account", "origin", "check_at", "id"],
                condition=Q(state__in=["accepted", "checking"]),
                name="command_questions",
            ),
            models.Index(fields=["card", "-created_at"], name="command_by_card"),
            models.Index(
                fields=["account", "finished_at"],
                condition=Q(finished_at__isnull=False),
                name="command_by_end",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.card}"


class CommandStep(models.Model):
    """What happened to a command, step by step: the card's timeline."""

    command = models.ForeignKey(
        Command, models.CASCADE, related_name="steps", verbose_name="команда"
    )
    state = models.CharField("состояние", max_length=12, choices=CommandState)
    at = models.DateTimeField("когда")
    text = models.CharField("что", max_length=300, blank=True)

    class Meta:
        verbose_name = "шаг команды"
        verbose_name_plural = "шаги команд"
        indexes = [models.Index(fields=["command", "id"], name="command_steps")]

    def __str__(self) -> str:
        return self.get_state_display()


class FairShare(models.Model):
    """How far a merchant's commands reach in an account's queue: the chain does not starve the kiosk."""

    account = models.ForeignKey(OperatorAccount, models.CASCADE, verbose_name="оператор")
    merchant = models.ForeignKey(Merchant, models.CASCADE, verbose_name="клиент")
    turn = models.BigIntegerField("очередь")

    class Meta:
        verbose_name = "место в очереди"
        verbose_name_plural = "места в очереди"
        constraints = [
            models.UniqueConstraint(fields=["account", "merchant"], name="fair_share_once"),
        ]

    def __str__(self) -> str:
        return str(self.turn)


class Brake(models.Model):
    """The one row that stands before every automatic switch-off.

    `engaged_at`: too many at once, or clocks apart; `tap_closed_at`: staff pulled the «стоп-кран»;
    `report_only_at`: after a restore from backup. Any of them stops automatic switch-offs.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    engaged_at = models.DateTimeField("сработал", null=True, blank=True)
    engaged_because = models.CharField("почему сработал", max_length=300, blank=True)
    tap_closed_at = models.DateTimeField("стоп-кран закрыт", null=True, blank=True)
    tap_closed_by = models.CharField("кто закрыл", max_length=150, blank=True)
    tap_reason = models.CharField("почему закрыт", max_length=300, blank=True)
    report_only_at = models.DateTimeField("только отчёт с", null=True, blank=True)
    counts_from = models.DateTimeField("счёт ведётся с", null=True, blank=True)
    database_mark = models.CharField("отпечаток базы", max_length=64, blank=True)

    class Meta:
        verbose_name = "тормоз"
        verbose_name_plural = "тормоз"
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="brake_is_one"),
            models.CheckConstraint(
                condition=Q(tap_closed_at__isnull=True, tap_closed_by="")
                | Q(tap_closed_at__isnull=False) & ~Q(tap_closed_by=""),
                name="brake_tap_has_author",
            ),
        ]

    def __str__(self) -> str:
        return "тормоз автоматических отключений"
