"""Sessions of people for staff: who is signed in where, and ending one."""

from typing import Any, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect

from cabinet.accounts.services import sessions
from cabinet.admin.confirm_action import ConfirmAction, ConfirmActionAdmin, service_call
from cabinet.admin.readonly import ChoiceFilter
from cabinet.enums import SessionKind
from cabinet.forms.reason import ReasonForm
from cabinet.models import User, UserSession


class KindFilter(ChoiceFilter):
    """How the session was opened."""

    title = "вход"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return SessionKind.choices


@admin.register(UserSession)
class UserSessionAdmin(ConfirmActionAdmin):
    """Sessions of merchants' people; those of staff are for superusers."""

    list_display = ("user", "kind", "browser", "opened_at", "seen_at")
    list_filter = (KindFilter,)
    list_select_related = ("user",)
    search_fields = ("user__name", "=user__phone", "=user__username")
    fields = list_display
    ordering = ("-seen_at",)
    show_full_result_count = False
    confirm_permission = "cabinet.change_user"
    confirm_actions = (
        ConfirmAction(
            "end",
            "Завершить сеанс…",
            "Завершить сеанс",
            "Сеанс завершён.",
            ReasonForm,
            service_call("row", sessions.end),
            done_many="Завершено сеансов",
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[UserSession]:
        """Those of staff only for superusers."""
        rows = super().get_queryset(request)
        everything = cast("User", request.user).is_superuser
        return rows if everything else rows.exclude(kind=SessionKind.STAFF)

    def confirm_page(
        self, request: HttpRequest, pk: int, *, action: ConfirmAction[Any]
    ) -> HttpResponse:
        """Back to the list: the row is gone."""
        answer = super().confirm_page(request, pk, action=action)
        if isinstance(answer, HttpResponseRedirect):
            return redirect("admin:cabinet_usersession_changelist")
        return answer
