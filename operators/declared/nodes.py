"""A place in the document: reads what stands there, and notes every mistake with the place's name."""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from operators.declared import paths, sources, templates

Word = TypeVar("Word", bound=StrEnum)
_LONGEST_TEXT = 2000


@dataclass(frozen=True)
class Problem:
    """One mistake: its place in the document, «calls.activate.path», and what is wrong there."""

    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}" if self.path else self.sentence


@dataclass(frozen=True)
class Node:
    """One place. All reading methods give a harmless value after noting a mistake."""

    value: Any
    path: str = ""
    problems: list[Problem] = field(default_factory=list)

    def wrong(self, sentence: str) -> None:
        self.problems.append(Problem(self.path, sentence))

    def has(self, name: str) -> bool:
        return isinstance(self.value, dict) and self.value.get(name) is not None

    def at(self, name: str) -> "Node":
        """The place below; its value is None where nothing stands there."""
        value = self.value.get(name) if isinstance(self.value, dict) else None
        return Node(value, f"{self.path}.{name}" if self.path else name, self.problems)

    def only(self, *names: str) -> None:
        """Notes every field but these, and a place that is no object."""
        for name in self._names():
            if name not in names:
                self.at(name).wrong(f"неизвестное поле; бывают: {', '.join(names)}")

    def _names(self) -> list[str]:
        if isinstance(self.value, dict):
            return [str(name) for name in self.value]
        if self.value is not None:
            self.wrong("нужен объект {…}")
        return []

    def fields(self) -> Iterator[tuple[str, "Node"]]:
        """The fields of an object, with their places."""
        for name in self._names():
            yield name, self.at(name)

    def elements(self) -> Iterator["Node"]:
        """The elements of a list; none where nothing stands here."""
        if self.value is not None and not isinstance(self.value, list):
            self.wrong("нужен список […]")
            return
        for number, value in enumerate(self.value or []):
            yield Node(value, f"{self.path}[{number}]", self.problems)

    # --- values -------------------------------------------------------------------------------

    def text(self, name: str, default: str | None = None) -> str:
        """A text; without `default` it must be there."""
        place = self.at(name)
        if place.value is None:
            if default is None:
                place.wrong("нужно заполнить")
            return default or ""
        return place.as_text()

    def as_text(self) -> str:
        """The text that stands here."""
        if not isinstance(self.value, str) or not self.value.strip():
            self.wrong("нужен непустой текст")
            return ""
        if len(self.value) > _LONGEST_TEXT:
            self.wrong(f"не длиннее {_LONGEST_TEXT} знаков")
        return self.value

    def flag(self, name: str, default: bool) -> bool:
        place = self.at(name)
        if place.value is not None and not isinstance(place.value, bool):
            place.wrong("нужно true или false")
        return place.value if isinstance(place.value, bool) else default

    def number(
        self, name: str, default: float, *, least: float = 0, most: float = 86400 * 7
    ) -> float:
        """A number within bounds."""
        place = self.at(name)
        return default if place.value is None else place.as_number(least=least, most=most)

    def as_number(self, *, least: float, most: float) -> float:
        """The number that stands here; `least` where it is none."""
        value = self.value
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        if not fits or not math.isfinite(value) or not least <= value <= most:
            self.wrong(f"нужно число от {least:g} до {most:g}")
            return least
        return float(value)

    def whole(self, name: str, *, least: int = 1, most: int = 100_000) -> int | None:
        """A whole number; None where there is none."""
        if not self.has(name):
            return None
        place = self.at(name)
        if not isinstance(place.value, int):
            place.wrong("нужно целое число")
            return None
        return int(place.as_number(least=least, most=most))

    def choice(self, name: str, words: type[Word], default: Word | None = None) -> Word:
        """One of the words; without `default` it must be there."""
        place = self.at(name)
        if place.value is None and default is not None:
            return default
        return place.as_choice(words, default)

    def as_choice(self, words: type[Word], default: Word | None = None) -> Word:
        """The word that stands here."""
        known = {member.value: member for member in words}
        if isinstance(self.value, str) and self.value in known:
            return known[self.value]
        self.wrong(f"нужно одно из: {', '.join(known)}")
        return default or next(iter(words))

    def json_path(self, name: str) -> paths.Path | None:
        """A path into an answer; None where there is none."""
        place = self.at(name)
        return None if place.value is None else place.as_json_path()

    def as_json_path(self) -> paths.Path | None:
        """The path that stands here; the empty one is the whole answer."""
        if not isinstance(self.value, str):
            self.wrong("нужен путь в ответе, например data.status")
            return None
        try:
            return paths.parse(self.value)
        except paths.PathTrouble as trouble:
            self.wrong(str(trouble))
            return None

    def as_source(self, *, header: sources.Part = sources.Part.WHOLE) -> sources.Source | None:
        """The source that stands here; `header` as in `sources.parse`."""
        if not isinstance(self.value, str):
            self.as_json_path()
            return None
        try:
            return sources.parse(self.value, header=header)
        except paths.PathTrouble as trouble:
            self.wrong(str(trouble))
            return None

    def as_json_paths(self) -> tuple[paths.Path, ...]:
        """One path or a list of them; none where nothing stands here."""
        places = self.elements() if isinstance(self.value, list) else [self]
        found = [place.as_json_path() for place in places if place.value is not None]
        return tuple(path for path in found if path is not None)

    def as_template(self, known: Collection[str]) -> templates.Template:
        """The template that stands here, with no variables but the known ones."""
        try:
            template = templates.parse(self.as_text())
        except templates.TemplateTrouble as trouble:
            self.wrong(str(trouble))
            return templates.parse("")
        self.check_names(template.names, known)
        return template

    def check_names(self, names: Collection[str], known: Collection[str]) -> None:
        """Notes every variable that has no value here."""
        for name in sorted(set(names) - set(known)):
            here = ", ".join(f"{{{one}}}" for one in sorted(known)) or "никаких"
            self.wrong(f"неизвестное поле {{{name}}}; здесь бывают: {here}")
