"""Cards, what covers them, and the outbox of commands to operators."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import localtime

from cabinet.enums import ActorKind
from cabinet.models import Merchant, Terminal, User
from cabinet.tenancy import MerchantQuerySet
from operators.models import OperatorAccount
from smartcards.states import (
    NOT_DONE,
    OPEN_COMMANDS,
    OPEN_IMPORTS,
    OVER_MASS,
    UNCONFIRMED_MASS,
    CardOutcome,
    CommandKind,
    CommandState,
    ImportState,
    MassAction,
    MassState,
    OperatorState,
    Origin,
    StateSource,
    WithdrawalReason,
)
from subscriptions.models import Subscription

_OPEN = sorted(state.value for state in OPEN_COMMANDS)
_OPEN_IMPORTS = sorted(state.value for state in OPEN_IMPORTS)
_UNCONFIRMED = sorted(state.value for state in UNCONFIRMED_MASS)
_OVER = sorted(state.value for state in OVER_MASS)
_NOT_DONE = sorted(outcome.value for outcome in NOT_DONE)


class SmartCard(models.Model):
    """A SIM: without a merchant it lies in stock.

    `desired_on` is the last decision of a person and survives non-payment; `confirmed` is the last state
    known from the operator. The target is computed by `rules.target_on` and stored nowhere. `read_at` is the
    last reading, `read_due_at` when the next one is due; without it, at once.
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

    desired_on = models.BooleanField("нужно включить", null=True, blank=True, db_column="wished_on")
    desired_at = models.DateTimeField("когда решено", null=True, blank=True, db_column="wished_at")
    desired_by = models.CharField("кем решено", max_length=150, blank=True, db_column="wished_by")
    desired_by_kind = models.CharField(
        "чьё решение", max_length=10, choices=ActorKind, blank=True, db_column="wished_by_kind"
    )

    confirmed = models.CharField(
        "состояние у оператора", max_length=10, choices=OperatorState, default=OperatorState.NEW
    )
    confirmed_at = models.DateTimeField("подтверждено", null=True, blank=True)
    confirmed_from = models.CharField(
        "откуда известно", max_length=10, choices=StateSource, blank=True
    )
    block_reason = models.CharField("причина блокировки", max_length=12, blank=True)
    read_at = models.DateTimeField("прочитано у оператора", null=True, blank=True)
    read_due_at = models.DateTimeField("прочитать не раньше", null=True, blank=True, editable=False)
    lost_to_operator_at = models.DateTimeField("оператор её не знает с", null=True, blank=True)
    seen_msisdn = models.CharField("номер у оператора", max_length=15, blank=True)
    seen_imei = models.CharField("IMEI у оператора", max_length=16, blank=True)
    # The operator's own word where we do not know what it means.
    seen_state = models.CharField(
        "незнакомое состояние у оператора", max_length=60, blank=True, default="", db_default=""
    )
    identity = models.CharField("Госуслуги", max_length=30, blank=True)
    identity_at = models.DateTimeField("Госуслуги прочитаны", null=True, blank=True)
    off_since = models.DateTimeField("молчит с", null=True, blank=True)
    may_hold_until = models.DateTimeField("сеть может придержать связь до", null=True, blank=True)
    unnamed_since = models.DateTimeField(
        "блокировку не называют с", null=True, blank=True, editable=False
    )

    withdrawn_at = models.DateTimeField("выведена", null=True, blank=True)
    withdrawn_because = models.CharField(
        "почему выведена", max_length=10, choices=WithdrawalReason, blank=True
    )
    replaced_by = models.OneToOneField(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="replaces",
        verbose_name="заменена на",
    )

    # Written by triggers of the database whenever a card, its terminal or its shop changes.
    list_key = models.TextField(
        "порядок в списке",
        default="",
        db_default="",
        db_collation="C",
        editable=False,
    )
    search_text = models.TextField(
        "по чему находят",
        default="",
        db_default="",
        db_collation="C",
        editable=False,
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
                condition=Q(confirmed__in=OperatorState.values), name="card_state_known"
            ),
            models.CheckConstraint(
                condition=Q(desired_on__isnull=True, desired_at__isnull=True, desired_by="")
                | Q(desired_on__isnull=False, desired_at__isnull=False) & ~Q(desired_by=""),
                name="card_desired_state_has_author",
            ),
            models.CheckConstraint(
                condition=Q(merchant__isnull=False)
                | Q(terminal__isnull=True, desired_on__isnull=True),
                name="card_in_stock_is_nobodys",
            ),
            models.CheckConstraint(
                condition=Q(
                    withdrawn_at__isnull=True, withdrawn_because="", replaced_by__isnull=True
                )
                | Q(withdrawn_at__isnull=False, desired_on__isnull=False, desired_on=False)
                & ~Q(withdrawn_because=""),
                name="card_withdrawn_has_reason_and_is_off",
            ),
            models.CheckConstraint(
                condition=Q(merchant__isnull=True) | Q(handed_at__isnull=False),
                name="card_handed_at_known",
            ),
        ]
        # What reconciliation looks for: few cards, however many there are.
        indexes = [
            models.Index(
                fields=["merchant"],
                condition=Q(confirmed__in=["active", "unknown"], desired_on=False),
                name="card_on_though_unwanted",
            ),
            models.Index(
                fields=["merchant"],
                condition=Q(confirmed__in=["inactive", "new", "unknown"], desired_on=True),
                name="card_off_though_wanted",
            ),
            # What people of its merchant are to learn.
            models.Index(
                fields=["merchant"],
                condition=Q(
                    confirmed__in=["inactive", "held", "retired"],
                    desired_on=True,
                    off_since__isnull=False,
                ),
                name="card_fell_silent",
            ),
            # What staff look at in «Расхождения»; the reasons are those of `rules.FOREIGN_BLOCKS`.
            models.Index(
                fields=["account"],
                condition=Q(confirmed__in=["held", "retired"])
                | Q(
                    confirmed="inactive",
                    block_reason__in=[
                        "debt",
                        "fraud",
                        "stolen",
                        "operator",
                        "law",
                        "limit",
                        "imei",
                    ],
                )
                | Q(lost_to_operator_at__isnull=False)
                | (~Q(seen_msisdn="") & ~Q(seen_msisdn=F("msisdn"))),
                name="card_differs",
            ),
            # Staff search by a part of it.
            GinIndex(fields=["iccid"], opclasses=["gin_trgm_ops"], name="card_iccid_trigrams"),
            models.Index(fields=["merchant", "list_key", "id"], name="card_list_order"),
        ]

    def __str__(self) -> str:
        return f"{self.account} …{self.iccid[-4:]}"


class PaidCardsDraft(models.Model):
    """What a person has ticked and unticked in «Выбрать карты» and not saved yet, against what is paid now."""

    merchant = models.ForeignKey(Merchant, models.CASCADE, related_name="+", verbose_name="клиент")
    user = models.ForeignKey(User, models.CASCADE, related_name="+", verbose_name="кто")
    ticked = ArrayField(models.BigIntegerField(), verbose_name="отмечены", default=list)
    unticked = ArrayField(models.BigIntegerField(), verbose_name="отметка снята", default=list)
    changed_at = models.DateTimeField("когда")

    class Meta:
        verbose_name = "черновик выбора карт"
        verbose_name_plural = "черновики выбора карт"
        constraints = [
            models.UniqueConstraint(fields=["merchant", "user"], name="paid_cards_draft_once")
        ]

    def __str__(self) -> str:
        return f"{self.merchant}, {localtime(self.changed_at):%d.%m.%Y %H:%M}"


class Coverage(models.Model):
    """This card is paid by that subscription: half-open, `since` to `till`."""

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
        indexes = [
            models.Index(fields=["till"], condition=Q(till__isnull=False), name="coverage_by_end"),
        ]

    def __str__(self) -> str:
        return f"{self.card} с {localtime(self.since):%d.%m.%Y}"


class CardWithdrawal(models.Model):
    """How a card stood when it left use: what its return or its replacement restores.

    Open while the card is out of use and nothing has taken over from it: `ended_at` is set when it is
    found or replaced. `subscription` paid for it, None where nobody did.
    """

    card = models.ForeignKey(
        SmartCard, models.CASCADE, related_name="withdrawals", verbose_name="смарт-карта"
    )
    subscription = models.ForeignKey(
        Subscription, models.SET_NULL, null=True, blank=True, verbose_name="чем оплачивалась"
    )
    desired_on = models.BooleanField("была нужна включённой")
    withdrawn_at = models.DateTimeField("выведена")
    ended_at = models.DateTimeField("нашлась или заменена", null=True, blank=True)

    class Meta:
        verbose_name = "вывод смарт-карты из работы"
        verbose_name_plural = "выводы смарт-карт из работы"
        constraints = [
            models.UniqueConstraint(
                fields=["card"],
                condition=Q(ended_at__isnull=True),
                name="card_withdrawal_open_once",
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("withdrawn_at")),
                name="card_withdrawal_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.card} с {localtime(self.withdrawn_at):%d.%m.%Y}"


class Command(models.Model):
    """One switch to be sent to an operator: the outbox row. Times are UTC.

    `lease_until` with `lease_token` names the worker that may act on it now; an expired lease frees the row.
    While the outcome is unknown, `unchanged_at` is when the card was first read in its old state, and
    `not_found_at` when the operator first did not find the request.
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
    outcome_unknown_at = models.DateTimeField(
        "исход был неизвестен с", null=True, blank=True, editable=False
    )
    finished_at = models.DateTimeField("закончена", null=True, blank=True)
    unchanged_at = models.DateTimeField(
        "прочитана в прежнем состоянии", null=True, blank=True, editable=False
    )
    not_found_at = models.DateTimeField(
        "оператор не нашёл запрос", null=True, blank=True, editable=False
    )
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
            models.Index(
                fields=["account", "sent_at"],
                condition=Q(kind="deactivate", origin=30),
                name="command_automatic_off",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.card}"

    @property
    def is_automatic_off(self) -> bool:
        """A switch-off that nobody asked for; of the database: `queries.AUTOMATIC_OFF`."""
        return self.kind == CommandKind.DEACTIVATE and self.origin == Origin.RECONCILE


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


class OffNotice(models.Model):
    """People of the merchant know that this card, which is wanted on, went off.

    `back_at` is since when it works again; `ended_at` when they learnt that too, or nobody waits for it any more.
    """

    card = models.ForeignKey(
        SmartCard, models.CASCADE, related_name="off_notices", verbose_name="смарт-карта"
    )
    merchant = models.ForeignKey(Merchant, models.CASCADE, related_name="+", verbose_name="клиент")
    made_at = models.DateTimeField("сообщено")
    back_at = models.DateTimeField("снова работает с", null=True, blank=True)
    ended_at = models.DateTimeField("закончено", null=True, blank=True)

    class Meta:
        verbose_name = "сообщение об отключении"
        verbose_name_plural = "сообщения об отключении"
        constraints = [
            models.UniqueConstraint(
                fields=["card"], condition=Q(ended_at__isnull=True), name="off_notice_open_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.card} с {localtime(self.made_at):%d.%m.%Y}"


class FairShare(models.Model):
    """The last turn given to a merchant in an account's queue, so that a large merchant does not starve others."""

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
    """The one row that guards every automatic switch-off.

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


class MassOperation(models.Model):
    """Work on many cards of a merchant: listed and judged by a worker, confirmed by a person, done by a worker.

    `selection` are ids of cards, or the filter that shows them as it stands in an address. `total` is None
    until the cards are listed; `done` counts those that are judged, after confirmation those that are done.
    `starts_at`: nothing leaves before. `fee_kopecks` is what all planned switches cost, `lacking` how many
    more paid cards the choice needs, `dark_terminals` how many tills are left without a working card.
    """

    key = models.UUIDField("ключ", unique=True, editable=False)
    merchant = models.ForeignKey(
        Merchant, models.CASCADE, related_name="mass_operations", verbose_name="клиент"
    )
    action = models.CharField("что сделать", max_length=10, choices=MassAction)
    state = models.CharField(
        "состояние", max_length=10, choices=MassState, default=MassState.PREPARING
    )
    selection = models.JSONField("какие карты")
    user = models.ForeignKey(
        User, models.SET_NULL, null=True, related_name="+", verbose_name="человек"
    )
    asked_by = models.CharField("кто попросил", max_length=150)
    asked_by_kind = models.CharField("кто это", max_length=10, choices=ActorKind)
    reason = models.CharField("причина", max_length=300, blank=True)
    repeats = models.ForeignKey(
        "self", models.SET_NULL, null=True, related_name="+", verbose_name="повторяет"
    )
    created_at = models.DateTimeField("начата")
    judged_at = models.DateTimeField("проверена", null=True)
    confirmed_at = models.DateTimeField("подтверждена", null=True)
    starts_at = models.DateTimeField("отправить не раньше", null=True)
    finished_at = models.DateTimeField("закончена", null=True)
    total = models.PositiveIntegerField("всего карт", null=True)
    done = models.PositiveIntegerField("пройдено карт", default=0)
    planned = models.PositiveIntegerField("изменятся", default=0)
    fee_kopecks = models.PositiveBigIntegerField("плата, коп.", default=0)
    lacking = models.PositiveIntegerField("не хватает оплаченных", default=0)
    dark_terminals = models.PositiveIntegerField("касс без связи", default=0)

    objects = MerchantQuerySet["MassOperation"].as_manager()

    class Meta:
        verbose_name = "массовое действие"
        verbose_name_plural = "массовые действия"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=MassState.values), name="mass_operation_state_known"
            ),
            models.CheckConstraint(
                condition=Q(action__in=MassAction.values), name="mass_operation_action_known"
            ),
            models.CheckConstraint(
                condition=Q(confirmed_at__isnull=True, starts_at__isnull=True)
                & Q(state__in=[*_UNCONFIRMED, MassState.CANCELLED])
                | Q(confirmed_at__isnull=False, starts_at__isnull=False)
                & ~Q(state__in=_UNCONFIRMED),
                name="mass_operation_confirmed_at_known",
            ),
            models.CheckConstraint(
                condition=Q(state__in=_OVER, finished_at__isnull=False)
                | ~Q(state__in=_OVER) & Q(finished_at__isnull=True),
                name="mass_operation_finished_at_when_over",
            ),
            models.CheckConstraint(
                condition=~Q(asked_by_kind=ActorKind.STAFF) | ~Q(reason=""),
                name="mass_operation_of_staff_has_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["merchant", "-created_at"], name="mass_operation_by_merchant"),
            models.Index(
                fields=["state"],
                condition=Q(state__in=["preparing", "confirmed", "running", "cancelling"]),
                name="mass_operation_work",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()}, {localtime(self.created_at):%d.%m.%Y %H:%M}"


class MassOperationCard(models.Model):
    """One card of a mass operation, at its place in the list.

    `before_*` is the decision that the operation has replaced: a cancellation brings it back.
    """

    operation = models.ForeignKey(
        MassOperation, models.CASCADE, related_name="cards", verbose_name="массовое действие"
    )
    card = models.ForeignKey(
        SmartCard, models.CASCADE, related_name="+", verbose_name="смарт-карта"
    )
    position = models.PositiveIntegerField("место в списке")
    outcome = models.CharField(
        "исход", max_length=8, choices=CardOutcome, default=CardOutcome.LISTED
    )
    reason = models.CharField("причина", max_length=300, blank=True)
    command = models.ForeignKey(
        Command,
        models.SET_NULL,
        null=True,
        related_name="mass_operation_cards",
        verbose_name="команда",
    )
    fee_kopecks = models.PositiveIntegerField("плата, коп.", default=0)
    goes_dark = models.BooleanField("перестанет работать", default=False)
    done_at = models.DateTimeField("принято", null=True)
    before_on = models.BooleanField("раньше нужно было включить", null=True)
    before_at = models.DateTimeField("когда решено раньше", null=True)
    before_by = models.CharField("кем решено раньше", max_length=150, blank=True)
    before_by_kind = models.CharField("чьё решение раньше", max_length=10, blank=True)

    class Meta:
        verbose_name = "смарт-карта массового действия"
        verbose_name_plural = "смарт-карты массового действия"
        constraints = [
            models.UniqueConstraint(fields=["operation", "card"], name="mass_card_once"),
            models.CheckConstraint(
                condition=Q(outcome__in=CardOutcome.values), name="mass_card_outcome_known"
            ),
            models.CheckConstraint(
                condition=Q(outcome__in=_NOT_DONE) & ~Q(reason="")
                | ~Q(outcome__in=_NOT_DONE) & Q(reason=""),
                name="mass_card_reason_where_not_done",
            ),
            models.CheckConstraint(
                condition=~Q(outcome__in=["accepted", "reverted"]) | Q(done_at__isnull=False),
                name="mass_card_done_at_known",
            ),
            models.CheckConstraint(
                condition=Q(command__isnull=True) | Q(outcome__in=["accepted", "reverted"]),
                name="mass_card_command_where_accepted",
            ),
        ]
        indexes = [
            models.Index(fields=["operation", "outcome", "position"], name="mass_card_by_outcome"),
        ]

    def __str__(self) -> str:
        return f"{self.card}: {self.get_outcome_display()}"


class StockImport(models.Model):
    """A file of cards on its way into stock: checked, then loaded. The file itself is kept until that is over.

    `key` is made of the form's key and the file: a form sent twice is one import. `total` and `done` count
    rows while the file is checked or loaded, `good` those that may be loaded without a question. `accepted`
    are the kinds of doubtful cards that a person wants loaded. `remarks` is all that was found, as a CSV file.
    """

    key = models.UUIDField("ключ", unique=True, editable=False)
    account = models.ForeignKey(OperatorAccount, models.CASCADE, verbose_name="оператор")
    user = models.ForeignKey(
        User, models.SET_NULL, null=True, related_name="+", verbose_name="сотрудник"
    )
    file_name = models.CharField("имя файла", max_length=100)
    file = models.BinaryField("файл", null=True)
    encoding = models.CharField("кодировка", max_length=20, blank=True)
    state = models.CharField(
        "состояние", max_length=10, choices=ImportState, default=ImportState.CHECKING
    )
    created_at = models.DateTimeField("начата")
    changed_at = models.DateTimeField("состояние с")
    attempts = models.PositiveSmallIntegerField("попыток", default=0)
    total = models.PositiveIntegerField("всего строк", default=0)
    done = models.PositiveIntegerField("пройдено строк", default=0)
    good = models.PositiveIntegerField("годных", default=0)
    added = models.PositiveIntegerField("поступило", default=0)
    accepted = models.JSONField("принятые сомнения", default=list)
    report = models.JSONField("что найдено", default=dict)
    remarks = models.BinaryField("все замечания", null=True)
    refusal = models.CharField("почему не загружен", max_length=1000, blank=True)

    class Meta:
        verbose_name = "загрузка на склад"
        verbose_name_plural = "загрузки на склад"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=ImportState.values), name="stock_import_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state__in=_OPEN_IMPORTS, file__isnull=False)
                | ~Q(state__in=_OPEN_IMPORTS) & Q(file__isnull=True),
                name="stock_import_file_until_over",
            ),
            models.CheckConstraint(
                condition=Q(state=ImportState.REFUSED) & ~Q(refusal="")
                | ~Q(state=ImportState.REFUSED) & Q(refusal=""),
                name="stock_import_refused_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.file_name
