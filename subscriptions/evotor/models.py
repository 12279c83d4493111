"""The market's side: accounts and tokens, the inbox of raw deliveries, the stored events."""

from enum import StrEnum

from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper
from django.utils.timezone import localtime

from cabinet.crypto import EncryptedTextField
from cabinet.inbox.models import InboxMessage
from cabinet.models import Merchant


class Hook(StrEnum):
    """The hook that received a delivery."""

    SUBSCRIPTION = "subscription/event"
    INSTALLATION = "installation/event"
    DEVICES = "inventories/devices"
    STORES = "inventories/stores"

    @property
    def is_snapshot(self) -> bool:
        """Whether the body says how things are, so that the same body may come again rightly."""
        return self in {Hook.DEVICES, Hook.STORES}


class Sender(StrEnum):
    """Whose token proved a delivery, as it is stored and shown to staff."""

    APPLICATION = "приложение"
    USER = "клиент"


class Problem(models.TextChoices):
    """What a parked delivery waits for."""

    UNKNOWN_USER = "unknown_user", "Неизвестный клиент"
    UNKNOWN_PRODUCT = "unknown_product", "Неизвестный модуль"
    UNKNOWN_PLAN = "unknown_plan", "Неизвестный тариф"
    UNKNOWN_TYPE = "unknown_type", "Неизвестный тип события"
    BAD_FORM = "bad_form", "Непонятное содержание"
    FOREIGN = "foreign", "Чужая подписка"
    FOREIGN_ROWS = "foreign_rows", "Строки другого клиента в списке"
    CONFLICT = "conflict", "Спорит с уже полученным событием"
    UNPROVED = "unproved", "Пришло с ключом клиента"


class Account(models.Model):
    """An Evotor user and the two tokens between us.

    `token` is ours (given out in user/create, the market's proof towards us); `cloud_token` is
    Evotor's (user/token, our key to the cloud). Both lie encrypted; the fingerprints find them.
    """

    merchant = models.OneToOneField(
        Merchant, models.CASCADE, related_name="evotor_account", verbose_name="клиент"
    )
    token = EncryptedTextField("наш токен")
    token_fingerprint = models.CharField(max_length=64, unique=True)
    cloud_token = EncryptedTextField("токен облака", blank=True, default="")
    cloud_token_fingerprint = models.CharField(max_length=64, blank=True, db_index=True)
    cloud_token_at = models.DateTimeField("токен облака получен", null=True, blank=True)
    custom_fields = models.JSONField("поля из маркета", default=dict, blank=True)
    synced_at = models.DateTimeField("магазины обновлены", null=True, blank=True)

    class Meta:
        verbose_name = "учётная запись Эвотор"
        verbose_name_plural = "учётные записи Эвотор"

    def __str__(self) -> str:
        return str(self.merchant)


class Delivery(InboxMessage):
    """One raw notification, kept before anything is done with it; the same body is kept once.

    `accepted_at`: staff believe what a merchant's own token brought. `holds_until`: until when this row
    keeps its merchant's cards from going off by themselves, where that is not the usual time.
    """

    hook = models.CharField("хук", max_length=40)
    body_hash = models.CharField("отпечаток", max_length=64)
    body = EncryptedTextField("тело")
    user_id = models.CharField("userId", max_length=18, blank=True, db_index=True)
    event_type = models.CharField("тип события", max_length=60, blank=True)
    authorized_as = models.CharField("подтверждено", max_length=20, blank=True)
    repeats = models.PositiveIntegerField("повторов", default=0)
    accepted_at = models.DateTimeField("принято сотрудником", null=True, blank=True)
    holds_until = models.DateTimeField("не отключать до", null=True, blank=True)

    class Meta:
        verbose_name = "входящее из Эвотор"
        verbose_name_plural = "входящие из Эвотор"
        constraints = [
            models.UniqueConstraint(fields=["hook", "body_hash"], name="delivery_once"),
            models.CheckConstraint(
                condition=Q(state__in=["new", "done", "parked", "failed"]),
                name="delivery_state_known",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_try_at"],
                condition=Q(state__in=["new", "failed"]),
                name="delivery_waiting",
            ),
            models.Index(
                fields=["received_at"], condition=Q(state="parked"), name="delivery_parked"
            ),
            models.Index(
                Upper("user_id"),
                condition=Q(parked_for="unproved"),
                name="delivery_unproved",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hook} {self.event_type} {localtime(self.received_at):%d.%m.%Y %H:%M:%S}"


class SubscriptionEvent(models.Model):
    """One event of one market subscription. Same number with another body is kept as a conflict."""

    delivery = models.OneToOneField(
        Delivery, models.PROTECT, related_name="subscription_event", verbose_name="входящее"
    )
    subscription_id = models.CharField("подписка маркета", max_length=64, db_index=True)
    user_id = models.CharField("userId", max_length=18)
    product_id = models.CharField("productId", max_length=64)
    sequence_number = models.PositiveIntegerField("номер")
    type = models.CharField("тип", max_length=60)
    occurred_at = models.DateTimeField("время события")
    payload = models.JSONField("содержание")
    conflict = models.BooleanField("спорит с уже полученным", default=False)

    class Meta:
        verbose_name = "событие подписки"
        verbose_name_plural = "события подписок"
        constraints = [
            models.UniqueConstraint(
                fields=["subscription_id", "sequence_number"],
                condition=Q(conflict=False),
                name="subscription_event_once",
            ),
            models.CheckConstraint(
                condition=Q(sequence_number__gte=1), name="subscription_event_counts_from_one"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} № {self.sequence_number}"


class InstallationEvent(models.Model):
    """One install or removal; the order is by the market's own time."""

    delivery = models.OneToOneField(
        Delivery, models.PROTECT, related_name="installation_event", verbose_name="входящее"
    )
    event_id = models.CharField("номер события", max_length=64, unique=True)
    user_id = models.CharField("userId", max_length=18, db_index=True)
    product_id = models.CharField("productId", max_length=64)
    type = models.CharField("тип", max_length=60)
    occurred_at = models.DateTimeField("время события")

    class Meta:
        verbose_name = "событие установки"
        verbose_name_plural = "события установки"

    def __str__(self) -> str:
        return self.type


class GapDecision(models.Model):
    """Staff decided to apply the events behind a gap that never closed."""

    subscription_id = models.CharField("подписка маркета", max_length=64, unique=True)
    up_to_number = models.PositiveIntegerField("по номер")
    decided_by = models.CharField("кто", max_length=150)
    decided_at = models.DateTimeField("когда")
    reason = models.CharField("причина", max_length=300)

    class Meta:
        verbose_name = "решение о пропуске"
        verbose_name_plural = "решения о пропусках"

    def __str__(self) -> str:
        return f"по № {self.up_to_number}"


class EntryTicket(models.Model):
    """A one-time sign-in in a new window where the frame's cookie does not come back."""

    fingerprint = models.CharField(max_length=64, unique=True)
    merchant = models.ForeignKey(Merchant, models.CASCADE, verbose_name="клиент")
    expires_at = models.DateTimeField("годен до")
    used_at = models.DateTimeField("использован", null=True, blank=True)
    used_by = models.CharField("браузер", max_length=64, blank=True, default="", db_default="")

    class Meta:
        verbose_name = "билет входа"
        verbose_name_plural = "билеты входа"

    def __str__(self) -> str:
        return f"билет {self.pk}"
