"""Where in an answer a word stands that a later request needs, and which part of it counts.

A path into the body, or `header:Location`. After a colon the part: `:last`, the last segment of a link;
`:[-2]`, the one before it; `:query=job`, a parameter of a link; `:link`, the link itself, to be followed; and
`:rel=next`, the link of that relation in a header `Link`, to be followed too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from operators.declared import links, paths
from operators.declared.keys import Named, Where
from operators.declared.paths import Path, PathTrouble, word

NAME_OF_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PART = re.compile(
    r":(?:(?P<last>last)|(?P<link>link)|\[(?P<index>-?[0-9]{1,2})\]"
    r"|query=(?P<query>[^\s&=?#\[\]']{1,64})|rel=(?P<rel>[a-z0-9.-]{1,32}))$"
)
_LIKE_A_PART = re.compile(r":(?:last|link|query|rel|first|segment)\b|:\[")
_PARTS = "last, link, [-2], query=имя, rel=имя"


class Part(StrEnum):
    """What of a word counts."""

    WHOLE = "whole"
    SEGMENT = "segment"
    PARAMETER = "parameter"
    LINK = "link"
    RELATION = "relation"


@dataclass(frozen=True)
class Envelope:
    """What comes around the body of an answer: its headers, the address it came from, what of links is ours."""

    headers: Mapping[str, str]
    base_url: str
    own: links.Own = field(default_factory=links.Own)


@dataclass(frozen=True)
class Source:
    """Exactly one of `path` and `named` is there; `name` belongs to a parameter or a relation."""

    path: Path | None = None
    named: Named | None = None
    part: Part = Part.WHOLE
    index: int = -1
    name: str = ""

    @property
    def is_link(self) -> bool:
        """Whether it gives an address to follow."""
        return self.part in {Part.LINK, Part.RELATION}

    def value(self, row: Any, around: Envelope) -> Any:
        """What stands there, of the type it has; parts of links are texts. None or "" for nothing."""
        if self.part is Part.WHOLE and self.path is not None:
            return self.path.first(row)
        return next(iter(self.words(row, around)), "")

    def word(self, row: Any, around: Envelope) -> str:
        """The same as a word; "" for anything else."""
        return word(self.value(row, around))

    def words(self, row: Any, around: Envelope) -> list[str]:
        """Every word that stands there."""
        return [part for one in self._said(row, around) if (part := self._part(one, around))]

    def stands(self, row: Any, around: Envelope) -> bool:
        """Whether anything is there at all, be it of use or not."""
        whole = self.path.every(row) if self.path is not None else []
        return any(self._said(row, around)) or any(
            isinstance(one, dict | list) and one for one in whole
        )

    def _said(self, row: Any, around: Envelope) -> list[str]:
        """The words as they stand there; of a list of links the one that is meant."""
        said = self.path.words(row) if self.path is not None else [self._named(around)]
        if self.part is not Part.RELATION:
            return said
        return [links.related(one, self.name) for one in said]

    def _named(self, around: Envelope) -> str:
        return header_of(self.named, around.headers) if self.named is not None else ""

    def _part(self, said: str, around: Envelope) -> str:
        match self.part:
            case Part.SEGMENT:
                return links.segment(said, self.index)
            case Part.PARAMETER:
                return links.parameter(said, self.name)
            case Part.LINK | Part.RELATION:
                return links.below(around.base_url, said, around.own)
        return said


def header_of(named: Named, headers: Mapping[str, str]) -> str:
    """What a header or a cookie of an answer says, "" where it is not there."""
    if named.where is Where.HEADER:
        return headers.get(named.name, "").strip()
    # Several cookies of one answer come joined by commas, as does the date of their end.
    name = re.escape(named.name)
    cookie = re.search(rf'(?:^|,)\s*{name}="?([^\s",;\\]+)', headers.get("Set-Cookie", ""))
    return cookie[1] if cookie else ""


def parse(text: str, *, header: Part = Part.WHOLE) -> Source:
    """`header`: what counts of a header that names no part itself. Raises `PathTrouble`."""
    found = _PART.search(text)
    rest = text[: found.start()] if found else text
    if not found and _LIKE_A_PART.search(text):
        raise PathTrouble(f"«{text}»: после двоеточия бывает {_PARTS}")
    part, index, name = _part_of(found)
    if rest.startswith("header:"):
        usual = header if part is Part.WHOLE else part
        return Source(named=_header(rest), part=usual, index=index, name=name)
    return Source(path=paths.parse(rest), part=part, index=index, name=name)


def _header(text: str) -> Named:
    name = text.removeprefix("header:")
    if not NAME_OF_HEADER.fullmatch(name):
        raise PathTrouble(
            f"«{text}»: после header: стоит имя заголовка, а за ним бывает «:» и {_PARTS}"
        )
    return Named(Where.HEADER, name)


def _part_of(found: re.Match[str] | None) -> tuple[Part, int, str]:
    if found is None:
        return Part.WHOLE, -1, ""
    if found["index"]:
        return Part.SEGMENT, int(found["index"]), ""
    if found["query"]:
        return Part.PARAMETER, -1, found["query"]
    if found["rel"]:
        return Part.RELATION, -1, found["rel"]
    return (Part.SEGMENT if found["last"] else Part.LINK), -1, ""
