"""A document laid out for people, and what two documents differ in."""

import json
from collections.abc import Iterator
from typing import Any

from operators.declarative.schema import json_schema

# Parts whose values may be a constant key of ours: only their fields are named.
_HIDDEN_PARTS = frozenset({"headers", "query", "json", "form", "prefix"})
_LONGEST = 80


def _usual_order() -> dict[str, int]:
    """The names of all fields: of the document, of a request, and the others in the order of the schema."""
    schema = json_schema()
    models = [schema, *schema["$defs"].values()]
    names = [name for model in models for name in model.get("properties", {})]
    return {name: at for at, name in enumerate(dict.fromkeys([*_FIRST, *names]))}


_FIRST = ("title", "key", "base_url", "method", "path", "query", "headers", "json")
_ORDER = _usual_order()


def in_usual_order(value: Any) -> Any:
    """The same JSON with known names in the order of the schema, others after them as they came.

    The database keeps no order.
    """
    if isinstance(value, list):
        return [in_usual_order(one) for one in value]
    if not isinstance(value, dict):
        return value
    names = sorted(value, key=lambda name: _ORDER.get(name, len(_ORDER)))
    return {name: in_usual_order(value[name]) for name in names}


def changes(before: Any, after: Any) -> list[str]:
    """«calls.read.path: "/a" → "/b"» for every field that differs; what may be a key is left out."""
    return [_sentence(*one) for one in _different(before, after, ())]


def _different(before: Any, after: Any, path: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in in_usual_order({**before, **after}):
            yield from _different(before.get(name), after.get(name), (*path, name))
    elif before != after:
        yield path, before, after


def _sentence(path: tuple[str, ...], before: Any, after: Any) -> str:
    field = ".".join(path)
    if not _HIDDEN_PARTS.isdisjoint(path):
        what = "добавлено" if before is None else "убрано" if after is None else "изменено"
        return f"{field}: {what}"
    return f"{field}: {_short(before)} → {_short(after)}"


def _short(value: Any) -> str:
    """A value in short; an object only by its names, for anything may stand inside."""
    if value is None:
        return "нет"
    if isinstance(value, dict):
        return f"{{{', '.join(value)}}}"[:_LONGEST]
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return f"список из {len(value)}"
    return json.dumps(value, ensure_ascii=False)[:_LONGEST]
