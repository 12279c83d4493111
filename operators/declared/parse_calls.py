"""Calls of a document: requests with templates, and where in their answers what stands."""

import re
from collections.abc import Collection
from dataclasses import replace

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
    Result,
    State,
)
from operators.declared.templates import Template
from operators.ports import BlockReason, SimState

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_QUESTION = frozenset({200})
# What only one call's answer has.
_ANSWER_MORE = {CallName.FIND: ("take",), CallName.LIST_CHANGES: ("next",)}
_PATHS = ("rows", "iccid", "id", "reason", "msisdn", "imei", "result", "code", "text")
_CARD = frozenset({"iccid", "iccid_bare", "iccid_int", "msisdn", "msisdn10", "msisdn_int"})
_SUBMITTED = frozenset({"submitted_at", "submitted_local", "submitted_day"})
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")

# The variables of every request: the time, and a word that never comes twice.
ALWAYS = frozenset({"now", "now_unix", "now_local", "today", "nonce"})
# Those of each call; `id` only where there is a `find`, and the account's open fields always.
VARIABLES: dict[CallName, frozenset[str]] = {
    CallName.ACTIVATE: _CARD | ALWAYS | {"id", "key"},
    CallName.DEACTIVATE: _CARD | ALWAYS | {"id", "key"},
    CallName.FIND: _CARD | ALWAYS,
    CallName.CHECK: _CARD | ALWAYS | _SUBMITTED | {"id", "request_id"},
    CallName.READ: _CARD | ALWAYS | {"id"},
    CallName.LIST_CHANGES: ALWAYS | {"since", "since_unix", "cursor"},
    CallName.PING: ALWAYS,
}
SIGNED = frozenset({"method", "path", "query", "body"})
ALL_VARIABLES = SIGNED.union(*VARIABLES.values())
_SWITCHES = (CallName.ACTIVATE, CallName.DEACTIVATE)
_LAST = ":last"
_WITH_STATUSES = (*_SWITCHES, CallName.CHECK, CallName.READ)
# Statuses whose meaning is not theirs to choose: our keys, our hurry, the operator's trouble.
_NO_WORDS = frozenset({401, 403, 429})


def calls(node: Node, open_fields: Collection[str]) -> dict[CallName, Call]:
    """All calls; what is missing or too much is noted."""
    node.only(*CallName)
    for name in _SWITCHES:
        if not node.has(name):
            node.at(name).wrong("без этого вызова оператор не подключить")
    found = [name for name in CallName if node.has(name)]
    taken = frozenset(_take(node.at(CallName.FIND).at("answer").at("take"), open_fields))
    unknown = frozenset() if CallName.FIND in found else frozenset({"id"})
    return {
        name: call(node.at(name), _known(name, taken) - unknown | set(open_fields), name)
        for name in found
    }


def _known(name: CallName, taken: frozenset[str]) -> frozenset[str]:
    return VARIABLES[name] | taken if "id" in VARIABLES[name] else VARIABLES[name]


def call(node: Node, known: Collection[str], name: CallName) -> Call:
    """One call."""
    more = ("statuses",) if name in _WITH_STATUSES else ()
    node.only("method", "path", "query", "headers", "body", "success", "answer", *more)
    return Call(
        method=method(node),
        path=path(node, known),
        query=pairs(node.at("query"), known),
        headers=headers(node.at("headers"), known),
        body=body(node.at("body"), known),
        success=_proofs(node.at("success")) if name in _SWITCHES else _statuses(node.at("success")),
        answer=_answer(node.at("answer"), name),
        statuses=_meanings(node.at("statuses"), name) if more else {},
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


def _meanings(node: Node, name: CallName) -> dict[int, Result | State]:
    """What statuses alone say of a request or of a card."""
    found: dict[int, Result | State] = {}
    for given, place in node.fields():
        fits = given.isascii() and given.isdigit() and 200 <= int(given) <= 499
        if not fits or int(given) in _NO_WORDS:
            place.wrong("нужен код HTTP от 200 до 499, кроме 401, 403 и 429")
            continue
        found[int(given)] = _meaning(place, name)
    return found


def _meaning(place: Node, name: CallName) -> Result | State:
    if name is CallName.READ:
        return state_word(place)
    if name in _SWITCHES and place.value != Result.ALREADY:
        place.wrong("здесь бывает только already; прочее стоит в success и errors")
    return place.as_choice(Result)


def state_word(node: Node) -> State:
    """`held:limit` → the state and the reason; a reason belongs to a held card only."""
    state, _, reason = str(node.value).partition(":")
    known = [word.value for word in SimState if word is not SimState.UNKNOWN]
    if state not in known:
        node.wrong(f"нужно одно из: {', '.join(known)}, или held:причина")
        return SimState.UNKNOWN, None
    if not reason:
        return SimState(state), None
    reasons = [word.value for word in BlockReason if word is not BlockReason.VOLUNTARY]
    if state != SimState.HELD or reason not in reasons:
        node.wrong(f"причина бывает только у held: {', '.join(reasons)}")
        return SimState.UNKNOWN, None
    return SimState.HELD, BlockReason(reason)


def _take(node: Node, open_fields: Collection[str]) -> dict[str, Path]:
    """More values of a found card, as variables."""
    found: dict[str, Path] = {}
    for name, place in node.fields():
        if not _NAME.fullmatch(name):
            place.wrong("имя поля: латиница, цифры и «_», до 32 знаков")
        if name in ALL_VARIABLES or name in open_fields:
            place.wrong("поле с таким именем уже есть")
        path = place.as_json_path()
        if path is not None:
            found[name] = path
    return found


def _answer(node: Node, name: CallName) -> Answer:
    node.only(*_PATHS, "state", "request_id", *_ANSWER_MORE.get(name, ()))
    number = node.value.get("request_id") if isinstance(node.value, dict) else None
    named = isinstance(number, str) and number.startswith("header:")
    is_key = number == "{key}" and name in _SWITCHES
    is_link = isinstance(number, str) and number.endswith(_LAST) and not named
    found: dict[str, Path | None] = {name: node.json_path(name) for name in _PATHS}
    return Answer(
        **found,
        state=node.at("state").as_json_paths(),
        take=_take(node.at("take"), ()) if name is CallName.FIND else {},
        request_id=None if named or is_key else _number(node.at("request_id")),
        request_is_link=is_link,
        request_header=str(number).removeprefix("header:") if named else "",
        request_is_key=is_key,
        next=_next(node.at("next")) if node.has("next") else None,
    )


def _number(node: Node) -> Path | None:
    """The place of a request's number, or of a link that ends with it."""
    given = node.value
    if given is None:
        return None
    bare = given.removesuffix(_LAST) if isinstance(given, str) else given
    return replace(node, value=bare).as_json_path()


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
