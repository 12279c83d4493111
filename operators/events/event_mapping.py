"""What a partner's signed events say, in our terms (`docs/reference/partner-api.yaml`).

Pure. Every contract with signed events uses this format, whatever protocol its switches use.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from operators.client import redaction
from operators.partner_api_mapping import check_of, object_of, reading_of, text_at
from operators.ports import Check, Reading, SimState, iccid_of

# A payload as it was decoded from JSON.
Payload = Mapping[str, Any]


class EventType(StrEnum):
    """The types of the contract; partners may write them in any case of letters."""

    SERVICE = "serviceStateChangeEvent"
    MONITOR = "monitorStateChangeEvent"


class Unreadable(ValueError):
    """An event whose type, state or ids cannot be read; the text is a Russian sentence for staff."""


@dataclass(frozen=True)
class ServiceChanged:
    """The state of a card at its operator has changed to `reading`."""

    iccid: str
    reading: Reading


@dataclass(frozen=True)
class MonitorChanged:
    """The state of an accepted request has changed. `key` is our Idempotency-Key, None where it is not named."""

    request_id: str
    key: UUID | None
    check: Check


Event = ServiceChanged | MonitorChanged


def read_event(event_type: str, payload: Payload) -> Event:
    """The event in our terms. `payload` is the decoded JSON body, sent or stored. Raises `Unreadable`."""
    kind, about = known_type(event_type), object_of(payload.get("event"))
    if kind is None:
        raise Unreadable("Незнакомый тип события.")
    if kind is EventType.SERVICE:
        return _service_changed(object_of(about.get("service")))
    return _monitor_changed(object_of(about.get("monitor")), payload)


def known_type(given: str) -> EventType | None:
    """The event's type as we write it; None for one that we do not know."""
    types = {one.casefold(): one for one in EventType}
    return types.get(given.casefold())


def masked(payload: Payload, event: Event | None) -> dict[str, Any]:
    """The payload as it is stored: the fields that `read_event` reads (`redaction.EVENT`), all else masked.

    The ids of the card, the request and the command stay whole, so that the stored event is read as the
    sent one was. `event` is None where it could not be read. Raises RecursionError for one that is too deep.
    """
    shown = for_staff(payload)
    if isinstance(event, ServiceChanged):
        _name_card(shown["event"]["service"]["supportingResource"], event.iccid)
    elif isinstance(event, MonitorChanged):
        shown["event"]["monitor"]["id"] = event.request_id
        shown |= {"correlationId": str(event.key)} if event.key else {}
    return shown


def for_staff(payload: Payload) -> dict[str, Any]:
    """The same with long numbers cut to their last four digits everywhere."""
    shown: dict[str, Any] = redaction.kept_fields(payload, redaction.EVENT)
    return shown


def _name_card(resources: Iterable[Any], iccid: str) -> None:
    for one in resources:
        if "iccid" in object_of(one):
            one["iccid"] = iccid


def _service_changed(service: Payload) -> ServiceChanged:
    iccid, reading = _iccid(service), reading_of(service)
    if reading.state is SimState.UNKNOWN:
        raise Unreadable("Незнакомое состояние услуги.")
    return ServiceChanged(iccid, reading)


def _iccid(service: Payload) -> str:
    resources = service.get("supportingResource")
    rows = resources if isinstance(resources, list) else []
    found = {iccid_of(object_of(one).get("iccid")) for one in rows} - {""}
    if len(found) != 1:
        raise Unreadable("В событии не названа одна смарт-карта (supportingResource.iccid).")
    return found.pop()


def _monitor_changed(monitor: Payload, payload: Payload) -> MonitorChanged:
    request_id, check = text_at(monitor, "id"), check_of(monitor)
    if not request_id or check is None:
        raise Unreadable("В событии нет номера запроса или его состояние незнакомо.")
    return MonitorChanged(request_id, _uuid(text_at(payload, "correlationId")), check)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
