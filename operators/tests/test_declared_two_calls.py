"""A switch that takes two calls, and a resource that is sent back whole."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cabinet.sandbox.http import Request, Response, Wire, json_response
from operators import registry
from operators.declared.dry_run import Shown, dry_questions, dry_run
from operators.declared.validate import load, validate
from operators.http import Exchange
from operators.ports import (
    Action,
    Already,
    Applied,
    CallKind,
    ErrorClass,
    NotSent,
    Rejected,
    SubmitResult,
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
from operators.waits import OUR_OWN

ICCID, BASE = SIM.iccid, "https://api.example.com/v1"
AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
READ = {"path": "/s", "answer": SEEN}
ON = says({"iccid": ICCID, "state": "on"})


# --- a switch in two calls ---------------------------------------------------------------------------

ORDER = {
    "method": "POST",
    "path": "/orders",
    "headers": {"Idempotency-Key": "{key}"},
    "success": [201],
    "answer": {"iccid": "iccid", "take": {"order": "id", "etag": "header:ETag"}},
}
ORDERED = profile(
    {
        "prepare": ORDER,
        "path": "/orders/{order}/commit",
        "headers": {"If-Match": "{etag}"},
    },
    calls={"read": READ},
    errors={
        "code": "code",
        "codes": {"SAME": "already", "LATER": "transient", "HELD": "held_by_operator"},
        "not_done": ["LATER"],
    },
)
TOKEN = {"kind": "token_call", "url": "/login", "token": "t",
         "place": {"in": "header", "name": "X-Token"}}  # fmt: skip
MADE = says({"iccid": ICCID, "id": 5}, 201, ETag='"e-1"')


def cut(_request: Request) -> Response:
    return Response(wire=Wire.CUT)


def ordered(tmp_path: Any, order: Handler, commit: Handler) -> tuple[SubmitResult, list[str]]:
    handlers = {"POST /orders": order, "POST /orders/5/commit": commit}
    with played(tmp_path, ORDERED, {}, handlers) as (operator, part):
        return submit(operator, Action.ACTIVATE), part.paths()


def test_switch_may_take_two_calls(tmp_path):
    handlers = {"POST /orders": MADE, "POST /orders/5/commit": ON}
    with played(tmp_path, ORDERED, {}, handlers) as (operator, part):
        result = submit(operator, Action.ACTIVATE)

    assert result == Applied("on")
    assert part.paths() == ["POST /orders", "POST /orders/5/commit"]
    order, commit = part.asked
    assert (order.headers["idempotency-key"], commit.headers["if-match"]) == ("k-1", '"e-1"')


BOTH, FIRST = ["POST /orders", "POST /orders/5/commit"], ["POST /orders"]
LOST = "ответ оператора не получен целиком"


@pytest.mark.parametrize(
    ("order", "commit", "result", "asked"),
    [
        (MADE, cut, Unknown(LOST), BOTH),
        (MADE, says({}, 500), Unknown("оператор ответил 500", ErrorClass.TRANSIENT, "500"), BOTH),
        # Surely not done, but the command must not begin again with another order.
        (
            MADE,
            says({"code": "LATER"}, 503, Retry_After="9"),
            Unknown("оператор ответил 503", ErrorClass.TRANSIENT, "LATER", 9.0),
            BOTH,
        ),
        (
            MADE,
            says({}, 409),
            Unknown("оператор ответил 409", ErrorClass.CONFLICT_PENDING, "409"),
            BOTH,
        ),
        (
            MADE,
            says({"code": "HELD"}, 403),
            Rejected(ErrorClass.HELD_BY_OPERATOR, "HELD", "оператор ответил 403"),
            BOTH,
        ),
        (MADE, says({"code": "SAME"}, 422), Already("SAME"), BOTH),
        (cut, ON, Unknown(LOST), FIRST),
        (says({}, 500), ON, Unknown("оператор ответил 500", ErrorClass.TRANSIENT, "500"), FIRST),
        (
            says({}, 429, Retry_After="9"),
            ON,
            Rejected(ErrorClass.RATE_LIMITED, "429", "оператор ответил 429", 9.0),
            FIRST,
        ),
        (says({"code": "SAME"}, 409), ON, Already("SAME"), FIRST),
        (
            says({"iccid": "8970", "id": 5}, 201),
            ON,
            Unknown("оператор ответил о другой смарт-карте", code="wrong_id"),
            FIRST,
        ),
        (
            says({"iccid": ICCID}, 201),
            ON,
            Unknown("ответ оператора не разобрать", code="garbage"),
            FIRST,
        ),
    ],
)  # fmt: skip
def test_first_call_is_never_made_twice_without_a_reading(tmp_path, order, commit, result, asked):
    assert ordered(tmp_path, order, commit) == (result, asked)


@pytest.mark.parametrize(
    ("trouble", "result"),
    [
        (
            "tokens",
            Unknown("хранилище ключей доступа не отвечает", ErrorClass.TRANSIENT, "tokens_away"),
        ),
        ("turn", Unknown("не наш черёд", ErrorClass.RATE_LIMITED, "not_sent_quota", 3.0)),
    ],
)
def test_our_own_trouble_between_the_calls_is_known_as_ours(tmp_path, trouble, result):
    tokens, met = MemoryTokens(), []

    def order(request: Request) -> Response:
        met.append(trouble)
        tokens.away = trouble == "tokens"
        return MADE(request)

    def admit(_kind: CallKind) -> None:
        if "turn" in met:
            raise NotSent("не наш черёд", "quota", 3.0)

    with standing(tmp_path, {"POST /login": says({"t": "t-1"}), "POST /orders": order}) as (url, _):
        operator = registry.make(
            account="test-between",
            adapter="declared",
            base_url=url,
            credentials={"username": "u", "password": "p"},
            tokens=tokens,
            admit=admit,
            profile={**ORDERED, "login": TOKEN},
        )
        given = submit(operator, Action.ACTIVATE)

    assert given == result
    assert result.code in OUR_OWN


def test_preparation_that_only_asks_leaves_nothing_open(tmp_path):
    described_ = profile(
        {"prepare": {"path": "/s", "answer": {"take": {"etag": "header:ETag"}}}}
        | {"headers": {"If-Match": "{etag}"}},
        errors={"statuses": {"412": "conflict_pending"}},
    )
    handlers: dict[str, Handler] = {"GET /s": says({}, 503), "POST /on": says({}, 412)}
    with played(tmp_path, described_, {}, handlers) as (operator, part):
        unasked = submit(operator, Action.ACTIVATE)
        part.handlers = {**handlers, "GET /s": lambda _: Response(200, headers={"ETag": "e"})}
        outdated = submit(operator, Action.ACTIVATE)

    assert unasked == Rejected(ErrorClass.MAINTENANCE, "503", "оператор ответил 503")
    assert outdated == Rejected(ErrorClass.CONFLICT_PENDING, "412", "оператор ответил 412")
    assert part.paths() == ["GET /s", "GET /s", "POST /on"]


CARDS = says({"items": [{"iccid": "8970", "id": 1}, {"iccid": ICCID, "id": 2}]})


@pytest.mark.parametrize(
    ("switch", "answer", "why"),
    [
        ({"path": "/sims/{sim}/on"}, {"rows": "items"}, "по нему выбирается строка списка"),
        ({"path": "/sims/{sim}/on"}, {}, "иначе можно переключить чужую смарт-карту"),
        ({"query": {"sim": "{sim}"}}, {}, "иначе можно переключить чужую смарт-карту"),
        (
            {"body": {"kind": "json", "template": {"sim": "{sim}"}}},
            {},
            "иначе можно переключить чужую смарт-карту",
        ),
    ],
)
def test_preparation_must_name_the_card_that_it_chooses(switch, answer, why):
    answer = {**answer, "take": {"sim": "id"}}
    asked = {"path": "/sims", "query": {"iccid": "{iccid}"}, "answer": answer}

    unnamed = problems({**switch, "prepare": asked})
    named = problems({**switch, "prepare": asked | {"answer": answer | {"msisdn": "tel"}}})
    ordered_ = problems({**switch, "prepare": asked | {"method": "POST"}})

    told = [
        f"calls.{name}.prepare.answer.iccid: нужно заполнить: {why}"
        for name in ("activate", "deactivate")
    ]
    assert (sorted(set(unnamed) & set(told)), named) == (told, [])
    assert ordered_ == (told if answer.get("rows") else [])


def test_list_of_all_cards_gives_the_one_that_was_asked_about(tmp_path):
    answer = {"rows": "items", "iccid": "iccid", "take": {"sim": "id"}}
    asked = {"path": "/sims", "query": {"iccid": "{iccid}"}, "answer": answer}
    document = profile({"path": "/sims/{sim}/on", "prepare": asked})
    handlers = {"GET /sims": CARDS, "POST /sims/2/on": ON}
    with played(tmp_path, document, {}, handlers) as (operator, part):
        assert submit(operator, Action.ACTIVATE) == Applied("on")

    assert part.paths() == ["GET /sims", "POST /sims/2/on"]


def test_preparation_may_give_nothing_but_its_success(tmp_path):
    prepare = {"method": "POST", "path": "/unlock", "success": [204]}
    handlers = {"POST /unlock": lambda _: Response(204), "POST /on": ON}
    with played(tmp_path, profile({"prepare": prepare}), {}, handlers) as (operator, part):
        assert submit(operator, Action.ACTIVATE) == Applied("on")

    assert part.paths() == ["POST /unlock", "POST /on"]


def test_dry_run_shows_both_calls_and_what_stands_for_what():
    prepare = ORDER | {
        "answer": {"take": {"order": "id", "commit": "links.commit:link", "card": ""}}
    }
    body = {"kind": "json", "template": {"sim": {"...": "{card}", "mode": 2}, "order": "{order}"}}
    check = {"path": "{request_id}", "answer": {"result": "r"}}
    switch = {"prepare": prepare, "path": "{commit}", "body": body, "success": {"202": "request"}}
    document = profile(
        switch | {"answer": {"request_id": "href:link"}},
        base_url=BASE,
        calls={"check": check},
        results={"words": {"1": "done"}},
    )

    first, second = dry_run(load(document), Action.ACTIVATE, SIM, {}, at=AT)
    [question] = dry_questions(load(document), SIM, {}, at=AT)

    accept = ("Accept", "application/json")
    key = ("Idempotency-Key", "00000000-0000-4000-8000-000000000000")
    assert first == Shown("Подготовка", "POST", f"{BASE}/orders", (accept, key), "")
    assert second == Shown(
        "Включение",
        "POST",
        "https://api.example.com/COMMIT",
        (accept, ("Content-Type", "application/json")),
        '{"sim": {"...": "CARD", "mode": 2}, "order": "ORDER"}',
        "Вместо ORDER, COMMIT, CARD встанут значения из ответов выше.",
    )
    assert question.url == "https://api.example.com/REQUEST_ID"


# --- the whole resource is sent back -----------------------------------------------------------------

CARD = {"iccid": ICCID, "who": "Тайное Имя", "plan": {"id": 7, "tags": ["a"]}, "state": "off"}
WHOLE = profile(
    {"method": "PUT", "path": "/sims/{id}",
     "body": {"kind": "json", "template": {"...": "{card}", "state": "on", "plan": {"note": "{key}"}}}},
    calls={"find": {"path": "/sims", "answer": {"rows": "", "iccid": "iccid", "id": "plan.id",
                                                "take": {"card": ""}}}},
)  # fmt: skip


def test_whole_resource_is_sent_back_and_the_log_keeps_none_of_it(tmp_path):
    heard: list[Exchange] = []
    put = lambda request: json_response({"iccid": ICCID, "state": request.json()["state"]})  # noqa: E731
    with standing(tmp_path, {"GET /sims": says([CARD]), "PUT /sims/7": put}) as (url, part):
        operator = described(WHOLE, url, {}, heard=heard.append)
        result = submit(operator, Action.ACTIVATE)

    assert result == Applied("on")
    sent = part.asked[1]
    assert sent.json() == CARD | {
        "state": "on",
        "plan": {"id": 7, "tags": ["a"], "note": "k-1"},
    }
    assert sent.headers["content-type"] == "application/json"
    assert json.loads(heard[1].request.partition("\n\n")[2]) == {
        "iccid": "•••",
        "who": "•••",
        "plan": {"id": "•••", "tags": ["•••"], "note": "k-1"},
        "state": "on",
    }
    assert "Тайное" not in repr(heard)


def test_object_alone_may_be_sent_back_too_and_is_signed_as_it_leaves(tmp_path):
    body = {"kind": "json", "template": {"plan": "{plan}", "icc": "{iccid}"}}
    sign = {"algorithm": "sha256", "text": "{body_sha256}{word}", "in": "header", "name": "X-Sign"}
    document = profile(
        {"method": "PUT", "body": body,
         "prepare": {"path": "/s", "answer": {"iccid": "iccid", "take": {"plan": "plan"}}}},
        fields=[{"name": "word", "label": "Слово"}],
        login={"sign": sign, "keys": [{"field": "word", "in": "body", "name": "key"}]},
    )  # fmt: skip
    assert [str(one) for one in validate(document)] == [
        f"calls.{name}.prepare.body: ключ доступа или подпись идёт в теле, значит, нужен объект или форма"
        for name in ("activate", "deactivate")
    ]
    document["login"]["keys"] = []
    with played(tmp_path, document, {"word": "w-12"}, {"GET /s": says(CARD), "PUT /on": ON}) as (
        operator,
        part,
    ):
        result = submit(operator, Action.ACTIVATE)

    sent = part.asked[1]
    digest = hashlib.sha256(sent.body).hexdigest()
    assert result == Applied("on")
    assert sent.json() == {"plan": CARD["plan"], "icc": ICCID}
    assert sent.headers["x-sign"] == hashlib.sha256(f"{digest}w-12".encode()).hexdigest()


def test_secret_in_a_body_that_is_sent_back_is_masked(tmp_path):
    heard: list[Exchange] = []
    switch = {
        "method": "POST",
        "prepare": {"path": "/s", "method": "POST", "answer": {"take": {"card": ""}}}
        | {"body": {"kind": "json", "template": {}}},
        "body": {"kind": "json", "template": {"...": "{card}"}},
    }
    login = {"kind": "key", "place": {"in": "body", "name": "k"}}
    handlers = {"POST /s": says(CARD), "POST /on": ON}
    with standing(tmp_path, handlers) as (url, part):
        operator = described(
            profile(switch, login=login), url, {"api_key": "s3cret"}, heard=heard.append
        )
        result = submit(operator, Action.ACTIVATE)

    assert result == Applied("on")
    assert [one.json()["k"] for one in part.asked] == ["s3cret", "s3cret"]
    assert not [one for one in heard if "s3cret" in one.request or "Тайное" in one.request]


def test_only_a_taken_object_has_fields_to_send_back(tmp_path):
    wrong = [
        problems({"body": {"kind": "json", "template": {"...": given}}})
        for given in ("{iccid}", "text", 5)
    ]
    document = profile(
        {"body": {"kind": "json", "template": [{"...": "{name}"}]}}
        | {"prepare": {"path": "/s", "answer": {"iccid": "iccid", "take": {"name": "who"}}}}
    )
    with played(tmp_path, document, {}, {"GET /s": says(CARD)}) as (operator, part):
        result = submit(operator, Action.ACTIVATE)

    sentence = "у «...» стоит одно поле из take; здесь бывают: никаких"
    assert (
        wrong
        == [[f"calls.{name}.body.template: {sentence}" for name in ("activate", "deactivate")]] * 3
    )
    assert result == Rejected(
        ErrorClass.INVALID, "no_name", "поле {name} пусто или не годится для запроса"
    )
    assert part.paths() == ["GET /s"]
