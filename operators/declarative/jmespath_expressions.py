"""Where in an answer a value stands: JMESPath (https://jmespath.org) over `{status, headers, body, row}`.

Only fields, indexes, projections (`[*]`, `[]`, `.*`) and filters by equality are allowed, so the fields that an
expression reads follow from its text. `headers` has lower-case names; `row` is the chosen row of a list.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

from operators.ports import stored_text

# Names on the way to a value, "*" for any name; indexes of lists are left out.
FieldPath = tuple[str, ...]
ANY_NAME = "*"
_ROOTS = ("status", "headers", "body", "row")
_LINK = re.compile(r"https?://|/")


class ExpressionError(ValueError):
    """An expression that is not allowed; the text is a Russian sentence."""


@dataclass(frozen=True)
class Expression:
    """One expression as it was written. `paths` are all fields that it reads, `path` is the field of its value."""

    source: str
    path: FieldPath = field(compare=False)
    paths: frozenset[FieldPath] = field(compare=False)
    compiled: ParsedResult = field(compare=False, repr=False)

    def values(self, answer: Mapping[str, Any]) -> list[Any]:
        """Everything that stands there; lists inside of lists are one list."""
        return list(_flat(self.compiled.search(answer)))

    def value(self, answer: Mapping[str, Any]) -> Any:
        """The first value that stands there, objects whole; None for nothing."""
        return next(iter(self.values(answer)), None)

    def texts(self, answer: Mapping[str, Any]) -> list[str]:
        """Every scalar that stands there, as a text that can be stored."""
        return [stored_text(text) for one in self.values(answer) if (text := scalar_text(one))]

    def text(self, answer: Mapping[str, Any]) -> str:
        """The first scalar as a text, "" without one."""
        return next(iter(self.texts(answer)), "")

    def identifier(self, answer: Mapping[str, Any]) -> str:
        """The first scalar as an identifier: a link and `Location` give their last segment."""
        found = self.text(answer)
        is_link = self.path == ("headers", "location") or _LINK.match(found)
        return _last_segment(found) if is_link else found

    def is_empty_list(self, answer: Mapping[str, Any]) -> bool:
        """Whether a list stands there and nothing is in it."""
        return bool(self.compiled.search(answer) == [])


def scalar_text(value: Any) -> str:
    """A scalar as the text that tables are keyed by; "" for null, objects and lists."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for element in value:
            yield from _flat(element)
    elif value is not None:
        yield value


def _last_segment(link: str) -> str:
    try:
        path = urlsplit(link).path
    except ValueError:
        return ""
    return unquote(path.rstrip("/").rpartition("/")[2])


# --- reading an expression --------------------------------------------------------------------------


def parse(text: str) -> Expression:
    """The expression of a text. Raises `ExpressionError`."""
    try:
        compiled = jmespath.compile(text)
    except JMESPathError as error:
        raise ExpressionError(
            f"выражение «{text}» не разобрать: нужен JMESPath, например body.data.status;"
            ' имя со знаками пишется в кавычках, headers."x-request-id"'
        ) from error
    others: set[FieldPath] = set()
    path = _value_path(compiled.parsed, (), others)
    if not path or path[0] not in _ROOTS:
        meant = f"body{text}" if text.startswith("[") else f"body.{text}"
        raise ExpressionError(
            f"«{text}» начинается не с body, headers, status или row; поле тела пишется {meant}"
        )
    if path[0] == "status" and len(path) > 1:
        raise ExpressionError(f"status — код ответа HTTP, число; поле тела пишется body.{text}")
    if path[0] == "headers" and path != tuple(map(str.lower, path)):
        raise ExpressionError(f"«{text}»: имена заголовков пишутся строчными буквами")
    return Expression(text, path, frozenset({path, *others}), compiled)


def _value_path(node: Mapping[str, Any], before: FieldPath, others: set[FieldPath]) -> FieldPath:
    """The path to the node's value; fields that filters look at are added to `others`."""
    children = node["children"]
    match node["type"]:
        case "field":
            return (*before, node["value"])
        case "identity" | "index":
            return before
        case "subexpression" | "index_expression" | "projection" | "flatten":
            for child in children:
                before = _value_path(child, before, others)
            return before
        case "value_projection":
            every = (*_value_path(children[0], before, others), ANY_NAME)
            return _value_path(children[1], every, others)
        case "filter_projection":
            row = _value_path(children[0], before, others)
            others.add(_value_path(_compared_field(children[2]), row, others))
            return _value_path(children[1], row, others)
    raise ExpressionError(
        "в выражении бывают только поля, [0], [*], .* и отбор по равенству, [?code=='DATA']"
    )


def _compared_field(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The field of `field == 'literal'`."""
    sides = node["children"]
    literals = [side for side in sides if side["type"] == "literal"]
    fields = [side for side in sides if side["type"] != "literal"]
    if node["type"] != "comparator" or node["value"] != "eq" or len(literals) != 1:
        raise ExpressionError("отбор бывает только по равенству значению: [?code=='DATA']")
    return dict(fields[0])
