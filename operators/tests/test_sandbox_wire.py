"""The sandbox operators against a client that our adapters are not: wrong values, old keys, odd requests."""

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
from cabinet.sandbox.server import ADVANCE_EVERY
from operators.demo import sims as demo_sims
from operators.ports import (
    Action,
    CheckState,
    ErrorClass,
    Rejected,
    Sim,
    SimState,
    Unavailable,
)
from operators.sandbox import event_sender, mts
from operators.sandbox.routes import OperatorsPart, make_demo
from operators.tests import beeline, control_center
from operators.tests.declarative_server import Handler, replies, serving_handlers
from operators.tests.sandbox_operator import (
    SIM,
    STRANGER,
    RunningOperator,
    accepted,
    checked,
    own_clock,
    running,
    serving_part,
    submit,
)

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
def bench(
    request: pytest.FixtureRequest, tmp_path: Path, own_clock: None
) -> Iterator[RunningOperator]:
    """One operator of a sandbox: the test's parameter."""
    code = request.param
    with running(code, KEYS[code], tmp_path / "sandbox.json") as bench:
        yield bench


def at_operator(code: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bench", [code], indirect=True)


def ask(
    bench: RunningOperator,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Status and text of an answer; a body that is no text goes as JSON."""
    return ask_url(f"{bench.url}/operators/{bench.code}{path}", method, body, headers)


def ask_url(
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


def logged_in(bench: RunningOperator) -> dict[str, str]:
    """Headers of a client of МТС that has just logged in."""
    _, body = ask(
        bench,
        "POST",
        "/token",
        b"grant_type=client_credentials",
        {"Authorization": "Basic ZGVtby1rZXk6ZGVtby1zZWNyZXQ="},
    )
    return {"Authorization": f"Bearer {json.loads(body)['access_token']}"}


@at_operator("mts")
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
    status, text = ask(bench, "POST", f"/b2b/v1{path}", body, logged_in(bench))

    assert status == 400
    assert json.loads(text)["errorCode"] == "1100"


@at_operator("mts")
def test_mts_answers_421_for_ever_about_one_number(bench):
    bench.put(STRANGER, state="active")
    bench.fault("", "no_service", times=None, iccid=SIM.iccid)

    answers = [
        ask(
            bench,
            "POST",
            f"/b2b/v1/Product/ModifyProduct?msisdn={sim.msisdn}",
            {},
            logged_in(bench),
        )
        for sim in (SIM, SIM, STRANGER)
    ]

    refusal = {"errorCode": "3003", "errorMessage": "Биллинг временно недоступен"}
    assert [status for status, _ in answers] == [421, 421, 400]
    assert json.loads(answers[0][1]) == refusal
    assert [fault["iccid"] for fault in bench.call("GET", "/faults")["faults"]] == [SIM.iccid]


@at_operator("mts")
@pytest.mark.parametrize("life", [3600, 0])
def test_mts_token_expires(bench, monkeypatch, life):
    monkeypatch.setattr(mts, "_TOKEN_SECONDS", life)

    status, text = ask(bench, "GET", "/b2b/v1/Service/HierarchyStructure", None, logged_in(bench))

    shown = json.loads(text)
    if life == 0:
        assert status == 401
        assert shown == {"errorCode": "1013", "errorMessage": "Срок действия токена истёк"}
    else:
        assert status == 200
        assert shown[0]["hasMore"] is False


@at_operator("mts")
def test_mts_knows_neither_a_retired_number_nor_a_strange_one(bench):
    bench.put(state="retired")

    gone = submit(bench.operator(), Action.DEACTIVATE)
    with pytest.raises(Unavailable) as strange:
        bench.operator().read_identity(sim=STRANGER)

    assert isinstance(gone, Rejected)
    assert gone.code == "1014"
    assert gone.error == ErrorClass.FORBIDDEN
    assert strange.value.code == "2005"


@at_operator("mts")
def test_mts_lists_a_service_among_blocks(bench):
    bench.fault("read", "wrong_id")

    assert bench.operator().read_state(sim=SIM).state is SimState.UNKNOWN


@pytest.mark.parametrize("bench", ["mts", "beeline"], indirect=True)
def test_unknown_request_id_is_lost_without_another_card(bench):
    bench.limits(delay_seconds=60)
    bench.fault("submit", "wrong_id")
    operator, at = bench.operator(), now()

    taken = accepted(operator, Action.DEACTIVATE)

    assert checked(operator, taken.request_id, at).state is CheckState.LOST


@pytest.mark.parametrize("bench", ["mts", "beeline"], indirect=True)
def test_token_forgotten_at_once_is_given_up(bench):
    bench.fault("auth", "wrong_id", times=2)

    result = submit(bench.operator(), Action.DEACTIVATE)

    assert isinstance(result, Rejected)
    assert result.error is ErrorClass.AUTH
    assert bench.state()["calls"]["auth"] == 2


# --- Билайн ---------------------------------------------------------------------------------------


def soap(
    bench: RunningOperator,
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
    return ask(bench, "POST", f"/{service}Service", body.encode(), {"SOAPAction": named})


def token(bench: RunningOperator) -> str:
    _, text = soap(
        bench,
        "auth",
        "<login>demo-login</login><password>demo-password</password>",
        service="Auth",
    )
    return text.partition("<return>")[2].partition("</return>")[0]


@at_operator("beeline")
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
def test_beeline_refuses_invalid_parameters(bench, operation, content, words):
    status, text = soap(bench, operation, content.format(token=token(bench)))

    assert status == 500
    assert words in text


@at_operator("beeline")
def test_beeline_refuses_what_is_not_a_soap_call(bench):
    no_xml = ask(bench, "POST", "/SubscriberService", b"{}", {"SOAPAction": '"x"'})
    other = soap(bench, "getCTNInfoList", action='"other"')

    assert [status for status, _ in (no_xml, other)] == [500, 500]
    assert "The body is no XML" in no_xml[1]
    assert "Body and SOAPAction name no operation" in other[1]


@at_operator("beeline")
def test_beeline_request_numbers_grow_and_effects_keep_theirs(bench):
    operator = bench.operator()
    first = accepted(operator, Action.DEACTIVATE).request_id
    bench.limits(delay_seconds=600)

    second = accepted(operator, Action.ACTIVATE).request_id

    assert int(second) == int(first) + 1
    assert [effect["request_id"] for effect in bench.state()["effects"]] == [first]


# --- TMF640 ---------------------------------------------------------------------------------------


@at_operator("tmf640")
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/service/nobody", None, 404),
        ("PATCH", "/service/nobody", {"state": "active"}, 404),
        ("PATCH", "{own}", {"state": "asleep"}, 400),
        ("PATCH", "{own}", [], 400),
        ("GET", "{own}", None, 200),
    ],
)
def test_partner_answers_by_the_contract(bench, method, path, body, status):
    _, listed = ask(bench, "GET", "/service?limit=1", None, PARTNER)
    own = f"/service/{json.loads(listed)[0]['id']}"

    assert ask(bench, method, path.format(own=own), body, PARTNER)[0] == status


def test_partner_token_forgotten_at_once_is_given_up(tmp_path, own_clock):
    keys = {"client_id": "demo-client", "client_secret": "demo-client-secret"}
    with running("tmf640", keys, tmp_path / "sandbox.json") as bench:
        bench.fault("auth", "wrong_id", times=2)
        url = f"{bench.url}/operators/tmf640/token"

        result = submit(bench.operator(token_url=url), Action.DEACTIVATE)

    assert result == Rejected(ErrorClass.AUTH, "401", "The token is unknown or has expired")


# --- Control Center -------------------------------------------------------------------------------


@at_operator("control_center")
@pytest.mark.parametrize("body", [{"status": "ASLEEP"}, [], {}])
def test_control_center_refuses_an_invalid_status(bench, body):
    path = f"/rws/api/v1/devices/{SIM.iccid}"

    status, text = ask(bench, "PUT", path, body, CONTROL_CENTER)

    assert status == 400
    assert json.loads(text)["errorCode"] == "10000023"


@at_operator("control_center")
@pytest.mark.parametrize("sim", [STRANGER, Sim("89701010000000000023")])
def test_control_center_does_not_find_unknown_card(bench, sim):
    with pytest.raises(Unavailable) as refused:
        bench.operator().read_state(sim=sim)

    assert refused.value.error is ErrorClass.NOT_FOUND


# --- the page's own calls, and what is kept ---------------------------------------------------------


@at_operator("mts")
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
def test_call_about_unknown_operator_is_refused(bench, method, path, body, status):
    assert ask_url(f"{bench.url}{path}", method, body)[0] == status


def test_operator_missing_from_the_state_begins_anew():
    kept = OperatorsPart().dump()
    kept["operators"].pop("beeline")
    part = OperatorsPart()

    part.load(kept)

    assert set(part.dump()["operators"]) == {"mts", "beeline", "tmf640", "control_center"}


# --- events ---------------------------------------------------------------------------------------


@contextmanager
def event_receiver(
    tmp_path: Path, path: str = "/hook"
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that takes events, and those it took; each is refused the first time."""
    events: list[dict[str, Any]] = []
    refused: set[str] = set()

    def take(request: Request) -> Any:
        event = request.json
        if event["eventId"] not in refused:
            refused.add(event["eventId"])
            return replies({}, 503)(request)
        events.append(event)
        return replies({})(request)

    handlers: dict[str, Handler] = {f"POST {path}": take}
    (tmp_path / "hook").mkdir()
    with serving_handlers(tmp_path / "hook", handlers) as (url, _):
        yield f"{url}{path}", events


def waited_for(events: list[dict[str, Any]], count: int) -> list[str]:
    ends_at = time.monotonic() + 20
    while len(events) < count and time.monotonic() < ends_at:
        time.sleep(0.05)
    return [event["eventType"] for event in events]


@at_operator("tmf640")
def test_events_are_repeated_until_taken_and_name_the_clients_key(bench, tmp_path):
    with event_receiver(tmp_path) as (callback, events):
        bench.call("PUT", "/callbacks/tmf640", {"url": callback})
        bench.limits(delay_seconds=0.5)

        accepted(bench.operator(), Action.DEACTIVATE)

        assert sorted(waited_for(events, 2)) == [
            event_sender.MONITOR_EVENT,
            event_sender.SERVICE_EVENT,
        ]
        assert [event["correlationId"] for event in events if "correlationId" in event] == ["k-1"]


@at_operator("tmf640")
def test_events_wait_for_an_address_that_answers(bench, tmp_path):
    bench.call("PUT", "/callbacks/tmf640", {"url": "http://127.0.0.1:1/gone"})
    bench.put(state="held", reason="debt")
    time.sleep(3 * ADVANCE_EVERY)
    with event_receiver(tmp_path) as (callback, events):
        bench.call("PUT", "/callbacks/tmf640", {"url": callback})

        assert waited_for(events, 1) == [event_sender.SERVICE_EVENT]


def test_demo_sends_events_to_the_address_of_its_contract(tmp_path, own_clock, settings):
    with event_receiver(tmp_path, "/operators/tmf640/callback") as (callback, events):
        settings.PUBLIC_URL = callback.removesuffix("/operators/tmf640/callback")
        with serving_part(make_demo(), tmp_path / "sandbox.json") as url:
            RunningOperator("tmf640", url, KEYS["tmf640"]).put(
                demo_sims.WORKS_AT_THE_METRO, state="held"
            )

            assert waited_for(events, 1) == [event_sender.SERVICE_EVENT]


def test_state_read_from_the_disk_sends_no_event(tmp_path, own_clock, settings):
    file, sim = tmp_path / "sandbox.json", demo_sims.WORKS_AT_THE_METRO
    with serving_part(make_demo(), file) as url:
        RunningOperator("tmf640", url, KEYS["tmf640"]).put(sim, state="held", reason="debt")
    with event_receiver(tmp_path, "/operators/tmf640/callback") as (callback, events):
        settings.PUBLIC_URL = callback.removesuffix("/operators/tmf640/callback")
        with serving_part(make_demo(), file) as url:
            time.sleep(3 * ADVANCE_EVERY)
            RunningOperator("tmf640", url, KEYS["tmf640"]).put(
                sim, state="inactive", reason="stolen"
            )

            assert waited_for(events, 1) == [event_sender.SERVICE_EVENT]

    assert [event["event"]["service"]["reason"] for event in events] == ["stolen"]


@at_operator("mts")
@pytest.mark.parametrize(
    ("code", "body", "status"),
    [
        ("tmf640", {"url": "mailto:me"}, 400),
        ("tmf640", {}, 400),
        ("tmf640", [], 400),
        ("mts", {"url": "http://127.0.0.1:9/"}, 404),
        ("nobody", {"url": "http://127.0.0.1:9/"}, 404),
    ],
)
def test_callback_address_that_cannot_be_used_is_refused(bench, code, body, status):
    assert ask_url(f"{bench.url}/callbacks/{code}", "PUT", body)[0] == status
