"""What is true about the SIMs of one operator, and what was asked of it.

Times of effects and requests are the sandbox's shifted clock. Delays pass by the real clock or by
the shifted one, whichever is sooner: a person may wait, or let the day pass.
"""

import threading
import uuid
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import count
from operator import attrgetter, itemgetter
from typing import Any

from cabinet.clock import now, real_now

ACTIVATE = "activate"
DEACTIVATE = "deactivate"
STATES = ("new", "active", "inactive", "held", "retired")
REASONS = ("voluntary", "debt", "fraud", "stolen", "law", "limit", "imei", "operator", "unknown")
CALLS = ("auth", "submit", "check", "read")
# So many requests about one card are remembered in their order; all are counted.
REMEMBERED = 200


class Outcome(StrEnum):
    """What became of a request. The last three are failures, and each operator has its words."""

    PENDING = "pending"
    DONE = "done"
    ALREADY = "already"
    HELD = "held"
    GONE = "gone"


@dataclass
class PlayedSim:
    """One SIM as it truly is. `reason` says why it does not work, None while it does.

    `identity` is the operator's own word about its owner on Госуслуги; "" is a confirmed one.
    """

    iccid: str
    msisdn: str = ""
    imei: str = ""
    state: str = "active"
    reason: str | None = None
    identity: str = ""
    effects: list[dict[str, str]] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CALLS, 0))

    def verdict(self, action: str) -> Outcome:
        """What a switch asked for now would come to."""
        if self.state == "retired":
            return Outcome.GONE
        if self.state == "held" or self.reason not in (None, "voluntary"):
            return Outcome.HELD
        working = self.state == "active"
        return Outcome.ALREADY if working == (action == ACTIVATE) else Outcome.DONE

    def switch(self, action: str, at: datetime, request_id: str) -> Outcome:
        """Makes the switch if it can be made; an effect is written only for a real change."""
        outcome = self.verdict(action)
        if outcome is Outcome.DONE:
            off = action == DEACTIVATE
            self.state, self.reason = ("inactive", "voluntary") if off else ("active", None)
            self.effects.append({"action": action, "at": at.isoformat(), "request_id": request_id})
        return outcome


@dataclass
class PlayedRequest:
    """One accepted request. `at` is when by the shifted clock, `real_at` by the real one."""

    id: str
    iccid: str
    action: str
    at: str
    real_at: str
    delay: float
    outcome: Outcome = Outcome.PENDING

    def accepted_at(self) -> datetime:
        return datetime.fromisoformat(self.at)

    def due_at(self) -> datetime:
        """When it takes effect, by the shifted clock."""
        return self.accepted_at() + timedelta(seconds=self.delay)

    def real_due_at(self) -> datetime:
        """The same by the real clock."""
        return datetime.fromisoformat(self.real_at) + timedelta(seconds=self.delay)


class Heard(StrEnum):
    """What whoever asked could hear: that nothing was done, or something else, or no answer at all."""

    NOTHING_YET = ""
    REFUSED = "refused"
    ANSWERED = "answered"
    LOST = "lost"


@dataclass
class Received:
    """One request as it came in. `number` says the order among all of the operator's requests."""

    number: int
    call: str
    action: str
    heard: Heard = Heard.NOTHING_YET


class UnknownSim(LookupError):
    """The operator has no such card."""


class World:
    """The SIMs and requests of one operator; every method may be called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sims: dict[str, PlayedSim] = {}
        self._requests: dict[str, PlayedRequest] = {}
        # With the times at which each is due, by the shifted clock and the real one.
        self._pending: list[tuple[datetime, datetime, PlayedRequest]] = []
        self._numbers: dict[str, str] = {}
        self._logins = 0
        # By card; under "" what is about no card that we know. Not kept on the disk.
        self._received: dict[str, deque[Received]] = {}
        self._arrivals = count(1)

    # --- what is asked over the wire ------------------------------------------------------------

    def find(self, *, iccid: str = "", msisdn: str = "") -> PlayedSim | None:
        """The card by whichever name is given."""
        with self._lock:
            self._settle()
            if iccid:
                return self._sims.get(iccid)
            sim = self._sims.get(self._numbers.get(msisdn, ""))
            # A number that was moved to another card leaves its old place in the index.
            return sim if sim and sim.msisdn == msisdn else None

    def all(self) -> list[PlayedSim]:
        """Every card, in the order of ICCIDs."""
        with self._lock:
            self._settle()
            return sorted(self._sims.values(), key=lambda sim: sim.iccid)

    def accept(self, sim: PlayedSim, action: str, *, delay: float) -> PlayedRequest:
        """Takes a request that comes to effect after `delay` seconds, at once if 0."""
        with self._lock:
            request = PlayedRequest(
                id=str(uuid.uuid4()),
                iccid=sim.iccid,
                action=action,
                at=now().isoformat(),
                real_at=real_now().isoformat(),
                delay=delay,
            )
            self._requests[request.id] = request
            self._pending.append(_timed(request))
            self._settle()
            return request

    def request(self, request_id: str) -> PlayedRequest | None:
        """The request as it stands now."""
        with self._lock:
            self._settle()
            return self._requests.get(request_id)

    def requests_of(self, sim: PlayedSim) -> list[PlayedRequest]:
        """All requests of a card, oldest first."""
        with self._lock:
            self._settle()
            return [one for one in self._requests.values() if one.iccid == sim.iccid]

    def count(self, call: str, sim: PlayedSim | None, action: str = "") -> Received:
        """One more request received. Logins belong to the contract and count for all its cards."""
        with self._lock:
            if call == "auth":
                self._logins += 1
            elif sim is not None:
                sim.calls[call] += 1
            one = Received(next(self._arrivals), call, action)
            if call != "auth":
                kept = self._received.setdefault(sim.iccid if sim else "", deque(maxlen=REMEMBERED))
                kept.append(one)
            return one

    def _settle(self) -> None:
        """Lets every request take effect that is due, in the order in which they are."""
        if not self._pending:
            return
        moment, real_moment = now(), real_now()
        due = [one for one in self._pending if one[0] <= moment or one[1] <= real_moment]
        for due_at, _, request in sorted(due, key=itemgetter(0)):
            sim = self._sims[request.iccid]
            request.outcome = sim.switch(request.action, due_at, request.id)
        self._pending = [one for one in self._pending if one[2].outcome is Outcome.PENDING]

    # --- what people and tests see and set ------------------------------------------------------

    def put(self, iccid: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Sets the truth from outside, or adds a card; no effect is written."""
        with self._lock:
            self._settle()
            sim = self._sims.setdefault(iccid, PlayedSim(iccid))
            for name, value in changes.items():
                setattr(sim, name, value)
            sim.reason = _fitting_reason(sim, given="reason" in changes)
            if sim.msisdn:
                self._numbers[sim.msisdn] = iccid
            return self._shown(sim)

    def shown(self, iccid: str) -> dict[str, Any]:
        """One card as JSON. Raises `UnknownSim`."""
        with self._lock:
            self._settle()
            if iccid not in self._sims:
                raise UnknownSim(iccid)
            return self._shown(self._sims[iccid])

    def received(self, iccid: str) -> list[dict[str, Any]]:
        """The last requests about a card in their order, and the questions about no card we know.

        Raises `UnknownSim`.
        """
        with self._lock:
            if iccid not in self._sims:
                raise UnknownSim(iccid)
            own = list(self._received.get(iccid, ()))
            strange = [one for one in self._received.get("", ()) if one.call != "submit"]
            return [asdict(one) for one in sorted(own + strange, key=attrgetter("number"))]

    def all_shown(self) -> list[dict[str, Any]]:
        """Every card as JSON."""
        with self._lock:
            return [self._shown(sim) for sim in self.all()]

    def _shown(self, sim: PlayedSim) -> dict[str, Any]:
        shown = asdict(sim)
        shown["calls"]["auth"] = self._logins
        if not sim.identity:
            del shown["identity"]
        return shown

    def dump(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        with self._lock:
            return {
                "sims": [asdict(sim) for sim in self._sims.values()],
                "requests": [asdict(request) for request in self._requests.values()],
                "logins": self._logins,
            }

    def load(self, data: dict[str, Any]) -> None:
        """Takes back what `dump` gave."""
        with self._lock:
            self._sims = {raw["iccid"]: PlayedSim(**raw) for raw in data["sims"]}
            self._requests = {raw["id"]: _request(raw) for raw in data["requests"]}
            self._pending = [
                _timed(one) for one in self._requests.values() if one.outcome is Outcome.PENDING
            ]
            self._numbers = {sim.msisdn: iccid for iccid, sim in self._sims.items() if sim.msisdn}
            self._logins = data["logins"]


def _timed(request: PlayedRequest) -> tuple[datetime, datetime, PlayedRequest]:
    return request.due_at(), request.real_due_at(), request


def _request(raw: dict[str, Any]) -> PlayedRequest:
    return PlayedRequest(**{**raw, "outcome": Outcome(raw["outcome"])})


def _fitting_reason(sim: PlayedSim, *, given: bool) -> str | None:
    """A reason only where the card does not work; without a word, a block is the merchant's own."""
    if sim.state in ("new", "active", "retired"):
        return None
    if given and sim.reason is not None:
        return sim.reason
    return {"inactive": "voluntary", "held": "operator"}[sim.state]
