"""How long an operator asks to wait: what its answers say, and how much of it is believed."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.ports import (
    OUR_QUOTA,
    TOKENS_AWAY,
    Accepted,
    Action,
    Already,
    Applied,
    ErrorClass,
    Rejected,
    Reply,
    Unavailable,
    Unknown,
)
from operators.tests.bench import submit
from operators.tests.described import played, says
from operators.waits import (
    LONGEST_PAUSE,
    asked_pause,
    is_short_of_words,
    retry_after,
    seconds_of,
)

TOLD = "Wed, 21 Oct 2026 07:28:00 GMT"


def reply(**headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(503, named, b"")


# --- Retry-After ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 20.0),
        ({"Retry_After": ""}, 20.0),
        ({"Retry_After": "soon"}, 20.0),
        ({"Retry_After": "-5"}, 20.0),
        ({"Retry_After": "0"}, 0.0),
        ({"Retry_After": " 120 "}, 120.0),
        ({"Retry_After": "86400"}, LONGEST_PAUSE),
        ({"Retry_After": "9" * 400}, LONGEST_PAUSE),
        ({"Retry_After": "Wed, 21 Oct 2026 07:33:00 GMT", "Date": TOLD}, 300.0),
        ({"Retry_After": "Wed, 21 Oct 2026 10:33:00 +0300", "Date": TOLD}, 300.0),
        ({"Retry_After": "Wed, 21 Oct 2026 07:33:00", "Date": TOLD}, 300.0),
        ({"Retry_After": "Wed, 21 Oct 2099 07:28:00 GMT", "Date": TOLD}, LONGEST_PAUSE),
        ({"Retry_After": "Wed, 21 Oct 2026 07:27:00 GMT", "Date": TOLD}, 0.0),
        ({"Retry_After": "Wed, 21 Oct 2099 07:28:00 GMT", "Date": "yesterday"}, LONGEST_PAUSE),
        ({"Retry_After": "Wed, 99 Oct 2026 07:28:00 GMT", "Date": TOLD}, 20.0),
    ],
)
def test_pause_of_an_answer(headers, seconds):
    assert retry_after(reply(**headers), default=20.0) == seconds


def test_date_without_the_operators_clock_is_counted_from_ours():
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)

    seconds = seconds_of(until, reply())

    assert seconds is not None
    assert 80 < seconds <= 90


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_header_whatever_breaks_the_reading(said, date):
    seconds = retry_after(reply(Retry_After=said, Date=date), default=None)

    assert seconds is None or 0 <= seconds <= LONGEST_PAUSE


# --- what an answer asks of everybody -------------------------------------------------------------


def refused(error: ErrorClass, seconds: float | None = None, code: str = "") -> Rejected:
    return Rejected(error, code, "", seconds)


@pytest.mark.parametrize(
    ("word", "seconds", "short"),
    [
        (Applied(), 0, False),
        (Already(), 0, False),
        (Accepted("r-1", retry_in=40), 0, False),
        (Accepted("r-1", pause=40), 40, False),
        (Accepted("r-1", pause=10**6), LONGEST_PAUSE, False),
        (refused(ErrorClass.RATE_LIMITED, 40), 40, False),
        (refused(ErrorClass.RATE_LIMITED, 0), 0, False),
        (refused(ErrorClass.RATE_LIMITED), 2, True),
        (Unavailable(ErrorClass.RATE_LIMITED, "429", ""), 2, True),
        (refused(ErrorClass.MAINTENANCE, 120), 120, False),
        (refused(ErrorClass.MAINTENANCE), 30, False),
        (Unknown("", ErrorClass.MAINTENANCE), 30, False),
        (Unavailable(ErrorClass.MAINTENANCE, "503", ""), 30, False),
        (refused(ErrorClass.TRANSIENT, 40), 40, False),
        (refused(ErrorClass.TRANSIENT, 10**6), LONGEST_PAUSE, False),
        (refused(ErrorClass.TRANSIENT), 0, False),
        (Unknown("", retry_after=40), 40, False),
        (Unknown(""), 0, False),
        (Unavailable(ErrorClass.AUTH, "403", "", 40), 40, False),
        *((refused(error, 40), 0, False) for error in (
            ErrorClass.NOT_FOUND, ErrorClass.INVALID, ErrorClass.ALREADY,
            ErrorClass.CONFLICT_PENDING, ErrorClass.HELD_BY_OPERATOR,
        )),
        *((refused(ErrorClass.RATE_LIMITED, 40, code), 0, False)
          for code in (OUR_QUOTA, TOKENS_AWAY, "lease")),
    ],
)  # fmt: skip
def test_pause_that_an_answer_asks_of_everybody(word, seconds, short):
    assert (asked_pause(word), is_short_of_words(word)) == (seconds, short)


# --- of a described operator ----------------------------------------------------------------------


_SWITCH = {
    "method": "POST",
    "path": "/on",
    "success": {"200": "state"},
    "answer": {"iccid": "iccid", "state": "state"},
}
NOVA = {
    "title": "По описанию",
    "calls": {"activate": _SWITCH, "deactivate": _SWITCH},
    "states": {"words": {"on": "active", "off": "inactive"}},
    "errors": {"retry_after_path": "wait", "longest_pause": 600, "rate_limited_pause": 9},
}


def until(**length: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(**length), usegmt=True)


@pytest.mark.parametrize(
    ("body", "headers", "least", "most"),
    [
        ({}, dict, 9, 9),
        ({}, lambda: {"Retry_After": "0"}, 9, 9),
        ({}, lambda: {"Retry_After": "7"}, 7, 7),
        ({"wait": "2.5"}, dict, 2.5, 2.5),
        ({}, lambda: {"Retry_After": until(seconds=90)}, 80, 91),
        ({}, lambda: {"Retry_After": until(hours=5)}, 600, 600),
        ({}, lambda: {"Retry_After": until(hours=-5)}, 9, 9),
    ],
)
def test_described_operator_says_it_by_number_or_date(tmp_path, body, headers, least, most):
    handlers = {"POST /on": says(body, 429, **headers())}
    with played(tmp_path, NOVA, {}, handlers) as (operator, _):
        result = submit(operator, Action.ACTIVATE)

    assert isinstance(result, Rejected)
    assert result.error is ErrorClass.RATE_LIMITED
    assert result.retry_after is not None
    assert least <= result.retry_after <= most
