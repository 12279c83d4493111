"""Audit log, alerts and heartbeats for staff."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from cabinet import clock
from cabinet.admin.actor import actor_of, may
from cabinet.admin.clients import ClientMixin
from cabinet.admin.readonly import ChoiceFilter, ReadOnlyAdmin, link, presence, to_the_second
from cabinet.formatting import phone_numbers
from cabinet.formatting.audit_labels import (
    ACTION_LABELS,
    TARGET_MODELS,
    action_label,
    periodic_task_label,
    target_label,
)
from cabinet.formatting.ru_format import sort_key
from cabinet.messaging.alerts import close_rows, pauses, put_off
from cabinet.models import Alert, AuditEvent, Heartbeat, User


class KindFilter(ChoiceFilter):
    """Which kind of row the event is about."""

    title = "о чём"
    parameter_name = "target"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return sorted(((code, target_label(code)) for code in TARGET_MODELS), key=_by_label)


class ActionFilter(ChoiceFilter):
    """What was done: every action the product records."""

    title = "действие"
    parameter_name = "action"
    # Seventy choices: folded by default.
    template = "admin/folded_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return sorted(ACTION_LABELS.items(), key=_by_label)


def _by_label(pair: tuple[str, str]) -> str:
    return sort_key(pair[1])


# The field by which a row is called, of the models that have a name; others have a number only.
_NAMED_BY = {
    "merchant": "name",
    "module": "title",
    "operatoraccount": "title",
    "smartcard": "iccid",
    "tariff": "title",
    "user": "name",
}


def _name_targets(events: Iterable[AuditEvent]) -> None:
    """Each event gets `target_name`: one query for each kind of row among them."""
    wanted = defaultdict(set)
    for event in events:
        wanted[event.target].add(event.target_id)
    names: dict[tuple[str, int], str] = {}
    for target in wanted.keys() & _NAMED_BY.keys():
        rows = _model_of(target).objects.filter(pk__in=wanted[target])
        for pk, name in rows.values_list("pk", _NAMED_BY[target]):
            names[target, pk] = name
    for event in events:
        event.target_name = names.get((event.target, event.target_id), "")  # type: ignore[attr-defined]


def _model_of(target: str) -> Any:
    return next(model for model in apps.get_models() if model._meta.model_name == target)


class AuditLogPage(ChangeList):
    """A page of the audit log whose rows know the names of what they are about."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        _name_targets(self.result_list)


@admin.register(AuditEvent)
class AuditEventAdmin(ClientMixin, ReadOnlyAdmin):
    """Who did what, to which client: found by words, by the client's or the author's name or phone."""

    list_display = ("when", "text", "reason", "who", "client", "about")
    list_filter = ("actor_kind", KindFilter, ActionFilter, "at")
    search_fields = ("text", "reason", "actor_name")
    search_help_text = (
        "Слова из записи; название, телефон, ИНН или userId клиента; имя или телефон автора"
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
        "what_was_done",
        "details",
    )
    readonly_fields = ("client", "about", "what_was_done")

    @admin.display(description="когда", ordering="at")
    def when(self, row: AuditEvent) -> str:
        """When it was, to the second."""
        return to_the_second(row.at)

    @admin.display(description="кто", ordering="actor_name")
    def who(self, row: AuditEvent) -> str:
        """The author's name and kind, the kind alone for the service itself."""
        kind = row.get_actor_kind_display()
        return kind if row.actor_name == kind else f"{row.actor_name}, {kind}"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """The list that names what its rows are about."""
        return AuditLogPage

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> AuditEvent | None:
        """The event with the name of what it is about."""
        found = super().get_object(request, object_id, from_field)
        if isinstance(found, AuditEvent):
            _name_targets([found])
        return found

    def found_by(self, term: str) -> Q:
        """Also by the phone of the person who did it."""
        phone = phone_numbers.e164(term)
        found = super().found_by(term)
        return found | Q(actor_id__in=User.objects.filter(phone=phone)) if phone else found

    @admin.display(description="о чём", ordering="target")
    def about(self, row: AuditEvent) -> str:
        """«Заказ № 7», «Смарт-карта 8970…»: which row the event is about, with a link to its page."""
        kind, name = target_label(row.target), getattr(row, "target_name", "")
        if not row.target_id:
            return kind
        shown = f"{kind} {name}" if name else f"{kind} № {row.target_id}"
        return _linked(shown, row)

    @admin.display(description="действие", ordering="action")
    def what_was_done(self, row: AuditEvent) -> str:
        """The action's label."""
        return action_label(row.action)


def _linked(text: str, event: AuditEvent) -> str:
    """The text as a link to the page of what the event is about; the text alone where there is no such page."""
    try:
        meta = _model_of(event.target)._meta
        page = f"admin:{meta.app_label}_{meta.model_name}_change"
        return link(text, reverse(page, args=[event.target_id]))
    except (NoReverseMatch, StopIteration):
        return text


class PauseFilter(admin.SimpleListFilter):
    """Alerts that wait for the end of their merchant's pause are listed only where they are asked for."""

    title = "пауза"
    parameter_name = "paused"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "отложенные")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Django's, whose «all» are those that are not put off."""
        shown, *paused = super().choices(changelist)
        yield shown | {"display": "без отложенных"}
        yield from paused

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        """Those put off now, or the others."""
        waiting = put_off(clock.now())
        return queryset.filter(waiting) if self.value() else queryset.exclude(waiting)


@admin.register(Alert)
class AlertAdmin(ClientMixin, ReadOnlyAdmin):
    """What needs a member of staff; «Закрыть» marks it as settled."""

    list_display = (
        "text",
        "where",
        "raised_at",
        "seen_times",
        "client",
        "closed_at",
        "closed_by",
    )
    list_filter = (("closed_at", presence("открытые", "закрытые")), PauseFilter, "raised_at")
    change_list_template = "cabinet/admin/alerts.html"
    search_fields = ("text", "key")
    search_help_text = "Слова из дела; название, телефон, ИНН или userId клиента"
    # Open ones first: the database sorts empty values last.
    ordering = (F("closed_at").desc(nulls_first=True), "-raised_at")
    actions = ("close_selected",)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """With the pauses above the list."""
        found = {"pauses": pauses(clock.now())}
        return super().changelist_view(request, found | (extra_context or {}))

    @admin.display(description="страница")
    def where(self, alert: Alert) -> str:
        """Link to the page where it can be dealt with."""
        return link("Открыть", alert.link) if alert.link else "—"

    @admin.action(description="Закрыть", permissions=["close"])
    def close_selected(self, request: HttpRequest, alerts: QuerySet[Alert]) -> None:
        """Mark the chosen alerts as settled by this member of staff, however many: in one statement."""
        number = close_rows(alerts, by=actor_of(request), at=clock.now())
        self.message_user(request, f"Закрыто дел: {number}.")

    def has_close_permission(self, request: HttpRequest) -> bool:
        """Whoever may change alerts may close them."""
        return may(request, "cabinet.change_alert")


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    """When each periodic task was last done."""

    list_display = ("work", "when")
    fields = ("work", "name", "when")
    readonly_fields = ("work", "when")

    @admin.display(description="работа", ordering="name")
    def work(self, row: Heartbeat) -> str:
        """What the task does."""
        return periodic_task_label(row.name)

    @admin.display(description="сделана", ordering="at")
    def when(self, row: Heartbeat) -> str:
        """When it was last done, to the second."""
        return to_the_second(row.at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Heartbeat]:
        """By name."""
        return super().get_queryset(request).order_by("name")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        return super().changelist_view(request, {"title": "Пульс сервиса"} | (extra_context or {}))
