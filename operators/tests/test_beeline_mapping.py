"""Билайн's words: states of requests, codes of errors, reasons of blocks."""

from dataclasses import replace
from typing import Any

import pytest

from operators.adapters.beeline import Beeline
from operators.ports import (
    Accepted,
    Action,
    BlockReason,
    CallKind,
    Check,
    CheckState,
    Connection,
    ErrorClass,
    LostReply,
    Reading,
    Rejected,
    Reply,
    SimState,
    Unavailable,
    Unknown,
)
from operators.tests.beeline import (
    AT,
    KEYS,
    SAMPLE_SIM,
    SAMPLES,
    RecordingHttp,
    answer,
    beeline,
    fault,
    listed,
    request_status,
)
from operators.tests.sandbox_operator import new_tokens, submit

# --- the sixteen states of a request ------------------------------------------------------------

PENDING, FAILED = CheckState.PENDING, CheckState.FAILED
STATES = {
    "FULFILL_REQ": PENDING,
    "OPEN": PENDING,
    "IN_PROGRESS": PENDING,
    "COMPLETE": CheckState.COMPLETED,
    "AUTO_COMPLETE": CheckState.COMPLETED,
    "PARTIALLY_COMPLETE": CheckState.LOST,
    "WAITING_FOR_APPROVAL": PENDING,
    "NEED_MORE_INFORMATION": FAILED,
    "REJECTED": FAILED,
    "NULL": FAILED,
    "CANCELED": FAILED,
    "PENDING": PENDING,
    "PENDING_OPEN": PENDING,
    "PENDING_CLOSE": PENDING,
    "EXPIRED_REQ": FAILED,
    "PERIODIC_IN_PROGRESS": PENDING,
}


def check_with(*answers: Reply, request_id: str = "1000000001") -> Check:
    operator, _ = beeline(*answers)
    return operator.check(request_id=request_id, sim=SAMPLE_SIM, submitted_at=AT, at=AT)


@pytest.mark.parametrize(("word", "state"), STATES.items())
def test_each_state_of_a_request_is_known(word, state):
    check = check_with(request_status(word), answer(SAMPLES["ctn_info_response_active"]))

    expected = ErrorClass.INVALID if state is FAILED else None
    assert check.state == state
    assert check.code == word
    assert check.error == expected


def test_table_of_states_is_the_operator_s():
    assert set(STATES) == set(SAMPLES["request_status_map"])


@pytest.mark.parametrize("word", ["SUSPENDED?", "", "complete"])
def test_unknown_state_is_pending_with_its_word(word):
    assert check_with(request_status(word)) == Check(
        PENDING, word, f"незнакомое состояние «{word}»"
    )


def test_request_done_in_part_asks_for_a_reading():
    check = check_with(request_status("PARTIALLY_COMPLETE"))

    text = "выполнено частично, исход покажет состояние карты"
    assert check == Check(CheckState.LOST, "PARTIALLY_COMPLETE", text)


def test_failure_without_a_reading_is_a_failure_all_the_same():
    check = check_with(request_status("CANCELED"), answer("", 503))

    text = "Билайн не выполнил запрос: CANCELED"
    assert check == Check(FAILED, "CANCELED", text, ErrorClass.INVALID)


def test_answer_with_unknown_elements_in_another_order_is_read():
    check = check_with(
        request_status("REJECTED", "<type>1</type><more><x>1</x></more>"), answer("", 503)
    )

    assert check.code == "REJECTED"


@pytest.mark.parametrize("ctn", ["9990000001", "79990000001", "09990000001"])
def test_request_of_our_number_is_believed(ctn):
    assert check_with(request_status("COMPLETE", f"<ctn>{ctn}</ctn>")).state is CheckState.COMPLETED


def test_request_of_another_number_proves_nothing():
    with pytest.raises(Unavailable) as refused:
        check_with(request_status("COMPLETE", "<ctn>9990000002</ctn>"))

    assert refused.value.error == ErrorClass.TRANSIENT
    assert refused.value.code == "wrong_id"


@pytest.mark.parametrize("inner", ["", "<requestList></requestList>"])
def test_request_that_is_not_listed_is_lost(inner):
    body = SAMPLES["request_list_response"]
    head, tail = body.split("<requestList>")[0], body.split("</requestList>")[1]

    check = check_with(answer(head + inner + tail))

    assert check == Check(CheckState.LOST, text="оператор не знает такого запроса")


# --- the codes of errors ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (fault(20001), Rejected(ErrorClass.INVALID, "20001", "TEXT")),
        (fault(20005), Rejected(ErrorClass.NOT_FOUND, "20005", "TEXT")),
        (fault(20006, "NO (login=L)"), Rejected(ErrorClass.FORBIDDEN, "20006", "NO")),
        (fault(20017), Unknown("TEXT", ErrorClass.TRANSIENT, "20017")),
        (
            replace(fault(20017), headers={"Retry-After": "60"}),
            Unknown("TEXT", ErrorClass.TRANSIENT, "20017", 60.0),
        ),
        (fault(20999), Unknown("TEXT", ErrorClass.UNKNOWN_OUTCOME, "20999")),
        (fault(20006, status=200), Rejected(ErrorClass.FORBIDDEN, "20006", "TEXT")),
        (fault(), Unknown("FAULT", ErrorClass.UNKNOWN_OUTCOME, "fault")),
        (
            answer("<html>", 404),
            Rejected(ErrorClass.CONFIGURATION, "404", "Билайн ответил 404"),
        ),
        (answer("", 403), Rejected(ErrorClass.FORBIDDEN, "403", "Билайн ответил 403")),
        (
            answer("", 429, Retry_After="9"),
            Rejected(ErrorClass.RATE_LIMITED, "429", "Билайн ответил 429", 9.0),
        ),
        (answer("", 302), Unknown("Билайн ответил 302", code="302")),
        (answer("", 500), Unknown("Билайн ответил 500", ErrorClass.TRANSIENT, "500")),
        (
            answer("", 503, Retry_After="60"),
            Unknown("Билайн ответил 503", ErrorClass.MAINTENANCE, "503", 60.0),
        ),
        (
            answer(SAMPLES["suspend_response"], 500),
            Unknown("Билайн ответил 500", ErrorClass.TRANSIENT, "500"),
        ),
    ],
)
def test_refusal_is_read_by_its_code_before_its_status(refusal, expected):
    # The card is not in the wanted state, so a confirming reading changes nothing.
    operator, _ = beeline(refusal, answer(SAMPLES["ctn_info_response_active"]))

    result = operator.submit(action=Action.DEACTIVATE, sim=SAMPLE_SIM, key="k", at=AT)

    assert result == expected


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (fault(20001), ErrorClass.INVALID),
        (fault(20005), ErrorClass.NOT_FOUND),
        (fault(20006), ErrorClass.FORBIDDEN),
        (fault(20017), ErrorClass.TRANSIENT),
        (fault(20999), ErrorClass.TRANSIENT),
        (answer("", 503), ErrorClass.MAINTENANCE),
        (answer("<html></html>"), ErrorClass.TRANSIENT),
    ],
)
def test_refused_question_teaches_nothing(refusal, error):
    operator, _ = beeline(refusal)

    with pytest.raises(Unavailable) as refused:
        operator.read_state(sim=SAMPLE_SIM)

    assert refused.value.error is error


def test_request_that_is_not_ready_is_pending():
    assert check_with(fault(20017)) == Check(PENDING, "20017", "TEXT")


def test_unknown_token_is_renewed_and_the_call_repeated_once():
    operator, http = beeline(fault(20003), answer(SAMPLES["suspend_response"]))

    result = submit(operator, Action.DEACTIVATE)

    assert result == Accepted("1000000001")
    assert [call["kind"] for call in http.asked] == [
        CallKind.AUTH,
        CallKind.SUBMIT,
        CallKind.AUTH,
        CallKind.SUBMIT,
    ]


def test_token_that_is_not_found_twice_is_given_up():
    operator, http = beeline(fault(20003), fault(20003))

    result = submit(operator, Action.DEACTIVATE)

    assert result == Rejected(ErrorClass.AUTH, "20003", "TEXT")
    assert len(http.asked) == 4


@pytest.mark.parametrize(
    ("login", "error", "code"),
    [
        (fault(20002), ErrorClass.AUTH, "20002"),
        (fault(20001), ErrorClass.AUTH, "20001"),
        (fault(20017), ErrorClass.TRANSIENT, "20017"),
        (fault(), ErrorClass.TRANSIENT, "fault"),
        (answer("", 404), ErrorClass.CONFIGURATION, "404"),
        (answer("", 429), ErrorClass.RATE_LIMITED, "429"),
        (
            answer(SAMPLES["auth_response"].replace("SYNTHETICTOKEN", "")),
            ErrorClass.TRANSIENT,
            "no_token",
        ),
    ],
)
def test_refused_login_stops_the_switch(login, error, code):
    operator, http = beeline()
    http.login = login

    result = submit(operator, Action.DEACTIVATE)

    assert isinstance(result, Rejected)
    assert result.error == error
    assert result.code == code
    assert [call["kind"] for call in http.asked] == [CallKind.AUTH]


def test_lost_answer_to_a_switch_is_an_unknown_outcome():
    class Losing(RecordingHttp):
        def request(self, method: str, url: str, *, kind: CallKind, **parts: Any) -> Reply:
            if kind is CallKind.SUBMIT:
                raise LostReply("ответ оператора не получен целиком")
            return super().request(method, url, kind=kind, **parts)

    url, http = "https://my.beeline.ru/api", Losing([])
    operator = Beeline(Connection("beeline", url, KEYS, http, new_tokens()))

    assert submit(operator, Action.ACTIVATE) == Unknown("ответ оператора не получен целиком")


# --- numbers and blocks -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        ("WIB", SimState.INACTIVE, BlockReason.VOLUNTARY),
        ("S1B", SimState.INACTIVE, BlockReason.VOLUNTARY),
        ("STO", SimState.HELD, BlockReason.STOLEN),
        ("BSB", SimState.HELD, BlockReason.OPERATOR),
        ("DUF", SimState.HELD, BlockReason.OPERATOR),
        ("DOSS", SimState.HELD, BlockReason.OPERATOR),
        ("NEW1", SimState.HELD, BlockReason.UNKNOWN),
        ("", SimState.INACTIVE, BlockReason.UNKNOWN),
    ],
)
def test_reason_of_a_block_says_whose_it_is(code, state, reason):
    operator, _ = beeline(listed(reasonStatus=code))

    reading = operator.read_state(sim=SAMPLE_SIM)

    raw = f"BLOCKED {code}".strip()
    assert reading == Reading(state, reason, raw=raw, msisdn="79990000001")


def test_unknown_state_of_a_number_is_unknown():
    operator, _ = beeline(listed(status="RESERVED", reasonStatus=""))

    reading = operator.read_state(sim=SAMPLE_SIM)

    assert reading == Reading(SimState.UNKNOWN, raw="RESERVED", msisdn="79990000001")


def test_number_with_a_digit_before_it_is_ours():
    operator, _ = beeline(listed(ctn="09990000001"))

    assert operator.read_state(sim=SAMPLE_SIM).state is SimState.INACTIVE


@pytest.mark.parametrize(
    ("said", "error", "code"),
    [
        (listed(ctn="9990000002"), ErrorClass.TRANSIENT, "wrong_id"),
        (listed(ctn=""), ErrorClass.TRANSIENT, "wrong_id"),
        (
            answer(
                SAMPLES["ctn_info_response_active"].split("<CTNInfoList>")[0]
                + SAMPLES["ctn_info_response_active"].split("</CTNInfoList>")[1]
            ),
            ErrorClass.NOT_FOUND,
            "no_ctn",
        ),
    ],
)
def test_list_without_our_number_proves_nothing(said, error, code):
    operator, _ = beeline(said)

    with pytest.raises(Unavailable) as refused:
        operator.read_state(sim=SAMPLE_SIM)

    assert refused.value.error == error
    assert refused.value.code == code


def test_answer_of_an_unknown_type_is_an_unknown_outcome():
    instance = "http://www.w3.org/2001/XMLSchema-instance"
    odd = f'<return xmlns:i="{instance}" i:type="nobody:Number">1</return>'
    operator, _ = beeline(answer(odd_answer("suspendCTN", odd)))

    result = submit(operator, Action.DEACTIVATE)

    assert isinstance(result, Unknown)


def odd_answer(operation: str, content: str) -> str:
    name = f"n:{operation}Response"
    return (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        f'<{name} xmlns:n="urn:uss-wsapi:Subscriber">{content}</{name}></s:Body></s:Envelope>'
    )
