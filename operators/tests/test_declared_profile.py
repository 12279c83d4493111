"""The document: its mistakes by place and sentence, its examples, its logins, and the dry run."""

import json
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators import registry
from operators.declared.abilities import account_defaults
from operators.declared.dry_run import MASK, Shown, dry_run
from operators.declared.profile import InvalidProfile
from operators.declared.validate import load, validate
from operators.drafting import Draft, drafts
from operators.models import OperatorAccount
from operators.ports import (
    Action,
    Capabilities,
    StateQuality,
)
from operators.tests.bench import SIM
from operators.tests.described import EXAMPLES, SMALL, described, document

MISTAKES = json.loads(
    Path(__file__).with_name("data").joinpath("declared_mistakes.json").read_text(encoding="utf-8")
)
BASE = "https://api.example.com/v1"
AT = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The small document with one place changed; None removes it."""
    copy = deepcopy(SMALL)
    *way, last = path.split("/")
    place = copy
    for name in way:
        place = place.setdefault(name, {})
    place[last] = value
    return copy


# --- documents --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.json")))
def test_example_is_a_profile(name):
    example = document(EXAMPLES / name)

    assert validate(example) == []
    assert registry.capabilities("declared", example).title == example["title"]


def test_there_are_the_promised_examples():
    assert {path.stem for path in EXAMPLES.glob("*.json")} == {"1nce-like", "telnyx-like", "tmf640"}


def test_small_document_is_enough():
    assert validate(SMALL) == []
    assert registry.capabilities("declared", SMALL) == Capabilities(
        title="Малый",
        key="iccid",
        asynchronous=False,
        state_quality=StateQuality.NONE,
        credentials=(),
        per_second=None,
        per_minute=None,
        concurrency=1,
        poll_plan=(5, 10, 30, 60, 120, 300),
        quiet_seconds=60,
        deadline_seconds=3600,
    )


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: f"{one['place']}={one['value']}"[:60])
def test_mistake_is_told_with_its_place(mistake):
    problems = validate(changed(mistake["place"], mistake["value"]))

    assert mistake["problem"] in map(str, problems)


@pytest.mark.parametrize("broken", [None, [], "text", 7])
def test_what_is_no_object_is_no_profile(broken):
    assert [str(one) for one in validate(broken)] == ["описание протокола — это объект {…}"]


def test_list_of_changes_must_be_able_to_go_on():
    listed = {"path": "/s", "answer": {"rows": "", "iccid": "i", "state": "s"}}

    endless = validate(changed("calls/list_changes", listed))
    deaf = validate(
        changed(
            "calls/list_changes",
            {**listed, "answer": {**listed["answer"], "next": {"kind": "page", "size": 5}}},
        )
    )

    assert [str(one) for one in endless + deaf] == [
        "calls.list_changes.answer.next: нужно заполнить: без него список не прочесть",
        "calls.list_changes: в запросе нет поля {cursor}: это номер страницы",
    ]


def test_number_of_a_request_needs_a_way_to_ask_about_it():
    problems = validate(changed("calls/activate/success", {"202": "request"}))

    assert [str(one) for one in problems] == [
        "calls.activate.answer.request_id: нужно заполнить: по нему спрашивают об исходе",
        "calls.check: нужно заполнить: им спрашивают об исходе calls.activate",
    ]


def test_bad_document_makes_no_operator():
    with pytest.raises(InvalidProfile) as refused:
        described(changed("title", None), "http://127.0.0.1:1", {})

    assert [str(one) for one in refused.value.problems] == ["title: нужно заполнить"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
places = st.sampled_from(
    ["calls", "calls/activate", "calls/activate/path", "calls/activate/body", "calls/read", "login",
     "calls/activate/success", "calls/activate/answer", "calls/activate/query", "states", "fields",
     "states/words", "errors", "errors/codes", "results", "limits", "times", "windows", "headers"]
)  # fmt: skip


@given(place=places, value=json_values)
def test_no_document_breaks_the_reader(place, value):
    problems = validate(changed(place, value))

    assert all(one.sentence for one in problems)


def test_account_gets_what_the_profile_proposes():
    windows = [{"days": [6], "from": "02:00", "to": "04:30"}]
    limits = {"per_second": 5, "concurrency": 2}
    times = {"poll_plan": [2, 0.5e1, 30.5], "quiet_seconds": 15.4}
    said = {"base_url": "https://api.example.com/v1/", "windows": windows}

    assert account_defaults({**SMALL, **said, "limits": limits, "times": times}) == {
        "base_url": "https://api.example.com/v1",
        "per_second": 5,
        "concurrency": 2,
        "poll_plan": [2, 5, 30.5],
        "quiet_seconds": 15,
        "maintenance_windows": windows,
    }
    assert account_defaults(SMALL) == {}


# --- the dry run --------------------------------------------------------------------------------------


def test_dry_run_shows_every_request_and_no_secret():
    keys = {"client_id": "demo-client", "client_secret": "s3cret"}

    shown = dry_run(
        load(document(EXAMPLES / "tmf640.json")),
        Action.DEACTIVATE,
        SIM,
        keys,
        at=AT,
        base_url="https://partner.example.com/v4/",
    )

    bearer = ("Authorization", f"Bearer {MASK}")
    accept = ("Accept", "application/json")
    assert shown == (
        Shown(
            "Вход",
            "POST",
            "https://partner.example.com/v4/token",
            (
                accept,
                ("Content-Type", "application/x-www-form-urlencoded"),
                ("Authorization", f"Basic {MASK}"),
            ),
            "grant_type=client_credentials",
            "Отправляется, когда прежний ключ доступа кончился.",
        ),
        Shown(
            "Поиск смарт-карты",
            "GET",
            f"https://partner.example.com/v4/service?supportingResource.iccid={SIM.iccid}",
            (accept, bearer),
            "",
        ),
        Shown(
            "Отключение",
            "PATCH",
            "https://partner.example.com/v4/service/ID",
            (
                accept,
                ("Idempotency-Key", "00000000-0000-4000-8000-000000000000"),
                bearer,
                ("Content-Type", "application/json"),
            ),
            '{"state": "inactive"}',
            "Вместо ID встанет значение из ответа на поиск.",
        ),
    )


def test_dry_run_masks_a_secret_wherever_it_goes():
    login = {
        "kind": "token_call",
        "url": "/auth",
        "query": {"p": "{password}"},
        "headers": {"X-P": "{password}"},
        "body": {"kind": "form", "template": {"p": "{password}"}},
        "token": "token",
        "place": {"in": "query", "name": "authToken"},
    }
    profile = load(SMALL | {"login": login, "base_url": BASE})

    shown = dry_run(profile, Action.ACTIVATE, SIM, {"username": "u", "password": "s3cret"}, at=AT)

    assert "s3cret" not in repr(shown)
    assert [one.url for one in shown] == [
        f"{BASE}/auth?p={MASK}",
        f"{BASE}/sims/{SIM.iccid}/on?authToken={MASK}",
    ]
    assert shown[0].body == f"p={MASK}"


def test_dry_run_masks_keys_and_signatures_in_every_place():
    own = [{"name": "app_secret", "label": "Секрет"}]
    sign = {"algorithm": "hmac-sha1", "secret": "app_secret", "text": "{body}"}
    login = {
        "keys": [
            {"field": "app_secret", "in": "body", "name": "secret"},
            {"field": "app_secret", "in": "path", "prefix": "k-"},
            {"field": "app_secret", "in": "cookie", "name": "a"},
            {"field": "app_secret", "in": "cookie", "name": "b"},
        ],
        "sign": sign | {"in": "header", "name": "X-Sign"},
    }
    call = SMALL["calls"]["activate"] | {
        "body": {"kind": "form", "template": {"ref": "{nonce}"}},
        "headers": {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
    }
    calls = {"activate": call, "deactivate": call}
    profile = load(SMALL | {"login": login, "fields": own, "base_url": BASE, "calls": calls})

    [shown] = dry_run(profile, Action.ACTIVATE, SIM, {"app_secret": "s3cret"}, at=AT)

    assert shown == Shown(
        "Включение",
        "POST",
        f"{BASE}/k-{MASK}/sims/{SIM.iccid}/on",
        (
            ("Accept", "application/json"),
            ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("Cookie", f"a={MASK}; b={MASK}"),
            ("X-Sign", MASK),
        ),
        f"ref={'0' * 32}&secret={MASK}",
        signed=f"ref={'0' * 32}&secret={MASK}",
    )


def test_dry_run_names_every_value_that_the_search_will_give():
    find = {
        "path": "/s",
        "answer": {"iccid": "i", "id": "id", "take": {"owner": "o", "extra": "e"}},
    }
    call = SMALL["calls"]["activate"] | {"path": "/{owner}/{id}"}
    calls = {"activate": call, "deactivate": call, "find": find}
    profile = load(SMALL | {"calls": calls, "base_url": BASE})

    found, switch = dry_run(profile, Action.ACTIVATE, SIM, {}, at=AT)

    assert (found.title, found.url) == ("Поиск смарт-карты", f"{BASE}/s")
    assert (switch.url, switch.note) == (
        f"{BASE}/OWNER/ID",
        "Вместо ID, OWNER встанут значения из ответа на поиск.",
    )


def test_silence_is_a_state_only_in_an_answer_about_the_card():
    states = {"words": {"off": "inactive"}, "absent": "active"}
    shallow = {"path": "/s", "answer": {"state": "state"}}
    deep = {"path": "/s", "answer": {"state": "blocks[0].type"}}
    named = {"path": "/s", "answer": {"state": "state", "iccid": "iccid"}}

    told = [
        [str(one) for one in validate(changed("states", states) | {"calls": calls})]
        for calls in (SMALL["calls"] | {"read": read} for read in (shallow, deep, named))
    ]

    assert told == [
        [
            "calls.read.answer.iccid: нужно заполнить: иначе за states.absent сошёл бы любой ответ",
        ],
        [],
        [],
    ]


def test_draft_of_a_request_that_cannot_be_made_says_why():
    fields = [{"name": "fleet", "label": "Парк", "secret": False}]
    calls = {name: call | {"path": "/{fleet}/on"} for name, call in SMALL["calls"].items()}
    account = OperatorAccount(profile=SMALL | {"fields": fields, "calls": calls}, base_url=BASE)

    shown = drafts(account, {"fleet": ".."}, at=AT)

    problem = "Запрос не составить: поле {fleet} пусто или не годится для запроса."
    assert shown == [Draft("Включение", (), problem), Draft("Отключение", (), problem)]
