"""The brake for staff: one page that shows its state and what it holds back, with three actions."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from cabinet import clock
from cabinet.actors import Actor
from cabinet.admin.confirm_action import ConfirmAction, ConfirmActionAdmin
from cabinet.errors import Refused
from cabinet.forms.reason import ReasonForm
from smartcards import queries, safety_brake
from smartcards.admin import brake_report
from smartcards.models import Brake

BRAKE_ID = 1


def _brake_action(
    name: str,
    button: str,
    done: str,
    is_possible: Callable[[Brake], bool],
    service: Callable[..., None],
) -> ConfirmAction[Brake]:
    def check(_row: Brake, _at: datetime) -> None:
        if not is_possible(queries.brake_now()):
            raise Refused("Положение уже изменилось: посмотрите на страницу ещё раз.")

    def run(_row: Brake, asked: dict[str, Any], by: Actor, at: datetime) -> None:
        service(**asked, by=by, at=at)

    return ConfirmAction(name, f"{button}…", button, done, ReasonForm, run, check)


BRAKE_ACTIONS = (
    _brake_action(
        "release",
        "Отпустить тормоз",
        "Тормоз отпущен, счёт за час начат заново.",
        lambda state: bool(state.engaged_at or state.report_only_at),
        safety_brake.release,
    ),
    _brake_action(
        "close-tap",
        "Закрыть стоп-кран",
        "Стоп-кран закрыт: автоматических отключений не будет.",
        lambda state: state.tap_closed_at is None,
        safety_brake.close_tap,
    ),
    _brake_action(
        "open-tap",
        "Открыть стоп-кран",
        "Стоп-кран открыт.",
        lambda state: state.tap_closed_at is not None,
        safety_brake.open_tap,
    ),
)


@admin.register(Brake)
class BrakeAdmin(ConfirmActionAdmin):
    """There is one row, so there is one page; the row need not be stored yet."""

    confirm_permission = "smartcards.change_brake"
    confirm_actions = BRAKE_ACTIONS

    def confirm_row(self, request: HttpRequest, pk: int) -> Brake | None:
        """The one row, stored or not."""
        return queries.brake_now() if pk == BRAKE_ID else None

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """A list of one row would be one click more."""
        return redirect("admin:smartcards_brake_change", BRAKE_ID)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        """State, counts, differences, audit log and actions."""
        if object_id != str(BRAKE_ID):
            raise Http404
        if not self.has_view_permission(request):
            raise PermissionDenied
        state, at = queries.brake_now(), clock.now()
        context = self.admin_site.each_context(request) | {
            "title": "Тормоз автоматических отключений",
            "opts": self.opts,
            "brake": state,
            "stopped": queries.is_braked(state),
            "counts": brake_report.counts(state, at),
            "differences": brake_report.differences(at),
            "events": brake_report.brake_events(),
            "confirm_links": list(self.confirm_links(request, state)),
        }
        return TemplateResponse(request, "admin/smartcards/brake.html", context)
