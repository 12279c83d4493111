"""МТС's answers in our words: errors, states of requests, blocks.

Facts marked «guess» are to be settled with the operator; where they come from, see `mts`.
"""

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from operators.adapters import Trouble, decoded, mapping, mappings
from operators.ports import (
    Accepted,
    BlockReason,
    Check,
    CheckState,
    ErrorClass,
    Identity,
    IdentityState,
    Reading,
    Reply,
    Sim,
    SimState,
    SubmitResult,
    Unavailable,
    Unknown,
)
from operators.waits import retry_after

MOSCOW = ZoneInfo("Europe/Moscow")
FIRST_CHECK_SECONDS = 5.0
VOLUNTARY_BLOCK = "BL0005"
INITIAL_BLOCK = "BL0008"

# errorCode of the gateway → our word.
_ERRORS = {
    "1001": ErrorClass.AUTH,
    "1002": ErrorClass.CONFIGURATION,
    "1004": ErrorClass.AUTH,
    "1005": ErrorClass.AUTH,
    "1010": ErrorClass.FORBIDDEN,
    "1011": ErrorClass.RATE_LIMITED,
    "1012": ErrorClass.RATE_LIMITED,
    "1013": ErrorClass.AUTH,
    "1014": ErrorClass.FORBIDDEN,
    "1017": ErrorClass.UNKNOWN_OUTCOME,
    "1100": ErrorClass.INVALID,
    "2005": ErrorClass.NOT_FOUND,
    "3003": ErrorClass.TRANSIENT,
}
# A new token helps here; with 1014 or without a code it does not.
STALE_TOKEN = {"1001", "1004", "1005", "1013"}
# HTTP status → our word, where no known errorCode came with it.
_STATUSES = {
    400: ErrorClass.INVALID,
    401: ErrorClass.FORBIDDEN,
    403: ErrorClass.FORBIDDEN,
    404: ErrorClass.CONFIGURATION,
    405: ErrorClass.CONFIGURATION,
    409: ErrorClass.CONFLICT_PENDING,
    421: ErrorClass.TRANSIENT,
    422: ErrorClass.INVALID,
    429: ErrorClass.RATE_LIMITED,
    499: ErrorClass.UNKNOWN_OUTCOME,
}
# After these a switch may have been made all the same.
_UNSURE = {ErrorClass.UNKNOWN_OUTCOME, ErrorClass.TRANSIENT, ErrorClass.MAINTENANCE}

_STATUS_WORDS = {
    "completed": CheckState.COMPLETED,
    "inprogress": CheckState.PENDING,
    "faulted": CheckState.FAILED,
}
# Ends of `foris_error_code`, guessed from the one that is known (CallForwardingServiceNotExists).
_ALREADY_CODES = ("AlreadyExists", "NotExists")
_HELD_CODES = ("Blocked", "Suspended")

# `PersonalDataConfirmation` → our word. The words stand in the manual, what follows from each is a guess.
# Nobody says whether the operator serves a number that is `Depersonalized`, `Anonymous` or in
# `Migration`: its own answer to the switch decides, we do not forestall it.
_IDENTITIES = {
    "activated": IdentityState.CONFIRMED,
    "activatedportin": IdentityState.CONFIRMED,
    "notrequired": IdentityState.NOT_REQUIRED,
    "waitingforacceptance": IdentityState.WAITING,
    "waitingforcheck": IdentityState.WAITING,
    "refusal": IdentityState.REFUSED,
    "mismatchofdata": IdentityState.MISMATCH,
    "notfoundinesia": IdentityState.NOT_FOUND,
    "requestnotfoundinesia": IdentityState.NOT_FOUND,
    "depersonalized": IdentityState.UNKNOWN,
    "anonymous": IdentityState.UNKNOWN,
    "migration": IdentityState.UNKNOWN,
}
# What is no such word may be somebody's name.
_IDENTITY_WORD = re.compile(r"[A-Za-z]{1,30}")
_DEEPEST = 12

# Words in the names of blocks that are not ours to lift (guess).
_BLOCK_WORDS = (
    (re.compile("финанс|задолж|долг"), BlockReason.DEBT),
    (re.compile("мошен|фрод"), BlockReason.FRAUD),
    (re.compile("краж|хищен|утер|утрат"), BlockReason.STOLEN),
    (re.compile("закон|персональн|госуслуг|126"), BlockReason.LAW),
    (re.compile("лимит|порог"), BlockReason.LIMIT),
    (re.compile("imei"), BlockReason.IMEI),
    (re.compile("оператор|администр"), BlockReason.OPERATOR),
)


def garbage() -> Unavailable:
    """An answer to a question that cannot be read."""
    return Unavailable(ErrorClass.TRANSIENT, "garbage", "ответ оператора не разобрать")


def _envelope(reply: Reply) -> dict[str, Any]:
    """The part of a body that speaks of an error: itself, or its `fault` or `error` object."""
    body = mapping(decoded(reply))
    return mapping(body.get("fault")) or mapping(body.get("error")) or body


def _code(envelope: dict[str, Any]) -> str:
    return str(envelope.get("errorCode") or envelope.get("code") or "")


def _said(envelope: dict[str, Any]) -> str:
    words = ("errorMessage", "message", "description", "error_description")
    return next((str(envelope[word]) for word in words if envelope.get(word)), "")


def _is_trouble(reply: Reply, envelope: dict[str, Any]) -> bool:
    return reply.status >= 300 or bool(_code(envelope)) or "fault" in mapping(decoded(reply))


def trouble_of(reply: Reply) -> Trouble | None:
    """The refusal an answer carries, whatever its status; None if it carries none."""
    envelope = _envelope(reply)
    if not _is_trouble(reply, envelope):
        return None
    code = _code(envelope)
    error = _error_class(reply, code)
    text = _said(envelope) or f"МТС ответил {reply.status}"
    # The window is a minute long: a shorter pause than some seconds only adds to the count.
    pause = retry_after(reply, default=20.0 if error is ErrorClass.RATE_LIMITED else None)
    return Trouble(error, code or str(reply.status), text[:200], pause)


def _error_class(reply: Reply, code: str) -> ErrorClass:
    if code in _ERRORS:
        return _ERRORS[code]
    if code.startswith("IL."):
        # A fault of the number in the back end: a repeat now would meet the same.
        return ErrorClass.INVALID
    if reply.status >= 500 and "EJB Exception" in reply.text:
        return ErrorClass.MAINTENANCE
    if reply.status >= 500:
        return ErrorClass.TRANSIENT
    if 300 <= reply.status < 400:
        return ErrorClass.CONFIGURATION
    return _STATUSES.get(reply.status, ErrorClass.UNKNOWN_OUTCOME)


def result_of(reply: Reply) -> SubmitResult:
    """What an answer to ModifyProduct proves."""
    trouble = trouble_of(reply)
    if trouble is not None:
        unsure = trouble.error in _UNSURE or 300 <= reply.status < 400
        return trouble.unknown() if unsure else trouble.rejected()
    event = mapping(decoded(reply)).get("eventID")
    if not isinstance(event, str) or not event:
        return Unknown("МТС ответил без номера запроса")
    return Accepted(event, retry_in=FIRST_CHECK_SECONDS)


def _characteristic(party: dict[str, Any], name: str) -> str:
    for item in mappings(party.get("characteristic")):
        if str(item.get("name", "")).casefold() == name:
            return str(item.get("value", ""))
    return ""


def number_of(party: dict[str, Any]) -> str:
    """The MSISDN a request belongs to, "" where the answer does not say."""
    return _characteristic(party, "msisdn")


def checked(party: dict[str, Any]) -> Check:
    """One `relatedParty` of a status answer."""
    word = str(party.get("status", ""))
    state = _STATUS_WORDS.get(word.casefold())
    if state is None:
        return Check(CheckState.PENDING, code=word, text=f"незнакомое состояние «{word}»")
    if state is not CheckState.FAILED:
        return Check(state, code=word)
    return _failure(_characteristic(party, "foris_error_code") or word)


def _failure(code: str) -> Check:
    if code.endswith(_ALREADY_CODES):
        return Check(CheckState.COMPLETED, code, "так уже и было", ErrorClass.ALREADY)
    if code.endswith(_HELD_CODES):
        text = "номер заблокирован оператором"
        return Check(CheckState.FAILED, code, text, ErrorClass.HELD_BY_OPERATOR)
    return Check(CheckState.FAILED, code, f"МТС не выполнил запрос: {code}", ErrorClass.INVALID)


def booked_at(party: dict[str, Any]) -> datetime:
    """When the operator booked a request. Raises `Unavailable` where the answer does not say."""
    given = mapping(party.get("validFor")).get("startDateTime")
    try:
        booked = datetime.fromisoformat(str(given))
    except ValueError as trouble:
        text = "оператор не сказал, когда принят запрос"
        raise Unavailable(ErrorClass.UNSUPPORTED, "no_time", text) from trouble
    return booked if booked.tzinfo else booked.replace(tzinfo=MOSCOW)


def _type(item: dict[str, Any]) -> str:
    specification = mapping(item.get("productSpecification"))
    return str(mapping(specification.get("productSpecificationType")).get("name", ""))


def _is_block(item: dict[str, Any]) -> bool:
    named = _type(item)
    return named == "block" if named else str(item.get("externalID", "")).startswith("BL")


def reading_of(items: list[Any], sim: Sim) -> Reading:
    """What a list of blocks hints at."""
    blocks = [item for item in mappings(items) if _is_block(item)]
    raw = ", ".join(str(item.get("name", "")) for item in blocks)
    if not blocks or len(blocks) != len(items):
        # The type filter is sometimes ignored, and the whole list of services comes back.
        return Reading(SimState.UNKNOWN, raw=raw, msisdn=sim.msisdn)
    state, reason = _blocked(blocks)
    return Reading(state, reason, raw=raw, msisdn=sim.msisdn)


def _blocked(blocks: list[dict[str, Any]]) -> tuple[SimState, BlockReason | None]:
    """A block that is not ours outweighs ours: lifting ours alone would not wake the card."""
    others = [item for item in blocks if not _is_ours(item) and not _is_initial(item)]
    if others:
        return SimState.HELD, _reason(str(others[0].get("name", "")))
    if any(_is_initial(item) for item in blocks):
        return SimState.NEW, None
    return SimState.INACTIVE, BlockReason.VOLUNTARY


def _is_ours(item: dict[str, Any]) -> bool:
    known = (VOLUNTARY_BLOCK, "Добровольная блокировка")
    return item.get("externalID") in known or item.get("name") in known


def _is_initial(item: dict[str, Any]) -> bool:
    known = (INITIAL_BLOCK, "Первоначальная блокировка")
    return item.get("externalID") in known or item.get("name") in known


def _reason(name: str) -> BlockReason:
    folded = name.casefold()
    matches = (reason for words, reason in _BLOCK_WORDS if words.search(folded))
    return next(matches, BlockReason.UNKNOWN)


def identity_of(body: Any) -> Identity:
    """The one characteristic that is taken from an answer about a person, wherever it stands in it.

    Raises `Unavailable` where it is not there.
    """
    found = _confirmation(body, _DEEPEST)
    if found is None:
        raise garbage()
    known = _IDENTITY_WORD.fullmatch(found)
    state = _IDENTITIES.get(found.casefold(), IdentityState.UNKNOWN)
    return Identity(state, raw=found if known else "")


def _confirmation(body: Any, deepest: int) -> str | None:
    if not isinstance(body, dict | list) or not deepest:
        return None
    if isinstance(body, dict):
        if str(body.get("name", "")).casefold() == "personaldataconfirmation":
            return str(body.get("value", ""))
        body = list(body.values())
    words = (_confirmation(item, deepest - 1) for item in body)
    return next((word for word in words if word is not None), None)
