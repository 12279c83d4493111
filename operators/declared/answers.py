"""What a reply proves, by the tables of a profile, in the words of `operators.ports`.

The unknown is a word too: what no table lists is an unknown state, a pending check, an unknown
outcome; never a success.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from operators.declared.paths import Path, word
from operators.declared.profile import (
    Answer,
    Call,
    NextKind,
    Profile,
    Proof,
    Result,
)
from operators.declared.refusals import UNSURE, Refusal, body_of, garbage, pause
from operators.ports import (
    Accepted,
    Already,
    Applied,
    BlockReason,
    Changes,
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

_CHECKS = {
    Result.DONE: CheckState.COMPLETED,
    Result.ALREADY: CheckState.COMPLETED,
    Result.FAILED: CheckState.FAILED,
    Result.LOST: CheckState.LOST,
}
# What the product keeps of an operator's number of a request.
_LONGEST_ID = 200
_NO_DIGITS = re.compile("[^0-9]")


@dataclass(frozen=True)
class Taken:
    """The operator took the switch, and only the card itself can tell whether it was made."""


def _wrong(what: str) -> Unavailable:
    return Unavailable(ErrorClass.TRANSIENT, "wrong_id", f"оператор ответил о {what}")


# --- which card -------------------------------------------------------------------------------------


def _is_about(answer: Answer, row: Any, sim: Sim) -> bool:
    """Whether a row names this card; true where nothing names one."""
    if answer.iccid is None:
        return True
    # Some operators leave the check digit out, some add the filler F.
    named = {said.upper().rstrip("F") for said in answer.iccid.words(row)}
    return bool(named & {sim.iccid, sim.iccid[:-1]})


def card_row(answer: Answer, body: Any, sim: Sim) -> Any:
    """The part of an answer that is about this card. Raises `Unavailable`."""
    if answer.rows is None:
        if not isinstance(body, dict | list):
            raise garbage()
        if not _is_about(answer, body, sim):
            raise _wrong("другой смарт-карте")
        return body
    rows = _rows(answer, body)
    if not rows:
        text = "оператор не знает эту смарт-карту"
        raise Unavailable(ErrorClass.NOT_FOUND, "no_card", text)
    mine = next((row for row in rows if _is_about(answer, row, sim)), None)
    if mine is None:
        raise _wrong("другой смарт-карте")
    return mine


def _rows(answer: Answer, body: Any) -> list[Any]:
    rows = answer.rows.first(body) if answer.rows is not None else None
    if not isinstance(rows, list):
        raise garbage()
    return rows


def found_id(answer: Answer, body: Any, sim: Sim) -> str | int:
    """The operator's own number of a card, of the type it has there. Raises `Unavailable`."""
    row = card_row(answer, body, sim)
    found = answer.id.first(row) if answer.id is not None else None
    if not word(found) or not isinstance(found, str | int):
        raise garbage()
    return found


# --- states -----------------------------------------------------------------------------------------


def reading(profile: Profile, answer: Answer, body: Any, sim: Sim) -> Reading:
    """A card's state. Raises `Unavailable`."""
    row = card_row(answer, body, sim)
    if not _word(answer.state, row):
        raise garbage()
    seen = _reading(profile, answer, row)
    if seen.msisdn and sim.msisdn and seen.msisdn[-10:] != sim.msisdn[-10:]:
        _check_number(profile)
    return seen


def _check_number(profile: Profile) -> None:
    """A number may have moved to another card, but where it is the key, it is the question."""
    if profile.key == "msisdn":
        raise _wrong("другом номере")


def _reading(profile: Profile, answer: Answer, row: Any) -> Reading:
    said = _word(answer.state, row)
    state, reason = profile.states.words.get(said.casefold(), (SimState.UNKNOWN, None))
    if state is SimState.INACTIVE:
        reason = _reason(profile, _word(answer.reason, row))
        state = state if reason is BlockReason.VOLUNTARY else SimState.HELD
    elif state is SimState.HELD and reason is None:
        reason = profile.states.reasons.get(_word(answer.reason, row).casefold())
        reason = reason or BlockReason.UNKNOWN
    return Reading(
        state,
        reason,
        raw=said,
        msisdn=_NO_DIGITS.sub("", _word(answer.msisdn, row)),
        imei=_word(answer.imei, row),
    )


def _reason(profile: Profile, said: str) -> BlockReason:
    """Without a word a block is ours; with an unknown one it is not."""
    if not said:
        return BlockReason.VOLUNTARY
    return profile.states.reasons.get(said.casefold(), BlockReason.UNKNOWN)


def _word(path: Path | None, data: Any) -> str:
    return path.word(data) if path is not None else ""


def changes(profile: Profile, answer: Answer, body: Any, cursor: str) -> Changes:
    """One page of a list of changes. Raises `Unavailable`."""
    rows = _rows(answer, body)
    named = ((_word(answer.iccid, row), row) for row in rows)
    items = tuple((iccid, _reading(profile, answer, row)) for iccid, row in named if iccid)
    following = _following(answer, body, cursor, len(rows))
    if following is not None and (not rows or following == cursor):
        raise garbage()  # nothing new and no end: asking on would never stop
    return Changes(items, following)


def _following(answer: Answer, body: Any, cursor: str, rows: int) -> str | None:
    following = answer.next
    if following is None:
        return None
    if following.kind is NextKind.CURSOR:
        return _word(following.path, body) or None
    if _word(following.path, body) == "true" or (
        following.size is not None and rows < following.size
    ):
        return None
    return str(int(cursor) + 1)


# --- switches ---------------------------------------------------------------------------------------


def submit_result(
    profile: Profile, call: Call, reply: Reply, sim: Sim, wanted: SimState
) -> SubmitResult | Taken:
    """What a reply without a refusal proves of a switch."""
    body, proof = body_of(reply), call.success[reply.status]
    if _proves_nothing(call.answer, proof, body, sim):
        return Unknown("в ответе оператора нет этой смарт-карты", code="wrong_id")
    match proof:
        case Proof.STATE:
            return _by_state(profile, call.answer, body, wanted)
        case Proof.RESULT:
            return _by_result(profile, call.answer, reply, body)
        case Proof.REQUEST:
            return _by_request(profile, call.answer, reply, body)
        case Proof.READ if body is not None or not reply.body:
            return Taken()
        case Proof.STATUS if body is not None or not reply.body:
            return Applied(str(reply.status))
    return Unknown("ответ оператора не разобрать", code="garbage")


def _proves_nothing(answer: Answer, proof: Proof | None, body: Any, sim: Sim) -> bool:
    """Whether an answer is about another card; the number of a request may come without any."""
    silent = answer.iccid is not None and not answer.iccid.words(body)
    return not _is_about(answer, body, sim) and not (silent and proof is Proof.REQUEST)


def _by_state(profile: Profile, answer: Answer, body: Any, wanted: SimState) -> SubmitResult:
    seen = _reading(profile, answer, body)
    if seen.state is not wanted:
        return Unknown(f"оператор ответил «сделано», но состояние «{seen.raw}»")
    return Applied(seen.raw)


def _by_result(profile: Profile, answer: Answer, reply: Reply, body: Any) -> SubmitResult | Taken:
    said = _word(answer.result, body)
    match profile.results.get(said.casefold()):
        case Result.DONE:
            return Applied(said)
        case Result.ALREADY:
            return Already(said)
        case Result.FAILED:
            code, error, text = _failure(profile, answer, body)
            sure = error not in UNSURE
            return Refusal(error, code or said, text, None, sure).submit_result()
        case Result.ACCEPTED | Result.PENDING:
            number = _request_id(answer, reply, body)
            return _by_request(profile, answer, reply, body) if number else Taken()
    return Unknown(f"незнакомый ответ оператора «{said}»", code=said[:100])


def _by_request(profile: Profile, answer: Answer, reply: Reply, body: Any) -> SubmitResult:
    number = _request_id(answer, reply, body)
    if not number or len(number) > _LONGEST_ID:
        return Unknown("оператор принял запрос, но не дал его номера", code="no_id")
    # The number is there, so a word that says more is left to the first check.
    return Accepted(number, pause(profile.errors, ErrorClass.CONFLICT_PENDING, reply))


def _request_id(answer: Answer, reply: Reply, body: Any) -> str:
    if not answer.request_header:
        return _word(answer.request_id, body)
    given = reply.headers.get(answer.request_header, "")
    try:
        return urlsplit(given).path.rstrip("/").rpartition("/")[2]
    except ValueError:
        return ""


# --- checks -----------------------------------------------------------------------------------------


def check_result(profile: Profile, call: Call, body: Any, request_id: str, sim: Sim) -> Check:
    """What an answer says of a request. Raises `Unavailable`."""
    answer = call.answer
    row = _request_row(answer, body, request_id, sim)
    said = _word(answer.result, row)
    if not said:
        raise garbage()
    result = profile.results.get(said.casefold())
    if result is Result.FAILED:
        return _failed(profile, answer, row, said)
    if result is Result.ALREADY:
        return Check(CheckState.COMPLETED, said, "так уже и было", ErrorClass.ALREADY)
    if result is None:
        return Check(CheckState.PENDING, said, f"незнакомое состояние «{said}»")
    return Check(_CHECKS.get(result, CheckState.PENDING), said)


def _request_row(answer: Answer, body: Any, request_id: str, sim: Sim) -> Any:
    """The part of an answer that is about this request. Raises `Unavailable`."""
    rows = [body] if answer.rows is None else _rows(answer, body)
    if not rows:
        text = "оператор не знает такого запроса"
        raise Unavailable(ErrorClass.NOT_FOUND, "no_request", text)
    mine = next(_about_request(answer, rows, request_id), None)
    if mine is None:
        raise _wrong("другом запросе") if isinstance(body, dict | list) else garbage()
    if not _is_about(answer, mine, sim):
        raise _wrong("другой смарт-карте")
    return mine


def _about_request(answer: Answer, rows: list[Any], request_id: str) -> Iterator[Any]:
    path = answer.request_id
    return (row for row in rows if path is None or request_id in path.words(row))


def _failed(profile: Profile, answer: Answer, row: Any, said: str) -> Check:
    code, error, text = _failure(profile, answer, row)
    if error is ErrorClass.ALREADY:
        return Check(CheckState.COMPLETED, code, "так уже и было", ErrorClass.ALREADY)
    return Check(CheckState.FAILED, code or said, text, error)


def _failure(profile: Profile, answer: Answer, row: Any) -> tuple[str, ErrorClass, str]:
    """Code, class and text of a request that failed."""
    code = _word(answer.code, row)
    text = _word(answer.text, row) or code or "оператор не выполнил запрос"
    error = profile.errors.codes.get(code.casefold(), ErrorClass.INVALID)
    return code, error, text[:200]
