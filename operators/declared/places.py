"""Where in the answers of a described operator stands what the profile reads: the log keeps only that.

Sentences are told from words, for an operator writes people's names into them.
"""

from collections.abc import Iterable, Iterator

from operators.allowed import ANY, Place, Shown, may_be_shown
from operators.declared.paths import Having, Path
from operators.declared.profile import Answer, Next, NextKind, Profile
from operators.declared.rows import KEY, VALUE
from operators.declared.sources import Source


def shown_of(profile: Profile) -> Shown:
    """What the log may keep. A place that is named as a sentence anywhere is one."""
    texts = {place for place, is_text in _all_of(profile) if is_text}
    words = places_of(profile) - texts
    return Shown(frozenset(filter(may_be_shown, words)), frozenset(filter(may_be_shown, texts)))


def places_of(profile: Profile) -> frozenset[Place]:
    """The names on the way to every value that any call reads, and to every refusal's."""
    return frozenset(place for place, _ in _all_of(profile))


def _all_of(profile: Profile) -> Iterator[tuple[Place, bool]]:
    """Every place, and whether a sentence stands there."""
    errors = profile.errors
    yield from _marked((*errors.code, *_there(errors.retry_after_path)), ())
    yield from _marked(errors.text, (), are_texts=True)
    for call in profile.calls.values():
        yield from _of_answer(call.answer)
        if call.prepare is not None:
            yield from _of_answer(call.prepare.answer)


def _of_answer(answer: Answer) -> Iterator[tuple[Place, bool]]:
    before = () if answer.rows is None else _names(answer.rows)
    if any(path.steps == (KEY,) for path in (*_there(answer.iccid), *_there(answer.msisdn))):
        before = (*before, ANY)
    yield from _marked(_read(answer), before)
    yield from _marked(_there(answer.text), before, are_texts=True)
    following = answer.next or Next(NextKind.CURSOR)
    top = (*_inside(following.source), *_there(following.last))
    yield from _marked((*top, *(path for path, _ in answer.echo)), ())


def _read(answer: Answer) -> Iterator[Path]:
    one_each = (
        answer.iccid, answer.id, answer.reason, answer.msisdn, answer.imei,
        answer.result, answer.code,
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


def _marked(
    paths: Iterable[Path], before: Place, *, are_texts: bool = False
) -> Iterator[tuple[Place, bool]]:
    """The paths' own places, and those of the words by which they choose among a list."""
    for path in paths:
        way = before
        for step in path.steps:
            if isinstance(step, Having):
                yield from _marked([step.path], way)
            elif isinstance(step, str) and step not in {KEY, VALUE}:
                way = (*way, step)
        yield way, are_texts


def _names(path: Path) -> Place:
    return tuple(step for step in path.steps if isinstance(step, str))
