"""Staff's pages about contracts with operators."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from cabinet import audit, clock
from cabinet.crypto import Undecryptable
from cabinet.models import User
from cabinet.services.staff import staff_actor
from operators import admin_exchanges, forms, registry, services
from operators.models import OperatorAccount

__all__ = ["OperatorAccountAdmin", "admin_exchanges"]

_NAMED = ("title", "code", "protocol", "enabled")
_HEARD = ("last_answer_at", "last_error", "last_error_at", "last_call_at", "clock_skew_seconds")

if TYPE_CHECKING:  # generic for the type checker only
    _AccountAdmin = admin.ModelAdmin[OperatorAccount]
else:
    _AccountAdmin = admin.ModelAdmin


@admin.register(OperatorAccount)
class OperatorAccountAdmin(_AccountAdmin):
    """One contract a row. The protocol is chosen first, for each has keys of its own."""

    list_display = (
        "title",
        "code",
        "protocol",
        "enabled",
        "last_answer_at",
        "heard_error",
        "skew",
    )
    list_filter = ("enabled", "adapter")
    ordering = ("title", "pk")
    search_fields = ("title", "code")
    change_form_template = "admin/operators/operatoraccount/change_form.html"

    # --- what is shown ------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[OperatorAccount]:
        # The list must open even where the keys cannot be read.
        return super().get_queryset(request).defer("credentials")

    @admin.display(description="протокол", ordering="adapter")
    def protocol(self, account: OperatorAccount) -> str:
        return _protocol_title(account.adapter)

    @admin.display(description="последняя ошибка", ordering="last_error_at")
    def heard_error(self, account: OperatorAccount) -> str:
        if not account.last_error:
            return "—"
        when = f"{account.last_error_at:%d.%m.%Y %H:%M} UTC" if account.last_error_at else ""
        return format_html("{}<br>{}", account.last_error, when)

    @admin.display(description="расхождение часов", ordering="clock_skew_seconds")
    def skew(self, account: OperatorAccount) -> str:
        seconds = account.clock_skew_seconds
        return "—" if seconds is None else f"{seconds:+.0f} с"

    def get_fieldsets(self, request: HttpRequest, obj: OperatorAccount | None = None) -> Any:
        keys: list[str] = []
        if self._may_write(request, obj):
            keys = forms.credential_names(registry.capabilities(_adapter(request, obj)))
        described = [
            (None, ("title", "code", "enabled") if obj is None else _NAMED),
            ("Подключение", ("base_url", *keys, "ca_bundle")),
            ("Квоты", ("per_second", "per_minute", "concurrency")),
            ("Время", _TIMES),
            ("Тормоз автоматических отключений", ("brake_cards", "brake_percent")),
        ]
        if obj is not None:
            described.append(("Что слышно от оператора", _HEARD))
        return [(title, {"fields": fields}) for title, fields in described]

    def get_readonly_fields(
        self, request: HttpRequest, obj: OperatorAccount | None = None
    ) -> tuple[str, ...]:
        # Counters and stored tokens are kept under the code.
        return ("protocol", *_HEARD, *(() if obj is None else ("code",)))

    # --- the form -----------------------------------------------------------------------------

    def get_form(
        self,
        request: HttpRequest,
        obj: OperatorAccount | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> type[ModelForm[OperatorAccount]]:
        if self._may_write(request, obj):
            kwargs["form"] = forms.account_form(_adapter(request, obj))
        return super().get_form(request, obj, change=change, **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return forms.defaults(registry.capabilities(_adapter(request, None)))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        chosen = request.GET.get("adapter", "")
        if chosen not in registry.codes():
            return self._choose_protocol(request)
        title = {"title": f"Новый договор: {_protocol_title(chosen)}"} | (extra_context or {})
        return super().add_view(request, form_url, title)

    def _choose_protocol(self, request: HttpRequest) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": "Новый договор: какой протокол у оператора",
            "opts": self.opts,
            "protocols": [(code, _protocol_title(code)) for code in registry.codes()],
        }
        return TemplateResponse(request, "admin/operators/operatoraccount/protocols.html", context)

    def save_model(
        self, request: HttpRequest, obj: OperatorAccount, form: Any, change: bool
    ) -> None:
        if not change:
            obj.adapter = _adapter(request, None)
        super().save_model(request, obj, form, change)
        names = ", ".join(form.changed_titles())
        changed = f"Изменён договор с оператором «{obj.title}»: {names}"
        if change and not names:
            return
        audit.record(
            target=obj,
            action="account.changed" if change else "account.added",
            text=changed if change else f"Добавлен договор с оператором «{obj.title}»",
            by=staff_actor(cast("User", request.user)),
            at=clock.now(),
            merchant_id=None,
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A contract that ended is switched off: its cards and commands stay."""
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: OperatorAccount | None = None
    ) -> bool:
        # Without its adapter nobody knows which keys a contract has.
        known = obj is None or obj.adapter in registry.codes()
        return known and super().has_change_permission(request, obj)

    def _may_write(self, request: HttpRequest, obj: OperatorAccount | None) -> bool:
        if obj is None:
            return self.has_add_permission(request)
        return self.has_change_permission(request, obj)

    # --- «Проверить связь» ----------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        page: Callable[..., HttpResponse] = require_POST(self.ping)
        wrapped = self.admin_site.admin_view(page)
        ping = path("<int:pk>/ping/", wrapped, name="operators_operatoraccount_ping")
        return [ping, *super().get_urls()]

    def ping(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Log in at the operator and say what came of it. No transaction is open."""
        account = self.get_queryset(request).filter(pk=pk).first()
        if account is None:
            raise Http404
        if not self.has_view_permission(request, account):
            raise PermissionDenied
        works, sentence = _pinged(account)
        messages.add_message(request, messages.SUCCESS if works else messages.ERROR, sentence)
        return redirect("admin:operators_operatoraccount_change", account.pk)


_TIMES = (
    "timeout_seconds",
    "lease_seconds",
    "quiet_seconds",
    "deadline_seconds",
    "poll_plan",
    "usual_seconds",
    "worst_seconds",
)


def _pinged(account: OperatorAccount) -> tuple[bool, str]:
    if account.adapter not in registry.codes():
        return False, "Связь не проверена: такого протокола в настройках больше нет."
    try:
        return services.ping(account)
    except Undecryptable:
        return False, "Ключи договора не читаются: ключ шифрования сменился. Введите их заново."


def _adapter(request: HttpRequest, obj: OperatorAccount | None) -> str:
    """The protocol: of the contract, or the one chosen in the address of a new one."""
    return request.GET.get("adapter", "") if obj is None else obj.adapter


def _protocol_title(code: str) -> str:
    return registry.capabilities(code).title if code in registry.codes() else f"{code} (нет)"
