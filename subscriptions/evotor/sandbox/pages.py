"""The market's pages for people; all of them work with scripts off."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.template.loader import render_to_string
from werkzeug.routing import Rule

from cabinet import clock
from cabinet.formatting import ru_format
from cabinet.sandbox.http import Request, Response, html_response, redirect, route
from subscriptions.evotor.sandbox.accounts import (
    PLANS,
    ZONE,
    Account,
    Billing,
    MarketSubscription,
    ModuleState,
    Plan,
    local_day,
    plan_of,
)
from subscriptions.evotor.sandbox.action_api import MOST_CARDS
from subscriptions.evotor.sandbox.actions import TRIES
from subscriptions.evotor.sandbox.market import Market
from subscriptions.views.market_actions import on_same_loopback

TITLE = "Кассовые сервисы"
# What a visitor from our cabinet came for, and the section that does it.
SECTION_OF = {
    "install": "install",
    "renew": "pay",
    "change": "change",
    "stop": "stop",
    "resume": "stop",
    "remove": "remove",
}
TRIALS = (("0", "без него"), ("14", "14 дней"))


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


@dataclass(frozen=True)
class FormValues:
    """What stands in the fields of a form: the present terms, or what a person typed in vain."""

    plan_id: str = PLANS[0].id
    cards: str = "1"
    trial: str = "0"

    @property
    def plans(self) -> list[tuple[str, str]]:
        """What can be chosen; a tariff that only a script knows stays chosen."""
        listed = [(plan.id, price_text(plan)) for plan in PLANS]
        known = any(plan_id == self.plan_id for plan_id, _ in listed)
        return listed if known else [*listed, (self.plan_id, price_text(plan_of(self.plan_id)))]


class Pages:
    """One merchant's own cabinet, the module's page in the store, the merchants on the first page."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def routes(self) -> list[Rule]:
        return [
            route("GET", "/market/user/<user_id>", self._merchant),
            route("GET", "/market/<product_id>/", self._module),
        ]

    def panel(self) -> str:
        """The merchants on the sandbox's first page."""
        merchants = [_row(account) for account in self._market.accounts()]
        return render_to_string("sandbox/merchants.html", {"merchants": merchants})

    def _merchant(self, request: Request, user_id: str) -> Response:
        self._market.register(user_id, clock.now())
        account = self._market.account(user_id)
        if account is None:
            return redirect("/")
        product_id = settings.EVOTOR_PRODUCT_ID
        context = self._context(request, account, product_id, page="user", back="/") | {
            "states": list(_states(account)),
            "billing_text": billing_text(account, account.module(product_id)),
            "now": ru_format.moment_full(clock.now(), ZONE),
            "module_address": _module_address(account, request),
        }
        return _page("merchant", account.name, context)

    def _module(self, request: Request, product_id: str) -> Response:
        account = self._market.account(request.args.get("user", ""))
        if account is None:
            accounts = {"accounts": self._market.accounts(), "product_id": product_id}
            return _page("who_are_you", _title(product_id), accounts)
        asked = request.args.get("action", "")
        back = "/modules/" if asked in {"install", "remove"} else "/subscription/"
        context = self._context(request, account, product_id, page="store", back=back) | {
            "asked_text": ASKED.get(asked, ""),
            "state": state_text(account.module(product_id), clock.now()),
        }
        return _page("module", _title(product_id), context)

    def _context(
        self, request: Request, account: Account, product_id: str, *, page: str, back: str
    ) -> dict[str, Any]:
        """How the last action ended, the way back, and the sections of the module."""
        return {
            "account": account,
            "refused": request.args.get("refused", ""),
            "done": DONE.get(request.args.get("done", ""), ""),
            "undelivered": len(self._market.outbox.waiting(account.user_id)),
            "back": near(f"{settings.PUBLIC_URL}{back}", request),
        } | _sections(request, account, product_id, page)


def _page(template: str, title: str, context: dict[str, Any]) -> Response:
    return html_response(render_to_string(f"sandbox/{template}.html", context | {"title": title}))


def near(url: str, request: Request) -> str:
    """The same address on the loopback name by which the sandbox was opened.

    Cookies of localhost are unknown at 127.0.0.1, and inside a frame they are foreign there.
    """
    return on_same_loopback(url, request.headers.get("Host", ""))


def _title(product_id: str) -> str:
    return TITLE if product_id == settings.EVOTOR_PRODUCT_ID else f"Модуль {product_id}"


def _row(account: Account) -> dict[str, Any]:
    """A merchant in a list, with buttons for what is done most often, on the usual terms."""
    product_id = settings.EVOTOR_PRODUCT_ID
    subscription = account.module(product_id).subscription
    return {
        "account": account,
        "states": list(_states(account)),
        "product_id": product_id,
        "live": subscription is not None and subscription.live,
        "stop_requested": subscription is not None and subscription.stop_requested,
        "usual": _present(subscription),
        **_billing_switch(account),
    }


def _states(account: Account) -> Iterable[str]:
    modules = account.modules or {settings.EVOTOR_PRODUCT_ID: ModuleState()}
    for product_id, module in modules.items():
        other = product_id != settings.EVOTOR_PRODUCT_ID and module.subscription is not None
        name = f"{_title(product_id)}: " if other else ""
        yield name + state_text(module, clock.now())


def _billing_switch(account: Account) -> dict[str, str]:
    if account.billing is Billing.PAYS:
        return {"other_billing": Billing.REFUSES.value, "other_billing_text": "Не платить дальше"}
    return {"other_billing": Billing.PAYS.value, "other_billing_text": "Платить автоматически"}


def _module_address(account: Account, request: Request) -> str:
    """The module as the market's cabinet opens it; "" before the product gave its token."""
    if not account.token:
        return ""
    query = urlencode({"uid": account.user_id, "token": account.token})
    return near(f"{settings.PUBLIC_URL}/evotor/enter/?{query}", request)


# --- the sections of a module ---------------------------------------------------------------------


def _sections(request: Request, account: Account, product_id: str, page: str) -> dict[str, Any]:
    """The section the visitor came for is the first."""
    module = account.module(product_id)
    first = SECTION_OF.get(request.args.get("action", ""), "")
    found: dict[str, Any] = {
        "sections": sorted(_section_names(module), key=lambda name: name != first),
        "fields": {"userId": account.user_id, "productId": product_id, "page": page},
        "install": _values("install", module, request),
        "change": _values("change_terms", module, request),
        "trials": TRIALS,
        "most_cards": MOST_CARDS,
        "pays_text": BILLING[account.billing],
        **_billing_switch(account),
    }
    subscription = module.subscription
    if subscription is not None and subscription.live:
        due = day(subscription.due)
        found |= {
            "subscription": subscription,
            "terms": terms_text(subscription),
            "last_days": last_days(subscription),
            "due": due,
            "pay_on": "сейчас" if subscription.due <= clock.now() else due,
            "total": ru_format.money(subscription.priced_plan.kopecks),
        }
    return found


def _section_names(module: ModuleState) -> list[str]:
    subscription = module.subscription
    if subscription is None or not subscription.live:
        return ["install"]
    names = ["pay", "change", "stop"]
    names = [*names, "remove"] if module.installed else ["install", *names]
    return names if subscription.stop_requested else [*names, "billing"]


def _values(action: str, module: ModuleState, request: Request) -> FormValues:
    """What a refused form brought back, else the present terms."""
    typed = request.args
    if typed.get("typed") != action:
        return _asked(request, _present(module.subscription))
    return FormValues(
        typed.get("planId") or PLANS[0].id,
        typed.get("deviceNumber", ""),
        typed.get("trialDays", ""),
    )


def _asked(request: Request, present: FormValues) -> FormValues:
    """The present terms, or those that a visitor from our cabinet has chosen there."""
    plan_id, cards = request.args.get("plan", ""), request.args.get("cards", "")
    return FormValues(plan_id or present.plan_id, cards or present.cards)


def _present(subscription: MarketSubscription | None) -> FormValues:
    """The present terms, those of an ended subscription too."""
    if subscription is None:
        return FormValues()
    return FormValues(subscription.plan_id, str(max(1, subscription.devices)))


# --- sentences ---


def day(at: datetime) -> str:
    """«31 января 2027 г.» in the market's zone."""
    return ru_format.day(local_day(at))


def price_text(plan: Plan) -> str:
    """«3 месяца — 810 ₽ за смарт-карту»."""
    return f"{plan.title} — {ru_format.money(plan.kopecks)} за смарт-карту"


def terms_text(subscription: MarketSubscription) -> str:
    """«3 месяца, 5 смарт-карт, 4 050 ₽ за период»."""
    priced = subscription.priced_plan
    total = ru_format.money(priced.kopecks)
    return f"{priced.plan.title}, {ru_format.cards(priced.cards)}, {total} за период"


def last_days(subscription: MarketSubscription) -> str:
    """What comes of a stopped subscription: it runs out, and no money is priced."""
    return f"Маркет больше ничего не спишет: подписка действует до {day(subscription.due)}, потом закончится."


def billing_text(account: Account, module: ModuleState) -> str:
    """What the market does about the next payment of this module."""
    subscription = module.subscription
    if subscription is None or not subscription.live:
        return "Платить не за что: действующей подписки нет."
    return last_days(subscription) if subscription.stop_requested else BILLING[account.billing]


def state_text(module: ModuleState, now: datetime) -> str:
    """Where the merchant stands with the module."""
    installed = "установлен" if module.installed else "не установлен"
    if module.subscription is None:
        return f"Модуль {installed}, подписки нет"
    return f"Модуль {installed}, подписка {_subscription_state(module.subscription, now)}"


def _subscription_state(subscription: MarketSubscription, now: datetime) -> str:
    if subscription.ended_at is not None:
        return f"прекращена {day(subscription.ended_at)}"
    until = day(subscription.due)
    if subscription.stop_requested:
        return f"остановлена, оплаченное заканчивается {until}"
    if subscription.due <= now:
        return f"ждёт оплаты с {until}, неудачных попыток {subscription.failed_tries} из {TRIES}"
    return f"оплачена до {until}" if subscription.paid_until else f"на пробном периоде до {until}"
