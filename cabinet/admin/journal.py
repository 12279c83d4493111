"""The journal, the pulse, and what staff should look at."""

from typing import Any, cast

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from cabinet import clock
from cabinet.admin.readonly import ReadOnlyAdmin, WordFilter, presence, to_the_second
from cabinet.admin.staff import actor_of
from cabinet.alerts import close_alert
from cabinet.audit_words import ACTIONS, KINDS, action_word, kind_word, work_word
from cabinet.models import Alert, AuditEvent, Heartbeat, User
from cabinet.wording import sort_key


class KindFilter(WordFilter):
    """What the line is about."""

    title = "о чём"
    parameter_name = "target"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return sorted(((code, kind_word(code)) for code in KINDS), key=_by_word)


class ActionFilter(WordFilter):
    """What was done: every word the product knows."""

    title = "действие"
    parameter_name = "action"
    # Seventy words: folded until somebody wants them.
    template = "admin/folded_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return sorted(ACTIONS.items(), key=_by_word)


def _by_word(pair: tuple[str, str]) -> str:
    return sort_key(pair[1])


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    """Who did what; by merchant through the search: «клиент 12»."""

    list_display = ("when", "text", "reason", "who", "client", "about")
    list_filter = ("actor_kind", KindFilter, ActionFilter, "at")
    search_fields = ("text", "reason", "actor_name", "=merchant_id", "=target_id")
    search_help_text = (
        "Слова из записи, номер клиента, номер карты, заказа или подписки в нашей базе"
    )
    ordering = ("-at", "-pk")
    show_full_result_count = False
    fields = (
        "at",
        "text",
        "reason",
        "actor_kind",
        "actor_name",
        "actor_id",
        "client",
        "about",
        "deed",
        "details",
    )
    readonly_fields = ("client", "about", "deed")

    @admin.display(description="когда", ordering="at")
    def when(self, row: AuditEvent) -> str:
        return to_the_second(row.at)

    @admin.display(description="кто", ordering="actor_name")
    def who(self, row: AuditEvent) -> str:
        kind = row.get_actor_kind_display()
        return kind if row.actor_name == kind else f"{row.actor_name}, {kind}"

    @admin.display(description="о чём", ordering="target")
    def about(self, row: AuditEvent) -> str:
        name = kind_word(row.target)
        return f"{name} № {row.target_id}" if row.target_id else name

    @admin.display(description="действие", ordering="action")
    def deed(self, row: AuditEvent) -> str:
        return action_word(row.action)

    @admin.display(description="клиент", ordering="merchant_id")
    def client(self, row: AuditEvent) -> str:
        return _client_link(row.merchant_id)


def _client_link(merchant_id: int | None) -> str:
    if merchant_id is None:
        return "—"
    url = reverse("admin:cabinet_merchant_whole", kwargs={"pk": merchant_id})
    return format_html('<a href="{}">№ {}</a>', url, merchant_id)


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    """Matters that wait for a person; «Закрыть» says that they are settled."""

    list_display = (
        "text",
        "where",
        "raised_at",
        "seen_times",
        "client",
        "closed_at",
        "closed_by",
    )
    list_filter = (("closed_at", presence("открытые", "закрытые")), "raised_at")
    search_fields = ("text", "key", "=merchant_id")
    # Open ones first: what is empty would be the last for the database.
    ordering = (F("closed_at").desc(nulls_first=True), "-raised_at")
    actions = ("close_selected",)

    @admin.display(description="клиент", ordering="merchant_id")
    def client(self, alert: Alert) -> str:
        return _client_link(alert.merchant_id)

    @admin.display(description="страница")
    def where(self, alert: Alert) -> str:
        return format_html('<a href="{}">Открыть</a>', alert.link) if alert.link else "—"

    @admin.action(description="Закрыть", permissions=["close"])
    def close_selected(self, request: HttpRequest, alerts: QuerySet[Alert]) -> None:
        by = actor_of(request)
        for alert in alerts.filter(closed_at=None):
            close_alert(key=alert.key, by=by, at=clock.now())
        self.message_user(request, "Отмеченные дела закрыты.")

    def has_close_permission(self, request: HttpRequest) -> bool:
        user = cast("User", request.user)
        return user.has_perm("cabinet.change_alert")


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    """When each regular work was last done."""

    list_display = ("work", "when")
    fields = ("work", "name", "when")
    readonly_fields = ("work", "when")

    @admin.display(description="работа", ordering="name")
    def work(self, row: Heartbeat) -> str:
        return work_word(row.name)

    @admin.display(description="сделана", ordering="at")
    def when(self, row: Heartbeat) -> str:
        return to_the_second(row.at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Heartbeat]:
        return super().get_queryset(request).order_by("name")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        return super().changelist_view(request, {"title": "Пульс сервиса"} | (extra_context or {}))
