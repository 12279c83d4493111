"""The list of cards and what happened to them, as rows of a table.

Rows are read while they are taken, some hundred cards at a time: the memory does not grow with the list.
"""

from collections.abc import Iterator
from datetime import datetime, tzinfo
from itertools import islice

from django.db.models import QuerySet

from cabinet.formatting.ru_format import zone_name
from cabinet.formatting.table_files import Value, local_time
from cabinet.models import Merchant
from smartcards import queries, texts
from smartcards.models import SmartCard
from smartcards.presentation import payment, timeline
from smartcards.presentation.display_format import name_of

_CARDS_AT_ONCE = 200
_NAME = ("Магазин", "Касса", "Подпись", "ICCID")


def list_rows(
    cards: QuerySet[SmartCard], *, zone: tzinfo, at: datetime
) -> Iterator[tuple[Value, ...]]:
    """A heading and a row for each card, in their order: where it is, its state, what is paid."""
    until = f"Оплачена до ({zone_name(zone, at)})"
    yield (*_NAME, "Номер", "Оператор", "Состояние", "Оплата", until)
    for card in _read(cards):
        paid, name = payment.payment_of(card, at), name_of(card)
        state = texts.pill(queries.facts_of(card, at)).text
        end = local_time(paid.until, zone) if paid.until else None
        yield (*_named(card), name.msisdn, name.operator, state, _payment_text(paid), end)


def history_rows(
    cards: QuerySet[SmartCard], *, merchant: Merchant, zone: tzinfo, at: datetime
) -> Iterator[tuple[Value, ...]]:
    """A heading and a row for each event of each card, in the order of the cards, newest first."""
    yield (*_NAME, f"Когда ({zone_name(zone, at)})", "Что произошло", "Пояснение", "Кто")
    left = _read(cards)
    while some := list(islice(left, _CARDS_AT_ONCE)):
        for card, events in timeline.whole_histories(some, merchant):
            for one in events:
                yield (*_named(card), local_time(one.at, zone), one.title, one.text, one.who)


def _read(cards: QuerySet[SmartCard]) -> Iterator[SmartCard]:
    return queries.with_facts(cards).iterator(chunk_size=_CARDS_AT_ONCE)


def _named(card: SmartCard) -> tuple[str, ...]:
    name = name_of(card)
    return (name.shop, name.terminal, name.label, name.iccid)


def _payment_text(paid: payment.Payment) -> str:
    """«Оплачена», where the page goes on with «до» and the day."""
    return ". ".join(filter(None, (paid.text.removesuffix(" до"), paid.hint)))
