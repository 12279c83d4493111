"""The forms of the module's store page: what may be done depends on where the merchant stands."""

from datetime import datetime
from html import escape

from django.conf import settings

from cabinet import wording
from subscriptions.evotor.sandbox import phrases
from subscriptions.evotor.sandbox.book import Account, Billing, Deal
from subscriptions.evotor.sandbox.html import button, form
from subscriptions.evotor.sandbox.plans import PLANS

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


def sections(
    account: Account, product_id: str, *, page: str, asked: str, now: datetime
) -> list[str]:
    """The panels of the page; the one the visitor came for is the first."""
    fields = {"userId": account.user_id, "productId": product_id, "page": page}
    found = _sections(account, product_id, fields, now)
    first = SECTION_OF.get(asked, "")
    return [found[key] for key in sorted(found, key=lambda key: key != first)]


def quick_forms(account: Account) -> str:
    """Buttons beside the merchant in a list: what is done most often, on the usual terms."""
    product_id = settings.EVOTOR_PRODUCT_ID
    fields = {"userId": account.user_id, "productId": product_id, "page": "user"}
    deal = account.holding(product_id).deal
    if deal is None or not deal.live:
        usual = {"planId": PLANS[0].id, "deviceNumber": str(USUAL_CARDS)}
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
    account: Account, product_id: str, fields: dict[str, str], now: datetime
) -> dict[str, str]:
    holding = account.holding(product_id)
    deal = holding.deal
    if deal is None or not deal.live:
        return {"install": _purchase(fields)}
    found = {"pay": _pay(deal, fields, now), "change": _change(deal, fields)}
    found["stop"] = _stop(deal, fields)
    if holding.installed:
        found["remove"] = _remove(fields)
    else:
        found = {"install": _return(deal, fields), **found}
    if not deal.stop_requested:
        found["billing"] = _billing(account, fields)
    return found


def _purchase(fields: dict[str, str]) -> str:
    trial = (
        '<label>Пробный период <select name="trialDays">'
        '<option value="0">без него</option><option value="14">14 дней</option></select></label>'
    )
    inside = _terms(PLANS[0].id, USUAL_CARDS) + trial + "<br>" + button("Установить", "main")
    return "<h2>Купить и установить</h2>\n" + form("install", fields, inside)


def _return(deal: Deal, fields: dict[str, str]) -> str:
    inside = _terms(deal.plan_id, deal.devices) + "<br>" + button("Установить", "main")
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


def _change(deal: Deal, fields: dict[str, str]) -> str:
    inside = _terms(deal.plan_id, deal.devices) + "<br>" + button("Изменить тариф", "main")
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


def _terms(plan_id: str, devices: int) -> str:
    plans = "".join(
        f'<option value="{plan.id}"{" selected" if plan.id == plan_id else ""}>'
        f"{escape(phrases.price(plan))}</option>"
        for plan in PLANS
    )
    return (
        f'<label>Тариф <select name="planId">{plans}</select></label>'
        f'<label>Число карт <input name="deviceNumber" type="number" min="1" max="{MOST_CARDS}" '
        f'value="{devices}" required></label>'
    )
