"""The vocabulary of the partner contract (`docs/reference/partner-api.yaml`) in our terms.

Pure. One mapping for both ways in which a partner speaks: the answers to our calls (`adapters.tmf640`) and
its signed events (`events`). States are compared without regard to case.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from operators.ports import BlockReason, Check, CheckState, ErrorClass, Reading, SimState

_SERVICE_STATES = {
    "feasibilitychecked": SimState.NEW,
    "designed": SimState.NEW,
    "reserved": SimState.NEW,
    "active": SimState.ACTIVE,
    "inactive": SimState.INACTIVE,
    "terminated": SimState.RETIRED,
}
_MONITOR_STATES = {
    "inprogress": CheckState.PENDING,
    "completed": CheckState.COMPLETED,
    "inerror": CheckState.FAILED,
}
# `code` of an error body, for statuses that have two meanings.
_ERROR_CODES = {
    "heldByOperator": ErrorClass.HELD_BY_OPERATOR,
    "alreadyInState": ErrorClass.ALREADY,
    "notSupported": ErrorClass.UNSUPPORTED,
}
# HTTP status; others are INVALID below 500 and TRANSIENT from there on.
_ERROR_STATUSES = {
    401: ErrorClass.AUTH,
    403: ErrorClass.FORBIDDEN,
    404: ErrorClass.NOT_FOUND,
    405: ErrorClass.CONFIGURATION,
    409: ErrorClass.CONFLICT_PENDING,
    429: ErrorClass.RATE_LIMITED,
    503: ErrorClass.MAINTENANCE,
}
_LONGEST_TEXT = 200


def reading_of(service: Mapping[str, Any]) -> Reading:
    """The state of a card by its service; `UNKNOWN` for a state that the contract does not have.

    An inactive service with a reason that is not ours to lift is held. The numbers of the card are left out.
    """
    given = text_at(service, "state")
    state = _SERVICE_STATES.get(given.casefold(), SimState.UNKNOWN)
    reason = _block_reason(service.get("reason")) if state is SimState.INACTIVE else None
    if reason not in (None, BlockReason.VOLUNTARY):
        state = SimState.HELD
    return Reading(state, reason, raw=given)


def _block_reason(given: object) -> BlockReason:
    """Without a reason a block is ours: the contract asks for one only where it is not. A reason that
    cannot be read is not ours to lift.
    """
    if not given:
        return BlockReason.VOLUNTARY
    if isinstance(given, str) and given in set(BlockReason):
        return BlockReason(given)
    return BlockReason.UNKNOWN


def check_of(monitor: Mapping[str, Any]) -> Check | None:
    """How an accepted request is doing; None for a state that the contract does not have.

    One that failed because the card was in the wanted state is `COMPLETED` with error `ALREADY`. Of one
    that failed without a status code the switch was surely not made, and nobody knows why: `INVALID`.
    """
    given = text_at(monitor, "state")
    state = _MONITOR_STATES.get(given.casefold())
    if state is None:
        return None
    if state is not CheckState.FAILED:
        return Check(state, code=given)
    response = object_of(monitor.get("response"))
    status = text_at(response, "statusCode")
    code, text = error_in(_decoded(response.get("body")))
    is_status = re.fullmatch("[4-5][0-9]{2}", status)
    error = error_class(int(status) if is_status else 400, code)
    state = CheckState.COMPLETED if error is ErrorClass.ALREADY else CheckState.FAILED
    return Check(state, code or status, text, error)


def error_class(status: int, code: str) -> ErrorClass:
    """The class of a refusal with this HTTP status, from 400 on, and this `code` of its body."""
    usual = ErrorClass.TRANSIENT if status >= 500 else ErrorClass.INVALID
    return _ERROR_CODES.get(code) or _ERROR_STATUSES.get(status, usual)


def error_in(body: Mapping[str, Any]) -> tuple[str, str]:
    """The code of an error body and its text, at most 200 characters; "" for what is not there."""
    text = text_at(body, "reason") or text_at(body, "message")
    return text_at(body, "code"), text[:_LONGEST_TEXT]


def object_of(value: object) -> Mapping[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def text_at(values: Mapping[str, Any], name: str) -> str:
    """A text, or a number as text; "" for anything else."""
    value = values.get(name)
    return str(value) if isinstance(value, str | int) else ""


def _decoded(body: object) -> Mapping[str, Any]:
    """The body of an answer inside a monitor: an object, or JSON in a string."""
    if isinstance(body, str):
        try:
            return object_of(json.loads(body))
        except (ValueError, RecursionError):
            return {}
    return object_of(body)
