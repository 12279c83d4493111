"""A reply made into the types of `operators.ports`, by the expressions and tables of a description.

What no table lists is an unknown state, a pending request, an unproven switch; never a success.
"""

import re
from collections.abc import Mapping
from typing import Any

from operators.declarative.calls import (
    CardAnswer,
    Check,
    ListAnswer,
    Next,
    ResultAnswer,
    StateAnswer,
    Switch,
)
from operators.declarative.consistency import names_a_card
from operators.declarative.jmespath_expressions import Expression, scalar_text
from operators.declarative.refusals import (
    Answer,
    answer_of,
    pause_of,
    switch_refusal,
)
from operators.declarative.schema import CardState, Description, Result
from operators.ports import (
    Accepted,
    Applied,
    BlockReason,
    Changes,
    CheckState,
    ErrorClass,
    Reading,
    Reply,
    Sim,
    SimState,
    SubmitResult,
    Unavailable,
    garbage,
    iccid_spellings,
    wrong_id,
)
from operators.ports import Check as CheckResult

# What the product keeps of an operator's number of a request, our mark of the action before it included.
_LONGEST_NUMBER = 180
# Of several states the one counts that forbids most: of two blocks the worse one.
_HARMLESS_FIRST = (
    SimState.ACTIVE, SimState.NEW, SimState.INACTIVE, SimState.UNKNOWN, SimState.HELD, SimState.RETIRED,
)  # fmt: skip
# Ten digits of the Russian plan, bare or after the 8 that is dialled inside the country.
_RUSSIAN = re.compile(r"^8?([3489][0-9]{9})$")


# --- which card -------------------------------------------------------------------------------------


def about_card(description: Description, described: CardAnswer, answer: Answer, sim: Sim) -> Answer:
    """The answer with the row of this card, where there are rows. Raises `Unavailable` for another card's."""
    if described.rows is None:
        if answer["body"] is None:
            raise garbage()
        candidates = [answer]
    else:
        candidates = rows_of(described.rows, answer)
        if not candidates:
            text = "оператор не знает эту смарт-карту"
            raise Unavailable(ErrorClass.NOT_FOUND, "no_card", text)
    mine = next((one for one in candidates if _is_about(description, described, one, sim)), None)
    if mine is None:
        raise wrong_id()
    return mine


def rows_of(expression: Expression, answer: Answer) -> list[Answer]:
    """The answer once for each row; an object where a list is expected is its only row.

    Raises `Unavailable` where there is no list.
    """
    if expression.compiled.search(answer) is None:
        raise garbage()
    return [{**answer, "row": row} for row in expression.values(answer)]


def _is_about(description: Description, described: CardAnswer, answer: Answer, sim: Sim) -> bool:
    """Whether this card is named; true where the description names none."""
    if not names_a_card(description, described):
        return True
    if described.iccid is not None:
        # Some operators leave the check digit out, some add the filler F or a prefix.
        named = {digits(text) for text in described.iccid.texts(answer)}
        mine = named & {*iccid_spellings(sim.iccid), sim.iccid[:-1]}
        # Without rows nobody chooses among many: an answer that names others too is not about this one.
        return bool(mine) and (described.rows is not None or mine == named)
    numbers = described.msisdn.texts(answer) if described.msisdn is not None else []
    return bool(sim.msisdn) and sim.msisdn[-10:] in {digits(one)[-10:] for one in numbers}


def digits(text: str) -> str:
    """The digits of a number, whatever an operator puts around them."""
    return re.sub("[^0-9]", "", text)


def take(expressions: Mapping[str, Expression], answer: Answer) -> dict[str, Any]:
    """The value of each expression; texts as identifiers. Raises `Unavailable` where one is missing."""
    found = {}
    for name, expression in expressions.items():
        value = expression.value(answer)
        found[name] = expression.identifier(answer) if isinstance(value, str) else value
        if found[name] in (None, "", {}) or isinstance(value, float):
            raise garbage()
    return found


# --- states -----------------------------------------------------------------------------------------


def reading(description: Description, described: StateAnswer, answer: Answer, sim: Sim) -> Reading:
    """A card's state. Raises `Unavailable`."""
    found = _reading(description, described, about_card(description, described, answer, sim))
    if found is None:
        raise garbage()
    return found


def _reading(description: Description, described: StateAnswer, answer: Answer) -> Reading | None:
    """The reading of one answer or row; None where it names no state."""
    raw, meaning = _state(description, described.state, answer)
    if meaning is None:
        return None
    state, reason = meaning.state, meaning.reason
    if state in {SimState.INACTIVE, SimState.HELD} and reason is None:
        reason = _reason(description, described.reason, answer, state)
    if state is SimState.INACTIVE and reason is not BlockReason.VOLUNTARY:
        state = SimState.HELD
    return Reading(
        state,
        reason,
        raw=raw,
        msisdn=_msisdn(described.msisdn.text(answer)) if described.msisdn else "",
        imei=described.imei.text(answer) if described.imei else "",
    )


def _state(
    description: Description, expression: Expression, answer: Answer
) -> tuple[str, CardState | None]:
    """The operator's state and what it means; None where it names none and nothing follows from that."""
    known, texts = description.states.words, expression.texts(answer)
    if not texts:
        return "", description.states.absent if expression.is_empty_list(answer) else None
    meanings = [(text, known.get(text.casefold(), CardState())) for text in texts]
    return max(meanings, key=lambda one: _HARMLESS_FIRST.index(one[1].state))


def _reason(
    description: Description, expression: Expression | None, answer: Answer, state: SimState
) -> BlockReason:
    """Whose a block is: without one ours, unless the card is held; an unlisted reason is not ours."""
    texts = expression.texts(answer) if expression is not None else []
    reasons = description.states.reasons
    known = [reasons.get(text.casefold(), BlockReason.UNKNOWN) for text in texts]
    usual = BlockReason.VOLUNTARY if state is SimState.INACTIVE else BlockReason.UNKNOWN
    return next((one for one in known if one is not BlockReason.VOLUNTARY), usual)


def _msisdn(text: str) -> str:
    """A phone as we keep it, 7XXXXXXXXXX, where it is Russian by its look; other digits as they are."""
    bare = digits(text)
    return bare if text.lstrip().startswith("+") else _RUSSIAN.sub(r"7\1", bare)


# --- switches ---------------------------------------------------------------------------------------


def switch_outcome(
    description: Description, call: Switch, reply: Reply, sim: Sim, *, wanted: SimState
) -> SubmitResult | None:
    """What a reply proves of a switch: the wanted state of this card; a number of a request to ask by, ""
    where the operator answered «later» without one; or nothing, and then the card is to be read: None.
    """
    answer, described = answer_of(reply), call.answer
    refused = switch_refusal(description.errors, reply, answer)
    if refused is not None:
        return refused
    row, is_named = _named_row(description, described, answer, sim)
    number = described.request_id.identifier(row) if described.request_id else ""
    if 0 < len(number) <= _LONGEST_NUMBER:
        return Accepted(number, pause_of(reply))
    raw, meaning = _state(description, described.state, row) if described.state else ("", None)
    if reply.status == 202 or (meaning is not None and meaning.is_pending):
        return Accepted("", pause_of(reply))
    if reply.status in {200, 201} and is_named and meaning is not None and meaning.state is wanted:
        return Applied(raw)
    return None


def _named_row(
    description: Description, described: CardAnswer, answer: Answer, sim: Sim
) -> tuple[Answer, bool]:
    """The row of this card and whether it names the card. The number of a request often comes without
    any card; what that ends in is read from this one.
    """
    try:
        row = about_card(description, described, answer, sim)
    except Unavailable:
        return answer, False
    return row, names_a_card(description, described)


# --- checks -----------------------------------------------------------------------------------------


def check_outcome(
    description: Description, call: Check, reply: Reply, number: str, sim: Sim
) -> CheckResult:
    """What an answer says of a request, without a refusal. Raises `Unavailable`."""
    row = _about_request(description, call.answer, answer_of(reply), number, sim)
    code = call.answer.result.text(row)
    if not code:
        raise garbage()
    result = description.results.words.get(code.casefold())
    if result is Result.FAILED:
        return _failure(description, call.answer, row, code)
    state = _CHECKS.get(result, CheckState.PENDING) if result else CheckState.PENDING
    text = "" if result else f"незнакомое состояние «{code}»"
    return CheckResult(state, code, text, retry_in=pause_of(reply))


_CHECKS = {Result.DONE: CheckState.COMPLETED, Result.LOST: CheckState.LOST}


def _about_request(
    description: Description, described: ResultAnswer, answer: Answer, number: str, sim: Sim
) -> Answer:
    """The answer with the row of this request. Raises `Unavailable`."""
    found = [answer] if described.rows is None else rows_of(described.rows, answer)
    if not found:
        text = "оператор не знает такого запроса"
        raise Unavailable(ErrorClass.NOT_FOUND, "no_request", text)
    asked = described.request_id
    mine = [row for row in found if asked is None or asked.identifier(row) == number]
    if not mine:
        raise wrong_id("другом запросе") if answer["body"] is not None else garbage()
    of_card = [row for row in mine if _is_about(description, described, row, sim)]
    if not of_card:
        raise wrong_id()
    return of_card[0]


def _failure(
    description: Description, described: ResultAnswer, row: Answer, result: str
) -> CheckResult:
    code = described.code.text(row) if described.code else ""
    text = described.text.text(row) if described.text else ""
    error = description.errors.codes.get(code.casefold(), ErrorClass.INVALID)
    if error is ErrorClass.ALREADY:
        return CheckResult(CheckState.COMPLETED, code, "так уже и было", ErrorClass.ALREADY)
    text = (text or code or "оператор не выполнил запрос")[:200]
    return CheckResult(CheckState.FAILED, code or result, text, error)


# --- changes ----------------------------------------------------------------------------------------


def changes(
    description: Description, described: ListAnswer, answer: Answer, cursor: str
) -> Changes:
    """One page of a list of changes. Raises `Unavailable`."""
    rows = rows_of(described.rows, answer)
    read = (
        (digits(described.iccid.text(row)), _reading(description, described, row)) for row in rows
    )
    items = tuple((iccid, seen or Reading(SimState.UNKNOWN)) for iccid, seen in read if iccid)
    following = _next_cursor(described.next, answer, cursor, len(rows))
    if following is not None and (not rows or following == cursor):
        raise garbage()  # nothing new and no end: asking on would never stop
    return Changes(items, following)


def _next_cursor(described: Next, answer: Answer, cursor: str, rows: int) -> str | None:
    """What asks for the page after this one; None at the end. Raises `Unavailable`."""
    if described.page is not None:
        return None if rows < described.page.size else str(int(cursor) + 1)
    following = described.link or described.cursor
    mark = following.value(answer) if following is not None else None
    if isinstance(mark, dict):
        raise garbage()  # there is a next page, and its mark would be lost
    text = scalar_text(mark)
    return _parameters(text) if described.link is not None else text or None


_RELATED_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_NEXT = re.compile(r'\brel\s*=\s*"?(?:[^",;]*\s)?next(?=["\s,;]|$)', re.IGNORECASE)


def _parameters(link: str) -> str | None:
    """The parameters of the next page's address, or of `rel=next` in a header `Link` (RFC 8288).

    Raises `Unavailable` for an address without any.
    """
    related = _RELATED_LINK.findall(link)
    if related:
        link = next((one for one, facts in related if _NEXT.search(facts)), "")
    query = link.partition("?")[2].partition("#")[0]
    if link and not query:
        raise garbage()
    return query or None
