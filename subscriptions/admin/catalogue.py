"""Staff's pages about what is sold: modules and their tariffs."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from cabinet import audit, clock
from cabinet.admin.staff import actor_of
from cabinet.wake import wake
from subscriptions import queries
from subscriptions.admin.sums import roubles
from subscriptions.models import Module, Tariff


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
        _record(request, obj, f"Тариф «{obj.title}» {'изменён' if change else 'добавлен'}.")
        # Events of this plan may wait for it.
        wake("evotor.revive")
