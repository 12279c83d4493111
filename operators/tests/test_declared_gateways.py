"""A partner's portal and an agent's gateway: links, phones, charsets, codes and signatures as they have them."""

import hashlib
import json
from typing import Any

import pytest

from cabinet.clock import real_now
from cabinet.sandbox.http import Request, Response
from operators.declared.dry_run import Shown, dry_questions
from operators.declared.validate import load
from operators.ports import (
    Accepted,
    Action,
    Applied,
    Check,
    CheckState,
    ErrorClass,
    Reading,
    Rejected,
    Sim,
    SimState,
    Unknown,
)
from operators.tests.bench import SIM, submit
from operators.tests.described import Handler, played, says

ICCID = SIM.iccid
STATES = {"words": {"on": "active", "off": "inactive"}}


def profile(call: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """Both switches are the same call; `calls` are the others."""
    calls = {"activate": call, "deactivate": call} | parts.pop("calls", {})
    return {"title": "Шлюз", "calls": calls, "states": STATES} | parts


ON = {
    "method": "POST",
    "path": "/on",
    "success": {"200": "state"},
    "answer": {"iccid": "iccid", "state": "state"},
}
READ = {"path": "/s", "answer": {"iccid": "iccid", "state": "state", "msisdn": "tel"}}


# --- phones in answers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("88612345678", "78612345678"),
        ("+7 (861) 234-56-78", "78612345678"),
        ("78612345678", "78612345678"),
        (8612345678, "78612345678"),
        (89270000001, "79270000001"),
        ("+84912345678", "84912345678"),
        ("375291234567", "375291234567"),
        ("1234567890", "1234567890"),
        ("861234567", "861234567"),
        ("", ""),
    ],
)
def test_number_is_read_as_we_keep_it(tmp_path, said, number):
    described = profile(ON, calls={"read": READ})
    sim = Sim(ICCID, "78612345678")
    answer = says({"iccid": ICCID, "state": "on", "tel": said})
    with played(tmp_path, described, {}, {"GET /s": answer}) as (operator, _):
        reading = operator.read_state(sim=sim)

    assert reading == Reading(SimState.ACTIVE, raw="on", msisdn=number)


# --- charsets ---------------------------------------------------------------------------------------


def in_charset(data: Any, charset: str, named: str) -> Handler:
    raw = json.dumps(data, ensure_ascii=False).encode(charset)
    return lambda _request: Response(200, raw, f"application/json; charset={named}")


@pytest.mark.parametrize(
    ("charset", "named"),
    [
        ("cp1251", "windows-1251"),
        ("cp1251", '"CP1251"'),
        ("koi8-r", "KOI8-R"),
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("utf-8", "no-such-charset"),
    ],
)
def test_answer_is_read_in_the_charset_that_it_declares(tmp_path, charset, named):
    states = {"words": {"работает": "active", "блок": "inactive"}}
    described = profile(ON, calls={"read": READ}, states=states)
    answer = in_charset({"iccid": ICCID, "state": "Работает"}, charset, named)
    with played(tmp_path, described, {}, {"GET /s": answer}) as (operator, _):
        assert operator.read_state(sim=SIM) == Reading(SimState.ACTIVE, raw="Работает")


# --- a link as the number of a request ----------------------------------------------------------------

LINKED = profile(
    {
        "method": "PUT",
        "path": "/sims/{iccid}",
        "success": {"202": "request"},
        "answer": {"request_id": "operation.href:last"},
    },
    calls={
        "check": {
            "path": "/operations",
            "query": {"id": "{request_id}"},
            "answer": {"rows": "items", "request_id": "href:last", "result": "phase"},
        }
    },
    results={"words": {"3": "done"}},
)


@pytest.mark.parametrize(
    ("href", "result"),
    [
        ("/operations/77", Accepted("77")),
        ("https://api.example.com/v3/operations/77/?x=1#top", Accepted("77")),
        ("77", Accepted("77")),
        ("/", Unknown("оператор принял запрос, но не дал его номера", code="no_id")),
        ("https://[broken", Unknown("оператор принял запрос, но не дал его номера", code="no_id")),
        (None, Unknown("оператор принял запрос, но не дал его номера", code="no_id")),
    ],
)
def test_number_of_a_request_is_the_end_of_a_link_in_the_body(tmp_path, href, result):
    answer = says({"operation": {"href": href}}, 202)
    with played(tmp_path, LINKED, {}, {f"PUT /sims/{ICCID}": answer}) as (operator, _):
        assert submit(operator, Action.ACTIVATE) == result


def test_request_is_found_among_others_by_the_end_of_its_link(tmp_path):
    items = [{"href": "/operations/7", "phase": 1}, {"href": "/operations/77", "phase": 3}]
    with played(tmp_path, LINKED, {}, {"GET /operations": says({"items": items})}) as (operator, _):
        at = real_now()
        check = operator.check(request_id="77", sim=SIM, submitted_at=at, at=at)

    assert check == Check(CheckState.COMPLETED, "3")


# --- codes that surely did nothing ----------------------------------------------------------------------

CODED = {
    "code": "result.code",
    "text": "result.message",
    "fine": ["OK"],
    "codes": {
        "ERR_WORKS": "maintenance",
        "ERR_BUSY": "rate_limited",
        "ERR_LATER": "transient",
        "ERR_FAIL": "transient",
    },
    "not_done": [503, "502", "err_works", "ERR_LATER"],
    "retry_after_path": "result.wait",
}


@pytest.mark.parametrize(
    ("answer", "status", "result"),
    [
        ({"code": "ERR_WORKS"}, 200, Rejected(ErrorClass.MAINTENANCE, "ERR_WORKS", "оператор ответил 200")),
        (
            {"code": "ERR_LATER", "message": "позже", "wait": 4},
            200,
            Rejected(ErrorClass.TRANSIENT, "ERR_LATER", "позже", 4),
        ),
        ({"code": "ERR_LATER"}, 500, Rejected(ErrorClass.TRANSIENT, "ERR_LATER", "оператор ответил 500")),
        (
            {"code": "ERR_BUSY", "wait": 4},
            200,
            Rejected(ErrorClass.RATE_LIMITED, "ERR_BUSY", "оператор ответил 200", 4),
        ),
        (
            {"code": "ERR_FAIL"},
            200,
            Unknown("оператор ответил 200", ErrorClass.TRANSIENT, "ERR_FAIL"),
        ),
        ({}, 502, Rejected(ErrorClass.TRANSIENT, "502", "оператор ответил 502")),
        ({}, 500, Unknown("оператор ответил 500", ErrorClass.TRANSIENT, "500")),
    ],
)  # fmt: skip
def test_profile_says_which_codes_surely_did_nothing(tmp_path, answer, status, result):
    described = profile(ON, errors=CODED)
    handlers = {"POST /on": says({"result": answer}, status)}
    with played(tmp_path, described, {}, handlers) as (operator, _):
        assert submit(operator, Action.ACTIVATE) == result


def test_failed_outcome_with_such_a_code_is_surely_not_done(tmp_path):
    call = {
        **ON,
        "success": {"200": "result"},
        "answer": {"result": "done", "code": "why"},
    }
    described = profile(
        call, errors={**CODED, "code": "e"}, results={"words": {"yes": "done", "no": "failed"}}
    )
    with played(
        tmp_path, described, {}, {"POST /on": says({"done": "no", "why": "ERR_LATER"})}
    ) as (operator, _):
        result = submit(operator, Action.ACTIVATE)

    assert result == Rejected(ErrorClass.TRANSIENT, "ERR_LATER", "ERR_LATER")


# --- signatures -------------------------------------------------------------------------------------------

FIELDS = [{"name": "secret", "label": "Секрет подписи"}]
SECRET = {"secret": "s3cret-word"}


def digest(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_signature_may_be_of_the_fields_of_a_call(tmp_path):
    sign = {"algorithm": "md5", "text": "{iccid}{now_unix}{secret}", "in": "query", "name": "sig"}
    call = {**ON, "query": {"ts": "{now_unix}"}}
    described = profile(
        call, fields=FIELDS, login={"sign": sign}, calls={"ping": {"path": "/p"} | {"query": call["query"]}}
    )  # fmt: skip
    handlers = {"POST /on": says({"iccid": ICCID, "state": "on"}), "GET /p": says({})}
    with played(tmp_path, described, SECRET, handlers) as (operator, part):
        result = submit(operator, Action.ACTIVATE)
        operator.ping()

    switch, ping = part.asked
    assert result == Applied("on")
    assert switch.query["sig"] == [digest(f"{ICCID}{switch.query['ts'][0]}s3cret-word")]
    assert ping.query["sig"] == [digest(f"{ping.query['ts'][0]}s3cret-word")]


@pytest.mark.parametrize("kind", ["form", "json"])
def test_signature_may_stand_in_the_body_that_it_signs(tmp_path, kind):
    sign = {"algorithm": "md5", "text": "{body}{secret}", "in": "body", "name": "sign"}
    body = {"kind": kind, "template": {"icc": "{iccid}", "note": "Да & 1"}}
    described = profile({**ON, "body": body}, fields=FIELDS, login={"sign": sign})
    asked: list[Request] = []

    def answer(request: Request) -> Response:
        asked.append(request)
        return says({"iccid": ICCID, "state": "on"})(request)

    with played(tmp_path, described, SECRET, {"POST /on": answer}) as (operator, _):
        result = submit(operator, Action.ACTIVATE)

    [request] = asked
    unsigned = {
        "form": f"icc={ICCID}&note=%D0%94%D0%B0+%26+1",
        "json": f'{{"icc": "{ICCID}", "note": "Да & 1"}}',
    }[kind]
    sent = request.form() if kind == "form" else request.json()
    assert result == Applied("on")
    assert sent == {"icc": ICCID, "note": "Да & 1", "sign": digest(f"{unsigned}s3cret-word")}


def test_dry_run_shows_the_questions_and_what_is_signed():
    sign = {"algorithm": "md5", "text": "{method} {iccid} {secret}", "in": "query", "name": "sig"}
    described = profile(
        ON,
        fields=FIELDS,
        login={"sign": sign},
        base_url="https://a.example",
        calls={
            "read": READ,
            "check": {"path": "/r/{request_id}", "answer": {"result": "x"}},
            "ping": {"path": "/p"},
        },
        results={"words": {"1": "done"}},
    )

    shown = dry_questions(load(described), SIM, SECRET, at=real_now())

    accept, signed = (("Accept", "application/json"),), f"GET {ICCID} ******"
    assert shown == (
        Shown("Чтение состояния", "GET", "https://a.example/s?sig=******", accept, "", "", signed),
        Shown("Вопрос об исходе", "GET", "https://a.example/r/REQUEST_ID?sig=******", accept, "", "", signed),
        Shown("Проверка связи", "GET", "https://a.example/p?sig=******", accept, "", "", signed),
    )  # fmt: skip
