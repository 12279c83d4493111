"""The journal, the pulse, and what staff should look at."""

from typing import Any, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from cabinet import clock
from cabinet.admin.readonly import ReadOnlyAdmin
from cabinet.alerts import close_alert
from cabinet.models import Alert, AuditEvent, Heartbeat, User
from cabinet.services.staff import staff_actor


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    """Who did what; by merchant through the search: «клиент 12»."""

    list_display = (
        "at",
        "text",
        "reason",
        "actor_kind",
        "actor_name",
        "merchant_id",
        "target",
        "target_id",
    )
    list_filter = ("actor_kind", "target", "action", "at")
    search_fields = ("text", "reason", "actor_name", "=merchant_id", "=target_id")
    ordering = ("-at", "-pk")
    show_full_result_count = False


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    """Matters that wait for a person; «Закрыть» says that they are settled."""

    list_display = (
        "text",
        "where",
        "raised_at",
        "seen_times",
        "merchant_id",
        "closed_at",
        "closed_by",
    )
    list_filter = (("closed_at", admin.EmptyFieldListFilter), "raised_at")
    search_fields = ("text", "key", "=merchant_id")
    ordering = ("closed_at", "-raised_at")
    actions = ("close_selected",)

    @admin.display(description="страница")
    def where(self, alert: Alert) -> str:
        return format_html('<a href="{}">Открыть</a>', alert.link) if alert.link else "—"

    @admin.action(description="Закрыть", permissions=["close"])
    def close_selected(self, request: HttpRequest, alerts: QuerySet[Alert]) -> None:
        by = staff_actor(cast("User", request.user))
        for alert in alerts.filter(closed_at=None):
            close_alert(key=alert.key, by=by, at=clock.now())
        self.message_user(request, "Отмеченные дела закрыты.")

    def has_close_permission(self, request: HttpRequest) -> bool:
        user = cast("User", request.user)
        return user.has_perm("cabinet.change_alert")


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    """When each regular work was last done."""

    list_display = ("name", "at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Heartbeat]:
        return super().get_queryset(request).order_by("name")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        return super().changelist_view(request, {"title": "Пульс сервиса"} | (extra_context or {}))
