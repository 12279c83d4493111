"""Which part of an answer is about a card, or about a request."""

import re
from collections.abc import Iterator
from typing import Any

from operators.declared.paths import Path
from operators.declared.profile import Answer
from operators.declared.refusals import garbage
from operators.declared.sources import Envelope, Source
from operators.ports import ErrorClass, Sim, Unavailable

# Where rows are an object, a row's own name and, if it is a bare word, the word.
KEY, VALUE = "@key", "@value"
_NO_DIGITS = re.compile("[^0-9]")
# Ten digits of the Russian plan, bare or after the 8 that is dialled inside the country.
_RUSSIAN = re.compile(r"^8?([3489][0-9]{9})$")


def digits(said: str) -> str:
    """The digits of a number; whatever an operator puts around them is left out."""
    return _NO_DIGITS.sub("", said)


def number(said: str) -> str:
    """A phone as we keep it, 7XXXXXXXXXX, where it is Russian by its look; other digits as they are."""
    bare = digits(said)
    if said.lstrip().startswith("+"):
        return bare
    return _RUSSIAN.sub(r"7\1", bare)


def is_about(answer: Answer, row: Any, sim: Sim) -> bool:
    """Whether a row names this card; true where nothing names one."""
    if answer.iccid is not None:
        # Some operators leave the check digit out, some add the filler F or a prefix.
        named = {digits(said) for said in answer.iccid.words(row)}
        return bool(named & {sim.iccid, sim.iccid[:-1]})
    if answer.msisdn is None or not _chooses(answer):
        return True
    numbers = {digits(said)[-10:] for said in answer.msisdn.words(row)}
    return bool(sim.msisdn) and sim.msisdn[-10:] in numbers


def _chooses(answer: Answer) -> bool:
    """Whether the number decides which card is meant, and is not only read."""
    return answer.rows is not None or answer.id is not None or bool(answer.take)


def card_row(answer: Answer, body: Any, sim: Sim) -> Any:
    """The part of an answer that is about this card. Raises `Unavailable`."""
    if answer.rows is None:
        if not isinstance(body, dict | list):
            raise garbage()
        if not is_about(answer, body, sim):
            raise wrong("другой смарт-карте")
        return body
    found = rows(answer, body)
    if not found:
        text = "оператор не знает эту смарт-карту"
        raise Unavailable(ErrorClass.NOT_FOUND, "no_card", text)
    mine = next((row for row in found if is_about(answer, row, sim)), None)
    if mine is None:
        raise wrong("другой смарт-карте")
    return mine


def rows(answer: Answer, body: Any) -> list[Any]:
    """All rows of a list. Raises `Unavailable` where there is no list."""
    places = answer.rows.every(body) if answer.rows is not None else []
    if not places or not all(isinstance(place, dict | list) for place in places):
        raise garbage()
    return [row for place in places for row in _rows_of(answer, place)]


def _rows_of(answer: Answer, place: Any) -> list[Any]:
    if isinstance(place, list):
        return place
    if not _is_keyed(answer.iccid) and not _is_keyed(answer.msisdn):
        # Where a list would have one row, some operators give the row itself.
        return [place]
    return [
        {KEY: name, VALUE: value} | (value if isinstance(value, dict) else {})
        for name, value in place.items()
    ]


def _is_keyed(path: Path | None) -> bool:
    return path is not None and path.steps == (KEY,)


def request_row(answer: Answer, body: Any, around: Envelope, request_id: str, sim: Sim) -> Any:
    """The part of an answer that is about this request. Raises `Unavailable`."""
    found = [body] if answer.rows is None else rows(answer, body)
    if not found:
        text = "оператор не знает такого запроса"
        raise Unavailable(ErrorClass.NOT_FOUND, "no_request", text)
    mine = next(_about_request(answer, found, around, request_id), None)
    if mine is None:
        raise wrong("другом запросе") if isinstance(body, dict | list) else garbage()
    if not is_about(answer, mine, sim):
        raise wrong("другой смарт-карте")
    return mine


def _about_request(
    answer: Answer, found: list[Any], around: Envelope, request_id: str
) -> Iterator[Any]:
    source = answer.request_id
    if source is None:
        return iter(found)
    return (row for row in found if request_id in source.words(row, around))


def found_values(answer: Answer, body: Any, around: Envelope, sim: Sim) -> dict[str, Any]:
    """The values of an answer that other calls name, of the type they have; objects are taken whole.

    Raises `Unavailable` where one is missing, or the answer is about another card.
    """
    own = {"id": Source(answer.id)} if answer.id is not None else {}
    wanted = {**answer.take, **own}
    row = card_row(answer, body, sim) if _looks_inside(answer, wanted) else None
    return {name: _value(source, row, around) for name, source in wanted.items()}


def _looks_inside(answer: Answer, wanted: dict[str, Source]) -> bool:
    """Whether the body matters; a call may be answered by headers alone, or by nothing."""
    named = answer.rows is not None or answer.iccid is not None or answer.msisdn is not None
    return named or any(source.path is not None for source in wanted.values())


def _value(source: Source, row: Any, around: Envelope) -> Any:
    found = source.value(row, around)
    if found in (None, "", [], {}) or isinstance(found, float):
        raise garbage()
    return found


def wrong(what: str) -> Unavailable:
    """An answer about something that was not asked about."""
    return Unavailable(ErrorClass.TRANSIENT, "wrong_id", f"оператор ответил о {what}")
