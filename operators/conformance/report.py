"""What the check of an operator's test stand is to try, and the result of each point."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from operators.ports import ErrorClass, Sim, Unavailable


class PointOutcome(StrEnum):
    """What became of one point, as the table prints it."""

    PASSED = "да"
    FAILED = "нет"
    SKIPPED = "пропущено"


@dataclass(frozen=True)
class PointReport:
    """One point of the check with its result; `title` and `note` are Russian."""

    title: str
    outcome: PointOutcome
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """What to try. Times are seconds; `deadline` is for one switch."""

    sim: Sim
    allow_switch: bool
    deadline: float
    callback_wait: float = 0


class Failed(Exception):
    """A point that does not pass; the text is the note of its report."""


class Skipped(Exception):
    """A point that cannot be checked; the text is the reason."""


def run_point(title: str, point: Callable[[], str]) -> PointReport:
    """The result of one point; an operator's error is a «нет» and does not end the check."""
    try:
        return PointReport(title, PointOutcome.PASSED, point())
    except Skipped as skip:
        return PointReport(title, PointOutcome.SKIPPED, str(skip))
    except Failed as broken:
        return PointReport(title, PointOutcome.FAILED, str(broken))
    except Unavailable as trouble:
        note = f"{trouble.error} {trouble.code}: {trouble.text}"
        return PointReport(title, PointOutcome.FAILED, note)


def expected(refused: Unavailable, wanted: set[ErrorClass]) -> str:
    """The note of a refusal of the right class. Raises `Failed`."""
    if refused.error not in wanted:
        raise Failed(f"отказ другого рода: {refused.error} {refused.code} ({refused.text})")
    return f"{refused.code}: {refused.text}"
