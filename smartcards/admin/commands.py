"""Commands for staff: read only, with their steps; two decisions."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from cabinet.actors import Actor
from cabinet.admin.confirm_action import ConfirmAction, ConfirmActionAdmin, service_call
from cabinet.admin.readonly import ReadOnlyInline, to_the_second
from cabinet.forms.reason import NoFieldsForm
from smartcards import queries, rules, services, texts
from smartcards.admin.forms import OutcomeForm
from smartcards.admin.labels import ErrorFilter, error_label
from smartcards.admin.permissions import ACT_RIGHT
from smartcards.admin.search import CardSearchMixin
from smartcards.models import Command, CommandStep
from smartcards.rules import CardRefused
from smartcards.states import CommandState


def _check_outcome(command: Command, _at: datetime) -> None:
    if command.state != CommandState.NEEDS_STAFF:
        raise CardRefused("Эта команда не ждёт решения сотрудника.")


def _check_cancel(command: Command, at: datetime) -> None:
    if command.state != CommandState.QUEUED:
        raise CardRefused("Отменить можно только команду, которая ждёт в очереди.")
    rules.check_can_cancel(queries.facts_now(command.card, at), None)


def _cancel(command: Command, _asked: dict[str, Any], by: Actor, at: datetime) -> None:
    services.cancel_command(card=command.card, command=command, by=by, at=at)


def _error_of(command: Command) -> str:
    """The error that still holds; the refusal of an earlier attempt is not shown while a new one is under way."""
    on_its_way = {CommandState.SENDING, CommandState.ACCEPTED}
    return "" if command.state in on_its_way else command.error


class StepInline(ReadOnlyInline):
    model = CommandStep
    ordering = ("pk",)
    fields = ("at", "state", "text")


@admin.register(Command)
class CommandAdmin(CardSearchMixin, ConfirmActionAdmin):
    list_display = (
        "created",
        "card",
        "merchant",
        "kind",
        "state",
        "asked_by",
        "what_went_wrong",
    )
    list_filter = ("state", "account", "kind", "origin", ErrorFilter, "created_at")
    ordering = ("-created_at", "-pk")
    inlines = (StepInline,)
    card_path = "card__"
    exclude = ("lease_token", "error")
    readonly_fields = ("what_went_wrong", "advice")
    change_form_template = "admin/smartcards/confirm_change_form.html"
    confirm_permission = ACT_RIGHT
    confirm_actions = (
        ConfirmAction(
            "outcome",
            "Записать исход…",
            "Записать исход",
            "Исход записан.",
            OutcomeForm,
            service_call("command", services.settle_by_staff),
            _check_outcome,
        ),
        ConfirmAction(
            "cancel",
            "Отменить команду…",
            "Отменить команду",
            "Команда отменена, оператору ничего не отправлено.",
            NoFieldsForm,
            _cancel,
            _check_cancel,
        ),
    )

    @admin.display(description="создана", ordering="created_at")
    def created(self, command: Command) -> str:
        """When it was created, to the second."""
        return to_the_second(command.created_at)

    @admin.display(description="что не так", ordering="error")
    def what_went_wrong(self, command: Command) -> str:
        """The error that still holds."""
        return error_label(_error_of(command)) or "—"

    @admin.display(description="что делать")
    def advice(self, command: Command) -> str:
        """What staff can do about the error."""
        if command.state == CommandState.NEEDS_STAFF:
            return texts.staff_advice("unknown_outcome")
        readable = queries.tells_state(command.account)
        return texts.staff_advice(_error_of(command), command.code, readable=readable) or "—"

    @admin.display(description="клиент")
    def merchant(self, command: Command) -> str:
        """Whose card it is; «—» for a card in stock."""
        return str(command.card.merchant or "—")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Command]:
        found: QuerySet[Command] = super().get_queryset(request)
        return found.select_related("card__account", "card__merchant", "account")

    def facts_shown(self, row: Command) -> list[tuple[str, str]]:
        """What staff need to find the request at the operator."""
        return [
            ("Что", row.get_kind_display()),
            ("Смарт-карта", f"{row.card.iccid}, номер {row.card.msisdn or '—'}"),
            ("Клиент", str(row.card.merchant or "—")),
            ("Состояние команды", row.get_state_display()),
            ("Номер запроса у оператора", row.request_id or "—"),
            ("Попросил", row.asked_by),
        ]
