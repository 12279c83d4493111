"""A TMF640 partner below `/operators/tmf640`: `/service`, `/monitor`, `/token`.

Credentials: the bearer token `demo-partner-token`, or a token by OAuth2 client credentials from
`/operators/tmf640/token` with `demo-client` and `demo-client-secret`. A switch is made at once and
answered by 200; with `delay_seconds` set it is answered by 202 and a monitor. A repeated
`Idempotency-Key` is answered as the first time. Events are signed with `demo-callback-secret` and
sent to the address that the partner was given (`PUT /callbacks/tmf640`, or the demo's own).
"""

import json
import secrets
import uuid
from collections.abc import Mapping
from typing import Any

from werkzeug.exceptions import BadRequest
from werkzeug.routing import Rule

from cabinet.sandbox.http import Request, Response, json_response
from operators.sandbox.base import Call, Refusal, SandboxOperator, has_basic_auth
from operators.sandbox.event_sender import EventSender
from operators.sandbox.faults import FaultKind
from operators.sandbox.limits import Limits
from operators.sandbox.state import ACTIVATE, DEACTIVATE, Outcome, SandboxSim, SwitchRequest

TOKEN = "demo-partner-token"  # noqa: S105 a published secret of the sandbox
CLIENT = "demo-client"
CLIENT_SECRET = "demo-client-secret"  # noqa: S105 a published secret of the sandbox
_BASE = "/operators/tmf640"
_ACTIONS = {"active": ACTIVATE, "inactive": DEACTIVATE}
_SERVICE_STATES = {
    "new": "reserved",
    "active": "active",
    "inactive": "inactive",
    "held": "inactive",
    "retired": "terminated",
}
_MONITOR_STATES = {Outcome.PENDING: "InProgress", Outcome.DONE: "Completed"}
_REFUSALS = {
    Outcome.HELD: (409, "heldByOperator", "The service is held by the operator"),
    Outcome.GONE: (404, "terminated", "The service has been terminated"),
    Outcome.ALREADY: (409, "alreadyInState", "The service is in this state already"),
}
# Answers that do not say what was done are not repeated: a second request finds out by itself.
_NOT_REPEATED = (
    FaultKind.ACCEPT_AND_FORGET,
    FaultKind.WRONG_ID,
    FaultKind.NO_ID,
    FaultKind.ERROR_IN_2XX,
)


class SandboxTmf640(SandboxOperator):
    """A partner that has taken our contract."""

    code = "tmf640"
    title = "Партнёр по TMF640"
    limits = Limits(per_second=10, delay_seconds=0)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.events: EventSender = EventSender(
            self.sims, service=lambda sim: _service(sim, None), monitor=_monitor
        )
        # Single operations on sets and dicts are atomic: no lock.
        self._tokens = {TOKEN}
        self._answered: dict[str, Response] = {}
        self._iccids: dict[str, str] = {}  # by the service's id

    def routes(self) -> list[Rule]:
        service, monitor = f"{_BASE}/service/<service_id>", f"{_BASE}/monitor/<monitor_id>"
        return [
            self.operation("POST", f"{_BASE}/token", "auth", self._issue_token),
            self.operation("GET", f"{_BASE}/service", "read", self._list, sim=self._queried),
            self.operation("GET", service, "read", self._show, sim=self._by_id),
            self.operation(
                "PATCH", service, "submit", self._patch, sim=self._by_id, action=_action
            ),
            self.operation("GET", monitor, "check", self._show_monitor, sim=self._of_monitor),
        ]

    def over_quota(self) -> Response:
        return _error(429, "429", "Too many requests")

    def broken(self) -> Response:
        return _error(500, "500", "Internal error")

    def maintenance(self) -> Response:
        return _error(503, "503", "Maintenance")

    # --- login ------------------------------------------------------------------------------------

    def _issue_token(self, call: Call) -> Response:
        if not has_basic_auth(call.request, CLIENT, CLIENT_SECRET):
            return json_response({"error": "invalid_client"}, 401)
        token = secrets.token_urlsafe(24)
        if call.kind is not FaultKind.WRONG_ID:
            self._tokens.add(token)
        life = "3600" if call.kind is FaultKind.OTHER_SHAPE else 3600
        return json_response({"access_token": token, "token_type": "Bearer", "expires_in": life})

    def authorize(self, call: Call) -> None:
        token = call.request.bearer_token
        if call.kind is FaultKind.EXPIRED_TOKEN and token != TOKEN:
            self._tokens.discard(token)
        if call.kind is FaultKind.EXPIRED_TOKEN or token not in self._tokens:
            raise Refusal(_error(401, "401", "The token is unknown or has expired"))

    # --- services ---------------------------------------------------------------------------------

    def _queried(self, call: Call) -> SandboxSim | None:
        return self.sims.find(iccid=call.request.args.get("supportingResource.iccid", ""))

    def _list(self, call: Call) -> Response:
        if call.request.args.get("supportingResource.iccid"):
            return json_response([_service(call.sim, call.kind)] if call.sim else [])
        limit = int(call.request.args.get("limit") or 100)
        return json_response([_service(sim, call.kind) for sim in self.sims.all()[:limit]])

    def _by_id(self, call: Call) -> SandboxSim | None:
        service_id = call.variables["service_id"]
        if service_id not in self._iccids:
            self._iccids = {_id(sim.iccid): sim.iccid for sim in self.sims.all()}
        return self.sims.find(iccid=self._iccids.get(service_id, "unknown"))

    def _show(self, call: Call) -> Response:
        if call.sim is None:
            return _error(404, "404", "No such service")
        return json_response(_service(call.sim, call.kind))

    # --- the switch -------------------------------------------------------------------------------

    def _patch(self, call: Call) -> Response:
        if call.sim is None:
            return _error(404, "404", "No such service")
        key = call.request.headers.get("Idempotency-Key", "")
        if key and key in self._answered:
            return self._answered[key]
        response = self._switched(call.sim, _action(call.request), call.kind)
        self.events.expect(_monitor_id(response), key)
        if key and response.status_code < 300 and call.kind not in _NOT_REPEATED:
            self._answered[key] = response
        return response

    def _switched(self, sim: SandboxSim, action: str, kind: FaultKind | None) -> Response:
        outcome = sim.outcome_of(action)
        if outcome in _REFUSALS:
            return _error(*_REFUSALS[outcome])
        if kind is FaultKind.ACCEPT_AND_FORGET:
            return self._forgotten(sim, action)
        taken = self.sims.accept(sim, action, delay=self.delay)
        if taken.outcome is Outcome.PENDING:
            return _accepted("" if kind is FaultKind.NO_ID else taken.id)
        if kind in (FaultKind.NO_ID, FaultKind.ERROR_IN_2XX):
            return json_response({"code": "500", "reason": "Internal error"})
        return json_response(_service(sim, kind))

    def _forgotten(self, sim: SandboxSim, action: str) -> Response:
        """The same answer as to a switch that is made, and nothing behind it."""
        if self.delay:
            return _accepted(str(uuid.uuid4()))
        state = "active" if action == ACTIVATE else "inactive"
        return json_response(_service(sim, None) | {"state": state})

    # --- monitors ---------------------------------------------------------------------------------

    def _of_monitor(self, call: Call) -> SandboxSim | None:
        request = self.sims.request(call.variables["monitor_id"])
        return self.sims.find(iccid=request.iccid) if request else None

    def _show_monitor(self, call: Call) -> Response:
        request = self.sims.request(call.variables["monitor_id"])
        if request is None:
            return _error(404, "404", "No such monitor")
        monitor = _monitor(request)
        if call.kind is FaultKind.WRONG_ID:
            monitor["id"] = str(uuid.uuid4())
        if call.kind is FaultKind.ODD_STATUS:
            monitor["state"] = "Postponed"
        return json_response(monitor)

    def load(self, data: Mapping[str, Any]) -> None:
        super().load(data)
        self.events.forget_changes()


def _id(iccid: str) -> str:
    """A service's id does not contain the ICCID, as a real partner's would not."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"service:{iccid}"))


def _service(sim: SandboxSim, kind: FaultKind | None) -> dict[str, Any]:
    iccid: str | int = "89701990000000000009" if kind is FaultKind.WRONG_ID else sim.iccid
    if kind is FaultKind.OTHER_SHAPE:
        iccid = int(sim.iccid)
    service = {
        "id": _id(sim.iccid),
        "href": f"{_BASE}/service/{_id(sim.iccid)}",
        "state": _SERVICE_STATES[sim.state],
        "msisdn": sim.msisdn,
        "imei": sim.imei,
        "supportingResource": [{"@referredType": "SIM", "iccid": iccid}],
        "@type": "Service",
    }
    return service | ({"reason": sim.reason} if sim.reason else {})


def _monitor(request: SwitchRequest) -> dict[str, Any]:
    monitor: dict[str, Any] = {
        "id": request.id,
        "href": f"{_BASE}/monitor/{request.id}",
        "sourceHref": f"{_BASE}/service/{_id(request.iccid)}",
        "state": _MONITOR_STATES.get(request.outcome, "InError"),
        "@type": "Monitor",
    }
    if request.outcome in _REFUSALS:
        status, code, reason = _REFUSALS[request.outcome]
        body = json.dumps({"code": code, "reason": reason})
        monitor["response"] = {"statusCode": str(status), "body": body}
    return monitor


def _accepted(monitor_id: str) -> Response:
    location = {"Location": f"{_BASE}/monitor/{monitor_id}"} if monitor_id else {}
    return json_response({}, 202, **location)


def _monitor_id(response: Response) -> str:
    """The id in an answer that accepts a switch; "" in any other."""
    return response.headers.get("Location", "").rpartition("/")[2]


def _error(status: int, code: str, reason: str) -> Response:
    return json_response({"code": code, "reason": reason}, status)


def _action(request: Request) -> str:
    """What a PATCH asks for. Raises `Refusal`."""
    try:
        return _ACTIONS[request.json["state"]]
    except (BadRequest, KeyError, TypeError) as error:
        raise Refusal(_error(400, "400", "Only the states active and inactive")) from error
