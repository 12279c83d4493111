"""Staff's pages about modules, tariffs and subscriptions.

What the market or the services move is read only here; what staff may decide goes through the
services, with a reason typed beside the action.
"""

from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from cabinet import audit, clock, wording
from cabinet.actors import Actor
from cabinet.admin.readonly import ReadOnlyAdmin, ReadOnlyInline
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

    reason = forms.CharField(label="Причина:", max_length=300, required=False)
    days = forms.IntegerField(label="Дней:", min_value=1, max_value=366, required=False)


def roubles(field: str, title: str) -> Callable[[Any, Model], str]:
    """A method of an admin: the sum that the model keeps in kopecks, for people."""

    @admin.display(description=title, ordering=field)
    def shown(_admin: Any, row: Model) -> str:
        kopecks = getattr(row, field)
        return "—" if kopecks is None else wording.money(kopecks)

    return shown


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
        _record(
            request, obj, f"Модуль «{obj.title}» {'изменён' if change else 'добавлен'}.{secret}"
        )
        wake("evotor.revive")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def _from_where(here: int, outside: int) -> str:
    """How many secrets come from this page, and how many from the environment's `{variable}`."""
    places = ((here, "введено здесь"), (outside, "из переменной окружения {variable}"))
    return ", ".join(f"{place}: {number}" for number, place in places if number) or "нет"


def _record(request: HttpRequest, target: Model, text: str) -> None:
    by = actor_of(request)
    audit.record(target=target, action="edited", text=text, by=by, at=clock.now(), merchant_id=None)


@admin.register(Tariff)
class TariffAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A tariff is edited until somebody has taken it; after that it can only be archived."""

    list_display = ("title", "module", "plan_id", "months", "price", "archived_at")
    list_filter = ("module", "months")
    price = roubles("price_kopecks", "цена карты за период")
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
    fields = ("kind", "tariff", "cards", "starts_at", "ends_at", "charged")
    readonly_fields = ("charged",)

    charged = roubles("charged_kopecks", "списано")


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
    fields = (
        "merchant",
        "module",
        "state",
        "source",
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
        "charged",
        "last_event_at",
    )
    readonly_fields = ("state", "charged")

    charged = roubles("charged_kopecks", "последнее списание")
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
