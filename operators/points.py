"""What a walk along an operator's stand is told to try, and what it says of each point."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from operators.ports import ErrorClass, Sim, Unavailable


class Verdict(StrEnum):
    PASSED = "да"
    FAILED = "нет"
    SKIPPED = "пропущено"


@dataclass(frozen=True)
class Line:
    """One line of the table; `title` and `note` are Russian."""

    title: str
    verdict: Verdict
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """What to try. Times are seconds; `deadline` is for one switch."""

    sim: Sim
    allow_switch: bool
    deadline: float
    callback_wait: float = 0


class Broken(Exception):
    """A point that does not pass; the text is the note of its line."""


class Skip(Exception):
    """A point that cannot be tried; the text says why."""


def tried(title: str, point: Callable[[], str]) -> Line:
    """One point tried; a trouble of the operator is a «no», not the end of the walk."""
    try:
        return Line(title, Verdict.PASSED, point())
    except Skip as skip:
        return Line(title, Verdict.SKIPPED, str(skip))
    except Broken as broken:
        return Line(title, Verdict.FAILED, str(broken))
    except Unavailable as trouble:
        note = f"{trouble.error} {trouble.code}: {trouble.text}"
        return Line(title, Verdict.FAILED, note)


def expected(refused: Unavailable, wanted: set[ErrorClass]) -> str:
    """The note of a refusal of the right class. Raises `Broken`."""
    if refused.error not in wanted:
        raise Broken(f"отказ другого рода: {refused.error} {refused.code} ({refused.text})")
    return f"{refused.code}: {refused.text}"
