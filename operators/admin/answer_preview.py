"""What a description reads from an answer that somebody copied out of a manual. Nothing is asked or stored.

The same functions read it that read the operator's real answers, so what is shown is what would happen.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from operators.declarative import answers
from operators.declarative.calls import CardAnswer, Check, Find, ListAnswer, Request, Switch
from operators.declarative.jmespath_expressions import Expression, scalar_text
from operators.declarative.login import LoginStep
from operators.declarative.refusals import Answer, answer_of, refusal_of
from operators.declarative.schema import Description
from operators.declarative.validation import load
from operators.ports import (
    WANTED_STATE,
    Accepted,
    Action,
    Already,
    Applied,
    BlockReason,
    CheckState,
    ErrorClass,
    Reading,
    Rejected,
    Reply,
    Sim,
    SimState,
    SubmitResult,
    Unavailable,
    stored_text,
)

_STATES = {
    SimState.NEW: "новая",
    SimState.ACTIVE: "работает",
    SimState.INACTIVE: "отключена, включить можно",
    SimState.HELD: "удерживает оператор",
    SimState.RETIRED: "списана",
}
_CHECKS = {
    CheckState.COMPLETED: "запрос выполнен; перед «готово» карта ещё читается",
    CheckState.PENDING: "запрос ещё выполняется, спросим снова",
    CheckState.LOST: "запрос потерян, карта читается",
}
_HEAD = re.compile(
    r"HTTP/[\d.]+ (?P<status>\d{3})[^\n]*\n(?P<headers>(?:[^\n:]+:[^\n]*\n)*)\n?(?P<body>.*)",
    re.DOTALL,
)
# Fields of an answer that may be empty.
_OPTIONAL = frozenset({"msisdn", "imei", "reason", "code", "text"})
_LONGEST = 120
_MOST_HINTS = 3


@dataclass(frozen=True)
class FoundValue:
    """One expression of a call: the field of the description, what was written and what stands there.

    `hint` says where in the answer a value of that name stands, where the expression finds nothing.
    """

    field: str
    expression: str
    value: str
    hint: str = ""


@dataclass(frozen=True)
class AnswerPreview:
    """What an answer would mean, as a sentence, and every value that was looked for."""

    sentence: str
    values: tuple[FoundValue, ...] = ()


def read_calls(document: Mapping[str, Any]) -> list[str]:
    """The calls of a document whose answers are read, the login's first. Raises InvalidProfile."""
    return list(_read_calls(load(document)))


def _read_calls(description: Description) -> dict[str, Request]:
    steps = description.login_steps
    names = ["login"] if len(steps) == 1 else [f"login.steps[{at}]" for at in range(len(steps))]
    calls = ((field.removeprefix("calls."), call) for field, call in description.calls.requests)
    return {
        **dict(zip(names, steps, strict=True)),
        **{name: call for name, call in calls if hasattr(call, "answer")},
    }


def parsed_reply(text: str, *, status: int) -> Reply:
    """The reply of a copied answer: a body alone with this status, or whole as `curl -i` shows it."""
    text = text.strip().replace("\r\n", "\n")
    found = _HEAD.fullmatch(text if "\n" in text else f"{text}\n")
    if found is None:
        return Reply(status, {}, text.encode())
    pairs = (line.partition(":") for line in found["headers"].splitlines())
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    # The text has been decoded already, whatever the operator says.
    headers.pop("content-type", None)
    return Reply(int(found["status"]), _AnyCase(headers), found["body"].strip().encode())


class _AnyCase(dict[str, str]):
    """Headers by names in any case, as `ports.Reply` wants them."""

    def get(self, name: str, default: Any = None) -> Any:
        """The header, or the default."""
        return super().get(name.lower(), default)


def preview_answer(document: Mapping[str, Any], call: str, reply: Reply) -> AnswerPreview:
    """What the description makes of the answer to a call, one of `read_calls`.

    The card asked about is the one that the answer names first. Raises InvalidProfile, and KeyError for
    a call that is not described.
    """
    description = load(document)
    described = _read_calls(description)[call]
    answer = answer_of(reply)
    values = tuple(_values(description, described, answer))
    if reply.body and answer["body"] is None:
        return AnswerPreview("Это не JSON: из тела ответа ничего не прочитать.", values)
    try:
        sim = _named_card(described, answer)
        meaning = _meaning(description, call, described, reply, sim)
    except Unavailable as trouble:
        meaning = trouble.text or trouble.code
        missing = [f"{one.field} ({one.expression})" for one in values if _is_missed(one)]
        if missing and trouble.error is not ErrorClass.NOT_FOUND:
            meaning = f"{meaning}; не найдено: {', '.join(missing)}"
    return AnswerPreview(f"{meaning[0].upper()}{meaning[1:]}.", values)


def _is_missed(value: FoundValue) -> bool:
    """Whether nothing stands where something must."""
    return not value.value and value.field.rpartition(".")[2] not in _OPTIONAL


# --- the meaning ------------------------------------------------------------------------------------------


def _named_card(described: Request, answer: Answer) -> Sim:
    """The card that the answer names; an empty one where it names none."""
    expected = getattr(described, "answer", None)
    if not isinstance(expected, CardAnswer):
        return Sim(iccid="", msisdn="")
    rows = _rows(expected, answer)
    iccids = [text for row in rows if expected.iccid for text in expected.iccid.texts(row)]
    phones = [text for row in rows if expected.msisdn for text in expected.msisdn.texts(row)]
    return Sim(
        iccid=answers.digits("".join(iccids[:1])), msisdn=answers.digits("".join(phones[:1]))
    )


def _rows(expected: CardAnswer, answer: Answer) -> list[Answer]:
    """The answer once for each row of its list; none where there is no list."""
    if expected.rows is None:
        return [answer]
    return [{**answer, "row": row} for row in expected.rows.values(answer)]


def _meaning(
    description: Description, name: str, described: Request, reply: Reply, sim: Sim
) -> str:
    answer = answer_of(reply)
    if isinstance(described, Switch):
        action = Action(name)
        wanted = WANTED_STATE[action]
        outcome = answers.switch_outcome(description, described, reply, sim, wanted=wanted)
        return _switch_text(outcome)
    refused = refusal_of(description.errors, reply, answer)
    if refused is not None:
        return f"отказ {refused.code}, класс {refused.error}: {refused.text}"
    if isinstance(described, LoginStep):
        answers.take(described.take, answer)
        return f"вход даёт: {', '.join(described.take) or 'ничего'}"
    if isinstance(described, Find):
        row = answers.about_card(description, described.answer, answer, sim)
        taken = answers.take(described.answer.take, row)
        return "взято " + ", ".join(f"{{{key}}} = {_short(value)}" for key, value in taken.items())
    return _question_text(description, name, answer, reply, sim)


def _question_text(
    description: Description, name: str, answer: Answer, reply: Reply, sim: Sim
) -> str:
    calls = description.calls
    if name == "list_changes" and calls.list_changes is not None:
        return _changes_text(description, calls.list_changes.answer, answer)
    if name == "check" and calls.check is not None:
        return _check_text(description, calls.check, answer, reply, sim)
    seen = answers.reading(description, calls.read.answer, answer, sim)
    return f"карта {sim.iccid or sim.msisdn}: {_state_text(seen)}".replace(" :", ":")


def _changes_text(description: Description, expected: ListAnswer, answer: Answer) -> str:
    first = str(expected.next.page.first) if expected.next.page else ""
    changes = answers.changes(description, expected, answer, first)
    cards = "; ".join(f"{iccid}: {_state_text(seen)}" for iccid, seen in changes.items)
    return f"карты: {cards or 'ни одной'}; дальше: {changes.next_cursor or 'конец списка'}"


def _check_text(
    description: Description, call: Check, answer: Answer, reply: Reply, sim: Sim
) -> str:
    number = call.answer.request_id
    row = next(iter(_rows(call.answer, answer)), answer)
    asked = number.identifier(row) if number else ""
    found = answers.check_outcome(description, call, reply, asked, sim)
    if found.state is CheckState.FAILED:
        return f"запрос не выполнен, класс {found.error}: {found.text}"
    text = _CHECKS[found.state]
    return f"{found.text}; {text}" if found.text and found.state is CheckState.PENDING else text


def _state_text(reading: Reading) -> str:
    if reading.state is SimState.UNKNOWN:
        return f"состояние «{reading.raw}» неизвестно или промежуточное (states.words)"
    held = reading.reason if reading.reason is not BlockReason.VOLUNTARY else None
    return _STATES[reading.state] + (f", причина {held}" if held else "")


def _switch_text(outcome: SubmitResult | None) -> str:
    match outcome:
        case Applied():
            return "готово: ответ называет эту карту в нужном состоянии"
        case Accepted(request_id=""):
            return "оператор ещё переключает: карта будет прочитана по плану опроса"
        case Accepted(request_id=number):
            return f"запрос принят, его номер {number}: об исходе спросит check"
        case Already():
            return "оператор говорит, что так уже и было: карта будет прочитана"
        case Rejected(error=error, code=code, text=text):
            return f"отказ {code}, класс {error}: {text}; оператор ничего не сделал"
        case None:
            return "ответ сам ничего не доказывает: карта будет прочитана сразу"
    return f"исход неизвестен ({outcome.text}): карта будет прочитана после тихого времени"


# --- the values -------------------------------------------------------------------------------------------


def _values(description: Description, described: Request, answer: Answer) -> Iterator[FoundValue]:
    expected = getattr(described, "answer", None)
    row, rows = answer, None
    if isinstance(expected, CardAnswer):
        rows, row = expected.rows, next(iter(_rows(expected, answer)), answer)
        for name, expression in expected.expressions:
            yield _found(f"answer.{name}", expression, row, rows)
    if isinstance(described, LoginStep):
        for name, expression in described.take.items():
            yield _found(f"take.{name}", expression, row, None)
    for name in ("code", "text"):
        for expression in getattr(description.errors, name):
            if expression.values(answer):
                yield _found(f"errors.{name}", expression, row, None)


def _found(
    field: str, expression: Expression, answer: Answer, rows: Expression | None
) -> FoundValue:
    value = expression.values(answer)
    if value:
        return FoundValue(field, expression.source, _short(value[0] if len(value) == 1 else value))
    within = (
        {"row": answer.get("row")}
        if rows is not None and "row" in answer
        else {"body": answer["body"]}
    )
    name = expression.path[-1]
    elsewhere = [
        path
        for path in _paths(within, "")
        if path.rpartition(".")[2] == name and path != expression.source
    ]
    hint = f"есть {', '.join(elsewhere[:_MOST_HINTS])}" if elsewhere else ""
    return FoundValue(field, expression.source, "", hint)


def _paths(value: Any, before: str) -> Iterator[str]:
    """Where everything stands in a JSON value, «body.data[0].id»."""
    if isinstance(value, dict):
        for name, inner in value.items():
            path = f"{before}.{name}" if before else name
            yield path
            yield from _paths(inner, path)
    elif isinstance(value, list) and value:
        yield from _paths(value[0], f"{before}[0]")


def _short(value: Any) -> str:
    is_whole = isinstance(value, dict | list)
    text = stored_text(json.dumps(value, ensure_ascii=False) if is_whole else scalar_text(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
