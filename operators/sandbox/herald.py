"""Tells subscribers what changed in a played world: signed events, each repeated until 200.

It looks at the world from time to time and compares, so it sees every change: by a request, by the
clock, and by a person from outside. Repeats come as the contract wants them: with growing pauses, for
a day; subscriptions outlive the sandbox under their numbers.
"""

import hashlib
import hmac
import http.client
import json
import logging
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cabinet.clock import now, real_now
from operators.sandbox.world import Outcome, PlayedRequest, PlayedSim, World

logger = logging.getLogger(__name__)

CALLBACK_SECRET = "demo-callback-secret"  # noqa: S105 a known word of the sandbox
BEAT = 0.2  # seconds between two looks
PATIENCE = 5.0  # seconds for one delivery
LONGEST_PAUSE = 60.0  # seconds between two tries
GIVEN_UP_AFTER = 24 * 3600.0  # seconds
SERVICE_EVENT = "serviceStateChangeEvent"
MONITOR_EVENT = "monitorStateChangeEvent"

Body = dict[str, Any]


@dataclass
class Hub:
    """One subscriber; `waiting` are events that have not been delivered, the oldest first.

    `since` and `again_at` (seconds of a clock that never steps) are of the first of them: when it was
    tried for the first time, and when it is tried again after so many `tries`.
    """

    id: str
    callback: str
    query: str = ""
    waiting: list[Body] = field(default_factory=list)
    tries: int = 0
    since: float = 0.0
    again_at: float = 0.0

    def wants(self, event_type: str) -> bool:
        """Without a word in the query a subscriber gets everything."""
        named = parse_qs(self.query).get("eventType", [])
        return not named or event_type in named


@dataclass(frozen=True)
class Speech:
    """How a protocol describes a card and a request."""

    service: Callable[[PlayedSim], Body]
    monitor: Callable[[PlayedRequest], Body]


class Herald:
    """The subscribers of one played operator. Any thread may use it."""

    def __init__(self, world: World, speech: Speech) -> None:
        self._world, self._speech = world, speech
        self._lock = threading.Lock()
        self._hubs: dict[str, Hub] = {}
        self._seen: dict[str, tuple[str, str | None]] = {}
        self._keys: dict[str, str] = {}
        self._awake = False

    # --- subscribers ------------------------------------------------------------------------------

    def subscribe(self, callback: str, query: str = "") -> Hub:
        """From now on every change is told to this address."""
        return self._add(Hub(str(uuid.uuid4()), callback, query))

    def _add(self, hub: Hub) -> Hub:
        with self._lock:
            self._hubs[hub.id] = hub
            if not self._awake:
                self._wake_up()
            return hub

    def unsubscribe(self, hub_id: str) -> bool:
        """Whether there was such a subscriber."""
        with self._lock:
            return self._hubs.pop(hub_id, None) is not None

    def expect(self, request_id: str, key: str) -> None:
        """A request whose end is to be told; `key` is what the client calls it."""
        with self._lock:
            if request_id and self._hubs:
                self._keys[request_id] = key

    def dump(self) -> list[dict[str, str]]:
        with self._lock:
            return [
                {"id": hub.id, "callback": hub.callback, "query": hub.query}
                for hub in self._hubs.values()
            ]

    def load(self, data: list[dict[str, str]]) -> None:
        for raw in data:
            # States that were kept before numbers were have none.
            self._add(Hub(raw.get("id") or str(uuid.uuid4()), raw["callback"], raw["query"]))

    # --- time passes ------------------------------------------------------------------------------

    def _wake_up(self) -> None:
        self._awake = True
        self._seen = {sim.iccid: _state(sim) for sim in self._world.all()}
        alive = weakref.ref(self)
        threading.Thread(target=_live, args=(alive,), name="sandbox-herald", daemon=True).start()

    def beat(self) -> bool:
        """Look, and send what waits. False once nobody listens."""
        with self._lock:
            for body in [*self._ended_requests(), *self._changed_services()]:
                for hub in self._hubs.values():
                    if hub.wants(body["eventType"]):
                        hub.waiting.append(body)
            hubs = list(self._hubs.values())
            self._awake = bool(hubs)
        for hub in hubs:
            _deliver(hub)
        return bool(hubs)

    def _ended_requests(self) -> list[Body]:
        told = []
        for request_id, key in list(self._keys.items()):
            one = self._world.request(request_id)
            if one is not None and one.outcome is not Outcome.PENDING:
                del self._keys[request_id]
                body = _event(MONITOR_EVENT, {"monitor": self._speech.monitor(one)})
                told.append(body | ({"correlationId": key} if key else {}))
        return told

    def _changed_services(self) -> list[Body]:
        sims = {sim.iccid: sim for sim in self._world.all()}
        states = {iccid: _state(sim) for iccid, sim in sims.items()}
        changed = [
            iccid for iccid in states if self._seen.get(iccid, states[iccid]) != states[iccid]
        ]
        self._seen = states
        return [
            _event(SERVICE_EVENT, {"service": self._speech.service(sims[iccid])})
            for iccid in changed
        ]


def _state(sim: PlayedSim) -> tuple[str, str | None]:
    return sim.state, sim.reason


def _event(event_type: str, event: Body) -> Body:
    return {
        "eventId": str(uuid.uuid4()),
        "eventTime": now().isoformat(timespec="milliseconds"),
        "eventType": event_type,
        "event": event,
    }


def _live(alive: "weakref.ref[Herald]") -> None:
    while True:
        time.sleep(BEAT)
        herald = alive()
        if herald is None or not herald.beat():
            return
        del herald


def _deliver(hub: Hub) -> None:
    """In order; an event that is not taken holds the others up until it is given up."""
    while hub.waiting and hub.again_at <= time.monotonic():
        if not _post(hub.callback, hub.waiting[0]) and not _give_up(hub):
            return
        hub.waiting.pop(0)
        hub.tries, hub.again_at = 0, 0.0


def _give_up(hub: Hub) -> bool:
    """Whether it was tried for a day; else when it is tried again, each time after a longer pause."""
    at = time.monotonic()
    hub.since = hub.since if hub.tries else at
    hub.tries += 1
    hub.again_at = at + min(LONGEST_PAUSE, BEAT * 2 ** min(hub.tries, 16))
    return at - hub.since >= GIVEN_UP_AFTER


def _post(callback: str, event: Body) -> bool:
    url, body = urlsplit(callback), json.dumps(event).encode()
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    line = kind(url.hostname or "localhost", url.port, timeout=PATIENCE)
    path = f"{url.path}?{url.query}" if url.query else url.path
    try:
        line.request("POST", path or "/", body, _headers(event["eventId"], body))
        return line.getresponse().status == 200
    except (OSError, http.client.HTTPException) as trouble:
        logger.info("No answer to an event: %s", type(trouble).__name__)
        return False
    finally:
        line.close()


def _headers(event_id: str, body: bytes) -> dict[str, str]:
    stamp = str(int(real_now().timestamp()))
    signed = b".".join([stamp.encode(), event_id.encode(), body])
    digest = hmac.new(CALLBACK_SECRET.encode(), signed, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-Signature": f"t={stamp},id={event_id},v1={digest}",
    }
