"""Calls of a document: requests with templates, and where in their answers what stands."""

import re
from collections.abc import Collection

from operators.declared import templates
from operators.declared.nodes import Node
from operators.declared.paths import Path
from operators.declared.profile import (
    Answer,
    Body,
    BodyKind,
    Call,
    CallName,
    Next,
    NextKind,
    Proof,
)
from operators.declared.templates import Template

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_QUESTION = frozenset({200})
_PATHS = ("rows", "iccid", "id", "state", "reason", "msisdn", "imei", "result", "code", "text")
_CARD = frozenset({"iccid", "iccid_bare", "msisdn", "msisdn10"})
_NOW = frozenset({"now", "now_local", "today"})

# The variables of each call; `id` only where there is a `find`, and the account's open fields always.
VARIABLES: dict[CallName, frozenset[str]] = {
    CallName.ACTIVATE: _CARD | _NOW | {"id", "key"},
    CallName.DEACTIVATE: _CARD | _NOW | {"id", "key"},
    CallName.FIND: _CARD,
    CallName.CHECK: _CARD
    | _NOW
    | {"id", "request_id", "submitted_at", "submitted_local", "submitted_day"},
    CallName.READ: _CARD | {"id"},
    CallName.LIST_CHANGES: frozenset({"since", "since_unix", "cursor"}),
    CallName.PING: frozenset(),
}
ALL_VARIABLES = frozenset().union(*VARIABLES.values())
_SWITCHES = (CallName.ACTIVATE, CallName.DEACTIVATE)


def calls(node: Node, open_fields: Collection[str]) -> dict[CallName, Call]:
    """All calls; what is missing or too much is noted."""
    node.only(*CallName)
    for name in _SWITCHES:
        if not node.has(name):
            node.at(name).wrong("без этого вызова оператор не подключить")
    found = [name for name in CallName if node.has(name)]
    unknown = frozenset() if CallName.FIND in found else frozenset({"id"})
    return {
        name: call(node.at(name), (VARIABLES[name] - unknown) | set(open_fields), name)
        for name in found
    }


def call(node: Node, known: Collection[str], name: CallName) -> Call:
    """One call."""
    node.only("method", "path", "query", "headers", "body", "success", "answer")
    return Call(
        method=method(node),
        path=path(node, known),
        query=pairs(node.at("query"), known),
        headers=headers(node.at("headers"), known),
        body=body(node.at("body"), known),
        success=_proofs(node.at("success")) if name in _SWITCHES else _statuses(node.at("success")),
        answer=_answer(node.at("answer")),
    )


def method(node: Node) -> str:
    given = node.text("method", "GET").upper()
    if given not in _METHODS:
        node.at("method").wrong(f"нужно одно из: {', '.join(_METHODS)}")
    return given


def path(node: Node, known: Collection[str]) -> Template:
    place = node.at("path")
    template = place.as_template(known)
    if template.source and not template.source.startswith("/"):
        place.wrong("путь начинается с «/» и стоит после адреса API")
    if re.search(r"[?#\s\\]|//|/\.{1,2}(/|$)", template.source):
        place.wrong("в пути нельзя «?», «#», «//», «..» и пробелы; параметры стоят в query")
    return template


def pairs(node: Node, known: Collection[str]) -> tuple[tuple[str, Template], ...]:
    """Named templates."""
    return tuple((name, place.as_template(known)) for name, place in node.fields())


def headers(node: Node, known: Collection[str]) -> tuple[tuple[str, Template], ...]:
    """Named templates that may be headers."""
    for name, place in node.fields():
        if not _HEADER.fullmatch(name):
            place.wrong("так заголовок назвать нельзя")
        if not (
            isinstance(place.value, str) and place.value.isascii() and place.value.isprintable()
        ):
            place.wrong("в заголовке только латиница, цифры и знаки, в одну строку")
    return pairs(node, known)


def body(node: Node, known: Collection[str]) -> Body:
    if node.value is None:
        return Body()
    node.only("kind", "template")
    kind = node.choice("kind", BodyKind)
    place = node.at("template")
    if kind is BodyKind.NONE:
        return Body()
    if kind is BodyKind.FORM:
        return Body(kind, dict(pairs(place, known)))
    try:
        template = templates.parse_json(place.value)
    except templates.TemplateTrouble as trouble:
        place.wrong(str(trouble))
        return Body(kind)
    place.check_names(templates.json_names(template), known)
    return Body(kind, template)


def _proofs(node: Node) -> dict[int, Proof | None]:
    """Statuses of a switch and what they prove."""
    if not node.value:
        node.wrong("нужно сказать, что доказывает ответ, например {«200»: «state»}")
    found: dict[int, Proof | None] = {}
    for name, place in node.fields():
        found[_success(place, name)] = place.as_choice(Proof)
    return found


def _statuses(node: Node) -> dict[int, Proof | None]:
    """Statuses of success of a question."""
    found = {_success(place, place.value) for place in node.elements()}
    return dict.fromkeys(found or _QUESTION)


def _success(place: Node, given: object) -> int:
    text = str(given)
    if not (text.isascii() and text.isdigit() and 200 <= int(text) <= 299):
        place.wrong("нужен код успеха HTTP, от 200 до 299")
        return 200
    return int(text)


def _answer(node: Node) -> Answer:
    node.only(*_PATHS, "request_id", "next")
    header = node.value.get("request_id") if isinstance(node.value, dict) else None
    named = isinstance(header, str) and header.startswith("header:")
    found: dict[str, Path | None] = {name: node.json_path(name) for name in _PATHS}
    return Answer(
        **found,
        request_id=None if named else node.json_path("request_id"),
        request_header=str(header).removeprefix("header:") if named else "",
        next=_next(node.at("next")) if node.has("next") else None,
    )


def _next(node: Node) -> Next:
    kind = node.choice("kind", NextKind)
    if kind is NextKind.CURSOR:
        node.only("kind", "path")
        if not node.has("path"):
            node.at("path").wrong("нужно заполнить")
        return Next(kind, node.json_path("path"))
    node.only("kind", "first", "last", "size")
    size, last = node.whole("size"), node.json_path("last")
    if size is None and last is None:
        node.wrong("нужно last или size, иначе непонятно, какая страница последняя")
    first = node.whole("first", least=0)
    return Next(kind, last, 1 if first is None else first, size)
