"""What is true about the SIMs of one operator, and what was asked of it.

Times of effects and requests are the sandbox's shifted clock. Delays pass by the real clock or by
the shifted one, whichever is sooner: a person may wait, or let the day pass.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import count
from operator import attrgetter
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from werkzeug.exceptions import NotFound

from cabinet.clock import now, real_now

ACTIVATE = "activate"
DEACTIVATE = "deactivate"
CALLS = ("auth", "submit", "check", "read")
NO_SUCH_SIM = "There is no such operator or SIM."
# So many requests about one card are listed; all are counted.
RECEIVED_KEPT = 200

State = Literal["new", "active", "inactive", "held", "retired"]
Reason = Literal[
    "voluntary", "debt", "fraud", "stolen", "law", "limit", "imei", "operator", "unknown"
]


class Outcome(StrEnum):
    """What became of a request. The last three are failures; each operator has codes for them."""

    PENDING = "pending"
    DONE = "done"
    ALREADY = "already"
    HELD = "held"
    GONE = "gone"


class SimChanges(BaseModel, extra="forbid"):
    """What of a SIM can be set from outside; what is not named stays."""

    iccid: Any = None  # ignored, so that what was read can be sent back
    msisdn: str = ""
    imei: str = ""
    state: State = "active"
    reason: Reason | None = None
    identity: str = ""


@dataclass
class SandboxSim:
    """One SIM as it truly is. `reason` says why it does not work, None while it does.

    `identity` is what the operator says about its owner on Госуслуги; "" is a confirmed one.
    """

    iccid: str
    msisdn: str = ""
    imei: str = ""
    state: State = "active"
    reason: Reason | None = None
    identity: str = ""
    effects: list[dict[str, str]] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CALLS, 0))

    def outcome_of(self, action: str) -> Outcome:
        """What a switch requested now would come to."""
        if self.state == "retired":
            return Outcome.GONE
        if self.state == "held" or self.reason not in (None, "voluntary"):
            return Outcome.HELD
        working = self.state == "active"
        return Outcome.ALREADY if working == (action == ACTIVATE) else Outcome.DONE

    def switch(self, action: str, at: datetime, request_id: str) -> Outcome:
        """Makes the switch if it can be made; an effect is written only for a real change."""
        outcome = self.outcome_of(action)
        if outcome is Outcome.DONE:
            off = action == DEACTIVATE
            self.state, self.reason = ("inactive", "voluntary") if off else ("active", None)
            self.effects.append({"action": action, "at": at.isoformat(), "request_id": request_id})
        return outcome


@dataclass
class SwitchRequest:
    """One accepted request. `at` is when by the shifted clock, `real_at` by the real one."""

    id: str
    iccid: str
    action: str
    at: datetime
    real_at: datetime
    delay: float
    outcome: Outcome = Outcome.PENDING

    @property
    def due_at(self) -> datetime:
        """When it takes effect, by the shifted clock."""
        return self.at + timedelta(seconds=self.delay)

    def is_due(self, moment: datetime, real_moment: datetime) -> bool:
        """Whether the delay has passed by either clock."""
        return self.due_at <= moment or self.real_at + timedelta(seconds=self.delay) <= real_moment


class ClientSaw(StrEnum):
    """What the client can know from the reply: refused, perhaps done, or no reply at all."""

    NOTHING_YET = ""
    REFUSED = "refused"
    ANSWERED = "answered"
    LOST = "lost"


@dataclass
class ReceivedCall:
    """One request as it came in. `number` is its order among all of the operator's requests."""

    number: int
    call: str
    action: str
    client_saw: ClientSaw = ClientSaw.NOTHING_YET


@dataclass
class _Stored:
    """What outlives a restart."""

    sims: list[SandboxSim]
    requests: list[SwitchRequest]
    logins: int


_STORED = TypeAdapter(_Stored)


class SimStore:
    """The SIMs and requests of one operator; every method may be called by any thread."""

    def __init__(self, new_request_id: Callable[[int], str]) -> None:
        """`new_request_id` gets the number of the request, from 1."""
        self._new_request_id = new_request_id
        self._lock = threading.RLock()
        self._sims: dict[str, SandboxSim] = {}
        self._requests: dict[str, SwitchRequest] = {}
        self._pending: list[SwitchRequest] = []
        self._iccids: dict[str, str] = {}  # by MSISDN
        self._logins = 0
        # By ICCID; under "" what is about no card that we know. Not kept on the disk.
        self._received: dict[str, deque[ReceivedCall]] = {}
        self._numbers = count(1)

    # --- for the operator's protocol ------------------------------------------------------------

    def find(self, *, iccid: str = "", msisdn: str = "") -> SandboxSim | None:
        """The card by whichever identifier is given."""
        with self._lock:
            self._settle()
            if iccid:
                return self._sims.get(iccid)
            sim = self._sims.get(self._iccids.get(msisdn, ""))
            # An MSISDN that was moved to another card leaves its old entry in the index.
            return sim if sim and sim.msisdn == msisdn else None

    def all(self) -> list[SandboxSim]:
        """Every card, in the order of ICCIDs."""
        with self._lock:
            self._settle()
            return sorted(self._sims.values(), key=attrgetter("iccid"))

    def accept(self, sim: SandboxSim, action: str, *, delay: float) -> SwitchRequest:
        """Takes a request that comes to effect after `delay` seconds, at once if 0."""
        with self._lock:
            request = SwitchRequest(
                id=self._new_request_id(len(self._requests) + 1),
                iccid=sim.iccid,
                action=action,
                at=now(),
                real_at=real_now(),
                delay=delay,
            )
            self._requests[request.id] = request
            self._pending.append(request)
            self._settle()
            return request

    def request(self, request_id: str) -> SwitchRequest | None:
        """The request as it stands now."""
        with self._lock:
            self._settle()
            return self._requests.get(request_id)

    def requests_of(self, sim: SandboxSim) -> list[SwitchRequest]:
        """All requests of a card, oldest first."""
        with self._lock:
            self._settle()
            return [one for one in self._requests.values() if one.iccid == sim.iccid]

    def count(self, call: str, sim: SandboxSim | None, action: str = "") -> ReceivedCall:
        """One more request received. Logins belong to the contract and count for all its cards."""
        with self._lock:
            received = ReceivedCall(next(self._numbers), call, action)
            if call == "auth":
                self._logins += 1
                return received
            if sim is not None:
                sim.calls[call] += 1
            iccid = sim.iccid if sim else ""
            self._received.setdefault(iccid, deque(maxlen=RECEIVED_KEPT)).append(received)
            return received

    def _settle(self) -> None:
        """Lets every request take effect that is due, in the order in which they are."""
        if not self._pending:
            return
        moment, real_moment = now(), real_now()
        due = [request for request in self._pending if request.is_due(moment, real_moment)]
        for request in sorted(due, key=attrgetter("due_at")):
            sim = self._sims[request.iccid]
            request.outcome = sim.switch(request.action, request.due_at, request.id)
        self._pending = [one for one in self._pending if one.outcome is Outcome.PENDING]

    # --- for people and tests -------------------------------------------------------------------

    def put(self, iccid: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Sets the truth from outside, or adds a card; no effect is written. Gives the card as JSON."""
        with self._lock:
            self._settle()
            sim = self._sims.setdefault(iccid, SandboxSim(iccid))
            for name, value in changes.items():
                setattr(sim, name, value)
            sim.reason = _fitting_reason(sim, given="reason" in changes)
            if sim.msisdn:
                self._iccids[sim.msisdn] = iccid
            return self._as_json(sim)

    def as_json(self, iccid: str) -> dict[str, Any]:
        """One card as JSON. Raises `NotFound`."""
        with self._lock:
            self._settle()
            return self._as_json(self._known(iccid))

    def all_as_json(self) -> list[dict[str, Any]]:
        """Every card as JSON, in the order of ICCIDs."""
        with self._lock:
            return [self._as_json(sim) for sim in self.all()]

    def received(self, iccid: str) -> list[dict[str, Any]]:
        """The last requests about a card in their order, and the questions about no card we know.

        Raises `NotFound`.
        """
        with self._lock:
            self._known(iccid)
            own = list(self._received.get(iccid, ()))
            other = [one for one in self._received.get("", ()) if one.call != "submit"]
            return [asdict(one) for one in sorted(own + other, key=attrgetter("number"))]

    def _known(self, iccid: str) -> SandboxSim:
        if iccid not in self._sims:
            raise NotFound(NO_SUCH_SIM)
        return self._sims[iccid]

    def _as_json(self, sim: SandboxSim) -> dict[str, Any]:
        shown = asdict(sim)
        shown["calls"]["auth"] = self._logins
        if not sim.identity:
            del shown["identity"]
        return shown

    def dump(self) -> Any:
        """Everything, JSON-able."""
        with self._lock:
            stored = _Stored(list(self._sims.values()), list(self._requests.values()), self._logins)
            return _STORED.dump_python(stored, mode="json")

    def load(self, data: Any) -> None:
        """Takes back what `dump` gave."""
        stored = _STORED.validate_python(data)
        with self._lock:
            self._sims = {sim.iccid: sim for sim in stored.sims}
            self._requests = {request.id: request for request in stored.requests}
            self._pending = [one for one in stored.requests if one.outcome is Outcome.PENDING]
            self._iccids = {sim.msisdn: sim.iccid for sim in stored.sims if sim.msisdn}
            self._logins = stored.logins


def _fitting_reason(sim: SandboxSim, *, given: bool) -> Reason | None:
    """A reason only where the card does not work; without one given, a block is the merchant's own."""
    if sim.state in ("new", "active", "retired"):
        return None
    if given and sim.reason is not None:
        return sim.reason
    return "voluntary" if sim.state == "inactive" else "operator"
