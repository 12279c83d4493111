"""What is wrong with a document, in sentences for staff; and the way to a `Profile` for everybody else."""

from collections.abc import Iterator, Mapping
from typing import Any

from operators.declared.nodes import Problem
from operators.declared.parse import parsed
from operators.declared.profile import (
    SWITCHES,
    Answer,
    BodyKind,
    Call,
    CallName,
    InvalidProfile,
    NextKind,
    Profile,
    Proof,
    Result,
    State,
    Where,
)
from operators.ports import Action, ErrorClass, SimState

_MAX_PROBLEMS = 50
_REQUEST_ID = "request_id"
# Whose rows are told apart by something else, or must be told apart by more.
_OWN_ROWS = frozenset(
    f"calls.{name}"
    for name in (CallName.CHECK, CallName.FIND, CallName.LIST_CHANGES, CallName.PING)
)
_ANOTHERS = "иначе можно переключить чужую смарт-карту"


def validate(document: Any) -> list[Problem]:
    """Every mistake with its place, the first fifty; none: the document may be used."""
    return _examined(document)[1][:_MAX_PROBLEMS]


def load(document: Mapping[str, Any]) -> Profile:
    """The profile of a document. Raises `InvalidProfile`."""
    profile, problems = _examined(document)
    if profile is None or problems:
        raise InvalidProfile(tuple(problems[:_MAX_PROBLEMS]))
    return profile


def _examined(document: Any) -> tuple[Profile | None, list[Problem]]:
    if not isinstance(document, dict):
        return None, [Problem("", "описание протокола — это объект {…}")]
    profile, problems = parsed(document)
    # What does not fit together is looked for only where every part can be read.
    return profile, list(dict.fromkeys(problems or _contradictions(profile)))


def _contradictions(profile: Profile) -> Iterator[Problem]:
    for action in Action:
        yield from _switch(profile, action)
        yield from _prepare(profile, action)
    for place, call in _all_calls(profile):
        yield from _body(place, call)
        yield from _place_in_body(profile, place, call)
        yield from _link(profile, place, call)
        yield from _rows(place, call)
    for name, call in profile.calls.items():
        yield from _absent(profile, name, call)
    yield from _not_done(profile)
    yield from _words(profile)
    yield from _find(profile)
    yield from _read(profile)
    yield from _check(profile)
    yield from _list_changes(profile)


def _all_calls(profile: Profile) -> Iterator[tuple[str, Call]]:
    """Every call by its place, those before a switch too."""
    for name, call in profile.calls.items():
        yield f"calls.{name}", call
        if call.prepare is not None:
            yield f"calls.{name}.prepare", call.prepare


def _switch(profile: Profile, action: Action) -> Iterator[Problem]:
    name = SWITCHES[action]
    call = profile.calls[name]
    place, needed = f"calls.{name}", set(call.success.values())
    if Proof.STATE in needed and not call.answer.state:
        yield _needed(place, "answer.state", "по нему видно новое состояние")
    if Proof.RESULT in needed and call.answer.result is None:
        yield _needed(place, "answer.result", "по нему видно исход")
    if Proof.REQUEST in needed:
        yield from _request(profile, place, call.answer)
    if Proof.READ in needed and CallName.READ not in profile.calls:
        yield _needed("calls", "read", f"им проверяется {place}")
    if Proof.RESULT in needed and not set(profile.results.values()) & {Result.DONE, Result.ALREADY}:
        yield Problem("results.words", "ни одно слово не значит done или already")


def _prepare(profile: Profile, action: Action) -> Iterator[Problem]:
    """What only asks may be answered about any card: its values must not choose which one is switched.

    Headers choose none: a version that is not this card's is refused.
    """
    name = SWITCHES[action]
    call = profile.calls[name]
    asked = call.prepare
    if asked is None or asked.method != "GET" or _names_a_card(asked.answer):
        return
    if call.names_outside_headers & set(asked.answer.take):
        yield _needed(f"calls.{name}.prepare", "answer.iccid", _ANOTHERS)


def _names_a_card(answer: Answer) -> bool:
    return answer.iccid is not None or answer.msisdn is not None


def _request(profile: Profile, place: str, answer: Answer) -> Iterator[Problem]:
    if answer.request_id is None and not answer.request_is_key:
        yield _needed(place, "answer.request_id", "по нему спрашивают об исходе")
    check = profile.calls.get(CallName.CHECK)
    if check is None:
        yield _needed("calls", "check", f"им спрашивают об исходе {place}")
    elif _gives_link(answer) and check.link != _REQUEST_ID:
        yield Problem(
            "calls.check.path", f"{place} даёт ссылку: здесь нужно {{request_id}} целиком"
        )


def _gives_link(answer: Answer) -> bool:
    return answer.request_id is not None and answer.request_id.is_link


def _link(profile: Profile, place: str, call: Call) -> Iterator[Problem]:
    """What stands for a whole path must be a link: a number alone is no address."""
    if call.link and call.link not in _links_for(profile, place, call):
        why = "путь целиком даёт только ссылка, взятая с «:link» или «:rel=…»"
        yield Problem(
            f"{place}.path", f"{{{call.link}}} — не ссылка: {why}; иначе путь начинается с «/»"
        )


def _links_for(profile: Profile, place: str, call: Call) -> set[str]:
    """The variables of this call that are links."""
    find = profile.calls.get(CallName.FIND)
    givers = [giver.answer.take for giver in (find, call.prepare) if giver is not None]
    found = {name for take in givers for name, source in take.items() if source.is_link}
    asked = [profile.calls[name].answer for name in SWITCHES.values()]
    numbered = [one for one in asked if one.request_id is not None or one.request_is_key]
    if place == "calls.check" and numbered and all(map(_gives_link, numbered)):
        found.add(_REQUEST_ID)
    return found


def _body(place: str, call: Call) -> Iterator[Problem]:
    if call.method == "GET" and call.body.kind is not BodyKind.NONE:
        yield Problem(f"{place}.body", "у запроса GET нет тела")


def _place_in_body(profile: Profile, place: str, call: Call) -> Iterator[Problem]:
    login = profile.login
    sign = login.sign.place if login.sign is not None else None
    places = [*login.token_places, sign, *(key.place for key in login.keys)]
    if not any(one is not None and one.where is Where.BODY for one in places):
        return
    if call.body.kind is BodyKind.NONE or not isinstance(call.body.template, dict):
        yield Problem(
            f"{place}.body",
            "ключ доступа или подпись идёт в теле, значит, нужен объект или форма",
        )


def _rows(place: str, call: Call) -> Iterator[Problem]:
    named = _names_a_card(call.answer)
    if call.answer.rows is not None and not named and place not in _OWN_ROWS:
        yield _needed(place, "answer.iccid", "по нему выбирается строка списка")


def _absent(profile: Profile, name: CallName, call: Call) -> Iterator[Problem]:
    """Silence may be a state only in an answer that is surely about the card."""
    state, answer = profile.states.absent, call.answer
    if state is None or not answer.state or answer.iccid is not None:
        return
    if not any(path.depth for path in answer.state):
        why = "иначе за states.absent сошёл бы любой ответ"
        yield _needed(f"calls.{name}", "answer.iccid", why)


def _not_done(profile: Profile) -> Iterator[Problem]:
    """Only what is known may be believed to have done nothing."""
    for code in sorted(profile.errors.not_done_codes):
        if profile.errors.codes.get(code, ErrorClass.UNKNOWN_OUTCOME) is ErrorClass.UNKNOWN_OUTCOME:
            why = "его нет в errors.codes, или он там unknown_outcome"
            yield Problem("errors.not_done", f"код «{code}» не мог точно ничего не сделать: {why}")


def _find(profile: Profile) -> Iterator[Problem]:
    call = profile.calls.get(CallName.FIND)
    if call is None:
        return
    used = set().union(*(one.names for one in profile.calls.values()))
    if call.answer.id is None and ("id" in used or not call.answer.take):
        yield _needed("calls.find", "answer.id", "это номер карты у оператора, поле {id}")
    if not _names_a_card(call.answer):
        yield _needed("calls.find", "answer.iccid", _ANOTHERS)


def _read(profile: Profile) -> Iterator[Problem]:
    call = profile.calls.get(CallName.READ)
    if call is None:
        return
    if not call.answer.state and set(call.success) - set(call.statuses):
        yield _needed("calls.read", "answer.state", "ради него и читают")


def _words(profile: Profile) -> Iterator[Problem]:
    """Whoever reads states must know the two that we switch between."""
    proofs = {proof for call in profile.calls.values() for proof in call.success.values()}
    if CallName.READ not in profile.calls and Proof.STATE not in proofs:
        return
    words = {state for state, _ in _all_states(profile)}
    missing = [state for state in (SimState.ACTIVE, SimState.INACTIVE) if state not in words]
    if missing:
        yield Problem("states.words", f"нет слова для состояния: {', '.join(missing)}")


def _all_states(profile: Profile) -> Iterator[State]:
    yield from profile.states.words.values()
    if profile.states.absent is not None:
        yield profile.states.absent
    if CallName.READ in profile.calls:
        said = profile.calls[CallName.READ].statuses.values()
        yield from (state for state in said if not isinstance(state, Result))


def _check(profile: Profile) -> Iterator[Problem]:
    call = profile.calls.get(CallName.CHECK)
    if call is None:
        return
    if call.answer.result is None and set(call.success) - set(call.statuses):
        yield _needed("calls.check", "answer.result", "по нему видно исход")
    words = {*profile.results.values(), *call.statuses.values()}
    if not words & {Result.DONE, Result.ALREADY}:
        yield Problem("results.words", "ни одно слово не значит done или already")


def _list_changes(profile: Profile) -> Iterator[Problem]:
    call = profile.calls.get(CallName.LIST_CHANGES)
    if call is None:
        return
    for name in ("rows", "iccid", "state", "next"):
        if not getattr(call.answer, name):
            yield _needed("calls.list_changes", f"answer.{name}", "без него список не прочесть")
    following = call.answer.next
    if following is None or following.kind is NextKind.LINK:
        return
    if "cursor" not in call.names:
        what = "номер страницы" if following.kind is NextKind.PAGE else "метка продолжения"
        yield Problem("calls.list_changes", f"в запросе нет поля {{cursor}}: это {what}")


def _needed(place: str, name: str, why: str) -> Problem:
    return Problem(f"{place}.{name}", f"нужно заполнить: {why}")
