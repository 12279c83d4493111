"""Билайн's answers in our terms: errors, states of requests, blocks.

Facts marked «guess» are to be settled with the operator; where they come from, see `beeline`.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from operators.adapters import OperatorError, mapping, mappings, wrong_id
from operators.adapters.wsdl import NotSoap, Soap, SoapFault
from operators.backoff import retry_after
from operators.ports import (
    Accepted,
    BlockReason,
    Check,
    CheckState,
    ErrorClass,
    Reading,
    Reply,
    Sim,
    SimState,
    SubmitResult,
    Unavailable,
    Unknown,
)

STALE_TOKEN = "20003"  # noqa: S105 an error's code, not a secret
NOT_READY = "20017"
# Ours, for a fault without a code of the operator.
NO_CODE = "fault"
_PAUSE_SECONDS = 30.0

# errorCode of a fault → our class. Others have no meaning known to us.
_ERRORS = {
    "20001": ErrorClass.INVALID,
    STALE_TOKEN: ErrorClass.AUTH,
    "20005": ErrorClass.NOT_FOUND,
    "20006": ErrorClass.FORBIDDEN,
    NOT_READY: ErrorClass.TRANSIENT,
}
# HTTP status → our class, where the body is no SOAP.
_STATUSES = {
    400: ErrorClass.INVALID,
    401: ErrorClass.FORBIDDEN,
    403: ErrorClass.FORBIDDEN,
    404: ErrorClass.CONFIGURATION,
    405: ErrorClass.CONFIGURATION,
    429: ErrorClass.RATE_LIMITED,
    503: ErrorClass.MAINTENANCE,
}
# Faults whose code is the whole answer; any other one may mean «so already», whose code no
# public source names.
_PLAIN_FAULTS = {STALE_TOKEN, "20005", NOT_READY}

# All sixteen states of a request; the operator's table of their meanings is the source.
_REQUEST_STATES = {
    "FULFILL_REQ": CheckState.PENDING,
    "OPEN": CheckState.PENDING,
    "IN_PROGRESS": CheckState.PENDING,
    "PENDING": CheckState.PENDING,
    "PENDING_OPEN": CheckState.PENDING,
    "PENDING_CLOSE": CheckState.PENDING,
    "PERIODIC_IN_PROGRESS": CheckState.PENDING,
    "WAITING_FOR_APPROVAL": CheckState.PENDING,
    "COMPLETE": CheckState.COMPLETED,
    "AUTO_COMPLETE": CheckState.COMPLETED,
    "REJECTED": CheckState.FAILED,
    "CANCELED": CheckState.FAILED,
    "EXPIRED_REQ": CheckState.FAILED,
    "NULL": CheckState.FAILED,
    "NEED_MORE_INFORMATION": CheckState.FAILED,
    # Of one card there is no half: nothing more is to be learned from the request.
    "PARTIALLY_COMPLETE": CheckState.LOST,
}

# reasonStatus of a blocked number → who blocked it and why. S1B is the long saving block; that a
# voluntary block shows as the WIB it was asked with, and a theft as STO, is a guess, and so is that
# the three of the operator's system mean more than «the operator».
_REASONS = {
    "WIB": BlockReason.VOLUNTARY,
    "S1B": BlockReason.VOLUNTARY,
    "STO": BlockReason.STOLEN,
    "BSB": BlockReason.OPERATOR,
    "DUF": BlockReason.OPERATOR,
    "DOSS": BlockReason.OPERATOR,
}
# «FORBIDDEN (login=…)»: who we are is not for logs and pages.
_BRACKETS = re.compile(r"\s*\([^)]*\)?")
_CTN = re.compile("[78]?([0-9]{10})")


@dataclass(frozen=True)
class Answer:
    """What one call brought: the content by the names of its elements, or a refusal.

    `fault` is true for a refusal by the operator, false for one of the gateway or the network.
    """

    content: dict[str, Any] = field(default_factory=dict)
    trouble: OperatorError | None = None
    fault: bool = False

    @property
    def token_is_stale(self) -> bool:
        """Whether a new token would help."""
        return self.fault and self.trouble is not None and self.trouble.code == STALE_TOKEN

    @property
    def may_mean_already(self) -> bool:
        """Whether a read could show more than this refusal."""
        return self.fault and self.trouble is not None and self.trouble.code not in _PLAIN_FAULTS


def answer_of(soap: Soap, operation: str, reply: Reply) -> Answer:
    """The meaning of a reply: a fault is read by its code, whatever the status."""
    try:
        content = soap.read(operation, reply.body)
    except SoapFault as fault:
        return Answer(trouble=_fault(fault, reply), fault=True)
    except NotSoap:
        return Answer(trouble=_status_trouble(reply))
    return Answer(content) if reply.status == 200 else Answer(trouble=_status_trouble(reply))


def _fault(fault: SoapFault, reply: Reply) -> OperatorError:
    error = _ERRORS.get(fault.code, ErrorClass.UNKNOWN_OUTCOME)
    cleaned = _BRACKETS.sub("", fault.text)[:200]
    text = cleaned or "Билайн ответил отказом"
    return OperatorError(error, fault.code or NO_CODE, text, retry_after(reply, default=None))


def _status_trouble(reply: Reply) -> OperatorError:
    if 200 <= reply.status < 300:
        return OperatorError(ErrorClass.UNKNOWN_OUTCOME, "garbage", "ответ оператора не разобрать")
    limited = reply.status == 429
    pause = retry_after(reply, default=_PAUSE_SECONDS if limited else None)
    text = f"Билайн ответил {reply.status}"
    return OperatorError(_status_class(reply.status), str(reply.status), text, pause)


def _status_class(status: int) -> ErrorClass:
    if status >= 500:
        return _STATUSES.get(status, ErrorClass.TRANSIENT)
    return _STATUSES.get(status, ErrorClass.UNKNOWN_OUTCOME)


def accepted(answer: Answer) -> SubmitResult:
    """The number of the request in an answer to a switch."""
    number = str(answer.content.get("return") or "").strip()
    if not number.isdecimal():
        return Unknown("Билайн ответил без номера запроса")
    return Accepted(number)


# --- numbers --------------------------------------------------------------------------------------


def ctn_of(sim: Sim) -> str:
    """The number as Билайн writes it, ten digits; "" where the card has no such number."""
    found = _CTN.fullmatch(sim.msisdn)
    return found.group(1) if found else ""


def _is_about(named: Any, sim: Sim) -> bool:
    # One client drops the first digit of the numbers it reads, so they may come longer than asked.
    return bool(named) and str(named).strip()[-10:] == ctn_of(sim)


# --- requests -------------------------------------------------------------------------------------


def check_of(answer: Answer, request_id: str, sim: Sim) -> Check:
    """The state of a request. Raises `Unavailable` for an answer about another one."""
    requests = mappings(mapping(answer.content.get("requestList")).get("requests"))
    if not requests:
        return Check(CheckState.LOST, text="оператор не знает такого запроса")
    ours = [one for one in requests if str(one.get("requestId") or "").strip() == request_id]
    if not ours:
        raise wrong_id("другом запросе")
    numbers = [ctn for ctn in ours[0].get("ctn") or [] if ctn]
    if numbers and not any(_is_about(ctn, sim) for ctn in numbers):
        raise wrong_id()
    return _checked(ours[0])


def _checked(request: dict[str, Any]) -> Check:
    status = str(request.get("requestStatus") or "").strip()
    state = _REQUEST_STATES.get(status)
    if state is None:
        return Check(CheckState.PENDING, code=status, text=f"незнакомое состояние «{status}»")
    if state is CheckState.LOST:
        return Check(state, status, "выполнено частично, исход покажет состояние карты")
    if state is CheckState.FAILED:
        return Check(state, status, _why(request, status), ErrorClass.INVALID)
    return Check(state, code=status)


def _why(request: dict[str, Any], status: str) -> str:
    comments = [str(one).strip() for one in request.get("requestComments") or [] if one]
    return f"Билайн не выполнил запрос: {'; '.join(comments) or status}"[:200]


# --- blocks ---------------------------------------------------------------------------------------


def reading_of(answer: Answer, sim: Sim) -> Reading:
    """The state of the card's number. Raises `Unavailable` where the answer is about others."""
    numbers = mappings(answer.content.get("CTNInfoList"))
    if not numbers:
        raise Unavailable(ErrorClass.NOT_FOUND, "no_ctn", "оператор не знает этот номер")
    ours = [one for one in numbers if _is_about(one.get("ctn"), sim)]
    if not ours:
        raise wrong_id()
    status = str(ours[0].get("status") or "").strip()
    code = str(ours[0].get("reasonStatus") or "").strip()
    known = SimState.ACTIVE if status == "ACTIVE" else SimState.UNKNOWN
    state, reason = _blocked(code) if status == "BLOCKED" else (known, None)
    return Reading(state, reason, raw=f"{status} {code}".strip(), msisdn=sim.msisdn)


def _blocked(code: str) -> tuple[SimState, BlockReason]:
    """A block without a reason may be anyone's: the card is off, and nobody knows by whom."""
    reason = _REASONS.get(code, BlockReason.UNKNOWN)
    ours = reason is BlockReason.VOLUNTARY or not code
    return (SimState.INACTIVE if ours else SimState.HELD), reason
