"""Cisco Control Center, played below `/operators/control_center`: `/rws/api/v1/devices…`.

HTTP Basic: user `demo-user`, API key `demo-api-key`. A change is made at once, or after
`delay_seconds`, and in both cases answered by the ICCID alone. Five calls a second and one at a time
are let in, as the vendor's policy asks; over that comes code 40000029.

Guesses, because no public page says: the HTTP status of 40000029 (429), the code of a change that is
not allowed (the older call's word), that a held card is shown as DEACTIVATED, that a change to the
state a card is in is taken and does nothing, and the answer during nightly works (503).
"""

import base64
import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from cabinet.clock import now
from cabinet.sandbox.http import BadRequest, Request, Response, Route, json_response
from operators.sandbox.protocol import PlayedOperator, Refusal, action_of, first, retry_after
from operators.sandbox.trouble import FaultKind, Limits
from operators.sandbox.world import ACTIVATE, DEACTIVATE, Outcome, PlayedSim

USER = "demo-user"
API_KEY = "demo-api-key"
_BASE = "/operators/control_center/rws/api/v1"
_ACTIONS = {"ACTIVATED": ACTIVATE, "DEACTIVATED": DEACTIVATE}
_WORDS = {
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


class PlayedControlCenter(PlayedOperator):
    """An operator that has handed out Control Center keys."""

    code = "control_center"
    title = "Cisco Control Center"
    limits = Limits(per_second=5, concurrency=1, delay_seconds=0)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._lock = threading.Lock()
        self._changed: dict[str, tuple[str, datetime]] = {}

    def routes(self) -> list[Route]:
        return [
            Route("GET", f"{_BASE}/devices", self._search),
            Route("GET", f"{_BASE}/devices/(?P<iccid>[^/]+)", self._show),
            Route("PUT", f"{_BASE}/devices/(?P<iccid>[^/]+)", self._edit),
        ]

    def over_quota(self, wait: float | None) -> Response:
        return replace(_error(429, "40000029", "Rate limit exceeded"), headers=retry_after(wait))

    def broken(self) -> Response:
        return _error(500, "30000001", "Unknown error")

    def maintenance(self, wait: float | None) -> Response:
        page = b"<html><body>Service Unavailable</body></html>"
        return Response(503, page, content_type="text/html", headers=retry_after(wait))

    # --- the change -------------------------------------------------------------------------------

    def _edit(self, request: Request) -> Response:
        sim = self._named(request)
        action = action_of(request, _action)
        return self.played(
            "submit", sim, lambda kind: self._edited(request, sim, kind), action=action
        )

    def _edited(self, request: Request, sim: PlayedSim | None, kind: FaultKind | None) -> Response:
        _check_keys(request, kind)
        action = _action(request)
        if sim is None:
            raise Refusal(_unknown_card())
        verdict = sim.verdict(action)
        if verdict in _REFUSALS:
            return _error(400, *_REFUSALS[verdict])
        if kind is FaultKind.ERROR_IN_2XX:
            return _error(200, "30000002", "Unknown error")
        if kind is not FaultKind.ACCEPT_AND_FORGET:
            self.world.accept(sim, action, delay=self.delay)
        if kind is FaultKind.NO_ID:
            return json_response({})
        return json_response({"iccid": _shown_iccid(sim, kind)})

    # --- questions --------------------------------------------------------------------------------

    def _show(self, request: Request) -> Response:
        sim = self._named(request)
        return self.played("read", sim, lambda kind: self._shown(request, sim, kind))

    def _shown(self, request: Request, sim: PlayedSim | None, kind: FaultKind | None) -> Response:
        _check_keys(request, kind)
        if sim is None:
            raise Refusal(_unknown_card())
        device = _device(sim, kind)
        return json_response(device | {"msisdn": sim.msisdn, "imei": sim.imei})

    def _search(self, request: Request) -> Response:
        return self.played("read", None, lambda kind: self._found(request, kind))

    def _found(self, request: Request, kind: FaultKind | None) -> Response:
        _check_keys(request, kind)
        since, size, page = _asked(request)
        sims = [sim for sim, at in self._in_order_of_change() if at >= since]
        start = (page - 1) * size
        devices = [_device(sim, kind) for sim in sims[start : start + size]]
        last = start + size >= len(sims)
        return json_response({"pageNumber": page, "devices": devices, "lastPage": last})

    def _named(self, request: Request) -> PlayedSim | None:
        return self.world.find(iccid=request.match["iccid"])

    def _in_order_of_change(self) -> list[tuple[PlayedSim, datetime]]:
        """The cards, the one whose status changed first before the others.

        A change is dated by its effect, or by the search that saw it first if it came from outside.
        """
        sims = self.world.all()
        with self._lock:
            self._note(sims)
            dated = [(sim, self._changed[sim.iccid][1]) for sim in sims]
        return sorted(dated, key=lambda pair: pair[1])

    def _note(self, sims: Iterable[PlayedSim]) -> None:
        for sim in sims:
            word, at = self._changed.get(sim.iccid, ("", now()))
            if word != _WORDS[sim.state]:
                at = _last_effect(sim) or now()
            self._changed[sim.iccid] = (_WORDS[sim.state], at)


def _last_effect(sim: PlayedSim) -> datetime | None:
    """When the card was last switched, if that is what brought it into its state."""
    wanted = {"active": ACTIVATE, "inactive": DEACTIVATE}.get(sim.state)
    if not sim.effects or sim.effects[-1]["action"] != wanted:
        return None
    return datetime.fromisoformat(sim.effects[-1]["at"])


def _check_keys(request: Request, kind: FaultKind | None) -> None:
    wanted = base64.b64encode(f"{USER}:{API_KEY}".encode()).decode()
    known = request.headers.get("authorization") == f"Basic {wanted}"
    if not known or kind is FaultKind.EXPIRED_TOKEN:
        raise Refusal(_error(401, "10000001", "Authentication failed"))


def _error(status: int, code: str, text: str) -> Response:
    return json_response({"errorMessage": text, "errorCode": code}, status)


def _unknown_card() -> Response:
    return _error(404, "20000001", "Resource not found - Invalid ICCID")


def _action(request: Request) -> str:
    """What a change asks for. Raises `Refusal`."""
    try:
        return _ACTIONS[request.json()["status"]]
    except (BadRequest, KeyError, TypeError) as trouble:
        raise Refusal(_error(400, "10000023", "Invalid JSON")) from trouble


def _asked(request: Request) -> tuple[datetime, int, int]:
    """Since when, how many on a page, which page. Raises `Refusal`."""
    try:
        since = datetime.fromisoformat(first(request, "modifiedSince"))
        size = int(first(request, "pageSize") or _PAGE_SIZE)
        page = int(first(request, "pageNumber") or 1)
    except ValueError as trouble:
        raise Refusal(_error(400, "10000028", "Invalid parameter")) from trouble
    if since.tzinfo is None or not 1 <= size <= _PAGE_SIZE or page < 1:
        raise Refusal(_error(400, "10000028", "Invalid parameter"))
    return since, size, page


def _shown_iccid(sim: PlayedSim, kind: FaultKind | None) -> str:
    return "89701990000000000009" if kind is FaultKind.WRONG_ID else sim.iccid


def _device(sim: PlayedSim, kind: FaultKind | None) -> dict[str, Any]:
    return {
        "iccid": _shown_iccid(sim, kind),
        "status": "POSTPONED" if kind is FaultKind.ODD_STATUS else _WORDS[sim.state],
        "ratePlan": "PLAN",
        "communicationPlan": "COMM",
    }
