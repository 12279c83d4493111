"""What the merchant has paid for: modules, tariffs, subscriptions, periods, gifts."""

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeBoundary, RangeOperators
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Func, Q
from django.utils.timezone import localtime

from cabinet.crypto import EncryptedTextField
from cabinet.formatting import ru_format
from cabinet.models import Merchant
from cabinet.tenancy import MerchantQuerySet
from subscriptions.states import MONTHS, ChargeKind, PeriodKind


class Module(models.Model):
    """What is installed and subscribed to; «Кассовые сервисы» is the first."""

    code = models.SlugField("код", max_length=32, unique=True)
    title = models.CharField("название", max_length=100)
    description = models.TextField("описание", blank=True)
    market_product_id = models.UUIDField("productId в маркете", unique=True)
    addon_id = models.CharField(
        "опция маркета, считающая карты",
        max_length=100,
        blank=True,
        help_text="Количество опции прибавляется.",
    )
    app_tokens = EncryptedTextField(
        "токены маркета",
        blank=True,
        default="",
        help_text="По одному в строке: новый и старый на время смены.",
    )
    basic_auth = EncryptedTextField("логин:пароль маркета", blank=True, default="")
    enabled = models.BooleanField("предлагается", default=True)

    class Meta:
        verbose_name = "модуль"
        verbose_name_plural = "модули"

    def __str__(self) -> str:
        return self.title


class Installation(models.Model):
    """The module is in the merchant's Evotor cabinet: since, till."""

    merchant = models.ForeignKey(
        Merchant, models.CASCADE, related_name="installations", verbose_name="клиент"
    )
    module = models.ForeignKey(Module, models.PROTECT, verbose_name="модуль")
    installed_at = models.DateTimeField("установлен")
    removed_at = models.DateTimeField("удалён", null=True, blank=True)

    objects = MerchantQuerySet["Installation"].as_manager()

    class Meta:
        verbose_name = "установка"
        verbose_name_plural = "установки"
        constraints = [
            models.UniqueConstraint(
                fields=["merchant", "module"],
                condition=Q(removed_at__isnull=True),
                name="installation_open_once",
            ),
            models.CheckConstraint(
                condition=Q(removed_at__isnull=True) | Q(removed_at__gte=F("installed_at")),
                name="installation_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.module} у {self.merchant}"


def _empty_or_up_to(field: str, most: int) -> Q:
    return Q(**{f"{field}__isnull": True}) | Q(**{f"{field}__range": (0, most)})


# A dearer or longer one is a slip of the pen: ten thousand roubles, a year.
MOST_SWITCH_FEE = 1_000_000
MOST_SWITCH_DAYS = 366


class Tariff(models.Model):
    """Module, period, price of one card for the whole period (kopecks). Never edited once used.

    What a switch costs (kopecks) and its shortest times (days) stand before those of the contract with
    the operator; empty ones leave them as they are there, a zero says that there is none.
    """

    module = models.ForeignKey(
        Module, models.PROTECT, related_name="tariffs", verbose_name="модуль"
    )
    plan_id = models.CharField("planId в маркете", max_length=100, unique=True)
    title = models.CharField("название", max_length=100)
    months = models.PositiveSmallIntegerField("период", choices=MONTHS)
    price_kopecks = models.PositiveBigIntegerField("цена одной карты за период, коп.")
    trial_days = models.PositiveSmallIntegerField("пробных дней", default=0)
    activation_fee_kopecks = models.PositiveIntegerField(
        "плата за включение, коп.", null=True, blank=True
    )
    deactivation_fee_kopecks = models.PositiveIntegerField(
        "плата за отключение, коп.", null=True, blank=True
    )
    min_active_days = models.PositiveSmallIntegerField(
        "наименьший срок работы, дней", null=True, blank=True
    )
    min_inactive_days = models.PositiveSmallIntegerField(
        "наименьший срок отключения, дней", null=True, blank=True
    )
    archived_at = models.DateTimeField("в архиве с", null=True, blank=True)

    class Meta:
        verbose_name = "тариф"
        verbose_name_plural = "тарифы"
        constraints = [
            models.CheckConstraint(condition=Q(months__in=[1, 3, 12]), name="tariff_months_known"),
            models.CheckConstraint(condition=Q(price_kopecks__gt=0), name="tariff_price_positive"),
            models.CheckConstraint(
                condition=_empty_or_up_to("activation_fee_kopecks", MOST_SWITCH_FEE)
                & _empty_or_up_to("deactivation_fee_kopecks", MOST_SWITCH_FEE),
                name="tariff_switch_fees_in_range",
                violation_error_message="Плата за переключение не\u00a0больше 1\u00a0000\u00a0000\u00a0коп.",
            ),
            models.CheckConstraint(
                condition=_empty_or_up_to("min_active_days", MOST_SWITCH_DAYS)
                & _empty_or_up_to("min_inactive_days", MOST_SWITCH_DAYS),
                name="tariff_switch_days_in_range",
                violation_error_message="Наименьший срок не\u00a0больше 366\u00a0дней.",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class Subscription(models.Model):
    """What a merchant has subscribed to in the market for one module. Several at once add up.

    The row is a projection of the fold over its stored events; besides it only gifts and stops of
    staff move its entitlement. `entitled_until` is the instant the cards go off; empty while it is
    not known (what was paid runs on, or the market is still trying to charge).
    """

    merchant = models.ForeignKey(
        Merchant, models.CASCADE, related_name="subscriptions", verbose_name="клиент"
    )
    module = models.ForeignKey(Module, models.PROTECT, verbose_name="модуль")
    external_id = models.CharField("номер в Эвотор", max_length=64)
    tariff = models.ForeignKey(
        Tariff,
        models.PROTECT,
        null=True,
        blank=True,
        verbose_name="тариф",
        related_name="subscriptions",
    )
    plan_id = models.CharField("planId", max_length=100, blank=True)
    paid_cards = models.PositiveIntegerField("оплачено карт", default=1)
    anchor_day = models.PositiveSmallIntegerField("день оплаты", null=True, blank=True)
    created_at = models.DateTimeField("оформлена")
    trial_until = models.DateTimeField("пробный период до", null=True, blank=True)
    paid_until = models.DateTimeField("оплачено до", null=True, blank=True)
    stop_requested_at = models.DateTimeField("остановка запрошена", null=True, blank=True)
    terminated_at = models.DateTimeField("прекращена", null=True, blank=True)
    entitled_from = models.DateTimeField("действует с", null=True, blank=True)
    entitled_until = models.DateTimeField("действует до", null=True, blank=True)
    gifts_until = models.DateTimeField("подарено до", null=True, blank=True)
    charged_kopecks = models.PositiveBigIntegerField(
        "последнее списание, коп.", null=True, blank=True
    )
    last_event_at = models.DateTimeField("последнее событие", null=True, blank=True)

    objects = MerchantQuerySet["Subscription"].as_manager()

    class Meta:
        verbose_name = "подписка"
        verbose_name_plural = "подписки"
        constraints = [
            models.UniqueConstraint(fields=["external_id"], name="subscription_once"),
            models.CheckConstraint(
                condition=Q(anchor_day__isnull=True) | Q(anchor_day__range=(1, 31)),
                name="subscription_anchor_day",
            ),
            models.CheckConstraint(
                condition=Q(entitled_until__isnull=True)
                | Q(entitled_from__isnull=False, entitled_until__gte=F("entitled_from")),
                name="subscription_entitled_in_order",
            ),
        ]
        indexes = [
            models.Index(fields=["entitled_until"], name="subscription_by_end"),
        ]

    def __str__(self) -> str:
        return f"{self.module} {self.external_id[:8]}"

    @property
    def plan_title(self) -> str:
        """The period as people and the market call it, «12 месяцев»; the market's `planId` where it is no
        tariff of ours.
        """
        return ru_format.months(self.tariff.months) if self.tariff else self.plan_id


class TsTzRange(Func):
    """`tstzrange(starts, ends, '[)')` for the exclusion constraint."""

    function = "TSTZRANGE"
    output_field = DateTimeRangeField()


class Period(models.Model):
    """One paid or trial interval, half-open; two of one subscription never overlap."""

    subscription = models.ForeignKey(
        Subscription, models.CASCADE, related_name="periods", verbose_name="подписка"
    )
    kind = models.CharField("вид", max_length=10, choices=PeriodKind)
    tariff = models.ForeignKey(Tariff, models.PROTECT, null=True, blank=True, verbose_name="тариф")
    cards = models.PositiveIntegerField("карт")
    starts_at = models.DateTimeField("с")
    ends_at = models.DateTimeField("до")
    charged_kopecks = models.PositiveBigIntegerField("списано, коп.", null=True, blank=True)

    class Meta:
        verbose_name = "период"
        verbose_name_plural = "периоды"
        constraints = [
            ExclusionConstraint(
                name="period_no_overlap",
                expressions=[
                    ("subscription", RangeOperators.EQUAL),
                    (
                        TsTzRange("starts_at", "ends_at", RangeBoundary()),
                        RangeOperators.OVERLAPS,
                    ),
                ],
            ),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="period_not_empty"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=PeriodKind.values), name="period_kind_known"
            ),
        ]
        indexes = [
            models.Index(fields=["ends_at"], name="period_by_end"),
        ]

    def __str__(self) -> str:
        return f"{localtime(self.starts_at):%d.%m.%Y} — {localtime(self.ends_at):%d.%m.%Y}"


class Charge(models.Model):
    """What the market charged at one of its events, and for what. It stays as it was, kept for ever.

    A payment pays `cards` on `tariff` for [starts_at, ends_at). A change inside a paid period, which began
    at `period_starts_at`, pays the difference to the terms before it for the rest of the period.
    `kopecks` is 0 where nothing was charged, empty where the market named no sum in roubles. `request` is
    the merchant's own step in our cabinet that led to it.
    """

    subscription = models.ForeignKey(
        Subscription, models.CASCADE, related_name="charges", verbose_name="подписка"
    )
    number = models.PositiveIntegerField("номер события")
    kind = models.CharField("за что", max_length=10, choices=ChargeKind)
    charged_at = models.DateTimeField("когда")
    kopecks = models.PositiveBigIntegerField("списано, коп.", null=True, blank=True)
    tariff = models.ForeignKey(
        Tariff, models.PROTECT, null=True, blank=True, related_name="+", verbose_name="тариф"
    )
    cards = models.PositiveIntegerField("карт")
    tariff_before = models.ForeignKey(
        Tariff,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name="прежний тариф",
    )
    cards_before = models.PositiveIntegerField("карт раньше")
    period_starts_at = models.DateTimeField("начало периода")
    starts_at = models.DateTimeField("с")
    ends_at = models.DateTimeField("до")
    request = models.ForeignKey(
        "MarketRequest",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="charges",
        verbose_name="переход в маркет",
    )

    class Meta:
        verbose_name = "списание"
        verbose_name_plural = "списания"
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "number"], name="charge_once_for_an_event"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=ChargeKind.values), name="charge_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(period_starts_at__lte=F("starts_at"), starts_at__lte=F("ends_at")),
                name="charge_dates_in_order",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {localtime(self.charged_at):%d.%m.%Y}"


class Gift(models.Model):
    """Days given by staff with a reason: the subscription counts as entitled through them."""

    subscription = models.ForeignKey(
        Subscription, models.CASCADE, related_name="gifts", verbose_name="подписка"
    )
    starts_at = models.DateTimeField("с")
    ends_at = models.DateTimeField("до")
    days = models.PositiveSmallIntegerField("дней", validators=[MinValueValidator(1)])
    reason = models.CharField("причина", max_length=300)
    given_by = models.CharField("кто подарил", max_length=150)
    given_at = models.DateTimeField("когда")

    class Meta:
        verbose_name = "подаренные дни"
        verbose_name_plural = "подаренные дни"
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="gift_not_empty"),
            models.CheckConstraint(condition=~Q(reason=""), name="gift_has_reason"),
        ]

    def __str__(self) -> str:
        return ru_format.days(self.days)


class StaffStop(models.Model):
    """Staff ended a subscription with a reason. A later payment beyond `ends_at` outweighs it."""

    subscription = models.ForeignKey(
        Subscription, models.CASCADE, related_name="staff_stops", verbose_name="подписка"
    )
    ends_at = models.DateTimeField("прекратить с")
    reason = models.CharField("причина", max_length=300)
    decided_by = models.CharField("кто решил", max_length=150)
    decided_at = models.DateTimeField("когда решено")
    cancelled_at = models.DateTimeField("отменено", null=True, blank=True)

    class Meta:
        verbose_name = "прекращение сотрудником"
        verbose_name_plural = "прекращения сотрудниками"
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="staff_stop_has_reason"),
            models.UniqueConstraint(
                fields=["subscription"],
                condition=Q(cancelled_at__isnull=True),
                name="staff_stop_open_once",
            ),
        ]

    def __str__(self) -> str:
        return f"с {localtime(self.ends_at):%d.%m.%Y}"


class MarketRequest(models.Model):
    """The merchant went to the market's page to do something; we wait for the hook.

    `tariff` and `cards` are what they are going to choose there, where that was said here.
    """

    class Kind(models.TextChoices):
        INSTALL = "install", "установка"
        REMOVE = "remove", "удаление"
        RENEW = "renew", "продление"
        CHANGE = "change", "смена тарифа или числа карт"
        STOP = "stop", "остановка"
        RESUME = "resume", "возобновление"

    merchant = models.ForeignKey(
        Merchant, models.CASCADE, related_name="market_requests", verbose_name="клиент"
    )
    module = models.ForeignKey(Module, models.PROTECT, verbose_name="модуль")
    kind = models.CharField("что", max_length=10, choices=Kind)
    asked_by = models.CharField("кто", max_length=150)
    asked_at = models.DateTimeField("когда")
    estimate_kopecks = models.PositiveBigIntegerField("оценка, коп.", null=True, blank=True)
    answered_at = models.DateTimeField("ответ Эвотор", null=True, blank=True)
    charged_kopecks = models.PositiveBigIntegerField("списано Эвотор, коп.", null=True, blank=True)
    tariff = models.ForeignKey(
        Tariff, models.PROTECT, null=True, blank=True, related_name="+", verbose_name="на тариф"
    )
    cards = models.PositiveIntegerField("на столько карт", null=True, blank=True)

    objects = MerchantQuerySet["MarketRequest"].as_manager()

    class Meta:
        verbose_name = "переход в маркет"
        verbose_name_plural = "переходы в маркет"
        constraints = [
            models.UniqueConstraint(
                fields=["merchant", "module", "kind"],
                condition=Q(answered_at__isnull=True),
                name="market_request_open_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.module}"
