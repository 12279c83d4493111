"""Sends signed events about what changed to the address that the operator was given.

It looks at the SIMs from time to time and compares, so it sees every change: by a request, by the
clock, and by a person from outside. An event is repeated until 200 as the partner contract asks.
"""

import hashlib
import hmac
import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from cabinet.clock import now, real_now
from cabinet.sandbox import outgoing
from operators.sandbox.state import Outcome, SandboxSim, SimStore, SwitchRequest

CALLBACK_SECRET = "demo-callback-secret"  # noqa: S105 a published secret of the sandbox
TIMEOUT = 5.0  # seconds for one delivery
PAUSE = 1.0  # seconds between two tries of one event
SERVICE_EVENT = "serviceStateChangeEvent"
MONITOR_EVENT = "monitorStateChangeEvent"

Body = dict[str, Any]


class EventSender:
    """The events of one operator. Any thread may use it."""

    def __init__(
        self,
        sims: SimStore,
        *,
        service: Callable[[SandboxSim], Body],
        monitor: Callable[[SwitchRequest], Body],
    ) -> None:
        """`service` and `monitor` describe a card and a request as the protocol does."""
        self._sims, self._service, self._monitor = sims, service, monitor
        self._lock = threading.Lock()
        self._url = ""
        self._seen: dict[str, tuple[str, str | None]] = {}
        self._keys: dict[str, str] = {}  # by request id
        self._waiting: list[Body] = []
        self._next_at = 0.0  # of a monotonic clock

    def send_to(self, url: str) -> None:
        """From now on every change is sent to this address."""
        with self._lock:
            self._url = url
            self._seen = self._states()

    def expect(self, request_id: str, key: str) -> None:
        """The end of this request is an event too; `key` is what the client calls it."""
        with self._lock:
            if request_id and self._url:
                self._keys[request_id] = key

    def forget_changes(self) -> None:
        """What the SIMs are now is nothing new: they were read from the disk."""
        with self._lock:
            self._seen = self._states()

    def look(self) -> None:
        """Collect events about what changed, and send what waits; nothing without an address."""
        if not self._url:
            return
        with self._lock:
            self._waiting += [*self._finished_requests(), *self._changed_services()]
        # In order: an event that is not taken delays the others.
        while self._waiting and self._next_at <= time.monotonic():
            if not _is_taken(self._url, self._waiting[0]):
                self._next_at = time.monotonic() + PAUSE
                return
            self._waiting.pop(0)

    def _finished_requests(self) -> list[Body]:
        events = []
        for request_id, key in list(self._keys.items()):
            request = self._sims.request(request_id)
            if request is not None and request.outcome is not Outcome.PENDING:
                del self._keys[request_id]
                event = _event(MONITOR_EVENT, {"monitor": self._monitor(request)})
                events.append(event | ({"correlationId": key} if key else {}))
        return events

    def _changed_services(self) -> list[Body]:
        before, self._seen = self._seen, self._states()
        return [
            _event(SERVICE_EVENT, {"service": self._service(sim)})
            for sim in self._sims.all()
            if sim.iccid in before and before[sim.iccid] != self._seen[sim.iccid]
        ]

    def _states(self) -> dict[str, tuple[str, str | None]]:
        return {sim.iccid: (sim.state, sim.reason) for sim in self._sims.all()}


def _event(event_type: str, event: Body) -> Body:
    return {
        "eventId": str(uuid.uuid4()),
        "eventTime": now().isoformat(timespec="milliseconds"),
        "eventType": event_type,
        "event": event,
    }


def _is_taken(url: str, event: Body) -> bool:
    body = json.dumps(event).encode()
    signature = {"X-Signature": _signature(event["eventId"], body)}
    reply = outgoing.post(url, body, signature, seconds=TIMEOUT)
    return reply is not None and reply.status_code == 200


def _signature(event_id: str, body: bytes) -> str:
    stamp = str(int(real_now().timestamp()))
    signed = b".".join([stamp.encode(), event_id.encode(), body])
    digest = hmac.new(CALLBACK_SECRET.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={stamp},id={event_id},v1={digest}"
