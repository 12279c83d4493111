"""Where in an answer a value stands: a small language of paths, our own.

`data.status.value` names fields, `[0]` and `[-1]` elements of a list, `[*]` all of them,
`[code=DATA]` those whose field `code` is that word, and `['odd.name']` a field whose name has dots or
brackets, or «/», «{» and «}», which without quotes are a mistake and refused. The empty path is the
whole answer. `flags[&4]` says `true` or `false`, whether a number has the bit of value 4, and `blocked_at[?]`
whether anything stands there. A step into a text that is itself JSON goes on inside it: some operators wrap
one in the other. There are no calculations, so a path can be read by everybody and costs nothing to follow.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_STEP = re.compile(
    r"""\.?(?P<name>[^.\[\]'"/{}]+) | \[(?P<index>-?[0-9]{1,4})\] | \[(?P<every>\*)\] | \['(?P<odd>[^']+)'\]
    | \[&(?P<bit>[1-9][0-9]{0,18})\] | \[(?P<there>\?)\]
    | \[(?P<field>[^=\[\]'"]+)=(?P<word>[^\[\]]*)\]""",
    re.VERBOSE,
)


class PathTrouble(ValueError):
    """A path that cannot be read; the text is a Russian sentence."""


@dataclass(frozen=True)
class Every:
    """The step to all elements of a list."""


@dataclass(frozen=True)
class Having:
    """The step to those elements of a list whose value at `path` is a word, in any case of letters."""

    path: "Path"
    word: str


@dataclass(frozen=True)
class Bit:
    """Whether a number has a bit, as `true` or `false`."""

    value: int


@dataclass(frozen=True)
class There:
    """Whether anything stands there: nothing are null, "", and an empty list or object."""


Step = str | int | Every | Having | Bit | There


@dataclass(frozen=True)
class Path:
    """One path. `text` is how it was written."""

    text: str
    steps: tuple[Step, ...]

    def every(self, data: Any) -> list[Any]:
        """All values it leads to; none where a step leads nowhere."""
        values = [data]
        for step in self.steps:
            values = [found for value in values for found in _stepped(value, step)]
        return values

    def first(self, data: Any) -> Any:
        """The first value it leads to, None without one."""
        return next(iter(self.every(data)), None)

    def word(self, data: Any) -> str:
        """The first value as a word: text, number, `true` or `false`; "" for anything else."""
        return word(self.first(data))

    def words(self, data: Any) -> list[str]:
        """Every value that is a word."""
        return [said for value in self.every(data) if (said := word(value))]

    def has_place(self, data: Any) -> bool:
        """Whether the list or object is there in which the value would stand."""
        return any(isinstance(unwrapped(value), dict | list) for value in self._home.every(data))

    @property
    def depth(self) -> int:
        """How many steps lead to the place in which the value would stand."""
        return len(self._home.steps)

    @property
    def _home(self) -> "Path":
        way = [step for step in self.steps if not isinstance(step, Bit | There)]
        into = (number for number, step in enumerate(way) if not isinstance(step, str))
        return Path(self.text, tuple(way[: next(into, len(way) - 1)]))


def word(value: Any) -> str:
    """A scalar as the text that tables are keyed by; "" for null, objects and lists."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip() if isinstance(value, str | int | float) else ""


def parse(text: str) -> Path:
    """Raises `PathTrouble`."""
    return Path(text, tuple(_steps(text)))


def _steps(text: str) -> Iterator[Step]:
    position = 0
    while position < len(text):
        found = _STEP.match(text, position)
        if found is None or (position == 0 and text.startswith(".")):
            raise PathTrouble(_trouble(text, text[position:]))
        yield _step(found)
        position = found.end()


def _trouble(text: str, rest: str) -> str:
    said = f"путь «{text}» не разобрать с места «{rest}»"
    if rest.lstrip(".")[:1] not in set("/{}"):
        return said
    return f"{said}: это место в ответе, имена в нём через точку, без адресов и полей запроса"


def _step(found: re.Match[str]) -> Step:
    if found["index"] is not None:
        return int(found["index"])
    if found["every"]:
        return Every()
    if found["bit"]:
        return _bit_step(int(found["bit"]))
    if found["there"]:
        return There()
    if found["field"]:
        return Having(parse(found["field"].strip()), found["word"].strip().casefold())
    return str(found["name"] or found["odd"])


def _bit_step(value: int) -> Bit:
    if value & (value - 1):
        raise PathTrouble(f"[&{value}]: бит называют его весом: 1, 2, 4, 8, 16 и так далее")
    return Bit(value)


def _stepped(value: Any, step: Step) -> list[Any]:
    inside = unwrapped(value)
    match step:
        case Every():
            return _every(inside)
        case Bit():
            return _bit(inside, step)
        case There():
            return [inside not in (None, "", [], {})]
        case Having():
            return [one for one in _every(inside) if _has(one, step)]
        case int():
            return _element(inside, step)
    return [inside[step]] if isinstance(inside, dict) and step in inside else []


def _every(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else []


def _has(element: Any, step: Having) -> bool:
    return step.path.word(element).casefold() == step.word


def _bit(value: Any, step: Bit) -> list[Any]:
    said = word(value)
    return [bool(int(said) & step.value)] if re.fullmatch("[0-9]{1,19}", said) else []


def _element(value: Any, index: int) -> list[Any]:
    if not isinstance(value, list) or not -len(value) <= index < len(value):
        return []
    return [value[index]]


def unwrapped(value: Any) -> Any:
    """What a text that is JSON says; anything else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
