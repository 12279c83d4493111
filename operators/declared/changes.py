"""A document laid out for people, and what two documents differ in."""

import json
from collections.abc import Iterator
from typing import Any

from operators.private_keys import hides

# The database keeps no order of keys; this is the one in which the reference tells them.
_ORDER = (
    "title", "key", "zone", "base_url",
    "prepare", "kind", "method", "url", "path", "query", "headers", "basic", "client_auth", "body",
    "template", "extra", "fields", "login", "calls", "states", "results", "errors", "limits",
    "times", "windows",
    "activate", "deactivate", "find", "check", "read", "list_changes", "ping",
    "success", "statuses", "answer", "rows", "iccid", "id", "state", "reason", "msisdn", "imei",
    "request_id", "result", "take", "echo", "next", "words", "absent", "reasons", "quality",
    "in", "name", "prefix", "label", "secret", "required", "field", "algorithm", "text", "params",
    "each", "between", "encoded", "encoding", "place", "token", "seconds", "default_seconds", "more",
    "stale", "keys", "sign",
    "code", "codes", "fine", "not_done", "retry_after", "retry_after_path", "longest_pause",
    "rate_limited_pause", "days", "from", "to",
)  # fmt: skip
_PLACES = {name: place for place, name in enumerate(_ORDER)}
# Parts whose values may be a constant key of ours: only their places are told.
_UNTOLD = frozenset({"headers", "query", "body", "extra", "prefix", "template"})
_LONGEST = 80


def in_usual_order(value: Any) -> Any:
    """The same JSON with known names in the order of the reference, others after them as they came."""
    if isinstance(value, list):
        return [in_usual_order(one) for one in value]
    if not isinstance(value, dict):
        return value
    names = sorted(value, key=lambda name: _PLACES.get(name, len(_PLACES)))
    return {name: in_usual_order(value[name]) for name in names}


def changes(before: Any, after: Any) -> list[str]:
    """«calls.read.path: "/a" → "/b"», a line for every place that differs; what may be a key is left out."""
    return [_line(*one) for one in _different(before, after, ())]


def _different(before: Any, after: Any, way: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in in_usual_order({**before, **after}):
            yield from _different(before.get(name), after.get(name), (*way, name))
    elif before != after:
        yield way, before, after


def _line(way: tuple[str, ...], before: Any, after: Any) -> str:
    place = ".".join(way)
    if any(name in _UNTOLD or hides(name) for name in way):
        return f"{place}: {_word(before, after)}"
    return f"{place}: {_said(before)} → {_said(after)}"


def _word(before: Any, after: Any) -> str:
    if before is None:
        return "добавлено"
    return "убрано" if after is None else "изменено"


def _said(value: Any) -> str:
    """A value in short; an object only by its names, for anything may stand inside."""
    if value is None:
        return "нет"
    if isinstance(value, dict):
        return f"{{{', '.join(value)}}}"[:_LONGEST]
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return f"список из {len(value)}"
    return json.dumps(value, ensure_ascii=False)[:_LONGEST]
