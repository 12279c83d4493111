"""What may be kept of an answer whose useful places are known: those, and nothing else.

Names of fields always stay, for by them staff see where an operator put what. Everything the adapter
does not read is hidden, whatever it is called: a text of an operator may hold anybody's name.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from operators.private_keys import hides

# The names on the way from the top of an answer to a value; lists add nothing. The value of a pair
# {"name": "msisdn", "value": …} stands at «value» and, more narrowly, at «value=msisdn».
Place = tuple[str, ...]
# Any name: where an object has one field a card.
ANY = "*"
MASK = "•••"
_MOST_ROWS = 50
_LONGEST_SENTENCE = 300
_NAMERS = ("name", "key", "code")
_PAGE = re.compile(r"\s*<(!doctype\s+)?html\b", re.IGNORECASE)
_TITLE = re.compile(r"<title>([^<]{1,200})</title>", re.IGNORECASE)
# A declaration may hold entities: what they stand for is nobody's business here.
_DECLARATION = re.compile(r"<!(?!--|\[CDATA\[)")

Show = Callable[[Any], Any]


@dataclass(frozen=True)
class Shown:
    """The places of an answer that may be kept.

    At `words` stand codes, states, numbers and moments; at `texts` sentences, in which somebody may be
    named. With `markup` answers are XML, and a way begins with the outermost element; without a
    namespace. With `plain` a short answer that is bare text is such a sentence too.
    """

    words: frozenset[Place]
    texts: frozenset[Place] = frozenset()
    markup: bool = False
    plain: bool = False

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name on the way to such a place."""
        return frozenset(name for place in self.words | self.texts for name in place)


def may_be_shown(place: Place) -> bool:
    """A place that somebody described may still be a secret; «name» is nobody's where it names a status."""
    if not place or not hides(place[-1]):
        return True
    return place[-1].casefold() == "name" and len(place) > 1 and not hides(place[-2])


def kept(text: str, shown: Shown, show: Show, tell: Show | None = None) -> str:
    """The answer with all values hidden but those at the places, which `show` and `tell` make fit.

    `show` is given words and names of fields, `tell` (else `show`) sentences. Emptiness, `true` and
    `false` tell nothing of anybody and stay. What is of another kind is hidden whole but for its
    `outline`.
    """
    bare = text.lstrip("\ufeff").strip()
    if not bare:
        return ""
    found = _Kept(shown, show, tell or show)
    try:
        if shown.markup:
            return found.markup(bare)
        return json.dumps(found.value(json.loads(bare), ()), ensure_ascii=False)
    except (ValueError, RecursionError, ElementTree.ParseError):
        kind = "XML" if shown.markup else "JSON"
        return f"{MASK} не {kind}, знаков: {len(bare)}{found.outline(bare)}"


@dataclass(frozen=True)
class _Kept:
    """One answer on its way to the log."""

    shown: Shown
    show: Show
    tell: Show

    def value(self, value: Any, way: Place) -> Any:
        """Decoded JSON in its own shape."""
        if isinstance(value, Mapping):
            return {
                self._name(str(name)): self.value(inner, (*way, _step(str(name), value)))
                for name, inner in value.items()
            }
        if isinstance(value, list):
            rows = [self.value(inner, way) for inner in value[:_MOST_ROWS]]
            more = len(value) - _MOST_ROWS
            return [*rows, f"… ещё {more}"] if more > 0 else rows
        if value is None or value == "" or isinstance(value, bool):
            return value
        return self._leaf(value, way)

    def markup(self, text: str) -> str:
        """XML without its namespaces. Raises ValueError for a declaration, ParseError for no XML."""
        if _DECLARATION.search(text):
            raise ValueError("a declaration")
        return self._element(ElementTree.fromstring(text), ())  # noqa: S314 - nothing is declared

    def outline(self, text: str) -> str:
        """What a page of a gateway calls itself, or a bare sentence; "" where there is neither."""
        if page := _TITLE.search(text) if _PAGE.match(text) else None:
            return f", страница «{self.tell(page[1].strip())}»"
        is_sentence = text[0] not in '{[<"' and len(text) <= _LONGEST_SENTENCE
        return f", текст «{self.tell(text)}»" if self.shown.plain and is_sentence else ""

    def _name(self, name: str) -> str:
        """The name of a field; one that somebody described is nobody's."""
        return name if name in self.shown.names else str(self.show(name))

    def _leaf(self, value: Any, way: Place) -> Any:
        if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
            return self._wrapped(value, way)
        if _stands(way, self.shown.texts):
            return self.tell(value)
        return self.show(value) if _stands(way, self.shown.words) else MASK

    def _wrapped(self, value: str, way: Place) -> str:
        """A text that is JSON itself is read on inside, as paths do."""
        try:
            inside = json.loads(value)
        except ValueError:
            return MASK
        return json.dumps(self.value(inside, way), ensure_ascii=False)

    def _element(self, element: ElementTree.Element, before: Place) -> str:
        name = element.tag.rpartition("}")[2]
        way = (*before, name)
        tag = str(self.show(name))
        facts = "".join(f' {self.show(key.rpartition("}")[2])}="{MASK}"' for key in element.attrib)
        rows = [self._element(child, way) for child in element[:_MOST_ROWS]]
        more = [f"… ещё {len(element) - _MOST_ROWS}"] if len(element) > _MOST_ROWS else []
        said = (element.text or "").strip()
        text = escape(str(self._leaf(said, way))) if said else ""
        return f"<{tag}{facts}>{''.join([text, *rows, *more])}</{tag}>"


def _step(name: str, among: Mapping[str, Any]) -> str:
    """The name on the way; of a pair the value is known by what the pair is called."""
    namer = next((key for key in _NAMERS if key in among), None)
    if name != "value" or namer is None:
        return name
    return f"value={str(among[namer]).casefold()}"


@lru_cache(maxsize=4096)
def _stands(way: Place, places: frozenset[Place]) -> bool:
    """The same few places are asked for with every answer."""
    if way and way[-1].startswith("value=") and hides(way[-1].partition("=")[2]):
        return False
    return any(_fits(way, place) for place in places)


def _fits(way: Place, place: Place) -> bool:
    return len(way) == len(place) and all(
        name in (mine, ANY, mine.partition("=")[0]) for mine, name in zip(way, place, strict=True)
    )
