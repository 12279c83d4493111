"""The merchant's cards on the staff's one page about a merchant."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.urls import reverse

from cabinet.models import Merchant
from cabinet.panels import Cell, Panel
from cabinet.wording import moment_full
from smartcards import phrases, queries
from smartcards.models import SmartCard

SHOWN = 200
COLUMNS = ("ICCID", "Номер", "Оператор", "Состояние", "Касса", "Оплачивается", "Подтверждено")


def cards(merchant: Merchant, at: datetime) -> Panel:
    """One row for each card, oldest first; the rest is in the list of cards."""
    zone = ZoneInfo(merchant.timezone)
    found = list(queries.cards_of(merchant)[: SHOWN + 1])
    title = f"Смарт-карты, первые {SHOWN}" if len(found) > SHOWN else "Смарт-карты"
    return Panel(title, COLUMNS, [_row(card, at, zone) for card in found[:SHOWN]])


def _row(card: SmartCard, at: datetime, zone: ZoneInfo) -> list[Cell]:
    facts = queries.facts_of(card, at)
    return [
        (card.iccid, reverse("admin:smartcards_smartcard_change", args=[card.pk])),
        card.msisdn or "—",
        card.account.title,
        phrases.staff_state(facts),
        card.terminal.name if card.terminal else "—",
        _paid(covered=facts.covered, entitled=facts.entitled),
        moment_full(card.confirmed_at, zone) if card.confirmed_at else "—",
    ]


def _paid(*, covered: bool, entitled: bool) -> str:
    if not covered:
        return "не выбрана"
    return "да" if entitled else "подписка не действует"
