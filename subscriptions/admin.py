"""Staff's pages about modules, tariffs, subscriptions, installations and requests to the market.

What the market or the services move is read only here; what staff may decide goes through the
services, with a reason.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from cabinet import clock
from cabinet.actors import Actor
from cabinet.admin.actor import record_change
from cabinet.admin.confirm_action import ConfirmAction, ConfirmActionAdmin
from cabinet.admin.readonly import ReadOnlyAdmin, ReadOnlyInline
from cabinet.formatting import ru_format
from cabinet.forms.company import ZONE_LABELS
from cabinet.forms.reason import ReasonForm, reason_field
from cabinet.tasks.task_queue import enqueue_on_commit
from subscriptions import queries, rules, services
from subscriptions.models import (
    Charge,
    Gift,
    Installation,
    MarketRequest,
    Module,
    Period,
    StaffStop,
    Subscription,
    Tariff,
)


def roubles(field: str, title: str) -> Callable[[Any, Model], str]:
    """A method of an admin: the sum that the model keeps in kopecks, for people."""

    @admin.display(description=title, ordering=field)
    def shown(_admin: Any, row: Model) -> str:
        kopecks = getattr(row, field)
        return "—" if kopecks is None else ru_format.money(kopecks)

    return shown


class GiftForm(ReasonForm):
    """Free days, and why."""

    days = forms.IntegerField(label="Дней", min_value=1, max_value=366)
    reason = reason_field(
        help_text="Её увидит клиент.", required="Укажите причину: её увидит клиент."
    )
    field_order = ("days", "reason")


def _give_days(row: Subscription, asked: dict[str, Any], by: Actor, at: datetime) -> None:
    services.give_days(subscription=row, days=asked["days"], reason=asked["reason"], by=by, at=at)


def _stop(row: Subscription, asked: dict[str, Any], by: Actor, at: datetime) -> None:
    services.stop_by_staff(subscription=row, reason=asked["reason"], by=by, at=at)


class PeriodInline(ReadOnlyInline):
    """Paid intervals, the latest first."""

    model = Period
    ordering = ("-starts_at",)
    fields = ("kind", "tariff", "cards", "starts_at", "ends_at", "charged")
    readonly_fields = ("charged",)

    charged = roubles("charged_kopecks", "списано")


class ChargeInline(ReadOnlyInline):
    """What the market charged, the latest first."""

    model = Charge
    ordering = ("-charged_at", "-number")
    fields = ("charged_at", "kind", "tariff", "cards", "starts_at", "ends_at", "charged", "request")
    readonly_fields = ("charged",)

    charged = roubles("kopecks", "списано")


class GiftInline(ReadOnlyInline):
    """Days given by staff, the latest first."""

    model = Gift
    ordering = ("-given_at",)


class StaffStopInline(ReadOnlyInline):
    """Stops by staff, the latest first."""

    model = StaffStop
    ordering = ("-decided_at",)


@admin.register(Subscription)
class SubscriptionAdmin(ConfirmActionAdmin):
    """Subscriptions; staff may give days and stop one that the market is silent about."""

    list_display = (
        "merchant",
        "module",
        "state",
        "tariff",
        "paid_cards",
        "paid_until",
        "entitled_until",
    )
    list_filter = ("module",)
    list_select_related = ("merchant", "module", "tariff")
    search_fields = ("external_id", "merchant__name", "merchant__inn", "merchant__evotor_user_id")
    inlines = (ChargeInline, PeriodInline, GiftInline, StaffStopInline)
    fields = (
        "merchant",
        "module",
        "state",
        "external_id",
        "tariff",
        "plan_id",
        "paid_cards",
        "anchor_day",
        "created_at",
        "trial_until",
        "paid_until",
        "stop_requested_at",
        "terminated_at",
        "entitled_from",
        "entitled_until",
        "end_for_merchant",
        "charged",
        "last_event_at",
    )
    readonly_fields = ("state", "end_for_merchant", "charged")

    charged = roubles("charged_kopecks", "последнее списание")
    confirm_actions = (
        ConfirmAction(
            "give_days",
            "Подарить дни…",
            "Подарить дни",
            "Дни подарены.",
            GiftForm,
            _give_days,
            permission="subscriptions.add_gift",
            done_many="Дни подарены подпискам",
        ),
        ConfirmAction(
            "stop",
            "Прекратить подписку…",
            "Прекратить подписку",
            "Подписка прекращена.",
            ReasonForm,
            _stop,
            permission="subscriptions.add_staffstop",
            done_many="Прекращено подписок",
        ),
    )

    @admin.display(description="состояние")
    def state(self, subscription: Subscription) -> str:
        return str(rules.state_of(subscription, clock.now()).label)

    @admin.display(description="конец, как его видит клиент")
    def end_for_merchant(self, subscription: Subscription) -> str | None:
        """The day and hour in the merchant's own zone, with the name of that zone."""
        end = subscription.entitled_until or subscription.paid_until or subscription.trial_until
        zone = subscription.merchant.timezone
        named = dict(ZONE_LABELS).get(zone, zone)
        return f"{ru_format.moment_full(end, ZoneInfo(zone))}, {named}" if end else None

    def facts_shown(self, row: Subscription) -> list[tuple[str, str]]:
        return [
            ("Клиент", str(row.merchant)),
            ("Модуль", str(row.module)),
            ("Состояние", self.state(row)),
            ("Оплачено карт", str(row.paid_cards)),
        ]


@admin.register(Installation)
class InstallationAdmin(ReadOnlyAdmin):
    """When a module was installed at whom."""

    list_display = ("merchant", "module", "installed_at", "removed_at")
    list_filter = ("module",)
    list_select_related = ("merchant", "module")
    search_fields = ("merchant__name", "merchant__evotor_user_id")


@admin.register(MarketRequest)
class MarketRequestAdmin(ReadOnlyAdmin):
    """What merchants went to the market for: our estimate beside the market's charge."""

    estimate = roubles("estimate_kopecks", "оценка")
    charged = roubles("charged_kopecks", "списано")
    list_display = (
        "merchant",
        "module",
        "kind",
        "asked_at",
        "asked_by",
        "estimate",
        "answered_at",
        "charged",
    )
    list_filter = ("kind", "module")
    list_select_related = ("merchant", "module")
    search_fields = ("merchant__name", "merchant__evotor_user_id")


class ModuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A module; its secrets can be replaced but never read back."""

    new_tokens = forms.CharField(
        label="Новые токены маркета",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off"}),
        help_text=(
            "По одному в строке; заменят введённые здесь. На время смены впишите новый и старый. "
            "Токены из окружения сервера действуют сами и меняются только там."
        ),
    )
    new_basic = forms.CharField(
        label="Новые логин:пароль маркета",
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="Заменят введённые здесь.",
    )

    class Meta:
        model = Module
        fields = ("code", "title", "description", "market_product_id", "addon_id", "enabled")

    def replaces_secrets(self) -> bool:
        """Whether anything secret was typed."""
        return bool(self.cleaned_data["new_tokens"] or self.cleaned_data["new_basic"])

    def save(self, commit: bool = True) -> Any:
        self.instance.app_tokens = self.cleaned_data["new_tokens"] or self.instance.app_tokens
        self.instance.basic_auth = self.cleaned_data["new_basic"] or self.instance.basic_auth
        return super().save(commit)


@admin.register(Module)
class ModuleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Modules; saving one processes again what was parked for an unknown module."""

    form = ModuleForm
    list_display = ("title", "code", "market_product_id", "enabled", "secrets")
    readonly_fields = ("secrets",)

    @admin.display(description="секреты маркета")
    def secrets(self, module: Module) -> str:
        tokens = _from_where(len(module.app_tokens.split()), len(settings.EVOTOR_APP_TOKENS))
        logins = _from_where(int(bool(module.basic_auth)), int(bool(settings.EVOTOR_BASIC)))
        return (
            f"токены: {tokens.format(variable='EVOTOR_APP_TOKEN')}; "
            f"логин и пароль: {logins.format(variable='EVOTOR_BASIC')}"
        )

    def save_model(self, request: HttpRequest, obj: Module, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        secret = " Секреты маркета заменены." if form.replaces_secrets() else ""
        record_change(
            request,
            obj,
            "edited",
            f"Модуль «{obj.title}» {'изменён' if change else 'добавлен'}.{secret}",
        )
        enqueue_on_commit("evotor.revive")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def _from_where(here: int, outside: int) -> str:
    """How many secrets come from this page, and how many from the environment's `{variable}`."""
    places = ((here, "введено здесь"), (outside, "из переменной окружения {variable}"))
    return ", ".join(f"{place}: {number}" for number, place in places if number) or "нет"


@admin.register(Tariff)
class TariffAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A tariff is edited until somebody has taken it; after that it can only be archived."""

    list_display = ("title", "module", "plan_id", "months", "price", "archived_at")
    list_filter = ("module", "months")
    price = roubles("price_kopecks", "цена карты за период")
    bought = ("module", "plan_id", "title", "months", "price_kopecks", "trial_days")
    switching = (
        "activation_fee_kopecks",
        "deactivation_fee_kopecks",
        "min_active_days",
        "min_inactive_days",
    )
    fieldsets = (
        (None, {"fields": (*bought, "archived_at")}),
        (
            "Условия переключения",
            {
                "fields": switching,
                "description": "Клиент видит их перед включением и отключением смарт-карты. "
                "Пустое поле — как в договоре с оператором, ноль — без платы или без срока.",
            },
        ),
    )

    def get_readonly_fields(
        self, request: HttpRequest, obj: Tariff | None = None
    ) -> tuple[str, ...]:
        is_used = obj is not None and queries.is_used(obj)
        return (*self.bought, *self.switching) if is_used else ()

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        unused = isinstance(obj, Tariff) and not queries.is_used(obj)
        return unused and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Tariff, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        record_change(
            request, obj, "edited", f"Тариф «{obj.title}» {'изменён' if change else 'добавлен'}."
        )
        # Events of this plan may wait for it.
        enqueue_on_commit("evotor.revive")
