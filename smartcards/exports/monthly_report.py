"""The accountant's month: what the cards of each shop cost, and for how many days they were paid."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Min, Q, QuerySet

from cabinet.formatting.table_files import Value, roubles
from cabinet.models import Merchant
from smartcards.exports.cost_shares import Costs, Days, PaidTime, month_costs
from smartcards.models import Coverage, SmartCard
from subscriptions.models import Charge
from subscriptions.periods import add_months, local_day

WITHOUT_TERMINAL = "Без кассы"
WITHOUT_SHOP = "Без магазина"
GONE = "Карты, которых у\u00a0компании больше нет"
FREE = "Оплачено, но\u00a0карты не\u00a0выбраны"


@dataclass(frozen=True)
class CardLine:
    """One card: where it is now, days paid in the month, kopecks."""

    shop: str
    terminal: str
    label: str
    iccid: str
    msisdn: str
    operator: str
    days: int
    kopecks: int


@dataclass(frozen=True)
class ShopPart:
    """The cards of one shop and what they cost together, in kopecks."""

    title: str
    lines: tuple[CardLine, ...]

    @property
    def kopecks(self) -> int:
        return sum(line.kopecks for line in self.lines)


@dataclass(frozen=True)
class MonthlyReport:
    """A month by shops and cards, up to `last` inclusive. `free`: kopecks for paid places without a card.

    `lacks_sums`: of some paid days the market has not named the sum.
    """

    month: date
    last: date
    shops: tuple[ShopPart, ...]
    free: int
    lacks_sums: bool

    @property
    def kopecks(self) -> int:
        """The whole cost of the month."""
        return self.free + sum(shop.kopecks for shop in self.shops)

    @property
    def is_over(self) -> bool:
        """Whether the figures are of the whole month."""
        return (self.last + timedelta(days=1)).month != self.last.month


def months_with_payments(merchant: Merchant, at: datetime) -> tuple[date, ...]:
    """The first days of the months from the first paid one to the present one, newest first."""
    zone = ZoneInfo(merchant.timezone)
    since = _charges(merchant).aggregate(since=Min("starts_at"))["since"]
    if since is None:
        return ()
    first, month = local_day(since, zone).replace(day=1), local_day(at, zone).replace(day=1)
    found = []
    while month >= first:
        found.append(month)
        month = add_months(month, -1)
    return tuple(found)


def monthly_report(merchant: Merchant, month: date, at: datetime) -> MonthlyReport:
    """The report of the month that begins on this day, of a running month up to today: three queries."""
    zone = ZoneInfo(merchant.timezone)
    end = min(add_months(month, 1), local_day(at, zone) + timedelta(days=1))
    days = Days(month, end)
    paid = list(_paid_on(merchant, days, zone))
    costs = month_costs((time for time, _known in paid), _covered(merchant, days, zone), days)
    return MonthlyReport(
        month=month,
        last=end - timedelta(days=1),
        shops=_by_shop(merchant, costs),
        free=costs.free,
        lacks_sums=not all(known for _time, known in paid),
    )


def _charges(merchant: Merchant) -> QuerySet[Charge]:
    return Charge.objects.filter(subscription__merchant=merchant)


def _paid_on(merchant: Merchant, days: Days, zone: ZoneInfo) -> Iterator[tuple[PaidTime, bool]]:
    """What pays for these days, and whether its sum is known."""
    since, till = _instants(days, zone)
    rows = _charges(merchant).filter(starts_at__lt=till, ends_at__gte=since)
    facts = ("subscription_id", "starts_at", "ends_at", "cards", "kopecks")
    for subscription, starts_at, ends_at, cards, kopecks in rows.order_by("pk").values_list(*facts):
        first, last = local_day(starts_at, zone), local_day(ends_at, zone)
        # What began and ended on one day is paid for that day.
        paid = Days(first, max(last, first + timedelta(days=1)))
        yield PaidTime(subscription, paid, cards, kopecks or 0), kopecks is not None


def _covered(merchant: Merchant, days: Days, zone: ZoneInfo) -> dict[int, dict[int, int]]:
    """The days on which cards were chosen for payment: bits of the month by subscription and card."""
    since, till = _instants(days, zone)
    rows = Coverage.objects.filter(
        Q(till=None) | Q(till__gt=since), subscription__merchant=merchant, since__lt=till
    )
    found: dict[int, dict[int, int]] = defaultdict(dict)
    for subscription, card, begun, ended in rows.order_by("pk").values_list(
        "subscription_id", "card_id", "since", "till"
    ):
        chosen = Days(local_day(begun, zone), local_day(ended, zone) if ended else days.end)
        cards = found[subscription]
        cards[card] = cards.get(card, 0) | chosen.within(days)
    return found


def _instants(days: Days, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When they begin and end."""
    return (
        datetime.combine(days.first, time(), tzinfo=zone),
        datetime.combine(days.end, time(), tzinfo=zone),
    )


# Ten thousand rows are read as they are: a third of a millisecond for each model would make a page of seconds.
_SHOWN = (
    *("pk", "merchant_id", "terminal__shop__name", "terminal__name", "label", "iccid", "msisdn"),
    "account__title",
)


def _by_shop(merchant: Merchant, costs: Costs) -> tuple[ShopPart, ...]:
    rows = SmartCard.objects.filter(pk__in=costs.days).order_by("list_key", "pk")
    in_order = [_line(row, merchant, costs) for row in rows.values_list(*_SHOWN)]
    lines = sorted(in_order, key=lambda line: line.shop == GONE)
    groups = groupby(lines, key=lambda line: line.shop)
    return tuple(ShopPart(title, tuple(group)) for title, group in groups)


def _line(row: tuple[Any, ...], merchant: Merchant, costs: Costs) -> CardLine:
    """The card's line; where it is now and what it is called there is its present owner's business."""
    pk, owner, shop, terminal, label, iccid, msisdn, operator = row
    cost = costs.days[pk], costs.kopecks[pk]
    if owner != merchant.pk:
        return CardLine(GONE, "", "", iccid, "", operator, *cost)
    title = (shop or WITHOUT_SHOP) if terminal is not None else WITHOUT_TERMINAL
    return CardLine(title, terminal or "", label, iccid, msisdn, operator, *cost)


def report_rows(report: MonthlyReport) -> Iterator[tuple[Value, ...]]:
    """A heading, the cards of each shop with its sum below them, and the whole sum."""
    yield (*("Магазин", "Касса", "Подпись", "ICCID", "Номер"), "Оператор", "Дней", "Сумма, ₽")
    for shop in report.shops:
        for line in shop.lines:
            yield (
                *(shop.title, line.terminal, line.label, line.iccid, line.msisdn, line.operator),
                *(line.days, roubles(line.kopecks)),
            )
        yield _sum_row(f"Итого: {shop.title}", shop.kopecks)
    if report.free:
        yield _sum_row(FREE, report.free)
    yield _sum_row("Всего", report.kopecks)


def _sum_row(title: str, kopecks: int) -> tuple[Value, ...]:
    return (title, *[None] * 6, roubles(kopecks))
