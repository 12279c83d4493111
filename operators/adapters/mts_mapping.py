"""МТС's answers in our terms: errors, states of requests, blocks.

Facts marked «guess» are to be settled with the operator; where they come from, see `mts`.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from operators.adapters import OperatorError, decoded, garbage, mapping, mappings, wrong_id
from operators.backoff import retry_after
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

MOSCOW = ZoneInfo("Europe/Moscow")
FIRST_CHECK_SECONDS = 5.0
VOLUNTARY_BLOCK = "BL0005"
# Blocks by code and by name.
_OURS = (VOLUNTARY_BLOCK, "Добровольная блокировка")
_INITIAL = ("BL0008", "Первоначальная блокировка")

# errorCode of the gateway → our class.
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
# HTTP status → our class, where no known errorCode came with it.
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
_STATUS_WORDS = {
    "completed": CheckState.COMPLETED,
    "inprogress": CheckState.PENDING,
    "faulted": CheckState.FAILED,
}
# Codes that speak of the block itself → how the card stands then. Guessed from the one that is known
# (CallForwardingServiceNotExists): an end alone proves nothing, as `SubscriberNotExists` has it too.
_BLOCK_CODE = re.compile(
    r"(?:voluntary)?(?:block(?:ing)?|bl0005)(?:service)?(alreadyexists|notexists)", re.IGNORECASE
)
_SHOWN_BY_END = {"alreadyexists": SimState.INACTIVE, "notexists": SimState.ACTIVE}
_HELD_CODES = ("Blocked", "Suspended")

# `PersonalDataConfirmation` → our state. The codes stand in the manual, what follows from each is a guess.
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
# Anything else may be somebody's name.
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


_TEXT_KEYS = ("errorMessage", "message", "description", "error_description")


def trouble_of(reply: Reply) -> OperatorError | None:
    """The refusal an answer carries, whatever its status; None if it carries none."""
    body = mapping(decoded(reply))
    # The part that speaks of an error: the body itself, or its `fault` or `error` object.
    envelope = mapping(body.get("fault")) or mapping(body.get("error")) or body
    code = str(envelope.get("errorCode") or envelope.get("code") or "")
    if reply.status < 300 and not code and "fault" not in body:
        return None
    error = _error_class(reply, code)
    texts = (str(envelope[key]) for key in _TEXT_KEYS if envelope.get(key))
    text = next(texts, f"МТС ответил {reply.status}")
    # The window is a minute long: a shorter pause than some seconds only adds to the count.
    pause = retry_after(reply, default=20.0 if error is ErrorClass.RATE_LIMITED else None)
    return OperatorError(error, code or str(reply.status), text[:200], pause)


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
        led_away = 300 <= reply.status < 400
        return trouble.unknown() if led_away else trouble.switch_result()
    event = mapping(decoded(reply)).get("eventID")
    if not isinstance(event, str) or not event:
        return Unknown("МТС ответил без номера запроса")
    return Accepted(event, retry_in=FIRST_CHECK_SECONDS)


def characteristic(party: dict[str, Any], name: str) -> str:
    """The value of a named fact of a request (its number: `msisdn`), "" where the answer does not say."""
    for item in mappings(party.get("characteristic")):
        if str(item.get("name", "")).casefold() == name:
            return str(item.get("value", ""))
    return ""


def parties_of(body: Any) -> list[dict[str, Any]]:
    """The requests that a status answer names, oldest first.

    In the field it is one object or a list, its `relatedParty` too, and sometimes the status alone. Raises
    `Unavailable` where it is none of these.
    """
    if not isinstance(body, dict | list):
        raise garbage()
    items = mappings(body)
    alone = [item for item in items if "status" in item and "relatedParty" not in item]
    named = [party for item in items for party in mappings(item.get("relatedParty"))]
    return [*alone, *(party for party in named if "status" in party)]


def is_named(party: dict[str, Any], request_id: str) -> bool:
    """Whether a request of a status answer names this id, in any case of letters."""
    return str(party.get("id") or "").casefold() == request_id.casefold()


def by_id(parties: list[dict[str, Any]], request_id: str) -> dict[str, Any] | None:
    """The request of an answer to a question by its id, which some gateways do not repeat; None of an empty one.

    Raises `Unavailable` where only other requests are named, or several are not.
    """
    for party in parties:
        if is_named(party, request_id):
            return party
    if any(party.get("id") for party in parties):
        raise wrong_id("другом запросе")
    if len(parties) > 1:
        raise garbage()
    return parties[0] if parties else None


def _reason_code(party: dict[str, Any]) -> str:
    """Why a request failed: the named code, else the value of the last fact whatever its name."""
    named = characteristic(party, "foris_error_code")
    last = mappings(party.get("characteristic"))[-1:]
    other = [one for one in last if str(one.get("name", "")).casefold() != "msisdn"]
    return named or next((str(one.get("value") or "")[:100] for one in other), "")


def checked(party: dict[str, Any]) -> Check:
    """One `relatedParty` of a status answer."""
    word = str(party.get("status", ""))
    state = _STATUS_WORDS.get(word.casefold())
    if state is None:
        return Check(CheckState.PENDING, code=word, text=f"незнакомое состояние «{word}»")
    if state is not CheckState.FAILED:
        return Check(state, code=word)
    return _failure(_reason_code(party) or word)


def _failure(code: str) -> Check:
    if block := _BLOCK_CODE.fullmatch(code):
        shown = _SHOWN_BY_END[block.group(1).casefold()]
        return Check(
            CheckState.COMPLETED, code, "так уже и было", ErrorClass.ALREADY, sim_state=shown
        )
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


def _is_block(item: dict[str, Any]) -> bool:
    specification = mapping(item.get("productSpecification"))
    kind = str(mapping(specification.get("productSpecificationType")).get("name", ""))
    return kind == "block" if kind else str(item.get("externalID", "")).startswith("BL")


def reading_of(items: list[Any], sim: Sim) -> Reading:
    """What a list of blocks hints at."""
    blocks = [item for item in mappings(items) if _is_block(item)]
    raw = ", ".join(str(item.get("name", "")) for item in blocks)
    if not blocks or len(blocks) != len(items):
        # The type filter is sometimes ignored, and the whole list of services comes back.
        return Reading(SimState.UNKNOWN, raw=raw, msisdn=sim.msisdn)
    # A block that is not ours outweighs ours: lifting ours alone would not switch the card on.
    others = [item for item in blocks if not _is(item, _OURS) and not _is(item, _INITIAL)]
    if others:
        reason = _reason(str(others[0].get("name", "")))
        return Reading(SimState.HELD, reason, raw=raw, msisdn=sim.msisdn)
    if any(_is(item, _INITIAL) for item in blocks):
        return Reading(SimState.NEW, raw=raw, msisdn=sim.msisdn)
    return Reading(SimState.INACTIVE, BlockReason.VOLUNTARY, raw=raw, msisdn=sim.msisdn)


def _is(item: dict[str, Any], block: tuple[str, str]) -> bool:
    return item.get("externalID") in block or item.get("name") in block


def _reason(name: str) -> BlockReason:
    folded = name.casefold()
    matches = (reason for words, reason in _BLOCK_WORDS if words.search(folded))
    return next(matches, BlockReason.UNKNOWN)


def identity_of(body: Any, sim: Sim) -> Identity:
    """The one characteristic that is taken from an answer about a person, wherever it stands in it.

    Raises `Unavailable` where it is not there, and where the answer names other numbers and not this one.
    """
    parts = list(_objects(body))
    phones = {re.sub(r"\D", "", str(one["phoneNumber"])) for one in parts if one.get("phoneNumber")}
    if phones and all(phone[-10:] != sim.msisdn[-10:] for phone in phones):
        raise wrong_id("другом номере")
    for part in parts:
        if str(part.get("name", "")).casefold() == "personaldataconfirmation":
            word = str(part.get("value", ""))
            state = _IDENTITIES.get(word.casefold(), IdentityState.UNKNOWN)
            return Identity(state, raw=word if _IDENTITY_WORD.fullmatch(word) else "")
    raise garbage()


def _objects(body: Any) -> Iterator[dict[str, Any]]:
    """Every object of an answer, from the top, as deep as we look."""
    waiting = [(body, _DEEPEST)]
    while waiting:
        part, deepest = waiting.pop()
        if not isinstance(part, dict | list) or not deepest:
            continue
        if isinstance(part, dict):
            yield part
            part = list(part.values())
        waiting += [(inside, deepest - 1) for inside in reversed(part)]
