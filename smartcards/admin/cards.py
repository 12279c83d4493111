"""Cards for staff: found by anything, read only; what may be done goes through the services."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from cabinet import clock
from cabinet.actors import Actor
from cabinet.admin.readonly import ReadOnlyInline
from smartcards import healing, phrases, queries, releases, rules, services, withdrawal
from smartcards.admin.decisions import DecidingAdmin, Decision
from smartcards.admin.search import cards_matching
from smartcards.admin.words import block_of, identity_word
from smartcards.admin_forms import (
    CardReasonForm,
    NothingToAsk,
    NumberForm,
    ReleaseForm,
    ReplaceForm,
    WithdrawForm,
)
from smartcards.admin_stock import StockImportMixin
from smartcards.models import Command, Coverage, SmartCard
from smartcards.orders.queries import whole_stock
from smartcards.rules import CardRefused


def _check_activate(card: SmartCard, at: datetime) -> None:
    _check_handed(card)
    rules.check_can_activate(queries.facts_of(card, at), None)


def _check_deactivate(card: SmartCard, at: datetime) -> None:
    _check_handed(card)
    rules.check_can_deactivate(queries.facts_of(card, at), None)


def _check_handed(card: SmartCard) -> None:
    if card.merchant_id is None:
        raise CardRefused("Смарт-карта на складе: её ещё никому не передали.")


def _check_can_ask(card: SmartCard, at: datetime) -> None:
    readable = queries.tells_state(card.account)
    rules.check_can_ask_operator(queries.facts_of(card, at), readable=readable)


def _activate(card: SmartCard, asked: dict[str, Any], by: Actor, at: datetime) -> None:
    _check_handed(card)
    services.request_activation(card=card, by=by, at=at, reason=asked["reason"])


def _deactivate(card: SmartCard, asked: dict[str, Any], by: Actor, at: datetime) -> None:
    _check_handed(card)
    services.request_deactivation(card=card, by=by, at=at, reason=asked["reason"])


def _check_again(card: SmartCard, _asked: dict[str, Any], by: Actor, at: datetime) -> None:
    services.check_again(card=card, by=by, at=at)


def _check_withdraw(card: SmartCard, at: datetime) -> None:
    _check_handed(card)
    rules.check_can_withdraw(queries.facts_of(card, at), None)


def _check_take_back(card: SmartCard, at: datetime) -> None:
    _check_handed(card)
    rules.check_can_take_back(queries.facts_of(card, at), None)


def _check_replace(card: SmartCard, at: datetime) -> None:
    _check_handed(card)
    rules.check_can_replace(queries.facts_of(card, at), None)


def _withdraw(card: SmartCard, asked: dict[str, Any], by: Actor, at: datetime) -> None:
    withdrawal.withdraw(card=card, because=asked["because"], by=by, at=at, reason=asked["reason"])


def _take_back(card: SmartCard, _asked: dict[str, Any], by: Actor, at: datetime) -> None:
    withdrawal.take_back(card=card, by=by, at=at)


def _replace(card: SmartCard, asked: dict[str, Any], by: Actor, at: datetime) -> None:
    withdrawal.replace_from_stock(
        card=card,
        stock=whole_stock(),
        iccid=asked["iccid"],
        by=by,
        at=at,
        reason=asked["reason"],
    )


def _check_release(card: SmartCard, at: datetime) -> None:
    _check_handed(card)
    releases.check_can_release(queries.facts_of(card, at), card.account)


def _release(card: SmartCard, asked: dict[str, Any], by: Actor, at: datetime) -> None:
    releases.release(card=card, working=asked["working"], reason=asked["reason"], by=by, at=at)


def _check_write_number(card: SmartCard, at: datetime) -> None:
    if queries.facts_of(card, at).open_command is not None:
        raise CardRefused(
            "Команда по этой смарт-карте ещё не закончена. Дождитесь ответа оператора."
        )


def _write_number(card: SmartCard, asked: dict[str, Any], by: Actor, at: datetime) -> None:
    healing.write_number(card=card, msisdn=asked["msisdn"], reason=asked["reason"], by=by, at=at)


class WhereFilter(admin.SimpleListFilter):
    """In stock, or in somebody's hands."""

    title = "где"
    parameter_name = "where"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("stock", "на складе"), ("handed", "у клиента")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SmartCard]) -> QuerySet[SmartCard]:
        if self.value() not in {"stock", "handed"}:
            return queryset
        return queryset.filter(merchant__isnull=self.value() == "stock")


class CoverageInline(ReadOnlyInline):
    model = Coverage
    ordering = ("-since",)


class CommandInline(ReadOnlyInline):
    model = Command
    ordering = ("-created_at", "-pk")
    fields = ("kind", "state", "asked_by", "reason", "created_at", "finished_at", "text")
    show_change_link = True


@admin.register(SmartCard)
class SmartCardAdmin(StockImportMixin, DecidingAdmin):
    list_display = (
        "iccid",
        "msisdn",
        "account",
        "shown_state",
        "merchant",
        "terminal",
    )
    list_filter = ("account", "confirmed", WhereFilter)
    # Only makes the field of the search appear: what is searched is in `search`.
    search_fields = ("iccid",)
    search_help_text = (
        "ICCID или его часть, номер, userId, ИНН, ОГРН, название клиента, телефон его сотрудника"
    )
    ordering = ("-pk",)
    show_full_result_count = False
    inlines = (CommandInline, CoverageInline)
    fieldsets = (
        (None, {"fields": ("iccid", "msisdn", "account", "shown_state")}),
        ("У кого", {"fields": ("merchant_link", "terminal", "label", "imported_at", "handed_at")}),
        (
            "Последнее решение человека",
            {"fields": ("wish", "wished_at", "wished_by", "wished_by_kind")},
        ),
        (
            "Что сказал оператор",
            {"fields": ("confirmed", "block", "confirmed_at", "confirmed_from", "read_at")},
        ),
        (
            "Госуслуги и сеть",
            {"fields": ("number_owner", "identity_at", "off_since", "may_hold_until")},
        ),
        (
            "Выведена из работы",
            {"fields": ("withdrawn_at", "withdrawn_because", "replaced_by_link")},
        ),
    )
    readonly_fields = (
        "shown_state",
        "merchant_link",
        "replaced_by_link",
        "wish",
        "block",
        "number_owner",
    )
    decisions = (
        Decision(
            "activate",
            "Активировать…",
            "Активировать",
            "Команда принята.",
            CardReasonForm,
            _check_activate,
            _activate,
        ),
        Decision(
            "deactivate",
            "Деактивировать…",
            "Деактивировать",
            "Команда принята.",
            CardReasonForm,
            _check_deactivate,
            _deactivate,
        ),
        Decision(
            "check",
            "Проверить у оператора",
            "Проверить",
            "Спросим оператора, ответ появится здесь.",
            NothingToAsk,
            _check_can_ask,
            _check_again,
        ),
        Decision(
            "release",
            "Оператор снял блокировку…",
            "Записать снятие блокировки",
            "Записано: оператор снял блокировку.",
            ReleaseForm,
            _check_release,
            _release,
        ),
        Decision(
            "withdraw",
            "Потеряна, украдена или сломана…",
            "Вывести из работы",
            "Смарт-карта выведена из работы.",
            WithdrawForm,
            _check_withdraw,
            _withdraw,
        ),
        Decision(
            "replace",
            "Заменить смарт-картой со склада…",
            "Заменить",
            "Смарт-карта заменена, новая передана клиенту.",
            ReplaceForm,
            _check_replace,
            _replace,
        ),
        Decision(
            "take_back",
            "Нашлась: вернуть в работу…",
            "Вернуть в работу",
            "Смарт-карта снова в работе.",
            NothingToAsk,
            _check_take_back,
            _take_back,
        ),
        Decision(
            "number",
            "Записать номер…",
            "Записать номер",
            "Номер записан.",
            NumberForm,
            _check_write_number,
            _write_number,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[SmartCard]:
        found: QuerySet[SmartCard] = super().get_queryset(request)
        return queries.with_facts(found.select_related("merchant"))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[SmartCard], search_term: str
    ) -> tuple[QuerySet[SmartCard], bool]:
        if not search_term.strip():
            return queryset, False
        return queryset.filter(cards_matching(search_term)), False

    @admin.display(description="состояние")
    def shown_state(self, card: SmartCard) -> str:
        return phrases.staff_state(queries.facts_of(card, clock.now()))

    @admin.display(description="что решено")
    def wish(self, card: SmartCard) -> str:
        return {True: "включить", False: "отключить", None: "ещё ничего"}[card.wished_on]

    @admin.display(description="причина блокировки")
    def block(self, card: SmartCard) -> str:
        return block_of(card) or "—"

    @admin.display(description="Госуслуги")
    def number_owner(self, card: SmartCard) -> str:
        return identity_word(card.identity) or "—"

    @admin.display(description="клиент")
    def merchant_link(self, card: SmartCard) -> str:
        if card.merchant is None:
            return "на складе"
        url = reverse("admin:cabinet_merchant_whole", kwargs={"pk": card.merchant.pk})
        return format_html('<a href="{}">{}</a>', url, card.merchant)

    @admin.display(description="заменена на")
    def replaced_by_link(self, card: SmartCard) -> str:
        if card.replaced_by is None:
            return "—"
        url = reverse("admin:smartcards_smartcard_change", args=[card.replaced_by.pk])
        return format_html('<a href="{}">{}</a>', url, card.replaced_by.iccid)

    def facts_shown(self, row: SmartCard) -> list[tuple[str, str]]:
        facts = queries.facts_of(row, clock.now())
        return [
            ("ICCID", row.iccid),
            ("Номер", row.msisdn or "—"),
            ("Оператор", row.account.title),
            ("Клиент", str(row.merchant or "на складе")),
            ("Состояние", phrases.staff_state(facts)),
            ("Оплачивается", "да" if facts.paid else "нет"),
        ]
