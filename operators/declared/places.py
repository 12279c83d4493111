"""Where in the answers of a described operator stands what the profile reads: the log keeps only that."""

from collections.abc import Iterator

from operators.allowed import ANY, Place
from operators.declared.paths import Having, Path
from operators.declared.profile import Answer, Next, NextKind, Profile
from operators.declared.rows import KEY, VALUE
from operators.declared.sources import Source


def places_of(profile: Profile) -> frozenset[Place]:
    """The names on the way to every value that any call reads, and to every refusal's."""
    errors = profile.errors
    refusals = (*errors.code, *errors.text, *_there(errors.retry_after_path))
    found = {place for path in refusals for place in _places(path, ())}
    for call in profile.calls.values():
        found.update(_of_answer(call.answer))
        if call.prepare is not None:
            found.update(_of_answer(call.prepare.answer))
    return frozenset(found)


def _of_answer(answer: Answer) -> Iterator[Place]:
    before = () if answer.rows is None else _names(answer.rows)
    if any(path.steps == (KEY,) for path in (*_there(answer.iccid), *_there(answer.msisdn))):
        before = (*before, ANY)
    for path in _read(answer):
        yield from _places(path, before)
    following = answer.next or Next(NextKind.CURSOR)
    top = (*_inside(following.source), *_there(following.last))
    for path in (*top, *(path for path, _ in answer.echo)):
        yield from _places(path, ())


def _read(answer: Answer) -> Iterator[Path]:
    one_each = (
        answer.iccid, answer.id, answer.reason, answer.msisdn, answer.imei,
        answer.result, answer.code, answer.text,
    )  # fmt: skip
    yield from (path for path in one_each if path is not None)
    yield from answer.state
    for source in (answer.request_id, *answer.take.values()):
        yield from _inside(source)


def _inside(source: Source | None) -> tuple[Path, ...]:
    """The place in the body; headers are shown by their own rules."""
    return () if source is None else _there(source.path)


def _there(path: Path | None) -> tuple[Path, ...]:
    return () if path is None else (path,)


def _places(path: Path, before: Place) -> Iterator[Place]:
    """The path's own place, and those of the words by which it chooses among a list."""
    way = before
    for step in path.steps:
        if isinstance(step, Having):
            yield from _places(step.path, way)
        elif isinstance(step, str) and step not in {KEY, VALUE}:
            way = (*way, step)
    yield way


def _names(path: Path) -> Place:
    return tuple(step for step in path.steps if isinstance(step, str))
