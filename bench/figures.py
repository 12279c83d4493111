"""What a measure says, and whether its aim is met."""

from dataclasses import dataclass
from statistics import quantiles


@dataclass(frozen=True)
class Figure:
    """One measure: its letter, what was found in words, and whether that is what we want."""

    letter: str
    found: str
    is_good: bool

    def __str__(self) -> str:
        return f"({self.letter}) {self.found}{'' if self.is_good else ' MISSED'}"


def p95(values: list[float]) -> float:
    """The value that nineteen of twenty stay below."""
    return quantiles(values, n=20)[-1] if len(values) > 1 else values[0]
