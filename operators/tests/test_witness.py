"""How a walk along an operator's stand waits, and that its tokens are its own."""

import pytest

from operators.ports import (
    OUR_QUOTA,
    CallKind,
    ErrorClass,
    NoChangeList,
    Rejected,
    Reply,
    Unavailable,
)
from operators.tests.lines import OK, answering, door, listening
from operators.witness import Ear, OwnTokens, Pauses


def limited(code: str = "429", retry_after: float | None = 0.0) -> Rejected:
    return Rejected(ErrorClass.RATE_LIMITED, code, "", retry_after)


@pytest.mark.parametrize(
    ("answer", "attempt", "again", "trouble"),
    [
        (limited(), 1, True, []),
        (limited(), 4, True, []),
        (limited(), 5, False, ["отказ 429, попыток 5, пауза 0 с"]),
        (limited(retry_after=121), 1, False, ["отказ 429, попыток 1, пауза 121 с"]),
        (limited(retry_after=None), 1, False, ["отказ 429 без Retry-After"]),
        (Unavailable(ErrorClass.MAINTENANCE, "503", "", 0.0), 1, True, []),
        (Rejected(ErrorClass.INVALID, "400", ""), 1, False, []),
        (limited(OUR_QUOTA, 0.01), 29, True, []),
        (limited(OUR_QUOTA, 0.01), 30, False, []),
    ],
)
def test_walk_waits_as_asked_and_says_where_that_did_not_help(answer, attempt, again, trouble):
    pauses = Pauses()

    assert pauses.wait(answer, attempt) == again
    assert pauses.troubles == trouble


def test_only_what_the_operator_asked_for_counts_as_waited():
    pauses = Pauses()

    pauses.wait(limited(retry_after=0.01), 1)
    pauses.wait(limited(OUR_QUOTA, 0.02), 1)

    assert pauses.waited == 0.01


def test_tokens_of_a_walk_are_its_own():
    tokens = OwnTokens()
    tokens.put("mts", "very-secret", ttl=60)
    with tokens.lock("mts"):
        kept = [tokens.get("mts"), OwnTokens().get("mts")]
    tokens.forget("mts")
    tokens.forget("mts")

    assert (kept, tokens.get("mts")) == (["very-secret", None], None)


def test_ear_remembers_what_left_and_gives_the_answer_on():
    with listening(answering(OK)) as url:
        ear = Ear(door())
        reply = ear.request("GET", url, kind=CallKind.READ, headers={"X-Own": "k-1"})

    assert isinstance(reply, Reply)
    assert (reply.status, ear.heard("k-1"), ear.heard("k-2")) == (200, True, False)


def test_operator_without_a_list_of_changes_says_so():
    with pytest.raises(Unavailable) as refused:
        NoChangeList().list_changes(since=None, cursor="")

    assert (refused.value.error, refused.value.text) == (
        ErrorClass.UNSUPPORTED,
        "оператор не сообщает об изменениях списком",
    )
