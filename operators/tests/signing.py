"""Signed events as an operator would send them, made without the product's own code."""

import hashlib
import hmac
import json
from typing import Any

from cabinet.clock import real_now

SECRET = "a-secret-of-the-contract"
ICCID = "89701010000000000015"


def service_event(
    event_id: str = "evt-1",
    *,
    iccid: str = ICCID,
    state: str = "inactive",
    at: str = "2026-11-22T12:00:00+03:00",
    **service: Any,
) -> dict[str, Any]:
    """The state of a card became this one."""
    resources = [{"iccid": iccid}]
    return {
        "eventId": event_id,
        "eventTime": at,
        "eventType": "serviceStateChangeEvent",
        "event": {
            "service": {"id": "s", "state": state, "supportingResource": resources} | service
        },
    }


def monitor_event(
    event_id: str = "evt-1",
    *,
    number: str = "mon-1",
    state: str = "Completed",
    at: str = "2026-11-22T12:00:00+03:00",
    error: tuple[int, str] | None = None,
    **envelope: Any,
) -> dict[str, Any]:
    """A request came to this; `error` is the status and code of a failure."""
    monitor: dict[str, Any] = {"id": number, "state": state}
    if error is not None:
        body = json.dumps({"code": error[1], "reason": "No"})
        monitor["response"] = {"statusCode": str(error[0]), "body": body}
    return {
        "eventId": event_id,
        "eventTime": at,
        "eventType": "monitorStateChangeEvent",
        "event": {"monitor": monitor},
    } | envelope


def signature(
    body: bytes, event_id: str = "evt-1", *, secret: str = SECRET, late: float = 0
) -> str:
    """The header; `late` is how many seconds ago it was made."""
    stamp = int(real_now().timestamp() - late)
    digest = digest_of(body, stamp, event_id, secret)
    return f"t={stamp},id={event_id},v1={digest}"


def digest_of(body: bytes, stamp: int, event_id: str, secret: str) -> str:
    signed = f"{stamp}.{event_id}.".encode() + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
