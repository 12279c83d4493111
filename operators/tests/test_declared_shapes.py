"""Four shapes of foreign APIs, each played by a tiny server of invented data and spoken to by a profile.

A plain PUT that returns the new state (1NCE), numeric states and an empty answer (emnify), an action
to be polled (Telnyx), a form that is answered at once or later (Super SIM).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from cabinet.sandbox.http import Request, Response, json_response
from operators.ports import (
    Accepted,
    Action,
    Applied,
    BlockReason,
    Check,
    CheckState,
    ErrorClass,
    Operator,
    Reading,
    Rejected,
    SimState,
    Unavailable,
    Unknown,
)
from operators.tests.bench import SIM, submit
from operators.tests.described import EXAMPLES, Handler, document, played, says

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
BARE = SIM.iccid[:-1]


def check(operator: Operator, request_id: str) -> Check:
    return operator.check(request_id=request_id, sim=SIM, submitted_at=AT, at=AT)


# --- a plain PUT that returns the new state -------------------------------------------------------

PLAIN = document(EXAMPLES / "1nce-like.json")
PLAIN_KEYS = {"client_id": "c", "client_secret": "s"}
TOKEN = {"access_token": "t-1", "expires_in": 3600}


def plain_card(status: str) -> dict[str, Any]:
    return {"iccid": BARE, "iccid_with_luhn": SIM.iccid, "status": status, "msisdn": SIM.msisdn}


def plain(**changes: Handler) -> dict[str, Handler]:
    usual = {
        "token": says(TOKEN),
        "put": lambda request: json_response(plain_card(request.json()["status"])),
        "get": says(plain_card("Enabled")),
    }
    chosen = usual | changes
    return {
        "POST /oauth/token": chosen["token"],
        f"PUT /v2/sims/{BARE}": chosen["put"],
        f"GET /v2/sims/{BARE}": chosen["get"],
    }


def test_plain_put_is_done_where_the_answer_shows_the_state(tmp_path):
    with played(tmp_path, PLAIN, PLAIN_KEYS, plain()) as (operator, part):
        result = submit(operator, Action.DEACTIVATE)

    assert result == Applied("Disabled")
    login, switch = part.asked
    assert (login.json(), login.headers["authorization"]) == (
        {"grant_type": "client_credentials"},
        "Basic Yzpz",
    )
    assert switch.json() == {"iccid": BARE, "status": "Disabled"}
    assert switch.headers["authorization"] == "Bearer t-1"


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (
            says(plain_card("Enabled")),
            Unknown("оператор ответил «сделано», но состояние «Enabled»"),
        ),
        (says(plain_card("Odd")), Unknown("оператор ответил «сделано», но состояние «Odd»")),
        (
            says(plain_card("Disabled") | {"iccid": "8970"}),
            Unknown("в ответе оператора нет этой смарт-карты", code="wrong_id"),
        ),
        (says({}), Unknown("в ответе оператора нет этой смарт-карты", code="wrong_id")),
        (
            says({"error_code": "1201", "message": "SIM not found"}, 404),
            Rejected(ErrorClass.NOT_FOUND, "1201", "SIM not found"),
        ),
        (
            says({"error_code": "1", "message": "Boom"}, 500),
            Unknown("Boom", ErrorClass.TRANSIENT, "1"),
        ),
        (
            says({"error_code": "9", "message": "Not so fine"}),
            Unknown("Not so fine", ErrorClass.UNKNOWN_OUTCOME, "9"),
        ),
        (
            says(plain_card("Disabled"), 201),
            Unknown("оператор ответил 201", ErrorClass.UNKNOWN_OUTCOME, "201"),
        ),
        (
            says({}, 429, retry_after="7"),
            Rejected(ErrorClass.RATE_LIMITED, "429", "оператор ответил 429", 7.0),
        ),
        (
            says({}, 429),
            Rejected(ErrorClass.RATE_LIMITED, "429", "оператор ответил 429", 5.0),
        ),
        (
            says({}, 302, location="https://login.example.com/"),
            Unknown("оператор ответил 302", ErrorClass.CONFIGURATION, "302"),
        ),
    ],
)
def test_plain_put_proves_no_more_than_it_says(tmp_path, answer, result):
    with played(tmp_path, PLAIN, PLAIN_KEYS, plain(put=answer)) as (operator, _):
        assert submit(operator, Action.DEACTIVATE) == result


def test_plain_card_is_read_by_its_number_without_the_check_digit(tmp_path):
    with played(tmp_path, PLAIN, PLAIN_KEYS, plain()) as (operator, _):
        reading = operator.read_state(sim=SIM)

    assert reading == Reading(SimState.ACTIVE, raw="Enabled", msisdn=SIM.msisdn)


# --- numeric states, an empty answer, a token by a call of its own ---------------------------------

NUMERIC = {
    "title": "По образцу emnify",
    "fields": [{"name": "application_token", "label": "Ключ приложения"}],
    "login": {
        "kind": "token_call",
        "url": "/authenticate",
        "body": {"kind": "json", "template": {"application_token": "{application_token}"}},
        "token": "auth_token",
        "default_seconds": 600,
        "place": {"in": "cookie", "name": "session"},
    },
    "calls": {
        "find": {
            "path": "/sim",
            "query": {"q": "iccid:{iccid}"},
            "answer": {"rows": "", "iccid": "iccid", "id": "id"},
        },
        "activate": {
            "method": "PATCH",
            "path": "/sim/{id}",
            "body": {"kind": "json", "template": {"id": "{id}", "status": {"id": 1}}},
            "success": {"204": "read"},
        },
        "deactivate": {
            "method": "PATCH",
            "path": "/sim/{id}",
            "body": {"kind": "json", "template": {"id": "{id}", "status": {"id": 2}}},
            "success": {"204": "read"},
        },
        "read": {"path": "/sim/{id}", "answer": {"iccid": "iccid", "state": "status.id"}},
    },
    "states": {"words": {"0": "new", "1": "active", "2": "inactive", "3": "retired", "4": "new"}},
}
NUMERIC_KEYS = {"application_token": "app-secret"}


def numeric(state: dict[str, int], patched: Handler | None = None) -> dict[str, Handler]:
    def card(_request: Request) -> Response:
        return json_response({"id": 4711, "iccid": BARE, "status": {"id": state["id"]}})

    def patch(request: Request) -> Response:
        state["id"] = request.json()["status"]["id"]
        return Response(204)

    return {
        "POST /authenticate": says({"auth_token": "jwt=; x"}),
        "GET /sim": says([{"id": 1, "iccid": "8970"}, {"id": 4711, "iccid": BARE}]),
        "PATCH /sim/4711": patched or patch,
        "GET /sim/4711": card,
    }


def test_empty_answer_is_proven_by_a_read(tmp_path):
    with played(tmp_path, NUMERIC, NUMERIC_KEYS, numeric({"id": 1})) as (operator, part):
        result = submit(operator, Action.DEACTIVATE)

    assert result == Applied("2")
    assert part.paths() == [
        "POST /authenticate",
        "GET /sim",
        "PATCH /sim/4711",
        "GET /sim",
        "GET /sim/4711",
    ]
    assert part.asked[1].query == {"q": [f"iccid:{SIM.iccid}"]}
    # The number keeps the type it was found with, and the token cannot leave its cookie.
    assert part.asked[2].json() == {"id": 4711, "status": {"id": 2}}
    assert part.asked[2].headers["cookie"] == "session=jwt=%3B%20x"


def test_switch_that_does_not_show_is_asked_about_by_reading(tmp_path):
    state = {"id": 1}
    handlers = numeric(state, lambda _request: Response(204))
    with played(tmp_path, NUMERIC, NUMERIC_KEYS, handlers) as (operator, _):
        result = submit(operator, Action.DEACTIVATE, key="k-5")
        early = check(operator, "read:deactivate:k-5")
        state["id"] = 2
        late = check(operator, "read:deactivate:k-5")
        state["id"] = 3
        never = check(operator, "read:deactivate:k-5")

    assert result == Accepted("read:deactivate:k-5")
    assert (early, late) == (
        Check(CheckState.PENDING, "1"),
        Check(CheckState.COMPLETED, "2"),
    )
    assert (never.state, never.error) == (CheckState.FAILED, ErrorClass.INVALID)


def test_operator_without_checks_knows_no_request(tmp_path):
    with played(tmp_path, NUMERIC, NUMERIC_KEYS, numeric({"id": 1})) as (operator, _):
        assert check(operator, "77").state is CheckState.LOST


def test_login_is_the_ping_where_there_is_no_other(tmp_path):
    with played(tmp_path, NUMERIC, NUMERIC_KEYS, numeric({"id": 1})) as (operator, part):
        sentence = operator.ping()

    assert (sentence, part.paths()) == (
        "Оператор отвечает и выдаёт ключ доступа.",
        ["POST /authenticate"],
    )


# --- an action to be polled ------------------------------------------------------------------------

ACTIONS = document(EXAMPLES / "telnyx-like.json")
ACTION_ID = "a-77/../x"


def action(value: str, reason: str = "", *, number: str = ACTION_ID) -> dict[str, Any]:
    return {"data": {"id": number, "status": {"value": value, "reason": reason}}}


def actions(**changes: Handler) -> dict[str, Handler]:
    card = {"id": "s-1", "iccid": SIM.iccid, "status": {"value": "enabled", "reason": "x"}}
    usual = {
        "list": says({"data": [card]}),
        "act": says(action("in-progress"), 202),
        "ask": says(action("in-progress")),
    }
    chosen = usual | changes
    return {
        "GET /sim_cards": chosen["list"],
        "POST /sim_cards/s-1/actions/set_standby": chosen["act"],
        "GET /sim_card_actions/.+": chosen["ask"],
    }


def test_action_is_accepted_by_its_number(tmp_path):
    with played(tmp_path, ACTIONS, {"token": "key"}, actions()) as (operator, part):
        result = submit(operator, Action.DEACTIVATE)
        checked = check(operator, ACTION_ID)

    assert (result, checked) == (Accepted(ACTION_ID), Check(CheckState.PENDING, "in-progress"))
    # The number stays one segment of the path, whatever stands in it.
    assert part.paths()[-1] == f"GET /sim_card_actions/{ACTION_ID}"
    assert part.asked[0].query == {"filter[iccid]": [SIM.iccid]}
    assert {one.headers["authorization"] for one in part.asked} == {"Bearer key"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (action("completed"), Check(CheckState.COMPLETED, "completed")),
        (action("interrupted"), Check(CheckState.LOST, "interrupted")),
        (
            action("failed", "No such plan"),
            Check(CheckState.FAILED, "failed", "No such plan", ErrorClass.INVALID),
        ),
        (
            action("postponed"),
            Check(CheckState.PENDING, "postponed", "незнакомое состояние «postponed»"),
        ),
    ],
)
def test_action_ends_by_the_word_inside_its_status(tmp_path, answer, expected):
    with played(tmp_path, ACTIONS, {"token": "key"}, actions(ask=says(answer))) as (operator, _):
        assert check(operator, ACTION_ID) == expected


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (action("completed", number="a-78"), "wrong_id"),
        ({"data": {"id": ACTION_ID, "status": "completed"}}, "garbage"),
        ({"data": {"id": ACTION_ID}}, "garbage"),
    ],
)
def test_answer_without_the_word_or_about_another_action_teaches_nothing(tmp_path, answer, code):
    with (
        played(tmp_path, ACTIONS, {"token": "key"}, actions(ask=says(answer))) as (operator, _),
        pytest.raises(Unavailable) as refused,
    ):
        check(operator, ACTION_ID)

    assert refused.value.code == code


@pytest.mark.parametrize(
    "answer", [{"data": {}}, {}, [], {"data": {"id": "x" * 201}}, {"data": {"id": {"a": 1}}}]
)
def test_action_without_a_usable_number_is_an_unknown_outcome(tmp_path, answer):
    handlers = actions(act=says(answer, 202))
    with played(tmp_path, ACTIONS, {"token": "key"}, handlers) as (operator, _):
        result = submit(operator, Action.DEACTIVATE)

    assert result == Unknown("оператор принял запрос, но не дал его номера", code="no_id")


def test_unknown_action_is_lost(tmp_path):
    missing = says({"errors": [{"code": "10005", "title": "Not found"}]}, 404)
    with played(tmp_path, ACTIONS, {"token": "key"}, actions(ask=missing)) as (operator, _):
        assert check(operator, ACTION_ID) == Check(
            CheckState.LOST, "10005", "оператор не знает такого запроса"
        )


@pytest.mark.parametrize(
    ("listed", "error"),
    [
        ({"data": []}, ErrorClass.NOT_FOUND),
        ({"data": [{"id": "s-2", "iccid": "8970"}]}, ErrorClass.TRANSIENT),
        ({"data": {"id": "s-1"}}, ErrorClass.TRANSIENT),
        ({"data": [{"iccid": SIM.iccid}]}, ErrorClass.TRANSIENT),
        ({"data": [{"iccid": SIM.iccid, "id": ".."}]}, ErrorClass.INVALID),
    ],
)
def test_card_that_is_not_found_is_not_switched(tmp_path, listed, error):
    with played(tmp_path, ACTIONS, {"token": "k"}, actions(list=says(listed))) as (operator, part):
        result = submit(operator, Action.DEACTIVATE)

    assert isinstance(result, Rejected)
    assert (result.error, part.paths()) == (error, ["GET /sim_cards"])


@pytest.mark.parametrize(
    ("value", "state", "reason"),
    [
        ("enabled", SimState.ACTIVE, None),
        ("standby", SimState.INACTIVE, BlockReason.VOLUNTARY),
        ("data_limit_exceeded", SimState.HELD, BlockReason.LIMIT),
        ("unauthorized_imei", SimState.HELD, BlockReason.IMEI),
        ("enabling", SimState.UNKNOWN, None),
    ],
)
def test_words_of_a_state_carry_the_reason_of_a_block(tmp_path, value, state, reason):
    card = {"id": "s-1", "iccid": SIM.iccid, "status": {"value": value}}
    handlers = actions(list=says({"data": [card]}))
    with played(tmp_path, ACTIONS, {"token": "k"}, handlers) as (operator, _):
        assert operator.read_state(sim=SIM) == Reading(state, reason, raw=value)


# --- a form that is answered at once or later ------------------------------------------------------

FORM = {
    "title": "По образцу Super SIM",
    "key": "msisdn",
    "fields": [{"name": "fleet", "label": "Парк", "secret": False}],
    "login": {"kind": "key", "place": {"in": "query", "name": "api_key"}},
    "headers": {"X-Fleet": "{fleet}"},
    "calls": {
        "activate": {
            "method": "POST",
            "path": "/Sims/{msisdn10}",
            "body": {"kind": "form", "template": {"Status": "active", "Note": "{key}"}},
            "success": {"200": "state", "202": "read"},
            "answer": {"state": "status"},
        },
        "deactivate": {
            "method": "POST",
            "path": "/Sims/{msisdn10}",
            "body": {"kind": "form", "template": {"Status": "inactive", "Note": "{key}"}},
            "success": {"200": "state", "202": "read"},
            "answer": {"state": "status"},
        },
        "read": {
            "path": "/Sims/{msisdn10}",
            "answer": {"state": "status", "msisdn": "number", "reason": "block"},
        },
        "list_changes": {
            "path": "/Sims",
            "query": {"After": "{since_unix}", "PageToken": "{cursor}"},
            "answer": {
                "rows": "sims",
                "iccid": "iccid",
                "state": "status",
                "next": {"kind": "cursor", "path": "meta.next"},
            },
        },
    },
    "states": {
        "words": {"new": "new", "ready": "new", "active": "active", "inactive": "inactive"},
        "reasons": {"usage": "limit"},
    },
}
FORM_KEYS = {"api_key": "k&1", "fleet": "f-1"}
NUMBER = SIM.msisdn[-10:]


def form(post: Handler, card: Mapping[str, Any] | None = None) -> dict[str, Handler]:
    return {
        f"POST /Sims/{NUMBER}": post,
        f"GET /Sims/{NUMBER}": says(card or {"status": "inactive", "number": f"+{SIM.msisdn}"}),
    }


def test_form_answered_at_once_is_done(tmp_path):
    with played(tmp_path, FORM, FORM_KEYS, form(says({"status": "inactive"}))) as (operator, part):
        result = submit(operator, Action.DEACTIVATE, key="a&b=c")

    assert result == Applied("inactive")
    [asked] = part.asked
    assert asked.form() == {"Status": "inactive", "Note": "a&b=c"}
    assert (asked.query, asked.headers["x-fleet"]) == ({"api_key": ["k&1"]}, "f-1")


def test_form_answered_later_is_read(tmp_path):
    handlers = form(says({"status": "scheduled"}, 202))
    with played(tmp_path, FORM, FORM_KEYS, handlers) as (operator, _):
        off, on = (submit(operator, action, key="k") for action in reversed(Action))

    assert (off, on) == (Applied("inactive"), Accepted("read:activate:k"))


def test_transitional_state_in_the_answer_is_no_success(tmp_path):
    handlers = form(says({"status": "scheduled"}))
    with played(tmp_path, FORM, FORM_KEYS, handlers) as (operator, _):
        assert isinstance(submit(operator, Action.ACTIVATE), Unknown)


def test_card_without_a_number_is_not_asked_about(tmp_path):
    nameless = type(SIM)(SIM.iccid)
    with played(tmp_path, FORM, FORM_KEYS, {}) as (operator, part):
        result = submit(operator, Action.DEACTIVATE, nameless)

    assert result == Rejected(ErrorClass.INVALID, "no_msisdn10", "у смарт-карты не указан номер")
    assert part.asked == []


@pytest.mark.parametrize(
    ("block", "state", "reason"),
    [
        ("", SimState.INACTIVE, BlockReason.VOLUNTARY),
        ("usage", SimState.HELD, BlockReason.LIMIT),
        ("strange", SimState.HELD, BlockReason.UNKNOWN),
    ],
)
def test_reason_of_a_block_says_whose_it_is(tmp_path, block, state, reason):
    card = {"status": "inactive", "number": f"+{SIM.msisdn}", "block": block}
    with played(tmp_path, FORM, FORM_KEYS, form(says({}), card)) as (operator, _):
        reading = operator.read_state(sim=SIM)

    assert (reading.state, reading.reason, reading.msisdn) == (state, reason, SIM.msisdn)


def test_answer_about_another_number_is_not_read(tmp_path):
    card = {"status": "inactive", "number": "79991112233"}
    with (
        played(tmp_path, FORM, FORM_KEYS, form(says({}), card)) as (operator, _),
        pytest.raises(Unavailable) as refused,
    ):
        operator.read_state(sim=SIM)

    assert refused.value.code == "wrong_id"


def test_list_of_changes_goes_on_by_the_operator_s_word(tmp_path):
    def page(request: Request) -> Response:
        first = "PageToken" not in request.query
        rows = [{"iccid": "8970" if first else "8971", "status": "active"}]
        return json_response({"sims": rows, "meta": {"next": "p2" if first else None}})

    with played(tmp_path, FORM, FORM_KEYS, {"GET /Sims": page}) as (operator, part):
        first = operator.list_changes(since=AT, cursor="")
        second = operator.list_changes(since=AT, cursor=first.next_cursor or "")

    active = Reading(SimState.ACTIVE, raw="active")
    assert (first.items, first.next_cursor) == ((("8970", active),), "p2")
    assert (second.items, second.next_cursor) == ((("8971", active),), None)
    assert part.asked[0].query["After"] == [str(int(AT.timestamp()))]


def test_list_that_never_ends_is_given_up(tmp_path):
    stuck = says({"sims": [{"iccid": "8970", "status": "active"}], "meta": {"next": "p2"}})
    with (
        played(tmp_path, FORM, FORM_KEYS, {"GET /Sims": stuck}) as (operator, _),
        pytest.raises(Unavailable),
    ):
        operator.list_changes(since=AT, cursor="p2")


@pytest.mark.parametrize("question", ["list_changes", "ping"])
def test_call_that_is_not_described_is_unsupported(tmp_path, question):
    asked = {"list_changes": {"since": AT, "cursor": ""}, "ping": {}}[question]
    profile = {**FORM, "calls": {**FORM["calls"], "list_changes": None}}
    with (
        played(tmp_path, profile, FORM_KEYS, {}) as (operator, _),
        pytest.raises(Unavailable) as refused,
    ):
        getattr(operator, question)(**asked)

    assert refused.value.error is ErrorClass.UNSUPPORTED
