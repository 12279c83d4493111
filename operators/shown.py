"""What the log may keep of each operator's answers: what its adapter reads, and what staff ask for.

Numbers of requests, states, codes and moments as they are, sentences without the people in them;
anything else is hidden, so a field that an operator adds tomorrow is hidden too. A described operator
says its places itself; a new adapter in code gets a row here.
"""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from operators.allowed import ANY, Place, Shown


def shown_by(code: str, adapter: type, profile: Mapping[str, Any] | None) -> Shown | None:
    """The places of this protocol; None where nobody has named any: the nets of masking alone hold.

    Of a described operator they are its profile's, see `operators.declared.places`.
    """
    if not hasattr(adapter, "shown_of"):
        return _SHOWN.get(code)
    return _described(adapter, json.dumps(profile)) if profile else None


@lru_cache(maxsize=64)
def _described(adapter: Any, profile: str) -> Shown:
    """Asked before every call: reading a profile costs more than comparing two."""
    shown: Shown = adapter.shown_of(json.loads(profile))
    return shown


def _at(before: Iterable[str], *names: str) -> set[Place]:
    return {(*before, name) for name in names}


# --- МТС --------------------------------------------------------------------------------------------

_PARTY = ("relatedParty",)
_SPAN = ("startDateTime", "endDateTime")
_MTS_ERRORS = ((), ("fault",), ("error",))
_MTS = Shown(
    words=frozenset(
        _at((), "eventID", "eventTime", "externalID", "status", "errorCode", "code")
        | _at(("fault",), "errorCode", "code")
        | _at(("error",), "errorCode", "code")
        | _at(_PARTY, "id", "type", "status")
        | _at((*_PARTY, "characteristic"), "name", "value=msisdn", "value=foris_error_code")
        | _at((*_PARTY, "validFor"), *_SPAN)
        | _at(("validFor",), *_SPAN)
        | _at(("productSpecification", "productSpecificationType"), "name")
    ),
    texts=frozenset(
        # A block is known by its name; the name of somebody's account stands at the same place.
        {("name",), ("error",)}.union(
            *(
                _at(before, "errorMessage", "message", "description", "error_description")
                for before in _MTS_ERRORS
            )
        )
    ),
    plain=True,
)

# --- Билайн -----------------------------------------------------------------------------------------

_SOAP = ("Envelope", "Body")
_FAULT = (*_SOAP, "Fault")
_REQUESTS = (*_SOAP, ANY, "requestList", "requests")
_BEELINE = Shown(
    words=frozenset(
        _at((*_SOAP, ANY), "return")
        | _at((*_SOAP, ANY, "CTNInfoList"), "ctn", "status", "statusDate", "reasonStatus")
        | _at(_REQUESTS, "requestId", "ctn", "requestStatus", "requestDate")
        | _at(_FAULT, "faultcode")
        | _at((*_FAULT, "detail", ANY), "errorCode")
        | _at((*_FAULT, "detail"), "errorCode")
    ),
    texts=frozenset(
        _at(_FAULT, "faultstring")
        | _at((*_FAULT, "detail", ANY), "errorDescription")
        | _at((*_FAULT, "detail"), "errorDescription")
        | _at(_REQUESTS, "requestComments")
    ),
    markup=True,
    plain=True,
)

# --- Control Center ---------------------------------------------------------------------------------

_DEVICE = ("iccid", "msisdn", "imei", "status", "dateActivated", "dateAdded", "dateUpdated")
_CONTROL_CENTER = Shown(
    words=frozenset(
        _at((), *_DEVICE, "errorCode", "pageNumber", "totalCount") | _at(("devices",), *_DEVICE)
    ),
    texts=frozenset(_at((), "errorMessage")),
    plain=True,
)

# --- TMF640 -----------------------------------------------------------------------------------------

# The end of a request in the monitor carries an error's body.
_TMF_ERRORS = ((), ("response", "body"))
_TMF640 = Shown(
    words=frozenset(
        _at((), "id", "state", "msisdn", "imei", "serviceDate", "startDate", "endDate", "status")
        | _at((), "callback", "query")
        | _at(("supportingResource",), "id", "iccid")
        | _at(("response",), "statusCode")
        | {(*before, "code") for before in _TMF_ERRORS}
    ),
    texts=frozenset(place for before in _TMF_ERRORS for place in _at(before, "reason", "message")),
    plain=True,
)

_SHOWN = {
    "mts": _MTS,
    "beeline": _BEELINE,
    "control_center": _CONTROL_CENTER,
    "tmf640": _TMF640,
}
