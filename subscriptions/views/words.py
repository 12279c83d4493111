"""What the pages say about a subscription. Pure Russian sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from cabinet import wording
from cabinet.wording import Pill, Tone
from subscriptions.pricing import Estimate
from subscriptions.queries import SubscriptionView, TariffView
from subscriptions.states import SubscriptionState
from subscriptions.views.offers import Dunning

PILLS = {
    SubscriptionState.CREATED: Pill(Tone.PROGRESS, "Ждёт первой оплаты"),
    SubscriptionState.TRIAL: Pill(Tone.WORKS, "Пробный период"),
    SubscriptionState.ACTIVE: Pill(Tone.WORKS, "Оплачена"),
    SubscriptionState.STOPPING: Pill(Tone.ATTENTION, "Остановлена, пока работает"),
    SubscriptionState.OVERDUE: Pill(Tone.ATTENTION, "Ждём оплату, карты работают"),
    SubscriptionState.ENDED: Pill(Tone.PROBLEM, "Не оплачена"),
}
ESTIMATE = "оценка, точную сумму назначит Эвотор"


@dataclass(frozen=True)
class Fact:
    """A line of a table."""

    term: str
    value: str
    hint: str = ""


def day(at: datetime, zone: ZoneInfo) -> str:
    """«31 января 2027 г.»."""
    return wording.day(at.astimezone(zone).date())


def why(view: SubscriptionView, dunning: Dunning | None, zone: ZoneInfo) -> str:
    """One paragraph: does it work, is it paid, and why so."""
    end = view.billed_until
    shown_end = day(end, zone) if end else ""
    match view.state:
        case SubscriptionState.CREATED:
            return "Подписка оформлена, но ещё не оплачена. Смарт-карты заработают после оплаты."
        case SubscriptionState.TRIAL:
            return f"Пробный период до {shown_end} Смарт-карты работают, деньги ещё не списаны."
        case SubscriptionState.ACTIVE:
            return f"Всё оплачено до {shown_end} Включённые смарт-карты работают."
        case SubscriptionState.OVERDUE:
            return _overdue(view, dunning, shown_end)
        case SubscriptionState.STOPPING:
            return _stopping(view, zone)
        case SubscriptionState.ENDED:
            return _ended(view, zone)


def _overdue(view: SubscriptionView, dunning: Dunning | None, end: str) -> str:
    began = f"Оплаченное время закончилось {end}"
    if view.stop_requested_at is not None:
        return f"{began} Подписка остановлена: карты отключатся, когда Эвотор это подтвердит."
    if dunning is None or not dunning.days_left:
        return f"{began} Ждём сообщения Эвотор об оплате. Карты работают."
    left = wording.days(dunning.days_left)
    return (
        f"{began} Эвотор пробует списать оплату ещё {left}; карты работают. "
        "Проверьте, что на счёте или карте в Эвотор хватает денег."
    )


def _stopping(view: SubscriptionView, zone: ZoneInfo) -> str:
    end = view.works_until
    till = f"Карты работают до {day(end, zone)}" if end else "Карты пока работают."
    if view.terminated_at is not None:
        return f"Подписка закончена. {till} Дальше ничего не спишется."
    return f"Подписка остановлена: дальше ничего не спишется. {till} До этого дня подписку можно возобновить."


def _ended(view: SubscriptionView, zone: ZoneInfo) -> str:
    end = view.works_until
    since = f" {day(end, zone)}" if end else "."
    return f"Подписка закончилась{since} Смарт-карты отключены как неоплаченные."


def comes_back(wished: int) -> str:
    """What a payment brings back by itself."""
    if not wished:
        return "После оплаты выберите карты и включите их: номера и настройки сохранились."
    said = wording.plural(wished, "включится сама", "включатся сами", "включатся сами")
    return f"После оплаты {wording.cards(wished)} {said}: заново ничего настраивать не нужно."


def sums(estimate: Estimate) -> list[Fact]:
    """The rows of an estimate."""
    return [
        Fact(line.what, wording.money(line.kopecks), wording.cards(line.cards))
        for line in estimate.lines
    ]


def difference(kopecks: int | None) -> str:
    """How the market's charge differs from our estimate; "" where it does not."""
    if not kopecks:
        return ""
    more = "больше" if kopecks > 0 else "меньше"
    return f"Эвотор списал на {wording.money(abs(kopecks))} {more}, чем показывала наша оценка."


@dataclass(frozen=True)
class Price:
    """A line of the price table: kopecks of one card for the period and for a month of it."""

    title: str
    months: int
    kopecks: int
    month_kopecks: int
    saves: str


def prices(tariffs: Sequence[TariffView]) -> list[Price]:
    """The tariffs side by side; `saves` compares with the dearest month."""
    by_month = [round(one.price_kopecks / one.months) for one in tariffs]
    dearest = max(by_month, default=0)
    return [
        Price(one.title, one.months, one.price_kopecks, month, _saves(dearest - month, one.months))
        for one, month in zip(tariffs, by_month, strict=True)
    ]


def _saves(month_kopecks: int, months: int) -> str:
    return f"выгода {wording.money(month_kopecks * months)}" if month_kopecks else ""


def renewal_brings(view: SubscriptionView, until: str) -> str:
    """What a renewal does to the cards."""
    cards = wording.cards(view.next_cards)
    paid = f"Будет оплачено: {cards} до {until}" if until else f"Будет оплачено: {cards}."
    if view.state is SubscriptionState.ENDED:
        return f"{paid} Карты, которые были включены, заработают сами."
    return f"{paid} Карты продолжат работать без перерыва, оплаченные дни не теряются."


def buy_again(view: SubscriptionView) -> str:
    """What to press in the market where a renewal is a new purchase on the former terms."""
    tariff = f"тариф «{view.tariff_title}»" if view.tariff_title else "тариф"
    return f"В маркете выберите {tariff} и {_choose(view.next_cards)}, потом нажмите «Установить»."


def _choose(cards: int) -> str:
    """«1 смарт-карту»: what is chosen or bought."""
    return wording.counted(cards, "смарт-карту", "смарт-карты", "смарт-карт")


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
        f"{until} Дальше будет оплачено: {wording.cards(then)}. Выберите, какие остаются. "
        "Если не выбрать, сначала снимем отключённые, потом выбранные последними. "
        "Деньги за меньшее число карт Эвотор не возвращает."
    ).strip()


def stop_brings(view: SubscriptionView, cards: int, zone: ZoneInfo) -> str:
    """What happens after a stop or a removal, to how many cards and when."""
    end = view.works_until
    if not cards:
        return (
            f"Оплаченное время идёт до {day(end, zone)}" if end else "Смарт-карт это не коснётся."
        )
    paid = wording.plural(cards, "оплачена", "оплачены", "оплачены")
    said = f"{wording.cards(cards)} {paid}"
    till = f"{said} до {day(end, zone)}" if end else f"{said}, пока идёт оплаченное время."
    return (
        f"{till} До этого дня всё работает как сейчас и остановку можно отменить, не платя заново. "
        "Потом карты отключатся сами, и кассы останутся без связи."
    )
