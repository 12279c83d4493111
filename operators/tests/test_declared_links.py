"""Links in answers: their parts, and operations and pages that are asked about by their address."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cabinet.sandbox.http import Request, Response, json_response
from operators.declared import links, outgoing, paths, sources, templates
from operators.declared.keys import Named, Where
from operators.declared.links import Own
from operators.declared.profile import CallName
from operators.declared.sources import Envelope, Part, Source
from operators.declared.validate import load
from operators.ports import (
    Accepted,
    Action,
    Changes,
    Check,
    CheckState,
    ErrorClass,
    Operator,
    Reading,
    SimState,
    Unavailable,
    Unknown,
)
from operators.tests.bench import SIM, submit
from operators.tests.described import (
    SEEN,
    played,
    problems,
    profile,
    says,
)

ICCID, BASE = SIM.iccid, "https://api.example.com/v1"
AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
READ = {"path": "/s", "answer": SEEN}
ON = says({"iccid": ICCID, "state": "on"})


# --- parts of links ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "followed"),
    [
        ("/ops/77/status", "/ops/77/status"),
        ("ops/77", "/v1/ops/77"),
        ("?job=77", "/v1/?job=77"),
        ("https://api.example.com/v1/status?job=77#top", "/v1/status?job=77"),
        ("HTTP://API.example.com:443/ops/7", "/ops/7"),
        ("http://api.example.com:80/ops/7", "/ops/7"),
        ("https://api.example.com", "/"),
        ("https://api.example.com//evil.example/x", "//evil.example/x"),
        ("//evil.example/ops/7", ""),
        ("https://evil.example/ops/7", ""),
        ("https://api.example.com.evil.example/", ""),
        ("https://api.example.com@evil.example/ops", ""),
        ("https://u:p@api.example.com/ops", ""),
        ("https://api.example.com:8443/ops", ""),
        ("https://api.example.com:port/ops", ""),
        ("https://[broken", ""),
        ("/ops?a=1&a=2", ""),
        ("  ", ""),
        ("", ""),
    ],
)
def test_link_is_followed_at_the_address_of_the_contract_only(link, followed):
    assert links.below(BASE, link) == followed


def test_followed_link_goes_to_the_contract_s_own_host():
    assert links.followed(BASE, "//evil.example/x?a=%2F&b=") == (
        "https://api.example.com//evil.example/x",
        {"a": "/", "b": ""},
    )
    assert links.followed(BASE, ".evil.example") is None
    assert links.followed(BASE, "//[") is None


LINKS = '<https://api.example.com/a?page=1>; rel="first prev", </b?page=3>; title="x"; rel=next'


@pytest.mark.parametrize(
    ("text", "said", "word"),
    [
        ("href:last", "/ops/77/?x=1", "77"),
        ("href:last", "/ops/a%20b", "a b"),
        ("href:[-2]", "/ops/77/status", "77"),
        ("href:[0]", "/ops/77/status", "ops"),
        ("href:[5]", "/ops/77/status", ""),
        ("href:query=job", "/status?job=7%2F7", "7/7"),
        ("href:query=job", "/status", ""),
        ("href:link", "/status?job=77", "/status?job=77"),
        ("href:link", "https://evil.example/status", ""),
        ("href:rel=next", LINKS, "/b?page=3"),
        ("href:rel=prev", LINKS, "/a?page=1"),
        ("href:rel=last", LINKS, ""),
        ("href", "/ops/77", "/ops/77"),
        ("href:last", "https://[broken", ""),
        ("href:query=a", "https://[broken", ""),
    ],
)
def test_part_of_a_link_may_be_taken(text, said, word):
    assert sources.parse(text).word({"href": said}, Envelope({}, BASE)) == word


def test_source_may_be_a_header():
    around = Envelope({"ETag": '"a/b"', "Location": "/ops/77"}, BASE)

    assert sources.parse("header:ETag") == Source(named=Named(Where.HEADER, "ETag"))
    assert sources.parse("header:ETag").value(None, around) == '"a/b"'
    assert sources.parse("header:Location", header=Part.SEGMENT).words(None, around) == ["77"]
    assert sources.parse("header:Location:link").words(None, around) == ["/ops/77"]
    assert Source().words({}, around) == []


PARTS = "last, link, [-2], query=имя, rel=имя"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("href:first", f"«href:first»: после двоеточия бывает {PARTS}"),
        ("href:query", f"«href:query»: после двоеточия бывает {PARTS}"),
        ("href:[x]", f"«href:[x]»: после двоеточия бывает {PARTS}"),
        (
            "header:",
            f"«header:»: после header: стоит имя заголовка, а за ним бывает «:» и {PARTS}",
        ),
        (
            "header:Location:end",
            f"«header:Location:end»: после header: стоит имя заголовка, а за ним бывает «:» и {PARTS}",
        ),
        ("a[", "путь «a[» не разобрать с места «[»"),
    ],
)
def test_source_that_cannot_be_read_says_what_there_is(text, sentence):
    with pytest.raises(paths.PathTrouble) as trouble:
        sources.parse(text)

    assert str(trouble.value) == sentence


# --- an operation that is asked about by its address -------------------------------------------------

FOLLOWED = profile(
    {"success": {"202": "request", "303": "request"}, "answer": {"request_id": "header:Location:link"}},
    calls={"check": {"path": "{request_id}", "query": {"full": "1"},
                     "answer": {"result": "percent", "request_id": "self:link"}}},
    results={"words": {"100": "done"}},
    login={"kind": "key", "place": {"in": "query", "name": "k"}},
)  # fmt: skip


@pytest.mark.parametrize("status", [202, 303])
def test_operation_is_followed_by_its_whole_address(tmp_path, status):
    status_of = says({"percent": 100, "self": "/ops/77/status?job=a%2Fb"})

    def taken_at(request: Request) -> Response:
        link = f"http://{request.headers['host']}/ops/77/status?job=a%2Fb"
        return Response(status, headers={"Location": link})

    handlers = {"POST /on": taken_at, "GET /ops/77/status": status_of}
    with played(tmp_path, FOLLOWED, {"api_key": "key-1"}, handlers) as (operator, part):
        taken = submit(operator, Action.ACTIVATE)
        check = asked(operator, "/ops/77/status?job=a%2Fb")

    assert taken == Accepted("/ops/77/status?job=a%2Fb")
    assert check == Check(CheckState.COMPLETED, "100")
    assert part.asked[1].query == {"job": ["a/b"], "full": ["1"], "k": ["key-1"]}


def asked(operator: Operator, request_id: str) -> Check:
    return operator.check(request_id=request_id, sim=SIM, submitted_at=AT, at=AT)


NO_LINK = (
    "оператор принял запрос, но не дал ссылки, по которой можно узнать исход: "
    "её нет, она длиннее 200 знаков или ведёт на чужой адрес"
)


@pytest.mark.parametrize(
    "location", ["https://evil.example/ops/77", "", f"/ops/{'7' * 200}", "http://["]
)
def test_operation_elsewhere_is_an_unknown_outcome_and_gets_no_keys(tmp_path, location):
    handlers = {"POST /on": says(None, 202, Location=location)}
    with played(tmp_path, FOLLOWED, {"api_key": "key-1"}, handlers) as (operator, part):
        result = submit(operator, Action.ACTIVATE)

    assert result == Unknown(NO_LINK, code="no_link")
    assert part.paths() == ["POST /on"]


def test_number_that_is_no_link_is_not_followed(tmp_path):
    with played(tmp_path, FOLLOWED, {"api_key": "key-1"}, {}) as (operator, part):
        check = asked(operator, ".evil.example/77")

    assert check == Check(CheckState.LOST, text="это не ссылка на запрос, а номер")
    assert part.asked == []


def test_operation_may_be_asked_about_at_a_link_of_the_search(tmp_path):
    find = {"path": "/find", "answer": {"iccid": "iccid", "take": {"jobs": "jobs:link"}}}
    check = {"path": "{jobs}", "query": {"id": "{request_id}"}, "answer": {"result": "percent"}}
    document = profile(
        {"success": {"202": "request"}, "answer": {"request_id": "id"}},
        calls={"find": find, "check": check},
        results={"words": {"100": "done"}},
    )
    handlers = {
        "GET /find": says({"iccid": ICCID, "jobs": "/jobs?of=1"}),
        "GET /jobs": says({"percent": 100}),
    }
    with played(tmp_path, document, {}, handlers) as (operator, part):
        check_ = asked(operator, "77")

    assert check_ == Check(CheckState.COMPLETED, "100")
    assert part.asked[1].query == {"of": ["1"], "id": ["77"]}


# --- what of a link is ours --------------------------------------------------------------------------

OWN = Own(frozenset({"api key", "sig"}), ("bot77/1", "app"), frozenset({"s3cr+t", "abc", ""}))


@pytest.mark.parametrize(
    ("link", "kept"),
    [
        ("/ops?job=7&api%20key=x&sig=y", "/ops?job=7"),
        ("/ops?api+key=x&api+key=y", "/ops"),
        ("/ops?job=a%2Fb&empty=&sig", "/ops?job=a%2Fb&empty="),
        ("/v1/bot77%2F1/app/ops/7", "/v1/ops/7"),
        ("/v1/app/bot77%2F1/ops/7", "/v1/bot77%2F1/ops/7"),
        ("/bot77%2F1/app/ops/7", "/bot77%2F1/app/ops/7"),
        ("/v1/bot77%2F1", "/v1/"),
        ("/ops?job=abc", "/ops?job=abc"),
        ("/ops?t=s3cr%2Bt", ""),
        ("/ops/s3cr+t/7", ""),
        ("/ops?next=%2Fs3cr+t", ""),
    ],
)
def test_link_is_kept_without_what_is_ours(link, kept):
    assert links.below(BASE, link, OWN) == kept


QUERY_KEY = {"kind": "key", "place": {"in": "query", "name": "k"}}
PATH_KEY = {"kind": "key", "place": {"in": "path", "prefix": "bot"}}
APP = [{"name": "app", "label": "Приложение"}]
TWO_KEYS = {"login": PATH_KEY | {"keys": [{"field": "app", "in": "path"}]}, "fields": APP}
SIGNED = {
    "kind": "basic",
    "sign": {"algorithm": "md5", "text": "{password}", "in": "query", "name": "sign"},
}
KEYS = {"api_key": "key-1234", "app": "app-1234", "username": "u", "password": "p-1234"}


@pytest.mark.parametrize(
    ("parts", "base", "link", "kept"),
    [
        ({"login": QUERY_KEY}, "", "/ops?job=7&k=key-1234", "/ops?job=7"),
        ({"login": PATH_KEY}, "/botkey-1234", "/botkey-1234/ops?job=7", "/ops?job=7"),
        (TWO_KEYS, "/app-1234/botkey-1234", "/app-1234/botkey-1234/ops?job=7", "/ops?job=7"),
        ({"login": SIGNED}, "", "/ops?job=7&sign=0", "/ops?job=7"),
    ],
)
def test_key_in_a_link_is_not_kept_and_goes_along_once(tmp_path, parts, base, link, kept):
    document = {**FOLLOWED, **parts}
    done = says({"percent": 100, "self": link})
    handlers = {f"POST {base}/on": says(None, 202, Location=link), f"GET {base}/ops": done}
    with played(tmp_path, document, KEYS, handlers) as (operator, part):
        taken = submit(operator, Action.ACTIVATE)
        check = asked(operator, kept)

    assert (taken, check) == (Accepted(kept), Check(CheckState.COMPLETED, "100"))
    sent = part.asked[1]
    assert sent.path == f"{base}/ops"
    assert sent.query["job"] == ["7"]
    assert sent.query.get("k", ["key-1234"]) == ["key-1234"]


TOKEN = {"kind": "token_call", "url": "/login", "token": "t",
         "place": {"in": "header", "name": "X-Token"}}  # fmt: skip


@pytest.mark.parametrize(
    ("login", "link"),
    [
        (QUERY_KEY, "/ops?job=7&api_key=key-1234"),
        (QUERY_KEY, "/key-1234/ops"),
        (TOKEN, "/ops?job=7&session=tok-1234"),
    ],
)
def test_link_with_a_secret_elsewhere_is_none(tmp_path, login, link):
    handlers = {
        "POST /login": says({"t": "tok-1234"}),
        "POST /on": says(None, 202, Location=link),
    }
    with played(tmp_path, {**FOLLOWED, "login": login}, KEYS, handlers) as (operator, _):
        assert submit(operator, Action.ACTIVATE) == Unknown(NO_LINK, code="no_link")


def test_taken_value_that_is_no_link_stops_the_call():
    call = load(
        profile(
            {"path": "{go}"}
            | {"prepare": {"path": "/s", "answer": {"iccid": "i", "take": {"go": "go:link"}}}}
        )
    )

    with pytest.raises(templates.Unfit) as refused:
        outgoing.request(BASE, call.calls[CallName.ACTIVATE], {"go": ".evil.example"})

    assert refused.value.name == "go"


@pytest.mark.parametrize(
    ("request_id", "link", "number"),
    [
        ("header:Location:[-2]", "/ops/77/status", "77"),
        ("header:Location:query=job", "/status?job=77", "77"),
        ("header:Location", "/v1/jobs/77", "77"),
    ],
)
def test_number_may_stand_anywhere_in_a_link(tmp_path, request_id, link, number):
    calls = {"check": {"path": "/ops/{request_id}", "answer": {"result": "percent"}}}
    switch = {"success": {"202": "request"}, "answer": {"request_id": request_id}}
    words = {"words": {"100": "done"}}
    with played(
        tmp_path,
        profile(switch, calls=calls, results=words),
        {},
        {"POST /on": says(None, 202, Location=link)},
    ) as (operator, _):
        assert submit(operator, Action.ACTIVATE) == Accepted(number)


def test_link_and_path_must_fit_together():
    answer = {"request_id": "header:Location:link"}
    check = {"path": "/ops/{request_id}", "answer": {"result": "r"}}
    words = {"words": {"1": "done"}}
    link = {"success": {"202": "request"}, "answer": answer}
    number = {"success": {"202": "request"}, "answer": {"request_id": "id"}}

    unused = problems(link, calls={"check": check}, results=words)
    missing = problems(number, calls={"check": check | {"path": "{request_id}"}}, results=words)
    card = problems({"path": "{iccid}"})
    good = problems(link, calls={"check": check | {"path": "{request_id}"}}, results=words)

    why = "не ссылка: путь целиком даёт только ссылка, взятая с «:link» или «:rel=…»; иначе путь начинается с «/»"
    assert unused == [
        "calls.check.path: calls.activate даёт ссылку: здесь нужно {request_id} целиком",
        "calls.check.path: calls.deactivate даёт ссылку: здесь нужно {request_id} целиком",
    ]
    assert missing == [f"calls.check.path: {{request_id}} — {why}"]
    assert card == [
        f"calls.activate.path: {{iccid}} — {why}",
        f"calls.deactivate.path: {{iccid}} — {why}",
    ]
    assert good == []


# --- pages of changes by their address ---------------------------------------------------------------


@pytest.mark.parametrize("where", ["header:Link:rel=next", "links.next:link"])
def test_next_page_is_followed_by_its_address(tmp_path, where):
    changed = {"path": "/changes", "query": {"from": "{since_ms}"}, "headers": {"X-Cursor": "x{since}"},
               "answer": {"rows": "items", **SEEN, "next": {"kind": "link", "path": where}}}  # fmt: skip
    rows = [{"iccid": ICCID, "state": "on"}]

    def page(request: Request) -> Response:
        if "page" in request.query:
            return json_response({"items": rows, "links": {}})
        link = "/changes?from=1&page=2"
        return json_response({"items": rows, "links": {"next": link}}, Link=f'<{link}>; rel="next"')

    document = profile({}, calls={"list_changes": changed})
    with played(tmp_path, document, {}, {"GET /changes": page}) as (operator, part):
        first = operator.list_changes(since=AT, cursor="")
        second = operator.list_changes(since=AT, cursor=first.next_cursor or "")

    items = ((ICCID, Reading(SimState.ACTIVE, raw="on")),)
    assert first == Changes(items, "/changes?from=1&page=2")
    assert second == Changes(items, None)
    assert [one.query for one in part.asked] == [
        {"from": [str(int(AT.timestamp() * 1000))]},
        {"from": ["1"], "page": ["2"]},
    ]


@pytest.mark.parametrize(
    ("where", "page"),
    [
        ("links.next:link", {"links": {"next": "https://evil.example/changes?page=2"}}),
        ("links.next:link", {"links": {"next": "/changes?id=1&id=2"}}),
        ("links.next:link", {"links": {"next": {"href": "/changes?page=2"}}}),
        ("links.next:link", {"links": {"next": "/changes?page=2&was=key-1234"}}),
        ("links.next:rel=next", {"links": {"next": "<//evil.example/>; rel=next"}}),
    ],
)
def test_next_page_that_cannot_be_followed_is_no_end(tmp_path, where, page):
    body = {"items": [{"iccid": ICCID, "state": "on"}], **page}
    with (
        played(tmp_path, changes_by(where), KEYS, {"GET /changes": says(body)}) as (operator, _),
        pytest.raises(Unavailable) as refused,
    ):
        operator.list_changes(since=AT, cursor="")

    assert (refused.value.error, refused.value.code) == (ErrorClass.TRANSIENT, "garbage")


@pytest.mark.parametrize(
    ("where", "page"),
    [
        ("links.next:link", {"links": {"next": None}}),
        ("links.next:link", {"links": {"next": " "}}),
        ("links.next:link", {"links": {"next": []}}),
        ("links.next:rel=next", {"links": {"next": "<//evil.example/>; rel=last"}}),
        ("header:Link:rel=next", {}),
    ],
)
def test_list_ends_where_there_is_no_next_page(tmp_path, where, page):
    body = {"items": [{"iccid": ICCID, "state": "on"}], **page}
    with played(tmp_path, changes_by(where), KEYS, {"GET /changes": says(body)}) as (operator, _):
        found = operator.list_changes(since=AT, cursor="")

    assert found == Changes(((ICCID, Reading(SimState.ACTIVE, raw="on")),), None)


def changes_by(where: str) -> dict[str, Any]:
    """A list of changes whose pages are named there."""
    answer = {"rows": "items", **SEEN, "next": {"kind": "link", "path": where}}
    changed = {"path": "/changes", "answer": answer}
    return profile({}, calls={"list_changes": changed}, login=QUERY_KEY)


@pytest.mark.parametrize(
    ("following", "problem"),
    [
        ({"kind": "link", "path": "links.next"}, True),
        ({"kind": "cursor", "path": "links.next:link"}, True),
        ({"kind": "link", "path": "links.next:link"}, False),
    ],
)
def test_kind_of_pages_and_what_is_taken_must_fit(following, problem):
    answer = {"rows": "items", **SEEN, "next": following}
    query = {"query": {"c": "{cursor}"}} if following["kind"] == "cursor" else {}

    told = problems({}, calls={"list_changes": {"path": "/c", "answer": answer, **query}})

    sentence = "со ссылкой на страницу нужно kind: link и «:link» или «:rel=next» в конце пути"
    assert told == ([f"calls.list_changes.answer.next.path: {sentence}"] if problem else [])
