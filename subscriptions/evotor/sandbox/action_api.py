"""`POST /market/<action>`: scripts send JSON, the pages' own forms come urlencoded."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

from django.conf import settings
from django.template.loader import render_to_string
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from werkzeug.exceptions import BadRequest
from werkzeug.routing import Rule

from cabinet import clock
from cabinet.enums import EVOTOR_USER_ID
from cabinet.sandbox.http import (
    Request,
    Response,
    View,
    html_response,
    json_response,
    redirect,
    route,
    validated,
)
from subscriptions.evotor.sandbox.accounts import Billing, NotPossible
from subscriptions.evotor.sandbox.actions import ACTIONS, ActionRequest
from subscriptions.evotor.sandbox.market import Market

MOST_CARDS = 500  # that a person can buy

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


class Target(BaseModel):
    """Whom and which module an action is about. `page` is where the form stood."""

    user_id: str = Field(alias="userId", pattern=EVOTOR_USER_ID)
    product_id: str = Field(
        alias="productId", default_factory=lambda: str(settings.EVOTOR_PRODUCT_ID)
    )
    billing: Billing | None = None
    page: str = ""


_TARGET = TypeAdapter(Target)
_REQUEST = TypeAdapter(ActionRequest)


class ActionApi:
    """Where actions come in."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def routes(self) -> list[Rule]:
        """The documented call, and what only the pages need."""
        return [
            route("POST", "/market/new", self._new),
            route("POST", "/market/billing", _with_russian_page(self._set_billing)),
            route(
                "POST", f"/market/<any({','.join(ACTIONS)}):action>", _with_russian_page(self._act)
            ),
        ]

    def _act(self, request: Request, action: str) -> Response:
        if request.is_form:
            return self._act_by_form(request.form.to_dict(), action)
        if not isinstance(request.json, dict):
            raise BadRequest("Send an object.")
        given = {name: value for name, value in request.json.items() if value is not None}
        target, now = validated(_TARGET, given), clock.now()
        wanted = validated(_REQUEST, {"at": now} | given)
        try:
            deliveries = self._market.act(action, target.user_id, target.product_id, wanted, now)
        except NotPossible as refusal:
            return json_response({"error": str(refusal)}, 409)
        # A script that moves this merchant is the market for it: nothing else happens by itself.
        self._market.set_billing(target.user_id, target.billing or Billing.BY_HAND)
        waiting = len(self._market.outbox.waiting(target.user_id))
        return json_response({"sent": [one.as_json() for one in deliveries], "waiting": waiting})

    def _act_by_form(self, form: Mapping[str, str], action: str) -> Response:
        target, now = validated(_TARGET, _filled(form)), clock.now()
        try:
            wanted = _form_request(form, now)
            self._market.act(action, target.user_id, target.product_id, wanted, now)
        except NotPossible as refusal:
            return _back(target, refused=str(refusal), **_typed(action, form))
        self._end_by_hand(target.user_id)
        return _back(target, done=action)

    def _end_by_hand(self, user_id: str) -> None:
        """A person took over: payments are made again when they are due."""
        account = self._market.account(user_id)
        if account is not None and account.billing is Billing.BY_HAND:
            self._market.set_billing(user_id, Billing.PAYS)

    def _new(self, request: Request) -> Response:
        account = self._market.new_account(request.form.get("name", "").strip()[:100])
        return redirect(f"/market/user/{account.user_id}")

    def _set_billing(self, request: Request) -> Response:
        target = validated(_TARGET, _filled(request.form))
        self._market.set_billing(target.user_id, target.billing or Billing.PAYS)
        return _back(target, done="billing")


def _with_russian_page(view: View) -> View:
    """A person whose form is broken beyond its fields gets a page and not JSON."""

    def answer(request: Request, **variables: str) -> Response:
        try:
            return view(request, **variables)
        except BadRequest:
            if not request.is_form:
                raise
            return html_response(render_to_string("sandbox/broken_form.html"), 400)

    return answer


def _filled(form: Mapping[str, str]) -> dict[str, str]:
    """The form without its empty fields."""
    return {name: value for name, value in form.items() if value}


def _form_request(form: Mapping[str, str], now: datetime) -> ActionRequest:
    """What a person asked for. Raises NotPossible with what is wrong in Russian.

    A script may send 0 terminals, paid options make up for them; a person buys cards.
    """
    try:
        wanted = _REQUEST.validate_python({"at": now} | _filled(form))
    except ValidationError as error:
        raise NotPossible(_SENTENCES[str(error.errors()[0]["loc"][0])]) from error
    if "deviceNumber" in form and not 1 <= (wanted.devices or 0) <= MOST_CARDS:
        raise NotPossible(_SENTENCES["deviceNumber"])
    return wanted


def _typed(action: str, form: Mapping[str, str]) -> dict[str, str]:
    """What comes back into the fields of the form; the section of the form is shown first."""
    fields = {name: form[name][:100] for name in _FIELDS if name in form}
    if not fields:
        return {}
    return {"typed": action, "action": _SECTIONS.get(action, ""), **fields}


def _back(target: Target, **outcome: str) -> Response:
    """To the page the form stood on; only the sandbox's own addresses."""
    if target.page == "store":
        query = urlencode({"user": target.user_id, **outcome})
        return redirect(f"/market/{target.product_id}?{query}")
    return redirect(f"/market/user/{target.user_id}?{urlencode(outcome)}")
