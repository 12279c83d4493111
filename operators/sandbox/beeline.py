"""Билайн USSS WSAPI below `/operators/beeline`: `AuthService` and `SubscriberService`.

Credentials: login `demo-login`, password `demo-password`; the contract (BAN) is `100000001`. Tokens
live ten minutes and are forgotten when the sandbox restarts, which a client sees as 20003. A
request is done after `delay_seconds`, or when its `actvDate` comes, if that is later.

Guesses, because no public page says: the code of a refused login (20002) and of a number that is
blocked already or by the operator (20001); that a request which cannot be done any more ends as
REJECTED; that a request names its number; the answers over a quota and during nightly works; the
reason a card shows that was never handed out (S1B). One thing is easier than with the operator: a
request without a BAN is taken as one about the demo's contract.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

import zeep
import zeep.exceptions
import zeep.loader
from werkzeug.routing import Rule

from cabinet.clock import now, real_now
from cabinet.sandbox.http import Request, Response, html_response, route
from operators.sandbox.base import Call, Refusal, SandboxOperator
from operators.sandbox.faults import FaultKind
from operators.sandbox.limits import Limits
from operators.sandbox.state import ACTIVATE, DEACTIVATE, Outcome, SandboxSim, SwitchRequest

LOGIN = "demo-login"
PASSWORD = "demo-password"  # noqa: S105 a published secret of the sandbox
BAN = "100000001"
_BASE = "/operators/beeline"
_TOKEN_SECONDS = 600
_FIRST_NUMBER = 1_000_000_000
_UNKNOWN_NUMBER = 8_000_000_000
_MOSCOW = ZoneInfo("Europe/Moscow")
_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_SWITCHES = {"suspendCTN": DEACTIVATE, "restoreCTN": ACTIVATE}
_REASON_CODES = {DEACTIVATE: ("WIB", "STO"), ACTIVATE: ("RSBO",)}
_STATUSES = {Outcome.PENDING: "IN_PROGRESS", Outcome.DONE: "COMPLETE"}
_COMMENTS = {
    Outcome.ALREADY: "Номер уже в этом состоянии",
    Outcome.HELD: "Номер заблокирован оператором",
    Outcome.GONE: "Номер расторгнут",
}
_REASONS = {
    "new": "S1B",
    "voluntary": "WIB",
    "stolen": "STO",
    "operator": "BSB",
    "debt": "DUF",
    "fraud": "DOSS",
}
# zeep's reader is safe where the standard library's is not; seen as Any, as half of it has no types.
_zeep: Any = zeep


class SandboxBeeline(SandboxOperator):
    """Билайн."""

    code = "beeline"
    title = "Билайн"
    limits = Limits(per_second=5, delay_seconds=2)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # When each ends, by the real clock. Single operations on a dict are atomic: no lock.
        self._tokens: dict[str, datetime] = {}

    def routes(self) -> list[Rule]:
        return [
            self.operation("POST", f"{_BASE}/AuthService", "auth", self._issue_token),
            route("POST", f"{_BASE}/SubscriberService", self._subscriber),
        ]

    def over_quota(self) -> Response:
        return _page(429, "Too Many Requests")

    def broken(self) -> Response:
        return _page(500, "Internal Server Error")

    def maintenance(self) -> Response:
        return _page(503, "Ведутся технические работы")

    def new_request_id(self, number: int) -> str:
        return str(_FIRST_NUMBER + number)

    # --- login ------------------------------------------------------------------------------------

    def _issue_token(self, call: Call) -> Response:
        _, given = _parsed(call.request, "Auth")
        if (given.get("login"), given.get("password")) != (LOGIN, PASSWORD):
            raise Refusal(_fault(20002, "AUTH_ERROR"))
        token = secrets.token_hex(16)
        if call.kind is not FaultKind.WRONG_ID:
            self._tokens[token] = real_now() + timedelta(seconds=_TOKEN_SECONDS)
        content = "" if call.kind is FaultKind.NO_ID else _element("return", token)
        return _answer("Auth", "auth", content)

    def authorize(self, call: Call) -> None:
        token = call.variables.get("token", "")
        if not token:
            raise Refusal(_fault(20001, "INVALID_QUERY_PARAM"))
        if call.kind is FaultKind.EXPIRED_TOKEN:
            self._tokens.pop(token, None)
        ends_at = self._tokens.get(token)
        if ends_at is None or ends_at <= real_now():
            raise Refusal(_fault(20003, "TOKEN_NOT_FOUND"))

    # --- numbers ----------------------------------------------------------------------------------

    def _subscriber(self, request: Request) -> Response:
        try:
            operation, given = _parsed(request, "Subscriber")
        except Refusal as refusal:
            return refusal.response
        sim = self.sims.find(msisdn=f"7{given.get('ctn', '')}")
        if operation in _SWITCHES:
            work = partial(self._switched, operation)
            call = Call("submit", request, given, sim)
            return self.answer(call, work, action=_SWITCHES[operation])
        if operation == "getCTNInfoList":
            return self.answer(Call("read", request, given, sim), self._listed)
        if operation == "getRequestList":
            return self.answer(self._about_request(request, given), self._listed_requests)
        return _soap_fault(500, "Client", f"No such operation: {operation}")

    def other_shape(self, response: Response) -> Response:
        """The envelope under the other usual prefix."""
        body = response.get_data(as_text=True)
        for mark in ("<S:", "</S:", "xmlns:S=", ">S:"):
            body = body.replace(mark, mark.replace("S", "soap"))
        response.set_data(body)
        return response

    def _switched(self, operation: str, call: Call) -> Response:
        action, sim, kind = _SWITCHES[operation], call.sim, call.kind
        later = _seconds_until(call.variables, action)
        if sim is None:
            raise Refusal(_fault(20005, "CTN_NOT_FOUND"))
        if sim.outcome_of(action) is Outcome.GONE:
            raise Refusal(_fault(20006, f"FORBIDDEN (login={LOGIN})"))
        if sim.outcome_of(action) is not Outcome.DONE:
            raise Refusal(_fault(20001, "INVALID_QUERY_PARAM"))
        if kind is FaultKind.ERROR_IN_2XX:
            return _fault(20006, f"FORBIDDEN (login={LOGIN})", status=200)
        if kind is FaultKind.ACCEPT_AND_FORGET:
            return _numbered(operation, str(_UNKNOWN_NUMBER))
        taken = self.sims.accept(sim, action, delay=max(self.delay, later))
        if kind is FaultKind.NO_ID:
            return _answer("Subscriber", operation, "")
        if kind is FaultKind.WRONG_ID:
            return _numbered(operation, self.request_of_another_card(sim) or str(_UNKNOWN_NUMBER))
        return _numbered(operation, taken.id)

    def _listed(self, call: Call) -> Response:
        ban = call.variables.get("ban", BAN)
        if not ban.isdecimal():
            raise Refusal(_fault(20001, "INVALID_QUERY_PARAM"))
        if call.sim is None or call.sim.state == "retired" or ban != BAN:
            raise Refusal(_fault(20005, "CTN_NOT_FOUND"))
        return _answer("Subscriber", "getCTNInfoList", _number(call.sim, call.kind))

    # --- requests ---------------------------------------------------------------------------------

    def _about_request(self, request: Request, given: Mapping[str, str]) -> Call:
        number = given.get("requestId", "")
        one = self.sims.request(number)
        sim = self.sims.find(iccid=one.iccid) if one else None
        # Without a number it is a cheap read, as clients send it to see whether the login works.
        return Call("check" if number else "read", request, given, sim)

    def _listed_requests(self, call: Call) -> Response:
        given = call.variables
        if not given.get("requestId", "0").isdecimal() or not given.get("page", "").isdecimal():
            raise Refusal(_fault(20001, "INVALID_QUERY_PARAM"))
        if given.get("login") != LOGIN:
            raise Refusal(_fault(20006, f"FORBIDDEN (login={LOGIN})"))
        one = self.sims.request(given.get("requestId", ""))
        known = _request(one, call.sim, call.kind) if one and call.sim else ""
        return _answer("Subscriber", "getRequestList", f"<requestList>{known}</requestList>")


# --- requests -----------------------------------------------------------------------------------


def _parsed(request: Request, service: str) -> tuple[str, dict[str, str]]:
    """The operation and its parameters. Raises `Refusal` where the envelope is not the one."""
    settings = _zeep.Settings(forbid_dtd=True, forbid_external=True)
    try:
        envelope = _zeep.loader.parse_xml(request.get_data(), None, settings=settings)
    except zeep.exceptions.Error as error:
        raise Refusal(_soap_fault(500, "Client", "The body is no XML")) from error
    element = envelope.find(f"{{{_SOAP}}}Body/*")
    tag = "" if element is None else str(element.tag)
    namespace, _, operation = tag.removeprefix("{").rpartition("}")
    action = f'"urn:uss-wsapi:{service}:{service}Interface:{operation}Request"'
    if namespace != f"urn:uss-wsapi:{service}" or request.headers.get("SOAPAction") != action:
        raise Refusal(_soap_fault(500, "Client", "Body and SOAPAction name no operation"))
    # An element of the service's namespace is not the parameter of that name, which has none.
    return operation, {child.tag: (child.text or "").strip() for child in element}


def _seconds_until(given: Mapping[str, str], action: str) -> float:
    """How long until the switch is wanted. Raises `Refusal` for a date or a reason that is none."""
    try:
        wanted = datetime.fromisoformat(given["actvDate"].removesuffix(".0"))
    except (KeyError, ValueError) as error:
        raise Refusal(_fault(20001, "INVALID_QUERY_PARAM")) from error
    if given.get("reasonCode") not in _REASON_CODES[action]:
        raise Refusal(_fault(20001, "INVALID_QUERY_PARAM"))
    moment = wanted if wanted.tzinfo else wanted.replace(tzinfo=_MOSCOW)
    return (moment - now()).total_seconds()


# --- what is answered -----------------------------------------------------------------------------


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(text, quote=False)}</{name}>"


def _envelope(status: int, content: str) -> Response:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<S:Envelope xmlns:S="{_SOAP}"><S:Body>{content}</S:Body></S:Envelope>'
    )
    return Response(body, status, content_type="text/xml; charset=utf-8")


def _answer(service: str, operation: str, content: str) -> Response:
    name = f"ns0:{operation}Response"
    return _envelope(200, f'<{name} xmlns:ns0="urn:uss-wsapi:{service}">{content}</{name}>')


def _soap_fault(status: int, code: str, text: str, detail: str = "") -> Response:
    content = f"<faultcode>S:{code}</faultcode>{_element('faultstring', text)}{detail}"
    return _envelope(status, f"<S:Fault>{content}</S:Fault>")


def _fault(code: int, text: str, *, status: int = 500) -> Response:
    """A refusal of the application."""
    facts = f"<errorCode>{code}</errorCode>{_element('errorDescription', text)}"
    named = (
        f'<ns1:UssWsApiException xmlns:ns1="urn:uss-wsapi:Types">{facts}</ns1:UssWsApiException>'
    )
    return _soap_fault(status, "Server", text, f"<detail>{named}</detail>")


def _page(status: int, text: str) -> Response:
    """An answer of the gateway, before the application is given."""
    return html_response(f"<html><body>{text}</body></html>", status)


def _numbered(operation: str, number: str) -> Response:
    return _answer("Subscriber", operation, _element("return", number))


def _number(sim: SandboxSim, kind: FaultKind | None) -> str:
    ctn = "9990009999" if kind is FaultKind.WRONG_ID else sim.msisdn.removeprefix("7")
    status = "ACTIVE" if sim.state == "active" else "BLOCKED"
    code = "" if status == "ACTIVE" else _REASONS.get(sim.reason or sim.state, "SYS")
    facts = (
        _element("ctn", ctn)
        + _element("statusDate", "2026-11-01T00:00:00")
        + _element("status", status)
        + _element("pricePlan", "PLAN")
        + _element("reasonStatus", code)
        + _element("lastActivity", "2026-11-01T00:00:00")
    )
    return f"<CTNInfoList>{facts}</CTNInfoList>"


def _request(one: SwitchRequest, sim: SandboxSim, kind: FaultKind | None) -> str:
    number = str(_UNKNOWN_NUMBER) if kind is FaultKind.WRONG_ID else one.id
    status = _STATUSES.get(one.outcome, "REJECTED")
    facts = (
        _element("requestId", number)
        + _element("ctn", sim.msisdn.removeprefix("7"))
        + _element("requestStatus", "POSTPONED" if kind is FaultKind.ODD_STATUS else status)
        + _element("requestComments", _COMMENTS.get(one.outcome, ""))
    )
    return f"<requests>{facts}</requests>"
