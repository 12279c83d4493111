"""What was charged and given, line by line, and till when it is paid: the same words on pages, in messages
and in exports.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from django.db.models import Max, Min

from cabinet.formatting import ru_format
from cabinet.formatting.ru_format import NBSP
from cabinet.models import Merchant
from subscriptions import pricing, rules
from subscriptions.models import Charge, Gift, Period, Subscription, Tariff
from subscriptions.periods import days_of, local_day
from subscriptions.pricing import Estimate, Terms
from subscriptions.rules import ComingEnd
from subscriptions.states import ChargeKind, PeriodKind, SubscriptionState

_MOSCOW = ZoneInfo("Europe/Moscow")


class LineKind(StrEnum):
    """What a line of the history is."""

    PAYMENT = "payment"
    CHANGE = "change"
    TRIAL = "trial"
    GIFT = "gift"


@dataclass(frozen=True)
class PaymentLine:
    """One line of the history: what, for how many cards, for which time [starts_at, ends_at), how much.

    `kopecks` is what the market charged, 0 for nothing, None where it named no sum in roubles.
    `calculation` is cards × price × part of the period, empty where the tariff is not known; `difference`
    is what the market charged beyond it, in kopecks. `by` is a person of the merchant whose step in the
    cabinet led to it, else who did it.
    """

    at: datetime
    kind: LineKind
    module: str
    what: str
    cards: int
    starts_at: datetime
    ends_at: datetime
    kopecks: int | None
    calculation: str
    difference: int
    by: str

    @property
    def sum_text(self) -> str:
        """The sum for people: «600 ₽», «бесплатно», «без доплаты», or that the market named none."""
        if self.kopecks is None:
            return "Эвотор не назвал сумму"
        if self.kopecks:
            return ru_format.money(self.kopecks)
        return "бесплатно" if self.kind in {LineKind.TRIAL, LineKind.GIFT} else "без доплаты"

    @property
    def difference_text(self) -> str:
        """How the sum differs from the calculation; empty where it does not."""
        if not self.difference:
            return ""
        more = "больше" if self.difference > 0 else "меньше"
        return f"Эвотор списал на {ru_format.money(abs(self.difference))} {more}, чем по тарифу"


def payment_history(merchant: Merchant, at: datetime) -> tuple[PaymentLine, ...]:
    """Everything that was charged or given to a merchant up to `at`, the newest first; three queries."""
    zone = ZoneInfo(merchant.timezone)
    until = at + rules.CLOCKS_APART
    lines = [*_charges(merchant, zone), *_trials(merchant), *_gifts(merchant)]
    past = (line for line in lines if line.at <= until)
    return tuple(sorted(past, key=lambda line: line.at, reverse=True))


def _charges(merchant: Merchant, zone: ZoneInfo) -> Iterator[PaymentLine]:
    rows = Charge.objects.filter(subscription__merchant=merchant).order_by("-charged_at", "-number")
    for row in rows.select_related("tariff", "tariff_before", "request", "subscription__module"):
        estimate = _estimate(row, zone)
        total = estimate.total_kopecks if estimate else None
        yield PaymentLine(
            at=row.charged_at,
            kind=LineKind(row.kind),
            module=row.subscription.module.title,
            what=_what(row),
            cards=row.cards,
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            kopecks=row.kopecks,
            calculation=_calculation(row, estimate, zone) if estimate and row.kopecks != 0 else "",
            difference=0 if row.kopecks is None or total is None else row.kopecks - total,
            by=row.request.asked_by if row.request else "Эвотор",
        )


def _period(tariff: Tariff | None) -> str:
    """«12 месяцев»: the market's own word for a tariff; empty where it is not known."""
    return ru_format.months(tariff.months) if tariff else ""


def _what(row: Charge) -> str:
    if row.kind == ChargeKind.PAYMENT:
        period = _period(row.tariff)
        return f"Оплата за {period}" if period else "Оплата"
    if row.tariff_id != row.tariff_before_id:
        period = f"Переход на {_period(row.tariff) or 'другой тариф'}"
        return (
            period if row.cards == row.cards_before else f"{period}, {ru_format.cards(row.cards)}"
        )
    more = row.cards - row.cards_before
    if more > 0:
        return f"Доплата за {_accusative(more)}"
    if more < 0:
        return f"Со следующего списания {ru_format.cards(row.cards)}"
    return "Доплата"


def _accusative(cards: int) -> str:
    return ru_format.counted(cards, "смарт-карту", "смарт-карты", "смарт-карт")


def _estimate(row: Charge, zone: ZoneInfo) -> Estimate | None:
    """What the tariffs give for it; None where one of them is not known."""
    now = row.tariff
    if now is None:
        return None
    if row.kind == ChargeKind.PAYMENT:
        return pricing.estimate_period(
            tariff=_period(now), card_kopecks=now.price_kopecks, cards=row.cards
        )
    if row.tariff_before is None:
        return None
    return pricing.estimate_change(
        current=_terms(row.tariff_before, row.cards_before, row, zone),
        wanted=_terms(now, row.cards, row, zone),
        days_left=_days_left(row, zone),
    )


def _terms(tariff: Tariff, cards: int, row: Charge, zone: ZoneInfo) -> Terms:
    return Terms(_period(tariff), tariff.price_kopecks, cards, _days(tariff, row, zone))


def _days(tariff: Tariff, row: Charge, zone: ZoneInfo) -> int:
    first, last = local_day(row.period_starts_at, zone), local_day(row.ends_at, zone)
    return days_of(tariff.months, first, last)


def _days_left(row: Charge, zone: ZoneInfo) -> int:
    return (local_day(row.ends_at, zone) - local_day(row.starts_at, zone)).days


def _calculation(row: Charge, estimate: Estimate, zone: ZoneInfo) -> str:
    tariff = row.tariff
    if tariff is None:
        return ""
    price = ru_format.money(tariff.price_kopecks)
    if row.kind == ChargeKind.PAYMENT:
        return f"{ru_format.cards(row.cards)} × {price}"
    if row.tariff_id == row.tariff_before_id:
        more = ru_format.cards(row.cards - row.cards_before)
        return f"{more} × {price} × {_part(tariff, row, zone)}"
    return _exchange(row, estimate, zone)


def _part(tariff: Tariff, row: Charge, zone: ZoneInfo) -> str:
    """«16 дней из 30»."""
    return f"{ru_format.days(_days_left(row, zone))} из{NBSP}{_days(tariff, row, zone)}"


def _exchange(row: Charge, estimate: Estimate, zone: ZoneInfo) -> str:
    """Another tariff for the rest of the period, less what is paid for it already."""
    sides = [(row.tariff, row.cards), (row.tariff_before, row.cards_before)]
    shown = [
        f"{ru_format.cards(cards)} × {ru_format.money(one.price_kopecks)} × {_part(one, row, zone)}"
        for one, cards in sides
        if one is not None
    ]
    return f" {ru_format.MINUS} ".join(shown)


def _trials(merchant: Merchant) -> Iterator[PaymentLine]:
    rows = Period.objects.filter(subscription__merchant=merchant, kind=PeriodKind.TRIAL)
    groups = rows.values("subscription", "subscription__module__title").annotate(
        since=Min("starts_at"), till=Max("ends_at"), most=Max("cards")
    )
    for one in groups.order_by("since"):
        yield PaymentLine(
            at=one["since"],
            kind=LineKind.TRIAL,
            module=one["subscription__module__title"],
            what=f"Пробный период, {_length(one['till'] - one['since'])}",
            cards=one["most"],
            starts_at=one["since"],
            ends_at=one["till"],
            kopecks=0,
            calculation="",
            difference=0,
            by="Эвотор",
        )


def _length(length: timedelta) -> str:
    return ru_format.days(round(length / timedelta(days=1)))


def _gifts(merchant: Merchant) -> Iterator[PaymentLine]:
    rows = Gift.objects.filter(subscription__merchant=merchant).order_by("given_at")
    for row in rows.select_related("subscription__module"):
        yield PaymentLine(
            at=row.given_at,
            kind=LineKind.GIFT,
            module=row.subscription.module.title,
            what=f"Подарено {ru_format.days(row.days)}: {row.reason}",
            cards=row.subscription.paid_cards,
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            kopecks=0,
            calculation="",
            difference=0,
            by="Служба поддержки",
        )


# --- till when ------------------------------------------------------------------------------------


def day_text(day: datetime, zone: ZoneInfo, at: datetime | None = None) -> str:
    """«28 февраля» of the year of `at`, «28 февраля 2028 г.» of another one and where `at` is not given."""
    local = local_day(day, zone)
    is_near = at is not None and local.year == local_day(at, zone).year
    return ru_format.day_short(local) if is_near else ru_format.day(local)


def end_text(end: datetime, zone: ZoneInfo, at: datetime | None = None) -> str:
    """«28 февраля, 15:56 по Москве»: the instant at which the cards stop, as seen at `at`."""
    return (
        f"{day_text(end, zone, at)}, {ru_format.clock_time(end, zone)}{NBSP}{_clock_of(zone, end)}"
    )


def _clock_of(zone: ZoneInfo, at: datetime) -> str:
    """«по Москве», «МСК+2»: whose clock shows the hour."""
    offsets = [at.astimezone(one).utcoffset() or timedelta() for one in (zone, _MOSCOW)]
    hours = (offsets[0] - offsets[1]) / timedelta(hours=1)
    if not hours:
        return f"по{NBSP}Москве"
    sign = "+" if hours > 0 else ru_format.MINUS
    return f"МСК{sign}{abs(hours):g}"


def paid_until_text(row: Subscription, *, zone: ZoneInfo, at: datetime) -> str:
    """What comes after «Оплачено»: the day and that it renews itself, or the known end with its hour.

    Empty where nothing is paid or tried.
    """
    state, end = rules.state_of(row, at), rules.known_end(row)
    if end is not None:
        return f"до {end_text(end, zone, at)}"
    billed = rules.later(row.paid_until, row.trial_until)
    if billed is None:
        return ""
    day = day_text(billed, zone, at)
    if state is SubscriptionState.OVERDUE:
        return f"до {day}, ждём списания Эвотор"
    return f"до {day}, затем Эвотор спишет {'снова' if row.paid_until else 'оплату'}"


def coming_end_text(coming: ComingEnd, *, zone: ZoneInfo, at: datetime) -> str:
    """What a page and a message say of the end or the renewal that is near: when, and what happens then."""
    if coming.renews:
        day = _near_day(coming, zone, at)
        return f"{day} Эвотор спишет оплату подписки. Проверьте, что в\u00a0Эвотор хватает денег."
    hour = f"{ru_format.clock_time(coming.at, zone)}{NBSP}{_clock_of(zone, coming.at)}"
    return f"{_near_day(coming, zone, at)} в{NBSP}{hour} смарт-карты отключатся: подписка заканчивается."


def _near_day(coming: ComingEnd, zone: ZoneInfo, at: datetime) -> str:
    """«Сегодня», «Завтра», «Через 3 дня, 28 февраля,»."""
    if coming.days < len(_NEAR):
        return _NEAR[coming.days]
    return f"Через {ru_format.days(coming.days)}, {day_text(coming.at, zone, at)},"


_NEAR = ("Сегодня", "Завтра")
