"""Calls of a document: requests with templates. Their answers are read by `parse_answers`."""

import re
from collections.abc import Collection
from typing import Any

from operators.declared import parse_answers, templates
from operators.declared.nodes import Node
from operators.declared.profile import Body, BodyKind, Call, CallName, Proof
from operators.declared.sources import NAME_OF_HEADER
from operators.declared.templates import Template

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_QUESTION = frozenset({200})
# «See other» is a success of a switch too: where the request may be asked about.
_SEE_OTHER = 303
_CARD = frozenset({"iccid", "iccid_bare", "iccid_int", "msisdn", "msisdn10", "msisdn_int"})
_SUBMITTED = frozenset({"submitted_at", "submitted_local", "submitted_day"})

# The variables of every request: the time, and a word that never comes twice.
ALWAYS = frozenset(
    {"now", "now_unix", "now_ms", "now_http", "now_local", "now_compact", "today", "nonce"}
)
# Those of each call; `id` only where there is a `find`, and the account's open fields always.
VARIABLES: dict[CallName, frozenset[str]] = {
    CallName.ACTIVATE: _CARD | ALWAYS | {"id", "key"},
    CallName.DEACTIVATE: _CARD | ALWAYS | {"id", "key"},
    CallName.FIND: _CARD | ALWAYS,
    CallName.CHECK: _CARD | ALWAYS | _SUBMITTED | {"id", "request_id"},
    CallName.READ: _CARD | ALWAYS | {"id"},
    CallName.LIST_CHANGES: ALWAYS | {"since", "since_unix", "since_ms", "cursor"},
    CallName.PING: ALWAYS,
}
SIGNED = frozenset({"method", "path", "query", "params", "body", "body_sha256"})
ALL_VARIABLES = SIGNED.union(*VARIABLES.values())
_PARTS = ("method", "path", "query", "headers", "body", "success", "answer")
_SWITCHES = (CallName.ACTIVATE, CallName.DEACTIVATE)
_WITH_STATUSES = (*_SWITCHES, CallName.CHECK, CallName.READ)


def calls(node: Node, open_fields: Collection[str]) -> dict[CallName, Call]:
    """All calls; what is missing or too much is noted."""
    node.only(*CallName)
    for name in _SWITCHES:
        if not node.has(name):
            node.at(name).wrong("без этого вызова оператор не подключить")
    found = [name for name in CallName if node.has(name)]
    taken = _taken(node.at(CallName.FIND), open_fields)
    unknown = frozenset() if CallName.FIND in found else frozenset({"id"})
    return {
        name: call(node.at(name), _known(name, taken) - unknown | set(open_fields), name)
        for name in found
    }


def _taken(node: Node, reserved: Collection[str]) -> frozenset[str]:
    """The variables that this call's answer gives to others."""
    place = node.at("answer").at("take")
    return frozenset(parse_answers.take(place, ALL_VARIABLES.union(reserved)))


def _known(name: CallName, taken: frozenset[str]) -> frozenset[str]:
    return VARIABLES[name] | taken if "id" in VARIABLES[name] else VARIABLES[name]


def call(node: Node, known: Collection[str], name: CallName) -> Call:
    """One call."""
    is_switch = name in _SWITCHES
    more = ("statuses",) if name in _WITH_STATUSES else ()
    node.only(*_PARTS, *more, *(("prepare",) if is_switch else ()))
    before = node.at("prepare")
    prepare = _prepare(before, known) if is_switch and node.has("prepare") else None
    known = {*known, *(_taken(before, known) if prepare is not None else ())}
    return Call(
        **_request(node, known),
        success=_proofs(node.at("success")) if is_switch else _statuses(node.at("success")),
        answer=parse_answers.answer(node.at("answer"), name, known),
        statuses=parse_answers.meanings(node.at("statuses"), name) if more else {},
        prepare=prepare,
    )


def _prepare(node: Node, known: Collection[str]) -> Call:
    """The call right before a switch: a question's statuses, and values to take."""
    node.only(*_PARTS)
    return Call(
        **_request(node, known),
        success=_statuses(node.at("success")),
        answer=parse_answers.prepared(node.at("answer"), known),
    )


def _request(node: Node, known: Collection[str]) -> dict[str, Any]:
    """What leaves, by the names of `Call`."""
    return {
        "method": method(node),
        "path": path(node, known),
        "query": pairs(node.at("query"), known),
        "headers": headers(node.at("headers"), known),
        "body": body(node.at("body"), known),
    }


def method(node: Node) -> str:
    given = node.text("method", "GET").upper()
    if given not in _METHODS:
        node.at("method").wrong(f"нужно одно из: {', '.join(_METHODS)}")
    return given


def path(node: Node, known: Collection[str]) -> Template:
    place = node.at("path")
    template = place.as_template(known)
    if template.is_one_name:
        return template  # a link, which `validate` makes sure of
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
        if not NAME_OF_HEADER.fullmatch(name):
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
    _check_spreads(place, template, sorted(set(known) - ALL_VARIABLES))
    return Body(kind, template)


def _check_spreads(place: Node, template: Any, taken: list[str]) -> None:
    """Only an object of an answer has fields to send back."""
    for given in templates.spreads(template):
        if not isinstance(given, Template) or not given.is_one_name or given.names[0] not in taken:
            here = ", ".join(f"{{{name}}}" for name in taken) or "никаких"
            place.wrong(f"у «...» стоит одно поле из take; здесь бывают: {here}")


def _proofs(node: Node) -> dict[int, Proof | None]:
    """Statuses of a switch and what they prove."""
    if not node.value:
        node.wrong("нужно сказать, что доказывает ответ, например {«200»: «state»}")
    found: dict[int, Proof | None] = {}
    for name, place in node.fields():
        found[_success(place, name, _SEE_OTHER)] = place.as_choice(Proof)
    return found


def _statuses(node: Node) -> dict[int, Proof | None]:
    """Statuses of success of a question."""
    found = {_success(place, place.value) for place in node.elements()}
    return dict.fromkeys(found or _QUESTION)


def _success(place: Node, given: object, more: int = 200) -> int:
    text = str(given)
    fits = text.isascii() and text.isdigit()
    if not fits or not (200 <= int(text) <= 299 or int(text) == more):
        place.wrong("нужен код успеха HTTP, от 200 до 299, или 303 у включения и отключения")
        return 200
    return int(text)
