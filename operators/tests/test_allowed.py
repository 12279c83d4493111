"""What the log keeps of a described operator's answers: what the profile reads, and no more."""

import json

import pytest

from operators import registry
from operators.allowed import Shown, kept, may_be_shown
from operators.declared.places import places_of
from operators.declared.validate import load
from operators.heard import Exchange
from operators.ports import Action
from operators.tests.bench import SIM, MemoryTokens, submit
from operators.tests.described import Handler, says, standing

READ = {
    "path": "/sims/{iccid}",
    "answer": {
        "rows": "data.sims",
        "iccid": "iccid",
        "state": "services[kind=data].status.name",
        "reason": "block[0].why",
        "msisdn": "tel",
    },
}
SWITCH = {
    "method": "POST",
    "path": "/sims/{iccid}/on",
    "success": {"200": "result"},
    "answer": {"result": "result", "request_id": "operation.href:last"},
}
PROFILE = {
    "title": "Проба",
    "calls": {
        "activate": SWITCH,
        "deactivate": SWITCH,
        "read": READ,
        "check": {"path": "/r/{request_id}", "answer": {"result": "result"}},
    },
    "states": {"words": {"on": "active", "off": "inactive"}},
    "results": {"words": {"ok": "done"}},
    "errors": {"code": "error.code", "text": "error.text", "retry_after_path": "error.wait"},
}
PERSON = {
    "abonent": "Иванова Анна",
    "klient": {"familiya": "Иванова", "state": "Псковская обл.", "dr": 19800101},
    "vladelec": ["Иванова"],
    "comment": "договор Ивановой А.",
    "dogovor": 778899,
    "Абонент": '{"imya": "Анна", "inn": "770000000000"}',
    "blocked": True,
    "note": None,
    "empty": "",
}
HIDDEN = {
    "abonent": "•••",
    "klient": {"familiya": "•••", "state": "•••", "dr": "•••"},
    "vladelec": ["•••"],
    "comment": "•••",
    "dogovor": "•••",
    "Абонент": '{"imya": "•••", "inn": "•••"}',
    "blocked": True,
    "note": None,
    "empty": "",
}


def heard(tmp_path, handler: Handler, line: str, act) -> list[Exchange]:
    """What the log is told of one question to a tiny server."""
    noted: list[Exchange] = []
    with standing(tmp_path, {line: handler}) as (url, _):
        operator = registry.make(
            account="test-log",
            adapter="declared",
            base_url=url,
            credentials={},
            tokens=MemoryTokens(),
            on_exchange=noted.append,
            profile=PROFILE,
        )
        act(operator)
    return noted


def body_of(exchange: Exchange):
    return json.loads(exchange.reply.partition("\n\n")[2])


def test_reading_is_kept_without_the_person_that_stands_beside_it(tmp_path):
    row = {
        "iccid": SIM.iccid,
        "tel": SIM.msisdn,
        "services": [{"kind": "data", "status": {"name": "on", "by": "Анна"}, "fee": 100}],
        "block": [{"why": "client", "who": "Анна"}],
    }

    [exchange] = heard(
        tmp_path,
        says({"data": {"sims": [row | PERSON]}, "person": PERSON}),
        f"GET /sims/{SIM.iccid}",
        lambda operator: operator.read_state(sim=SIM),
    )

    shown = {
        "iccid": f"…{SIM.iccid[-4:]}",
        "tel": f"…{SIM.msisdn[-4:]}",
        "services": [{"kind": "data", "status": {"name": "on", "by": "•••"}, "fee": "•••"}],
        "block": [{"why": "client", "who": "•••"}],
    }
    assert body_of(exchange) == {"data": {"sims": [shown | HIDDEN]}, "person": HIDDEN}


def test_refusal_is_kept_with_its_code_text_and_pause(tmp_path):
    answer = {"error": {"code": "BUSY", "text": "позже", "wait": 7, "user": "Анна"}, "trace": "9f"}

    [exchange] = heard(
        tmp_path,
        says(answer, 429),
        f"POST /sims/{SIM.iccid}/on",
        lambda operator: submit(operator, Action.ACTIVATE),
    )

    assert body_of(exchange) == {
        "error": {"code": "BUSY", "text": "позже", "wait": 7, "user": "•••"},
        "trace": "•••",
    }


def test_places_are_the_names_on_the_way_to_what_is_read():
    keyed = {
        "rows": "data",
        "iccid": "@key",
        "state": "@value",
    }
    profile = load(
        {**PROFILE, "calls": {**PROFILE["calls"], "read": {"path": "/s", "answer": keyed}}}
    )

    assert places_of(profile) == {
        ("data", "*"),
        ("result",),
        ("operation", "href"),
        ("error", "code"),
        ("error", "text"),
        ("error", "wait"),
    }


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("", ""),
        ("<html>Иванова</html>", "••• не JSON, знаков: 20"),
        (
            "<!DOCTYPE html><html><title> 503 Unavailable </title>Иванова</html>",
            "••• не JSON, знаков: 67, страница «503 Unavailable»",
        ),
        ("\ufeff[1, true]", '["•••", true]'),
        ("[" * 100_000, "••• не JSON, знаков: 100000"),
        ('{"state": {"deep": "Анна"}}', '{"state": {"deep": "•••"}}'),
        ('{"state": "{торн"}', '{"state": "•••"}'),
        ('{"state": ["on", "off"]}', '{"state": ["on", "off"]}'),
        ('{"token": "abc", "owner": {"name": "Анна"}}', '{"token": "•••", "owner": {"name": "•••"}}'),
        ('{"block": {"name": "Долг"}}', '{"block": {"name": "Долг"}}'),
        # What a pair is called says whose its value is.
        ('{"fact": {"name": "fio", "value": "Анна"}}', '{"fact": {"name": "•••", "value": "•••"}}'),
        ('{"fact": {"name": "tel", "value": "7"}}', '{"fact": {"name": "•••", "value": "7"}}'),
        (json.dumps([0] * 52), json.dumps(["•••"] * 50 + ["… ещё 2"], ensure_ascii=False)),
    ],
)  # fmt: skip
def test_only_the_allowed_places_stay(text, left):
    places = {("state",), ("token",), ("owner", "name"), ("block", "name"), ("fact", "value")}

    assert kept(text, Shown(frozenset(filter(may_be_shown, places))), lambda value: value) == left


def test_login_is_kept_with_its_status_and_says_why_no_more(tmp_path):
    login = {
        "kind": "token_call",
        "url": "/login",
        "body": {"kind": "json", "template": {"l": "{username}", "p": "{password}"}},
        "token": "session.token",
        "place": {"in": "header", "name": "X-Session"},
    }
    noted: list[Exchange] = []
    with standing(tmp_path, {"POST /login": says({"session": {"token": "t"}}, 201)}) as (url, _):
        operator = registry.make(
            account="test-log",
            adapter="declared",
            base_url=url,
            credentials={"username": "anna", "password": "s3cret"},
            tokens=MemoryTokens(),
            on_exchange=noted.append,
            profile=PROFILE | {"login": login},
        )
        operator.ping()

    assert [one.reply for one in noted] == ["HTTP 201\n\nОтвет входа не сохраняется."]
