"""`POST /market/<action>`: scripts send JSON, the pages' own forms come urlencoded."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings

from cabinet import clock
from cabinet.sandbox.http import (
    BadRequest,
    Request,
    Response,
    Route,
    html_response,
    json_response,
    redirect,
)
from subscriptions.evotor.sandbox.actions import ACTIONS, Order
from subscriptions.evotor.sandbox.book import Billing, NotPossible
from subscriptions.evotor.sandbox.html import page
from subscriptions.evotor.sandbox.market import USER_ID, Market
from subscriptions.evotor.sandbox.store import MOST_CARDS

FORM_TYPE = "application/x-www-form-urlencoded"
MOST = 100_000
MOST_TRIAL_DAYS = 366
FIRST_YEAR, LAST_YEAR = 2000, 2190

_FIELDS = ("planId", "deviceNumber", "trialDays")
_SECTIONS = {"install": "install", "change_terms": "change"}
_WRONG_TERMS = "Тариф и пробный период выбирают из списка."
_SENTENCES = {
    "planId": _WRONG_TERMS,
    "trialDays": _WRONG_TERMS,
    "deviceNumber": f"Число карт — целое число от 1 до {MOST_CARDS}.",
    "at": "Время пишут так: 2026-11-22T10:00:00+03:00.",
    "addons": "Опции понимает только вызов с JSON.",
}
_BROKEN = (
    "<p>Форма испорчена или устарела, ничего не изменилось.</p>\n"
    '<p><a href="/market/">Открыть маркет заново</a></p>'
)

Handler = Callable[[Request], Response]


class BadField(BadRequest):
    """A field that cannot be understood; scripts read the English text, people the Russian of `name`."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


class Door:
    """Where actions come in."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def routes(self) -> list[Route]:
        """The documented call, and what only the pages need."""
        return [
            Route("POST", r"/market/new", _told_in_russian(self._new)),
            Route("POST", r"/market/billing", _told_in_russian(self._billing)),
            Route("POST", rf"/market/(?P<action>{'|'.join(ACTIONS)})", _told_in_russian(self._act)),
        ]

    def _act(self, request: Request) -> Response:
        if _from_page(request):
            return self._act_by_form(request)
        given = request.json()
        if not isinstance(given, dict):
            raise BadRequest("Send an object.")
        user_id = read_user_id(given)
        action, now = request.match["action"], clock.now()
        order = read_order(given, now)
        try:
            parcels = self._market.act(
                action, user_id=user_id, product_id=_product(given), order=order, now=now
            )
        except NotPossible as refusal:
            return json_response({"error": str(refusal)}, 409)
        # A script that moves this merchant is the market for it: nothing else happens by itself.
        self._market.set_billing(user_id, read_billing(given, Billing.BY_HAND))
        sent = [one.shown() for one in parcels]
        waiting = len(self._market.outbox.waiting(user_id))
        return json_response({"sent": sent, "waiting": waiting})

    def _act_by_form(self, request: Request) -> Response:
        form, now = _form(request), clock.now()
        user_id, action = form["userId"], request.match["action"]
        try:
            order = _form_order(form, now)
            self._market.act(
                action, user_id=user_id, product_id=_product(form), order=order, now=now
            )
        except NotPossible as refusal:
            return _back(form, refused=str(refusal), **_typed(action, form))
        self._end_by_hand(user_id)
        return _back(form, done=action)

    def _end_by_hand(self, user_id: str) -> None:
        """A person took over: payments are made again when they are due."""
        account = self._market.account(user_id)
        if account is not None and account.billing is Billing.BY_HAND:
            self._market.set_billing(user_id, Billing.PAYS)

    def _new(self, request: Request) -> Response:
        account = self._market.new_account(request.form().get("name", "").strip()[:100])
        return redirect(f"/market/user/{account.user_id}")

    def _billing(self, request: Request) -> Response:
        form = _form(request)
        self._market.set_billing(form["userId"], read_billing(form, Billing.PAYS))
        return _back(form, done="billing")


def _told_in_russian(handler: Handler) -> Handler:
    """A person whose form is broken beyond its fields gets a page and not JSON."""

    def answer(request: Request) -> Response:
        try:
            return handler(request)
        except BadRequest:
            if not _from_page(request):
                raise
            said = html_response(page("Не получилось", _BROKEN))
            return replace(said, status=400)

    return answer


def _form(request: Request) -> dict[str, str]:
    form = request.form()
    return form | {"userId": read_user_id(form)}


def _form_order(form: Mapping[str, str], now: datetime) -> Order:
    """What a person asked for. Raises NotPossible with what is wrong in Russian.

    A script may send 0 terminals, paid options make up for them; a person buys cards.
    """
    try:
        order = read_order({name: value for name, value in form.items() if value}, now)
    except BadField as refusal:
        raise NotPossible(_SENTENCES[refusal.name]) from refusal
    if "deviceNumber" in form and not 1 <= (order.devices or 0) <= MOST_CARDS:
        raise NotPossible(_SENTENCES["deviceNumber"])
    return order


def _typed(action: str, form: Mapping[str, str]) -> dict[str, str]:
    """What comes back into the fields of the form; the section of the form is shown first."""
    fields = {name: form[name][:100] for name in _FIELDS if name in form}
    if not fields:
        return {}
    return {"typed": action, "action": _SECTIONS.get(action, ""), **fields}


def _from_page(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith(FORM_TYPE)


def _back(form: Mapping[str, str], **said: str) -> Response:
    """To the page the form stood on; only the sandbox's own addresses."""
    user_id = read_user_id(form)
    if form.get("page") == "store":
        query = urlencode({"user": user_id, **said})
        return redirect(f"/market/{_product(form)}?{query}")
    return redirect(f"/market/user/{user_id}?{urlencode(said)}")


def _product(given: Mapping[str, Any]) -> str:
    return str(given.get("productId") or settings.EVOTOR_PRODUCT_ID)


def read_user_id(given: Mapping[str, Any]) -> str:
    """Raises BadRequest where it is missing or has another form."""
    user_id = given.get("userId")
    if not isinstance(user_id, str) or not USER_ID.fullmatch(user_id):
        raise BadRequest("userId: like 01-000000000000001.")
    return user_id


def read_billing(given: Mapping[str, Any], usual: Billing) -> Billing:
    """What is to happen when a payment is due. Raises BadRequest for another word."""
    try:
        return Billing(given.get("billing") or usual)
    except ValueError as error:
        raise BadRequest(f"billing: one of {', '.join(Billing)}.") from error


def read_order(given: Mapping[str, Any], now: datetime) -> Order:
    """What was asked for. Raises BadRequest where it cannot be understood."""
    plan_id = given.get("planId")
    if plan_id is not None and (not isinstance(plan_id, str) or not 0 < len(plan_id) <= 100):
        raise BadField("planId", "a string of at most 100 characters.")
    return Order(
        at=_instant(given.get("at"), now),
        plan_id=plan_id,
        devices=_whole(given, "deviceNumber", MOST),
        addons=_addons(given),
        trial_days=_whole(given, "trialDays", MOST_TRIAL_DAYS) or 0,
    )


def _instant(value: Any, now: datetime) -> datetime:
    if value is None:
        return now
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise BadField("at", "ISO 8601, for example 2026-11-22T10:00:00+03:00.") from error
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise BadField("at", f"a year from {FIRST_YEAR} to {LAST_YEAR}.")
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _whole(given: Mapping[str, Any], name: str, most: int) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not str(value).isdecimal() or int(value) > most:
        raise BadField(name, f"a whole number from 0 to {most}.")
    return int(value)


def _addons(given: Mapping[str, Any]) -> dict[str, int] | None:
    listed = given.get("addons")
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(isinstance(row, dict) for row in listed):
        raise BadField("addons", 'a list of {"id", "quantity"}.')
    return {str(row.get("id", "")): _whole(row, "quantity", MOST) or 0 for row in listed}
