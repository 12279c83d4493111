"""What a description reads from an answer that staff copied out of a manual."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.admin.answer_preview import (
    AnswerPreview,
    FoundValue,
    parsed_reply,
    preview_answer,
    read_calls,
)
from operators.tests import public_vendors, vendors

CARD = "89880000000000000018"
DONE = "Готово: ответ называет эту карту в нужном состоянии."
READ_AT_ONCE = "Ответ сам ничего не доказывает: карта будет прочитана сразу."
GARBAGE = "Ответ оператора не разобрать; не найдено: answer.rows"
SORACOM_CARD = (
    f'{{"simId": "8988-1", "status": "active", "profiles": {{"p1": {{"iccid": "{CARD}"}}}}}}'
)
WHOLE = """HTTP/1.1 202 Accepted
Content-Type: application/json; charset=windows-1251
Location: https://api.example.com/monitor/44555
Retry-After: 20

{"state": "active"}"""


# Written by the guide alone for an invented manual: Basic with a constant name, a number of the operator's own,
# always 200 with `success`, states in between.
LINKS: dict[str, Any] = {
    "title": "Связка",
    "base_url": "https://api.links.example/1",
    "login": {"kind": "basic"},
    "calls": {
        "find": {
            "path": "/links",
            "query": {"sim": "{iccid}"},
            "answer": {"rows": "body.data", "iccid": "row.sim", "take": {"device": "row.deviceid"}},
        },
        "activate": {
            "method": "POST",
            "path": "/devices/state",
            "json": {"deviceids": ["{device:int}"], "state": "live"},
        },
        "deactivate": {
            "method": "POST",
            "path": "/devices/state",
            "json": {"deviceids": ["{device:int}"], "state": "pause"},
        },
        "read": {
            "path": "/links",
            "query": {"sim": "{iccid}"},
            "answer": {"rows": "body.data", "iccid": "row.sim", "state": "row.state"},
        },
    },
    "states": {
        "words": {
            "LIVE": "active",
            "PAUSED-USER": "inactive",
            "PAUSED-SYS": "held:limit",
            "PAUSE-PENDING": "pending",
            "DEAD": "retired",
        }
    },
    "errors": {"code": "body.success", "text": "body.error", "codes": {"false": "invalid"}},
}


def link(state: str) -> str:
    row = {"deviceid": 42, "sim": CARD, "state": state}
    return json.dumps({"success": True, "data": [row]})


def sentence(document: Any, call: str, text: str, status: int = 200) -> str:
    return preview_answer(document, call, parsed_reply(text, status=status)).sentence


@pytest.mark.parametrize(
    ("document", "call", "text", "status", "expected"),
    [
        (vendors.NCE, "activate", f'{{"iccid": "{CARD}", "status": "Enabled"}}', 200,
         DONE),
        (vendors.NCE, "deactivate", f'{{"iccid": "{CARD}", "status": "Enabled"}}', 200,
         READ_AT_ONCE),
        (vendors.NCE, "login", '{"access_token": "t", "expires_in": 60}', 200, "Вход даёт: access_token."),
        (vendors.NCE, "activate", '{"error_code": "7", "message": "Bad"}', 404,
         "Отказ 7, класс not_found: Bad; оператор ничего не сделал."),
        (vendors.NCE, "activate", "", 503,
         "Исход неизвестен (оператор ответил 503): карта будет прочитана после тихого времени."),
        (vendors.NCE, "read", "<html>", 200, "Это не JSON: из тела ответа ничего не прочитать."),
        (vendors.TELNYX, "activate", '{"data": {"id": "act-1"}}', 202,
         "Запрос принят, его номер act-1: об исходе спросит check."),
        (vendors.TELNYX, "check", '{"data": {"id": "a", "status": {"value": "completed"}}}', 200,
         "Запрос выполнен; перед «готово» карта ещё читается."),
        (vendors.TELNYX, "check", '{"data": {"id": "a", "status": {"value": "odd"}}}', 200,
         "Незнакомое состояние «odd»; запрос ещё выполняется, спросим снова."),
        (vendors.TELNYX, "check", '{"data": {"id": "a", "status": {"value": "failed", "reason": "No"}}}', 200,
         "Запрос не выполнен, класс invalid: No."),
        (vendors.TELNYX, "find", f'{{"data": [{{"id": "x-1", "iccid": "{CARD}"}}]}}', 200, "Взято {id} = x-1."),
        (vendors.TELNYX, "read", '{"data": []}', 200,
         "Оператор не знает эту смарт-карту."),
        (vendors.TELNYX, "read",
         f'{{"data": [{{"iccid": "{CARD}", "status": {{"value": "data_limit_exceeded"}}}}]}}', 200,
         f"Карта {CARD}: удерживает оператор, причина limit."),
        (vendors.TELNYX, "read", f'{{"data": [{{"iccid": "{CARD}", "status": {{"value": "odd"}}}}]}}', 200,
         f"Карта {CARD}: состояние «odd» неизвестно или промежуточное (states.words)."),
        (LINKS, "find", link("LIVE"), 200, "Взято {device} = 42."),
        (LINKS, "deactivate", '{"success": true, "data": {"42": "ok"}}', 200, READ_AT_ONCE),
        (LINKS, "deactivate", '{"success": false, "error": "Not live"}', 200,
         "Отказ false, класс invalid: Not live; оператор ничего не сделал."),
        (LINKS, "read", link("PAUSED-USER"), 200, f"Карта {CARD}: отключена, включить можно."),
        (LINKS, "read", link("PAUSED-SYS"), 200, f"Карта {CARD}: удерживает оператор, причина limit."),
        (public_vendors.SUPER_SIM, "activate", f'{{"iccid": "{CARD}", "status": "scheduled"}}', 202,
         "Оператор ещё переключает: карта будет прочитана по плану опроса."),
        (public_vendors.EMNIFY, "activate", "", 204,
         READ_AT_ONCE),
        (public_vendors.EMNIFY, "read", f'[{{"iccid": "{CARD[:-1]}", "status": {{"id": 2}}}}]', 200,
         f"Карта {CARD[:-1]}: отключена, включить можно."),
        (vendors.TMF640, "activate", WHOLE, 200, "Запрос принят, его номер 44555: об исходе спросит check."),
        (vendors.NEVA, "list_changes", f'{{"sims": [{{"iccid": "{CARD}", "status": "new"}}]}}', 200,
         f"Карты: {CARD}: новая; дальше: конец списка."),
        (vendors.TELNYX, "read", '{"errors": [{"code": "10009", "detail": "No"}]}', 401,
         "Отказ 10009, класс auth: No."),
        (vendors.TELNYX, "find", '{"meta": {}}', 200,
         f"{GARBAGE} (body.data), answer.iccid (row.iccid), answer.take (row.id)."),
        (public_vendors.HOLOGRAM, "find",
         f'{{"success": true, "data": [{{"id": 9, "sim": "{CARD}"}}]}}', 200, "Взято {id} = 9."),
        (public_vendors.HOLOGRAM, "activate", '{"success": true, "data": {"order": 5}}', 200, READ_AT_ONCE),
        (public_vendors.HOLOGRAM, "activate", '{"success": false, "error": "No"}', 200,
         "Исход неизвестен (No): карта будет прочитана после тихого времени."),
        (public_vendors.HOLOGRAM, "read", '{"success": false, "error": "No"}', 200,
         "Отказ false, класс unknown_outcome: No."),
        (public_vendors.SORACOM, "login", '{"apiKey": "a-1", "token": "t-1"}', 200, "Вход даёт: api_key, token."),
        (public_vendors.SORACOM, "find", f"[{SORACOM_CARD}]", 200, "Взято {sim_id} = 8988-1."),
        (public_vendors.SORACOM, "activate", SORACOM_CARD, 200, DONE),
        (public_vendors.SORACOM, "deactivate", SORACOM_CARD, 200, READ_AT_ONCE),
        (vendors.DVINA, "login.steps[1]", "{}", 401, "Отказ 401, класс auth: оператор ответил 401."),
    ],
)  # fmt: skip
def test_answer_is_told_as_it_would_be_taken(document, call, text, status, expected):
    assert sentence(document, call, text, status) == expected


def test_every_value_is_shown_with_its_place():
    text = f'{{"data": [{{"iccid": "{CARD}", "sim": {{"status": {{"value": "enabled"}}}}}}]}}'

    preview = preview_answer(vendors.TELNYX, "read", parsed_reply(text, status=200))

    row = f'{{"iccid": "{CARD}", "sim": {{"status": {{"value": "enabled"}}}}}}'
    assert preview == AnswerPreview(
        "Ответ оператора не разобрать; не найдено: answer.state (row.status.value).",
        (
            FoundValue("answer.rows", "body.data", row),
            FoundValue("answer.iccid", "row.iccid", CARD),
            FoundValue("answer.msisdn", "row.msisdn", ""),
            FoundValue("answer.state", "row.status.value", "", "есть row.sim.status.value"),
            FoundValue("answer.imei", "row.current_imei", ""),
        ),
    )


def test_calls_with_answers_are_the_described_ones():
    assert read_calls(vendors.TELNYX) == ["activate", "deactivate", "read", "find", "check"]
    assert read_calls(public_vendors.EMNIFY) == ["login", "activate", "deactivate", "read", "find"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["data", "iccid", "status", "value", "id", "errors", "code"]), inner),
    max_leaves=8,
)  # fmt: skip
PREVIEWED = [
    (document, call)
    for document in (
        vendors.NCE,
        vendors.TELNYX,
        vendors.TMF640,
        vendors.NEVA,
        vendors.ONEGA,
        vendors.DVINA,
    )
    for call in read_calls(document)
]


@given(described=st.sampled_from(PREVIEWED), body=json_values, status=st.integers(100, 599))
def test_no_answer_breaks_the_preview(described, body, status):
    shown = sentence(*described, json.dumps(body), status)

    assert shown.encode()
    assert shown.endswith(".")


@pytest.mark.parametrize(
    "text",
    ['{"data": {"status": {"value": "\\ud800"}, "id": "\\ud800"}}', "[" * 900 + "]" * 900,
     '{"data":' * 900 + "1" + "}" * 900,
     "[" * 100_000, "HTTP/1.1 200 OK", "HTTP/2 204\nDate: x\n\n", "HTTP/1.1 200 OK\n\n{", "\x0b", "1e999", "NaN"],
    ids=lambda text: text[:20],
)  # fmt: skip
@pytest.mark.parametrize("call", read_calls(vendors.TELNYX))
def test_odd_text_is_told_too(call, text):
    preview = preview_answer(vendors.TELNYX, call, parsed_reply(text, status=200))

    assert repr(preview).encode()
    assert preview.sentence.encode()
    assert [one.value.encode() for one in preview.values]
