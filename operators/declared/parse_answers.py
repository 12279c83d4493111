"""Answers of a document's calls: where in them what stands, and what their statuses say."""

import re
from collections.abc import Collection

from operators.declared.nodes import Node
from operators.declared.paths import Path
from operators.declared.profile import (
    Answer,
    CallName,
    Next,
    NextKind,
    Result,
    State,
)
from operators.declared.sources import Part, Source
from operators.declared.templates import Template
from operators.ports import BlockReason, SimState

# What only one call's answer has.
_MORE = {CallName.FIND: ("take",), CallName.LIST_CHANGES: ("next",)}
_PATHS = ("rows", "iccid", "id", "reason", "msisdn", "imei", "result", "code", "text")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_SWITCHES = (CallName.ACTIVATE, CallName.DEACTIVATE)
# Statuses whose meaning is not theirs to choose: our keys, our hurry, the operator's trouble.
_NO_WORDS = frozenset({401, 403, 429})


def answer(node: Node, name: CallName, known: Collection[str]) -> Answer:
    """What is read of the answer to a call; `known` are the variables of its request."""
    node.only(*_PATHS, "state", "request_id", "echo", *_MORE.get(name, ()))
    number = node.at("request_id")
    is_key = number.value == "{key}" and name in _SWITCHES
    found: dict[str, Path | None] = {name: node.json_path(name) for name in _PATHS}
    return Answer(
        **found,
        state=node.at("state").as_json_paths(),
        take=take(node.at("take"), ()) if name is CallName.FIND else {},
        request_id=None
        if is_key or number.value is None
        else number.as_source(header=Part.SEGMENT),
        request_is_key=is_key,
        next=_next(node.at("next")) if node.has("next") else None,
        echo=_echo(node.at("echo"), known),
    )


def prepared(node: Node, known: Collection[str]) -> Answer:
    """What is read of the answer to the call before a switch."""
    node.only("rows", "iccid", "msisdn", "take", "echo")
    return Answer(
        rows=node.json_path("rows"),
        iccid=node.json_path("iccid"),
        msisdn=node.json_path("msisdn"),
        take=take(node.at("take"), known),
        echo=_echo(node.at("echo"), known),
    )


def take(node: Node, reserved: Collection[str]) -> dict[str, Source]:
    """More values of an answer, as variables; their names must be new."""
    found: dict[str, Source] = {}
    for name, place in node.fields():
        if not _NAME.fullmatch(name):
            place.wrong("имя поля: латиница, цифры и «_», до 32 знаков")
        if name in reserved:
            place.wrong("поле с таким именем уже есть")
        source = place.as_source()
        if source is not None:
            found[name] = source
    return found


def _echo(node: Node, known: Collection[str]) -> tuple[tuple[Path, Template], ...]:
    """What an answer must repeat of its request."""
    found = []
    for name, place in node.fields():
        path = Node(name, place.path, place.problems).as_json_path()
        if path is not None:
            found.append((path, place.as_template(known)))
    return tuple(found)


def _next(node: Node) -> Next:
    kind = node.choice("kind", NextKind)
    if kind is not NextKind.PAGE:
        return _marked(node, kind)
    node.only("kind", "first", "last", "size")
    size, last = node.whole("size"), node.json_path("last")
    if size is None and last is None:
        node.wrong("нужно last или size, иначе непонятно, какая страница последняя")
    first = node.whole("first", least=0)
    return Next(kind, last=last, first=1 if first is None else first, size=size)


def _marked(node: Node, kind: NextKind) -> Next:
    """Pages that the operator names: by a mark, or by their address."""
    node.only("kind", "path")
    place = node.at("path")
    if place.value is None:
        place.wrong("нужно заполнить")
        return Next(kind)
    source = place.as_source()
    if source is not None and source.is_link is not (kind is NextKind.LINK):
        place.wrong(
            "со ссылкой на страницу нужно kind: link и «:link» или «:rel=next» в конце пути"
        )
    return Next(kind, source)


def meanings(node: Node, name: CallName) -> dict[int, Result | State]:
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
