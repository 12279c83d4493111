"""The history of payments as rows of a table."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from cabinet.formatting.ru_format import zone_name
from cabinet.formatting.table_files import Value, local_time, roubles
from cabinet.models import Merchant
from subscriptions.payments import PaymentLine, payment_history


def payment_rows(merchant: Merchant, at: datetime) -> Iterator[tuple[Value, ...]]:
    """A heading and the lines of the history, newest first, as the page tells them."""
    zone = ZoneInfo(merchant.timezone)
    hours = zone_name(zone, at)
    yield (
        *(f"Когда ({hours})", "За что", "Смарт-карт", f"С ({hours})", f"До ({hours})"),
        *("Сумма, ₽", "Расчёт", "Примечание", "Кто", "Модуль"),
    )
    for one in payment_history(merchant, at):
        times = (local_time(moment, zone) for moment in (one.at, one.starts_at, one.ends_at))
        when, since, till = times
        money = None if one.kopecks is None else roubles(one.kopecks)
        yield (when, one.what, one.cards, since, till, money, *_remarks(one))


def _remarks(one: PaymentLine) -> tuple[str, ...]:
    note = one.difference_text if one.kopecks else one.sum_text
    return (one.calculation, note, one.by, one.module)
