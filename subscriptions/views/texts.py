"""What the pages say about a subscription. Pure Russian sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from cabinet.formatting import ru_format
from cabinet.formatting.ru_format import Pill, Tone
from subscriptions import estimates, payments
from subscriptions.models import MarketRequest, Tariff
from subscriptions.pricing import Estimate
from subscriptions.queries import SubscriptionView
from subscriptions.states import SubscriptionState

PILLS = {
    SubscriptionState.CREATED: Pill(Tone.PROGRESS, "Ждёт первой оплаты"),
    SubscriptionState.TRIAL: Pill(Tone.WORKS, "Пробный период"),
    SubscriptionState.ACTIVE: Pill(Tone.WORKS, "Оплачена"),
    SubscriptionState.STOPPING: Pill(Tone.ATTENTION, "Остановлена, пока работает"),
    SubscriptionState.OVERDUE: Pill(Tone.ATTENTION, "Ждём оплату, карты работают"),
    SubscriptionState.ENDED: Pill(Tone.PROBLEM, "Не оплачена"),
}
ESTIMATE = "Примерно; точную сумму покажет Эвотор."


@dataclass(frozen=True)
class Fact:
    """A row of a table."""

    term: str
    value: str
    hint: str = ""


def day(at: datetime, zone: ZoneInfo) -> str:
    """«31 января 2027 г.»."""
    return ru_format.day(at.astimezone(zone).date())


def why(view: SubscriptionView, working: int, zone: ZoneInfo, at: datetime) -> str:
    """One paragraph: does it work, is it paid, and why so; `working` cards are on at the operator."""
    end = view.billed_until
    shown_end = day(end, zone) if end else ""
    until = payments.paid_until_text(view.row, zone=zone, at=at)
    match view.state:
        case SubscriptionState.CREATED:
            return "Подписка оформлена, но ещё не оплачена. Смарт-карты заработают после оплаты."
        case SubscriptionState.TRIAL:
            return f"Пробный период {until}. Смарт-карты работают, деньги ещё не списаны."
        case SubscriptionState.ACTIVE:
            return f"Оплачено {until}. Включённые смарт-карты работают."
        case SubscriptionState.OVERDUE:
            return _overdue(view, estimates.charge_days_left(view, at), shown_end)
        case SubscriptionState.STOPPING:
            return _stopping(view, zone, at)
        case SubscriptionState.ENDED:
            return _ended(view, working, zone, at)


def _overdue(view: SubscriptionView, charge_days_left: int | None, end: str) -> str:
    is_trial = view.row.paid_until is None
    began = f"{'Пробный период закончился' if is_trial else 'Оплаченное время закончилось'} {end}"
    if view.row.stop_requested_at is not None:
        return f"{began} Подписка остановлена: карты отключатся, когда Эвотор это подтвердит."
    if not charge_days_left:
        return f"{began} Ждём сообщения Эвотор об оплате. Карты работают."
    left = ru_format.days(charge_days_left)
    return (
        f"{began} Эвотор пробует списать оплату ещё {left}; карты работают. "
        "Проверьте, что на счёте или карте в Эвотор хватает денег."
    )


def _stopping(view: SubscriptionView, zone: ZoneInfo, at: datetime) -> str:
    end = view.works_until
    till = (
        f"Карты работают до {payments.end_text(end, zone, at)}." if end else "Карты пока работают."
    )
    if view.row.terminated_at is not None:
        return f"Подписка закончена. {till} Дальше ничего не спишется."
    return f"Подписка остановлена: дальше ничего не спишется. {till} До этого подписку можно возобновить."


def _ended(view: SubscriptionView, working: int, zone: ZoneInfo, at: datetime) -> str:
    end = view.works_until
    since = f" {payments.end_text(end, zone, at)}." if end else "."
    if working:
        still = ru_format.plural(working, "ещё работает", "ещё работают", "ещё работают")
        return (
            f"Подписка закончилась{since} {ru_format.cards(working)} {still}, "
            "но отключение неоплаченных смарт-карт может начаться в любой момент."
        )
    return f"Подписка закончилась{since} Смарт-карты отключены как неоплаченные."


def comes_back(wanted_on: int) -> str:
    """What a payment brings back by itself."""
    if not wanted_on:
        return "После оплаты выберите карты и включите их: номера и настройки сохранились."
    verb = ru_format.plural(wanted_on, "включится сама", "включатся сами", "включатся сами")
    return f"После оплаты {ru_format.cards(wanted_on)} {verb}: заново ничего настраивать не нужно."


def sums(estimate: Estimate) -> list[Fact]:
    """The rows of an estimate."""
    return [
        Fact(row.what, ru_format.money(row.kopecks), ru_format.cards(row.cards))
        for row in estimate.rows
    ]


def difference(kopecks: int | None) -> str:
    """How the market's charge differs from our estimate; "" where it does not."""
    if not kopecks:
        return ""
    more = "больше" if kopecks > 0 else "меньше"
    return f"Эвотор списал на {ru_format.money(abs(kopecks))} {more}, чем показывала наша оценка."


@dataclass(frozen=True)
class Price:
    """A row of the price table: kopecks of one card for the period and for a month of it."""

    title: str
    months: int
    kopecks: int
    month_kopecks: int
    saves: str


def prices(tariffs: Sequence[Tariff]) -> list[Price]:
    """The tariffs side by side; `saves` compares with the dearest month."""
    by_month = [round(one.price_kopecks / one.months) for one in tariffs]
    dearest = max(by_month, default=0)
    return [
        Price(
            ru_format.months(one.months),
            one.months,
            one.price_kopecks,
            month,
            _saves(dearest - month, one.months),
        )
        for one, month in zip(tariffs, by_month, strict=True)
    ]


def _saves(month_kopecks: int, months: int) -> str:
    return f"выгода {ru_format.money(month_kopecks * months)}" if month_kopecks else ""


def renewal_brings(view: SubscriptionView, until: str) -> str:
    """What a renewal does to the cards."""
    cards = ru_format.cards(view.row.paid_cards)
    paid = f"Будет оплачено: {cards} до {until}" if until else f"Будет оплачено: {cards}."
    if view.state is SubscriptionState.ENDED:
        return f"{paid} Карты, которые были включены, заработают сами."
    return f"{paid} Карты продолжат работать без перерыва, оплаченные дни не теряются."


def buy_again(view: SubscriptionView) -> str:
    """What to press in the market where a renewal is a new purchase on the former terms."""
    period = f"«{view.row.plan_title}»" if view.row.plan_title else "период"
    return f"выберите {period} и {_choose(view.row.paid_cards)}, потом нажмите «Установить»."


def choose_there(tariff: Tariff, cards: int) -> str:
    """What to choose in the market where it was chosen here already."""
    return f"выберите «{ru_format.months(tariff.months)}» и {_choose(cards)}, потом подтвердите."


# What we wait for, as the market is going to confirm it.
_AWAITED = {
    MarketRequest.Kind.INSTALL: "установку",
    MarketRequest.Kind.REMOVE: "удаление",
    MarketRequest.Kind.RENEW: "продление",
    MarketRequest.Kind.CHANGE: "другой период или число карт",
    MarketRequest.Kind.STOP: "остановку",
    MarketRequest.Kind.RESUME: "возобновление",
}


def awaited(request: MarketRequest) -> str:
    """«Ждём, когда Эвотор подтвердит переход на 12 месяцев, 2 смарт-карты»."""
    what = _AWAITED[MarketRequest.Kind(request.kind)]
    if request.kind == MarketRequest.Kind.CHANGE and request.tariff and request.cards:
        period = ru_format.months(request.tariff.months)
        what = f"переход на {period}, {ru_format.cards(request.cards)}"
    return f"Ждём, когда Эвотор подтвердит {what}"


def _choose(cards: int) -> str:
    """«1 смарт-карту»: what is chosen or bought."""
    return ru_format.counted(cards, "смарт-карту", "смарт-карты", "смарт-карт")


def change_brings(view: SubscriptionView, cards: int, zone: ZoneInfo) -> str:
    """What another number of cards does to them, and when."""
    end = view.billed_until
    if cards > view.paid_cards:
        more = _choose(cards - view.paid_cards)
        return f"Как только Эвотор подтвердит оплату, вы сможете выбрать ещё {more}."
    if cards == view.paid_cards:
        return "Число смарт-карт не меняется: все продолжат работать."
    return _fewer(view.paid_cards, cards, day(end, zone) if end else "")


def _fewer(now: int, then: int, end: str) -> str:
    until = f"До {end} работают все оплаченные карты: {now}." if end else ""
    return (
        f"{until} Дальше будет оплачено: {ru_format.cards(then)}. Выберите, какие остаются. "
        "Иначе останутся работающие, выбранные раньше других. "
        "За лишние карты Эвотор деньги не вернёт."
    ).strip()


def stop_brings(view: SubscriptionView, cards: int, zone: ZoneInfo, at: datetime) -> str:
    """What happens after a stop or a removal, to how many cards and when."""
    end, is_trial = view.works_until, view.row.paid_until is None
    if not cards:
        time = "Пробный период" if is_trial else "Оплаченное время"
        till = payments.end_text(end, zone, at) if end else ""
        return f"{time} идёт до {till}." if till else "Смарт-карт это не коснётся."
    paid = ru_format.plural(cards, "оплачена", "оплачены", "оплачены")
    if is_trial:
        paid = ru_format.plural(cards, "работает", "работают", "работают")
    subject = f"{ru_format.cards(cards)} {paid}"
    until = f"до {payments.end_text(end, zone, at)}." if end else "пока идёт подписка."
    return (
        f"{subject} {until} До этого всё работает как сейчас и остановку можно отменить, не платя заново. "
        "Потом карты отключатся сами, и кассы останутся без связи."
    )
