"""The document: its mistakes by field and sentence, what it proposes, and the preview of its requests."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators import registry
from operators.admin.profile_examples import TITLES
from operators.admin.request_preview import MASK, Preview, RequestPreview, preview_requests
from operators.declarative.capabilities import account_defaults
from operators.declarative.validation import InvalidProfile, validate
from operators.ports import Capabilities, StateQuality
from operators.tests import vendors
from operators.tests.declarative_server import (
    EXAMPLES,
    SMALL,
    STATE,
    document,
    make_described_operator,
    profile,
)

MISTAKES = json.loads(
    Path(__file__)
    .with_name("data")
    .joinpath("declarative_mistakes.json")
    .read_text(encoding="utf-8")
)
BASE = "https://api.example.com/v1"
AT = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)
ICCID = "89701990000000000017"


def changed(path: str, value: Any) -> dict[str, Any]:
    """The small document with one part changed."""
    copy: dict[str, Any] = json.loads(json.dumps(SMALL))
    *way, last = path.split("/")
    part: Any = copy
    for name in way:
        part = part.setdefault(name, {})
    part[last] = value
    return copy


def test_examples_are_the_promised_ones():
    assert {path.stem for path in EXAMPLES.glob("*.json")} == set(TITLES)


def test_small_document_is_enough():
    assert validate(SMALL) == []
    assert registry.capabilities("declared", SMALL) == Capabilities(
        title="Малый",
        key="iccid",
        asynchronous=False,
        state_quality=StateQuality.EXACT,
        credentials=(),
        per_second=None,
        per_minute=None,
        concurrency=1,
        poll_plan=(5, 10, 30, 60, 120, 300),
        quiet_seconds=60,
        deadline_seconds=3600,
    )


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: f"{one['field']}={one['value']}"[:60])
def test_mistake_is_reported_with_its_field(mistake):
    problems = validate(changed(mistake["field"], mistake["value"]))

    assert mistake["problem"] in map(str, problems)


TOKEN_CALL = {"kind": "token_call", "steps": [{"path": "/login", "take": {"session": "body.s"}}],
              "keys": [{"field": "session", "in": "header", "name": "X-Session"}]}  # fmt: skip
FIELDS = [{"name": "api_key", "label": "Ключ"}]
KEYS = {"kind": "keys", "keys": [{"field": "api_key", "in": "header", "name": "X-Api-Key"}]}
ONLY_IN_LOGIN = "{{{}}} — ключ договора: он бывает только во входе, в запросы его ставит login"


@pytest.mark.parametrize(
    ("parts", "name", "sentence"),
    [
        ({"login": {"kind": "bearer"}}, "token", ONLY_IN_LOGIN.format("token")),
        ({"login": {"kind": "basic"}}, "username", ONLY_IN_LOGIN.format("username")),
        ({"login": KEYS, "fields": FIELDS}, "api_key", ONLY_IN_LOGIN.format("api_key")),
        ({"login": TOKEN_CALL}, "session", "{session} выдаёт вход, в запросы его ставит login.keys"),
        ({}, "sid", "неизвестное поле {sid}: номер карты у оператора даёт вызов find (answer.take.sid)"),
    ],
)  # fmt: skip
def test_misplaced_variable_is_named_for_what_it_is(parts, name, sentence):
    call = {"query": {"q": f"{{{name}}}"}}

    [problem] = [one for one in validate(profile(call, **parts)) if one.field == "calls.activate"]

    assert problem.sentence.partition(";")[0] == sentence


def test_find_that_does_not_take_a_variable_is_named():
    find = {"path": "/find/{iccid}", "answer": {"iccid": "body.i", "take": {"id": "body.id"}}}

    [problem, _] = validate(profile({"query": {"q": "{sid}"}}, calls={"find": find}))

    assert problem.sentence.partition(";")[0] == "неизвестное поле {sid}: find его не берёт"


def test_unknown_number_of_a_card_is_one_mistake():
    problems = validate(changed("calls/activate/path", "/sims/{id}/on"))

    assert [(one.field, one.sentence.partition(";")[0]) for one in problems] == [
        (
            "calls.activate",
            "неизвестное поле {id}: номер карты у оператора даёт вызов find (answer.take.id)",
        )
    ]


@pytest.mark.parametrize("missing", ["activate", "deactivate", "read"])
def test_both_switches_and_a_reading_are_needed(missing):
    without = {name: call for name, call in SMALL["calls"].items() if name != missing}

    assert [one.field for one in validate(SMALL | {"calls": without})] == [f"calls.{missing}"]


NUL = r"в описании есть нулевой знак, \u0000: уберите его"
NO_JSON = "описание не разобрать: оно слишком глубоко вложено или записано не как JSON"


@pytest.mark.parametrize("broken", [None, [], "text", 7])
def test_what_is_no_object_is_no_description(broken):
    assert [str(one) for one in validate(broken)] == ["описание протокола — это объект {…}"]


@pytest.mark.parametrize(
    ("field", "value", "sentences"),
    [
        ("title", "Вол\x00га", [NUL]),
        ("calls/activate/json", {"on\x00": True}, [NUL]),
        ("calls/activate/json", {"on": float("inf")}, [NO_JSON]),
        ("calls/activate/json", {"on": [float("nan")]}, [NO_JSON]),
        ("title", r"Вол\u0000га", []),
    ],
)
def test_document_that_cannot_be_stored_is_refused(field, value, sentences):
    assert [str(one) for one in validate(changed(field, value))] == sentences


def test_empty_list_is_a_state_only_for_the_asked_card():
    shallow = {"path": "/s/{iccid}", "answer": {"state": "body.state"}}
    deep = {"path": "/s/{iccid}", "answer": {"state": "body.blocks[0].type"}}
    named = {"path": "/s/{iccid}", "answer": STATE}
    absent = {"words": {"off": "inactive"}, "absent": "active"}

    problems = {
        name: [one.field for one in validate(profile({}, states=absent, calls={"read": read}))]
        for name, read in (("shallow", shallow), ("deep", deep), ("named", named))
    }

    assert problems == {"shallow": ["calls.read.answer.iccid"], "deep": [], "named": []}


def test_bad_document_makes_no_operator():
    with pytest.raises(InvalidProfile) as refused:
        make_described_operator(changed("title", None), "http://127.0.0.1:1", {})

    assert [str(one) for one in refused.value.problems] == ["title: нужен текст"]
    assert "89701990000000000017" not in repr(refused.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
fields = st.sampled_from(
    ["calls", "calls/activate", "calls/activate/path", "calls/activate/json", "calls/read", "login", "calls/find",
     "calls/activate/answer", "calls/activate/query", "states", "fields", "calls/activate/prepare",
     "states/words", "errors", "errors/codes", "errors/statuses", "results", "limits", "times",
     "login/keys", "headers", "calls/list_changes"]
)  # fmt: skip


@given(field=fields, value=json_values)
def test_no_document_breaks_the_reader(field, value):
    problems = validate(changed(field, value))

    assert all(one.sentence for one in problems)
    assert not [
        one for one in problems if not one.sentence.isprintable() or "Input should" in one.sentence
    ]


def test_account_gets_what_the_description_proposes():
    limits = {"per_second": 5, "concurrency": 2}
    times = {"poll_plan": [2, 0.5e1, 30.5], "quiet_seconds": 15.4}
    proposed = {"base_url": "https://api.example.com/v1/", "limits": limits, "times": times}

    assert account_defaults(SMALL | proposed) == {
        "base_url": "https://api.example.com/v1",
        "per_second": 5,
        "concurrency": 2,
        "poll_plan": [2, 5, 30.5],
        "quiet_seconds": 15,
    }
    assert account_defaults(SMALL) == {}


# --- the preview ------------------------------------------------------------------------------------


def test_preview_shows_every_request_and_no_secret():
    keys = {"client_id": "demo-client", "client_secret": "s3cret"}

    [_, off, questions] = preview_requests(vendors.TMF640, keys, base_url=f"{BASE}/", at=AT)

    bearer, accept = ("Authorization", f"Bearer {MASK}"), ("Accept", "application/json")
    by_card = f"?supportingResource.iccid={ICCID}"
    assert off == Preview(
        "Отключение",
        (
            RequestPreview(
                "Вход",
                "POST",
                f"{BASE}/token",
                (
                    accept,
                    ("Content-Type", "application/x-www-form-urlencoded"),
                    ("Authorization", f"Basic {MASK}"),
                ),
                "grant_type=client_credentials",
                "Отправляется, когда прежний ключ доступа кончился.",
            ),
            RequestPreview(
                "Поиск смарт-карты", "GET", f"{BASE}/service{by_card}", (accept, bearer), ""
            ),
            RequestPreview(
                "Отключение",
                "PATCH",
                f"{BASE}/service/ID",
                (
                    accept,
                    ("Idempotency-Key", "00000000-0000-4000-8000-000000000000"),
                    bearer,
                    ("Content-Type", "application/json"),
                ),
                '{"state": "inactive"}',
                "Вместо ID встанет значение из ответов выше.",
            ),
        ),
    )
    assert [(one.title, one.url) for one in questions.requests] == [
        ("Чтение состояния", f"{BASE}/service{by_card}"),
        ("Вопрос об исходе", f"{BASE}/monitor/REQUEST_ID"),
        ("Проверка связи", f"{BASE}/service?limit=1"),
    ]


def test_preview_masks_a_secret_wherever_it_goes():
    step = {"path": "/auth", "query": {"p": "{password}"}, "headers": {"X-P": "{password}"},
            "form": {"p": "{password}"}, "take": {"t": "body.t"}}  # fmt: skip
    login = {"kind": "token_call", "steps": [step],
             "keys": [{"field": "t", "in": "query", "name": "authToken"},
                      {"field": "password", "in": "header", "name": "X-Own", "prefix": "v1 "}]}  # fmt: skip
    described = SMALL | {"login": login, "fields": [{"name": "password", "label": "Пароль"}]}

    [on, _, _] = preview_requests(described, {"password": "s3cret"}, base_url=BASE, at=AT)

    assert "s3cret" not in repr(on)
    assert [(one.url, dict(one.headers)["X-Own"]) for one in on.requests] == [
        (f"{BASE}/auth?p={MASK}", f"v1 {MASK}"),
        (f"{BASE}/sims/{ICCID}/on?authToken={MASK}", f"v1 {MASK}"),
    ]
    assert on.requests[0].body == f"p={MASK}"


def test_preview_shows_where_a_read_card_is_put_back():
    [on, _, _] = preview_requests(vendors.PECHORA, {}, base_url=BASE, at=AT)

    prepare, switch = on.requests
    assert prepare.title == "Подготовка"
    assert prepare.url == f"{BASE}/sims/{ICCID}"
    assert switch.note == "Вместо CARD, VERSION встанут значения из ответов выше."
    assert dict(switch.headers)["If-Match"] == "VERSION"
    assert switch.body == '{"...": "CARD", "blocks": []}'


def test_preview_of_a_request_that_cannot_be_made_says_why():
    fleet = [{"name": "fleet", "label": "Парк", "secret": False}]
    calls = {
        name: call if name == "read" else call | {"path": "/{fleet}/{iccid}/on"}
        for name, call in SMALL["calls"].items()
    }

    shown = preview_requests(
        SMALL | {"fields": fleet, "calls": calls}, {"fleet": ".."}, base_url=BASE, at=AT
    )

    problem = "Запрос не составить: поле {fleet} пусто или не годится для запроса."
    assert [(one.title, one.problem) for one in shown] == [
        ("Включение", problem),
        ("Отключение", problem),
        ("Вопросы", ""),
    ]


def test_examples_are_documents():
    titles = [document(path)["title"] for path in sorted(EXAMPLES.glob("*.json"))]

    assert titles == [
        "По образцу 1NCE",
        "По образцу emnify",
        "По образцу Super SIM",
        "По образцу Telnyx",
        "Партнёр по TMF640 (описание)",
    ]
