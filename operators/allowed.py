"""What may be kept of an answer whose useful places are known: those, and nothing else.

Names of fields always stay, for by them staff see where an operator put what. Everything the adapter
does not read is hidden, whatever it is called: a text of an operator may hold anybody's name.
"""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from operators.private_keys import hides

# The names on the way from the top of an answer to a value; lists add nothing.
Place = tuple[str, ...]
# Any name: where an object has one field a card.
ANY = "*"
MASK = "•••"
_MOST_ROWS = 50


def kept(text: str, places: Collection[Place], show: Callable[[Any], Any]) -> str:
    """The JSON of `text` with all values hidden but those at `places`, which `show` makes fit.

    `show` is given names of fields too. Emptiness, `true` and `false` tell nothing of anybody and stay.
    What is no JSON is hidden whole.
    """
    bare = text.lstrip("\ufeff").strip()
    if not bare:
        return ""
    allowed = frozenset(place for place in places if _may_be_shown(place))
    try:
        return json.dumps(_only(json.loads(bare), (), allowed, show), ensure_ascii=False)
    except (ValueError, RecursionError):
        return f"{MASK} не JSON, знаков: {len(bare)}"


def _may_be_shown(place: Place) -> bool:
    """A declared place may still be a secret; «name» is nobody's where it names a status."""
    if not place or not hides(place[-1]):
        return True
    return place[-1].casefold() == "name" and len(place) > 1 and not hides(place[-2])


def _only(value: Any, way: Place, allowed: frozenset[Place], show: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        return {
            str(show(str(name))): _only(inner, (*way, str(name)), allowed, show)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        rows = [_only(inner, way, allowed, show) for inner in value[:_MOST_ROWS]]
        more = len(value) - _MOST_ROWS
        return [*rows, f"… ещё {more}"] if more > 0 else rows
    if value is None or value == "" or isinstance(value, bool):
        return value
    return _leaf(value, way, allowed, show)


def _leaf(value: Any, way: Place, allowed: frozenset[Place], show: Callable[[Any], Any]) -> Any:
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        return _wrapped(value, way, allowed, show)
    return show(value) if any(_fits(way, place) for place in allowed) else MASK


def _wrapped(value: str, way: Place, allowed: frozenset[Place], show: Callable[[Any], Any]) -> str:
    """A text that is JSON itself is read on inside, as paths do."""
    try:
        inside = json.loads(value)
    except ValueError:
        return MASK
    return json.dumps(_only(inside, way, allowed, show), ensure_ascii=False)


def _fits(way: Place, place: Place) -> bool:
    return len(way) == len(place) and all(
        mine in (name, ANY) for name, mine in zip(way, place, strict=True)
    )
