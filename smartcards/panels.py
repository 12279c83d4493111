"""The merchant's cards on the staff's one page about a merchant; commands and operators that need staff."""

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db.models import Count, Min, Q
from django.urls import reverse

from cabinet.admin.merchant_panels import Cell, Panel
from cabinet.admin.today import TodayPanel, Waiting
from cabinet.formatting.ru_format import moment_full
from cabinet.models import Merchant
from smartcards import queries, texts
from smartcards.mass_operations.presentation import state_pill, title_of
from smartcards.mass_operations.queries import latest
from smartcards.models import Command, SmartCard
from smartcards.monitoring.dashboard import operator_statuses
from smartcards.monitoring.operator_health import OperatorStatus, Severity
from smartcards.states import CommandState

SHOWN, SHOWN_OPERATIONS = 200, 20
COLUMNS = ("ICCID", "Номер", "Оператор", "Состояние", "Касса", "Оплачивается", "Подтверждено")


def cards(merchant: Merchant, at: datetime) -> Panel:
    """One row for each card, oldest first; the rest is in the list of cards."""
    zone = ZoneInfo(merchant.timezone)
    found = list(queries.cards_of(merchant)[: SHOWN + 1])
    title = f"Смарт-карты, первые {SHOWN}" if len(found) > SHOWN else "Смарт-карты"
    return Panel(title, COLUMNS, [_row(card, at, zone) for card in found[:SHOWN]])


def mass_operations(merchant: Merchant, at: datetime) -> Panel:
    """The latest work on many cards, after the link that begins some; `at` changes nothing."""
    zone = ZoneInfo(merchant.timezone)
    begin = reverse("admin:smartcards_massoperation_new", args=[merchant.pk])
    rows: list[list[Cell]] = [[("Начать новое…", begin), "", "", ""]]
    rows += [
        [
            (title_of(row), reverse("admin:smartcards_massoperation_one", args=[row.pk])),
            row.asked_by,
            moment_full(row.created_at, zone),
            state_pill(row).text,
        ]
        for row in latest(merchant)[:SHOWN_OPERATIONS]
    ]
    return Panel("Действия с картами", ("Что", "Кто", "Когда", "Состояние"), rows)


def _row(card: SmartCard, at: datetime, zone: ZoneInfo) -> list[Cell]:
    facts = queries.facts_of(card, at)
    return [
        (card.iccid, reverse("admin:smartcards_smartcard_change", args=[card.pk])),
        card.msisdn or "—",
        card.account.title,
        texts.staff_state(facts),
        card.terminal.name if card.terminal else "—",
        _paid(covered=facts.covered, entitled=facts.entitled),
        moment_full(card.confirmed_at, zone) if card.confirmed_at else "—",
    ]


def _paid(*, covered: bool, entitled: bool) -> str:
    if not covered:
        return "не выбрана"
    return "да" if entitled else "подписка не действует"


def _commands_waiting(at: datetime) -> Iterable[Waiting]:
    rows = Command.objects.filter(state=CommandState.NEEDS_STAFF)
    given = Min("steps__at", filter=Q(steps__state=CommandState.NEEDS_STAFF))
    found = rows.aggregate(number=Count("pk", distinct=True), oldest=given)
    url = (
        f"{reverse('admin:smartcards_command_changelist')}?state__exact={CommandState.NEEDS_STAFF}"
    )
    yield Waiting("Команды: записать исход", found["number"], url, found["oldest"])


commands_today = TodayPanel("smartcards.view_command", _commands_waiting)


def _operators_in_trouble(at: datetime) -> Iterable[Waiting]:
    found = [row for row in operator_statuses(at) if row.severity >= Severity.PROBLEM]
    begun = [since for row in found if (since := _in_trouble_since(row)) is not None]
    yield Waiting(
        "Операторы: сбои и задержки",
        len(found),
        reverse("admin:smartcards_board"),
        min(begun, default=None),
        " ".join(row.sentence for row in found),
    )


def _in_trouble_since(status: OperatorStatus) -> datetime | None:
    """Since when, as far as it is known: nothing is sent, the keys are refused, or commands wait."""
    account, outbox = status.account, status.outbox
    return account.broken_since or account.keys_refused_since or outbox.oldest


operators_today = TodayPanel("smartcards.view_command", _operators_in_trouble)
