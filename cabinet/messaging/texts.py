"""What messages say: a subject and a text for each event, and several messages put together.

The same text leaves by SMS and by e-mail. Callers give the parts in braces, `site` apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings

from cabinet.enums import MessageChannel, MessageEvent
from cabinet.models import Message


@dataclass(frozen=True)
class EventText:
    """Templates of `str.format_map`."""

    subject: str
    text: str


EVENT_TEXTS: dict[MessageEvent, EventText] = {
    MessageEvent.END_NEAR: EventText(
        "Оплата закончится {when}",
        "{paid} до {until}. После этого {goes_off}. Продлить: {site}/subscription/",
    ),
    MessageEvent.END_SOON: EventText(
        "Оплата закончится {when}",
        "{paid} до {until}. После этого {goes_off}. Продлить: {site}/subscription/",
    ),
    MessageEvent.RENEWAL_NEAR: EventText(
        "Эвотор продлит подписку {when}",
        "{paid} до {until}. {charge} Изменить тариф или число карт можно до этого дня: {site}/subscription/",
    ),
    MessageEvent.PAYMENT_AWAITED: EventText(
        "Эвотор ещё не подтвердил оплату",
        "Оплата ожидалась {until}. Эвотор её ещё не подтвердил, смарт-карты пока работают. "
        "Проверьте карту или счёт в кабинете Эвотор. Подписка: {site}/subscription/",
    ),
    MessageEvent.MONTH_READY: EventText(
        "Отчёт за {month}",
        "Смарт-карты за {month}: {total}. Отчёт по магазинам и картам: {site}/subscription/month/?month={first}",
    ),
    MessageEvent.CARDS_OFF: EventText("{went_off}", "{went_off}. {why} {site}/"),
    MessageEvent.CARDS_BACK: EventText("{works}", "{works}. Делать ничего не нужно. {site}/"),
    MessageEvent.SWITCH_DONE: EventText(
        "{card}: {done}", "{card}: {done}. Это заняло {took}. {site}/cards/{pk}/"
    ),
    MessageEvent.SWITCH_FAILED: EventText(
        "{card}: {failed}", "{card}: {failed}. {why} {site}/cards/{pk}/"
    ),
    MessageEvent.OUTAGE_BEGAN: EventText(
        "У оператора «{operator}» сбой",
        "У оператора «{operator}» сбой с {since}. {waiting} Запросы не потеряются, выполним их сами. {site}/",
    ),
    MessageEvent.OUTAGE_ENDED: EventText(
        "Оператор «{operator}» снова отвечает",
        "Оператор «{operator}» снова отвечает. Выполняем запросы, которые ждали. {site}/",
    ),
    MessageEvent.ORDER_SENT: EventText(
        "Заказ № {number} отправлен",
        "Заказ № {number} отправлен, трек-номер {track}. {site}/orders/{number}/",
    ),
    MessageEvent.ORDER_DELIVERED: EventText(
        "Заказ № {number} доставлен",
        "Заказ № {number} доставлен: {cards} уже в вашем списке. {site}/",
    ),
}


def written(event: MessageEvent, company: str, context: Mapping[str, object]) -> EventText:
    """Subject and text of one event. Raises KeyError where a part is missing."""
    template, parts = EVENT_TEXTS[event], {"site": settings.PUBLIC_URL, **context}
    text = template.text.format_map(parts)
    return EventText(
        template.subject.format_map(parts)[:200], f"{company}. {text}" if company else text
    )


def together(messages: Sequence[Message]) -> EventText:
    """One message instead of several of one channel: an e-mail with all texts, an SMS with what happened."""
    named = "; ".join(message.subject for message in messages[:_NAMED])
    more = len(messages) - _NAMED
    happened = f"{named} и ещё {more}" if more > 0 else named
    if messages[0].channel == MessageChannel.EMAIL:
        return EventText(happened[:200], "\n\n".join(message.text for message in messages))
    return EventText(happened[:200], f"{happened}. {settings.PUBLIC_URL}/messages/")


# How many events an SMS and a subject name.
_NAMED = 3
