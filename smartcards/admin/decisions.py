"""A page that asks staff, calls a service, and goes back: the same for cards and for commands."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_http_methods

from cabinet import clock
from cabinet.actors import Actor
from cabinet.admin.readonly import ReadOnlyAdmin
from cabinet.admin.staff import actor_of, may
from cabinet.errors import Refused

# Who acts on cards: the store has `change_smartcard` for its orders, so the commands' right decides.
ACT_RIGHT = "smartcards.change_command"

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Decision(Generic[Row]):
    """One page: its word in the address, its title and button, its form, when it is possible, what it does.

    `check` raises Refused where the row is not in a state for it; `run` is given the row, the cleaned
    form, the actor and the time, and may raise Refused too.
    """

    name: str
    title: str
    button: str
    done: str
    form: type[Form]
    check: Callable[[Row, datetime], None]
    run: Callable[[Row, dict[str, Any], Actor, datetime], object]


class DecidingAdmin(ReadOnlyAdmin):
    """Rows that staff look at and decide about; nothing of them is edited by hand."""

    decisions: tuple[Decision[Any], ...] = ()
    change_form_template = "admin/smartcards/deciding_change_form.html"

    def get_urls(self) -> list[URLPattern]:
        return [*(self._page_of(decision) for decision in self.decisions), *super().get_urls()]

    def _page_of(self, decision: Decision[Any]) -> URLPattern:
        page = require_http_methods(["GET", "HEAD", "POST"])(
            partial(self.decision_page, decision=decision)
        )
        wrapped = self.admin_site.admin_view(page)
        return path(f"<int:pk>/{decision.name}/", wrapped, name=self._name(decision.name))

    def _name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        links = list(self._possible(row)) if row is not None and may(request, ACT_RIGHT) else []
        title = f"{str(self.opts.verbose_name).capitalize()}: {row}" if row is not None else ""
        context = {"decisions": links, "title": title, "subtitle": None} | (extra_context or {})
        return super().change_view(request, object_id, form_url, context)

    def _possible(self, row: Model) -> Iterable[tuple[str, str]]:
        for decision in self.decisions:
            if not _refusal(decision, row):
                url = reverse(f"admin:{self._name(decision.name)}", args=[row.pk])
                yield url, decision.title

    def decision_page(
        self, request: HttpRequest, pk: int, *, decision: Decision[Any]
    ) -> HttpResponse:
        """Ask, do, go back to the row; a refusal stays on the page with what was typed."""
        if not may(request, ACT_RIGHT):
            raise PermissionDenied
        row = self.get_queryset(request).filter(pk=pk).first()
        if row is None:
            raise Http404
        form = decision.form(request.POST if request.method == "POST" else None)
        try:
            if form.is_valid():
                decision.run(row, form.cleaned_data, actor_of(request), clock.now())
                messages.success(request, decision.done)
                return redirect(f"admin:{self._name('change')}", row.pk)
        except Refused as refusal:
            form.add_error(None, refusal.sentence)
        return self._ask(request, row, form, decision)

    def _ask(
        self, request: HttpRequest, row: Model, form: Form, decision: Decision[Any]
    ) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": decision.title,
            "opts": self.opts,
            "row": row,
            "back": reverse(f"admin:{self._name('change')}", args=[row.pk]),
            "listed": reverse(f"admin:{self._name('changelist')}"),
            "facts": self.facts_shown(row),
            "form": form,
            "decision": decision,
            "refusal": _refusal(decision, row),
        }
        return TemplateResponse(request, "admin/smartcards/decision.html", context)

    def facts_shown(self, row: Any) -> list[tuple[str, str]]:
        """What staff should have before their eyes while they decide: names and values."""
        return []


def _refusal(decision: Decision[Any], row: Model) -> str:
    try:
        decision.check(row, clock.now())
    except Refused as refusal:
        return refusal.sentence
    return ""
