"""Operators nobody has named: shapes of foreign APIs, each played by a tiny server of invented data.

Every one is here because an API of its kind exists; none is taken from a manual.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import pytest

from cabinet.clock import real_now
from cabinet.sandbox.http import Request, Response, json_response
from operators.declared.dry_run import dry_run
from operators.declared.validate import load
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
from operators.tests.bench import SIM, submit
from operators.tests.described import Handler, played, says

ICCID, BARE, NUMBER = SIM.iccid, SIM.iccid[:-1], SIM.msisdn[-10:]
ACTIVE = Reading(SimState.ACTIVE, raw="on")
OWN_SECRETS = [{"name": "app_id", "label": "Номер приложения", "secret": False},
               {"name": "app_secret", "label": "Секрет приложения"}]  # fmt: skip
APP = {"app_id": "app-7", "app_secret": "s3cret-word"}


def profile(
    on: Mapping[str, Any],
    off: Mapping[str, Any],
    calls: Mapping[str, Any] | None = None,
    **parts: Any,
) -> dict[str, Any]:
    """A description with two switches; `calls` are the others."""
    switches = {"activate": dict(on), "deactivate": dict(off)}
    usual = {"states": {"words": {"on": "active", "off": "inactive"}}}
    return {"title": "Проба", "calls": switches | dict(calls or {})} | usual | parts


def both(call: Mapping[str, Any], **parts: Any) -> dict[str, Any]:
    """The same call for both switches, where the test is about something else."""
    return profile(call, call, **parts)


READ_ON = {"path": "/sims/{iccid}", "answer": {"iccid": "iccid", "state": "state"}}
SWITCH = {"method": "POST", "path": "/sims/{iccid}/on", "success": {"200": "state"},
          "answer": {"iccid": "iccid", "state": "state"}}  # fmt: skip
ON = says({"iccid": ICCID, "state": "on"})


def check(operator: Operator, request_id: str, at: Any = None) -> Check:
    moment = at or real_now()
    return operator.check(request_id=request_id, sim=SIM, submitted_at=moment, at=moment)


# --- an envelope that is always 200 --------------------------------------------------------------------

ENVELOPE = profile(
    {"method": "POST", "path": "/api", "success": {"200": "result"},
     "body": {"kind": "json", "template": {"cmd": "unblock", "iccid": "{iccid}"}},
     "answer": {"iccid": "data.iccid", "result": "data.done"}},
    {"method": "POST", "path": "/api", "success": {"200": "result"},
     "body": {"kind": "json", "template": {"cmd": "block", "iccid": "{iccid}"}},
     "answer": {"iccid": "data.iccid", "result": "data.done"}},
    {"read": {"path": "/api", "query": {"iccid": "{iccid}"},
              "answer": {"iccid": "data.iccid", "state": ["data.active", "data.block"]}}},
    login={"kind": "token_call", "url": "/login", "token": "header:X-Session",
           "body": {"kind": "json", "template": {"l": "{username}", "p": "{password}"}},
           "place": {"in": "header", "name": "X-Session"}, "stale": {"statuses": [], "codes": ["9"]}},
    results={"words": {"true": "done", "false": "pending"}},
    states={"words": {"true": "active", "true+": "active", "true+none": "active",
                      "false+client": "inactive", "false+debt": "held:debt"}},
    errors={"code": "code", "text": "message", "fine": ["0"], "retry_after_path": "data.wait",
            "codes": {"4": "not_found", "5": "already", "6": "rate_limited", "9": "auth"}},
)  # fmt: skip
USER = {"username": "u", "password": "p%2Fword"}


def enveloped(data: Any, code: int = 0, message: str = "") -> Handler:
    return says({"code": code, "message": message, "data": data})


def envelope(answer: Handler, login: Handler | None = None) -> dict[str, Handler]:
    welcome = says({"code": 0}, X_Session="tok%2F1")
    return {"POST /login": login or welcome, "POST /api": answer, "GET /api": answer}


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (enveloped({"iccid": ICCID, "done": True}), Applied("true")),
        (enveloped(None, 4, "no such card"), Rejected(ErrorClass.NOT_FOUND, "4", "no such card")),
        (enveloped(None, 5), Already("5")),
        (
            enveloped({"wait": "2.5"}, 6, "slow down"),
            Rejected(ErrorClass.RATE_LIMITED, "6", "slow down", 2.5),
        ),
        (enveloped(None, 77, "boom"), Unknown("boom", ErrorClass.UNKNOWN_OUTCOME, "77")),
    ],
)
def test_envelope_tells_its_errors_by_a_code(tmp_path, answer, result):
    with played(tmp_path, ENVELOPE, USER, envelope(answer)) as (operator, part):
        assert submit(operator, Action.DEACTIVATE) == result

    login, switch = part.asked
    assert login.json() == {"l": "u", "p": "p%2Fword"}
    assert switch.headers["x-session"] == "tok%2F1"
    assert switch.json() == {"cmd": "block", "iccid": ICCID}


@pytest.mark.parametrize(
    ("login", "error", "code"),
    [
        (enveloped(None, 9, "wrong password"), ErrorClass.AUTH, "9"),
        (enveloped(None, 78), ErrorClass.TRANSIENT, "no_token"),
    ],
)
def test_login_refused_inside_a_success_is_told_by_its_code(tmp_path, login, error, code):
    with played(tmp_path, ENVELOPE, USER, envelope(says({}), login)) as (operator, _):
        result = submit(operator, Action.DEACTIVATE)

    assert isinstance(result, Rejected)
    assert (result.error, result.code) == (error, code)


@pytest.mark.parametrize(
    ("data", "state", "reason"),
    [
        ({"active": True}, SimState.ACTIVE, None),
        ({"active": True, "block": "none"}, SimState.ACTIVE, None),
        ({"active": False, "block": "client"}, SimState.INACTIVE, BlockReason.VOLUNTARY),
        ({"active": False, "block": "debt"}, SimState.HELD, BlockReason.DEBT),
        ({"active": True, "block": "debt"}, SimState.UNKNOWN, None),
    ],
)
def test_state_may_be_made_of_two_fields(tmp_path, data, state, reason):
    answer = enveloped({"iccid": ICCID} | data)
    with played(tmp_path, ENVELOPE, USER, envelope(answer)) as (operator, _):
        reading = operator.read_state(sim=SIM)

    assert (reading.state, reading.reason) == (state, reason)


def test_answer_with_neither_of_two_fields_is_no_state(tmp_path):
    with (
        played(tmp_path, ENVELOPE, USER, envelope(enveloped({"iccid": ICCID}))) as (operator, _),
        pytest.raises(Unavailable) as refused,
    ):
        operator.read_state(sim=SIM)

    assert refused.value.code == "garbage"


# --- batches of one, numbers as numbers, two keys ------------------------------------------------------

TWO_KEYS = [
    {"field": "app_id", "in": "header", "name": "X-App-Id"},
    {"field": "app_secret", "in": "header", "name": "X-App-Secret", "prefix": "v1 "},
]
BATCH_CALL = {
    "method": "POST", "path": "/batch", "success": {"200": "result"},
    "headers": {"X-Stamp": "{now_unix}000"},
    "body": {"kind": "json", "template": {"op": "off", "subscribers": ["{msisdn_int}"],
                                          "cards": ["{iccid_int}"], "ref": "{nonce}"}},
    "answer": {"rows": "items", "iccid": "card", "result": "status", "code": "error.code"},
}  # fmt: skip
BATCH = both(
    BATCH_CALL,
    fields=OWN_SECRETS,
    login={"keys": TWO_KEYS},
    results={"words": {"OK": "done", "FAIL": "failed"}},
    errors={"codes": {"E4": "not_found"}},
)


@pytest.mark.parametrize(
    ("items", "result"),
    [
        ([{"card": "1"}, {"card": f"SIM-{ICCID}", "status": "OK"}], Applied("OK")),
        ({"card": ICCID, "status": "OK"}, Applied("OK")),
        (
            [{"card": ICCID, "status": "FAIL", "error": {"code": "E4"}}],
            Rejected(ErrorClass.NOT_FOUND, "E4", "E4"),
        ),
        ([], Unknown("в ответе оператора нет этой смарт-карты", code="wrong_id")),
        ([{"card": "1"}], Unknown("в ответе оператора нет этой смарт-карты", code="wrong_id")),
        (None, Unknown("в ответе оператора нет этой смарт-карты", code="wrong_id")),
    ],
)
def test_batch_of_one_is_told_by_its_row(tmp_path, items, result):
    with played(tmp_path, BATCH, APP, {"POST /batch": says({"items": items})}) as (operator, part):
        assert submit(operator, Action.DEACTIVATE) == result

    [asked] = part.asked
    body = asked.json()
    assert (body["subscribers"], body["cards"]) == ([int(SIM.msisdn)], [int(ICCID)])
    assert len(body["ref"]) == 32
    keys = (asked.headers["x-app-id"], asked.headers["x-app-secret"])
    assert keys == ("app-7", "v1 s3cret-word")
    assert abs(int(asked.headers["x-stamp"]) / 1000 - real_now().timestamp()) < 60


def test_card_without_a_number_is_in_no_batch(tmp_path):
    with played(tmp_path, BATCH, APP, {}) as (operator, part):
        result = submit(operator, Action.DEACTIVATE, Sim(ICCID))

    assert result == Rejected(ErrorClass.INVALID, "no_msisdn_int", "у смарт-карты не указан номер")
    assert part.asked == []


def test_fixed_key_that_is_not_entered_stops_the_call(tmp_path):
    with played(tmp_path, BATCH, {"app_id": "app-7"}, {}) as (operator, part):
        result = submit(operator, Action.DEACTIVATE)

    assert result == Rejected(ErrorClass.CONFIGURATION, "no_keys", "не заданы ключи договора")
    assert part.asked == []


# --- answers that are keyed by the card ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        ({"iccid": "@key", "state": "st"}, {ICCID: {"st": "on"}, "8970": {"st": "off"}}),
        ({"iccid": "@key", "state": "@value"}, {BARE: "on"}),
        ({"msisdn": "@key", "state": "@value"}, {"8970": "off", f"8{NUMBER}": "on"}),
    ],
)
def test_answer_may_be_keyed_by_the_card(tmp_path, answer, body):
    read = {"path": "/s", "answer": {"rows": "data"} | answer}
    with played(
        tmp_path, both(SWITCH, calls={"read": read}), {}, {"GET /s": says({"data": body})}
    ) as (operator, _):
        reading = operator.read_state(sim=SIM)

    assert (reading.state, reading.raw) == (SimState.ACTIVE, "on")


@pytest.mark.parametrize(
    ("data", "code"),
    [({"8970": "on"}, "wrong_id"), ({}, "no_card"), ("on", "garbage"), (None, "garbage")],
)
def test_answer_keyed_by_other_cards_is_no_answer(tmp_path, data, code):
    read = {"path": "/s", "answer": {"rows": "data", "iccid": "@key", "state": "@value"}}
    with (
        played(
            tmp_path, both(SWITCH, calls={"read": read}), {}, {"GET /s": says({"data": data})}
        ) as (operator, _),
        pytest.raises(Unavailable) as refused,
    ):
        operator.read_state(sim=SIM)

    assert refused.value.code == code


BY_NUMBER = both(
    {"method": "PUT", "path": "/lines/{owner}/{id}", "success": {"204": "read"},
     "body": {"kind": "json", "template": {"version": "{version}"}}},
    calls={
        "find": {"path": "/lines", "query": {"phone": "+{msisdn}"},
                 "answer": {"rows": "[*].lines", "msisdn": "phone", "id": "id",
                            "take": {"owner": "owner.code", "version": "version"}}},
        "read": {"path": "/lines", "query": {"phone": "+{msisdn}"},
                 "answer": {"rows": "[*].lines", "msisdn": "phone", "state": "state"}},
    },
    key="msisdn",
)  # fmt: skip


def line(phone: str, state: str = "on") -> dict[str, Any]:
    return {"phone": phone, "id": 5, "owner": {"code": "c/1"}, "version": 3, "state": state}


def test_line_is_found_by_its_number_with_all_that_the_switch_needs(tmp_path):
    groups = [{"lines": [line("+7 999 111-22-33", "off")]}, {"lines": [line(f"+7{NUMBER}")]}]
    handlers = {"GET /lines": says(groups), "PUT /lines/c/1/5": lambda _: Response(204)}
    with played(tmp_path, BY_NUMBER, {}, handlers) as (operator, part):
        result = submit(operator, Action.ACTIVATE)

    assert result == Applied("on")
    assert part.paths() == ["GET /lines", "PUT /lines/c/1/5", "GET /lines"]
    assert part.asked[0].query == {"phone": [f"+{SIM.msisdn}"]}
    assert part.asked[1].json() == {"version": 3}


@pytest.mark.parametrize("sim", [Sim(ICCID, "79991112200"), Sim(ICCID, "78889990000")])
def test_line_of_another_number_is_not_switched(tmp_path, sim):
    handlers = {"GET /lines": says([{"lines": [line(f"+7{NUMBER}")]}])}
    with played(tmp_path, BY_NUMBER, {}, handlers) as (operator, part):
        result = submit(operator, Action.ACTIVATE, sim)

    assert result == Rejected(
        ErrorClass.TRANSIENT, "wrong_id", "оператор ответил о другой смарт-карте"
    )
    assert part.paths() == ["GET /lines"]


# --- a state that is a service, or a block -------------------------------------------------------------


def reading_of(tmp_path, answer: Mapping[str, Any], body: Any, **states: Any) -> Reading:
    read = {"path": "/s", "answer": dict(answer)}
    words = {
        "words": {"on": "active", "off": "inactive", "client": "inactive", "debt": "held:debt"}
    }
    described = both(SWITCH, calls={"read": read}, states=words | states)
    with played(tmp_path, described, {}, {"GET /s": says(body)}) as (operator, _):
        return operator.read_state(sim=SIM)


SERVICES = {"services": [{"code": "VOICE", "status": "off"}, {"code": "Data", "status": "on"}]}


def test_state_of_one_service_among_many(tmp_path):
    assert reading_of(tmp_path, {"state": "services[code=DATA].status"}, SERVICES) == ACTIVE


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([], Reading(SimState.ACTIVE)),
        (["client"], Reading(SimState.INACTIVE, BlockReason.VOLUNTARY, raw="client")),
        (["client", "debt"], Reading(SimState.HELD, BlockReason.DEBT, raw="debt")),
        (["client", "odd"], Reading(SimState.UNKNOWN, raw="odd")),
    ],
)
def test_card_without_a_block_works_and_the_worst_of_many_counts(tmp_path, blocks, expected):
    body = {"blocks": [{"type": one} for one in blocks]}

    assert reading_of(tmp_path, {"state": "blocks[*].type"}, body, absent="active") == expected


@pytest.mark.parametrize("body", [{}, {"blocks": None}, {"error": "later"}, []])
def test_answer_without_a_list_of_blocks_is_no_working_card(tmp_path, body):
    with pytest.raises(Unavailable) as refused:
        reading_of(tmp_path, {"state": "blocks[*].type"}, body, absent="active")

    assert refused.value.code == "garbage"


def test_absent_word_may_mean_a_block_of_ours(tmp_path):
    assert reading_of(
        tmp_path, {"iccid": "iccid", "state": "data"}, {"iccid": ICCID}, absent="inactive"
    ) == Reading(SimState.INACTIVE, BlockReason.VOLUNTARY)


def test_one_foreign_reason_among_many_makes_a_block_foreign(tmp_path):
    body = {"state": "off", "why": ["mine", "unpaid"]}
    reasons = {"mine": "voluntary", "unpaid": "debt"}

    reading = reading_of(tmp_path, {"state": "state", "reason": "why[*]"}, body, reasons=reasons)

    assert reading == Reading(SimState.HELD, BlockReason.DEBT, raw="off")


SUB_RESOURCE = profile(
    {"method": "DELETE", "path": "/sims/{iccid}/block", "success": {"204": "read"}},
    {"method": "PUT", "path": "/sims/{iccid}/block", "success": {"201": "read", "204": "read"}},
    {"read": {"path": "/sims/{iccid}/block", "statuses": {"200": "inactive", "404": "active"}}},
    states={},
)


def test_block_that_is_a_resource_of_its_own_is_read_by_the_status(tmp_path):
    there: list[bool] = []

    def block(request: Request) -> Response:
        if request.method == "GET":
            return json_response({}, 200 if there else 404)
        there[:] = [True] if request.method == "PUT" else []
        return Response(204)

    path = f"/sims/{ICCID}/block"
    handlers = {f"{method} {path}": block for method in ("GET", "PUT", "DELETE")}
    with played(tmp_path, SUB_RESOURCE, {}, handlers) as (operator, _):
        results = [submit(operator, action) for action in (Action.DEACTIVATE, Action.ACTIVATE)]
        reading = operator.read_state(sim=SIM)

    assert results == [Applied("200"), Applied("404")]
    assert reading == Reading(SimState.ACTIVE, raw="404")


@pytest.mark.parametrize("status", [208, 304, 404])
def test_status_may_say_that_it_was_so_already(tmp_path, status):
    again = SUB_RESOURCE["calls"]["activate"] | {"statuses": {str(status): "already"}}
    described = SUB_RESOURCE | {"calls": SUB_RESOURCE["calls"] | {"activate": again}}
    handlers = {f"DELETE /sims/{ICCID}/block": lambda _: Response(status)}
    with played(tmp_path, described, {}, handlers) as (operator, _):
        assert submit(operator, Action.ACTIVATE) == Already(str(status))


def test_trouble_is_no_word_of_a_state(tmp_path):
    handlers = {f"GET /sims/{ICCID}/block": says({}, 503)}
    with (
        played(tmp_path, SUB_RESOURCE, {}, handlers) as (operator, _),
        pytest.raises(Unavailable) as refused,
    ):
        operator.read_state(sim=SIM)

    assert refused.value.error is ErrorClass.MAINTENANCE


# --- a job that is asked about by its address ------------------------------------------------------------

JOBS = both(
    {"method": "POST", "path": "/sims/{iccid}/jobs", "success": {"202": "request"},
     "answer": {"request_id": "header:Location"}},
    calls={"check": {"path": "/jobs/{request_id}",
                     "statuses": {"202": "pending", "404": "pending", "303": "done", "409": "already",
                                  "422": "failed", "410": "lost"},
                     "answer": {"result": "state", "code": "error.code", "text": "error.text"}}},
    results={"words": {"finished": "done", "broken": "failed"}},
    errors={"code": "error.code", "codes": {"HELD": "held_by_operator", "BUSY": "rate_limited",
                                           "SAME": "already"}},
)  # fmt: skip


def test_job_is_numbered_by_its_address_and_may_say_when_to_ask(tmp_path):
    made = says(None, 202, Location="/v1/jobs/j-77?wait=1", Retry_After="4")
    with played(tmp_path, JOBS, {}, {f"POST /sims/{ICCID}/jobs": made}) as (operator, _):
        assert submit(operator, Action.ACTIVATE) == Accepted("j-77", 4.0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (says({}, 404), Check(CheckState.PENDING, "404")),
        (lambda _: Response(202), Check(CheckState.PENDING, "202")),
        (says({}, 303, Location="/sims/1"), Check(CheckState.COMPLETED, "303")),
        (says({}, 410), Check(CheckState.LOST, "410")),
        (
            says({}, 409),
            Check(CheckState.COMPLETED, "409", "так уже и было", ErrorClass.ALREADY),
        ),
        (
            says({"error": {"code": "HELD", "text": "debt"}}, 422),
            Check(CheckState.FAILED, "HELD", "debt", ErrorClass.HELD_BY_OPERATOR),
        ),
        (
            says({"error": {"code": "SAME"}}, 422),
            Check(CheckState.COMPLETED, "SAME", "так уже и было", ErrorClass.ALREADY),
        ),
        (says({"state": "finished"}), Check(CheckState.COMPLETED, "finished")),
        (
            says({"state": "broken"}),
            Check(CheckState.FAILED, "broken", "оператор не выполнил запрос", ErrorClass.INVALID),
        ),
    ],
)
def test_job_is_told_by_the_status_or_by_its_word(tmp_path, answer, expected):
    with played(tmp_path, JOBS, {}, {"GET /jobs/j-77": answer}) as (operator, _):
        assert check(operator, "j-77") == expected


def test_error_in_a_success_is_stronger_than_the_word_of_its_status(tmp_path):
    answer = says({"error": {"code": "BUSY"}}, 202)
    with (
        played(tmp_path, JOBS, {}, {"GET /jobs/j-77": answer}) as (operator, _),
        pytest.raises(Unavailable) as refused,
    ):
        check(operator, "j-77")

    assert refused.value.error is ErrorClass.RATE_LIMITED


def test_request_may_be_known_by_the_number_that_we_gave_it(tmp_path):
    call = {"method": "PUT", "path": "/orders/{key}", "success": {"201": "request"},
            "headers": {"Content-Type": "application/merge-patch+json"},
            "body": {"kind": "json", "template": {"iccid": "{iccid}"}},
            "answer": {"request_id": "{key}"}}  # fmt: skip
    ask = {"path": "/orders", "query": {"ref": "{request_id}"},
           "answer": {"rows": "orders", "request_id": "ref", "iccid": "iccid", "result": "state"}}  # fmt: skip
    order = {"ref": "k-1", "iccid": BARE, "state": "finished"}
    handlers = {
        "PUT /orders/k-1": lambda _: Response(201),
        "GET /orders": says({"orders": [order | {"ref": "k-0", "state": "broken"}, order]}),
    }
    described = JOBS | {"calls": {"activate": call, "deactivate": call, "check": ask}}
    with played(tmp_path, described, {}, handlers) as (operator, part):
        taken = submit(operator, Action.ACTIVATE)
        seen = check(operator, "k-1")

    assert (taken, seen) == (Accepted("k-1"), Check(CheckState.COMPLETED, "finished"))
    assert part.asked[0].headers["content-type"] == "application/merge-patch+json"
    assert part.asked[1].query == {"ref": ["k-1"]}


# --- keys and sessions ------------------------------------------------------------------------------------


def test_session_cookie_is_sent_back_to_the_letter(tmp_path):
    login = {
        "kind": "token_call", "method": "POST", "url": "/session", "token": "cookie:SID",
        "body": {"kind": "form", "template": {"user": "{username}", "password": "{password}"}},
        "place": {"in": "cookie", "name": "SID"},
    }  # fmt: skip
    cookie = "lang=ru; Expires=Wed, 21 Oct 2026 07:28:00 GMT, SID=a%2Fb=; Path=/; HttpOnly"
    handlers = {"POST /session": says({}, Set_Cookie=cookie), f"POST /sims/{ICCID}/on": ON}
    with played(tmp_path, both(SWITCH, login=login), USER, handlers) as (operator, part):
        result = submit(operator, Action.ACTIVATE)

    assert result == Applied("on")
    assert part.asked[0].form() == {"user": "u", "password": "p%2Fword"}
    assert part.asked[1].headers["cookie"] == "SID=a%2Fb="


def test_login_without_its_cookie_is_no_login(tmp_path):
    login = {"kind": "token_call", "url": "/session", "token": "cookie:SID",
             "place": {"in": "cookie", "name": "SID"}}  # fmt: skip
    with played(tmp_path, both(SWITCH, login=login), USER, {"POST /session": says({})}) as (
        operator,
        part,
    ):
        result = submit(operator, Action.ACTIVATE)

    assert isinstance(result, Rejected)
    assert (result.code, part.paths()) == ("no_token", ["POST /session"])


def test_token_of_a_header_loses_the_prefix_that_it_gets_again(tmp_path):
    login = {"kind": "token_call", "method": "GET", "url": "/auth", "basic": ["username", "password"],
             "token": "header:Authorization",
             "place": {"in": "header", "name": "Authorization", "prefix": "Bearer "}}  # fmt: skip
    handlers = {
        "GET /auth": lambda _: Response(204, headers={"Authorization": "Bearer t-1"}),
        f"POST /sims/{ICCID}/on": ON,
    }
    with played(tmp_path, both(SWITCH, login=login), USER, handlers) as (operator, part):
        submit(operator, Action.ACTIVATE)

    assert [one.headers["authorization"] for one in part.asked] == [
        "Basic dTpwJTJGd29yZA==",
        "Bearer t-1",
    ]


def test_key_in_the_path_comes_right_after_the_address(tmp_path):
    login = {"kind": "key", "place": {"in": "path", "prefix": "bot"}}
    handlers = {f"POST /botk/12/sims/{ICCID}/on": ON}
    with played(tmp_path, both(SWITCH, login=login), {"api_key": "k/12"}, handlers) as (
        operator,
        _,
    ):
        assert submit(operator, Action.ACTIVATE) == Applied("on")


def test_key_in_the_path_is_no_part_of_another_address():
    keys = [{"field": "app_secret", "in": "path"}]
    login = {"kind": "token_call", "url": "https://id.example.com/login", "keys": keys, "token": "t",
             "place": {"in": "header", "name": "Authorization", "prefix": "Bearer "}}  # fmt: skip
    described = load(both(SWITCH, fields=OWN_SECRETS, login=login, base_url="https://a.example/v1"))

    shown = dry_run(described, Action.ACTIVATE, SIM, APP, at=real_now())

    assert [one.url for one in shown] == [
        "https://id.example.com/login",
        f"https://a.example/v1/******/sims/{ICCID}/on",
    ]


@pytest.mark.parametrize("kind", ["json", "form"])
def test_keys_in_the_body_stand_beside_its_fields(tmp_path, kind):
    call = SWITCH | {"body": {"kind": kind, "template": {"a": "b"}}}
    keys = [{"field": name, "in": "body", "name": f"{name}_key"} for name in APP]
    described = both(call, fields=OWN_SECRETS, login={"keys": keys})
    with played(tmp_path, described, APP, {f"POST /sims/{ICCID}/on": ON}) as (operator, part):
        submit(operator, Action.ACTIVATE)

    [asked] = part.asked
    body = asked.json() if kind == "json" else asked.form()
    assert body == {"a": "b", "app_id_key": "app-7", "app_secret_key": "s3cret-word"}


# --- signatures -------------------------------------------------------------------------------------------

SIGN = {
    "algorithm": "hmac-sha256", "secret": "app_secret", "in": "header", "name": "X-Sign", "prefix": "v1=",
    "text": "{method}\n{path}\n{query}\n{now_unix}\n{nonce}\n{body}",
}  # fmt: skip
STAMPED = {"X-App": "{app_id}", "X-Time": "{now_unix}", "X-Nonce": "{nonce}"}
SIGNED_CALL = SWITCH | {
    "query": {"why": "{key}"},
    "body": {"kind": "json", "template": {"note": "Отключить", "card": "{iccid}"}},
}


def is_signed(request: Request) -> bool:
    """What the operator does: the same text, from what came over the wire."""
    query = "&".join(f"{name}={value}" for name, [value] in request.query.items())
    head = request.headers
    text = "\n".join([request.method, request.path, query, head["x-time"], head["x-nonce"], ""])
    mac = hmac.new(b"s3cret-word", text.encode() + request.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(head["x-sign"], f"v1={mac}")


@pytest.mark.parametrize("body", ["json", "form", "none"])
def test_signed_request_is_signed_as_it_arrives(tmp_path, body):
    call = SIGNED_CALL | {"body": {"kind": body, "template": {"card": "{iccid}", "note": "Да & 1"}}}
    described = both(
        call,
        calls={"read": READ_ON},
        fields=OWN_SECRETS,
        headers=STAMPED,
        login={"sign": SIGN},
    )
    handlers = {f"POST /sims/{ICCID}/on": ON, f"GET /sims/{ICCID}": ON}
    with played(tmp_path, described, APP, handlers) as (operator, part):
        submit(operator, Action.ACTIVATE)
        operator.read_state(sim=SIM)

    assert [is_signed(one) for one in part.asked] == [True, True]
    assert {one.headers["x-app"] for one in part.asked} == {"app-7"}
    assert len({one.headers["x-nonce"] for one in part.asked}) == 2


def test_bare_digest_signs_the_login_too(tmp_path):
    sign = {"algorithm": "md5", "encoding": "base64", "in": "query", "name": "auth_sign",
            "text": "{app_id}{today}{app_secret}"}  # fmt: skip
    login = {"kind": "token_call", "url": "/login", "query": {"day": "{today}"}, "sign": sign,
             "token": "access_token",
             "place": {"in": "header", "name": "Authorization", "prefix": "Bearer "}}  # fmt: skip
    handlers = {"POST /login": says({"access_token": "t"}), f"POST /sims/{ICCID}/on": ON}
    described = both(SWITCH, fields=OWN_SECRETS, login=login)
    with played(tmp_path, described, APP, handlers) as (operator, part):
        submit(operator, Action.ACTIVATE)

    day = part.asked[0].query["day"][0]
    digest = hashlib.md5(f"app-7{day}s3cret-word".encode(), usedforsecurity=False).digest()
    expected = base64.b64encode(digest).decode()
    assert [one.query["auth_sign"] for one in part.asked] == [[expected], [expected]]


def test_secret_of_a_signature_that_is_not_entered_stops_the_call(tmp_path):
    described = both(SIGNED_CALL, fields=OWN_SECRETS, login={"sign": SIGN})
    with played(tmp_path, described, {"app_id": "app-7"}, {}) as (operator, part):
        result = submit(operator, Action.ACTIVATE)

    assert result == Rejected(ErrorClass.CONFIGURATION, "no_keys", "не заданы ключи договора")
    assert part.asked == []


# --- one address for everything ----------------------------------------------------------------------------


def rpc(method: str) -> dict[str, Any]:
    template = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"iccid": "{iccid}"}}
    return {
        "method": "POST", "path": "/", "success": {"200": "state"},
        "body": {"kind": "json", "template": template},
        "answer": {"iccid": "result.iccid", "state": "result.state"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ({"result": {"iccid": ICCID, "state": "off"}}, Applied("off")),
        (
            {"error": {"code": -32004, "message": "No card"}},
            Rejected(ErrorClass.NOT_FOUND, "-32004", "No card"),
        ),
    ],
)
def test_remote_procedures_are_calls_to_one_address(tmp_path, answer, result):
    described = profile(
        rpc("sim.on"),
        rpc("sim.off"),
        errors={"code": "error.code", "text": "error.message", "codes": {"-32004": "not_found"}},
    )
    with played(tmp_path, described, {}, {"POST /": says(answer)}) as (operator, part):
        assert submit(operator, Action.DEACTIVATE) == result

    assert part.asked[0].json()["method"] == "sim.off"


def test_query_language_is_a_text_with_doubled_braces(tmp_path):
    query = "mutation($id: ID!) {{ block(id: $id) {{ iccid state }} }}"
    call = {
        "method": "POST", "path": "/graphql", "success": {"200": "state"},
        "body": {"kind": "json", "template": {"query": query, "variables": {"id": "{iccid}"}}},
        "answer": {"iccid": "data.block.iccid", "state": "data.block.state"},
    }  # fmt: skip
    answer = says({"data": {"block": {"iccid": ICCID, "state": "off"}}})
    with played(tmp_path, both(call), {}, {"POST /graphql": answer}) as (operator, part):
        result = submit(operator, Action.DEACTIVATE)

    assert result == Applied("off")
    assert part.asked[0].json()["query"] == "mutation($id: ID!) { block(id: $id) { iccid state } }"


def test_answer_that_is_json_in_a_text_is_read(tmp_path):
    text = says(f'{{"iccid": "{ICCID}", "state": "on"}}')
    with played(tmp_path, both(SWITCH), {}, {f"POST /sims/{ICCID}/on": text}) as (operator, _):
        assert submit(operator, Action.ACTIVATE) == Applied("on")


# --- questions that are answered by something else -----------------------------------------------------

PINGED = both(SWITCH, calls={"ping": {"path": "/ping", "success": [200, 204]}})


@pytest.mark.parametrize(
    "answer",
    [says({}), says([]), says("ok"), lambda _: Response(204)],
    ids=["object", "list", "text", "nothing"],
)
def test_ping_is_content_with_any_json_and_with_nothing(tmp_path, answer):
    with played(tmp_path, PINGED, {}, {"GET /ping": answer}) as (operator, _):
        assert operator.ping() == "Оператор отвечает, ключи приняты."


def test_page_instead_of_json_is_no_ping(tmp_path):
    page = Response(200, b"<html>Login</html>", content_type="text/html")
    with (
        played(tmp_path, PINGED, {}, {"GET /ping": lambda _: page}) as (operator, _),
        pytest.raises(Unavailable) as refused,
    ):
        operator.ping()

    assert refused.value.code == "garbage"


def test_request_taken_without_a_number_and_nothing_to_read_is_unknown(tmp_path):
    call = SWITCH | {"success": {"200": "result"}, "answer": {"result": "state", "request_id": "n"}}
    results = {"words": {"queued": "accepted", "ready": "done"}}
    handlers = {f"POST /sims/{ICCID}/on": says({"state": "queued"})}
    with played(tmp_path, both(call, results=results), {}, handlers) as (operator, _):
        result = submit(operator, Action.ACTIVATE)

    assert result == Unknown("оператор принял запрос, а спросить его не о чем")


def test_word_of_acceptance_with_a_number_is_asked_about(tmp_path):
    call = SWITCH | {"success": {"200": "result"}, "answer": {"result": "state", "request_id": "n"}}
    asked = {"path": "/jobs", "answer": {"rows": "", "request_id": "n", "iccid": "iccid",
                                         "result": "state"}}  # fmt: skip
    results = {"words": {"queued": "accepted", "ready": "done", "same": "already"}}
    jobs: list[dict[str, Any]] = []
    handlers = {
        f"POST /sims/{ICCID}/on": says({"state": "queued", "n": 7}),
        "GET /jobs": lambda _: json_response(jobs),
    }
    described = both(call, calls={"check": asked}, results=results)
    with played(tmp_path, described, {}, handlers) as (operator, _):
        taken = submit(operator, Action.ACTIVATE)
        unknown = check(operator, "7")
        jobs.append({"n": 7, "iccid": ICCID, "state": "same"})
        same = check(operator, "7")
        jobs[0]["iccid"] = "8970"
        with pytest.raises(Unavailable) as refused:
            check(operator, "7")

    assert taken == Accepted("7")
    assert unknown == Check(CheckState.LOST, "no_request", "оператор не знает такого запроса")
    assert same == Check(CheckState.COMPLETED, "same", "так уже и было", ErrorClass.ALREADY)
    assert refused.value.code == "wrong_id"


def test_number_of_a_header_that_is_no_address_is_no_number(tmp_path):
    made = says(None, 202, Location="http://[")
    with played(tmp_path, JOBS, {}, {f"POST /sims/{ICCID}/jobs": made}) as (operator, _):
        result = submit(operator, Action.ACTIVATE)

    assert result == Unknown("оператор принял запрос, но не дал его номера", code="no_id")


def test_number_that_moved_to_another_card_is_only_told(tmp_path):
    read = READ_ON | {"answer": READ_ON["answer"] | {"msisdn": "phone"}}
    moved = says({"iccid": ICCID, "state": "on", "phone": "+7 (999) 111-22-33"})
    with played(
        tmp_path, both(SWITCH, calls={"read": read}), {}, {f"GET /sims/{ICCID}": moved}
    ) as (operator, _):
        seen = operator.read_state(sim=SIM)

    assert seen == Reading(SimState.ACTIVE, raw="on", msisdn="79991112233")
