"""What is put into a request: texts with `{names}`, and how a value is escaped where it stands.

`{{` and `}}` are braces, and `{name:int}` alone in JSON is a number. A value stays where it was put: in
a path it is one segment, in a query one parameter, in a header one line, in JSON one string. A value that
cannot stand there, like an empty one or `..` in a path, is an `UnusableValue`, and the request is not sent.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from operators.declarative.jmespath_expressions import scalar_text
from operators.ports import ErrorClass, Unavailable

_PIECE = re.compile(r"\{\{|\}\}|\{(?P<name>[a-z][a-z0-9_]*)(?P<number>:int)?\}|[{}]")
_BRACES = {"{{": "{", "}}": "}"}
# `%` stays: a key that an operator has given out already encoded must come back unchanged.
_HEADER_SAFE = "".join(chr(code) for code in range(0x20, 0x7F))
# The name in a JSON body at which all fields of a taken object are put back.
PUT_BACK = "..."

# Scalars by the names of variables; a taken object for `PUT_BACK`.
Values = Mapping[str, Any]


class TemplateError(ValueError):
    """A template that cannot be read; the text is a Russian sentence."""


class UnusableValue(Unavailable):
    """A value that cannot stand where it is asked for; nothing is sent."""

    def __init__(self, name: str) -> None:
        what = f"поле {{{name}}} пусто или не годится для запроса"
        text = "у смарт-карты не указан номер" if name == "msisdn" else what
        super().__init__(ErrorClass.INVALID, f"no_{name}", text)


class Placeholder(str):
    """What a preview shows for a value that is not known yet; fits everywhere."""

    __slots__ = ()


@dataclass(frozen=True)
class Variable:
    """`{name}`, or `{name:int}` with `is_number`."""

    name: str
    is_number: bool = False


@dataclass(frozen=True)
class Template:
    """One text. `source` is how it was written."""

    source: str
    pieces: tuple[str | Variable, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The variables, in their order."""
        return tuple(piece.name for piece in self.pieces if isinstance(piece, Variable))

    @property
    def only_variable(self) -> Variable | None:
        """The variable, where the text is one variable and nothing else."""
        first = self.pieces[0] if len(self.pieces) == 1 else None
        return first if isinstance(first, Variable) else None

    def render(self, values: Values, escape: Callable[[str, str], str]) -> str:
        """The text with its values. `escape` takes a variable's name and its value.

        Raises what `escape` raises, `UnusableValue`.
        """
        return "".join(
            escape(piece.name, scalar_text(values.get(piece.name)))
            if isinstance(piece, Variable)
            else piece
            for piece in self.pieces
        )


def parse(source: str) -> Template:
    """The template of a text. Raises `TemplateError`."""
    pieces: list[str | Variable] = []
    position = 0
    for found in _PIECE.finditer(source):
        pieces += [source[position : found.start()], _piece(found, source)]
        position = found.end()
    pieces.append(source[position:])
    return Template(source, tuple(piece for piece in pieces if piece != ""))


def _piece(found: re.Match[str], source: str) -> str | Variable:
    if found["name"]:
        return Variable(found["name"], is_number=bool(found["number"]))
    if found.group() not in _BRACES:
        raise TemplateError(
            f"скобка без пары в «{source}»: поле пишется {{имя}} строчной латиницей, скобка — {{{{ или }}}}"
        )
    return _BRACES[found.group()]


# --- where a value stands ---------------------------------------------------------------------------


def plain(name: str, value: str) -> str:
    """For a query, a form or JSON, which are escaped when they are written. Raises `UnusableValue` if empty."""
    if not value:
        raise UnusableValue(name)
    return value


def path_segment(name: str, value: str) -> str:
    """For a path: one segment. Raises `UnusableValue` for dots alone, which would climb out of it."""
    if value.strip(".") == "":
        raise UnusableValue(name)
    return quote(value, safe="*")


def header_value(name: str, value: str) -> str:
    """For a header: one line of visible ASCII. Raises `UnusableValue` if empty."""
    return quote(plain(name, value), safe=_HEADER_SAFE)


# --- JSON -------------------------------------------------------------------------------------------


def parse_json(value: Any, *, is_nested: bool = False) -> Any:
    """A JSON value whose texts are made into templates. Raises `TemplateError`."""
    if isinstance(value, str):
        return parse(value)
    if isinstance(value, dict):
        if is_nested and PUT_BACK in value:
            raise TemplateError("«...» стоит только на верхнем уровне json")
        return {name: parse_json(item, is_nested=True) for name, item in value.items()}
    if isinstance(value, list):
        return [parse_json(item, is_nested=True) for item in value]
    return value


def json_names(value: Any) -> set[str]:
    """The variables of what `parse_json` made."""
    if isinstance(value, Template):
        return set(value.names)
    children = value.values() if isinstance(value, dict) else value
    return set().union(*map(json_names, children)) if isinstance(value, dict | list) else set()


def render_json(value: Any, values: Values) -> Any:
    """The JSON value. A text that is one variable and nothing else keeps the variable's type.

    Raises `UnusableValue`.
    """
    if isinstance(value, Template):
        variable = value.only_variable
        return _typed(variable, values) if variable else value.render(values, plain)
    if isinstance(value, dict):
        return {name: render_json(item, values) for name, item in value.items()}
    return [render_json(item, values) for item in value] if isinstance(value, list) else value


def _typed(variable: Variable, values: Values) -> Any:
    value = values.get(variable.name)
    text = plain(variable.name, scalar_text(value))
    if isinstance(value, Placeholder) or not variable.is_number:
        return value
    if not re.fullmatch("-?[0-9]{1,30}", text):
        raise UnusableValue(variable.name)
    return int(text)
