"""What the market's pages say: Russian sentences about subscriptions."""

from datetime import datetime

from cabinet import wording
from subscriptions.evotor.sandbox.billing import TRIES
from subscriptions.evotor.sandbox.book import Account, Billing, Deal, Holding
from subscriptions.evotor.sandbox.plans import Plan, local_day

DONE = {
    "install": "Модуль установлен.",
    "activate": "Первый период оплачен.",
    "renew": "Оплачено.",
    "resume": "Подписка возобновлена.",
    "change_terms": "Тариф и число карт изменены.",
    "request_termination": "Остановка запрошена: оплаченное время продолжает идти.",
    "terminate": "Подписка прекращена, модуль удалён.",
    "uninstall": "Модуль удалён.",
    "billing": "Запомнили.",
}
ASKED = {
    "install": "Вы пришли установить модуль.",
    "remove": "Вы пришли удалить модуль.",
    "renew": "Вы пришли продлить подписку.",
    "change": "Вы пришли изменить тариф или число карт.",
    "stop": "Вы пришли остановить подписку.",
    "resume": "Вы пришли возобновить подписку.",
}
BILLING = {
    Billing.PAYS: "Когда подойдёт срок, маркет спишет оплату сам.",
    Billing.REFUSES: "Денег нет: маркет пять дней пробует списать оплату, потом прекращает подписку.",
    Billing.BY_HAND: "Этим предпринимателем управляет скрипт: само ничего не происходит.",
}


def day(at: datetime) -> str:
    """«31 января 2027 г.» in the market's zone."""
    return wording.day(local_day(at))


def price(plan: Plan) -> str:
    """«3 месяца — 810 ₽ за смарт-карту»."""
    return f"{plan.title} — {wording.money(plan.kopecks)} за смарт-карту"


def terms(deal: Deal) -> str:
    """«3 месяца, 5 смарт-карт, 4 050 ₽ за период»."""
    taken = deal.taken
    total = wording.money(taken.kopecks)
    return f"{taken.plan.title}, {wording.cards(taken.cards)}, {total} за период"


def last_days(deal: Deal) -> str:
    """What comes of a stopped subscription: it runs out, and no money is taken."""
    return (
        f"Маркет больше ничего не спишет: подписка действует до {day(deal.due)}, потом закончится."
    )


def billing(account: Account, holding: Holding) -> str:
    """What the market does about the next payment of this module."""
    deal = holding.deal
    if deal is None or not deal.live:
        return "Платить не за что: действующей подписки нет."
    return last_days(deal) if deal.stop_requested else BILLING[account.billing]


def state(holding: Holding, now: datetime) -> str:
    """Where the merchant stands with the module."""
    place = "установлен" if holding.installed else "не установлен"
    if holding.deal is None:
        return f"Модуль {place}, подписки нет"
    return f"Модуль {place}, подписка {_deal_state(holding.deal, now)}"


def _deal_state(deal: Deal, now: datetime) -> str:
    if deal.ended_at is not None:
        return f"прекращена {day(deal.ended_at)}"
    until = day(deal.due)
    if deal.stop_requested:
        return f"остановлена, оплаченное заканчивается {until}"
    if deal.due <= now:
        return f"ждёт оплаты с {until}, неудачных попыток {deal.failed_tries} из {TRIES}"
    return f"оплачена до {until}" if deal.paid_until else f"на пробном периоде до {until}"
