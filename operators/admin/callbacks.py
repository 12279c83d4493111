"""Events that operators sent us, for staff: read-only."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.utils.html import format_html

from cabinet.admin.readonly import to_the_second
from operators.admin.log_admin import LogAdmin, digits_in, is_iccid
from operators.events import event_mapping
from operators.events.event_mapping import EventType, known_type
from operators.models import Callback

_KINDS = {
    EventType.SERVICE: "состояние смарт-карты",
    EventType.MONITOR: "исход запроса",
}
_OTHER = "other"
_UNKNOWN = "незнакомый тип"


class EventFilter(admin.SimpleListFilter):
    """By the type of the event, in any case of letters."""

    title = "о чём"
    parameter_name = "about"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """The known types, and all others together."""
        return [*((kind.value, title) for kind, title in _KINDS.items()), (_OTHER, _UNKNOWN)]

    def queryset(self, request: Any, queryset: QuerySet[Callback]) -> QuerySet[Callback]:
        """Events of the chosen type; none chosen: all."""
        chosen = self.value() or ""
        if chosen == _OTHER:
            known = [Q(event_type__iexact=kind) for kind in EventType]
            return queryset.exclude(known[0] | known[1])
        return queryset.filter(event_type__iexact=chosen) if chosen else queryset


@admin.register(Callback)
class CallbackAdmin(LogAdmin):
    """Found by the whole ICCID or by the operator's number of a request."""

    heading = "Уведомления операторов"
    list_display = ("got", "account", "about", "outcome", "card", "request_id")
    list_filter = ("state", EventFilter, "account", "received_at")
    search_help_text = "ICCID или номер запроса целиком; хранится 30 дней"
    ordering = ("-received_at", "-pk")
    readonly_fields = ("got", "happened", "about", "card", "shown_payload")
    fields = ("got", "happened", "account", "about", "event_type", "event_id", "card", "request_id", "state",
              "note", "attempts", "next_try_at", "error", "shown_payload")  # fmt: skip

    def found_by(self, term: str) -> Q:
        """By the number of a request, or by a whole ICCID."""
        digits = digits_in(term)
        return Q(request_id=term) | (Q(iccid=digits) if is_iccid(digits) else Q())

    @admin.display(description="получено", ordering="received_at")
    def got(self, row: Callback) -> str:
        """When we received it, to the second."""
        return to_the_second(row.received_at)

    @admin.display(description="время события", ordering="occurred_at")
    def happened(self, row: Callback) -> str:
        """When it happened by the operator, to the second."""
        return to_the_second(row.occurred_at)

    @admin.display(description="о чём")
    def about(self, row: Callback) -> str:
        """What the event tells of; the type itself where it is not known."""
        kind = known_type(row.event_type)
        return _KINDS[kind] if kind else f"{_UNKNOWN}: {row.event_type}"

    @admin.display(description="исход", ordering="state")
    def outcome(self, row: Callback) -> str:
        """The state of its processing, with the note."""
        state = row.get_state_display()
        return format_html("{}<br>{}", f"{state}:", row.note) if row.note else state

    @admin.display(description="содержание")
    def shown_payload(self, row: Callback) -> str:
        """With long numbers cut: what processing needs stands in fields of its own."""
        shown = json.dumps(event_mapping.for_staff(row.payload), ensure_ascii=False, indent=2)
        return format_html('<pre class="exchange-text">{}</pre>', shown)
