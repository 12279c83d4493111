"""The calls by which people and tests look at the operators and set them right or wrong."""

from collections.abc import Mapping
from typing import Any

from cabinet.sandbox.http import BadRequest, Request, Response, Route, json_response, redirect
from operators.sandbox.protocol import PlayedOperator
from operators.sandbox.trouble import Fault, FaultKind, Faults, Limits
from operators.sandbox.world import CALLS, REASONS, STATES, UnknownSim

_WORDS = {
    "state": STATES,
    "reason": (*REASONS, None),
    "msisdn": None,
    "imei": None,
    "identity": None,
}
_LIMITS = ("per_second", "per_minute", "concurrency", "delay_seconds")
_FORM_TYPE = "application/x-www-form-urlencoded"


class Control:
    """Routes below `/state`, `/received`, `/faults` and `/limits`; the page's own forms are below `/panel`."""

    def __init__(self, operators: Mapping[str, PlayedOperator], faults: Faults) -> None:
        self._operators = operators
        self._faults = faults

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/state/(?P<code>[a-z0-9_]+)", self._states),
            Route("GET", "/state/(?P<code>[a-z0-9_]+)/(?P<iccid>[0-9]+)", self._state),
            Route("PUT", "/state/(?P<code>[a-z0-9_]+)/(?P<iccid>[0-9]+)", self._put),
            Route("GET", "/received/(?P<code>[a-z0-9_]+)/(?P<iccid>[0-9]+)", self._received),
            Route("GET", "/faults", self._list_faults),
            Route("POST", "/faults", self._add_fault),
            Route("DELETE", "/faults", self._clear_faults),
            Route("GET", "/limits/(?P<code>[a-z0-9_]+)", self._show_limits),
            Route("PUT", "/limits/(?P<code>[a-z0-9_]+)", self._set_limits),
            Route("POST", "/panel/state", self._put_by_form),
            Route("POST", "/panel/faults", self._add_fault_by_form),
            Route("POST", "/panel/faults/clear", self._clear_by_form),
        ]

    # --- states -----------------------------------------------------------------------------------

    def _states(self, request: Request) -> Response:
        operator = self._operator(request.match["code"])
        if operator is None:
            return _nothing()
        rejected = operator.turnstile.rejected
        return json_response({"sims": operator.world.all_shown(), "rejected_by_quota": rejected})

    def _state(self, request: Request) -> Response:
        operator = self._operator(request.match["code"])
        if operator is None:
            return _nothing()
        try:
            return json_response(operator.world.shown(request.match["iccid"]))
        except UnknownSim:
            return _nothing()

    def _received(self, request: Request) -> Response:
        operator = self._operator(request.match["code"])
        if operator is None:
            return _nothing()
        try:
            return json_response({"received": operator.world.received(request.match["iccid"])})
        except UnknownSim:
            return _nothing()

    def _put(self, request: Request) -> Response:
        operator = self._operator(request.match["code"])
        if operator is None:
            return _nothing()
        changes = _changes(_object(request))
        return json_response(operator.world.put(request.match["iccid"], changes))

    def _operator(self, code: str) -> PlayedOperator | None:
        return self._operators.get(code)

    # --- troubles and limits ----------------------------------------------------------------------

    def _list_faults(self, _request: Request) -> Response:
        return json_response({"faults": self._faults.all()})

    def _add_fault(self, request: Request) -> Response:
        self._faults.add(self._fault(_object(request)))
        return self._list_faults(request)

    def _clear_faults(self, request: Request) -> Response:
        self._faults.clear()
        return self._list_faults(request)

    def _fault(self, given: Mapping[str, Any]) -> Fault:
        kinds = [kind.value for kind in FaultKind]
        return Fault(
            operator=_one_of(given, "operator", ("", *self._operators)),
            call=_one_of(given, "call", ("", *CALLS)),
            kind=FaultKind(_one_of(given, "kind", kinds)),
            times=_whole(given, "times"),
            probability=1.0 if given.get("probability") is None else _number(given, "probability"),
            seconds=_maybe(given, "seconds"),
            retry_after=_maybe(given, "retry_after"),
        )

    def _show_limits(self, request: Request) -> Response:
        operator = self._operator(request.match["code"])
        return _nothing() if operator is None else json_response(vars(operator.turnstile.limits))

    def _set_limits(self, request: Request) -> Response:
        operator = self._operator(request.match["code"])
        if operator is None:
            return _nothing()
        given = _object(request)
        changed = {name: _limit(given, name) for name in _LIMITS if name in given}
        operator.turnstile.limits = Limits(**{**vars(operator.turnstile.limits), **changed})
        return json_response(vars(operator.turnstile.limits))

    # --- the page's forms -------------------------------------------------------------------------

    def _put_by_form(self, request: Request) -> Response:
        form = request.form()
        operator, iccid = self._operator(form.get("operator", "")), form.get("iccid", "")
        if operator is None or not (iccid.isascii() and iccid.isdigit()):
            raise BadRequest("Name the operator and the ICCID.")
        named = {name: form[name] for name in ("state", "msisdn", "imei") if form.get(name)}
        reason = {"reason": form.get("reason") or None}
        operator.world.put(iccid, _changes(named | reason))
        return redirect("/")

    def _add_fault_by_form(self, request: Request) -> Response:
        form = request.form()
        self._faults.add(self._fault({name: value for name, value in form.items() if value}))
        return redirect("/")

    def _clear_by_form(self, _request: Request) -> Response:
        self._faults.clear()
        return redirect("/")


def _nothing() -> Response:
    return json_response({"error": "There is no such operator or SIM."}, 404)


def _object(request: Request) -> dict[str, Any]:
    body = request.json()
    if not isinstance(body, dict):
        raise BadRequest("Send an object.")
    return body


def _changes(given: Mapping[str, Any]) -> dict[str, Any]:
    """What of a SIM is to be set. Raises BadRequest for an unknown name or word."""
    unknown = set(given) - set(_WORDS) - {"iccid"}
    if unknown:
        raise BadRequest(f"Only {', '.join(_WORDS)} can be set, not {', '.join(sorted(unknown))}.")
    for name, words in _WORDS.items():
        if words is not None and name in given and given[name] not in words:
            raise BadRequest(f"{name}: one of {words}.")
    return {name: _text(name, given[name]) for name in _WORDS if name in given}


def _text(name: str, value: Any) -> str | None:
    if value is None and name == "reason":
        return None
    if not isinstance(value, str):
        raise BadRequest(f"{name}: a string.")
    return value


def _one_of(given: Mapping[str, Any], name: str, words: Any) -> str:
    value = given.get(name, "")
    if value not in words:
        raise BadRequest(f"{name}: one of {', '.join(words)}.")
    return str(value)


def _number(given: Mapping[str, Any], name: str) -> float:
    try:
        number = float(given[name])
    except (TypeError, ValueError) as error:
        raise BadRequest(f"{name}: a number.") from error
    if not 0 <= number < float("inf"):
        raise BadRequest(f"{name}: not below zero.")
    return number


def _maybe(given: Mapping[str, Any], name: str) -> float | None:
    return None if given.get(name) is None else _number(given, name)


def _whole(given: Mapping[str, Any], name: str) -> int | None:
    number = _maybe(given, name)
    if number is not None and (number < 1 or number != int(number)):
        raise BadRequest(f"{name}: a whole number from 1.")
    return None if number is None else int(number)


def _limit(given: Mapping[str, Any], name: str) -> float | None:
    return _maybe(given, name) if name == "delay_seconds" else _whole(given, name)
