"""Staff's pages about modules, tariffs and subscriptions.

What the market or the services move is read only here; what staff may decide goes through the
services, with a reason typed beside the action.
"""

from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from cabinet import audit, clock
from cabinet.actors import Actor
from cabinet.admin.readonly import ReadOnlyAdmin
from cabinet.errors import Refused
from cabinet.models import User
from cabinet.services.staff import staff_actor
from cabinet.wake import wake
from subscriptions import queries, services
from subscriptions.models import (
    Gift,
    Installation,
    MarketRequest,
    Module,
    Period,
    StaffStop,
    Subscription,
    Tariff,
)


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in member of staff."""
    return staff_actor(cast("User", request.user))


class ReasonForm(ActionForm):
    """The action bar with a reason, and with days for a gift."""

    reason = forms.CharField(label="Причина", max_length=300, required=False)
    days = forms.IntegerField(label="Дней", min_value=1, max_value=366, required=False)


def may(request: HttpRequest, permission: str) -> bool:
    """Whether this member of staff carries the permission."""
    return cast("User", request.user).has_perm(permission)


class DecidingAdmin(ReadOnlyAdmin):
    """Rows to be looked at, with decisions that a service carries out."""

    def decide(
        self,
        request: HttpRequest,
        rows: QuerySet[Any],
        act: Callable[[Any], object],
        done: str,
    ) -> None:
        """Call a service for each row; each refusal is shown with the row's name."""
        number = 0
        for row in rows:
            try:
                act(row)
                number += 1
            except Refused as refusal:
                self.message_user(request, f"{row}: {refusal.sentence}", messages.ERROR)
        if number:
            self.message_user(request, f"{done}: {number}.", messages.SUCCESS)


class ReadOnlyInline(admin.TabularInline):  # type: ignore[type-arg]
    """Rows of a row, to be looked at."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ModuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A module; its secrets can be replaced but never read back."""

    new_tokens = forms.CharField(
        label="Новые токены маркета",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off"}),
        help_text="По одному в строке; заменят все прежние. На время смены впишите новый и старый.",
    )
    new_basic = forms.CharField(
        label="Новые логин:пароль маркета",
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="Заменят прежние.",
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
    form = ModuleForm
    list_display = ("title", "code", "market_product_id", "enabled", "secrets")
    readonly_fields = ("secrets",)

    @admin.display(description="секреты маркета")
    def secrets(self, module: Module) -> str:
        tokens = len(module.app_tokens.split())
        return f"токенов: {tokens}, логин и пароль: {'заданы' if module.basic_auth else 'нет'}"

    def save_model(self, request: HttpRequest, obj: Module, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        secret = " Секреты маркета заменены." if form.replaces_secrets() else ""
        _record(
            request, obj, f"Модуль «{obj.title}» {'изменён' if change else 'добавлен'}.{secret}"
        )
        wake("evotor.revive")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def _record(request: HttpRequest, target: Model, text: str) -> None:
    by = actor_of(request)
    audit.record(target=target, action="edited", text=text, by=by, at=clock.now(), merchant_id=None)


@admin.register(Tariff)
class TariffAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A tariff is edited until somebody has taken it; after that it can only be archived."""

    list_display = ("title", "module", "plan_id", "months", "price_kopecks", "archived_at")
    list_filter = ("module", "months")
    frozen = ("module", "plan_id", "title", "months", "price_kopecks", "trial_days")

    def get_readonly_fields(
        self, request: HttpRequest, obj: Tariff | None = None
    ) -> tuple[str, ...]:
        return self.frozen if obj is not None and queries.is_used(obj) else ()

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        unused = isinstance(obj, Tariff) and not queries.is_used(obj)
        return unused and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Tariff, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        _record(request, obj, f"Тариф «{obj.title}» {'изменён' if change else 'добавлен'}.")
        # Events of this plan may wait for it.
        wake("evotor.revive")


class PeriodInline(ReadOnlyInline):
    model = Period
    ordering = ("-starts_at",)


class GiftInline(ReadOnlyInline):
    model = Gift
    ordering = ("-given_at",)


class StaffStopInline(ReadOnlyInline):
    model = StaffStop
    ordering = ("-decided_at",)


@admin.register(Subscription)
class SubscriptionAdmin(DecidingAdmin):
    list_display = (
        "merchant",
        "module",
        "state",
        "tariff",
        "paid_cards",
        "paid_until",
        "entitled_until",
    )
    list_filter = ("module", "source")
    list_select_related = ("merchant", "module", "tariff")
    search_fields = ("external_id", "merchant__name", "merchant__inn", "merchant__evotor_user_id")
    inlines = (PeriodInline, GiftInline, StaffStopInline)
    action_form = ReasonForm
    actions = ("give_days", "stop")

    def has_give_permission(self, request: HttpRequest) -> bool:
        return may(request, "subscriptions.add_gift")

    def has_stop_permission(self, request: HttpRequest) -> bool:
        return may(request, "subscriptions.add_staffstop")

    @admin.display(description="состояние")
    def state(self, subscription: Subscription) -> str:
        return str(queries.state_of(subscription, clock.now()).label)

    @admin.action(description="Подарить дни (укажите число и причину)", permissions=["give"])
    def give_days(self, request: HttpRequest, rows: QuerySet[Subscription]) -> None:
        days, reason = request.POST.get("days", ""), request.POST.get("reason", "")
        number = int(days) if days.isdecimal() and len(days) < 5 else 0

        def act(row: Subscription) -> None:
            services.give_days(
                subscription=row,
                days=number,
                reason=reason,
                by=actor_of(request),
                at=clock.now(),
            )

        self.decide(request, rows, act, "Дни подарены подпискам")

    @admin.action(description="Прекратить подписку (укажите причину)", permissions=["stop"])
    def stop(self, request: HttpRequest, rows: QuerySet[Subscription]) -> None:
        reason = request.POST.get("reason", "")

        def act(row: Subscription) -> None:
            services.stop_by_staff(
                subscription=row, reason=reason, by=actor_of(request), at=clock.now()
            )

        self.decide(request, rows, act, "Прекращено подписок")


@admin.register(Installation)
class InstallationAdmin(ReadOnlyAdmin):
    list_display = ("merchant", "module", "installed_at", "removed_at")
    list_filter = ("module",)
    list_select_related = ("merchant", "module")
    search_fields = ("merchant__name", "merchant__evotor_user_id")


@admin.register(MarketRequest)
class MarketRequestAdmin(ReadOnlyAdmin):
    list_display = (
        "merchant",
        "module",
        "kind",
        "asked_at",
        "asked_by",
        "estimate_kopecks",
        "answered_at",
        "charged_kopecks",
    )
    list_filter = ("kind", "module")
    list_select_related = ("merchant", "module")
    search_fields = ("merchant__name", "merchant__evotor_user_id")
