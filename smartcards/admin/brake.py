"""The brake for staff: one page that shows its state and what it holds back, with its three levers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from cabinet import clock
from cabinet.admin.readonly import ReadOnlyAdmin
from cabinet.admin.staff import actor_of, may
from cabinet.errors import Refused
from smartcards import brake, queries
from smartcards.admin import brake_report
from smartcards.admin_forms import ReasonForm
from smartcards.models import Brake

RIGHT = "smartcards.change_brake"
PAGE = "admin:smartcards_brake_change"
BRAKE_ID = 1


@dataclass(frozen=True)
class Lever:
    """One button: its word in the address, its text, when it can be pulled, what it does."""

    name: str
    button: str
    done: str
    possible: Callable[[Brake], bool]
    run: Callable[..., None]


LEVERS = (
    Lever(
        "release",
        "Отпустить тормоз",
        "Тормоз отпущен, счёт за час начат заново.",
        lambda state: bool(state.engaged_at or state.report_only_at),
        brake.release,
    ),
    Lever(
        "close-tap",
        "Закрыть стоп-кран",
        "Стоп-кран закрыт: автоматических отключений не будет.",
        lambda state: state.tap_closed_at is None,
        brake.close_tap,
    ),
    Lever(
        "open-tap",
        "Открыть стоп-кран",
        "Стоп-кран открыт.",
        lambda state: state.tap_closed_at is not None,
        brake.open_tap,
    ),
)


@admin.register(Brake)
class BrakeAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[URLPattern]:
        levers = [
            path(
                f"{BRAKE_ID}/{lever.name}/",
                self.admin_site.admin_view(require_POST(partial(self.pull, lever=lever))),
                name=f"smartcards_brake_{lever.name}",
            )
            for lever in LEVERS
        ]
        return [*levers, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """There is one row, so there is one page."""
        return redirect(PAGE, BRAKE_ID)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        """State, counts, differences, journal and levers."""
        if object_id != str(BRAKE_ID):
            raise Http404
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self._page(request)

    def pull(self, request: HttpRequest, *, lever: Lever) -> HttpResponse:
        """Do it, with the reason that was typed; a refusal stays on the page."""
        if not may(request, RIGHT):
            raise PermissionDenied
        form = ReasonForm(request.POST, auto_id=f"{lever.name}_%s")
        if not lever.possible(queries.brake_now()):
            messages.warning(request, "Положение уже изменилось: посмотрите на страницу ещё раз.")
            return redirect(PAGE, BRAKE_ID)
        try:
            if form.is_valid():
                lever.run(reason=form.cleaned_data["reason"], by=actor_of(request), at=clock.now())
                messages.success(request, lever.done)
                return redirect(PAGE, BRAKE_ID)
        except Refused as refusal:
            form.add_error(None, refusal.sentence)
        return self._page(request, refused={lever.name: form})

    def _page(
        self, request: HttpRequest, *, refused: dict[str, ReasonForm] | None = None
    ) -> HttpResponse:
        state, at = queries.brake_now(), clock.now()
        context = self.admin_site.each_context(request) | {
            "title": "Тормоз автоматических отключений",
            "opts": self.opts,
            "brake": state,
            "stopped": queries.is_braked(state),
            "counts": brake_report.counts(state, at),
            "differences": brake_report.differences(at),
            "journal": brake_report.journal(),
            "levers": _levers(state, refused or {}) if may(request, RIGHT) else [],
        }
        return TemplateResponse(request, "admin/smartcards/brake.html", context)


def _levers(state: Brake, refused: dict[str, ReasonForm]) -> list[tuple[Lever, ReasonForm]]:
    return [
        (lever, refused.get(lever.name) or ReasonForm(auto_id=f"{lever.name}_%s"))
        for lever in LEVERS
        if lever.possible(state)
    ]
