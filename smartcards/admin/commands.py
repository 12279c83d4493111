"""Commands for staff: read only, with their steps; two decisions."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from cabinet.actors import Actor
from cabinet.admin.readonly import ReadOnlyInline, to_the_second
from smartcards import phrases, queries, rules, services
from smartcards.admin.decisions import DecidingAdmin, Decision
from smartcards.admin.search import cards_matching
from smartcards.admin.words import ErrorFilter, error_word
from smartcards.admin_forms import NothingToAsk, OutcomeForm
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


def _settle(command: Command, asked: dict[str, Any], by: Actor, at: datetime) -> None:
    services.settle_by_staff(
        command=command, done=asked["done"], reason=asked["reason"], by=by, at=at
    )


def _cancel(command: Command, _asked: dict[str, Any], by: Actor, at: datetime) -> None:
    # The service takes back whichever command of the card waits now: it must be this one.
    _check_cancel(command, at)
    services.cancel_command(card=command.card, by=by, at=at)


def _error_of(command: Command) -> str:
    """What stands against it now: of one that is on its way again an earlier refusal says nothing."""
    on_its_way = {CommandState.SENDING, CommandState.ACCEPTED}
    return "" if command.state in on_its_way else command.error


class StepInline(ReadOnlyInline):
    model = CommandStep
    ordering = ("pk",)
    fields = ("at", "state", "text")


@admin.register(Command)
class CommandAdmin(DecidingAdmin):
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
    list_select_related = ("card__account", "card__merchant", "account")
    # Only makes the field of the search appear: what is searched is in `search`.
    search_fields = ("pk",)
    search_help_text = (
        "ICCID или его часть, номер, userId, ИНН, название клиента, телефон его сотрудника"
    )
    ordering = ("-created_at", "-pk")
    show_full_result_count = False
    inlines = (StepInline,)
    exclude = ("lease_token", "error")
    readonly_fields = ("what_went_wrong", "advice")
    decisions = (
        Decision(
            "outcome",
            "Записать исход…",
            "Записать исход",
            "Исход записан.",
            OutcomeForm,
            _check_outcome,
            _settle,
        ),
        Decision(
            "cancel",
            "Отменить команду…",
            "Отменить команду",
            "Команда отменена, оператору ничего не отправлено.",
            NothingToAsk,
            _check_cancel,
            _cancel,
        ),
    )

    @admin.display(description="создана", ordering="created_at")
    def created(self, command: Command) -> str:
        return to_the_second(command.created_at)

    @admin.display(description="что не так", ordering="error")
    def what_went_wrong(self, command: Command) -> str:
        return error_word(_error_of(command)) or "—"

    @admin.display(description="что делать")
    def advice(self, command: Command) -> str:
        if command.state == CommandState.NEEDS_STAFF:
            return phrases.staff_advice("unknown_outcome")
        readable = queries.tells_state(command.account)
        return phrases.staff_advice(_error_of(command), command.code, readable=readable) or "—"

    @admin.display(description="клиент")
    def merchant(self, command: Command) -> str:
        return str(command.card.merchant or "—")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Command]:
        found: QuerySet[Command] = super().get_queryset(request)
        return found.select_related("card__account", "card__merchant", "account")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Command], search_term: str
    ) -> tuple[QuerySet[Command], bool]:
        if not search_term.strip():
            return queryset, False
        return queryset.filter(cards_matching(search_term, at="card__")), False

    def facts_shown(self, row: Command) -> list[tuple[str, str]]:
        return [
            ("Что", row.get_kind_display()),
            ("Смарт-карта", f"{row.card.iccid}, номер {row.card.msisdn or '—'}"),
            ("Клиент", str(row.card.merchant or "—")),
            ("Состояние команды", row.get_state_display()),
            ("Номер запроса у оператора", row.request_id or "—"),
            ("Попросил", row.asked_by),
        ]
