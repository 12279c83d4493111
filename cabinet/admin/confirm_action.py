"""Actions that staff confirm on a page of its own: a form, a service call for each row, and back.

An action is offered on the page of a row, and with `done_many` in the list too, for all chosen rows: a few at
once, many by a worker.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_http_methods

from cabinet import clock
from cabinet.actors import Actor
from cabinet.admin import mass_actions
from cabinet.admin.actor import actor_of, may
from cabinet.admin.readonly import ReadOnlyAdmin
from cabinet.errors import Refused
from cabinet.models import SubmittedForm

Row = TypeVar("Row", bound=Model)
# How many rows a page carries out itself; more are left to a worker.
AT_ONCE = 100


def service_call(
    row_name: str, service: Callable[..., object]
) -> Callable[[Model, dict[str, Any], Actor, datetime], object]:
    """`run` of an action whose service takes the row under `row_name`, the cleaned form, `by` and `at`."""

    def run(row: Model, asked: dict[str, Any], by: Actor, at: datetime) -> object:
        return service(**{row_name: row}, **asked, by=by, at=at)

    return run


@dataclass(frozen=True)
class ConfirmAction(Generic[Row]):
    """One action: its part of the address, its texts, its form, when it is possible, what it does.

    `run` is given the row, the cleaned form, the actor and the time, and may raise Refused. `check` raises
    it where the row is not in a state for the action, and is asked before `run` too. Without `permission`
    the one of the admin class is asked. `done_many` is the beginning of a message that ends with the number of rows.
    """

    name: str
    title: str
    button: str
    done: str
    form: type[Form]
    run: Callable[[Row, dict[str, Any], Actor, datetime], object]
    check: Callable[[Row, datetime], None] = lambda _row, _at: None
    permission: str = ""
    done_many: str = ""

    @transaction.atomic
    def perform(self, request: HttpRequest, row: Row, asked: dict[str, Any]) -> None:
        """Check once more and run, for the signed-in member of staff; a form sent twice is run once.

        Raises Refused, and then the form may be sent again.
        """
        at = clock.now()
        if SubmittedForm.is_first(f"{_form_key(request)}:{self.name}:{row.pk}", at):
            self.apply(row, asked, actor_of(request), at)

    def apply(self, row: Row, asked: dict[str, Any], by: Actor, at: datetime) -> None:
        """Check once more and run. Raises Refused. The caller has a transaction."""
        self.check(row, at)
        self.run(row, asked, by, at)


def add_sentence(form: Form, refusal: Refused) -> None:
    """Put the refusal of a service above the form."""
    form.add_error(None, refusal.sentence)


def carry_out(
    request: HttpRequest,
    action: ConfirmAction[Any],
    row: Model,
    form: Form,
    *,
    back: str,
    refuse: Callable[[Form, Refused], None] = add_sentence,
) -> HttpResponse | None:
    """Run the action where its form is filled in, and go `back`; None where it is to be asked about (again).

    `refuse` puts the refusal of a service into the form.
    """
    try:
        if form.is_valid():
            action.perform(request, row, form.cleaned_data)
            messages.success(request, action.done)
            return redirect(back)
    except Refused as refusal:
        refuse(form, refusal)
    return None


def ask(
    request: HttpRequest,
    action: ConfirmAction[Any],
    form: Form,
    *,
    model: type[Model],
    listed: str,
    context: dict[str, Any],
    template: str = "admin/confirm_action.html",
) -> HttpResponse:
    """The page that asks: the form with its one-time key, below the `listed` rows of the model.

    `context` has the `row` and where «Назад» leads (`back`).
    """
    common = admin.site.each_context(request) | {
        "title": action.title,
        "opts": model._meta,
        "listed": listed,
        "form": form,
        "action": action,
        "form_key": _form_key(request),
    }
    return TemplateResponse(request, template, common | context)


def bound_form(request: HttpRequest, action: ConfirmAction[Any]) -> Form:
    """The form of an action: with what was posted, else empty."""
    return action.form(request.POST if request.method == "POST" else None)


def _form_key(request: HttpRequest) -> uuid.UUID:
    """The key that the page gave the form; a new one for a new page, or where it cannot be read."""
    try:
        return uuid.UUID(request.POST.get("form_key", ""))
    except ValueError:
        return uuid.uuid4()


class ConfirmActionAdmin(ReadOnlyAdmin):
    """Read-only rows with actions that are confirmed on a page of their own."""

    confirm_actions: tuple[ConfirmAction[Any], ...] = ()
    confirm_permission = ""
    confirm_template = "admin/confirm_action.html"
    change_form_template = "admin/confirm_change_form.html"

    def page_title(self, row: Any) -> str:
        """The heading of a row's page."""
        return f"{str(self.opts.verbose_name).capitalize()}: {row}"

    def confirm_form(self, request: HttpRequest, action: ConfirmAction[Any], row: Any) -> Form:
        """The form of an action: bound to what was posted, else empty."""
        return bound_form(request, action)

    def confirm_row(self, request: HttpRequest, pk: int) -> Any:
        """The row of an action, None where there is none."""
        return self.get_queryset(request).filter(pk=pk).first()

    def add_refusal(self, form: Form, refusal: Refused) -> None:
        """Put the refusal of a service into the form."""
        add_sentence(form, refusal)

    def facts_shown(self, row: Any) -> list[tuple[str, str]]:
        """Names and values that the page of an action shows about its row."""
        return []

    def get_urls(self) -> list[URLPattern]:
        """Django's, after the pages of the actions."""
        return [*(self._route(action) for action in self.confirm_actions), *super().get_urls()]

    def _route(self, action: ConfirmAction[Any]) -> URLPattern:
        page = require_http_methods(["GET", "HEAD", "POST"])(
            partial(self.confirm_page, action=action)
        )
        wrapped = self.admin_site.admin_view(page)
        return path(f"<int:pk>/{action.name}/", wrapped, name=self._url_name(action.name))

    def _url_name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def _is_permitted(self, request: HttpRequest, action: ConfirmAction[Any]) -> bool:
        return may(request, self.permission_of(action))

    def permission_of(self, action: ConfirmAction[Any]) -> str:
        """The Django permission that an action asks for."""
        return action.permission or self.confirm_permission

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The row's page with links to the actions that are possible now."""
        row = self.get_object(request, object_id)
        links = list(self.confirm_links(request, row)) if row is not None else []
        title = self.page_title(row) if row is not None else ""
        context = {"confirm_links": links, "title": title, "subtitle": None}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def confirm_links(self, request: HttpRequest, row: Model) -> Iterable[tuple[str, str]]:
        """Address and title of each action that is possible now."""
        for action in self.confirm_actions:
            if self._is_permitted(request, action) and not _refusal(action, row):
                url = reverse(f"admin:{self._url_name(action.name)}", args=[row.pk])
                yield url, action.title

    def confirm_page(
        self, request: HttpRequest, pk: int, *, action: ConfirmAction[Any]
    ) -> HttpResponse:
        """Ask, run, go back to the row; a refusal is shown on the page with what was typed."""
        if not self._is_permitted(request, action):
            raise PermissionDenied
        row = self.confirm_row(request, pk)
        if row is None:
            raise Http404
        form = self.confirm_form(request, action, row)
        back = reverse(f"admin:{self._url_name('change')}", args=[row.pk])
        done = carry_out(request, action, row, form, back=back, refuse=self.add_refusal)
        context = {"row": row, "back": back, "facts": self.facts_shown(row)}
        return done or self._ask(
            request, action, form, context | {"refusal": _refusal(action, row)}
        )

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Django's, and those of ours that take many rows."""
        offered: dict[str, Any] = super().get_actions(request)
        for action in self.confirm_actions:
            if action.done_many and self._is_permitted(request, action):
                offered[action.name] = (_selected(action), action.name, action.title)
        return offered

    def confirm_selected(
        self, request: HttpRequest, rows: QuerySet[Any], action: ConfirmAction[Any]
    ) -> HttpResponse | None:
        """The same for the chosen rows of the list; None when all is done.

        Many rows are left to a worker, and the answer leads to the page with its progress. Of few rows
        those that were refused are asked about again, with what was typed.
        """
        form = action.form(request.POST if "confirmed" in request.POST else None)
        # «All found rows»: the list finds them again by its filter when the form comes back.
        all_found = request.POST.get("select_across") == "1"
        if (number := rows.count()) > AT_ONCE:
            return self._confirm_many(request, rows, action, form, number)
        chosen = sorted(rows, key=lambda row: row.pk)
        if form.is_valid():
            chosen = _run_for_each(request, action, chosen, form.cleaned_data)
            if not chosen:
                return None
            all_found = False
        context = {
            "rows": chosen[:1] if all_found else chosen,
            "number": len(chosen),
            "all_found": all_found,
            "back": request.get_full_path(),
        }
        return self._ask(request, action, form, context)

    def _confirm_many(
        self,
        request: HttpRequest,
        rows: QuerySet[Any],
        action: ConfirmAction[Any],
        form: Form,
        number: int,
    ) -> HttpResponse:
        if form.is_valid():
            begun = mass_actions.begin(
                key=_form_key(request),
                rows=rows,
                name=action.name,
                title=action.button,
                asked={name: request.POST.getlist(name) for name in form.fields},
                by=actor_of(request),
                at=clock.now(),
            )
            return redirect("admin:cabinet_staffaction_change", begun.pk)
        all_found = request.POST.get("select_across") == "1"
        context = {
            "rows": rows[:1] if all_found else rows,
            "number": number,
            "all_found": all_found,
            "by_worker": True,
            "back": request.get_full_path(),
        }
        return self._ask(request, action, form, context)

    def _ask(
        self,
        request: HttpRequest,
        action: ConfirmAction[Any],
        form: Form,
        context: dict[str, Any],
    ) -> HttpResponse:
        return ask(
            request,
            action,
            form,
            model=self.model,
            listed=reverse(f"admin:{self._url_name('changelist')}"),
            context={"checkbox_name": ACTION_CHECKBOX_NAME} | context,
            template=self.confirm_template,
        )


def _refusal(action: ConfirmAction[Any], row: Model) -> str:
    try:
        action.check(row, clock.now())
    except Refused as refusal:
        return refusal.sentence
    return ""


def _selected(
    action: ConfirmAction[Any],
) -> Callable[[ConfirmActionAdmin, HttpRequest, QuerySet[Any]], HttpResponse | None]:
    """The action as Django's list calls it."""

    def confirm(
        of: ConfirmActionAdmin, request: HttpRequest, rows: QuerySet[Any]
    ) -> HttpResponse | None:
        return of.confirm_selected(request, rows, action)

    return confirm


def _run_for_each(
    request: HttpRequest, action: ConfirmAction[Any], rows: Sequence[Any], asked: dict[str, Any]
) -> list[Any]:
    """Messages: how many rows are done, and why others are refused. Gives the refused rows."""
    refused = []
    for row in rows:
        try:
            action.perform(request, row, asked)
        except Refused as refusal:
            refused.append(row)
            messages.error(request, f"{row}: {refusal.sentence}")
    if len(refused) < len(rows):
        messages.success(request, f"{action.done_many}: {len(rows) - len(refused)}.")
    return refused
