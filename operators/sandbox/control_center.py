"""Cisco Control Center below `/operators/control_center`: `/rws/api/v1/devices…`.

HTTP Basic: user `demo-user`, API key `demo-api-key`. A change is made at once, or after
`delay_seconds`, and in both cases answered by the ICCID alone. Five calls a second and one at a time
are let in, as the vendor's policy asks; over that comes code 40000029 with HTTP status 400, as it was seen. A
search without a moment, of over a year ago or of the future is refused. The fault `other_shape` names a card
as other real ones do: as a JSON number, or without its check digit and with the filler F.

Guesses, because no public page says: the code of a change that is not allowed (that of the older call), that a
held card is shown as DEACTIVATED, that a change to the state a card is in is taken and does nothing, and the
answer during nightly works (503).
"""

import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from stdnum import luhn
from werkzeug.exceptions import BadRequest
from werkzeug.routing import Rule

from cabinet.clock import now
from cabinet.sandbox.http import Request, Response, json_response
from operators.sandbox.base import Call, Refusal, SandboxOperator, has_basic_auth
from operators.sandbox.faults import FaultKind
from operators.sandbox.limits import Limits
from operators.sandbox.state import ACTIVATE, DEACTIVATE, Outcome, SandboxSim

USER = "demo-user"
API_KEY = "demo-api-key"
_BASE = "/operators/control_center/rws/api/v1"
_ACTIONS = {"ACTIVATED": ACTIVATE, "DEACTIVATED": DEACTIVATE}
_STATUSES = {
    "new": "ACTIVATION_READY",
    "active": "ACTIVATED",
    "inactive": "DEACTIVATED",
    "held": "DEACTIVATED",
    "retired": "RETIRED",
}
_REFUSALS = {
    Outcome.HELD: ("SIMSTATUS_SUSPENDED", "The device is suspended by the operator"),
    Outcome.GONE: ("SIMSTATUS_INVALID_TRANSITION", "The change of status is not allowed"),
}
_PAGE_SIZE = 50
_LONGEST_PAST = timedelta(days=365)


class SandboxControlCenter(SandboxOperator):
    """An operator that has handed out Control Center keys."""

    code = "control_center"
    title = "Cisco Control Center"
    limits = Limits(per_second=5, concurrency=1, delay_seconds=0)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._lock = threading.Lock()
        self._changed: dict[str, tuple[str, datetime]] = {}

    def routes(self) -> list[Rule]:
        device = f"{_BASE}/devices/<iccid>"
        return [
            self.operation("GET", f"{_BASE}/devices", "read", self._search),
            self.operation("GET", device, "read", self._show, sim=self._named),
            self.operation("PUT", device, "submit", self._edit, sim=self._named, action=_action),
        ]

    def over_quota(self) -> Response:
        return _error(400, "40000029", "Rate limit exceeded")

    def broken(self) -> Response:
        return _error(500, "30000001", "Unknown error")

    def maintenance(self) -> Response:
        page = "<html><body>Service Unavailable</body></html>"
        return Response(page, 503, content_type="text/html")

    def authorize(self, call: Call) -> None:
        known = has_basic_auth(call.request, USER, API_KEY)
        if not known or call.kind is FaultKind.EXPIRED_TOKEN:
            raise Refusal(_error(401, "10000001", "Authentication failed"))

    def _named(self, call: Call) -> SandboxSim | None:
        return self.sims.find(iccid=call.variables["iccid"])

    def _edit(self, call: Call) -> Response:
        action = _action(call.request)
        if call.sim is None:
            raise Refusal(_unknown_card())
        outcome = call.sim.outcome_of(action)
        if outcome in _REFUSALS:
            return _error(400, *_REFUSALS[outcome])
        if call.kind is FaultKind.ERROR_IN_2XX:
            return _error(200, "30000002", "Unknown error")
        if call.kind is not FaultKind.ACCEPT_AND_FORGET:
            self.sims.accept(call.sim, action, delay=self.delay)
        if call.kind is FaultKind.NO_ID:
            return json_response({})
        return json_response({"iccid": _shown_iccid(call.sim, call.kind)})

    def _show(self, call: Call) -> Response:
        if call.sim is None:
            raise Refusal(_unknown_card())
        device = _device(call.sim, call.kind)
        seen = {
            "msisdn": call.sim.msisdn,
            "imei": call.sim.imei,
            "dateUpdated": _vendor_time(now()),
        }
        return json_response(device | seen)

    def _search(self, call: Call) -> Response:
        since, size, page = _search_terms(call.request)
        sims = [sim for sim, at in self._in_order_of_change() if at >= since]
        start = (page - 1) * size
        devices = [_device(sim, call.kind) for sim in sims[start : start + size]]
        last = start + size >= len(sims)
        return json_response({"pageNumber": page, "devices": devices, "lastPage": last})

    def _in_order_of_change(self) -> list[tuple[SandboxSim, datetime]]:
        """The cards, the one whose status changed first before the others.

        A change is dated by its effect, or by the search that saw it first if it came from outside.
        """
        sims = self.sims.all()
        with self._lock:
            self._date(sims)
            dated = [(sim, self._changed[sim.iccid][1]) for sim in sims]
        return sorted(dated, key=lambda pair: pair[1])

    def _date(self, sims: Iterable[SandboxSim]) -> None:
        for sim in sims:
            status, at = self._changed.get(sim.iccid, ("", now()))
            if status != _STATUSES[sim.state]:
                at = _last_effect(sim) or now()
            self._changed[sim.iccid] = (_STATUSES[sim.state], at)


def _vendor_time(moment: datetime) -> str:
    """«2016-07-06 22:04:04.380+0000»."""
    shown = moment.astimezone(UTC)
    return f"{shown:%Y-%m-%d %H:%M:%S}.{shown.microsecond // 1000:03}+0000"


def _last_effect(sim: SandboxSim) -> datetime | None:
    """When the card was last switched, if that is what brought it into its state."""
    wanted = {"active": ACTIVATE, "inactive": DEACTIVATE}.get(sim.state)
    if not sim.effects or sim.effects[-1]["action"] != wanted:
        return None
    return datetime.fromisoformat(sim.effects[-1]["at"])


def _error(status: int, code: str, text: str) -> Response:
    return json_response({"errorMessage": text, "errorCode": code}, status)


def _unknown_card() -> Response:
    return _error(404, "20000001", "Resource not found - Invalid ICCID")


def _action(request: Request) -> str:
    """What a change asks for. Raises `Refusal`."""
    try:
        return _ACTIONS[request.json["status"]]
    except (BadRequest, KeyError, TypeError) as error:
        raise Refusal(_error(400, "10000023", "Invalid JSON")) from error


def _search_terms(request: Request) -> tuple[datetime, int, int]:
    """Since when, how many on a page, which page. Raises `Refusal`."""
    if not request.args.get("modifiedSince"):
        raise Refusal(_error(400, "10000003", "Required parameter is missing: modifiedSince"))
    try:
        since = datetime.fromisoformat(request.args.get("modifiedSince", ""))
        size = int(request.args.get("pageSize") or _PAGE_SIZE)
        page = int(request.args.get("pageNumber") or 1)
    except ValueError as error:
        raise Refusal(_error(400, "10000028", "Invalid parameter")) from error
    if since.tzinfo is None or not 1 <= size <= _PAGE_SIZE or page < 1:
        raise Refusal(_error(400, "10000028", "Invalid parameter"))
    if since < now() - _LONGEST_PAST:
        raise Refusal(_error(400, "10000045", "modifiedSince is over a year ago"))
    if since > now():
        raise Refusal(_error(400, "10002119", "modifiedSince is in the future"))
    return since, size, page


def _shown_iccid(sim: SandboxSim, kind: FaultKind | None) -> str | int:
    if kind is FaultKind.WRONG_ID:
        return "89701990000000000009"
    if kind is not FaultKind.OTHER_SHAPE:
        return sim.iccid
    without_check_digit = luhn.is_valid(sim.iccid) and len(sim.effects) % 2
    return f"{sim.iccid[:-1]}F" if without_check_digit else int(sim.iccid)


def _device(sim: SandboxSim, kind: FaultKind | None) -> dict[str, Any]:
    return {
        "iccid": _shown_iccid(sim, kind),
        "status": "POSTPONED" if kind is FaultKind.ODD_STATUS else _STATUSES[sim.state],
        "ratePlan": "PLAN",
        "communicationPlan": "COMM",
    }
