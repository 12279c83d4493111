"""What a partner's events say, in our words: the vocabulary of `docs/reference/partner-api.yaml`.

Pure. Every contract with signed callbacks speaks these words, whatever protocol its switches use.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from operators.masking import Masker
from operators.ports import BlockReason, Check, CheckState, ErrorClass, Reading, SimState

# A payload as it was decoded from JSON.
Payload = Mapping[str, Any]

_STATES = {
    "feasibilitychecked": SimState.NEW,
    "designed": SimState.NEW,
    "reserved": SimState.NEW,
    "active": SimState.ACTIVE,
    "inactive": SimState.INACTIVE,
    "terminated": SimState.RETIRED,
}
_CHECKS = {
    "inprogress": CheckState.PENDING,
    "completed": CheckState.COMPLETED,
    "inerror": CheckState.FAILED,
}
_ERROR_CODES = {
    "heldByOperator": ErrorClass.HELD_BY_OPERATOR,
    "alreadyInState": ErrorClass.ALREADY,
    "notSupported": ErrorClass.UNSUPPORTED,
}
_ERROR_STATUSES = {
    401: ErrorClass.AUTH,
    403: ErrorClass.FORBIDDEN,
    404: ErrorClass.NOT_FOUND,
    405: ErrorClass.CONFIGURATION,
    409: ErrorClass.CONFLICT_PENDING,
    429: ErrorClass.RATE_LIMITED,
    503: ErrorClass.MAINTENANCE,
}


class EventType(StrEnum):
    """The events we know; a partner may write them in any case of letters."""

    SERVICE = "serviceStateChangeEvent"
    MONITOR = "monitorStateChangeEvent"


class Unreadable(ValueError):
    """An event that says nothing we understand; the text is a Russian sentence for staff."""


@dataclass(frozen=True)
class ServiceChanged:
    """The state of a card at its operator became this one."""

    iccid: str
    reading: Reading


@dataclass(frozen=True)
class MonitorChanged:
    """An accepted request got on. `key` is our Idempotency-Key, None where the event names none."""

    request_id: str
    key: UUID | None
    check: Check


Event = ServiceChanged | MonitorChanged


def read_event(event_type: str, payload: Payload) -> Event:
    """The event in our words. Raises `Unreadable`."""
    kind, about = known_type(event_type), _object(payload.get("event"))
    if kind is None:
        raise Unreadable("Незнакомый тип события.")
    if kind is EventType.SERVICE:
        return _service_changed(_object(about.get("service")))
    return _monitor_changed(_object(about.get("monitor")), payload)


def known_type(given: str) -> EventType | None:
    """The event's type as we write it; None for one that we do not know."""
    words = {word.casefold(): word for word in EventType}
    return words.get(given.casefold())


def masked(payload: Payload, event: Event | None) -> dict[str, Any]:
    """The payload as it may be kept: secrets and personal data are masked, whole numbers included.

    What the event is about stays readable, so that it is read from here as from the original. None is
    an event that nobody could read. Raises RecursionError for one that is too deep.
    """
    shown: dict[str, Any] = Masker().value(payload)
    if isinstance(event, ServiceChanged):
        _name_card(shown["event"]["service"]["supportingResource"], event.iccid)
    elif isinstance(event, MonitorChanged):
        shown["event"]["monitor"]["id"] = event.request_id
        shown |= {"correlationId": str(event.key)} if event.key else {}
    return shown


def _name_card(resources: Iterable[Any], iccid: str) -> None:
    for one in resources:
        if _text(_object(one), "iccid"):
            one["iccid"] = iccid


def _service_changed(service: Payload) -> ServiceChanged:
    iccid = _iccid(service)
    state = _STATES.get(_text(service, "state").casefold())
    if state is None:
        raise Unreadable("Незнакомое состояние услуги.")
    reason = BlockReason.told(service.get("reason")) if state is SimState.INACTIVE else None
    if reason is not None and reason is not BlockReason.VOLUNTARY:
        state = SimState.HELD
    return ServiceChanged(iccid, Reading(state, reason, raw=_text(service, "state")))


def _iccid(service: Payload) -> str:
    resources = service.get("supportingResource")
    found = {
        _text(_object(one), "iccid") for one in (resources if isinstance(resources, list) else [])
    } - {""}
    if len(found) != 1:
        raise Unreadable("В событии не названа одна смарт-карта (supportingResource.iccid).")
    return found.pop()


def _monitor_changed(monitor: Payload, payload: Payload) -> MonitorChanged:
    request_id, word = _text(monitor, "id"), _text(monitor, "state")
    state = _CHECKS.get(word.casefold())
    if not request_id or state is None:
        raise Unreadable("В событии нет номера запроса или его состояние незнакомо.")
    key = _uuid(_text(payload, "correlationId"))
    if state is not CheckState.FAILED:
        return MonitorChanged(request_id, key, Check(state, code=word))
    return MonitorChanged(request_id, key, _failure(_object(monitor.get("response"))))


def _failure(response: Payload) -> Check:
    """Why a request ended in error: the status and the error body that it would have been answered."""
    status, error = _text(response, "statusCode"), _decoded(response.get("body"))
    code = _text(error, "code") or status
    text = (_text(error, "reason") or _text(error, "message"))[:200]
    found = _ERROR_CODES.get(code) or _status_class(status)
    if found is ErrorClass.ALREADY:
        return Check(CheckState.COMPLETED, code, text, found)
    return Check(CheckState.FAILED, code, text, found)


def _status_class(status: str) -> ErrorClass:
    known = _ERROR_STATUSES.get(int(status)) if re.fullmatch("[1-5][0-9]{2}", status) else None
    if known is not None:
        return known
    return ErrorClass.TRANSIENT if status.startswith("5") else ErrorClass.INVALID


def _decoded(body: object) -> Payload:
    if isinstance(body, str):
        try:
            return _object(json.loads(body))
        except (ValueError, RecursionError):
            return {}
    return _object(body)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _object(value: object) -> Payload:
    return value if isinstance(value, Mapping) else {}


def _text(values: Payload, name: str) -> str:
    """A text or a number as text; "" for anything else."""
    value = values.get(name)
    return str(value) if isinstance(value, str | int) else ""
