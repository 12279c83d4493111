"""What a reply proves, by the tables of a profile, in the words of `operators.ports`.

The unknown is a word too: what no table lists is an unknown state, a pending check, an unknown
outcome; never a success.
"""

from dataclasses import dataclass, replace
from typing import Any

from operators.declared import templates
from operators.declared.paths import Path
from operators.declared.profile import (
    Answer,
    Call,
    Next,
    NextKind,
    Profile,
    Proof,
    Result,
    State,
)
from operators.declared.refusals import UNSURE, Refusal, body_of, garbage, pause
from operators.declared.rows import (
    card_row,
    digits,
    is_about,
    number,
    request_row,
    rows,
    wrong,
)
from operators.declared.sources import Envelope, Source
from operators.declared.templates import Values
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
    Rejected,
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
_NO_ID = ("оператор принял запрос, но не дал его номера", ErrorClass.UNKNOWN_OUTCOME, "no_id")
_NO_LINK_TEXT = (
    "оператор принял запрос, но не дал ссылки, по которой можно узнать исход: "
    "её нет, она длиннее 200 знаков или ведёт на чужой адрес"
)
_NO_LINK = (_NO_LINK_TEXT, ErrorClass.UNKNOWN_OUTCOME, "no_link")
# Refusals after which nothing is sent again by itself.
_FINAL = frozenset(
    {
        ErrorClass.FORBIDDEN,
        ErrorClass.NOT_FOUND,
        ErrorClass.INVALID,
        ErrorClass.HELD_BY_OPERATOR,
        ErrorClass.CONFIGURATION,
        ErrorClass.UNSUPPORTED,
    }
)
# What the product keeps of an operator's number of a request.
_LONGEST_ID = 200
# Of several words the one counts that forbids most: a card with two blocks has the worse one.
_HARMLESS_FIRST = (
    SimState.ACTIVE,
    SimState.NEW,
    SimState.INACTIVE,
    SimState.UNKNOWN,
    SimState.HELD,
    SimState.RETIRED,
)


@dataclass(frozen=True)
class Taken:
    """The operator took the switch, and only the card itself can tell whether it was made."""


# --- states -----------------------------------------------------------------------------------------


def reading(profile: Profile, answer: Answer, body: Any, sim: Sim) -> Reading:
    """A card's state. Raises `Unavailable`."""
    row = card_row(answer, body, sim)
    seen = _reading(profile, answer, row)
    if seen is None:
        raise garbage()
    if seen.msisdn and sim.msisdn and seen.msisdn[-10:] != sim.msisdn[-10:]:
        _check_number(profile)
    return seen


def _check_number(profile: Profile) -> None:
    """A number may have moved to another card, but where it is the key, it is the question."""
    if profile.key == "msisdn":
        raise wrong("другом номере")


def reading_by_status(call: Call, status: int) -> Reading | None:
    """What a status alone says of a card; None where it says nothing."""
    said = call.statuses.get(status)
    return None if said is None or isinstance(said, Result) else _read(said, str(status))


def _read(state: State, raw: str) -> Reading:
    """A state that comes without a word of a block's reason."""
    usual = {SimState.INACTIVE: BlockReason.VOLUNTARY, SimState.HELD: BlockReason.UNKNOWN}
    return Reading(state[0], state[1] or usual.get(state[0]), raw=raw)


def _reading(profile: Profile, answer: Answer, row: Any) -> Reading | None:
    """The reading of a row; None where it says nothing at all of the state."""
    said = _said_state(profile, answer, row)
    if not said:
        absent = profile.states.absent
        is_there = any(path.has_place(row) for path in answer.state)
        return _read(absent, "") if absent is not None and is_there else None
    state, reason = _state(profile, said)
    if state in {SimState.INACTIVE, SimState.HELD} and reason is None:
        reason = _reason(profile, answer, row, state)
    if state is SimState.INACTIVE and reason is not BlockReason.VOLUNTARY:
        state = SimState.HELD
    return Reading(
        state,
        reason,
        raw=said,
        msisdn=number(_word(answer.msisdn, row)),
        imei=_word(answer.imei, row),
    )


def _state(profile: Profile, said: str) -> State:
    return profile.states.words.get(said.casefold(), (SimState.UNKNOWN, None))


def _said_state(profile: Profile, answer: Answer, row: Any) -> str:
    if len(answer.state) == 1:
        words = answer.state[0].words(row)
        return max(words, key=lambda one: _worth(profile, one), default="")
    parts = [path.word(row) for path in answer.state]
    return "+".join(parts) if any(parts) else ""


def _worth(profile: Profile, said: str) -> int:
    return _HARMLESS_FIRST.index(_state(profile, said)[0])


def _reason(profile: Profile, answer: Answer, row: Any, state: SimState) -> BlockReason:
    """Whose a block is: without a word ours, unless the state says it is held; an unknown one is not."""
    said = answer.reason.words(row) if answer.reason is not None else []
    known = [profile.states.reasons.get(one.casefold(), BlockReason.UNKNOWN) for one in said]
    usual = BlockReason.VOLUNTARY if state is SimState.INACTIVE else BlockReason.UNKNOWN
    return next((one for one in known if one is not BlockReason.VOLUNTARY), usual)


def _word(path: Path | None, data: Any) -> str:
    return path.word(data) if path is not None else ""


def changes(profile: Profile, answer: Answer, body: Any, around: Envelope, cursor: str) -> Changes:
    """One page of a list of changes. Raises `Unavailable`."""
    found = rows(answer, body)
    read = ((digits(_word(answer.iccid, row)), _reading(profile, answer, row)) for row in found)
    items = tuple((iccid, seen or Reading(SimState.UNKNOWN)) for iccid, seen in read if iccid)
    following = _following(answer.next or Next(NextKind.CURSOR), body, around, cursor, len(found))
    if following is not None and (not found or following == cursor):
        raise garbage()  # nothing new and no end: asking on would never stop
    return Changes(items, following)


def _following(following: Next, body: Any, around: Envelope, cursor: str, rows: int) -> str | None:
    if following.kind is not NextKind.PAGE:
        return _mark(following.source or Source(), body, around)
    is_short = following.size is not None and rows < following.size
    if is_short or _word(following.last, body) == "true":
        return None
    return str(int(cursor) + 1)


def _mark(source: Source, body: Any, around: Envelope) -> str | None:
    """The next page by the operator's word; None at the end. Raises `Unavailable`."""
    mark = source.word(body, around)
    if not mark and source.stands(body, around):
        raise garbage()  # there is a next page, and what it tells would be lost
    return mark or None


def repeats(answer: Answer, body: Any, values: Values) -> bool:
    """Whether an answer repeats of its request what it must."""
    return all(
        path.word(body) == template.rendered(values, templates.may_be_empty)
        for path, template in answer.echo
    )


# --- switches ---------------------------------------------------------------------------------------


def submit_result(
    profile: Profile,
    call: Call,
    reply: Reply,
    around: Envelope,
    *,
    sim: Sim,
    wanted: SimState,
    key: str,
) -> SubmitResult | Taken:
    """What a reply without a refusal proves of a switch."""
    if reply.status in call.statuses:
        return Already(str(reply.status))
    body, proof = body_of(reply), call.success[reply.status]
    if call.answer.rows is not None:
        body = _row(call.answer, body, sim)
    if _proves_nothing(call.answer, proof, body, sim):
        return Unknown("в ответе оператора нет этой смарт-карты", code="wrong_id")
    match proof:
        case Proof.STATE:
            return _by_state(profile, call.answer, body, wanted)
        case Proof.RESULT:
            number = _request_id(call.answer, body, around, key)
            return _by_result(profile, call.answer, reply, body, number)
        case Proof.REQUEST:
            number = _request_id(call.answer, body, around, key)
            return _by_request(profile, call.answer, reply, number)
        case Proof.READ if body is not None or not reply.body:
            return Taken()
        case Proof.STATUS if body is not None or not reply.body:
            return Applied(str(reply.status))
    return Unknown("ответ оператора не разобрать", code="garbage")


def _row(answer: Answer, body: Any, sim: Sim) -> Any:
    """The row about this card; None where there is none."""
    try:
        return card_row(answer, body, sim)
    except Unavailable:
        return None


def _proves_nothing(answer: Answer, proof: Proof | None, body: Any, sim: Sim) -> bool:
    """Whether an answer is about another card; the number of a request may come without any."""
    silent = answer.iccid is not None and not answer.iccid.words(body)
    return not is_about(answer, body, sim) and not (silent and proof is Proof.REQUEST)


def _by_state(profile: Profile, answer: Answer, body: Any, wanted: SimState) -> SubmitResult:
    seen = _reading(profile, answer, body) or Reading(SimState.UNKNOWN)
    if seen.state is not wanted:
        return Unknown(f"оператор ответил «сделано», но состояние «{seen.raw}»")
    return Applied(seen.raw)


def _by_result(
    profile: Profile, answer: Answer, reply: Reply, body: Any, number: str
) -> SubmitResult | Taken:
    said = _word(answer.result, body)
    match profile.results.get(said.casefold()):
        case Result.DONE:
            return Applied(said)
        case Result.ALREADY:
            return Already(said)
        case Result.FAILED:
            code, error, text = _failure(profile, answer, body)
            sure = error not in UNSURE or code.casefold() in profile.errors.not_done_codes
            return Refusal(error, code or said, text, None, sure).submit_result()
        case Result.ACCEPTED | Result.PENDING:
            return _by_request(profile, answer, reply, number) if number else Taken()
    return Unknown(f"незнакомый ответ оператора «{said}»", code=said[:100])


def _by_request(profile: Profile, answer: Answer, reply: Reply, number: str) -> SubmitResult:
    if not number or len(number) > _LONGEST_ID:
        is_link = answer.request_id is not None and answer.request_id.is_link
        return Unknown(*(_NO_LINK if is_link else _NO_ID))
    # The number is there, so a word that says more is left to the first check.
    return Accepted(number, pause(profile.errors, ErrorClass.CONFLICT_PENDING, reply))


def _request_id(answer: Answer, body: Any, around: Envelope, key: str) -> str:
    if answer.request_is_key:
        return key
    return (answer.request_id or Source()).word(body, around)


def after_preparing(result: SubmitResult) -> SubmitResult:
    """What a switch came to whose first call has changed something already.

    A refusal that the product would answer with the same command again is an unknown outcome here: the
    first call must not be repeated before the card is read.
    """
    if isinstance(result, Rejected) and result.error not in _FINAL:
        return Unknown(result.text, result.error, result.code, result.retry_after)
    return result


# --- checks -----------------------------------------------------------------------------------------


def check_by_status(profile: Profile, call: Call, reply: Reply) -> Check | None:
    """What a status alone says of a request; None where it says nothing."""
    result, said = call.statuses.get(reply.status), str(reply.status)
    if not isinstance(result, Result):
        return None
    if result is Result.FAILED:
        return _failed(profile, call.answer, body_of(reply), said)
    return _check(result, said)


def _check(result: Result, said: str) -> Check:
    if result is Result.ALREADY:
        return Check(CheckState.COMPLETED, said, "так уже и было", ErrorClass.ALREADY)
    return Check(_CHECKS.get(result, CheckState.PENDING), said)


def check_result(
    profile: Profile, answer: Answer, reply: Reply, around: Envelope, request_id: str, sim: Sim
) -> Check:
    """What an answer says of a request. Raises `Unavailable`."""
    row = request_row(answer, body_of(reply), around, request_id, sim)
    said = _word(answer.result, row)
    if not said:
        raise garbage()
    result = profile.results.get(said.casefold())
    if result is Result.FAILED:
        return _failed(profile, answer, row, said)
    retry_in = pause(profile.errors, ErrorClass.TRANSIENT, reply)
    if result is None:
        text = f"незнакомое состояние «{said}»"
        return Check(CheckState.PENDING, said, text, retry_in=retry_in)
    return replace(_check(result, said), retry_in=retry_in)


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
