"""What a described operator's answers are made into, each asked of a small server over real HTTP."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from cabinet.sandbox.http import Request, Response, Wire, json_response
from operators.client.http import HttpExchange
from operators.ports import (
    Accepted,
    Action,
    Already,
    Applied,
    BlockReason,
    Check,
    CheckState,
    ErrorClass,
    Operator,
    Reading,
    Rejected,
    Sim,
    SimState,
    Unavailable,
    Unknown,
)
from operators.tests import vendors
from operators.tests.declarative_server import (
    described_operator,
    make_described_operator,
    profile,
    replies,
    serving_handlers,
)
from operators.tests.sandbox_operator import SIM, MemoryTokens, submit

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
ICCID, BARE = SIM.iccid, SIM.iccid[:-1]
ON_PATH, READ_PATH = f"POST /sims/{ICCID}/on", f"GET /sims/{ICCID}"
ON = {"iccid": ICCID, "state": "on"}
OFF = {"iccid": ICCID, "state": "off"}


def check(operator: Operator, request_id: str) -> Check:
    return operator.check(request_id=request_id, sim=SIM, submitted_at=AT, at=AT)


# --- the automatic proof ------------------------------------------------------------------------------------

PROOFS = profile(
    {"answer": {"iccid": "body.iccid", "state": "body.state", "request_id": "body.job"}},
    calls={"check": {"path": "/jobs/{request_id}",
                     "answer": {"request_id": "body.id", "result": "body.st", "code": "body.why",
                                "text": "body.note"}}},
    states={"words": {"on": "active", "off": "inactive", "soon": "pending", "dead": "retired"}},
    results={"words": {"ok": "done", "bad": "failed", "run": "pending", "gone": "lost"}},
    errors={"code": "body.error", "codes": {"E4": "not_found", "SAME": "already", "BUSY": "transient", "7": "auth"}},
)  # fmt: skip
BY_READING = "read:activate:k-1"
READS_ON, READS_OFF = (Applied("on"), Accepted(BY_READING))


@pytest.mark.parametrize(
    ("answer", "if_on", "if_off", "reads"),
    [
        (replies(ON), Applied("on"), Applied("on"), 0),
        (replies(ON, 201), Applied("on"), Applied("on"), 0),
        (replies({"iccid": BARE, "state": "ON"}), Applied("ON"), Applied("ON"), 0),
        (replies({"job": 77}), Accepted("activate:77"), Accepted("activate:77"), 0),
        (replies(ON | {"job": "j-1"}, 202), Accepted("activate:j-1"), Accepted("activate:j-1"), 0),
        (replies({"job": "/jobs/j-1"}, 202), Accepted("activate:j-1"), Accepted("activate:j-1"), 0),
        (replies({"job": 77}, 202, Retry_After="9"), *[Accepted("activate:77", 9.0)] * 2, 0),
        (replies({"job": "x" * 201}, 202), *[Accepted(BY_READING)] * 2, 0),
        (replies({"job": {"a": 1}}, 202), *[Accepted(BY_READING)] * 2, 0),
        (lambda _: Response(status=202), *[Accepted(BY_READING)] * 2, 0),
        (replies({}, 202, Retry_After="9"), *[Accepted(BY_READING, 9.0)] * 2, 0),
        (replies(ON, 202), *[Accepted(BY_READING)] * 2, 0),
        (replies({"iccid": ICCID, "state": "soon"}), *[Accepted(BY_READING)] * 2, 0),
        (replies(OFF), READS_ON, READS_OFF, 1),
        (replies({"state": "on"}), READS_ON, READS_OFF, 1),
        (replies({"iccid": "8970", "state": "on"}), READS_ON, READS_OFF, 1),
        (replies({"iccid": "8970", "job": 77}, 202), *[Accepted("activate:77")] * 2, 0),
        (replies({"iccid": ICCID, "state": "odd"}), READS_ON, READS_OFF, 1),
        (replies({"error": "UNKNOWN"}), READS_ON, READS_OFF, 1),
        (replies(ON, 203), READS_ON, READS_OFF, 1),
        (lambda _: Response(status=200), READS_ON, READS_OFF, 1),
        (lambda _: Response(status=204), READS_ON, READS_OFF, 1),
        (lambda _: Response(b"<html>", content_type="text/html"), READS_ON, READS_OFF, 1),
        (lambda _: Response(b'{"iccid": ' + b"[" * 5000), READS_ON, READS_OFF, 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("state", [ON, OFF], ids=["is on", "is off"])
def test_switch_is_proven_by_request_id_state_or_reading(
    tmp_path, answer, if_on, if_off, reads, state
):
    with described_operator(tmp_path, PROOFS, {}, {ON_PATH: answer, READ_PATH: replies(state)}) as (
        operator,
        part,
    ):
        result = submit(operator, Action.ACTIVATE)

    assert result == (if_on if state is ON else if_off)
    assert part.paths() == [ON_PATH, *[READ_PATH] * reads]


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (replies({"error": "E4"}), Rejected(ErrorClass.NOT_FOUND, "E4", "оператор ответил 200")),
        (replies({"error": "e4"}, 500), Rejected(ErrorClass.NOT_FOUND, "e4", "оператор ответил 500")),
        (replies({"error": 7}, 400), Rejected(ErrorClass.AUTH, "7", "оператор ответил 400")),
        (replies({"error": "SAME"}, 409), Already("SAME")),
        (replies({"error": "BUSY"}), Unknown("оператор ответил 200", ErrorClass.TRANSIENT, "BUSY")),
        (replies({}, 422), Rejected(ErrorClass.INVALID, "422", "оператор ответил 422")),
        (replies({}, 409), Rejected(ErrorClass.CONFLICT_PENDING, "409", "оператор ответил 409")),
        (replies({}, 408), Unknown("оператор ответил 408", ErrorClass.UNKNOWN_OUTCOME, "408")),
        (replies({}, 429, Retry_After="7"), Rejected(ErrorClass.RATE_LIMITED, "429", "оператор ответил 429", 7.0)),
        (replies({}, 500), Unknown("оператор ответил 500", ErrorClass.TRANSIENT, "500")),
        (replies({}, 503), Unknown("оператор ответил 503", ErrorClass.MAINTENANCE, "503")),
        (replies({}, 302, Location="https://login.example.com"),
         Unknown("оператор ответил 302", ErrorClass.CONFIGURATION, "302")),
        (lambda _: Response(wire=Wire.CUT), Unknown("ответ оператора не получен целиком")),
        (lambda _: Response(b"{}", wire=Wire.HALF), Unknown("ответ оператора не получен целиком")),
    ],
)  # fmt: skip
def test_refusal_is_sure_only_where_nothing_can_have_been_done(tmp_path, answer, result):
    with described_operator(tmp_path, PROOFS, {}, {ON_PATH: answer}) as (operator, part):
        assert submit(operator, Action.ACTIVATE) == result

    assert part.paths() == [ON_PATH]


def test_description_may_redefine_a_status(tmp_path):
    described = PROOFS | {"errors": {"statuses": {"304": "already", "422": "held_by_operator"}}}
    with described_operator(tmp_path, described, {}, {ON_PATH: lambda _: Response(status=304)}) as (
        operator,
        _,
    ):
        again = submit(operator, Action.ACTIVATE)
    with described_operator(tmp_path, described, {}, {ON_PATH: replies({}, 422)}) as (operator, _):
        held = submit(operator, Action.ACTIVATE)

    text = "оператор ответил 422"
    assert again == Already("304")
    assert held == Rejected(ErrorClass.HELD_BY_OPERATOR, "422", text)


def test_reading_after_a_switch_that_fails_is_made_later(tmp_path):
    handlers = {ON_PATH: replies({}), READ_PATH: replies({}, 429, Retry_After="30")}
    with described_operator(tmp_path, PROOFS, {}, handlers) as (operator, _):
        assert submit(operator, Action.ACTIVATE) == Accepted(BY_READING, 30.0, 30.0)


NOT_DONE = Check(CheckState.FAILED, "bad", "оператор не выполнил запрос", ErrorClass.INVALID)


@pytest.mark.parametrize(
    ("job", "state", "expected"),
    [
        ({"id": "77", "st": "ok"}, ON, Check(CheckState.COMPLETED, "ok")),
        ({"id": 77, "st": "OK"}, ON, Check(CheckState.COMPLETED, "OK")),
        ({"id": "77", "st": "ok"}, OFF, Check(CheckState.PENDING, "off")),
        ({"id": "77", "st": "run"}, ON, Check(CheckState.PENDING, "run")),
        ({"id": "77", "st": "odd"}, ON, Check(CheckState.PENDING, "odd", "незнакомое состояние «odd»")),
        ({"id": "77", "st": "gone"}, ON, Check(CheckState.LOST, "gone")),
        ({"id": "77", "st": "bad"}, ON, NOT_DONE),
        ({"id": "77", "st": "bad", "why": "E4", "note": "нет карты"}, ON,
         Check(CheckState.FAILED, "E4", "нет карты", ErrorClass.NOT_FOUND)),
        ({"id": "77", "st": "bad", "why": "SAME"}, ON,
         Check(CheckState.COMPLETED, "SAME", "так уже и было", ErrorClass.ALREADY)),
        ({"id": "77", "st": "bad", "why": "SAME"}, OFF, Check(CheckState.PENDING, "off")),
        ({"id": "77", "st": "ok"}, {"iccid": ICCID, "state": "dead"},
         Check(CheckState.FAILED, "dead", "смарт-карта списана у оператора", ErrorClass.INVALID)),
    ],
)  # fmt: skip
def test_end_of_a_request_counts_when_the_card_shows_it(tmp_path, job, state, expected):
    handlers = {"GET /jobs/77": replies(job), READ_PATH: replies(state)}
    with described_operator(tmp_path, PROOFS, {}, handlers) as (operator, _):
        assert check(operator, "activate:77") == expected


@pytest.mark.parametrize(
    ("job", "code"),
    [({"id": "78", "st": "ok"}, "wrong_id"), ({"id": "77"}, "garbage"), ({"id": "77", "st": {}}, "garbage")],
)  # fmt: skip
def test_answer_about_another_request_is_no_result(tmp_path, job, code):
    with (
        described_operator(tmp_path, PROOFS, {}, {"GET /jobs/77": replies(job)}) as (operator, _),
        pytest.raises(Unavailable) as refused,
    ):
        check(operator, "activate:77")

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("request_id", "state", "expected"),
    [
        (BY_READING, ON, Check(CheckState.COMPLETED, "on")),
        (BY_READING, OFF, Check(CheckState.PENDING, "off")),
        (BY_READING, {"iccid": ICCID, "state": "soon"}, Check(CheckState.PENDING, "soon")),
        ("read:deactivate:k-1", OFF, Check(CheckState.COMPLETED, "off")),
        # Accepted before requests had our mark: the product reads the card.
        ("77", ON, Check(CheckState.LOST, "ok", "исход проверит чтение состояния")),
        ("gone", ON, Check(CheckState.LOST, "404", "оператор не знает такого запроса")),
    ],
)
def test_request_without_a_number_is_asked_about_by_reading(tmp_path, request_id, state, expected):
    handlers = {
        READ_PATH: replies(state),
        "GET /jobs/77": replies({"id": "77", "st": "ok"}),
        "GET /jobs/gone": replies({}, 404),
    }
    with described_operator(tmp_path, PROOFS, {}, handlers) as (operator, _):
        assert check(operator, request_id) == expected


def test_command_key_goes_into_a_header_of_the_switch(tmp_path):
    with described_operator(
        tmp_path, profile({"headers": {"Idempotency-Key": "{key}"}}), {}, {ON_PATH: replies(ON)}
    ) as (
        operator,
        part,
    ):
        submit(operator, Action.ACTIVATE, key="k-9")

    assert part.requests[0].headers["idempotency-key"] == "k-9"


# --- wrong descriptions -------------------------------------------------------------------------------------


def wrong(path: str, value: Any) -> dict[str, Any]:
    calls = {
        name: dict(call, answer=dict(call["answer"])) for name, call in PROOFS["calls"].items()
    }
    described = PROOFS | {"calls": calls, "results": {"words": dict(PROOFS["results"]["words"])}}
    *way, last = path.split("/")
    part: Any = described
    for name in way:
        part = part[name]
    part[last] = value
    return described


@pytest.mark.parametrize(
    "described",
    [
        wrong("results/words/run", "done"),
        wrong("results/words/odd", "done"),
        wrong("calls/activate/answer/request_id", "body.iccid"),
        wrong("calls/activate/answer/state", "body.iccid"),
        wrong("calls/activate/answer/iccid", "body.nothing"),
        wrong("calls/activate/answer", {}),
        wrong("calls/check/answer/request_id", None),
        wrong("calls/check/answer/result", "body.id"),
        wrong("calls/activate/path", "/sims/{iccid}/nothing"),
        wrong("calls/activate/method", "PUT"),
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_wrong_description_reports_no_success_that_was_not(tmp_path, described, status):
    answers = {"iccid": ICCID, "state": "soon", "job": "77"}
    handlers = {
        f"{method} /sims/{ICCID}/{word}": replies(answers, status)
        for method in ("POST", "PUT")
        for word in ("on", "nothing")
    }
    handlers |= {READ_PATH: replies(OFF), "GET /jobs/.+": replies({"id": "77", "st": "run"})}
    with described_operator(tmp_path, described, {}, handlers) as (operator, _):
        result = submit(operator, Action.ACTIVATE)
        asked = outcome_of(operator, result)

    assert not isinstance(result, Applied | Already)
    assert asked is not CheckState.COMPLETED


def outcome_of(operator: Operator, result: Any) -> CheckState | None:
    """What asking about an accepted request says; None where it says nothing."""
    try:
        return check(operator, result.request_id).state if isinstance(result, Accepted) else None
    except Unavailable:
        return None


# --- states -------------------------------------------------------------------------------------------------


def reading_of(tmp_path, answer: Mapping[str, Any], body: Any, **states: Any) -> Reading:
    read = {"path": "/sims/{iccid}", "answer": dict(answer)}
    words = {"on": "active", "off": "inactive", "1": "active", "2": "inactive", "debt": "held:debt",
             "client": "inactive", "new": "new", "moving": "pending"}  # fmt: skip
    described = profile({}, calls={"read": read}, states={"words": words} | states)
    with described_operator(tmp_path, described, {}, {READ_PATH: replies(body)}) as (operator, _):
        return operator.read_state(sim=SIM)


ACTIVE = Reading(SimState.ACTIVE, raw="on")
CARD = "row.icc"


@pytest.mark.parametrize(
    ("answer", "body", "expected"),
    [
        ({"state": "body.st"}, {"st": "On"}, Reading(SimState.ACTIVE, raw="On")),
        ({"state": "body.st.id"}, {"st": {"id": 1}}, Reading(SimState.ACTIVE, raw="1")),
        ({"state": "body.st[0]"}, {"st": ["on"]}, ACTIVE),
        ({"state": "body.st"}, {"st": ["on"]}, ACTIVE),
        ({"state": "body.st"}, {"st": ["on", "debt"]}, Reading(SimState.HELD, BlockReason.DEBT, raw="debt")),
        ({"state": "body[0].a.st"}, [{"a": {"st": "on"}}], ACTIVE),
        ({"state": "body.s[?c=='DATA'].st"}, {"s": [{"c": "SMS", "st": "off"}, {"c": "DATA", "st": "on"}]}, ACTIVE),
        ({"state": "body"}, "on", ACTIVE),
        ({"state": "body.st"}, {"st": "off"}, Reading(SimState.INACTIVE, BlockReason.VOLUNTARY, raw="off")),
        ({"state": "body.st"}, {"st": "odd"}, Reading(SimState.UNKNOWN, raw="odd")),
        ({"state": "body.inside.st"}, {"inside": '{"st": "o\\u0000d\\ud800"}'},
         Reading(SimState.UNKNOWN, raw="o\ufffdd\ufffd")),
        ({"state": "body.st"}, {"st": "moving"}, Reading(SimState.UNKNOWN, raw="moving")),
        ({"state": "body.st"}, {"st": "on", "inside": '{"a": 1}'}, ACTIVE),
        ({"state": "body.inside.st"}, {"inside": '{"st": "on"}'}, ACTIVE),
        ({"rows": "body.items", "iccid": CARD, "state": "row.st"},
         {"items": [{"icc": "1", "st": "off"}, {"icc": int(ICCID), "st": "on"}]}, ACTIVE),
        ({"rows": "body", "iccid": CARD, "state": "row.st"}, [{"icc": f"SIM-{BARE}F", "st": "on"}], ACTIVE),
        ({"rows": "body.item", "iccid": CARD, "state": "row.st"}, {"item": {"icc": ICCID, "st": "on"}}, ACTIVE),
        ({"rows": "body.cards.*", "iccid": CARD, "state": "row.st"},
         {"cards": {"a": {"icc": "1", "st": "off"}, "b": {"icc": ICCID, "st": "on"}}}, ACTIVE),
        ({"rows": "body.groups[].lines[]", "iccid": CARD, "state": "row.st"},
         {"groups": [{"lines": [{"icc": "1"}]}, {"lines": [{"icc": ICCID, "st": "on"}]}]}, ACTIVE),
        ({"rows": "body", "msisdn": "row.tel", "state": "row.st"},
         [{"tel": "+7 999 111-22-33", "st": "off"}, {"tel": f"8{SIM.msisdn[1:]}", "st": "on"}],
         Reading(SimState.ACTIVE, raw="on", msisdn=SIM.msisdn)),
        ({"state": "body.st", "msisdn": "body.tel", "imei": "body.imei"},
         {"st": "on", "tel": "9991112233", "imei": 356938035643809},
         Reading(SimState.ACTIVE, raw="on", msisdn="79991112233", imei="356938035643809")),
    ],
)  # fmt: skip
def test_state_is_read_wherever_it_stands(tmp_path, answer, body, expected):
    assert reading_of(tmp_path, answer, body) == expected


@pytest.mark.parametrize(
    ("answer", "body", "code"),
    [
        ({"state": "body.st"}, {"other": "on"}, "garbage"),
        ({"state": "body.st"}, "on", "garbage"),
        ({"iccid": "body.icc", "state": "body.st"}, {"icc": "8970", "st": "on"}, "wrong_id"),
        ({"iccid": "body.icc", "state": "body.st"}, {"st": "on"}, "wrong_id"),
        (
            {"iccid": "body[*].icc", "state": "body[0].st"},
            [{"icc": "1", "st": "on"}, {"icc": ICCID, "st": "off"}],
            "wrong_id",
        ),
        ({"rows": "body.items", "iccid": CARD, "state": "row.st"}, {"items": []}, "no_card"),
        (
            {"rows": "body.items", "iccid": CARD, "state": "row.st"},
            {"items": [{"icc": "1"}]},
            "wrong_id",
        ),
        ({"rows": "body.items", "iccid": CARD, "state": "row.st"}, {"error": "later"}, "garbage"),
        (
            {"rows": "body.items", "iccid": CARD, "state": "row.st"},
            {"items": [{"icc": ICCID}]},
            "garbage",
        ),
    ],
)
def test_answer_without_this_card_is_no_state(tmp_path, answer, body, code):
    with pytest.raises(Unavailable) as refused:
        reading_of(tmp_path, answer, body)

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([], Reading(SimState.ACTIVE)),
        (["client"], Reading(SimState.INACTIVE, BlockReason.VOLUNTARY, raw="client")),
        (["client", "debt"], Reading(SimState.HELD, BlockReason.DEBT, raw="debt")),
        (["client", "odd"], Reading(SimState.UNKNOWN, raw="odd")),
    ],
)
def test_card_without_blocks_is_active_and_the_worst_block_counts(tmp_path, blocks, expected):
    body = {"blocks": [{"type": one} for one in blocks]}

    assert reading_of(tmp_path, {"state": "body.blocks[*].type"}, body, absent="active") == expected


@pytest.mark.parametrize("body", [{}, {"blocks": None}, {"error": "later"}, []])
def test_missing_list_of_blocks_is_no_state(tmp_path, body):
    with pytest.raises(Unavailable) as refused:
        reading_of(tmp_path, {"state": "body.blocks[*].type"}, body, absent="active")

    assert refused.value.code == "garbage"


@pytest.mark.parametrize(
    ("why", "state", "reason"),
    [
        ([], SimState.INACTIVE, BlockReason.VOLUNTARY),
        (["mine"], SimState.INACTIVE, BlockReason.VOLUNTARY),
        (["mine", "Unpaid"], SimState.HELD, BlockReason.DEBT),
        (["strange"], SimState.HELD, BlockReason.UNKNOWN),
    ],
)
def test_reason_of_a_block_says_whose_it_is(tmp_path, why, state, reason):
    reasons = {"mine": "voluntary", "unpaid": "debt"}
    answer = {"state": "body.st", "reason": "body.why[*]"}

    reading = reading_of(tmp_path, answer, {"st": "off", "why": why}, reasons=reasons)

    assert reading == Reading(state, reason, raw="off")


@pytest.mark.parametrize("charset", ["windows-1251", "utf-8", "UTF-16", "koi8-r", "x-unheard"])
def test_answer_is_read_in_the_charset_that_it_names(tmp_path, charset):
    known = "utf-8" if charset == "x-unheard" else charset
    body = json.dumps({"iccid": ICCID, "state": "Включена"}, ensure_ascii=False)
    answer = Response(body.encode(known), content_type=f"application/json; charset={charset}")
    states = {"words": {"включена": "active", "off": "inactive"}}
    with described_operator(
        tmp_path, profile({}, states=states), {}, {READ_PATH: lambda _: answer}
    ) as (
        operator,
        _,
    ):
        if charset == "x-unheard":
            with pytest.raises(Unavailable):
                operator.read_state(sim=SIM)
            return
        assert operator.read_state(sim=SIM) == Reading(SimState.ACTIVE, raw="Включена")


# --- finding a card -----------------------------------------------------------------------------------------

FOUND = profile(
    {"path": "/owners/{owner}/sims/{id}", "method": "PUT", "form": {"v": "{version}"}, "answer": {}},
    calls={
        "find": {"path": "/sims", "query": {"icc": "{iccid}"},
                 "answer": {"rows": "body.data", "iccid": "row.icc",
                            "take": {"id": "row.href", "owner": "row.owner.code", "version": "headers.etag"}}},
        "read": {"path": "/sims/{id}", "answer": {"state": "body.st"}},
    },
)  # fmt: skip


def row(**parts: Any) -> dict[str, Any]:
    return {"icc": ICCID, "href": "https://x/sims/5", "owner": {"code": "c/1"}} | parts


def test_card_is_found_with_all_that_other_calls_need(tmp_path):
    handlers = {
        "GET /sims": replies({"data": [row(icc="1", href="9"), row()]}, ETag='"v3"'),
        "PUT /owners/c/1/sims/5": replies({}),
        "GET /sims/5": replies({"st": "on"}),
    }
    with described_operator(tmp_path, FOUND, {}, handlers) as (operator, part):
        result = submit(operator, Action.ACTIVATE)

    assert result == Applied("on")
    assert part.paths() == ["GET /sims", "PUT /owners/c/1/sims/5", "GET /sims", "GET /sims/5"]
    assert part.requests[0].args.to_dict(flat=False) == {"icc": [ICCID]}
    assert part.requests[1].form.to_dict() == {"v": '"v3"'}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (replies({"data": []}), ErrorClass.NOT_FOUND),
        (replies({"data": [row(icc="8970")]}), ErrorClass.TRANSIENT),
        (replies({"data": [row(href=None)]}, ETag="v"), ErrorClass.TRANSIENT),
        (replies({"data": [row()]}), ErrorClass.TRANSIENT),
        (replies({"data": [row(href="..")]}, ETag="v"), ErrorClass.INVALID),
        (replies({}, 404), ErrorClass.NOT_FOUND),
        (replies({}, 500), ErrorClass.TRANSIENT),
    ],
)
def test_card_that_is_not_found_is_not_switched(tmp_path, answer, error):
    with described_operator(tmp_path, FOUND, {}, {"GET /sims": answer}) as (operator, part):
        result = submit(operator, Action.DEACTIVATE)

    assert isinstance(result, Rejected)
    assert result.error == error
    assert part.paths() == ["GET /sims"]


def test_card_without_a_number_is_not_asked_about(tmp_path):
    described = profile({"path": "/{msisdn}/on"}, key="msisdn")
    with described_operator(tmp_path, described, {}, {}) as (operator, part):
        result = submit(operator, Action.ACTIVATE, Sim(ICCID))

    assert result == Rejected(ErrorClass.INVALID, "no_msisdn", "у смарт-карты не указан номер")
    assert part.requests == []


def test_outdated_version_is_a_refusal_of_the_switch(tmp_path):
    vendor = vendors.Pechora(iccid=ICCID)
    handlers = vendor.handlers() | {f"PUT /sims/{ICCID}": replies({"error": "VERSION"}, 412)}
    with described_operator(tmp_path, vendors.PECHORA, vendors.PECHORA_KEYS, handlers) as (
        operator,
        _,
    ):
        result = submit(operator, Action.ACTIVATE)

    assert result == Rejected(ErrorClass.CONFLICT_PENDING, "VERSION", "оператор ответил 412")


# --- logins -------------------------------------------------------------------------------------------------


GRANT = {"grant_type": "client_credentials", "scope": "sims"}


@pytest.mark.parametrize(
    ("auth", "kind", "body", "header"),
    [
        ("basic", "form", urlencode(GRANT), vendors.basic("kassa")),
        ("body", "json", json.dumps(GRANT | vendors.CLIENT), None),
    ],
)
def test_client_credentials_are_sent_as_the_manual_wants(tmp_path, auth, kind, body, header):
    login = {
        "kind": "oauth2_client_credentials",
        "path": "/token",
        "client_auth": auth,
        "body": kind,
        "scope": "sims",
    }
    handlers = {"POST /token": replies({"access_token": "t-1"}), READ_PATH: replies(ON)}
    with described_operator(tmp_path, profile({}, login=login), vendors.CLIENT, handlers) as (
        operator,
        part,
    ):
        operator.read_state(sim=SIM)

    token, read = part.requests
    assert token.get_data().decode() == body
    assert token.headers.get("authorization") == header
    assert read.headers["authorization"] == "Bearer t-1"


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (replies({}, 401), ErrorClass.AUTH, "401"),
        (replies({}, 429, Retry_After="5"), ErrorClass.RATE_LIMITED, "429"),
        (replies({}, 500), ErrorClass.TRANSIENT, "500"),
        (replies({}, 404), ErrorClass.CONFIGURATION, "404"),
        (replies({"error": 7}), ErrorClass.AUTH, "7"),
        (replies({}), ErrorClass.TRANSIENT, "no_token"),
        (lambda _: Response(wire=Wire.CUT), ErrorClass.TRANSIENT, "lost_reply"),
    ],
)
def test_switch_without_a_login_was_surely_not_made(tmp_path, answer, error, code):
    login = {"kind": "oauth2_client_credentials", "path": "/token"}
    errors = {"code": "body.error", "codes": {"7": "auth"}}
    described = profile({}, login=login, errors=errors)
    with described_operator(tmp_path, described, vendors.CLIENT, {"POST /token": answer}) as (
        operator,
        part,
    ):
        result = submit(operator, Action.ACTIVATE)

    assert isinstance(result, Rejected)
    assert result.error == error
    assert result.code == code
    assert part.paths() == ["POST /token"]


def test_login_of_two_steps_carries_both_tokens_and_renews_both(tmp_path):
    vendor, tokens = vendors.Dvina(iccid=ICCID), MemoryTokens()
    with serving_handlers(tmp_path, vendor.handlers()) as (url, part):
        operator = make_described_operator(
            vendors.DVINA, url, vendors.DVINA_KEYS, account="two", tokens=tokens
        )
        operator.read_state(sim=SIM)
        operator.read_state(sim=SIM)
        tokens.kept["token:two"] = '{"access": "bearer-0", "session": "s-0"}'
        operator.read_state(sim=SIM)

    logins, card = (
        ["POST /oauth2/token", "POST /m2m/session/login"],
        f"GET /m2m/cards/{ICCID}/state",
    )
    assert part.paths() == [*logins, card, card, card, *logins, card]


def test_second_token_of_one_login_is_sent_beside_the_first(tmp_path):
    step = {"path": "/session", "form": {"u": "{user}", "p": "{password}"},
            "take": {"token": "body.auth", "csrf": "headers.\"x-csrf\""}}  # fmt: skip
    login = {"kind": "token_call", "steps": [step], "default_seconds": 600, "keys": [
        {"field": "token", "in": "header", "name": "Authorization", "prefix": "Token "},
        {"field": "csrf", "in": "header", "name": "X-CSRF"}]}  # fmt: skip
    fields = [
        {"name": "user", "label": "Имя", "secret": False},
        {"name": "password", "label": "Пароль"},
    ]
    keys = {"user": "kassa", "password": "p&1"}
    # A prefix that the operator gives with the token is not doubled.
    handlers = {
        "POST /session": replies({"auth": "Token t-1"}, X_CSRF="c-1"),
        READ_PATH: replies(ON),
    }
    with described_operator(tmp_path, profile({}, login=login, fields=fields), keys, handlers) as (
        operator,
        part,
    ):
        operator.read_state(sim=SIM)

    session, read = part.requests
    assert session.form.to_dict() == {"u": "kassa", "p": "p&1"}
    assert read.headers["authorization"] == "Token t-1"
    assert read.headers["x-csrf"] == "c-1"


def test_refusal_that_means_a_stale_token_renews_it_once(tmp_path):
    login = {"kind": "oauth2_client_credentials", "path": "/token", "stale": [401, 403]}
    handlers = {"POST /token": replies({"access_token": "t-1"}), READ_PATH: replies({}, 403)}
    with (
        described_operator(tmp_path, profile({}, login=login), vendors.CLIENT, handlers) as (
            operator,
            part,
        ),
        pytest.raises(Unavailable) as refused,
    ):
        operator.read_state(sim=SIM)

    assert refused.value.error == ErrorClass.FORBIDDEN
    assert part.paths() == ["POST /token", READ_PATH, "POST /token", READ_PATH]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (10**400, 604_800.0),
        ("9" * 400, 604_800.0),
        (0, 300.0),
        (None, 300.0),
        ("час", 300.0),
        (1800.5, 1800.5),
    ],
)
def test_token_is_kept_for_a_lifetime_that_can_be_meant(tmp_path, given, seconds):
    login = {"kind": "oauth2_client_credentials", "path": "/token"}
    token = replies({"access_token": "t-1", "expires_in": given})
    tokens = MemoryTokens()
    handlers = {"POST /token": token, READ_PATH: replies(ON)}
    with serving_handlers(tmp_path, handlers) as (url, _):
        operator = make_described_operator(
            profile({}, login=login), url, vendors.CLIENT, tokens=tokens
        )
        operator.read_state(sim=SIM)

    assert tokens.lives == [seconds - 60]


def test_keys_are_sent_beside_a_fixed_token(tmp_path):
    login = {"kind": "bearer", "keys": [
        {"field": "app", "in": "header", "name": "X-App"},
        {"field": "secret", "in": "query", "name": "key", "prefix": "v1:"}]}  # fmt: skip
    fields = [
        {"name": "app", "label": "Номер", "secret": False},
        {"name": "secret", "label": "Ключ"},
    ]
    keys = {"token": "t-0", "app": "7", "secret": "s&1"}
    with described_operator(
        tmp_path, profile({}, login=login, fields=fields), keys, {READ_PATH: replies(ON)}
    ) as (
        operator,
        part,
    ):
        operator.read_state(sim=SIM)

    [asked] = part.requests
    assert asked.headers["authorization"] == "Bearer t-0"
    assert asked.headers["x-app"] == "7"
    assert asked.args.to_dict(flat=False) == {"key": ["v1:s&1"]}


@pytest.mark.parametrize(
    "login",
    [{"kind": "basic"}, {"kind": "bearer"}, {"kind": "oauth2_client_credentials", "path": "/t"}],
)
def test_account_without_keys_asks_nobody(tmp_path, login):
    with described_operator(tmp_path, profile({}, login=login), {}, {}) as (operator, part):
        result = submit(operator, Action.ACTIVATE)

    assert result == Rejected(ErrorClass.CONFIGURATION, "no_keys", "не заданы ключи договора")
    assert part.requests == []


@pytest.mark.parametrize("kind", ["none", "oauth2_client_credentials"])
def test_without_a_call_ping_a_login_is_the_proof(tmp_path, kind):
    login = {"kind": kind} | ({"path": "/token"} if kind != "none" else {})
    with described_operator(
        tmp_path,
        profile({}, login=login),
        vendors.CLIENT,
        {"POST /token": replies({"access_token": "t"})},
    ) as (
        operator,
        _,
    ):
        if kind == "none":
            with pytest.raises(Unavailable) as refused:
                operator.ping()
            assert refused.value.error is ErrorClass.UNSUPPORTED
        else:
            assert operator.ping() == "Оператор отвечает и выдаёт ключ доступа."


# --- lists of changes ---------------------------------------------------------------------------------------


def listed(following: Mapping[str, Any], **query: str) -> dict[str, Any]:
    call = {"path": "/changes", "query": {"since": "{since}", **query},
            "answer": {"rows": "body.rows", "iccid": "row.icc", "state": "row.st", "next": following}}  # fmt: skip
    return profile({}, calls={"list_changes": call})


def pages(request: Request) -> Response:
    """Three pages, the last one shorter, with every kind of mark of the next one."""
    number = int(request.args.get("page", request.args.get("mark", "1")))
    rows = [{"icc": f"{number}{at}", "st": "on"} for at in range(2 if number < 3 else 1)]
    more = {"mark": str(number + 1)} if number < 3 else {"mark": None}
    link = f"https://elsewhere.example/changes?since=x&page={number + 1}"
    links = {"Link": f'<{link}>; rel="next", </changes>; rel=first'} if number < 3 else {}
    body = {"rows": rows, "meta": more, "next": link if number < 3 else None}
    return json_response(body, 200, **links)


@pytest.mark.parametrize(
    "described",
    [
        listed({"cursor": "body.meta.mark"}, mark="{cursor}"),
        listed({"page": {"size": 2}}, page="{cursor}"),
        listed({"link": "headers.link"}),
        listed({"link": "body.next"}),
    ],
    ids=["mark", "short page", "Link", "link in the body"],
)
def test_all_pages_of_changes_are_read(tmp_path, described):
    found, cursor = [], ""
    with described_operator(tmp_path, described, {}, {"GET /changes": pages}) as (operator, part):
        for _ in range(3):
            page = operator.list_changes(since=AT, cursor=cursor)
            found += [iccid for iccid, _ in page.items]
            cursor = page.next_cursor or ""

    assert found == ["10", "11", "20", "21", "30"]
    assert cursor == ""
    assert part.requests[0].args.to_dict(flat=False)["since"] == ["2026-11-20T09:00:00Z"]


@pytest.mark.parametrize(
    ("following", "body"),
    [
        ({"cursor": "body.next"}, {"rows": [{"icc": "1", "st": "on"}], "next": "p2"}),
        ({"cursor": "body.next"}, {"rows": [], "next": "p3"}),
        ({"cursor": "body.next"}, {"rows": [{"icc": "1", "st": "on"}], "next": {"a": 1}}),
        ({"link": "body.next"}, {"rows": [{"icc": "1", "st": "on"}], "next": "/changes/2"}),
        ({"cursor": "body.next"}, {"error": "later"}),
    ],
)
def test_list_that_cannot_go_on_is_given_up(tmp_path, following, body):
    with (
        described_operator(
            tmp_path, listed(following, p="{cursor}"), {}, {"GET /changes": replies(body)}
        ) as (
            operator,
            _,
        ),
        pytest.raises(Unavailable) as refused,
    ):
        operator.list_changes(since=AT, cursor="p2")

    assert refused.value.code == "garbage"


def test_our_keys_are_removed_from_the_next_page_link(tmp_path):
    vendor = vendors.Neva(iccid=ICCID, url="https://api.example.com")
    with described_operator(tmp_path, vendors.NEVA, vendors.NEVA_KEYS, vendor.handlers()) as (
        operator,
        part,
    ):
        first = operator.list_changes(since=AT, cursor="")
        second = operator.list_changes(since=AT, cursor=first.next_cursor or "")

    assert first.next_cursor == "Page=2"
    assert second.next_cursor is None
    assert part.requests[1].args.to_dict(flat=False) == {"Page": ["2"], "api_key": [vendors.SECRET]}


@pytest.mark.parametrize("question", ["list_changes", "check_by_sim"])
def test_question_that_is_not_described_is_unsupported(tmp_path, question):
    asked: dict[str, Any] = {
        "list_changes": {"since": AT, "cursor": ""},
        "check_by_sim": {"sim": SIM, "action": Action.ACTIVATE, "submitted_at": AT, "at": AT},
    }
    with (
        described_operator(tmp_path, profile({}), {}, {}) as (operator, _),
        pytest.raises(Unavailable) as refused,
    ):
        getattr(operator, question)(**asked[question])

    assert refused.value.error is ErrorClass.UNSUPPORTED


def test_numbered_pages_end_at_the_first_short_one(tmp_path):
    vendor, found, cursor = vendors.Onega(iccid=ICCID), [], ""
    with described_operator(tmp_path, vendors.ONEGA, vendors.ONEGA_KEYS, vendor.handlers()) as (
        operator,
        part,
    ):
        for _ in range(3):
            page = operator.list_changes(since=AT, cursor=cursor)
            found += [(iccid, reading.raw) for iccid, reading in page.items]
            cursor = page.next_cursor or ""

    assert cursor == ""
    assert found == [("8970", "2"), (ICCID, "2"), ("8970", "2"), (ICCID, "2"), ("8970", "2")]
    assert [one.args["page"] for one in part.requests] == ["0", "1", "2"]


# --- the log ------------------------------------------------------------------------------------------------


def test_put_back_card_is_logged_without_its_fields(tmp_path):
    vendor, exchanges = vendors.Pechora(iccid=ICCID), list[HttpExchange]()
    with serving_handlers(tmp_path, vendor.handlers()) as (url, _):
        operator = make_described_operator(
            vendors.PECHORA, url, vendors.PECHORA_KEYS, exchanges=exchanges
        )
        result = submit(operator, Action.DEACTIVATE)

    sent = next(one for one in exchanges if one.method == "PUT").request
    assert result == Applied("client")
    assert "Тайное" not in "".join(one.request + one.reply for one in exchanges)
    assert '"blocks": [{"type": "client"}]' in sent
