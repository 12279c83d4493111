"""Signatures over sorted parameters, several values of one login, answers that must repeat the request, bits."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest

from cabinet.sandbox.http import Request, Response, json_response
from operators.declared import parse_login, paths
from operators.declared.dry_run import MASK, dry_run
from operators.declared.places import places_of
from operators.declared.validate import load
from operators.http import Exchange
from operators.ports import (
    Action,
    Applied,
    ErrorClass,
    Reading,
    Rejected,
    SimState,
    Unavailable,
    Unknown,
)
from operators.tests.bench import SIM, MemoryTokens, submit
from operators.tests.described import (
    SEEN,
    Handler,
    described,
    played,
    problems,
    profile,
    says,
    standing,
)

ICCID, BASE = SIM.iccid, "https://api.example.com/v1"
AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
READ = {"path": "/s", "answer": SEEN}
ON = says({"iccid": ICCID, "state": "on"})


# --- signatures over sorted parameters ---------------------------------------------------------------

WORD = [{"name": "word", "label": "Слово"}]


def digest(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("params", "body", "text"),
    [
        ({}, {"kind": "form", "template": {"z": "ю 1", "b": "2"}}, "a=x y&b=2&z=ю 1"),
        (None, {"kind": "none"}, "a=x y"),
        (
            {"each": "{name}{value}", "between": ""},
            {"kind": "json", "template": {"z": True, "b": [1, {"c": 2}], "n": None}},
            'ax yb[1,{"c":2}]ztrue',
        ),
        (
            {"each": "{value}", "between": "|", "encoded": True},
            {"kind": "form", "template": {"B": "&"}},
            "%26|x+y",
        ),
        ({}, {"kind": "json", "template": ["list"]}, "a=x y"),
    ],
)
@pytest.mark.parametrize("encoding", ["hex", "hex_upper"])
def test_signature_may_be_of_all_parameters_by_name(tmp_path, params, body, text, encoding):
    sign = {"algorithm": "md5", "text": "{params}+{word}", "in": "query", "name": "sign",
            "encoding": encoding} | ({"params": params} if params is not None else {})  # fmt: skip
    document = profile({"query": {"a": "x y"}, "body": body}, fields=WORD, login={"sign": sign})
    with played(tmp_path, document, {"word": "w-12"}, {"POST /on": ON}) as (operator, part):
        result = submit(operator, Action.ACTIVATE)

    expected = digest(f"{text}+w-12")
    assert result == Applied("on")
    assert part.asked[0].query["sign"] == [
        expected.upper() if encoding == "hex_upper" else expected
    ]


def test_keys_are_parameters_too_and_the_dry_run_hides_them():
    sign = {"algorithm": "md5", "text": "{params}{word}", "in": "query", "name": "sign"}
    keys = [{"field": "word", "in": "query", "name": "app"}]
    document = profile({}, fields=WORD, login={"sign": sign, "keys": keys}, base_url=BASE)

    [shown] = dry_run(load(document), Action.ACTIVATE, SIM, {"word": "w-12"}, at=AT)

    assert (shown.url, shown.signed) == (f"{BASE}/on?app={MASK}&sign={MASK}", f"app={MASK}{MASK}")


# --- one login gives several values ------------------------------------------------------------------

SESSION = {
    "kind": "token_call",
    "url": "/login",
    "token": "cookie:SID",
    "place": {"in": "cookie", "name": "SID"},
    "more": [
        {"token": "header:X-CSRF", "in": "header", "name": "X-CSRF"},
        {"token": "data.node", "in": "query", "name": "node_token"},
        {"token": "cookie:route", "in": "cookie", "name": "route"},
    ],
}
USER = {"username": "u", "password": "p"}


def entered(number: list[int]) -> Handler:
    def login(_request: Request) -> Response:
        number.append(len(number) + 1)
        data = {"data": {"node": f"n-{number[-1]}"}}
        return json_response(
            data, Set_Cookie=f"SID=s-{number[-1]}, route=r", X_CSRF=f"c-{number[-1]}"
        )

    return login


def carried(request: Request) -> tuple[str, str, str]:
    head = request.headers
    return head["cookie"], head["x-csrf"], request.query["node_token"][0]


def test_all_values_of_one_login_are_carried_and_renewed_together(tmp_path):
    old = [True]

    def switch(request: Request) -> Response:
        return Response(401) if old and old.pop() else ON(request)

    handlers = {"POST /login": entered([]), "POST /on": switch}
    with played(tmp_path, profile({}, login=SESSION), USER, handlers) as (operator, part):
        results = [submit(operator, Action.ACTIVATE) for _ in range(2)]

    assert results == [Applied("on"), Applied("on")]
    assert [carried(one) for one in part.asked if one.path == "/on"] == [
        ("SID=s-1; route=r", "c-1", "n-1"),
        ("SID=s-2; route=r", "c-2", "n-2"),
        ("SID=s-2; route=r", "c-2", "n-2"),
    ]


@pytest.mark.parametrize("kept", ["token-of-before", '["one"]', "7"])
def test_token_that_another_description_kept_is_renewed(tmp_path, kept):
    tokens = MemoryTokens(kept={"token:test-declared": kept})
    with standing(tmp_path, {"POST /login": entered([]), "POST /on": ON}) as (url, part):
        operator = described(profile({}, login=SESSION), url, USER, tokens=tokens)
        result = submit(operator, Action.ACTIVATE)

    assert result == Applied("on")
    assert part.paths() == ["POST /login", "POST /on"]


def test_login_that_gives_not_all_of_them_is_none(tmp_path):
    login = says({"data": {}}, Set_Cookie="SID=s-1", X_CSRF="c-1")
    with played(tmp_path, profile({}, login=SESSION), USER, {"POST /login": login}) as (
        operator,
        part,
    ):
        result = submit(operator, Action.ACTIVATE)

    text = "оператор выдал не все ключи доступа, которые названы в описании"
    assert result == Rejected(ErrorClass.TRANSIENT, "no_token", text)
    assert part.paths() == ["POST /login"]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"in": "header", "name": "X"}, "login.more[0].token: нужно заполнить"),
        (
            {"token": "a", "in": "query", "name": "v"},
            f"login.more[0].name: {parse_login._SHOWN}",
        ),
        (
            {"token": "a", "in": "path"},
            "login.more[0].in: выданный ключ доступа в пути остался бы в журнале обмена",
        ),
    ],
)
def test_more_of_a_login_must_be_told_whole(more, problem):
    assert problems({}, login=SESSION | {"more": [more]}) == [problem]


# --- answers that must repeat the request ------------------------------------------------------------


def rpc(answer: Any) -> Handler:
    def handler(request: Request) -> Response:
        said = answer(request.json()["id"]) if callable(answer) else answer
        return json_response({"iccid": ICCID, "state": "on", **said})

    return handler


REPEATING = profile(
    {"body": {"kind": "json", "template": {"id": "{nonce}"}},
     "answer": SEEN | {"echo": {"id": "{nonce}", "jsonrpc": "2.0"}}},
    calls={"read": {"method": "POST", "path": "/s", "answer": SEEN | {"echo": {"id": "{now_unix}"}},
                    "body": {"kind": "json", "template": {"id": "{now_unix}"}}}},
    errors={"code": "error.code", "codes": {"-5": "not_found"}},
)  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (lambda number: {"id": number, "jsonrpc": "2.0"}, Applied("on")),
        (lambda number: {"id": number}, Unknown("оператор ответил на другой запрос")),
        ({"id": "other", "jsonrpc": "2.0"}, Unknown("оператор ответил на другой запрос")),
        (
            {"id": None, "error": {"code": -5}},
            Rejected(ErrorClass.NOT_FOUND, "-5", "оператор ответил 200"),
        ),
    ],
)
def test_answer_to_another_request_proves_nothing(tmp_path, answer, result):
    with played(tmp_path, REPEATING, {}, {"POST /on": rpc(answer)}) as (operator, _):
        assert submit(operator, Action.ACTIVATE) == result


def test_question_answered_for_another_teaches_nothing(tmp_path):
    numbers: list[Any] = [lambda number: {"id": number}, {"id": 1}]

    def in_turn(request: Request) -> Response:
        return rpc(numbers.pop(0))(request)

    with played(tmp_path, REPEATING, {}, {"POST /s": in_turn}) as (
        operator,
        _,
    ):
        reading = operator.read_state(sim=SIM)
        with pytest.raises(Unavailable) as refused:
            operator.read_state(sim=SIM)

    assert reading == Reading(SimState.ACTIVE, raw="on")
    assert (refused.value.code, refused.value.text) == (
        "lost_reply",
        "оператор ответил на другой запрос",
    )


KNOWN = (
    "{iccid}, {iccid_bare}, {iccid_int}, {key}, {msisdn}, {msisdn10}, {msisdn_int}, {nonce}, {now},"
    " {now_compact}, {now_http}, {now_local}, {now_ms}, {now_unix}, {today}"
)


def test_what_must_be_repeated_is_read_as_paths_and_templates():
    assert problems({"answer": SEEN | {"echo": {"a[": "1", "b": "{foo}", "c": 5}}})[:3] == [
        "calls.activate.answer.echo.a[: путь «a[» не разобрать с места «[»",
        f"calls.activate.answer.echo.b: неизвестное поле {{foo}}; здесь бывают: {KNOWN}",
        "calls.activate.answer.echo.c: нужен непустой текст",
    ]


@pytest.mark.parametrize(
    ("errors", "result"),
    [
        (
            [{"message": "No such SIM", "extensions": {"code": "GONE"}}],
            Rejected(ErrorClass.NOT_FOUND, "GONE", "No such SIM"),
        ),
        (
            [{"message": "Boom"}],
            Unknown("Boom", ErrorClass.UNKNOWN_OUTCOME, "Boom"),
        ),
        ([], Applied("on")),
    ],
)
def test_errors_inside_a_success_count_with_a_code_and_without(tmp_path, errors, result):
    said = {
        "code": ["errors[0].extensions.code", "errors[0].message"],
        "text": "errors[0].message",
        "codes": {"GONE": "not_found"},
    }
    answer = says({"iccid": ICCID, "state": "on", "errors": errors})
    with played(tmp_path, profile({}, errors=said), {}, {"POST /on": answer}) as (operator, _):
        assert submit(operator, Action.ACTIVATE) == result


# --- bits, and whether anything stands there ---------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("flags[&1]", [True]),
        ("flags[&2]", [False]),
        ("text[&4]", [True]),
        ("none[&4]", []),
        ("word[&4]", []),
        ("missing[&4]", []),
        ("rows[*][1][&8]", [False, True]),
        ("none[?]", [False]),
        ("word[?]", [True]),
        ("empty[?]", [False]),
        ("zero[?]", [True]),
        ("missing[?]", []),
    ],
)
def test_path_may_ask_for_a_bit_or_for_presence(path, values):
    data = {"flags": 5, "text": "6", "none": None, "word": "x", "empty": [], "zero": 0,
            "rows": [["a", 7], ["b", 8]]}  # fmt: skip

    assert paths.parse(path).every(data) == values


@pytest.mark.parametrize("path", ["a[&0]", "a[&3]", "a[&x]", "a[&]", "a[?x]"])
def test_bit_is_named_by_its_weight(path):
    with pytest.raises(paths.PathTrouble):
        paths.parse(path)


def test_state_may_be_made_of_bits_and_silence(tmp_path):
    states = {
        "words": {"true+false": "active", "true+true": "held:debt", "false+false": "inactive"}
    }
    read = {"path": "/s", "answer": {"iccid": "i", "state": ["f[&1]", "f[&8]"]}}
    blocked = {"path": "/s", "answer": {"iccid": "i", "state": "at[?]"}}
    silent = {"words": {"true": "inactive", "false": "active"}, "absent": "active"}

    def state(read: dict[str, Any], states: dict[str, Any], body: dict[str, Any]) -> SimState:
        document = profile({}, calls={"read": read}, states=states)
        with played(tmp_path, document, {}, {"GET /s": says({"i": ICCID, **body})}) as (
            operator,
            _,
        ):
            return operator.read_state(sim=SIM).state

    assert [state(read, states, {"f": flags}) for flags in (1, 9, 0, 8)] == [
        SimState.ACTIVE,
        SimState.HELD,
        SimState.INACTIVE,
        SimState.UNKNOWN,
    ]
    assert [state(blocked, silent, body) for body in ({"at": None}, {"at": "2026"}, {})] == [
        SimState.ACTIVE,
        SimState.INACTIVE,
        SimState.ACTIVE,
    ]


# --- bodies, headers, the log ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
@pytest.mark.parametrize("kind", ["application/json-patch+json", "application/vnd.api+json"])
def test_body_may_be_a_list_and_its_type_another(tmp_path, name, kind):
    patch = [{"op": "replace", "path": "/status", "value": 2}]
    switch = {
        "headers": {name: kind, "accept": kind},
        "body": {"kind": "json", "template": patch},
    }
    document = profile(switch, base_url=BASE)
    with played(tmp_path, document, {}, {"POST /on": ON}) as (operator, part):
        result = submit(operator, Action.ACTIVATE)
    [draft] = dry_run(load(document), Action.ACTIVATE, SIM, {}, at=AT)

    assert result == Applied("on")
    [sent] = part.asked
    assert (sent.json(), sent.headers["content-type"], sent.headers["accept"]) == (
        patch,
        kind,
        kind,
    )
    assert draft.headers == (("accept", kind), (name, kind))


def test_key_in_the_query_may_have_any_name_for_the_log_knows_its_value(tmp_path):
    heard: list[Exchange] = []
    login = {"kind": "key", "place": {"in": "query", "name": "v"}}
    with standing(tmp_path, {"POST /on": ON}) as (url, _):
        operator = described(
            profile({}, login=login), url, {"api_key": "s3cret/1"}, heard=heard.append
        )
        submit(operator, Action.ACTIVATE)

    assert "v=•••" in heard[0].request
    assert "s3cret" not in repr(heard)


def test_log_may_keep_what_the_new_words_read_and_no_more():
    taken = {"iccid": "sim.iccid", "take": {"order": "links.order:last"}}
    prepare = {"method": "POST", "path": "/orders", "answer": taken}
    document = profile(
        {"prepare": prepare, "path": "/o/{order}", "success": {"202": "request"},
         "answer": {"iccid": "a", "request_id": "job.href:[-2]", "echo": {"rpc.id": "{key}"}}},
        calls={"check": {"path": "/j/{request_id}", "answer": {"result": "bits[&4]"}}},
        results={"words": {"true": "done"}},
    )  # fmt: skip

    assert places_of(load(document)) == {
        ("sim", "iccid"),
        ("links", "order"),
        ("a",),
        ("job", "href"),
        ("rpc", "id"),
        ("bits",),
    }
