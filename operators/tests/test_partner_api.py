"""Our side of the published contract: what we send, what the sandbox answers, what it tells us."""

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from django.test import Client
from jsonschema import ValidationError
from openapi_spec_validator import validate
from werkzeug.routing import Rule

from cabinet.clock import advance, now
from cabinet.sandbox.http import Part, Request, Response, json_response, route
from cabinet.sandbox.server import serving
from operators.adapters.tmf640 import Tmf640
from operators.client.http import HttpClient
from operators.events import event_mapping, inbox
from operators.models import Callback, OperatorAccount
from operators.ports import (
    Accepted,
    Action,
    BlockReason,
    Check,
    CheckState,
    Connection,
    ErrorClass,
    Reading,
    Reply,
    SimState,
    Unavailable,
)
from operators.tests.contract_file import FILE, ContractFile, Said
from operators.tests.sandbox_operator import (
    SIM,
    STRANGER,
    RunningOperator,
    new_tokens,
    own_clock,
    running,
    submit,
)
from operators.tests.signing import monitor_event, service_event

__all__ = ["own_clock"]

PATH = "/operators/tmf640"
TOKEN = {"token": "demo-partner-token"}


@pytest.fixture(scope="module")
def contract() -> ContractFile:
    return ContractFile()


@pytest.fixture
def bench(tmp_path: Path, own_clock: None) -> Iterator[RunningOperator]:
    with running("tmf640", TOKEN, tmp_path / "sandbox.json") as bench:
        yield bench


@dataclass
class Recorder:
    """`ports.Http` that writes down every exchange."""

    http: HttpClient
    said: list[Said] = field(default_factory=list)

    def request(self, method: str, url: str, **parts: Any) -> Reply:
        reply = self.http.request(method, url, **parts)
        self.said.append(
            Said(
                method=method,
                path=urlsplit(url).path.removeprefix(PATH),
                query=parts.get("params") or {},
                headers=parts.get("headers") or {},
                body=parts.get("json"),
                status=reply.status,
                answer_headers=reply.headers,
                answer=reply.body,
            )
        )
        return reply


def recorded(bench: RunningOperator, **credentials: str) -> tuple[Tmf640, Recorder]:
    """Our adapter of the contract, with its exchanges written down."""
    recorder = Recorder(HttpClient(account="test-contract", total_seconds=5))
    connection = Connection(
        account="test-contract",
        base_url=f"{bench.url}{PATH}",
        credentials={**TOKEN, **credentials},
        http=recorder,
        tokens=new_tokens(),
    )
    return Tmf640(connection), recorder


def kept_to(contract: ContractFile, recorder: Recorder) -> list[str]:
    return [contract.check(said) for said in recorder.said]


def test_file_is_a_correct_openapi_document(contract):
    validate(contract.document)

    assert contract.document["openapi"].startswith("3.1")


def test_examples_of_the_file_fit_their_schemas(contract):
    found = 0
    for item in contract.document["paths"].values():
        for operation in (one for one in item.values() if "responses" in one):
            for holder in [operation.get("requestBody", {}), *operation["responses"].values()]:
                content = holder.get("content", {}).get("application/json", {})
                for example in content.get("examples", {}).values():
                    contract.fits(example["value"], content["schema"])
                    found += 1

    assert found == 7


def test_worked_example_of_the_how_to_is_right(contract):
    text = (FILE.parents[1] / "how-to" / "integrate-an-operator.md").read_text(encoding="utf-8")
    body = next(line for line in text.splitlines() if line.startswith('{"eventId"')).encode()
    header = re.search(r"^X-Signature: (t=([0-9]+),\S+)$", text, re.MULTILINE)
    assert header is not None
    account = OperatorAccount(code="partner", callback_secret="demo-callback-secret")
    at = datetime.fromtimestamp(int(header[2]), UTC)

    event_id = inbox.verify(account=account, header=header[1], body=body, at=at)

    contract.fits(json.loads(body), contract.schema("ServiceStateChangeEvent"))
    payload = inbox.read_payload(event_id=event_id, body=body)
    assert payload["eventType"] == "serviceStateChangeEvent"


# --- what our adapter sends and the sandbox answers ---------------------------------------------


@pytest.mark.parametrize(
    "facts",
    [
        {"state": "new"},
        {"state": "active"},
        {"state": "inactive"},
        {"state": "held", "reason": "imei"},
        {"state": "retired"},
    ],
    ids=lambda facts: facts["state"],
)
def test_reading_keeps_to_the_contract(contract, bench, facts):
    bench.put(**facts)
    operator, recorder = recorded(bench)

    operator.read_state(sim=SIM)
    operator.ping()

    assert kept_to(contract, recorder) == ["GET /service 200"] * 2


def test_unknown_card_and_request_keep_to_the_contract(contract, bench):
    operator, recorder = recorded(bench)

    with pytest.raises(Unavailable):
        operator.read_state(sim=STRANGER)
    check = operator.check(request_id="a/b ?", sim=SIM, submitted_at=now(), at=now())

    assert check.state is CheckState.LOST
    assert [contract.check(said) for said in recorder.said[:1]] == ["GET /service 200"]
    assert recorder.said[1].path == "/monitor/a%2Fb%20%3F"


def test_unknown_request_keeps_to_the_contract(contract, bench):
    operator, recorder = recorded(bench)

    operator.check(request_id="mon-1", sim=SIM, submitted_at=now(), at=now())

    assert kept_to(contract, recorder) == ["GET /monitor/{id} 404"]


def test_switch_at_once_keeps_to_the_contract(contract, bench):
    operator, recorder = recorded(bench)

    submit(operator, Action.DEACTIVATE)

    assert kept_to(contract, recorder) == ["GET /service 200", "PATCH /service/{id} 200"]


def test_slow_switch_keeps_to_the_contract(contract, bench):
    bench.limits(delay_seconds=60)
    operator, recorder = recorded(bench)

    taken = submit(operator, Action.DEACTIVATE)
    assert isinstance(taken, Accepted)
    for _ in range(2):
        operator.check(request_id=taken.request_id, sim=SIM, submitted_at=now(), at=now())
        advance(60)

    assert kept_to(contract, recorder) == [
        "GET /service 200",
        "PATCH /service/{id} 202",
        "GET /monitor/{id} 200",
        "GET /monitor/{id} 200",
    ]


def test_switch_that_fails_while_waiting_keeps_to_the_contract(contract, bench):
    bench.limits(delay_seconds=60)
    operator, recorder = recorded(bench)
    taken = submit(operator, Action.DEACTIVATE)
    assert isinstance(taken, Accepted)
    bench.put(state="held", reason="debt")
    advance(60)

    operator.check(request_id=taken.request_id, sim=SIM, submitted_at=now(), at=now())

    assert kept_to(contract, recorder)[-1] == "GET /monitor/{id} 200"
    assert json.loads(recorder.said[-1].answer)["state"] == "InError"


@pytest.mark.parametrize(
    ("prepare", "credentials", "expected"),
    [
        (lambda bench: bench.put(state="held", reason="law"), {}, 409),
        (lambda bench: bench.put(state="retired"), {}, 404),
        (lambda bench: bench.fault("submit", "http_429", retry_after=7), {}, 429),
        (lambda bench: bench.fault("submit", "maintenance", retry_after=60), {}, 503),
        (lambda bench: bench.fault("submit", "maintenance"), {}, 503),
        (lambda bench: bench.fault("submit", "http_500"), {}, 500),
        (lambda bench: bench.fault("submit", "expired_token"), {}, 401),
    ],
    ids=["held", "retired", "over-quota", "works", "works-without-end", "broken", "expired"],
)
def test_refused_switch_keeps_to_the_contract(contract, bench, prepare, credentials, expected):
    prepare(bench)
    operator, recorder = recorded(bench, **credentials)

    submit(operator, Action.ACTIVATE if expected in {404, 409} else Action.DEACTIVATE)

    assert kept_to(contract, recorder)[-1] == f"PATCH /service/{{id}} {expected}"


def test_wrong_token_keeps_to_the_contract(contract, bench):
    operator, recorder = recorded(bench, token="wrong")

    with pytest.raises(Unavailable):
        operator.ping()

    assert kept_to(contract, recorder) == ["GET /service 401"]


@pytest.mark.parametrize("kind", ["garbage", "error_in_2xx"])
def test_answer_against_the_contract_is_seen(contract, bench, kind):
    bench.fault("submit", kind)
    operator, recorder = recorded(bench)
    submit(operator, Action.DEACTIVATE)

    with pytest.raises((ValidationError, ValueError)):
        contract.check(recorder.said[-1])


# --- the sandbox's events ---------------------------------------------------------------------


class Sink(Part):
    """An address that takes events, refusing the first so many, and shows them."""

    name = "sink"

    def __init__(self, refuse: int = 0) -> None:
        self._refuse = refuse
        self._lock = threading.Lock()
        self.taken: list[Request] = []

    def routes(self) -> list[Rule]:
        return [route("POST", "/operators/partner/callback", self._take)]

    def _take(self, request: Request) -> Response:
        with self._lock:
            self._refuse -= 1
            if self._refuse >= 0:
                return json_response({}, 500)
            self.taken.append(request)
            return json_response({})

    def wait_for(self, number: int) -> list[Request]:
        ends_at = time.monotonic() + 10
        while len(self.taken) < number and time.monotonic() < ends_at:
            time.sleep(0.02)
        return list(self.taken)


@pytest.fixture
def sink(request: pytest.FixtureRequest, bench: RunningOperator, tmp_path: Path) -> Iterator[Sink]:
    """A sink whose address the partner was given."""
    sink = Sink(refuse=getattr(request, "param", 0))
    with serving([sink], port=0, state=tmp_path / "sink.json") as server:
        callback = f"http://127.0.0.1:{server.server_port}/operators/partner/callback"
        bench.call("PUT", "/callbacks/tmf640", {"url": callback})
        yield sink


def through_our_inbox(contract: ContractFile, delivery: Request) -> str:
    """The delivery brought to our inbox: both sides of it as the contract says."""
    signed = {"X-Signature": delivery.headers["x-signature"]}
    path = delivery.path
    answer = Client().post(path, delivery.data, content_type="application/json", headers=signed)
    said = Said(
        "POST",
        path,
        {},
        dict(delivery.headers),
        json.loads(delivery.data),
        answer.status_code,
        answer.headers,
        answer.content,
    )
    return contract.check(said)


@pytest.fixture
def account(db: None) -> OperatorAccount:
    return OperatorAccount.objects.create(
        code="partner",
        title="Партнёр",
        adapter="tmf640",
        base_url="https://api.example.com",
        callback_secret="demo-callback-secret",
    )


def test_event_of_a_blocked_card_comes_through_our_inbox(contract, bench, sink, account):
    bench.put(state="held", reason="debt")

    (delivery,) = sink.wait_for(1)

    taken = "POST /operators/{account}/callback 200"
    assert through_our_inbox(contract, delivery) == taken
    assert through_our_inbox(contract, delivery) == taken
    row = Callback.objects.get()
    assert event_mapping.read_event(row.event_type, row.payload) == event_mapping.ServiceChanged(
        SIM.iccid, Reading(SimState.HELD, BlockReason.DEBT, raw="inactive")
    )


def test_end_of_a_slow_switch_is_reported_with_our_key(contract, bench, sink, account):
    bench.limits(delay_seconds=60)
    operator, _ = recorded(bench)
    key = "4be0643f-1d98-573b-97cd-ca98a65347dd"
    taken = submit(operator, Action.DEACTIVATE, key=key)
    assert isinstance(taken, Accepted)
    advance(60)

    deliveries = sink.wait_for(2)

    for delivery in deliveries:
        through_our_inbox(contract, delivery)
    rows = Callback.objects.order_by("event_type")
    assert [event_mapping.read_event(row.event_type, row.payload) for row in rows] == [
        event_mapping.MonitorChanged(
            taken.request_id, UUID(key), Check(CheckState.COMPLETED, code="Completed")
        ),
        event_mapping.ServiceChanged(
            SIM.iccid, Reading(SimState.INACTIVE, BlockReason.VOLUNTARY, raw="inactive")
        ),
    ]


@pytest.mark.parametrize("sink", [2], indirect=True)
def test_event_that_was_not_taken_comes_again(bench, sink):
    bench.put(state="inactive")

    assert len(sink.wait_for(1)) == 1


@pytest.mark.parametrize(
    ("header", "body", "status"),
    [
        ("t=1,id=e,v1=" + "0" * 64, {}, 401),
        (None, {}, 401),
    ],
)
def test_refusals_of_our_inbox_keep_to_the_contract(contract, account, header, body, status):
    headers = {"X-Signature": header} if header else {}
    url = "/operators/partner/callback"
    answers = [
        Client().post(url, "{}", content_type="application/json", headers=headers),
        Client().post(url.replace("partner", "nobody"), "{}", content_type="application/json"),
        Client().post(url, "x" * 300_000, content_type="application/json", headers=headers),
    ]

    _, operation, _ = contract.find("POST", url)
    for answer in answers:
        contract.check_answer(operation, answer.status_code, answer.headers, answer.content)
    assert [answer.status_code for answer in answers] == [status, 404, 413]


# --- a word means the same in an answer and in an event -----------------------------------------


@dataclass
class Answering:
    """`ports.Http` of a partner that always says this."""

    body: Any

    def request(self, method: str, url: str, **_parts: Any) -> Reply:
        return Reply(200, {}, json.dumps(self.body).encode())


def answered(body: Any) -> Tmf640:
    connection = Connection("test", "http://partner", TOKEN, Answering(body), new_tokens())
    return Tmf640(connection)


def test_answers_and_events_map_states_and_reasons_alike(contract):
    states = contract.schema("ServiceState")["enum"]
    reasons = [None, *contract.schema("BlockReason")["enum"], "weather"]
    seen = set()
    for state in states:
        for reason in reasons:
            event = service_event(state=state, iccid=SIM.iccid, reason=reason)
            event_read = event_mapping.read_event(event["eventType"], event)
            read = answered([event["event"]["service"]]).read_state(sim=SIM)
            assert isinstance(event_read, event_mapping.ServiceChanged)
            assert event_read.reading.state == read.state
            assert event_read.reading.reason == read.reason
            seen.add(read.state)

    assert seen == set(SimState) - {SimState.UNKNOWN}
    assert set(reasons) - {None, "weather"} == set(BlockReason)


@pytest.mark.parametrize("code", ["heldByOperator", "alreadyInState", "notSupported", "x-17"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 422, 429, 500, 502, 503])
def test_every_failure_is_read_alike_in_answers_and_events(contract, status, code):
    event = monitor_event(number="mon-1", state="InError", error=(status, code))
    monitor = event["event"]["monitor"]

    event_read = event_mapping.read_event(event["eventType"], event)
    read = answered(monitor).check(request_id="mon-1", sim=SIM, submitted_at=now(), at=now())

    contract.fits(event, contract.schema("MonitorStateChangeEvent"))
    assert isinstance(event_read, event_mapping.MonitorChanged)
    assert event_read.check.state == read.state
    assert event_read.check.code == read.code
    assert event_read.check.error == read.error


@pytest.mark.parametrize("word", ["InProgress", "inprogress", "Completed", "COMPLETED"])
def test_words_of_a_request_are_read_in_any_case(word):
    event = monitor_event(number="mon-1", state=word)

    event_read = event_mapping.read_event(event["eventType"].upper(), event)
    read = answered(event["event"]["monitor"]).check(
        request_id="mon-1", sim=SIM, submitted_at=now(), at=now()
    )

    assert event_read == event_mapping.MonitorChanged("mon-1", None, read)


def test_failure_without_a_word_is_a_failure_all_the_same():
    event = monitor_event(state="InError")

    event_read = event_mapping.read_event(event["eventType"], event)

    assert event_read == event_mapping.MonitorChanged(
        "mon-1", None, Check(CheckState.FAILED, "", "", ErrorClass.INVALID)
    )
