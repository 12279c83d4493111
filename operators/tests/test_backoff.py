"""How long an operator asks to wait: what its answers say, and how much of it is believed."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.backoff import (
    LONGEST_PAUSE,
    LONGEST_TOKEN,
    MISTAKEN_PAUSE,
    USUAL_TOKEN,
    lifetime_of,
    retry_after,
    seconds_of,
)
from operators.ports import (
    Action,
    ErrorClass,
    Rejected,
    Reply,
)
from operators.tests.declarative_server import described_operator, profile, replies
from operators.tests.sandbox_operator import SIM, submit

TOLD = "Wed, 21 Oct 2026 07:28:00 GMT"
ABSURD = "Fri, 31 Dec 99999999999999999999 23:59:59 GMT"


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
        ({"Retry_After": "99999999"}, MISTAKEN_PAUSE),
        ({"Retry_After": "9" * 400}, MISTAKEN_PAUSE),
        ({"Retry_After": "Wed, 21 Oct 2026 07:33:00 GMT", "Date": TOLD}, 300.0),
        ({"Retry_After": "Wed, 21 Oct 2026 10:33:00 +0300", "Date": TOLD}, 300.0),
        ({"Retry_After": "Wed, 21 Oct 2026 07:33:00", "Date": TOLD}, 300.0),
        ({"Retry_After": "Wed, 21 Oct 2099 07:28:00 GMT", "Date": TOLD}, MISTAKEN_PAUSE),
        ({"Retry_After": "Wed, 21 Oct 2026 07:27:00 GMT", "Date": TOLD}, 0.0),
        ({"Retry_After": "Wed, 21 Oct 2099 07:28:00 GMT", "Date": "yesterday"}, MISTAKEN_PAUSE),
        ({"Retry_After": "Wed, 99 Oct 2026 07:28:00 GMT", "Date": TOLD}, 20.0),
        ({"Retry_After": "Fri, 31 Dec 99999999999999999999 23:59:59 GMT"}, 20.0),
        ({"Retry_After": "Wed, 21 Oct 2099 07:28:00 GMT", "Date": ABSURD}, MISTAKEN_PAUSE),
        ({"Retry_After": "100000000000000000000"}, MISTAKEN_PAUSE),
    ],
)
def test_pause_of_an_answer(headers, seconds):
    assert retry_after(reply(**headers), default=20.0) == seconds


def test_date_without_the_operators_clock_is_counted_from_ours():
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)

    seconds = seconds_of(until, reply())

    assert seconds is not None
    assert 80 < seconds <= 90


NUMBERS = st.integers(0, 10**25).map(str)
DATES = st.tuples(
    st.just("Fri,"),
    NUMBERS,
    st.just("Dec"),
    NUMBERS,
    st.just("23:59:59"),
    NUMBERS | st.just("+0300"),
)
HEADERS = st.text(max_size=40) | DATES.map(" ".join)


@given(HEADERS, HEADERS)
def test_no_header_whatever_breaks_the_reading(said, date):
    seconds = retry_after(reply(Retry_After=said, Date=date), default=None)

    assert seconds is None or 0 <= seconds <= LONGEST_PAUSE


# --- of a described operator ----------------------------------------------------------------------


NOVA = profile({}, errors={"rate_limited_pause": 9})


def until(**length: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(**length), usegmt=True)


@pytest.mark.parametrize(
    ("description", "body", "headers", "least", "most"),
    [
        (NOVA, {}, dict, 9, 9),
        (NOVA, {}, lambda: {"Retry_After": "0"}, 9, 9),
        (NOVA, {}, lambda: {"Retry_After": "7"}, 7, 7),
        (NOVA, {}, lambda: {"Retry_After": until(seconds=90)}, 80, 91),
        (NOVA, {}, lambda: {"Retry_After": until(hours=5)}, LONGEST_PAUSE, LONGEST_PAUSE),
        (NOVA, {}, lambda: {"Retry_After": until(hours=-5)}, 9, 9),
    ],
)
def test_described_operator_names_a_pause_by_number_or_date(
    tmp_path, description, body, headers, least, most
):
    handlers = {f"POST /sims/{SIM.iccid}/on": replies(body, 429, **headers())}
    with described_operator(tmp_path, description, {}, handlers) as (operator, _):
        result = submit(operator, Action.ACTIVATE)

    assert isinstance(result, Rejected)
    assert result.error is ErrorClass.RATE_LIMITED
    assert result.retry_after is not None
    assert least <= result.retry_after <= most


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (3600, 3600.0),
        (3599.5, 3599.5),
        ("3600", 3600.0),
        (" 60 ", 60.0),
        (None, USUAL_TOKEN),
        ("", USUAL_TOKEN),
        ("час", USUAL_TOKEN),
        ("NaN", USUAL_TOKEN),
        (True, USUAL_TOKEN),
        ([3600], USUAL_TOKEN),
        (0, 0.0),
        ("-1", 0.0),
        ("Infinity", LONGEST_TOKEN),
        (10**400, USUAL_TOKEN),
        ("9" * 400, LONGEST_TOKEN),
    ],
)
def test_lifetime_of_a_token_is_read_in_any_spelling(given, seconds):
    assert lifetime_of(given) == seconds


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)))
def test_lifetime_of_a_token_never_breaks_and_is_bounded(given):
    assert 0 <= lifetime_of(given) <= LONGEST_TOKEN
