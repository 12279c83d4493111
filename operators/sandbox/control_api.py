"""The calls by which people and tests look at the operators, change SIMs and switch faults on."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter
from werkzeug.exceptions import BadRequest, NotFound
from werkzeug.routing import Rule

from cabinet.sandbox.http import Request, Response, json_response, redirect, route, validated
from operators.sandbox.base import SandboxOperator
from operators.sandbox.faults import FAULT, Faults
from operators.sandbox.limits import Limits
from operators.sandbox.state import NO_SUCH_SIM, SimChanges

_LIMITS = TypeAdapter(Limits)
_CHANGES = TypeAdapter(SimChanges)


class ControlApi:
    """`/state`, `/received`, `/faults`, `/limits`, `/callbacks`; the page's own forms are below `/panel`."""

    def __init__(self, operators: Mapping[str, SandboxOperator], faults: Faults) -> None:
        self._operators = operators
        self._faults = faults

    def routes(self) -> list[Rule]:
        return [
            route("GET", "/state/<code>", self._list_sims),
            route("GET", "/state/<code>/<iccid>", self._show_sim),
            route("PUT", "/state/<code>/<iccid>", self._put_sim),
            route("GET", "/received/<code>/<iccid>", self._list_received),
            route("GET", "/faults", self._list_faults),
            route("POST", "/faults", self._add_fault),
            route("DELETE", "/faults", self._clear_faults),
            route("GET", "/limits/<code>", self._show_limits),
            route("PUT", "/limits/<code>", self._set_limits),
            route("PUT", "/callbacks/<code>", self._set_callback),
            route("POST", "/panel/state", self._put_sim_by_form),
            route("POST", "/panel/faults", self._add_fault_by_form),
            route("POST", "/panel/faults/clear", self._clear_faults_by_form),
        ]

    # --- SIMs -------------------------------------------------------------------------------------

    def _list_sims(self, _request: Request, code: str) -> Response:
        operator = self._operator(code)
        rejected = operator.quota.rejected
        return json_response({"sims": operator.sims.all_as_json(), "rejected_by_quota": rejected})

    def _show_sim(self, _request: Request, code: str, iccid: str) -> Response:
        return json_response(self._operator(code).sims.as_json(iccid))

    def _list_received(self, _request: Request, code: str, iccid: str) -> Response:
        return json_response({"received": self._operator(code).sims.received(iccid)})

    def _put_sim(self, request: Request, code: str, iccid: str) -> Response:
        return json_response(self._changed(code, iccid, request.json))

    def _changed(self, code: str, iccid: str, given: Any) -> dict[str, Any]:
        operator = self._operator(code)
        if not (iccid.isascii() and iccid.isdigit()):
            raise BadRequest("An ICCID has only digits.")
        changes = validated(_CHANGES, given).model_dump(exclude_unset=True, exclude={"iccid"})
        return operator.sims.put(iccid, changes)

    def _operator(self, code: str) -> SandboxOperator:
        if code not in self._operators:
            raise NotFound(NO_SUCH_SIM)
        return self._operators[code]

    # --- faults and limits ------------------------------------------------------------------------

    def _list_faults(self, _request: Request) -> Response:
        return json_response({"faults": self._faults.all()})

    def _add_fault(self, request: Request) -> Response:
        self._add(_object(request))
        return self._list_faults(request)

    def _clear_faults(self, request: Request) -> Response:
        self._faults.clear()
        return self._list_faults(request)

    def _add(self, given: Mapping[str, Any]) -> None:
        fault = validated(FAULT, {key: value for key, value in given.items() if value is not None})
        if fault.operator not in ("", *self._operators):
            raise BadRequest(f"operator: one of {', '.join(self._operators)}.")
        self._faults.add(fault)

    def _show_limits(self, _request: Request, code: str) -> Response:
        return json_response(asdict(self._operator(code).quota.limits))

    def _set_limits(self, request: Request, code: str) -> Response:
        gate = self._operator(code).quota
        gate.limits = validated(_LIMITS, asdict(gate.limits) | _object(request))
        return json_response(asdict(gate.limits))

    def _set_callback(self, request: Request, code: str) -> Response:
        events = self._operator(code).events
        if events is None:
            raise NotFound("This operator sends no events.")
        url = str(_object(request).get("url", ""))
        if urlsplit(url).scheme not in ("http", "https"):
            raise BadRequest("url: the address that takes the events.")
        events.send_to(url)
        return json_response({"url": url})

    # --- the page's forms -------------------------------------------------------------------------

    def _put_sim_by_form(self, request: Request) -> Response:
        form = request.form.to_dict()
        if form.get("operator") not in self._operators:
            raise BadRequest("Name the operator.")
        named = {name: form[name] for name in ("state", "msisdn", "imei") if form.get(name)}
        reason = {"reason": form.get("reason") or None}
        self._changed(form["operator"], form.get("iccid", ""), named | reason)
        return redirect("/")

    def _add_fault_by_form(self, request: Request) -> Response:
        self._add({name: value for name, value in request.form.items() if value})
        return redirect("/")

    def _clear_faults_by_form(self, _request: Request) -> Response:
        self._faults.clear()
        return redirect("/")


def _object(request: Request) -> dict[str, Any]:
    if not isinstance(request.json, dict):
        raise BadRequest("Send an object.")
    return request.json
