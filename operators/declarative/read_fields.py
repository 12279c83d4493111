"""Which fields of a described operator's answers are read, and so may be shown in the exchange log."""

from collections.abc import Iterator

from operators.declarative.calls import CardAnswer, ListAnswer
from operators.declarative.jmespath_expressions import Expression, FieldPath
from operators.declarative.schema import Description


def answer_fields(description: Description) -> dict[str, frozenset[FieldPath]]:
    """The fields of the answers to each call, by «activate», «activate.prepare», «read» and so on.

    A path goes from the answer's root, ("body", "data", "status") or ("headers", "location"); lists add no
    name, "*" is any name. A login is not among them: nothing of its answers is kept.
    """
    refusal = [*description.errors.code, *description.errors.text]
    found = {}
    for field, call in description.calls.requests:
        answer = getattr(call, "answer", None)
        read = [*_read_by(answer), *refusal] if isinstance(answer, CardAnswer) else refusal
        rows = answer.rows if isinstance(answer, CardAnswer) else None
        paths = (_absolute(path, rows) for one in read for path in one.paths)
        found[field.removeprefix("calls.")] = frozenset(paths)
    return found


def _read_by(answer: CardAnswer) -> Iterator[Expression]:
    yield from (expression for _, expression in answer.expressions)
    if isinstance(answer, ListAnswer):
        yield from filter(None, (answer.next.cursor, answer.next.link))


def _absolute(path: FieldPath, rows: Expression | None) -> FieldPath:
    """From the root of the answer instead of from a row."""
    return (*rows.path, *path[1:]) if rows is not None and path[0] == "row" else path
