"""The floor's tables: people, merchants, shops and terminals, the audit, what staff should look at."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.timezone import localtime

from cabinet.states import ActorKind, DocumentKind, Role
from cabinet.tenancy import MerchantQuerySet


class UserManager(BaseUserManager["User"]):
    """Creates people; a merchant's person has no password, the phone is the proof."""

    def create_user(self, username: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(username=username, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, username: str, password: str, **fields: Any) -> "User":
        return self.create_user(username, password, is_staff=True, is_superuser=True, **fields)

    def for_phone(self, phone: str) -> "User":
        """The person with this phone (E.164 without plus); made if there is none."""
        user, _ = self.get_or_create(phone=phone, defaults={"username": phone, "password": "!"})
        return user


class User(AbstractBaseUser, PermissionsMixin):
    """A person: signs in by phone and code, or, as staff, by name and password."""

    username = models.CharField("имя для входа", max_length=64, unique=True)
    phone = models.CharField("телефон", max_length=15, unique=True, null=True, blank=True)
    email = models.EmailField("эл. почта", blank=True)
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


class Merchant(models.Model):
    """One Evotor account: the owner of shops, cards, subscriptions and orders."""

    evotor_user_id = models.CharField(
        "userId Эвотор", max_length=18, unique=True, null=True, blank=True
    )
    name = models.CharField("название", max_length=200, blank=True)
    inn = models.CharField("ИНН", max_length=12, blank=True, db_index=True)
    kpp = models.CharField("КПП", max_length=9, blank=True)
    ogrn = models.CharField("ОГРН", max_length=15, blank=True)
    address = models.CharField("адрес", max_length=300, blank=True)
    phone = models.CharField("телефон", max_length=15, blank=True)
    email = models.EmailField("эл. почта", blank=True)
    timezone = models.CharField("часовой пояс", max_length=64, default="Europe/Moscow")
    created_at = models.DateTimeField("создан")

    class Meta:
        verbose_name = "клиент"
        verbose_name_plural = "клиенты"
        constraints = [
            models.CheckConstraint(
                condition=Q(evotor_user_id__isnull=True)
                | Q(evotor_user_id__regex=r"^[0-9]{2}-[0-9]{15}$"),
                name="merchant_evotor_user_id_format",
                violation_error_message="userId Эвотор выглядит так: 01-000000000000001.",
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


class Shop(models.Model):
    """A shop of the merchant, as Evotor's cloud tells; the copy survives the module's removal."""

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
    """One code sent to one phone: six digits, ten minutes, five tries, used once."""

    phone = models.CharField("телефон", max_length=15)
    code_hash = models.CharField("отпечаток кода", max_length=64)
    address = models.GenericIPAddressField("адрес посетителя", null=True, blank=True)
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
        ]
        constraints = [
            models.CheckConstraint(condition=Q(tries__lte=5), name="login_code_five_tries"),
        ]

    def __str__(self) -> str:
        return f"код от {localtime(self.sent_at):%d.%m.%Y %H:%M}"


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
    """What changed, who did it, when and why. No foreign keys: the journal never blocks a delete."""

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
    """Something a member of staff should look at; one open row for one matter (`key`)."""

    key = models.CharField("о чём", max_length=150)
    text = models.CharField("что случилось", max_length=500)
    merchant_id = models.BigIntegerField("клиент", null=True, blank=True)
    link = models.CharField("страница", max_length=200, blank=True)
    raised_at = models.DateTimeField("появилось")
    seen_times = models.PositiveIntegerField("повторов", default=1)
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
