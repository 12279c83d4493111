"""A TMF640 partner, played below `/operators/tmf640`: `/service`, `/monitor`, `/hub`, `/token`.

Credentials: the bearer token `demo-partner-token`, or a token by OAuth2 client credentials from
`/operators/tmf640/token` with `demo-client` and `demo-client-secret`. A switch is made at once and
answered by 200; with `delay_seconds` set it is answered by 202 and a monitor. A repeated
`Idempotency-Key` is answered as the first time. Who subscribes at `/hub` gets events signed with
`demo-callback-secret`.
"""

import base64
import json
import secrets
import threading
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from cabinet.sandbox.http import BadRequest, Request, Response, Route, json_response
from operators.sandbox.herald import Herald, Speech
from operators.sandbox.protocol import (
    PlayedOperator,
    Refusal,
    action_of,
    bearer,
    first,
    retry_after,
)
from operators.sandbox.trouble import FaultKind, Limits
from operators.sandbox.world import ACTIVATE, DEACTIVATE, Outcome, PlayedRequest, PlayedSim

TOKEN = "demo-partner-token"  # noqa: S105 a known word of the sandbox
CLIENT = "demo-client"
CLIENT_SECRET = "demo-client-secret"  # noqa: S105 a known word of the sandbox
_BASE = "/operators/tmf640"
_ACTIONS = {"active": ACTIVATE, "inactive": DEACTIVATE}
_WORDS = {
    "new": "reserved",
    "active": "active",
    "inactive": "inactive",
    "held": "inactive",
    "retired": "terminated",
}
_MONITORS = {Outcome.PENDING: "InProgress", Outcome.DONE: "Completed"}
_REFUSALS = {
    Outcome.HELD: (409, "heldByOperator", "The service is held by the operator"),
    Outcome.GONE: (404, "terminated", "The service has been terminated"),
    Outcome.ALREADY: (409, "alreadyInState", "The service is in this state already"),
}
# Answers that do not tell what was done are not repeated: a second request looks for itself.
_UNKEPT = (
    FaultKind.ACCEPT_AND_FORGET,
    FaultKind.WRONG_ID,
    FaultKind.NO_ID,
    FaultKind.ERROR_IN_2XX,
)


class PlayedTmf640(PlayedOperator):
    """A partner that has taken our contract."""

    code = "tmf640"
    title = "Партнёр по TMF640"
    limits = Limits(per_second=10, delay_seconds=0)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._lock = threading.Lock()
        self._tokens = {TOKEN}
        self._answered: dict[str, Response] = {}
        self._cards: dict[str, str] = {}
        speech = Speech(service=lambda sim: _service(sim, None), monitor=_monitor)
        self._herald = Herald(self.world, speech)

    def routes(self) -> list[Route]:
        return [
            Route("POST", f"{_BASE}/token", self._token),
            Route("GET", f"{_BASE}/service", self._list),
            Route("GET", f"{_BASE}/service/(?P<id>[^/]+)", self._show),
            Route("PATCH", f"{_BASE}/service/(?P<id>[^/]+)", self._patch),
            Route("GET", f"{_BASE}/monitor/(?P<id>[^/]+)", self._monitor),
            Route("POST", f"{_BASE}/hub", self._subscribe),
            Route("DELETE", f"{_BASE}/hub/(?P<id>[^/]+)", self._unsubscribe),
        ]

    def over_quota(self, wait: float | None) -> Response:
        return replace(_error(429, "429", "Too many requests"), headers=retry_after(wait))

    def broken(self) -> Response:
        return _error(500, "500", "Internal error")

    def maintenance(self, wait: float | None) -> Response:
        return replace(_error(503, "503", "Maintenance"), headers=retry_after(wait))

    # --- login ------------------------------------------------------------------------------------

    def _token(self, request: Request) -> Response:
        return self.played("auth", None, lambda kind: self._issue(request, kind))

    def _issue(self, request: Request, kind: FaultKind | None) -> Response:
        wanted = base64.b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {wanted}":
            return json_response({"error": "invalid_client"}, 401)
        token = secrets.token_urlsafe(24)
        if kind is not FaultKind.WRONG_ID:
            with self._lock:
                self._tokens.add(token)
        return json_response({"access_token": token, "token_type": "Bearer", "expires_in": 3600})

    def _check_token(self, request: Request, kind: FaultKind | None) -> None:
        token = bearer(request)
        with self._lock:
            if kind is FaultKind.EXPIRED_TOKEN and token != TOKEN:
                self._tokens.discard(token)
            known = token in self._tokens
        if not known or kind is FaultKind.EXPIRED_TOKEN:
            raise Refusal(_error(401, "401", "The token is unknown or has expired"))

    # --- services ---------------------------------------------------------------------------------

    def _list(self, request: Request) -> Response:
        sim = self.world.find(iccid=first(request, "supportingResource.iccid"))
        return self.played("read", sim, lambda kind: self._listed(request, sim, kind))

    def _listed(self, request: Request, sim: PlayedSim | None, kind: FaultKind | None) -> Response:
        self._check_token(request, kind)
        if first(request, "supportingResource.iccid"):
            return json_response([_service(sim, kind)] if sim else [])
        limit = int(first(request, "limit") or 100)
        return json_response([_service(one, kind) for one in self.world.all()[:limit]])

    def _show(self, request: Request) -> Response:
        sim = self._by_id(request)
        return self.played("read", sim, lambda kind: self._shown(request, sim, kind))

    def _shown(self, request: Request, sim: PlayedSim | None, kind: FaultKind | None) -> Response:
        self._check_token(request, kind)
        if sim is None:
            return _error(404, "404", "No such service")
        return json_response(_service(sim, kind))

    def _by_id(self, request: Request) -> PlayedSim | None:
        wanted = request.match["id"]
        if wanted not in self._cards:
            self._cards = {_id(sim.iccid): sim.iccid for sim in self.world.all()}
        return self.world.find(iccid=self._cards.get(wanted, "unknown"))

    # --- the switch -------------------------------------------------------------------------------

    def _patch(self, request: Request) -> Response:
        sim = self._by_id(request)
        action = action_of(request, _action)
        return self.played(
            "submit", sim, lambda kind: self._patched(request, sim, kind), action=action
        )

    def _patched(self, request: Request, sim: PlayedSim | None, kind: FaultKind | None) -> Response:
        self._check_token(request, kind)
        if sim is None:
            return _error(404, "404", "No such service")
        key = request.headers.get("idempotency-key", "")
        with self._lock:
            if key and key in self._answered:
                return self._answered[key]
        answer = self._switched(sim, _action(request), kind)
        self._herald.expect(_monitor_id(answer), key)
        if key and answer.status < 300 and kind not in _UNKEPT:
            with self._lock:
                self._answered[key] = answer
        return answer

    def _switched(self, sim: PlayedSim, action: str, kind: FaultKind | None) -> Response:
        verdict = sim.verdict(action)
        if verdict in _REFUSALS:
            return _error(*_REFUSALS[verdict])
        if kind is FaultKind.ACCEPT_AND_FORGET:
            return self._promised(sim, action)
        taken = self.world.accept(sim, action, delay=self.delay)
        if taken.outcome is Outcome.PENDING:
            return _monitored("" if kind is FaultKind.NO_ID else taken.id)
        if kind in (FaultKind.NO_ID, FaultKind.ERROR_IN_2XX):
            return json_response({"code": "500", "reason": "Internal error"})
        return json_response(_service(sim, kind))

    def _promised(self, sim: PlayedSim, action: str) -> Response:
        """The same answer as to a switch that is made, and nothing behind it."""
        if self.delay:
            return _monitored(str(uuid.uuid4()))
        promised = _service(sim, None)
        promised["state"] = "active" if action == ACTIVATE else "inactive"
        return json_response(promised)

    # --- monitors ---------------------------------------------------------------------------------

    def _monitor(self, request: Request) -> Response:
        one = self.world.request(request.match["id"])
        sim = self.world.find(iccid=one.iccid) if one else None
        return self.played("check", sim, lambda kind: self._monitored(request, one, kind))

    def _monitored(
        self, request: Request, one: PlayedRequest | None, kind: FaultKind | None
    ) -> Response:
        self._check_token(request, kind)
        if one is None:
            return _error(404, "404", "No such monitor")
        monitor = _monitor(one)
        if kind is FaultKind.WRONG_ID:
            monitor["id"] = str(uuid.uuid4())
        if kind is FaultKind.ODD_STATUS:
            monitor["state"] = "Postponed"
        return json_response(monitor)

    # --- subscribers ------------------------------------------------------------------------------

    def _subscribe(self, request: Request) -> Response:
        try:
            self._check_token(request, None)
            callback, query = _subscription(request)
        except Refusal as refusal:
            return refusal.response
        hub = self._herald.subscribe(callback, query)
        return json_response({"id": hub.id, "callback": hub.callback, "query": hub.query}, 201)

    def _unsubscribe(self, request: Request) -> Response:
        try:
            self._check_token(request, None)
        except Refusal as refusal:
            return refusal.response
        known = self._herald.unsubscribe(request.match["id"])
        return Response(status=204) if known else _error(404, "404", "No such subscription")

    def dump(self) -> dict[str, Any]:
        return super().dump() | {"hubs": self._herald.dump()}

    def load(self, data: Mapping[str, Any]) -> None:
        super().load(data)
        self._herald.load(data.get("hubs", []))


def _id(iccid: str) -> str:
    """A service's id tells nothing of its card, as a real partner's would not."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"service:{iccid}"))


def _service(sim: PlayedSim, kind: FaultKind | None) -> dict[str, Any]:
    iccid = "89701990000000000009" if kind is FaultKind.WRONG_ID else sim.iccid
    service = {
        "id": _id(sim.iccid),
        "href": f"{_BASE}/service/{_id(sim.iccid)}",
        "state": _WORDS[sim.state],
        "msisdn": sim.msisdn,
        "imei": sim.imei,
        "supportingResource": [{"@referredType": "SIM", "iccid": iccid}],
        "@type": "Service",
    }
    return service | ({"reason": sim.reason} if sim.reason else {})


def _monitor(one: PlayedRequest) -> dict[str, Any]:
    monitor: dict[str, Any] = {
        "id": one.id,
        "href": f"{_BASE}/monitor/{one.id}",
        "sourceHref": f"{_BASE}/service/{_id(one.iccid)}",
        "state": _MONITORS.get(one.outcome, "InError"),
        "@type": "Monitor",
    }
    if one.outcome in _REFUSALS:
        status, code, reason = _REFUSALS[one.outcome]
        body = json.dumps({"code": code, "reason": reason})
        monitor["response"] = {"statusCode": str(status), "body": body}
    return monitor


def _monitored(monitor_id: str) -> Response:
    headers = {"Location": f"{_BASE}/monitor/{monitor_id}"} if monitor_id else {}
    return replace(json_response({}, 202), headers=headers)


def _monitor_id(answer: Response) -> str:
    """The number in an answer that promises a switch; "" in any other."""
    return answer.headers.get("Location", "").rpartition("/")[2]


def _subscription(request: Request) -> tuple[str, str]:
    """The address and the query of a subscription. Raises `Refusal`."""
    try:
        body = request.json()
        callback, query = body["callback"], body.get("query", "")
    except (BadRequest, KeyError, TypeError, AttributeError) as trouble:
        raise Refusal(_error(400, "400", "Name the callback")) from trouble
    if not isinstance(query, str) or urlsplit(str(callback)).scheme not in ("http", "https"):
        raise Refusal(_error(400, "400", "callback is an address, query a text"))
    return callback, query


def _error(status: int, code: str, reason: str) -> Response:
    return json_response({"code": code, "reason": reason}, status)


def _action(request: Request) -> str:
    """What a PATCH asks for. Raises `Refusal`."""
    try:
        return _ACTIONS[request.json()["state"]]
    except (BadRequest, KeyError, TypeError) as trouble:
        raise Refusal(_error(400, "400", "Only the states active and inactive")) from trouble
