"""Билайн USSS WSAPI, played below `/operators/beeline`: `AuthService` and `SubscriberService`.

Credentials: login `demo-login`, password `demo-password`; the contract (BAN) is `100000001`. Tokens
live ten minutes and are forgotten when the sandbox restarts, which a client sees as 20003. A
request is done after `delay_seconds`, or when its `actvDate` comes, if that is later.

Guesses, because no public page says: the code of a refused login (20002) and of a number that is
blocked already or by the operator (20001); that a request which cannot be done any more ends as
REJECTED; that a request names its number; the answers over a quota and during nightly works; the
reason a card shows that was never handed out (S1B). One thing is easier than with the operator: a
question without a BAN is taken as one about the demo's contract.
"""

import secrets
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

import zeep
import zeep.exceptions
import zeep.loader

from cabinet.clock import now, real_now
from cabinet.sandbox.http import Request, Response, Route
from operators.sandbox.protocol import PlayedOperator, Refusal, retry_after
from operators.sandbox.trouble import FaultKind, Limits
from operators.sandbox.world import ACTIVATE, DEACTIVATE, Outcome, PlayedRequest, PlayedSim, World

LOGIN = "demo-login"
PASSWORD = "demo-password"  # noqa: S105 a known word of the sandbox
BAN = "100000001"
_BASE = "/operators/beeline"
_TOKEN_SECONDS = 600
_FIRST_NUMBER = 1_000_000_000
_NOBODYS_NUMBER = 8_000_000_000
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


class NumberedWorld(World):
    """A world whose requests have whole numbers for names, as Билайн's have."""

    def accept(self, sim: PlayedSim, action: str, *, delay: float) -> PlayedRequest:
        with self._lock:
            taken = super().accept(sim, action, delay=delay)
            named, taken.id = taken.id, str(_FIRST_NUMBER + len(self._requests))
            self._requests[taken.id] = self._requests.pop(named)
            for effect in sim.effects[-1:]:
                if effect["request_id"] == named:
                    effect["request_id"] = taken.id
            return taken


class PlayedBeeline(PlayedOperator):
    """Билайн."""

    code = "beeline"
    title = "Билайн"
    limits = Limits(per_second=5, delay_seconds=2)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.world = NumberedWorld()
        self._lock = threading.Lock()
        self._tokens: dict[str, datetime] = {}

    def routes(self) -> list[Route]:
        return [
            Route("POST", f"{_BASE}/AuthService", self._auth),
            Route("POST", f"{_BASE}/SubscriberService", self._subscriber),
        ]

    def over_quota(self, wait: float | None) -> Response:
        return replace(_page(429, "Too Many Requests"), headers=retry_after(wait))

    def broken(self) -> Response:
        return _page(500, "Internal Server Error")

    def maintenance(self, wait: float | None) -> Response:
        return replace(_page(503, "Ведутся технические работы"), headers=retry_after(wait))

    # --- login ------------------------------------------------------------------------------------

    def _auth(self, request: Request) -> Response:
        return self.played("auth", None, lambda kind: self._issue(request, kind))

    def _issue(self, request: Request, kind: FaultKind | None) -> Response:
        _, asked = _asked(request, "Auth")
        if (asked.get("login"), asked.get("password")) != (LOGIN, PASSWORD):
            raise Refusal(_fault(20002, "AUTH_ERROR"))
        token = secrets.token_hex(16)
        if kind is not FaultKind.WRONG_ID:
            with self._lock:
                self._tokens[token] = real_now() + timedelta(seconds=_TOKEN_SECONDS)
        return _answer("Auth", "auth", "" if kind is FaultKind.NO_ID else _element("return", token))

    def _check_token(self, asked: Mapping[str, str], kind: FaultKind | None) -> None:
        token = asked.get("token", "")
        if not token:
            raise Refusal(_fault(20001, "INVALID_QUERY_PARAM"))
        with self._lock:
            if kind is FaultKind.EXPIRED_TOKEN:
                self._tokens.pop(token, None)
            ends = self._tokens.get(token)
        if ends is None or ends <= real_now():
            raise Refusal(_fault(20003, "TOKEN_NOT_FOUND"))

    # --- numbers ----------------------------------------------------------------------------------

    def _subscriber(self, request: Request) -> Response:
        try:
            operation, asked = _asked(request, "Subscriber")
        except Refusal as refusal:
            return refusal.response
        sim = self.world.find(msisdn=f"7{asked.get('ctn', '')}")
        if operation in _SWITCHES:
            action = _SWITCHES[operation]
            return self.played(
                "submit",
                sim,
                lambda kind: self._switched(operation, action, asked, sim, kind),
                action=action,
            )
        if operation == "getCTNInfoList":
            return self.played("read", sim, lambda kind: self._listed(asked, sim, kind))
        if operation == "getRequestList":
            return self._requests(asked)
        return _soap_fault(500, "Client", f"No such operation: {operation}")

    def _switched(
        self,
        operation: str,
        action: str,
        asked: Mapping[str, str],
        sim: PlayedSim | None,
        kind: FaultKind | None,
    ) -> Response:
        self._check_token(asked, kind)
        later = _seconds_till(asked, action)
        if sim is None:
            raise Refusal(_fault(20005, "CTN_NOT_FOUND"))
        if sim.verdict(action) is Outcome.GONE:
            raise Refusal(_fault(20006, f"FORBIDDEN (login={LOGIN})"))
        if sim.verdict(action) is not Outcome.DONE:
            raise Refusal(_fault(20001, "INVALID_QUERY_PARAM"))
        if kind is FaultKind.ERROR_IN_2XX:
            return replace(_fault(20006, f"FORBIDDEN (login={LOGIN})"), status=200)
        if kind is FaultKind.ACCEPT_AND_FORGET:
            return _numbered(operation, str(_NOBODYS_NUMBER))
        taken = self.world.accept(sim, action, delay=max(self.delay, later))
        if kind is FaultKind.NO_ID:
            return _answer("Subscriber", operation, "")
        return _numbered(
            operation, self._strangers(sim) if kind is FaultKind.WRONG_ID else taken.id
        )

    def _strangers(self, sim: PlayedSim) -> str:
        """A request of another card of the contract, which nothing is done about."""
        others = [other for other in self.world.all() if other is not sim]
        if not others:
            return str(_NOBODYS_NUMBER)
        action = DEACTIVATE if others[0].state != "active" else ACTIVATE
        return self.world.accept(others[0], action, delay=0).id

    def _listed(
        self, asked: Mapping[str, str], sim: PlayedSim | None, kind: FaultKind | None
    ) -> Response:
        self._check_token(asked, kind)
        if not asked.get("ban", BAN).isdecimal():
            raise Refusal(_fault(20001, "INVALID_QUERY_PARAM"))
        if sim is None or sim.state == "retired" or asked.get("ban", BAN) != BAN:
            raise Refusal(_fault(20005, "CTN_NOT_FOUND"))
        return _answer("Subscriber", "getCTNInfoList", _number(sim, kind))

    # --- requests ---------------------------------------------------------------------------------

    def _requests(self, asked: Mapping[str, str]) -> Response:
        number = asked.get("requestId", "")
        one = self.world.request(number)
        sim = self.world.find(iccid=one.iccid) if one else None
        # A question without a number is a cheap read, as one asks to see whether the login works.
        call = "check" if number else "read"
        return self.played(call, sim, lambda kind: self._told(asked, one, sim, kind))

    def _told(
        self,
        asked: Mapping[str, str],
        one: PlayedRequest | None,
        sim: PlayedSim | None,
        kind: FaultKind | None,
    ) -> Response:
        self._check_token(asked, kind)
        if not asked.get("requestId", "0").isdecimal() or not asked.get("page", "").isdecimal():
            raise Refusal(_fault(20001, "INVALID_QUERY_PARAM"))
        if asked.get("login") != LOGIN:
            raise Refusal(_fault(20006, f"FORBIDDEN (login={LOGIN})"))
        known = _request(one, sim, kind) if one and sim else ""
        return _answer("Subscriber", "getRequestList", f"<requestList>{known}</requestList>")


# --- what is asked --------------------------------------------------------------------------------


def _asked(request: Request, service: str) -> tuple[str, dict[str, str]]:
    """The operation and its parameters. Raises `Refusal` where the envelope is not the one."""
    settings = _zeep.Settings(forbid_dtd=True, forbid_external=True)
    try:
        envelope = _zeep.loader.parse_xml(request.body, None, settings=settings)
    except zeep.exceptions.Error as trouble:
        raise Refusal(_soap_fault(500, "Client", "The body is no XML")) from trouble
    said = envelope.find(f"{{{_SOAP}}}Body/*")
    tag = "" if said is None else str(said.tag)
    namespace, _, operation = tag.removeprefix("{").rpartition("}")
    action = f'"urn:uss-wsapi:{service}:{service}Interface:{operation}Request"'
    if namespace != f"urn:uss-wsapi:{service}" or request.headers.get("soapaction") != action:
        raise Refusal(_soap_fault(500, "Client", "Body and SOAPAction name no operation"))
    # An element of the service's namespace is not the parameter of that name, which has none.
    return operation, {child.tag: (child.text or "").strip() for child in said}


def _seconds_till(asked: Mapping[str, str], action: str) -> float:
    """How long until the switch is wanted. Raises `Refusal` for a date or a reason that is none."""
    try:
        wanted = datetime.fromisoformat(asked["actvDate"].removesuffix(".0"))
    except (KeyError, ValueError) as trouble:
        raise Refusal(_fault(20001, "INVALID_QUERY_PARAM")) from trouble
    if asked.get("reasonCode") not in _REASON_CODES[action]:
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
    return Response(status, body.encode(), content_type="text/xml; charset=utf-8")


def _answer(service: str, operation: str, content: str) -> Response:
    name = f"ns0:{operation}Response"
    return _envelope(200, f'<{name} xmlns:ns0="urn:uss-wsapi:{service}">{content}</{name}>')


def _soap_fault(status: int, code: str, text: str, detail: str = "") -> Response:
    said = f"<faultcode>S:{code}</faultcode>{_element('faultstring', text)}{detail}"
    return _envelope(status, f"<S:Fault>{said}</S:Fault>")


def _fault(code: int, text: str) -> Response:
    """A refusal of the application."""
    said = f"<errorCode>{code}</errorCode>{_element('errorDescription', text)}"
    named = f'<ns1:UssWsApiException xmlns:ns1="urn:uss-wsapi:Types">{said}</ns1:UssWsApiException>'
    return _soap_fault(500, "Server", text, f"<detail>{named}</detail>")


def _page(status: int, text: str) -> Response:
    """An answer of the gateway, before the application is asked."""
    body = f"<html><body>{text}</body></html>".encode()
    return Response(status, body, content_type="text/html; charset=utf-8")


def _numbered(operation: str, number: str) -> Response:
    return _answer("Subscriber", operation, _element("return", number))


def _number(sim: PlayedSim, kind: FaultKind | None) -> str:
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


def _request(one: PlayedRequest, sim: PlayedSim, kind: FaultKind | None) -> str:
    number = str(_NOBODYS_NUMBER) if kind is FaultKind.WRONG_ID else one.id
    status = _STATUSES.get(one.outcome, "REJECTED")
    facts = (
        _element("requestId", number)
        + _element("ctn", sim.msisdn.removeprefix("7"))
        + _element("requestStatus", "POSTPONED" if kind is FaultKind.ODD_STATUS else status)
        + _element("requestComments", _COMMENTS.get(one.outcome, ""))
    )
    return f"<requests>{facts}</requests>"
