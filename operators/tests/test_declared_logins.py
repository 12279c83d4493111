"""How an operator knows us by a profile, and answers of success that need care."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from operators import registry
from operators.adapters.declared import Declared
from operators.ports import (
    Action,
    CallKind,
    Connection,
    ErrorClass,
    Field,
    LostReply,
    NotSent,
    Rejected,
    Reply,
    Unavailable,
    Unknown,
)
from operators.tests.bench import SIM, MemoryTokens, submit
from operators.tests.described import SMALL

AT = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)


# --- logins -----------------------------------------------------------------------------------------


@dataclass
class NotingDoor:
    """Answers with what it was given, and keeps what it was asked."""

    answers: list[Reply | Exception]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def request(self, method: str, url: str, *, kind: CallKind, **parts: Any) -> Reply:
        filled = {name: part for name, part in parts.items() if part}
        self.asked.append({"method": method, "url": url, **filled})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(body: Any, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, json.dumps(body).encode())


ON = answer({"iccid": SIM.iccid, "state": "on"})
BASE = "https://api.example.com/v1"


def operator(
    login: dict[str, Any], keys: dict[str, str], *answers: Reply | Exception, **more: Any
) -> tuple[Declared, NotingDoor]:
    door = NotingDoor(list(answers))
    profile = SMALL | {"login": login} | more
    return Declared(Connection("d", BASE, keys, door, MemoryTokens(), profile)), door


def sent(door: NotingDoor) -> dict[str, Any]:
    """The last request, without what all have."""
    asked = dict(door.asked[-1])
    assert (asked.pop("method"), asked.pop("url")) == ("POST", f"{BASE}/sims/{SIM.iccid}/on")
    headers = {name: text for name, text in asked.pop("headers").items() if name != "Accept"}
    return asked | ({"headers": headers} if headers else {})


@pytest.mark.parametrize(
    ("login", "keys", "expected"),
    [
        ({"kind": "none"}, {}, {}),
        ({"kind": "basic"}, {"username": "u", "password": "p"}, {"auth": ("u", "p")}),
        ({"kind": "bearer"}, {"token": "t"}, {"headers": {"Authorization": "Bearer t"}}),
        (
            {"kind": "key", "place": {"in": "header", "name": "X-Key", "prefix": "Token "}},
            {"api_key": "k"},
            {"headers": {"X-Key": "Token k"}},
        ),
        (
            {"kind": "key", "place": {"in": "query", "name": "authToken"}},
            {"api_key": "k&x=1"},
            {"params": {"authToken": "k&x=1"}},
        ),
        (
            {"kind": "key", "place": {"in": "cookie", "name": "token"}},
            {"api_key": "k; admin=1\r\nX: y"},
            {"headers": {"Cookie": "token=k%3B%20admin=1%0D%0AX:%20y"}},
        ),
    ],
)
def test_fixed_keys_go_where_they_belong(login, keys, expected):
    adapter, door = operator(login, keys, ON)

    submit(adapter, Action.ACTIVATE)

    assert sent(door) == expected


@pytest.mark.parametrize(
    ("login", "keys", "expected"),
    [
        (
            {"kind": "oauth2_client_credentials", "url": "/token"},
            {"client_id": "i", "client_secret": "s"},
            {"url": f"{BASE}/token", "auth": ("i", "s"), "data": {"grant_type": "client_credentials"}},
        ),
        (
            {
                "kind": "oauth2_client_credentials",
                "url": "https://id.example.com/t",
                "client_auth": "body",
                "extra": {"scope": "sim"},
            },
            {"client_id": "i", "client_secret": "s"},
            {
                "url": "https://id.example.com/t",
                "data": {
                    "grant_type": "client_credentials",
                    "client_id": "i",
                    "client_secret": "s",
                    "scope": "sim",
                },
            },
        ),
        (
            {"kind": "oauth2_password", "url": "/token", "client_auth": "none", "body": "json"},
            {"username": "u", "password": "p"},
            {
                "url": f"{BASE}/token",
                "json": {"grant_type": "password", "username": "u", "password": "p"},
            },
        ),
        (
            {
                "kind": "token_call",
                "method": "GET",
                "url": "/tokens/get",
                "query": {"login": "{username}", "password": "{password}"},
                "token": "access_token",
                "place": {"in": "header", "name": "Authorization", "prefix": "Bearer "},
            },
            {"username": "u", "password": "p"},
            {
                "method": "GET",
                "url": f"{BASE}/tokens/get",
                "params": {"login": "u", "password": "p"},
            },
        ),
    ],
)  # fmt: skip
def test_token_is_fetched_once_and_used(login, keys, expected):
    token = answer({"access_token": "t-1", "expires_in": "3600"})
    adapter, door = operator(login, keys, token, ON, ON)

    submit(adapter, Action.ACTIVATE)
    submit(adapter, Action.ACTIVATE)

    asked = door.asked[0]
    common = {"method": "POST", "headers": {"Accept": "application/json"}, "private": True}
    assert asked == common | expected
    assert len(door.asked) == 3
    assert sent(door) == {"headers": {"Authorization": "Bearer t-1"}}


def test_token_is_found_and_placed_as_described():
    login = {
        "kind": "token_call",
        "url": "/auth",
        "token": "data.session['auth.token']",
        "place": {"in": "query", "name": "authToken"},
    }
    token = answer({"data": {"session": {"auth.token": "t-9"}}})
    adapter, door = operator(login, {"username": "u", "password": "p"}, token, ON)

    submit(adapter, Action.ACTIVATE)

    assert sent(door) == {"params": {"authToken": "t-9"}}


def test_refusal_by_a_code_asks_for_a_new_token():
    login = {
        "kind": "oauth2_client_credentials",
        "url": "/token",
        "stale": {"statuses": [], "codes": ["TOKEN_OLD"]},
    }
    keys = {"client_id": "i", "client_secret": "s"}
    tokens = [answer({"access_token": name}) for name in ("t-1", "t-2")]
    old = answer({"error": "token_old"})
    adapter, door = operator(login, keys, tokens[0], old, tokens[1], ON, errors={"code": "error"})

    submit(adapter, Action.ACTIVATE)

    assert len(door.asked) == 4
    assert sent(door) == {"headers": {"Authorization": "Bearer t-2"}}


def test_another_refusal_is_worth_no_new_token():
    login = {"kind": "oauth2_client_credentials", "url": "/token"}
    keys = {"client_id": "i", "client_secret": "s"}
    adapter, door = operator(login, keys, answer({"access_token": "t"}), answer({}, 403))

    result = submit(adapter, Action.ACTIVATE)

    assert result == Rejected(ErrorClass.FORBIDDEN, "403", "оператор ответил 403")
    assert len(door.asked) == 2


LOGIN = {"kind": "oauth2_client_credentials", "url": "/token"}


@pytest.mark.parametrize(
    ("said", "error", "code"),
    [
        (answer({}, 401), ErrorClass.AUTH, "401"),
        (answer({}, 422), ErrorClass.AUTH, "422"),
        (answer({}, 404), ErrorClass.CONFIGURATION, "404"),
        (answer({}, 302), ErrorClass.CONFIGURATION, "302"),
        (answer({}, 500), ErrorClass.TRANSIENT, "500"),
        (answer({}, 429), ErrorClass.RATE_LIMITED, "429"),
        (answer({}), ErrorClass.TRANSIENT, "no_token"),
        (Reply(200, {}, b"<html>"), ErrorClass.TRANSIENT, "no_token"),
        (LostReply("обрыв"), ErrorClass.TRANSIENT, "lost_reply"),
        (NotSent("нет адреса", "dns"), ErrorClass.TRANSIENT, "not_sent_dns"),
    ],
)
def test_login_that_fails_means_not_sent(said, error, code):
    adapter, door = operator(LOGIN, {"client_id": "i", "client_secret": "s"}, said)

    result = submit(adapter, Action.ACTIVATE)

    assert isinstance(result, Rejected)
    assert (result.error, result.code, len(door.asked)) == (error, code, 1)


def test_account_without_keys_is_not_configured():
    adapter, door = operator(LOGIN, {"client_id": "i"})

    result = submit(adapter, Action.ACTIVATE)

    assert result == Rejected(ErrorClass.CONFIGURATION, "no_keys", "не заданы ключи договора")
    assert door.asked == []


def test_staff_are_asked_for_what_the_login_needs():
    own = [{"name": "dashboard", "label": "Панель", "secret": False}]
    login = {
        "kind": "oauth2_password",
        "url": "/oauth/token",
        "client_auth": "body",
        "body": "json",
    }

    fields = registry.capabilities("declared", SMALL | {"login": login, "fields": own}).credentials

    assert fields == (
        Field("username", "Имя пользователя", secret=False),
        Field("password", "Пароль"),
        Field("client_id", "Client ID", secret=False),
        Field("client_secret", "Client Secret"),
        Field("dashboard", "Панель", secret=False),
    )


# --- answers of success that need care ---------------------------------------------------------------


@contextmanager
def _switching(success: dict[str, str], said: Reply, **more: Any) -> Iterator[Declared]:
    call = SMALL["calls"]["activate"] | {"success": success, "answer": more.pop("answer", {})}
    calls = {"activate": call, "deactivate": call} | more.pop("calls", {})
    yield operator({"kind": "none"}, {}, said, calls=calls, **more)[0]


RESULTS = {"words": {"OK": "done", "true": "done", "WAS": "already", "NO": "failed", "1": "failed"}}


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ({"done": "ok"}, "Applied('ok')"),
        ({"done": True}, "Applied('true')"),
        ({"done": "WAS"}, "Already('WAS')"),
        ({"done": False}, "Unknown"),
        ({"done": 1, "why": "E202"}, "Rejected(held_by_operator, 'E202')"),
        ({"done": "NO", "why": "E9"}, "Rejected(invalid, 'E9')"),
        ({"done": "NO", "why": "E5"}, "Unknown"),
        ({}, "Unknown"),
        ([], "Unknown"),
    ],
)
def test_word_of_a_result_decides(body, result):
    errors = {"codes": {"E202": "held_by_operator", "E5": "transient"}}
    where = {"result": "done", "code": "why"}
    with _switching(
        {"200": "result"}, answer(body), answer=where, results=RESULTS, errors=errors
    ) as adapter:
        given = submit(adapter, Action.ACTIVATE)

    shown = {
        Rejected: lambda: f"Rejected({given.error}, {given.code!r})",
        Unknown: lambda: "Unknown",
    }.get(type(given), lambda: f"{type(given).__name__}({given.raw!r})")()
    assert shown == result


@pytest.mark.parametrize(
    ("said", "applied"),
    [
        (Reply(204, {}, b""), True),
        (Reply(204, {}, b"{}"), True),
        (Reply(204, {}, b"<html>Login</html>"), False),
    ],
)
def test_status_alone_is_believed_but_a_page_is_not(said, applied):
    with _switching({"204": "status"}, said) as adapter:
        result = submit(adapter, Action.ACTIVATE)

    assert isinstance(result, Unknown) is not applied


def test_success_word_among_error_codes_is_fine():
    errors = {"code": "meta.code", "fine": ["20000"], "codes": {"20005": "not_found"}}
    with _switching({"200": "status"}, answer({"meta": {"code": 20000}}), errors=errors) as adapter:
        good = submit(adapter, Action.ACTIVATE)
    with _switching({"200": "status"}, answer({"meta": {"code": 20005}}), errors=errors) as adapter:
        bad = submit(adapter, Action.ACTIVATE)

    assert type(good).__name__ == "Applied"
    assert bad == Rejected(ErrorClass.NOT_FOUND, "20005", "оператор ответил 200")


def test_lost_answer_is_an_unknown_outcome():
    adapter, _ = operator({"kind": "none"}, {}, LostReply("оператор не успел ответить"))

    assert submit(adapter, Action.ACTIVATE) == Unknown("оператор не успел ответить")


def test_search_by_card_is_in_no_profile():
    adapter, _ = operator({"kind": "none"}, {})

    with pytest.raises(Unavailable) as refused:
        adapter.check_by_sim(sim=SIM, action=Action.ACTIVATE, submitted_at=AT, at=AT)

    assert refused.value.error is ErrorClass.UNSUPPORTED
