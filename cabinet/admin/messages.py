"""Messages to people: what was sent, refused, or is unknown. Read-only; texts of codes are never stored."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse

from cabinet.admin.clients import ClientMixin
from cabinet.admin.merchant_panels import Cell, Panel
from cabinet.admin.readonly import ChoiceFilter, ReadOnlyAdmin, link, to_the_second
from cabinet.enums import MessageEvent, MessageState
from cabinet.formatting import phone_numbers
from cabinet.formatting.ru_format import moment_full, phone
from cabinet.models import Merchant, Message


class EventFilter(ChoiceFilter):
    """What the message is about."""

    title = "о чём"
    parameter_name = "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(event.value, str(event.label)) for event in MessageEvent]


class StateFilter(ChoiceFilter):
    """Where the message stands."""

    title = "состояние"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, str(state.label)) for state in MessageState]


@admin.register(Message)
class MessageAdmin(ClientMixin, ReadOnlyAdmin):
    """What left for whom, and how it ended."""

    list_display = ("created", "event", "channel", "recipient", "state", "tries", "detail")
    list_filter = (StateFilter, EventFilter, "created_at")
    search_fields = ("to", "=user__phone", "=user__email")
    search_help_text = "Телефон или адрес почты; название, ИНН или userId клиента"
    ordering = ("-created_at", "-pk")
    show_full_result_count = False
    fields = (
        "event",
        "channel",
        "person",
        "client",
        "recipient",
        "subject",
        "text",
        "state",
        "tries",
        "created",
        "changed",
        "next_try_at",
        "detail",
    )
    readonly_fields = ("person", "client", "recipient", "created", "changed")

    def found_by(self, term: str) -> Q:
        """Also by the phone it went to, in any spelling."""
        return super().found_by(term) | Q(to=phone_numbers.e164(term) or term)

    @admin.display(description="создано", ordering="created_at")
    def created(self, row: Message) -> str:
        """When the change that it tells about was made, to the second."""
        return to_the_second(row.created_at)

    @admin.display(description="состояние с", ordering="changed_at")
    def changed(self, row: Message) -> str:
        """Since when it is in this state, to the second."""
        return to_the_second(row.changed_at)

    @admin.display(description="кому", ordering="to")
    def recipient(self, row: Message) -> str:
        """The phone in groups, or the address."""
        return phone(row.to) if row.to.isdigit() else row.to

    @admin.display(description="человек")
    def person(self, row: Message) -> str:
        """Link to the person's page."""
        if row.user_id is None:
            return "—"
        return link(row.user, reverse("admin:cabinet_user_change", args=[row.user_id]))


SHOWN = 20
COLUMNS = ("Когда", "О чём", "Как", "Состояние", "Ответ шлюза")


def panel(merchant: Merchant, at: datetime) -> Panel:
    """The latest messages to people of a merchant, on the staff's one page about it; without their addresses."""
    rows = Message.objects.filter(merchant_id=merchant.pk).order_by("-created_at", "-pk")[:SHOWN]
    zone = ZoneInfo(merchant.timezone)
    return Panel(f"Сообщения, последние {SHOWN}", COLUMNS, [_row(row, zone) for row in rows])


def _row(row: Message, zone: ZoneInfo) -> list[Cell]:
    return [
        moment_full(row.created_at, zone),
        (row.get_event_display(), reverse("admin:cabinet_message_change", args=[row.pk])),
        row.get_channel_display(),
        row.get_state_display(),
        row.detail or "—",
    ]
