"""Cards for staff: found by anything, read only; what may be done goes through the services."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import Form
from django.http import HttpRequest
from django.urls import reverse

from cabinet import clock
from cabinet.admin.confirm_action import ConfirmAction, ConfirmActionAdmin, service_call
from cabinet.admin.readonly import ReadOnlyInline, link
from cabinet.forms.reason import NoFieldsForm
from cabinet.templatetags.ru import moment_full
from smartcards import queries, replacement, rules, services, texts
from smartcards.admin.forms import (
    CardPageForm,
    CardReasonForm,
    NumberForm,
    ReleaseForm,
    ReplaceForm,
    WithdrawForm,
)
from smartcards.admin.labels import block_of, identity_label
from smartcards.admin.permissions import ACT_RIGHT
from smartcards.admin.search import CardSearchMixin
from smartcards.models import Command, Coverage, SmartCard
from smartcards.presentation import payment
from smartcards.presentation.card import why_so
from smartcards.reconciliation import discrepancy_actions, lifted_blocks
from smartcards.rules import CardFacts, CardRefused

Check = Callable[[SmartCard, CardFacts], None]


def _check_handed(card: SmartCard) -> None:
    if card.merchant_id is None:
        raise CardRefused("Смарт-карта на складе: её ещё никому не передали.")


def _by_rule(rule: Callable[[CardFacts, None], None]) -> Check:
    """The rule of a merchant's own action, asked without a role, for a card that a merchant has."""

    def check(card: SmartCard, facts: CardFacts) -> None:
        _check_handed(card)
        rule(facts, None)

    return check


def _check_can_ask(card: SmartCard, facts: CardFacts) -> None:
    rules.check_can_ask_operator(facts, readable=queries.tells_state(card.account))


def _check_release(card: SmartCard, facts: CardFacts) -> None:
    _check_handed(card)
    lifted_blocks.check_can_release(facts, card.account)


def _check_write_number(_card: SmartCard, facts: CardFacts) -> None:
    if facts.open_command is not None:
        raise CardRefused(
            "Команда по этой смарт-карте ещё не закончена. Дождитесь ответа оператора."
        )


def _card_action(
    name: str,
    texts: tuple[str, str, str],
    form: type[Form],
    check: Check,
    service: Callable[..., object],
) -> ConfirmAction[SmartCard]:
    """An action whose `check` is given the facts of the card; `texts` are link, button and message."""

    def check_now(card: SmartCard, at: datetime) -> None:
        check(card, queries.facts_of(card, at))

    return ConfirmAction(name, *texts, form, service_call("card", service), check_now)


CARD_ACTIONS = (
    _card_action(
        "activate",
        ("Активировать…", "Активировать", "Команда принята."),
        CardReasonForm,
        _by_rule(rules.check_can_activate),
        services.request_activation,
    ),
    _card_action(
        "deactivate",
        ("Деактивировать…", "Деактивировать", "Команда принята."),
        CardReasonForm,
        _by_rule(rules.check_can_deactivate),
        services.request_deactivation,
    ),
    _card_action(
        "check",
        ("Проверить у оператора", "Проверить", "Спросим оператора, ответ появится здесь."),
        NoFieldsForm,
        _check_can_ask,
        services.check_again,
    ),
    _card_action(
        "release",
        (
            "Оператор снял блокировку…",
            "Записать снятие блокировки",
            "Записано: оператор снял блокировку.",
        ),
        ReleaseForm,
        _check_release,
        lifted_blocks.release,
    ),
    _card_action(
        "withdraw",
        (
            "Потеряна, украдена или сломана…",
            "Вывести из работы",
            "Смарт-карта выведена из работы.",
        ),
        WithdrawForm,
        _by_rule(rules.check_can_withdraw),
        replacement.withdraw,
    ),
    _card_action(
        "replace",
        (
            "Заменить смарт-картой со склада…",
            "Заменить",
            "Смарт-карта заменена, новая передана клиенту.",
        ),
        ReplaceForm,
        _by_rule(rules.check_can_replace),
        partial(replacement.replace_from_stock, stock=queries.unassigned_stock()),
    ),
    _card_action(
        "take_back",
        ("Нашлась: вернуть в работу…", "Вернуть в работу", "Смарт-карта снова в работе."),
        NoFieldsForm,
        _by_rule(rules.check_can_take_back),
        replacement.take_back,
    ),
    _card_action(
        "number",
        ("Записать номер…", "Записать номер", "Номер записан."),
        NumberForm,
        _check_write_number,
        discrepancy_actions.write_number,
    ),
)


class WhereFilter(admin.SimpleListFilter):
    """In stock, or in somebody's hands."""

    title = "где"
    parameter_name = "where"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The two choices."""
        return [("stock", "на складе"), ("handed", "у клиента")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SmartCard]) -> QuerySet[SmartCard]:
        """All cards for a value that is not offered."""
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
class SmartCardAdmin(CardSearchMixin, ConfirmActionAdmin):
    form = CardPageForm
    list_display = (
        "iccid",
        "msisdn",
        "account",
        "shown_state",
        "merchant",
        "terminal",
    )
    list_filter = ("account", "confirmed", WhereFilter)
    ordering = ("-pk",)
    inlines = (CommandInline, CoverageInline)
    fieldsets = (
        (None, {"fields": ("iccid", "msisdn", "account", "shown_state", "paid", "why_so")}),
        ("У кого", {"fields": ("merchant_link", "terminal", "label", "imported_at", "handed_at")}),
        (
            "Последнее решение человека",
            {"fields": ("desired_state", "desired_at", "desired_by", "desired_by_kind")},
        ),
        (
            "Что сказал оператор",
            {
                "fields": (
                    "confirmed",
                    "block",
                    "confirmed_at",
                    "confirmed_from",
                    "read_at",
                    "seen_state",
                )
            },
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
        "paid",
        "why_so",
        "merchant_link",
        "replaced_by_link",
        "desired_state",
        "block",
        "number_owner",
    )
    change_form_template = "admin/smartcards/confirm_change_form.html"
    confirm_permission = ACT_RIGHT
    confirm_actions = CARD_ACTIONS

    def get_queryset(self, request: HttpRequest) -> QuerySet[SmartCard]:
        """Cards with what `queries.facts_of` reads."""
        found: QuerySet[SmartCard] = super().get_queryset(request)
        return queries.with_facts(found.select_related("merchant"))

    @admin.display(description="состояние")
    def shown_state(self, card: SmartCard) -> str:
        """The state in words for staff, with its reason."""
        return texts.staff_state(queries.facts_of(card, clock.now()))

    @admin.display(description="Оплачена?")
    def paid(self, card: SmartCard) -> str:
        """As the merchant sees it; nobody pays for a card in stock."""
        return _payment(card) if card.merchant_id else "—"

    @admin.display(description="Почему так")
    def why_so(self, card: SmartCard) -> str:
        """As the merchant sees it."""
        return _why_so(card) if card.merchant_id else "—"

    @admin.display(description="что решено")
    def desired_state(self, card: SmartCard) -> str:
        """What a person has last asked for."""
        return {True: "включить", False: "отключить", None: "ещё ничего"}[card.desired_on]

    @admin.display(description="причина блокировки")
    def block(self, card: SmartCard) -> str:
        """Why the operator blocks the card."""
        return block_of(card) or "—"

    @admin.display(description="Госуслуги")
    def number_owner(self, card: SmartCard) -> str:
        """What Госуслуги say about the number."""
        return identity_label(card.identity) or "—"

    @admin.display(description="клиент")
    def merchant_link(self, card: SmartCard) -> str:
        """Link to the page with everything about the merchant."""
        if card.merchant is None:
            return "на складе"
        url = reverse("admin:cabinet_merchant_whole", kwargs={"pk": card.merchant.pk})
        return link(card.merchant, url)

    @admin.display(description="заменена на")
    def replaced_by_link(self, card: SmartCard) -> str:
        """Link to the card that took its place."""
        if card.replaced_by is None:
            return "—"
        url = reverse("admin:smartcards_smartcard_change", args=[card.replaced_by.pk])
        return link(card.replaced_by.iccid, url)

    def facts_shown(self, row: SmartCard) -> list[tuple[str, str]]:
        """Which card it is, whose, and whether it works and is paid."""
        facts = queries.facts_of(row, clock.now())
        return [
            ("ICCID", row.iccid),
            ("Номер", row.msisdn or "—"),
            ("Оператор", row.account.title),
            ("Клиент", str(row.merchant or "на складе")),
            ("Состояние", texts.staff_state(facts)),
            ("Оплачена?", _payment(row) if row.merchant_id else "—"),
        ]


def _payment(card: SmartCard) -> str:
    found = payment.payment_of(card, clock.now())
    until = f" {moment_full(found.until)}" if found.until else ""
    return ". ".join(filter(None, (f"{found.text}{until}", found.hint)))


def _why_so(card: SmartCard) -> str:
    found = why_so(card, clock.now())
    details = [found.who, moment_full(found.at) if found.at else ""]
    shown = ", ".join(filter(None, details))
    return f"{found.text}: {shown}" if shown else found.text
