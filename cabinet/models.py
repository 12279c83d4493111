"""Tables: people, merchants, shops, terminals, messages, legal documents, audit log, alerts, heartbeats."""

import secrets
from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.contrib.sessions.models import Session
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Upper
from django.utils import timezone
from django.utils.timezone import localtime

from cabinet.crypto import EncryptedTextField
from cabinet.enums import (
    EVOTOR_USER_ID,
    ActorKind,
    DocumentKind,
    MessageChannel,
    MessageEvent,
    MessageState,
    Role,
    SessionKind,
    StaffActionState,
)
from cabinet.tenancy import MerchantQuerySet


class UserManager(BaseUserManager["User"]):
    """Creates people; a merchant's person has no password, the phone is the proof."""

    def create_user(self, username: str, password: str | None = None, **fields: Any) -> "User":
        """A new person; without a password nobody can sign in with one."""
        user = self.model(username=username, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, username: str, password: str, **fields: Any) -> "User":
        """A new member of staff with all permissions."""
        return self.create_user(username, password, is_staff=True, is_superuser=True, **fields)

    def for_phone(self, phone: str) -> "User":
        """The person with this phone (E.164 without plus); made if there is none."""
        user, _ = self.get_or_create(
            phone=phone, defaults={"username": self._free_name(phone), "password": "!"}
        )
        return user

    def _free_name(self, phone: str) -> str:
        # Somebody whose number was changed may still be called by it; operators sell such numbers again.
        taken = self.filter(username=phone).exists()
        return f"{phone}-{secrets.token_hex(4)}" if taken else phone


class User(AbstractBaseUser, PermissionsMixin):
    """A person: signs in by phone and code, or, as staff, by name and password."""

    username = models.CharField("имя для входа", max_length=64, unique=True)
    phone = models.CharField("телефон", max_length=15, unique=True, null=True, blank=True)
    email = models.EmailField("эл. почта", blank=True)
    # The address that was confirmed last: another one gets no messages.
    confirmed_email = models.EmailField(
        "подтверждённая эл. почта", blank=True, default="", db_default="", editable=False
    )
    name = models.CharField("имя", max_length=150, blank=True)
    is_staff = models.BooleanField("сотрудник сервиса", default=False)
    is_active = models.BooleanField("может входить", default=True)
    joined_at = models.DateTimeField("создан", default=timezone.now)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = "человек"
        verbose_name_plural = "люди"
        constraints = [
            models.CheckConstraint(
                condition=Q(phone__isnull=True) | Q(phone__regex=r"^[1-9][0-9]{9,14}$"),
                name="user_phone_is_e164",
                violation_error_message="Телефон записывается цифрами с кодом страны, без плюса.",
            )
        ]

    def __str__(self) -> str:
        return self.name or self.username

    @property
    def shown_name(self) -> str:
        return self.name or self.username

    @property
    def mailbox(self) -> str:
        """The e-mail that messages go to: the person's own, once it is confirmed."""
        return self.email if self.email == self.confirmed_email else ""


class Merchant(models.Model):
    """One Evotor account: the owner of shops, cards, subscriptions and orders."""

    # In the market's own spelling; two spellings of one id are one company.
    evotor_user_id = models.CharField("userId Эвотор", max_length=18, null=True, blank=True)
    name = models.CharField("название", max_length=200, blank=True)
    inn = models.CharField("ИНН", max_length=12, blank=True, db_index=True)
    kpp = models.CharField("КПП", max_length=9, blank=True)
    ogrn = models.CharField("ОГРН", max_length=15, blank=True)
    address = models.CharField("адрес", max_length=300, blank=True)
    phone = models.CharField("телефон", max_length=15, blank=True)
    email = models.EmailField("эл. почта", blank=True)
    timezone = models.CharField("часовой пояс", max_length=64, default="Europe/Moscow")
    created_at = models.DateTimeField("создан")
    # Sessions that the market opens work from then on only after a code.
    entry_code_since = models.DateTimeField(
        "вход из Эвотор с кодом с", null=True, blank=True, editable=False
    )
    # Staff want no alerts about this merchant then, but for those that cannot wait.
    silent_from = models.DateTimeField("без дел с", null=True, blank=True, editable=False)
    silent_until = models.DateTimeField("без дел до", null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "клиент"
        verbose_name_plural = "клиенты"
        constraints = [
            models.CheckConstraint(
                condition=Q(silent_from__isnull=True, silent_until__isnull=True)
                | Q(
                    silent_from__isnull=False,
                    silent_until__isnull=False,
                    silent_from__lt=F("silent_until"),
                ),
                name="merchant_silence_has_two_ends",
            ),
            models.CheckConstraint(
                condition=Q(evotor_user_id__isnull=True) | Q(evotor_user_id__regex=EVOTOR_USER_ID),
                name="merchant_evotor_user_id_format",
                violation_error_message="userId Эвотор выглядит так: 01-000000000000001.",
            ),
            models.UniqueConstraint(
                Upper("evotor_user_id"),
                name="merchant_evotor_user_id_once",
                violation_error_message="Клиент с таким userId Эвотор уже есть.",
            ),
            models.CheckConstraint(
                condition=Q(inn__regex=r"^([0-9]{10}|[0-9]{12})?$"),
                name="merchant_inn_format",
                violation_error_message="ИНН состоит из 10 или 12 цифр.",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.evotor_user_id or f"клиент {self.pk}"

    @property
    def shown_name(self) -> str:
        return self.name or "Моя компания"


class Member(models.Model):
    """A person within a merchant."""

    merchant = models.ForeignKey(
        Merchant, models.CASCADE, related_name="members", verbose_name="клиент"
    )
    user = models.ForeignKey(
        User, models.CASCADE, related_name="memberships", verbose_name="человек"
    )
    # What the company wrote: a person's own name is not shown to whoever types their phone.
    name = models.CharField("имя в компании", max_length=150, blank=True, db_default="")
    role = models.CharField("роль", max_length=10, choices=Role)
    created_at = models.DateTimeField("добавлен")

    objects = MerchantQuerySet["Member"].as_manager()

    class Meta:
        verbose_name = "сотрудник клиента"
        verbose_name_plural = "сотрудники клиентов"
        constraints = [
            models.UniqueConstraint(fields=["merchant", "user"], name="member_once_per_merchant"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="member_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} — {self.get_role_display()}"

    @property
    def shown_name(self) -> str:
        return self.name or self.user.shown_name


class Shop(models.Model):
    """A shop of the merchant, as Evotor's cloud reports it; the copy survives the module's removal."""

    merchant = models.ForeignKey(
        Merchant, models.CASCADE, related_name="shops", verbose_name="клиент"
    )
    evotor_id = models.CharField("номер в Эвотор", max_length=64)
    name = models.CharField("название", max_length=200)
    address = models.CharField("адрес", max_length=300, blank=True)
    seen_at = models.DateTimeField("обновлён")
    gone_at = models.DateTimeField("удалён в Эвотор", null=True, blank=True)

    objects = MerchantQuerySet["Shop"].as_manager()

    class Meta:
        verbose_name = "магазин"
        verbose_name_plural = "магазины"
        constraints = [models.UniqueConstraint(fields=["merchant", "evotor_id"], name="shop_once")]

    def __str__(self) -> str:
        return self.name


class Terminal(models.Model):
    """A smart terminal («касса») of the merchant."""

    merchant = models.ForeignKey(
        Merchant, models.CASCADE, related_name="terminals", verbose_name="клиент"
    )
    shop = models.ForeignKey(
        Shop,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="terminals",
        verbose_name="магазин",
    )
    evotor_id = models.CharField("номер в Эвотор", max_length=64)
    name = models.CharField("название", max_length=200)
    serial_number = models.CharField("серийный номер", max_length=32, blank=True)
    imei = models.CharField("IMEI", max_length=16, blank=True)
    model = models.CharField("модель", max_length=32, blank=True)
    seen_at = models.DateTimeField("обновлена")
    gone_at = models.DateTimeField("удалена в Эвотор", null=True, blank=True)

    objects = MerchantQuerySet["Terminal"].as_manager()

    class Meta:
        verbose_name = "касса"
        verbose_name_plural = "кассы"
        constraints = [
            models.UniqueConstraint(fields=["merchant", "evotor_id"], name="terminal_once")
        ]

    def __str__(self) -> str:
        return self.name


class LoginCode(models.Model):
    """One code sent to one phone for one browser: six digits, ten minutes, five tries, used once."""

    phone = models.CharField("телефон", max_length=15)
    code_hash = models.CharField("отпечаток кода", max_length=64)
    address = models.GenericIPAddressField("адрес посетителя", null=True, blank=True)
    # Fingerprint of what only the asking browser knows; empty where a session keeps the row's number.
    browser = models.CharField("отпечаток браузера", max_length=64, blank=True, db_default="")
    is_known = models.BooleanField("знакомый браузер", default=False, db_default=False)
    sent_at = models.DateTimeField("отправлен")
    expires_at = models.DateTimeField("годен до")
    tries = models.PositiveSmallIntegerField("попыток", default=0)
    used_at = models.DateTimeField("использован", null=True, blank=True)

    class Meta:
        verbose_name = "код входа"
        verbose_name_plural = "коды входа"
        indexes = [
            models.Index(fields=["phone", "-sent_at"], name="login_code_by_phone"),
            models.Index(fields=["address", "-sent_at"], name="login_code_by_address"),
            models.Index(fields=["browser", "-sent_at"], name="login_code_by_browser"),
            models.Index(fields=["sent_at"], name="login_code_by_time"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(tries__lte=5), name="login_code_five_tries"),
        ]

    def __str__(self) -> str:
        return f"код от {localtime(self.sent_at):%d.%m.%Y %H:%M}"


class MessagePreference(models.Model):
    """A member wants, or does not want, messages about an event by a channel; without a row the default counts."""

    member = models.ForeignKey(
        Member, models.CASCADE, related_name="preferences", verbose_name="сотрудник клиента"
    )
    event = models.CharField("о чём", max_length=20, choices=MessageEvent)
    channel = models.CharField("как", max_length=5, choices=MessageChannel)
    wanted = models.BooleanField("присылать")

    class Meta:
        verbose_name = "выбор сообщений"
        verbose_name_plural = "выбор сообщений"
        constraints = [
            models.UniqueConstraint(
                fields=["member", "event", "channel"], name="message_preference_once"
            ),
            models.CheckConstraint(
                condition=Q(event__in=MessageEvent.values), name="message_preference_event_known"
            ),
            models.CheckConstraint(
                condition=Q(channel__in=MessageChannel.values),
                name="message_preference_channel_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_event_display()}, {self.get_channel_display()}"


class Notice(models.Model):
    """One thing that people of a merchant learn once: its key makes messages a single time.

    `target_id` is the row it is about where code looks for it again; `happened_at` may be long before
    `created_at`, after an outage of ours.
    """

    key = models.CharField("ключ", max_length=150, unique=True)
    event = models.CharField("о чём", max_length=20, choices=MessageEvent)
    merchant_id = models.BigIntegerField("клиент")
    target_id = models.BigIntegerField("к чему относится", null=True, blank=True)
    happened_at = models.DateTimeField("когда случилось")
    created_at = models.DateTimeField("создано")

    class Meta:
        verbose_name = "событие для сообщений"
        verbose_name_plural = "события для сообщений"
        indexes = [
            models.Index(fields=["event", "target_id"], name="notice_by_target"),
            models.Index(fields=["merchant_id", "event", "created_at"], name="notice_by_merchant"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(event__in=MessageEvent.values), name="notice_event_known"
            ),
            models.CheckConstraint(condition=~Q(key=""), name="notice_has_key"),
        ]

    def __str__(self) -> str:
        return self.get_event_display()


class Message(models.Model):
    """One SMS or e-mail of the outbox: stored first, sent by a worker, each attempt at most once.

    The text of a code is never stored: the process that made the code sends it at once. One with a `notice`
    may be put together with others. With a `quiet_zone` it waits through the night there; after `expires_at`
    it says nothing to anybody.
    """

    notice = models.ForeignKey(
        Notice, models.PROTECT, null=True, blank=True, editable=False, verbose_name="событие"
    )
    quiet_zone = models.CharField(
        "ночью не отправлять, пояс", max_length=64, blank=True, default="", db_default=""
    )
    expires_at = models.DateTimeField("нужно до", null=True, blank=True)

    event = models.CharField("о чём", max_length=20, choices=MessageEvent)
    channel = models.CharField("как", max_length=5, choices=MessageChannel)
    user = models.ForeignKey(
        User,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="messages",
        verbose_name="человек",
    )
    merchant_id = models.BigIntegerField("клиент", null=True, blank=True)
    to = models.CharField("кому", max_length=254)
    subject = models.CharField("тема", max_length=200, blank=True)
    text = models.TextField("текст", blank=True)
    state = models.CharField("состояние", max_length=8, choices=MessageState)
    tries = models.PositiveSmallIntegerField("попыток", default=0)
    created_at = models.DateTimeField("создано")
    next_try_at = models.DateTimeField("следующая попытка", null=True, blank=True)
    changed_at = models.DateTimeField("состояние с")
    detail = models.CharField("ответ шлюза", max_length=100, blank=True)

    class Meta:
        verbose_name = "сообщение"
        verbose_name_plural = "сообщения"
        indexes = [
            models.Index(
                fields=["next_try_at"],
                condition=Q(state=MessageState.QUEUED),
                name="message_due",
            ),
            models.Index(
                fields=["changed_at"],
                condition=Q(state=MessageState.SENDING),
                name="message_being_sent",
            ),
            models.Index(fields=["created_at"], name="message_by_age"),
            models.Index(fields=["to", "changed_at"], name="message_by_recipient"),
            models.Index(fields=["merchant_id", "-created_at"], name="message_by_merchant"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["notice", "user", "channel"],
                condition=Q(notice__isnull=False),
                name="message_once_of_a_notice",
            ),
            models.CheckConstraint(
                condition=Q(event__in=MessageEvent.values), name="message_event_known"
            ),
            models.CheckConstraint(
                condition=Q(channel__in=MessageChannel.values), name="message_channel_known"
            ),
            models.CheckConstraint(
                condition=Q(state__in=MessageState.values), name="message_state_known"
            ),
            models.CheckConstraint(condition=~Q(to=""), name="message_has_recipient"),
            models.CheckConstraint(
                condition=~Q(event=MessageEvent.CODE) | Q(text=""),
                name="message_keeps_no_code",
            ),
            models.CheckConstraint(
                condition=Q(state=MessageState.QUEUED, next_try_at__isnull=False)
                | ~Q(state=MessageState.QUEUED) & Q(next_try_at__isnull=True),
                name="message_queued_has_next_try",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_event_display()}, {self.get_channel_display()}"


class StepUpPass(models.Model):
    """A code that staff gave out to a person who lost the phone: confirms one session, once."""

    user = models.ForeignKey(
        User, models.CASCADE, related_name="step_up_passes", verbose_name="человек"
    )
    code_hash = models.CharField("отпечаток кода", max_length=64)
    issued_at = models.DateTimeField("выдан")
    expires_at = models.DateTimeField("годен до")
    tries = models.PositiveSmallIntegerField("попыток", default=0)
    used_at = models.DateTimeField("использован", null=True, blank=True)

    class Meta:
        verbose_name = "код поддержки"
        verbose_name_plural = "коды поддержки"
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=Q(used_at__isnull=True), name="step_up_pass_open_once"
            ),
            models.CheckConstraint(condition=Q(tries__lte=5), name="step_up_pass_five_tries"),
        ]

    def __str__(self) -> str:
        return f"код поддержки от {localtime(self.issued_at):%d.%m.%Y %H:%M}"


class SecondFactor(models.Model):
    """An authenticator app of one person: codes by time (RFC 6238), and recovery codes for a lost phone."""

    user = models.OneToOneField(
        User, models.CASCADE, related_name="second_factor", verbose_name="человек"
    )
    secret = EncryptedTextField("ключ приложения")
    confirmed_at = models.DateTimeField("настроен")
    last_step = models.BigIntegerField("шаг последнего принятого кода", default=0)
    recovery = ArrayField(
        models.CharField(max_length=64),
        verbose_name="отпечатки запасных кодов",
        default=list,
        blank=True,
    )
    wrong_codes = models.PositiveSmallIntegerField("неверных кодов подряд", default=0)
    wrong_since = models.DateTimeField("первый неверный код", null=True, blank=True)

    class Meta:
        verbose_name = "второй фактор"
        verbose_name_plural = "вторые факторы"
        constraints = [
            models.CheckConstraint(
                condition=Q(wrong_codes__lte=5), name="second_factor_five_wrong_codes"
            ),
        ]

    def __str__(self) -> str:
        return f"второй фактор: {self.user}"


class UserSessionQuerySet(models.QuerySet["UserSession"]):
    """Sessions of people."""

    def end(self) -> None:
        """End these sessions: their next requests are anonymous, and they are in no list any more."""
        Session.objects.filter(pk__in=self.values("session")).delete()


class UserSession(models.Model):
    """What a person sees of one of their sessions. The database deletes it together with Django's own row."""

    # The foreign key with ON DELETE CASCADE is made by the migration: sign-out stays one statement.
    session = models.OneToOneField(
        Session, models.DO_NOTHING, db_constraint=False, verbose_name="сеанс Django"
    )
    user = models.ForeignKey(User, models.CASCADE, related_name="+", verbose_name="человек")
    kind = models.CharField("вход", max_length=8, choices=SessionKind)
    browser = models.CharField("браузер", max_length=100, blank=True)
    opened_at = models.DateTimeField("открыт")
    seen_at = models.DateTimeField("последнее действие")

    objects = UserSessionQuerySet.as_manager()

    class Meta:
        verbose_name = "сеанс"
        verbose_name_plural = "сеансы"
        indexes = [models.Index(fields=["user", "-seen_at"], name="user_session_by_user")]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=SessionKind.values), name="user_session_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {localtime(self.opened_at):%d.%m.%Y %H:%M}"


class LegalDocument(models.Model):
    """A legal text that staff edit; each publication is a new version and the old ones stay."""

    kind = models.CharField("документ", max_length=10, choices=DocumentKind)
    version = models.PositiveIntegerField("редакция")
    text = models.TextField("текст", help_text="Абзацы разделяются пустой строкой.")
    published_at = models.DateTimeField("опубликован", null=True, blank=True)

    class Meta:
        verbose_name = "документ"
        verbose_name_plural = "документы"
        constraints = [
            models.UniqueConstraint(fields=["kind", "version"], name="document_version_once"),
            models.CheckConstraint(
                condition=Q(kind__in=DocumentKind.values), name="document_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, редакция {self.version}"


class Consent(models.Model):
    """A person agreed to the processing of personal data: a document of its own, with its version."""

    user = models.ForeignKey(User, models.CASCADE, related_name="consents", verbose_name="человек")
    document = models.ForeignKey(LegalDocument, models.PROTECT, verbose_name="документ")
    given_at = models.DateTimeField("дано")
    withdrawn_at = models.DateTimeField("отозвано", null=True, blank=True)

    class Meta:
        verbose_name = "согласие"
        verbose_name_plural = "согласия"
        constraints = [
            models.UniqueConstraint(fields=["user", "document"], name="consent_once_per_version"),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.document}"


class AuditEvent(models.Model):
    """What changed, who did it, when and why. No foreign keys: the audit log never blocks a delete."""

    at = models.DateTimeField("когда", db_index=True)
    merchant_id = models.BigIntegerField("клиент", null=True, db_index=True)
    target = models.CharField("вид", max_length=32)
    target_id = models.BigIntegerField("номер")
    action = models.CharField("действие", max_length=64)
    text = models.CharField("что произошло", max_length=300)
    reason = models.CharField("причина", max_length=300, blank=True)
    actor_kind = models.CharField("кто", max_length=10, choices=ActorKind)
    actor_name = models.CharField("имя", max_length=150)
    actor_id = models.BigIntegerField("номер человека", null=True)
    details = models.JSONField("подробности", default=dict, blank=True)

    class Meta:
        verbose_name = "запись журнала"
        verbose_name_plural = "журнал"
        indexes = [models.Index(fields=["target", "target_id", "-at"], name="audit_by_target")]
        constraints = [
            models.CheckConstraint(
                condition=Q(actor_kind__in=ActorKind.values), name="audit_actor_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{localtime(self.at):%d.%m.%Y %H:%M} {self.text}"


class Alert(models.Model):
    """Something a member of staff should look at; one open row for one `key`.

    `kind` and `target_id` name what the alert is about, for code that looks for open alerts; both are
    empty where no code does. One that `can_wait` is put off while its merchant is silent: nothing is lost
    meanwhile.
    """

    key = models.CharField("о чём", max_length=150)
    kind = models.CharField("вид", max_length=40, blank=True, editable=False)
    target_id = models.BigIntegerField("к чему относится", null=True, blank=True, editable=False)
    text = models.CharField("что случилось", max_length=500)
    merchant_id = models.BigIntegerField("клиент", null=True, blank=True)
    link = models.CharField("страница", max_length=200, blank=True)
    raised_at = models.DateTimeField("появилось")
    seen_times = models.PositiveIntegerField("повторов", default=1)
    can_wait = models.BooleanField("может подождать", default=False, db_default=False)
    closed_at = models.DateTimeField("закрыто", null=True, blank=True)
    closed_by = models.CharField("кем закрыто", max_length=150, blank=True)

    class Meta:
        verbose_name = "дело для сотрудника"
        verbose_name_plural = "дела для сотрудников"
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=Q(closed_at__isnull=True), name="alert_open_once"
            ),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True, closed_by="")
                | Q(closed_at__isnull=False) & ~Q(closed_by=""),
                name="alert_closed_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(kind="", target_id__isnull=True)
                | ~Q(kind="") & Q(target_id__isnull=False),
                name="alert_kind_has_target",
            ),
        ]

    def __str__(self) -> str:
        return self.text


class Heartbeat(models.Model):
    """When a regular work was last done: a silent beat is seen here, and in /health/ready."""

    name = models.CharField("работа", max_length=64, primary_key=True)
    at = models.DateTimeField("последний раз")

    class Meta:
        verbose_name = "пульс"
        verbose_name_plural = "пульс"

    def __str__(self) -> str:
        return self.name


class SubmittedForm(models.Model):
    """A form of staff that was carried out: sent again, by a second click or at once, it does nothing."""

    key = models.CharField("ключ формы", max_length=120, primary_key=True)
    at = models.DateTimeField("когда", db_index=True)

    class Meta:
        verbose_name = "отправленная форма"
        verbose_name_plural = "отправленные формы"

    def __str__(self) -> str:
        return self.key

    @classmethod
    def is_first(cls, key: str, at: datetime) -> bool:
        """Whether nobody has carried out this form; call it in the transaction that does.

        The same form sent at the same moment waits for the end of that transaction.
        """
        return cls.objects.get_or_create(key=key, defaults={"at": at})[1]


class StaffAction(models.Model):
    """An action of staff on many rows of a list, carried out by a worker; it can be looked at again.

    `key` is the form's: sent twice it is one action. `model` and `action` name what the admin registers,
    `asked` is what the form was filled in with. Each row is carried out once, in a transaction of its own.
    """

    key = models.UUIDField("ключ", unique=True, editable=False)
    model = models.CharField("вид строк", max_length=100)
    action = models.CharField("код", max_length=40)
    title = models.CharField("действие", max_length=150)
    asked = models.JSONField("что введено", default=dict)
    user = models.ForeignKey(
        User, models.SET_NULL, null=True, related_name="+", verbose_name="сотрудник"
    )
    total = models.PositiveIntegerField("выбрано", default=0)
    done = models.PositiveIntegerField("сделано", default=0)
    refused = models.PositiveIntegerField("отказано", default=0)
    created_at = models.DateTimeField("начато")
    finished_at = models.DateTimeField("закончено", null=True, blank=True)

    class Meta:
        verbose_name = "массовое действие"
        verbose_name_plural = "массовые действия"
        indexes = [
            models.Index(
                fields=["created_at"],
                condition=Q(finished_at__isnull=True),
                name="staff_action_unfinished",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(done__lte=F("total") - F("refused")), name="staff_action_counts_add_up"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title}: {self.total}"


class StaffActionRow(models.Model):
    """One row of such an action, and why it was refused."""

    action = models.ForeignKey(
        StaffAction, models.CASCADE, related_name="rows", verbose_name="массовое действие"
    )
    row_pk = models.BigIntegerField("номер строки")
    state = models.CharField("состояние", max_length=10, choices=StaffActionState)
    sentence = models.CharField("почему отказано", max_length=300, blank=True, db_default="")

    class Meta:
        verbose_name = "строка массового действия"
        verbose_name_plural = "строки массовых действий"
        indexes = [models.Index(fields=["action", "state", "id"], name="staff_action_row_by_state")]
        constraints = [
            models.UniqueConstraint(fields=["action", "row_pk"], name="staff_action_row_once"),
            models.CheckConstraint(
                condition=Q(state__in=StaffActionState.values), name="staff_action_row_state_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.row_pk}: {self.get_state_display()}"
