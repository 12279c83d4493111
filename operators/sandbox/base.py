"""What every operator of the sandbox does the same way: count, refuse over quota, misbehave, answer.

A protocol defines only what differs: its routes, and how its refusals look.
"""

import math
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import TypeAdapter
from werkzeug.routing import Rule

from cabinet.sandbox.http import Request, Response, Wire, route
from operators.sandbox.event_sender import EventSender
from operators.sandbox.faults import Fault, FaultKind, Faults
from operators.sandbox.limits import Limits, OverQuota, QuotaGate
from operators.sandbox.state import ACTIVATE, DEACTIVATE, ClientSaw, SandboxSim, SimStore

_SLOW_SECONDS = 30.0
_DRIP_SECONDS = 1.0
_LIMITS = TypeAdapter(Limits)
# What a captive portal in between would answer.
_GARBAGE = "<html><body>Вход в сеть</body></html>"
_LOGIN_PAGE = (
    "<!DOCTYPE html><html><head><title>Вход</title></head>"
    "<body>Войдите в личный кабинет</body></html>"
)


class Refusal(Exception):
    """A protocol's own way of saying no."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


@dataclass(frozen=True)
class Call:
    """One call: its name (auth, submit, check, read), what the route's path or the envelope named, the card
    it is about, the fault its answer must show.
    """

    name: str
    request: Request
    variables: Mapping[str, str]
    sim: SandboxSim | None = None
    kind: FaultKind | None = None


# May raise `Refusal`.
Work = Callable[[Call], Response]


class SandboxOperator(ABC):
    """One operator. Derived classes set `code`, `title`, `limits`, and answer the protocol."""

    code: str
    title: str
    limits: Limits
    events: EventSender | None = None

    def __init__(self, faults: Faults) -> None:
        self.sims = SimStore(self.new_request_id)
        self.quota = QuotaGate(replace(self.limits))
        self._faults = faults

    # --- what differs by protocol ---------------------------------------------------------------

    @abstractmethod
    def routes(self) -> list[Rule]:
        """The addresses, all below `/operators/<code>/`."""

    @abstractmethod
    def over_quota(self) -> Response:
        """The refusal over the quota."""

    @abstractmethod
    def broken(self) -> Response:
        """The answer of a crashed back end."""

    @abstractmethod
    def maintenance(self) -> Response:
        """The answer during nightly works."""

    def no_service(self) -> Response:
        """The answer about a number that lacks the service, as long as it does."""
        return self.broken()

    def new_request_id(self, number: int) -> str:
        """The id of the operator's request with that number, from 1."""
        return str(uuid.uuid4())

    def other_shape(self, response: Response) -> Response:
        """The same answer as other real servers of this protocol write it."""
        return response

    # --- what all do the same way ---------------------------------------------------------------

    @property
    def delay(self) -> float:
        """Seconds from accepted to done."""
        return self.quota.limits.delay_seconds or 0.0

    def operation(
        self,
        method: str,
        path: str,
        name: str,
        work: Work,
        *,
        sim: Callable[[Call], SandboxSim | None] = lambda _call: None,
        action: Callable[[Request], str] = lambda _request: "",
    ) -> Rule:
        """A route that is answered as the call `name`.

        `sim` finds the card it is about; `action` reads which switch is asked for.
        """

        def view(request: Request, **variables: str) -> Response:
            call = Call(name, request, variables)
            asked = _action_of(request, action)
            return self.answer(replace(call, sim=sim(call)), work, action=asked)

        return route(method, path, view)

    @abstractmethod
    def authorize(self, call: Call) -> None:
        """Raises `Refusal` where the credentials are wrong, or the fault says that they expired.

        Logins are not asked for them.
        """

    def answer(self, call: Call, work: Work, *, action: str = "") -> Response:
        """One call: counted, let through or refused, and answered well or badly."""
        received = self.sims.count(call.name, call.sim, action)
        response = self._admitted(call, work)
        received.client_saw = _client_saw(response)
        return response

    def _admitted(self, call: Call, work: Work) -> Response:
        try:
            with self.quota.passing(call.name):
                iccid = call.sim.iccid if call.sim else ""
                return self._with_fault(self._faults.take(self.code, call.name, iccid), call, work)
        except OverQuota as over:
            return _with_retry_after(self.over_quota(), over.wait)

    def _with_fault(self, fault: Fault | None, call: Call, work: Work) -> Response:
        if fault is None:
            return self._done(call, work)
        refusal = self._refusal(fault)
        if refusal is not None:
            return refusal
        done = _spoilt(self._done(replace(call, kind=fault.kind), work), fault)
        return self.other_shape(done) if fault.kind is FaultKind.OTHER_SHAPE else done

    def _done(self, call: Call, work: Work) -> Response:
        try:
            if call.name != "auth":
                self.authorize(call)
            return work(call)
        except Refusal as refusal:
            return refusal.response

    def _refusal(self, fault: Fault) -> Response | None:
        """The answer of faults in which nothing is done; None for the others."""
        match fault.kind:
            case FaultKind.DROP_BEFORE:
                return Response(wire=Wire.CUT)
            case FaultKind.HTTP_500:
                return self.broken()
            case FaultKind.HTTP_429:
                return _with_retry_after(self.over_quota(), fault.retry_after)
            case FaultKind.MAINTENANCE:
                return _with_retry_after(self.maintenance(), fault.retry_after)
            case FaultKind.NO_SERVICE:
                return self.no_service()
            case FaultKind.LOGIN_REDIRECT:
                return _html(_LOGIN_PAGE, "utf-8", status=302, location="/login")
        return None

    def request_of_another_card(self, sim: SandboxSim) -> str:
        """The id of a request about another card of the contract, which nothing is done about.

        "" if the contract has only this card.
        """
        others = [other for other in self.sims.all() if other is not sim]
        if not others:
            return ""
        action = DEACTIVATE if others[0].state != "active" else ACTIVATE
        return self.sims.accept(others[0], action, delay=0).id

    def dump(self) -> dict[str, Any]:
        # The file's key is older than the class it stores.
        return {"world": self.sims.dump(), "limits": asdict(self.quota.limits)}

    def load(self, data: Mapping[str, Any]) -> None:
        self.sims.load(data["world"])
        self.quota.limits = _LIMITS.validate_python(data["limits"])


def _client_saw(response: Response) -> ClientSaw:
    if response.wire is Wire.CUT:
        return ClientSaw.LOST
    refused = response.wire is Wire.NORMAL and response.status_code >= 400
    return ClientSaw.REFUSED if refused else ClientSaw.ANSWERED


def _spoilt(response: Response, fault: Fault) -> Response:
    """The answer of work that was done, broken on its way back."""
    # A copy, because a protocol may answer with the same response again.
    spoilt = copy(response)
    match fault.kind:
        case FaultKind.DROP_AFTER:
            spoilt.wire = Wire.CUT
        case FaultKind.GARBAGE:
            return Response(_GARBAGE, content_type="text/html")
        case FaultKind.HTML_PAGE:
            return _html(_LOGIN_PAGE, "utf-8")
        case FaultKind.CP1251_PAGE:
            return _html(_LOGIN_PAGE, "windows-1251")
        case FaultKind.EMPTY_BODY:
            spoilt.set_data(b"")
        case FaultKind.CUT_BODY:
            # Whole by HTTP: only its reader sees that the end is missing.
            spoilt.set_data(response.get_data()[: len(response.get_data()) // 2])
        case FaultKind.HALF_BODY:
            spoilt.wire = Wire.HALF
        case FaultKind.DRIP:
            spoilt.wire, spoilt.seconds = Wire.DRIP, _seconds(fault, _DRIP_SECONDS)
        case FaultKind.SLOW:
            # Here and not on the wire, so that the slow call counts as one of those inside.
            time.sleep(_seconds(fault, _SLOW_SECONDS))
    return spoilt


def _html(page: str, charset: str, *, status: int = 200, location: str = "") -> Response:
    headers = {"Location": location} if location else {}
    named = f"text/html; charset={charset}"
    return Response(page.encode(charset), status, headers, content_type=named)


def _seconds(fault: Fault, usual: float) -> float:
    return usual if fault.seconds is None else fault.seconds


def _with_retry_after(response: Response, wait: float | None) -> Response:
    """The header in whole seconds rounded up; none without a wait."""
    if wait is not None:
        response.headers["Retry-After"] = str(math.ceil(wait))
    return response


def _action_of(request: Request, read: Callable[[Request], str]) -> str:
    """The switch that a request asks for; "" where it cannot be read, the work refuses it then."""
    try:
        return read(request)
    except Refusal:
        return ""


def has_basic_auth(request: Request, user: str, password: str) -> bool:
    """Whether the request brings these credentials by HTTP Basic."""
    given = request.authorization
    return given is not None and (given.type, given.username, given.password) == (
        "basic",
        user,
        password,
    )
