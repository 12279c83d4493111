"""The forms of the module's store page: what may be done depends on where the merchant stands."""

from dataclasses import dataclass
from datetime import datetime
from html import escape

from django.conf import settings

from cabinet import wording
from subscriptions.evotor.sandbox import phrases
from subscriptions.evotor.sandbox.book import Account, Billing, Deal
from subscriptions.evotor.sandbox.html import button, form
from subscriptions.evotor.sandbox.plans import PLANS, plan_of

# What a visitor from our cabinet came for, and the section that does it.
SECTION_OF = {
    "install": "install",
    "renew": "pay",
    "change": "change",
    "stop": "stop",
    "resume": "stop",
    "remove": "remove",
}
USUAL_CARDS = 1
MOST_CARDS = 500
TRIALS = (("0", "без него"), ("14", "14 дней"))


@dataclass(frozen=True)
class Terms:
    """What stands in the fields of a form: the present terms, or what a person typed in vain."""

    action: str = ""
    plan_id: str = PLANS[0].id
    cards: str = str(USUAL_CARDS)
    trial: str = "0"


NOTHING_TYPED = Terms()


def sections(
    account: Account,
    product_id: str,
    *,
    page: str,
    asked: str,
    now: datetime,
    typed: Terms = NOTHING_TYPED,
) -> list[str]:
    """The panels of the page; the one the visitor came for is the first.

    `typed` comes back into the form of its action, so that a refusal costs nobody a field.
    """
    fields = {"userId": account.user_id, "productId": product_id, "page": page}
    found = _sections(account, product_id, fields, now, typed)
    first = SECTION_OF.get(asked, "")
    return [found[key] for key in sorted(found, key=lambda key: key != first)]


def quick_forms(account: Account) -> str:
    """Buttons beside the merchant in a list: what is done most often, on the usual terms."""
    product_id = settings.EVOTOR_PRODUCT_ID
    fields = {"userId": account.user_id, "productId": product_id, "page": "user"}
    deal = account.holding(product_id).deal
    if deal is None or not deal.live:
        last = _last("install", deal)
        usual = {"planId": last.plan_id, "deviceNumber": last.cards}
        return form("install", fields | usual, button("Установить"), inline=True)
    if deal.stop_requested:
        return form("resume", fields, button("Возобновить"), inline=True)
    paying = account.billing is Billing.PAYS
    wanted = Billing.REFUSES if paying else Billing.PAYS
    text = "Не платить дальше" if paying else "Платить автоматически"
    return "".join(
        (
            form("renew", fields, button("Оплатить сейчас"), inline=True),
            form("billing", fields | {"billing": wanted}, button(text), inline=True),
        )
    )


def _sections(
    account: Account, product_id: str, fields: dict[str, str], now: datetime, typed: Terms
) -> dict[str, str]:
    holding = account.holding(product_id)
    deal = holding.deal
    install, change = _shown("install", deal, typed), _shown("change_terms", deal, typed)
    if deal is None or not deal.live:
        return {"install": _purchase(install, fields)}
    found = {"pay": _pay(deal, fields, now), "change": _change(change, fields)}
    found["stop"] = _stop(deal, fields)
    if holding.installed:
        found["remove"] = _remove(fields)
    else:
        found = {"install": _return(deal, install, fields), **found}
    if not deal.stop_requested:
        found["billing"] = _billing(account, fields)
    return found


def _shown(action: str, deal: Deal | None, typed: Terms) -> Terms:
    return typed if typed.action == action else _last(action, deal)


def _last(action: str, deal: Deal | None) -> Terms:
    """The present terms, those of an ended subscription too."""
    if deal is None:
        return Terms(action)
    return Terms(action, deal.plan_id, str(max(USUAL_CARDS, deal.devices)))


def _purchase(terms: Terms, fields: dict[str, str]) -> str:
    options = "".join(_option(days, title, terms.trial) for days, title in TRIALS)
    trial = f'<label>Пробный период <select name="trialDays" autocomplete="off">{options}</select></label>'
    inside = _terms(terms) + trial + "<br>" + button("Установить", "main")
    return "<h2>Купить и установить</h2>\n" + form("install", fields, inside)


def _return(deal: Deal, terms: Terms, fields: dict[str, str]) -> str:
    inside = _terms(terms) + "<br>" + button("Установить", "main")
    lead = f"<p>Оплачено до {phrases.day(deal.due)}: заново платить не нужно.</p>"
    return f"<h2>Установить снова</h2>\n{lead}\n" + form("install", fields, inside)


def _pay(deal: Deal, fields: dict[str, str], now: datetime) -> str:
    if deal.stop_requested:
        return f"<h2>Оплата</h2>\n<p>{escape(phrases.terms(deal))}. {phrases.last_days(deal)}</p>"
    total = wording.money(deal.taken.kopecks)
    when = "сейчас" if deal.due <= now else phrases.day(deal.due)
    lead = f"<p>{escape(phrases.terms(deal))}. Следующая оплата: {when}</p>"
    inside = f"<label>К оплате {total}</label>" + button("Оплатить сейчас", "main")
    return f"<h2>Оплата</h2>\n{lead}\n" + form("renew", fields, inside)


def _change(terms: Terms, fields: dict[str, str]) -> str:
    inside = _terms(terms) + "<br>" + button("Изменить тариф", "main")
    lead = "<p>Разница в цене за оставшиеся дни списывается сразу, при удешевлении деньги не возвращаются.</p>"
    return f"<h2>Тариф и число карт</h2>\n{lead}\n" + form("change_terms", fields, inside)


def _stop(deal: Deal, fields: dict[str, str]) -> str:
    if deal.stop_requested:
        lead = f"<p>Подписка остановлена и закончится {phrases.day(deal.due)}</p>"
        return f"<h2>Остановка</h2>\n{lead}\n" + form(
            "resume", fields, button("Возобновить", "main")
        )
    lead = f"<p>Оплаченное время идёт до {phrases.day(deal.due)}, потом подписка закончится.</p>"
    return f"<h2>Остановка</h2>\n{lead}\n" + form(
        "request_termination", fields, button("Остановить", "danger")
    )


def _remove(fields: dict[str, str]) -> str:
    lead = "<p>Подписка остановится, оплаченное время доработает.</p>"
    return f"<h2>Удаление</h2>\n{lead}\n" + form("uninstall", fields, button("Удалить", "danger"))


def _billing(account: Account, fields: dict[str, str]) -> str:
    pays = account.billing is Billing.PAYS
    wanted = Billing.REFUSES if pays else Billing.PAYS
    text = "Не платить дальше" if pays else "Платить автоматически"
    lead = f"<p>{phrases.BILLING[account.billing]}</p>"
    inside = form("billing", {**fields, "billing": wanted}, button(text))
    return f"<h2>Деньги на счёте</h2>\n{lead}\n{inside}"


def _terms(terms: Terms) -> str:
    """Tariff and number. A browser would otherwise put back what stood there before the change."""
    listed = [*PLANS, *([] if _is_listed(terms.plan_id) else [plan_of(terms.plan_id)])]
    plans = "".join(_option(plan.id, phrases.price(plan), terms.plan_id) for plan in listed)
    return (
        f'<label>Тариф <select name="planId" autocomplete="off">{plans}</select></label>'
        f'<label>Число карт <input name="deviceNumber" type="number" min="1" max="{MOST_CARDS}" '
        f'value="{escape(terms.cards)}" autocomplete="off" required></label>'
    )


def _is_listed(plan_id: str) -> bool:
    return any(plan.id == plan_id for plan in PLANS)


def _option(value: str, text: str, chosen: str) -> str:
    mark = " selected" if value == chosen else ""
    return f'<option value="{escape(value)}"{mark}>{escape(text)}</option>'
