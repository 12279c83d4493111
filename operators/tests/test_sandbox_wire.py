"""The played operators towards a client that our adapters are not: wrong words, old keys, odd questions."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cabinet.clock import now
from cabinet.sandbox.http import Request
from operators.ports import (
    Action,
    CheckState,
    ErrorClass,
    Rejected,
    Sim,
    SimState,
    Unavailable,
)
from operators.sandbox import herald, mts
from operators.sandbox.part import make as make_part
from operators.tests import beeline, control_center
from operators.tests.bench import (
    SIM,
    STRANGER,
    Bench,
    accepted,
    checked,
    own_clock,
    running,
    submit,
)
from operators.tests.described import Handler, says, standing

__all__ = ["own_clock"]

KEYS: dict[str, dict[str, str]] = {
    "mts": {"key": "demo-key", "secret": "demo-secret"},
    "beeline": beeline.KEYS,
    "tmf640": {"token": "demo-partner-token"},
    "control_center": control_center.KEYS,
}
PARTNER = {"Authorization": "Bearer demo-partner-token"}
CONTROL_CENTER = {"Authorization": "Basic ZGVtby11c2VyOmRlbW8tYXBpLWtleQ=="}


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, own_clock: None) -> Iterator[Bench]:
    """One operator of a sandbox: the test's parameter."""
    code = request.param
    with running(code, KEYS[code], tmp_path / "sandbox.json") as bench:
        yield bench


def played(code: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bench", [code], indirect=True)


def said(
    bench: Bench, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Status and text of an answer; a body that is no text goes as JSON."""
    return said_by(f"{bench.url}/operators/{bench.code}{path}", method, body, headers)


def said_by(
    url: str, method: str, body: Any, headers: Mapping[str, str] | None = None
) -> tuple[int, str]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310
        url, data=None if body is None else data, method=method, headers=dict(headers or {})
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


# --- МТС ------------------------------------------------------------------------------------------


def logged_in(bench: Bench) -> dict[str, str]:
    """Headers of a client of МТС that has just logged in."""
    _, body = said(
        bench,
        "POST",
        "/token",
        b"grant_type=client_credentials",
        {"Authorization": "Basic ZGVtby1rZXk6ZGVtby1zZWNyZXQ="},
    )
    return {"Authorization": f"Bearer {json.loads(body)['access_token']}"}


@played("mts")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/Product/ModifyProduct", {}),
        ("/Product/ModifyProduct", {"item": [{"action": "sing", "product": {"externalID": "BL0005"}}]}),
        ("/Product/ModifyProduct", {"item": [{"action": "create", "product": {"externalID": "X"}}]}),
        ("/Product/CheckRequestStatus", {}),
        ("/Product/CheckRequestStatus", {"validFor": {"startDateTime": "soon", "endDateTime": "x"}}),
    ],
)  # fmt: skip
def test_mts_refuses_what_it_cannot_read(bench, path, body):
    status, text = said(bench, "POST", f"/b2b/v1{path}", body, logged_in(bench))

    assert (status, json.loads(text)["errorCode"]) == (400, "1100")


@played("mts")
@pytest.mark.parametrize("life", [3600, 0])
def test_mts_gives_tokens_that_end(bench, monkeypatch, life):
    monkeypatch.setattr(mts, "_TOKEN_SECONDS", life)

    status, text = said(bench, "GET", "/b2b/v1/Service/HierarchyStructure", None, logged_in(bench))

    shown = json.loads(text)
    assert (status, shown if life == 0 else shown[0]["hasMore"]) == (
        (401, {"errorCode": "1013", "errorMessage": "Срок действия токена истёк"})
        if life == 0
        else (200, False)
    )


@played("mts")
def test_mts_knows_neither_a_retired_number_nor_a_strange_one(bench):
    bench.put(state="retired")

    gone = submit(bench.operator(), Action.DEACTIVATE)
    with pytest.raises(Unavailable) as strange:
        bench.operator().read_identity(sim=STRANGER)

    assert isinstance(gone, Rejected)
    assert (gone.code, gone.error) == ("1014", ErrorClass.FORBIDDEN)
    assert strange.value.code == "2005"


@played("mts")
def test_mts_tells_of_a_service_among_blocks(bench):
    bench.fault("read", "wrong_id")

    assert bench.operator().read_state(sim=SIM).state is SimState.UNKNOWN


@pytest.mark.parametrize("bench", ["mts", "beeline"], indirect=True)
def test_number_of_nobody_s_request_is_lost_where_there_is_no_other_card(bench):
    bench.limits(delay_seconds=60)
    bench.fault("submit", "wrong_id")
    operator, at = bench.operator(), now()

    taken = accepted(operator, Action.DEACTIVATE)

    assert checked(operator, taken.request_id, at).state is CheckState.LOST


@pytest.mark.parametrize("bench", ["mts", "beeline"], indirect=True)
def test_token_that_the_operator_forgot_at_once_is_given_up(bench):
    bench.fault("auth", "wrong_id", times=2)

    result = submit(bench.operator(), Action.DEACTIVATE)

    assert isinstance(result, Rejected)
    assert result.error is ErrorClass.AUTH
    assert bench.state()["calls"]["auth"] == 2


# --- Билайн ---------------------------------------------------------------------------------------


def soap(
    bench: Bench,
    operation: str,
    content: str = "",
    *,
    action: str = "",
    service: str = "Subscriber",
) -> tuple[int, str]:
    body = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        f'<n:{operation} xmlns:n="urn:uss-wsapi:{service}">{content}</n:{operation}>'
        "</e:Body></e:Envelope>"
    )
    named = action or f'"urn:uss-wsapi:{service}:{service}Interface:{operation}Request"'
    return said(bench, "POST", f"/{service}Service", body.encode(), {"SOAPAction": named})


def token(bench: Bench) -> str:
    _, text = soap(
        bench,
        "auth",
        "<login>demo-login</login><password>demo-password</password>",
        service="Auth",
    )
    return text.partition("<return>")[2].partition("</return>")[0]


@played("beeline")
@pytest.mark.parametrize(
    ("operation", "content", "words"),
    [
        ("getCTNInfoList", "", "INVALID_QUERY_PARAM"),
        ("getCTNInfoList", "<token>{token}</token><ban>мой</ban>", "INVALID_QUERY_PARAM"),
        ("getRequestList", "<token>{token}</token><login>demo-login</login><page>x</page>",
         "INVALID_QUERY_PARAM"),
        ("getRequestList", "<token>{token}</token><login>other</login><page>1</page>", "FORBIDDEN"),
        ("suspendCTN", "<token>{token}</token><actvDate>soon</actvDate>", "INVALID_QUERY_PARAM"),
        ("suspendCTN", "<token>{token}</token><actvDate>2026-11-20T00:00:00.0</actvDate>",
         "INVALID_QUERY_PARAM"),
        ("danceCTN", "<token>{token}</token>", "No such operation: danceCTN"),
    ],
)  # fmt: skip
def test_beeline_refuses_what_it_cannot_answer(bench, operation, content, words):
    status, text = soap(bench, operation, content.format(token=token(bench)))

    assert status == 500
    assert words in text


@played("beeline")
def test_beeline_refuses_what_is_no_call(bench):
    no_xml = said(bench, "POST", "/SubscriberService", b"{}", {"SOAPAction": '"x"'})
    other = soap(bench, "getCTNInfoList", action='"other"')

    assert [status for status, _ in (no_xml, other)] == [500, 500]
    assert "The body is no XML" in no_xml[1]
    assert "Body and SOAPAction name no operation" in other[1]


@played("beeline")
def test_beeline_numbers_a_waiting_request_and_leaves_older_effects_their_own(bench):
    operator = bench.operator()
    first = accepted(operator, Action.DEACTIVATE).request_id
    bench.limits(delay_seconds=600)

    second = accepted(operator, Action.ACTIVATE).request_id

    assert int(second) == int(first) + 1
    assert [effect["request_id"] for effect in bench.state()["effects"]] == [first]


# --- TMF640 ---------------------------------------------------------------------------------------


@played("tmf640")
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/service/nobody", None, 404),
        ("PATCH", "/service/nobody", {"state": "active"}, 404),
        ("PATCH", "{own}", {"state": "asleep"}, 400),
        ("PATCH", "{own}", [], 400),
        ("POST", "/hub", [], 400),
        ("POST", "/hub", {"callback": "http://127.0.0.1:9/", "query": 5}, 400),
        ("GET", "{own}", None, 200),
    ],
)
def test_partner_answers_by_the_contract(bench, method, path, body, status):
    _, listed = said(bench, "GET", "/service?limit=1", None, PARTNER)
    own = f"/service/{json.loads(listed)[0]['id']}"

    assert said(bench, method, path.format(own=own), body, PARTNER)[0] == status


@played("tmf640")
def test_partner_lets_only_its_own_unsubscribe(bench):
    assert said(bench, "DELETE", "/hub/h-1", None, {"Authorization": "Bearer x"})[0] == 401


def test_partner_that_forgot_its_own_token_is_given_up(tmp_path, own_clock):
    keys = {"client_id": "demo-client", "client_secret": "demo-client-secret"}
    with running("tmf640", keys, tmp_path / "sandbox.json") as bench:
        bench.fault("auth", "wrong_id", times=2)
        url = f"{bench.url}/operators/tmf640/token"

        result = submit(bench.operator(token_url=url), Action.DEACTIVATE)

    assert result == Rejected(ErrorClass.AUTH, "401", "The token is unknown or has expired")


# --- Control Center -------------------------------------------------------------------------------


@played("control_center")
@pytest.mark.parametrize("body", [{"status": "ASLEEP"}, [], {}])
def test_control_center_refuses_a_status_that_is_none(bench, body):
    path = f"/rws/api/v1/devices/{SIM.iccid}"

    status, text = said(bench, "PUT", path, body, CONTROL_CENTER)

    assert (status, json.loads(text)["errorCode"]) == (400, "10000023")


@played("control_center")
@pytest.mark.parametrize("sim", [STRANGER, Sim("89701010000000000023")])
def test_control_center_reads_no_card_of_another(bench, sim):
    with pytest.raises(Unavailable) as refused:
        bench.operator().read_state(sim=sim)

    assert refused.value.error is ErrorClass.NOT_FOUND


# --- the page's own calls, and what is kept ---------------------------------------------------------


@played("mts")
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/state/nobody/8970", None, 404),
        ("GET", "/limits/nobody", None, 404),
        ("POST", "/panel/state", b"operator=nobody&iccid=8970", 400),
        ("POST", "/panel/state", b"operator=mts&iccid=x", 400),
        ("POST", "/faults", {"operator": "mts", "kind": "slow", "seconds": "soon"}, 400),
    ],
)
def test_call_about_nobody_is_refused(bench, method, path, body, status):
    assert said_by(f"{bench.url}{path}", method, body)[0] == status


def test_operator_that_was_not_played_before_begins_anew():
    kept = make_part().dump()
    kept["operators"].pop("beeline")
    part = make_part()

    part.load(kept)

    assert set(part.dump()["operators"]) == {"mts", "beeline", "tmf640", "control_center"}


# --- events ---------------------------------------------------------------------------------------


@contextmanager
def hearing(tmp_path: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a subscriber, and the events it was sent; each is refused the first time."""
    heard: list[dict[str, Any]] = []
    told: set[str] = set()

    def take(request: Request) -> Any:
        event = request.json()
        if event["eventId"] not in told:
            told.add(event["eventId"])
            return says({}, 503)(request)
        heard.append(event)
        return says({})(request)

    handlers: dict[str, Handler] = {"POST /hook": take}
    (tmp_path / "hook").mkdir()
    with standing(tmp_path / "hook", handlers) as (url, _):
        yield f"{url}/hook", heard


def subscribed(bench: Bench, callback: str, query: str = "") -> None:
    status, _ = said(bench, "POST", "/hub", {"callback": callback, "query": query}, PARTNER)
    assert status == 201


def waited_for(heard: list[dict[str, Any]], count: int) -> list[str]:
    ends_at = time.monotonic() + 20
    while len(heard) < count and time.monotonic() < ends_at:
        time.sleep(0.05)
    return [event["eventType"] for event in heard]


@played("tmf640")
def test_subscriber_hears_only_what_it_asked_for_and_after_a_refusal_again(bench, tmp_path):
    with hearing(tmp_path) as (callback, heard):
        subscribed(bench, "http://127.0.0.1:1/gone")
        subscribed(bench, callback, "eventType=monitorStateChangeEvent")
        bench.limits(delay_seconds=0.5)

        accepted(bench.operator(), Action.DEACTIVATE)

        assert waited_for(heard, 1) == [herald.MONITOR_EVENT]
        assert heard[0]["correlationId"] == "k-1"


def test_subscription_outlives_a_restart(tmp_path, own_clock):
    file = tmp_path / "sandbox.json"
    with hearing(tmp_path) as (callback, heard):
        with running("tmf640", KEYS["tmf640"], file) as bench:
            subscribed(bench, callback)
        with running("tmf640", KEYS["tmf640"], file) as bench:
            bench.put(state="held", reason="debt")

            assert waited_for(heard, 1) == [herald.SERVICE_EVENT]

    assert heard[0]["event"]["service"]["reason"] == "debt"
