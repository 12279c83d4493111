"""What a measure gives."""

from statistics import quantiles

# What was found, in a sentence, and whether the limit is kept.
Found = tuple[str, bool]


def p95(values: list[float]) -> float:
    """The value that nineteen of twenty stay below."""
    return quantiles(values, n=20)[-1] if len(values) > 1 else values[0]
