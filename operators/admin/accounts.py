"""Staff's pages about contracts with operators."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cabinet import audit, clock
from cabinet.admin.actor import actor_of
from cabinet.crypto import Undecryptable
from cabinet.errors import Refused
from cabinet.forms.reason import ReasonForm
from cabinet.templatetags.ru import moment_full
from operators import connections, registry, services
from operators.admin import forms, profile_examples
from operators.admin.answer_form import AnswerForm, DescribedAnswerForm
from operators.admin.request_preview import preview_requests
from operators.connections import PingResult
from operators.declarative.validation import InvalidProfile
from operators.events import inbox
from operators.models import SECRETS, OperatorAccount

_CHANGE = "admin:operators_operatoraccount_change"
_CALLBACK = ("new_callback_secret", "remove_callback_secret")
_NAMED = ("title", "code", "protocol", "enabled")
_STATE_FIELDS = (
    "last_answer_at",
    "keys_refused_since",
    "last_error",
    "last_error_at",
    "last_call_at",
    "clock_skew_seconds",
)

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
        "last_error_text",
        "skew",
    )
    list_filter = ("enabled", "adapter")
    ordering = ("title", "pk")
    search_fields = ("title", "code")
    change_form_template = "admin/operators/operatoraccount/change_form.html"

    # --- what is shown ------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[OperatorAccount]:
        """Contracts without their secrets: the list must open even where the keys cannot be read."""
        return super().get_queryset(request).defer(*SECRETS)

    @admin.display(description="протокол", ordering="adapter")
    def protocol(self, account: OperatorAccount) -> str:
        """The title of the protocol, or its code where it is not in the settings."""
        return _protocol_title(account.adapter)

    @admin.display(description="последняя ошибка", ordering="last_error_at")
    def last_error_text(self, account: OperatorAccount) -> str:
        """The last error and its time in UTC."""
        if not account.last_error:
            return "—"
        when = f"{account.last_error_at:%d.%m.%Y %H:%M} UTC" if account.last_error_at else ""
        return format_html("{}<br>{}", account.last_error, when)

    @admin.display(description="расхождение часов", ordering="clock_skew_seconds")
    def skew(self, account: OperatorAccount) -> str:
        """The operator's clock minus ours, in seconds."""
        seconds = account.clock_skew_seconds
        return "—" if seconds is None else f"{seconds:+.0f} с"

    def get_fieldsets(self, request: HttpRequest, obj: OperatorAccount | None = None) -> Any:
        """With the keys that the protocol names, for those who may write."""
        keys, asked_twice = list[str](), list[str]()
        if self._may_write(request, obj):
            form = forms.account_form(_adapter(request, obj), obj)
            keys = [*form.protocol_fields, *_CALLBACK]
            asked_twice = [name for name in form.base_fields if name == "concurrency_allowed"]
        quotas = ("per_second", "per_minute", "concurrency", *asked_twice, "reserve_percent")
        described = [
            (None, ("title", "code", "enabled") if obj is None else _NAMED),
            ("Подключение", ("base_url", *keys, *(("callback_url",) if obj else ()), "ca_bundle")),
            ("Квоты", quotas),
            ("Время", _TIMES),
            ("Условия договора", _TERMS),
            ("Тормоз автоматических отключений", ("brake_cards", "brake_percent")),
        ]
        if obj is not None:
            described.append(("Что слышно от оператора", ("breaker_state", *_STATE_FIELDS)))
        return [(title, {"fields": fields}) for title, fields in described]

    def get_readonly_fields(
        self, request: HttpRequest, obj: OperatorAccount | None = None
    ) -> tuple[str, ...]:
        """With the code of an existing contract: counters and stored tokens are kept under it."""
        return (
            "protocol",
            "breaker_state",
            "callback_url",
            *_STATE_FIELDS,
            *(() if obj is None else ("code",)),
        )

    @admin.display(description="наш адрес для уведомлений")
    def callback_url(self, account: OperatorAccount) -> str:
        """Where the operator sends its events."""
        return inbox.callback_url(account)

    @admin.display(description="предохранитель")
    def breaker_state(self, account: OperatorAccount) -> str:
        """Whether commands leave, and when the next probe is."""
        if account.broken_since is None:
            failures = account.failures_in_a_row
            return f"закрыт, сбоев подряд: {failures}" if failures else "закрыт"
        return format_html(
            "открыт с {}: команды ждут в очереди, следующая проба {}",
            moment_full(account.broken_since),
            moment_full(account.probe_at),
        )

    # --- the form -----------------------------------------------------------------------------

    def get_form(
        self,
        request: HttpRequest,
        obj: OperatorAccount | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> type[ModelForm[OperatorAccount]]:
        """The form with the fields of the protocol, for those who may write."""
        if self._may_write(request, obj):
            kwargs["form"] = forms.account_form(_adapter(request, obj), obj)
        return super().get_form(request, obj, change=change, **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What the protocol proposes for a new contract."""
        begun = profile_examples.example(request.GET.get("example", ""))
        return forms.defaults(registry.capabilities(_adapter(request, None))) | (
            {"profile": begun} if begun else {}
        )

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The form of the protocol chosen in the address, or the choice. Raises PermissionDenied."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        chosen = request.GET.get("adapter", "")
        if chosen not in registry.codes():
            return self._choose_protocol(request)
        shown = {"title": f"Новый договор: {_protocol_title(chosen)}"} | (extra_context or {})
        if registry.is_declarative(chosen):
            shown |= {"examples": profile_examples.TITLES.items(), "answer_form": AnswerForm()}
        return super().add_view(request, form_url, shown)

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
        """Save, write the audit log, and tell that the keys may be in order again."""
        if not change:
            obj.adapter = _adapter(request, None)
        if form.taken:
            names = ", ".join(form.taken_titles())
            messages.info(request, f"Из описания протокола взято: {names}.")
        if form.has_new_keys():
            # Whether these are refused too, the next call will tell.
            obj.keys_refused_since = None
        super().save_model(request, obj, form, change)
        by, at = actor_of(request), clock.now()
        services.note_new_keys(account_id=obj.pk, by=by, at=at)
        names = ", ".join(dict.fromkeys([*form.changed_titles(), *form.taken_titles()]))
        changed = f"Изменён договор с оператором «{obj.title}»: {names}"
        if change and not names:
            return
        audit.record(
            target=obj,
            action="account.changed" if change else "account.added",
            text=changed if change else f"Добавлен договор с оператором «{obj.title}»",
            by=by,
            at=at,
            merchant_id=None,
            details=form.changes_of_profile(),
        )

    def response_add(
        self, request: HttpRequest, obj: OperatorAccount, post_url_continue: str | None = None
    ) -> HttpResponse:
        """A described protocol names its keys only now: staff stay to type them."""
        if not registry.is_declarative(obj.adapter):
            return super().response_add(request, obj, post_url_continue)
        messages.success(
            request, "Договор добавлен. Теперь введите ключи, которые назвало описание."
        )
        return redirect(_CHANGE, obj.pk)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A contract that ended is switched off: its cards and commands stay."""
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: OperatorAccount | None = None
    ) -> bool:
        """Never without the adapter: nobody knows then which keys a contract has."""
        known = obj is None or obj.adapter in registry.codes()
        return known and super().has_change_permission(request, obj)

    def _may_write(self, request: HttpRequest, obj: OperatorAccount | None) -> bool:
        if obj is None:
            return self.has_add_permission(request)
        return self.has_change_permission(request, obj)

    # --- what staff press -----------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """The pages of the contract's buttons beside Django's own."""
        pages: list[tuple[str, Callable[..., HttpResponse]]] = [
            ("ping", require_POST(self.ping)),
            ("breaker", require_http_methods(["GET", "HEAD", "POST"])(self.close_breaker)),
            ("dry-run", require_safe(self.dry_run)),
        ]
        urls = [
            path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(page),
                name=f"operators_operatoraccount_{name.replace('-', '_')}",
            )
            for name, page in pages
        ]
        answer = path(
            "answer/",
            self.admin_site.admin_view(
                require_http_methods(["GET", "HEAD", "POST"])(self.read_answer)
            ),
            name="operators_operatoraccount_answer",
        )
        return [answer, *urls, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """With the buttons that fit the state of the contract."""
        account = self.get_object(request, object_id)
        shown: dict[str, Any] = {"is_broken": False, "is_declarative": False}
        if account is not None and account.adapter in registry.codes():
            may_close = self.has_change_permission(request, account)
            shown["is_broken"] = may_close and account.broken_since is not None
            shown["is_declarative"] = registry.is_declarative(account.adapter)
            if may_close and shown["is_declarative"]:
                shown["answer_form"] = AnswerForm()
        return super().change_view(request, object_id, form_url, shown | (extra_context or {}))

    def _account(
        self, request: HttpRequest, pk: int, has_permission: Callable[..., bool]
    ) -> OperatorAccount:
        """The contract of a page. Raises Http404, and PermissionDenied where it is not permitted."""
        account = self.get_queryset(request).filter(pk=pk).first()
        if account is None:
            raise Http404
        if not has_permission(request, account):
            raise PermissionDenied
        return account

    def ping(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Log in at the operator and say what came of it. No transaction is open."""
        account = self._account(request, pk, self.has_view_permission)
        link = _pinged(account)
        messages.add_message(request, _level(link), link.sentence)
        return redirect(_CHANGE, account.pk)

    def close_breaker(self, request: HttpRequest, pk: int) -> HttpResponse:
        """«Закрыть предохранитель», with a reason; a refusal stays on the page."""
        account = self._account(request, pk, self.has_change_permission)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        by = actor_of(request)
        try:
            if form.is_valid():
                reason = form.cleaned_data["reason"]
                services.close_breaker(account=account, reason=reason, by=by, at=clock.now())
                messages.success(request, "Предохранитель закрыт: команды пойдут снова.")
                return redirect(_CHANGE, account.pk)
        except Refused as refusal:
            form.add_error(None, refusal.sentence)
        return self._page(request, account, "breaker", "Закрыть предохранитель", form=form)

    def dry_run(self, request: HttpRequest, pk: int) -> HttpResponse:
        """«Показать запрос»: what would leave for an invented card. Nothing is sent."""
        account = self._account(request, pk, self.has_view_permission)
        if account.adapter not in registry.codes() or not registry.is_declarative(account.adapter):
            raise Http404
        keys = forms.stored_credentials(account)
        previews = preview_requests(
            account.profile, keys, base_url=account.base_url, at=clock.now()
        )
        return self._page(request, account, "dry_run", "Показать запрос", previews=previews)

    def read_answer(self, request: HttpRequest) -> HttpResponse:
        """«Прочитать ответ»: what a description, saved or not, reads from an answer of a manual. Nothing is
        stored or sent.
        """
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        form = DescribedAnswerForm(request.POST if request.method == "POST" else None)
        context = self.admin_site.each_context(request) | {
            "title": "Что описание прочитает из ответа",
            "opts": self.opts,
            "form": form,
            "preview": form.preview() if form.is_valid() else None,
        }
        return TemplateResponse(request, "admin/operators/operatoraccount/answer.html", context)

    def _page(
        self, request: HttpRequest, account: OperatorAccount, name: str, title: str, **shown: Any
    ) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": f"{title}: {account.title}",
            "page": title,
            "opts": self.opts,
            "account": account,
            **shown,
        }
        return TemplateResponse(request, f"admin/operators/operatoraccount/{name}.html", context)


_TIMES = (
    "timeout_seconds",
    "lease_seconds",
    "quiet_seconds",
    "deadline_seconds",
    "poll_plan",
    "usual_seconds",
    "worst_seconds",
    "maintenance_windows",
)
_TERMS = (
    "cooldown_seconds",
    "activation_fee_kopecks",
    "deactivation_fee_kopecks",
    "min_active_days",
    "min_inactive_days",
    "silence_hours",
    "hold_hours",
)


def _pinged(account: OperatorAccount) -> PingResult:
    unasked = partial(PingResult, False, was_asked=False)
    if account.adapter not in registry.codes():
        return unasked("Связь не проверена: такого протокола в настройках больше нет.")
    try:
        return connections.ping(account)
    except Undecryptable:
        return unasked("Ключи договора не читаются: ключ шифрования сменился. Введите их заново.")
    except InvalidProfile:
        return unasked("Связь не проверена: в описании протокола есть ошибки.")


def _level(link: PingResult) -> int:
    if link.works:
        return messages.SUCCESS
    return messages.ERROR if link.was_asked else messages.WARNING


def _adapter(request: HttpRequest, obj: OperatorAccount | None) -> str:
    """The protocol: of the contract, or the one chosen in the address of a new one."""
    return request.GET.get("adapter", "") if obj is None else obj.adapter


def _protocol_title(code: str) -> str:
    return registry.capabilities(code).title if code in registry.codes() else f"{code} (нет)"
