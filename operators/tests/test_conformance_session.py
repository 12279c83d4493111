"""How the check of an operator's stand waits, and that its tokens are its own."""

import pytest

from operators.client.tokens import OwnTokens
from operators.conformance.session import RecordingHttp, RetryTracker
from operators.ports import (
    CallKind,
    ErrorClass,
    NoChangeList,
    OurCode,
    Rejected,
    Reply,
    Unavailable,
)
from operators.tests.lines import OK, answering, client, listening


def limited(code: str = "429", retry_after: float | None = 0.0) -> Rejected:
    return Rejected(ErrorClass.RATE_LIMITED, code, "", retry_after)


@pytest.mark.parametrize(
    ("answer", "attempt", "again", "problems"),
    [
        (limited(), 1, True, []),
        (limited(), 4, True, []),
        (limited(), 5, False, ["отказ 429, попыток 5, пауза 0 с"]),
        (limited(retry_after=121), 1, False, ["отказ 429, попыток 1, пауза 121 с"]),
        (limited(retry_after=None), 1, False, ["отказ 429 без Retry-After"]),
        (Unavailable(ErrorClass.MAINTENANCE, "503", "", 0.0), 1, True, []),
        (Rejected(ErrorClass.INVALID, "400", ""), 1, False, []),
        (limited(OurCode.QUOTA, 0.01), 29, True, []),
        (limited(OurCode.QUOTA, 0.01), 30, False, []),
    ],
)
def test_requested_pause_is_waited_and_useless_one_is_reported(answer, attempt, again, problems):
    pauses = RetryTracker()

    assert pauses.wait(answer, attempt) == again
    assert pauses.problems == problems


def test_only_what_the_operator_asked_for_counts_as_waited():
    pauses = RetryTracker()

    pauses.wait(limited(retry_after=0.01), 1)
    pauses.wait(limited(OurCode.QUOTA, 0.02), 1)

    assert pauses.waited == 0.01


def test_tokens_of_a_check_are_its_own():
    tokens = OwnTokens()
    tokens.put("mts", "very-secret", ttl=60)
    with tokens.lock("mts"):
        kept = [tokens.get("mts"), OwnTokens().get("mts")]
    tokens.forget("mts")
    tokens.forget("mts")

    assert kept == ["very-secret", None]
    assert tokens.get("mts") is None


def test_recording_client_remembers_requests_and_returns_the_reply():
    with listening(answering(OK)) as url:
        recorder = RecordingHttp(client())
        reply = recorder.request("GET", url, kind=CallKind.READ, headers={"X-Own": "k-1"})

    assert isinstance(reply, Reply)
    assert reply.status == 200
    assert recorder.has_sent("k-1") is True
    assert recorder.has_sent("k-2") is False


def test_operator_without_a_list_of_changes_says_so():
    with pytest.raises(Unavailable) as refused:
        NoChangeList().list_changes(since=None, cursor="")

    assert refused.value.error == ErrorClass.UNSUPPORTED
    assert refused.value.text == "оператор не сообщает об изменениях списком"
