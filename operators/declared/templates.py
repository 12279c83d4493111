"""What is put into a request: texts with `{names}`, and how a value is escaped where it stands.

`{{` and `}}` are braces, and `{name:int}` alone in JSON is a number. A value can never leave its place: in
a path it is one segment, in a query one parameter, in a header one line, in JSON one string. A value that
cannot stand in its place, like an empty one or `..` in a path, is `Unfit`, and the request does not leave.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

_PIECE = re.compile(r"\{\{|\}\}|\{(?P<name>[a-z][a-z0-9_]*)(?P<number>:int)?\}|[{}]")
_BRACES = {"{{": "{", "}}": "}"}
# What a header and a cookie may hold. `%` stays as it is: a key that an operator has given out already
# encoded must come back to the letter.
_HEADER_SAFE = "".join(chr(code) for code in range(0x20, 0x7F))
_COOKIE_SAFE = "!#$%&'()*+-./:<=>?@[]^_`{|}~"

# The name in an object of JSON at which all fields of a taken object stand.
SPREAD = "..."
# What stands for a value in a log.
HIDDEN = "•••"

# Words, and JSON that was taken whole from an answer; only a body can hold the latter.
Values = Mapping[str, Any]


class TemplateTrouble(ValueError):
    """A template that cannot be read; the text is a Russian sentence."""


class Unfit(ValueError):
    """A value that cannot stand where it is asked for; `name` is its variable."""

    def __init__(self, name: str) -> None:
        super().__init__(f"поле {{{name}}} пусто или не годится для запроса")
        self.name = name


class StandIn(str):
    """What the dry run shows in the place of a value that nobody has yet: it fits everywhere."""

    __slots__ = ()


@dataclass(frozen=True)
class Name:
    """The place of a variable; `is_number` where it was written `{name:int}`."""

    name: str
    is_number: bool = False


@dataclass(frozen=True)
class Template:
    """One text. `source` is how it was written."""

    source: str
    pieces: tuple[str | Name, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The variables, in the order in which they stand."""
        return tuple(piece.name for piece in self.pieces if isinstance(piece, Name))

    @property
    def is_one_name(self) -> bool:
        """Whether it is one variable and nothing else."""
        return len(self.pieces) == 1 and bool(self.names)

    def rendered(self, values: Values, escape: Callable[[str, str], str]) -> str:
        """The text with values in their places. `escape` takes a variable's name and its value."""
        return "".join(
            escape(piece.name, _text(values.get(piece.name))) if isinstance(piece, Name) else piece
            for piece in self.pieces
        )


def _text(value: Any) -> str:
    """A word as it is written; "" for null, objects and lists, which are no words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""


def parse(source: str) -> Template:
    """Raises `TemplateTrouble`."""
    pieces: list[str | Name] = []
    position = 0
    for found in _PIECE.finditer(source):
        pieces.append(source[position : found.start()])
        pieces.append(_piece(found, source))
        position = found.end()
    pieces.append(source[position:])
    return Template(source, tuple(piece for piece in pieces if piece != ""))


def _piece(found: re.Match[str], source: str) -> str | Name:
    if found["name"]:
        return Name(found["name"], is_number=bool(found["number"]))
    if found.group() not in _BRACES:
        raise TemplateTrouble(
            f"скобка без пары в «{source}»: поле пишется {{имя}} латиницей, скобка — {{{{ или }}}}"
        )
    return _BRACES[found.group()]


# --- places -----------------------------------------------------------------------------------------


def plain(name: str, value: str) -> str:
    """For a query, a form or JSON: whoever writes them escapes them. Raises `Unfit` if empty."""
    if not value:
        raise Unfit(name)
    return value


def may_be_empty(_name: str, value: str) -> str:
    """The same for what may be absent."""
    return value


def segment(name: str, value: str) -> str:
    """For a path: one segment. Dots alone would climb out of it, whatever they are encoded as."""
    if value.strip(".") == "":
        raise Unfit(name)
    return quote(value, safe="*")


def line(name: str, value: str) -> str:
    """For a header: one line of visible ASCII."""
    return quote(plain(name, value), safe=_HEADER_SAFE)


def cookie(name: str, value: str) -> str:
    """For a cookie: one value."""
    return quote(plain(name, value), safe=_COOKIE_SAFE)


# --- JSON -------------------------------------------------------------------------------------------


def parse_json(value: Any) -> Any:
    """A JSON value whose texts are made into templates. Raises `TemplateTrouble`."""
    if isinstance(value, str):
        return parse(value)
    if isinstance(value, dict):
        return {name: parse_json(item) for name, item in value.items()}
    return [parse_json(item) for item in value] if isinstance(value, list) else value


def json_names(value: Any) -> set[str]:
    """The variables of what `parse_json` made."""
    if isinstance(value, Template):
        return set(value.names)
    items = value.values() if isinstance(value, dict) else value
    return set().union(*map(json_names, items)) if isinstance(value, dict | list) else set()


def rendered_json(value: Any, values: Values) -> Any:
    """The JSON value. A text that is one variable and nothing else keeps that variable's type."""
    if isinstance(value, Template):
        return _leaf(value, values)
    if isinstance(value, dict):
        return _object(value, values)
    return [rendered_json(item, values) for item in value] if isinstance(value, list) else value


def _object(given: dict[str, Any], values: Values) -> Any:
    made = {name: rendered_json(item, values) for name, item in given.items() if name != SPREAD}
    if SPREAD not in given:
        return made
    below = rendered_json(given[SPREAD], values)
    if not isinstance(below, dict):
        raise Unfit(given[SPREAD].names[0])
    return laid_over(below, made)


def spreads(value: Any) -> Iterator[Any]:
    """What stands at `SPREAD` in what `parse_json` made."""
    if isinstance(value, dict):
        yield from (item for name, item in value.items() if name == SPREAD)
    items = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for item in items:
            yield from spreads(item)


def _leaf(template: Template, values: Values) -> Any:
    alone = next((piece for piece in template.pieces if isinstance(piece, Name)), None)
    if alone is None or not template.is_one_name:
        return template.rendered(values, plain)
    return _alone(alone, values.get(alone.name))


def _alone(place: Name, value: Any) -> Any:
    """A value with its own type, or as a number where that is asked for. Raises `Unfit`."""
    if isinstance(value, StandIn):
        return value
    if place.is_number:
        return _number(place.name, _text(value))
    if not isinstance(value, dict | list):
        plain(place.name, _text(value))
    return value


def _number(name: str, text: str) -> int:
    if not re.fullmatch("-?[0-9]{1,30}", text):
        raise Unfit(name)
    return int(text)


def laid_over(below: Any, above: Any) -> Any:
    """`above` laid over `below`: objects are merged, anything else is taken from above."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    merged = {name: laid_over(below.get(name), value) for name, value in above.items()}
    return {**below, **merged}


def without_values(value: Any) -> Any:
    """The names of foreign JSON with stars for its values: what the log may keep of it."""
    if isinstance(value, dict):
        return {name: without_values(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_values(inner) for inner in value]
    return value if value is None or value == "" or isinstance(value, bool) else HIDDEN
