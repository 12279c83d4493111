"""What every played operator does the same way: count, refuse over quota, misbehave, answer.

A protocol says in its own words only what differs: its routes, and its texts of refusal.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cabinet.sandbox.http import Request, Response, Route, Wire
from operators.sandbox.trouble import Fault, FaultKind, Faults, Limits, OverQuota, Turnstile
from operators.sandbox.world import Heard, PlayedSim, World

_SLOW_SECONDS = 30.0
_DRIP_SECONDS = 1.0
Work = Callable[[FaultKind | None], Response]
# An answer that is true of a login page in between, and of nothing else.
_GARBAGE = "<html><body>Вход в сеть</body></html>".encode()


class Refusal(Exception):
    """A protocol's own way of saying no."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class PlayedOperator(ABC):
    """One operator. Derived classes set `code`, `title`, `limits`, and answer the wire."""

    code: str
    title: str
    limits: Limits

    def __init__(self, faults: Faults) -> None:
        self.world = World()
        self.turnstile = Turnstile(replace(self.limits))
        self._faults = faults

    # --- what a protocol says in its own words --------------------------------------------------

    @abstractmethod
    def routes(self) -> list[Route]:
        """The addresses, all below `/operators/<code>/`."""

    @abstractmethod
    def over_quota(self, wait: float | None) -> Response:
        """The refusal over the quota; `wait` is what to put into Retry-After, if anything."""

    @abstractmethod
    def broken(self) -> Response:
        """The answer of a crashed back end."""

    @abstractmethod
    def maintenance(self, wait: float | None) -> Response:
        """The answer during nightly works."""

    # --- what all do the same way ---------------------------------------------------------------

    @property
    def delay(self) -> float:
        """Seconds from accepted to done."""
        return self.turnstile.limits.delay_seconds or 0.0

    def played(self, call: str, sim: PlayedSim | None, work: Work, *, action: str = "") -> Response:
        """One call: counted, let through or refused, and answered well or badly."""
        one = self.world.count(call, sim, action)
        response = self._let_in(call, work)
        one.heard = _heard(response)
        return response

    def _let_in(self, call: str, work: Work) -> Response:
        try:
            with self.turnstile.passing(call):
                return self._troubled(self._faults.take(self.code, call), work)
        except OverQuota as over:
            return self.over_quota(over.wait)

    def _troubled(self, fault: Fault | None, work: Work) -> Response:
        if fault is None:
            return _answered(work, None)
        instead = self._instead(fault)
        if instead is not None:
            return instead
        return _spoilt(_answered(work, fault.kind), fault)

    def _instead(self, fault: Fault) -> Response | None:
        """The answer of troubles in which nothing is done; None for the others."""
        match fault.kind:
            case FaultKind.DROP_BEFORE:
                return Response(wire=Wire.CUT)
            case FaultKind.HTTP_500:
                return self.broken()
            case FaultKind.HTTP_429:
                return self.over_quota(fault.retry_after)
            case FaultKind.MAINTENANCE:
                return self.maintenance(fault.retry_after)
        return None

    def dump(self) -> dict[str, Any]:
        return {"world": self.world.dump(), "limits": vars(self.turnstile.limits)}

    def load(self, data: Mapping[str, Any]) -> None:
        self.world.load(data["world"])
        self.turnstile.limits = Limits(**data["limits"])


def _heard(response: Response) -> Heard:
    if response.wire is Wire.CUT:
        return Heard.LOST
    refused = response.wire is Wire.NORMAL and response.status >= 400
    return Heard.REFUSED if refused else Heard.ANSWERED


def _answered(work: Work, kind: FaultKind | None) -> Response:
    try:
        return work(kind)
    except Refusal as refusal:
        return refusal.response


def _spoilt(response: Response, fault: Fault) -> Response:
    """The answer of work that was done, on its bad way back."""
    match fault.kind:
        case FaultKind.DROP_AFTER:
            return Response(wire=Wire.CUT)
        case FaultKind.GARBAGE:
            return Response(body=_GARBAGE, content_type="text/html")
        case FaultKind.HALF_BODY:
            return replace(response, wire=Wire.HALF)
        case FaultKind.DRIP:
            return replace(response, wire=Wire.DRIP, seconds=_seconds(fault, _DRIP_SECONDS))
        case FaultKind.SLOW:
            # Here and not on the wire, so that the slow call counts as one of those inside.
            time.sleep(_seconds(fault, _SLOW_SECONDS))
    return response


def _seconds(fault: Fault, usual: float) -> float:
    return usual if fault.seconds is None else fault.seconds


def action_of(request: Request, read: Callable[[Request], str]) -> str:
    """The switch that a request asks for; "" where it cannot be read, the work says why."""
    try:
        return read(request)
    except Refusal:
        return ""


def first(request: Request, name: str) -> str:
    """A value of the query, "" if there is none."""
    return (request.query.get(name) or [""])[0]


def bearer(request: Request) -> str:
    """The token of the Authorization header, "" without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.casefold() == "bearer" else ""


def retry_after(wait: float | None) -> dict[str, str]:
    """The header, in whole seconds rounded up; none without a wait."""
    return {} if wait is None else {"Retry-After": str(math.ceil(wait))}
