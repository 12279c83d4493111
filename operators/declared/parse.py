"""A document made into a `Profile`: the tables, the times, and the parts together."""

import re
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from operators.declared import parse_answers, parse_calls, parse_login
from operators.declared.nodes import Node, Problem
from operators.declared.profile import Errors, Profile, Result, States, Window
from operators.ports import BlockReason, ErrorClass, StateQuality
from operators.waits import LONGEST_PAUSE

_TOP = (
    "title", "key", "zone", "base_url", "headers", "fields", "login", "calls",
    "states", "results", "errors", "limits", "times", "windows",
)  # fmt: skip
_ERRORS = (
    "code", "text", "codes", "statuses", "fine", "not_done",
    "retry_after", "retry_after_path", "longest_pause", "rate_limited_pause",
)  # fmt: skip
_LONGEST_URL = 300
_HOUR = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
# The usual meaning of a status; a profile may say otherwise.
STATUSES = {
    400: ErrorClass.INVALID,
    401: ErrorClass.AUTH,
    403: ErrorClass.FORBIDDEN,
    404: ErrorClass.NOT_FOUND,
    405: ErrorClass.CONFIGURATION,
    408: ErrorClass.UNKNOWN_OUTCOME,
    409: ErrorClass.CONFLICT_PENDING,
    410: ErrorClass.NOT_FOUND,
    415: ErrorClass.CONFIGURATION,
    425: ErrorClass.TRANSIENT,
    429: ErrorClass.RATE_LIMITED,
    499: ErrorClass.UNKNOWN_OUTCOME,
    503: ErrorClass.MAINTENANCE,
}


def parsed(document: Mapping[str, Any]) -> tuple[Profile, list[Problem]]:
    """The profile, and what is wrong with the document: with problems the profile must not be used."""
    node = Node(document)
    node.only(*_TOP)
    own = parse_login.fields(node.at("fields"))
    open_fields = {field.name for field in own if not field.secret}
    limits, times = node.at("limits"), node.at("times")
    limits.only("per_second", "per_minute", "concurrency")
    times.only("poll_plan", "quiet_seconds", "deadline_seconds")
    profile = Profile(
        title=node.text("title"),
        key=_key(node),
        zone=_zone(node),
        base_url=_base_url(node),
        headers=parse_calls.headers(node.at("headers"), open_fields | parse_calls.ALWAYS),
        fields=own,
        login=parse_login.login(node.at("login"), own),
        calls=parse_calls.calls(node.at("calls"), open_fields),
        states=_states(node.at("states")),
        results=_results(node.at("results")),
        errors=_errors(node.at("errors")),
        per_second=limits.whole("per_second"),
        per_minute=limits.whole("per_minute"),
        concurrency=limits.whole("concurrency", most=100) or 1,
        poll_plan=_poll_plan(times.at("poll_plan")),
        quiet_seconds=times.number("quiet_seconds", 60),
        deadline_seconds=times.number("deadline_seconds", 3600, least=1),
        windows=tuple(_window(place) for place in node.at("windows").elements()),
    )
    return profile, node.problems


def _key(node: Node) -> str:
    key = node.text("key", "iccid")
    if key not in ("iccid", "msisdn"):
        node.at("key").wrong("нужно одно из: iccid, msisdn")
    return key


def _zone(node: Node) -> ZoneInfo:
    name = node.text("zone", "Europe/Moscow")
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        node.at("zone").wrong("такого часового пояса нет; пример: Europe/Moscow")
        return ZoneInfo("Europe/Moscow")


def _base_url(node: Node) -> str:
    url = node.text("base_url") if node.has("base_url") else ""
    if url and not re.fullmatch(r"https://[^\s?#@]+", url):
        node.at("base_url").wrong("адрес начинается с https:// и не содержит «?», «#» и «@»")
    if len(url) > _LONGEST_URL:
        node.at("base_url").wrong(f"не длиннее {_LONGEST_URL} знаков")
    return url.rstrip("/")


# --- tables -----------------------------------------------------------------------------------------


def _states(node: Node) -> States:
    node.only("words", "absent", "reasons", "quality")
    words = {
        name.casefold(): parse_answers.state_word(place)
        for name, place in node.at("words").fields()
    }
    reasons = {
        name.casefold(): place.as_choice(BlockReason) for name, place in node.at("reasons").fields()
    }
    absent = parse_answers.state_word(node.at("absent")) if node.has("absent") else None
    return States(words, reasons, node.choice("quality", StateQuality, StateQuality.EXACT), absent)


def _results(node: Node) -> dict[str, Result]:
    node.only("words")
    return {name.casefold(): place.as_choice(Result) for name, place in node.at("words").fields()}


def _errors(node: Node) -> Errors:
    node.only(*_ERRORS)
    codes = node.at("codes").fields()
    statuses = node.at("statuses").fields()
    not_done, not_done_codes = _not_done(node.at("not_done"))
    return Errors(
        code=node.at("code").as_json_paths(),
        text=node.at("text").as_json_paths(),
        codes={name.casefold(): place.as_choice(ErrorClass) for name, place in codes},
        statuses=STATUSES
        | {_status(place, name, 300): place.as_choice(ErrorClass) for name, place in statuses},
        fine=frozenset(place.as_text().casefold() for place in node.at("fine").elements()),
        not_done=not_done,
        not_done_codes=not_done_codes,
        retry_after=node.text("retry_after", "Retry-After"),
        retry_after_path=node.json_path("retry_after_path"),
        longest_pause=node.number("longest_pause", LONGEST_PAUSE, least=1),
        rate_limited_pause=_maybe(node, "rate_limited_pause"),
    )


def _not_done(node: Node) -> tuple[frozenset[int], frozenset[str]]:
    """Statuses are numbers, also in quotes; other texts are the operator's codes."""
    codes, statuses = set(), set()
    for place in node.elements():
        given = place.value
        if isinstance(given, str) and not re.fullmatch("5[0-9]{2}", given):
            codes.add(place.as_text().casefold())
        else:
            statuses.add(_status(place, given, 500))
    return frozenset(statuses), frozenset(codes)


def _status(node: Node, given: object, least: int) -> int:
    text = str(given)
    if not (text.isascii() and text.isdigit() and least <= int(text) <= 599):
        node.wrong(f"нужен код HTTP от {least} до 599")
        return least
    return int(text)


# --- times ------------------------------------------------------------------------------------------


def _maybe(node: Node, name: str) -> float | None:
    return node.number(name, 0) if node.has(name) else None


def _poll_plan(node: Node) -> tuple[float, ...]:
    plan = tuple(place.as_number(least=1, most=86400) for place in node.elements())
    if len(plan) > 30:
        node.wrong("не больше 30 пауз: последняя повторяется")
    return plan or (5, 10, 30, 60, 120, 300)


def _window(node: Node) -> Window:
    node.only("days", "from", "to")
    days = tuple(
        int(place.as_number(least=0, most=6)) for place in node.at("days").elements()
    ) or tuple(range(7))
    starts, ends = node.text("from"), node.text("to")
    if starts == ends:
        node.wrong("начало и конец совпадают")
    for name, hour in (("from", starts), ("to", ends)):
        if not _HOUR.fullmatch(hour):
            node.at(name).wrong("время пишется как 02:00")
    return Window(days, starts, ends)
