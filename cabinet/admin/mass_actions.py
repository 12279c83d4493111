"""Actions on many rows of a list: stored with their rows, carried out by a worker, each row once, and shown.

The page of an action says how far it is, and which rows were refused and why.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from django.apps import apps
from django.contrib import admin
from django.db import OperationalError, connection, transaction
from django.db.models import F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.datastructures import MultiValueDict

from cabinet import clock
from cabinet.accounts.services.staff_sign_in import staff_actor
from cabinet.actors import Actor
from cabinet.admin.readonly import ReadOnlyAdmin, to_the_second
from cabinet.enums import StaffActionState
from cabinet.errors import Refused
from cabinet.models import StaffAction, StaffActionRow, User
from cabinet.tasks.deadlock_retry import retry_on_deadlock
from cabinet.tasks.task_queue import enqueue_on_commit

if TYPE_CHECKING:
    from cabinet.admin.confirm_action import ConfirmActionAdmin

logger = logging.getLogger(__name__)

# One run leaves the worker to others after this; what is left is done by the next.
_WORKING_SECONDS = 30.0
SHOWN_REFUSALS = 50
_OUR_FAULT = "Ошибка сервиса. Сообщите разработчикам."


class ActionRefused(Refused):
    """A row, or the whole action, cannot be carried out any more."""


@transaction.atomic
def begin(
    *,
    key: UUID,
    rows: QuerySet[Any],
    name: str,
    title: str,
    asked: Mapping[str, Sequence[str]],
    by: Actor,
    at: datetime,
) -> StaffAction:
    """The action `name` of these rows, which a worker carries out; the one that began before with this key.

    The rows are those found now. `asked` is what was posted by the form's fields.
    """
    fields = {"model": rows.model._meta.label, "action": name, "title": title, "asked": asked}
    begun, is_new = StaffAction.objects.get_or_create(
        key=key, defaults={**fields, "user_id": by.user_id, "created_at": at}
    )
    if is_new:
        begun.total = _store_rows(begun, rows)
        begun.save(update_fields=["total"])
        enqueue_on_commit("cabinet.run_staff_action", pk=begun.pk)
    return begun


def _store_rows(begun: StaffAction, rows: QuerySet[Any]) -> int:
    """One statement, however many rows; how many they are."""
    chosen, parameters = rows.values_list("pk").query.sql_with_params()
    table = StaffActionRow._meta.db_table
    # Both come from Django: what people typed is in the parameters.
    insert = (
        f"INSERT INTO {table} (action_id, row_pk, state) "  # noqa: S608
        f"SELECT %s, chosen.pk, %s FROM ({chosen}) AS chosen (pk) ON CONFLICT DO NOTHING"
    )
    with connection.cursor() as cursor:
        cursor.execute(insert, [begun.pk, StaffActionState.WAITING, *parameters])
        return int(cursor.rowcount)


def work(*, pk: int) -> bool:
    """Carry out rows of this action for at most half a minute; whether any are left.

    Run by two workers at once, or again after a crash, it does no row twice.
    """
    begun = StaffAction.objects.select_related("user").filter(pk=pk, finished_at=None).first()
    if begun is None:
        return False
    run, end = _run_of(begun), time.monotonic() + _WORKING_SECONDS
    while time.monotonic() < end:
        if not retry_on_deadlock(partial(_do_next, begun, run)):
            return not _finish(begun)
    return True


def _finish(begun: StaffAction) -> bool:
    """Whether no row waits: those in another worker's hands still do."""
    if begun.rows.filter(state=StaffActionState.WAITING).exists():
        return False
    StaffAction.objects.filter(pk=begun.pk, finished_at=None).update(finished_at=clock.now())
    return True


@transaction.atomic
def _do_next(begun: StaffAction, run: Callable[[int], None]) -> bool:
    """Carry out one row and keep what became of it, in one transaction; False where none waits."""
    waiting = begun.rows.filter(state=StaffActionState.WAITING).order_by("pk")
    row = waiting.select_for_update(skip_locked=True).first()
    if row is None:
        return False
    row.state, row.sentence = _outcome(run, row.row_pk)
    row.save(update_fields=["state", "sentence"])
    counted = "done" if row.state == StaffActionState.DONE else "refused"
    StaffAction.objects.filter(pk=begun.pk).update(**{counted: F(counted) + 1})
    return True


def _outcome(run: Callable[[int], None], row_pk: int) -> tuple[StaffActionState, str]:
    try:
        with transaction.atomic():
            run(row_pk)
    except Refused as refusal:
        return StaffActionState.REFUSED, refusal.sentence[:300]
    except OperationalError:  # the whole transaction is tried again
        raise
    except Exception:
        # One row that fails must not hold up the others.
        logger.exception("A row of a staff action failed")
        return StaffActionState.REFUSED, _OUR_FAULT
    return StaffActionState.DONE, ""


def _run_of(begun: StaffAction) -> Callable[[int], None]:
    """What is done with the number of a row; it raises Refused."""
    model: Any = apps.get_model(begun.model)
    site_admin = cast("ConfirmActionAdmin", admin.site.get_model_admin(model))
    action = next((one for one in site_admin.confirm_actions if one.name == begun.action), None)
    form = action.form(MultiValueDict(begun.asked)) if action else None
    user = begun.user

    def run(row_pk: int) -> None:
        if action is None or form is None or not form.is_valid():
            raise ActionRefused("Такого действия больше нет.")
        if user is None or not (user.is_staff and user.has_perm(site_admin.permission_of(action))):
            raise ActionRefused("У сотрудника больше нет права на это действие.")
        row = model.objects.filter(pk=row_pk).first()
        if row is None:
            raise ActionRefused("Этой записи уже нет.")
        action.apply(row, form.cleaned_data, staff_actor(user), clock.now())

    return run


# --- what staff see of them -----------------------------------------------------------------------


@admin.register(StaffAction)
class StaffActionAdmin(ReadOnlyAdmin):
    """Read-only; whoever began an action sees it without any other right."""

    list_display = ("title", "began", "user", "total", "done", "refused", "ended")
    list_select_related = ("user",)
    search_fields = ("title", "user__name")
    ordering = ("-created_at", "-pk")

    @admin.display(description="начато", ordering="created_at")
    def began(self, row: StaffAction) -> str:
        """When it began, to the second."""
        return to_the_second(row.created_at)

    @admin.display(description="закончено", ordering="finished_at")
    def ended(self, row: StaffAction) -> str:
        """When its last row was carried out."""
        return to_the_second(row.finished_at) if row.finished_at else "выполняется"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        own = isinstance(obj, StaffAction) and obj.user_id == cast("User", request.user).pk
        return own or super().has_view_permission(request, obj)

    def get_urls(self) -> list[URLPattern]:
        """Django's, after the live part of the page."""
        live = path(
            "<int:pk>/progress/",
            self.admin_site.admin_view(self.progress),
            name="cabinet_staffaction_progress",
        )
        return [live, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The progress, then the first refused rows."""
        row = self._own(request, object_id)
        context = self.admin_site.each_context(request) | {
            "title": row.title,
            "opts": self.opts,
            "refusals": _refusals(row),
            "more": max(0, row.refused - SHOWN_REFUSALS),
            **_progress(row),
        }
        return TemplateResponse(request, "cabinet/admin/staff_action.html", context)

    def progress(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The live part, asked for again and again until all rows are carried out."""
        context = _progress(self._own(request, str(pk)))
        return TemplateResponse(request, "cabinet/admin/staff_action_progress.html", context)

    def _own(self, request: HttpRequest, object_id: str) -> StaffAction:
        row = self.get_object(request, object_id)
        if not isinstance(row, StaffAction) or not self.has_view_permission(request, row):
            raise Http404
        return row


def _progress(row: StaffAction) -> dict[str, Any]:
    over = row.done + row.refused
    return {
        "row": row,
        "over": over,
        "percent": over * 100 // row.total if row.total else 100,
        "progress_url": reverse("admin:cabinet_staffaction_progress", args=[row.pk]),
    }


def _refusals(row: StaffAction) -> list[tuple[str, str, str]]:
    """Address, name and reason of the first refused rows; no address where the row is gone."""
    model: Any = apps.get_model(row.model)
    page = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
    refused = row.rows.filter(state=StaffActionState.REFUSED).order_by("pk")[:SHOWN_REFUSALS]
    names = model.objects.in_bulk([one.row_pk for one in refused])
    return [
        (reverse(page, args=[one.row_pk]), str(names[one.row_pk]), one.sentence)
        if one.row_pk in names
        else ("", f"№ {one.row_pk}", one.sentence)
        for one in refused
    ]
