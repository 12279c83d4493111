"""Control Center: the common contract, and its words on the wire."""

import json
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from operators import registry
from operators.adapters.control_center import ControlCenter
from operators.ports import (
    Accepted,
    Action,
    Already,
    Applied,
    CallKind,
    Check,
    CheckState,
    Connection,
    ErrorClass,
    LostReply,
    NotSent,
    Rejected,
    Reply,
    Unavailable,
)
from operators.sandbox.control_center import PlayedControlCenter
from operators.sandbox.trouble import Faults
from operators.tests.bench import SIM, MemoryTokens, kind_of, own_clock, running, submit
from operators.tests.control_center import KEYS, ControlCenterContract
from operators.tests.described import says, standing

__all__ = ["own_clock"]
SAMPLES = json.loads(Path(__file__).with_name("data").joinpath("control_center.json").read_text())
AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


class TestControlCenter(ControlCenterContract):
    credentials = KEYS
    # Nobody names a pause: those of the caller grow, as the vendor asks for.
    pause_without_retry_after = None


# --- the played one -------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path, own_clock: None):
    with running("control_center", KEYS, tmp_path / "sandbox.json") as bench:
        yield bench


def test_played_operator_lets_one_call_in_at_a_time(bench):
    bench.limits(concurrency=1)
    bench.fault("read", "slow", seconds=1)
    slow = threading.Thread(target=bench.operator().read_state, kwargs={"sim": SIM})
    slow.start()
    while not bench.state()["calls"]["read"]:
        time.sleep(0.01)

    with pytest.raises(Unavailable) as refused:
        bench.operator().read_state(sim=SIM)

    slow.join()
    assert (refused.value.error, refused.value.code) == (ErrorClass.RATE_LIMITED, "40000029")


def test_played_operator_keeps_the_vendor_s_policy_by_itself():
    assert vars(PlayedControlCenter(Faults()).turnstile.limits) == {
        "per_second": 5,
        "per_minute": None,
        "concurrency": 1,
        "delay_seconds": 0,
    }


@pytest.mark.parametrize(
    "query", ["", "modifiedSince=2026-11-20", "modifiedSince=2026-11-20T09:00:00Z&pageSize=51"]
)
def test_played_search_refuses_what_the_real_one_would(bench, query):
    door = bench.operator()._connection.http  # the adapter itself never asks so
    url = f"{bench.url}/operators/control_center/rws/api/v1/devices?{query}"

    reply = door.request("GET", url, kind=CallKind.READ, auth=tuple(KEYS.values()))

    assert (reply.status, reply.json()["errorCode"]) == (400, "10000028")


# --- words on the wire, with a door that notes them -----------------------------------------------


@dataclass
class NotingDoor:
    """Answers with what it was given, and keeps what it was asked."""

    answers: list[Any]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def request(self, method: str, url: str, *, kind: CallKind, **parts: Any) -> Reply:
        self.asked.append({"method": method, "url": url, "kind": kind, **parts})
        answer: Reply | Exception = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(body: Any, status: int = 200) -> Reply:
    return Reply(status, {}, json.dumps(body).encode())


def device(status: str) -> Reply:
    return answer({"iccid": SIM.iccid, "status": status, "msisdn": None})


def adapter(*answers: Any) -> tuple[ControlCenter, NotingDoor]:
    door = NotingDoor(list(answers))
    connection = Connection("cc", "https://cc.example.com/", KEYS, door, MemoryTokens())
    return ControlCenter(connection), door


def test_switch_is_asked_for_as_in_the_sample_and_read_once():
    operator, door = adapter(answer({"iccid": SIM.iccid}), device("ACTIVATED"))

    result = submit(operator, Action.ACTIVATE)

    assert result == Applied("ACTIVATED")
    common = {"headers": {"Accept": "application/json"}, "auth": tuple(KEYS.values())}
    url = SAMPLES["edit_request"]["url"]
    assert door.asked == [
        {**SAMPLES["edit_request"], "kind": CallKind.SUBMIT, **common},
        {"method": "GET", "url": url, "kind": CallKind.CHECK, **common},
    ]


@pytest.mark.parametrize(
    "sample", SAMPLES["errors"], ids=lambda one: f"{one['http']}-{one['errorCode']}"
)
def test_refusal_is_read_by_its_code_before_its_status(sample):
    body = {"errorCode": sample["errorCode"], "errorMessage": "No"}
    operator, door = adapter(answer(body, sample["http"]))

    result = submit(operator, Action.DEACTIVATE)

    kind, error = kind_of(result)
    assert [kind.__name__, error] == sample["result"]
    assert len(door.asked) == 1


def test_word_in_the_message_is_found():
    body = {"errorCode": "20000099", "errorMessage": "Denied: SIMSTATUS_SUSPENDED"}
    operator, _ = adapter(answer(body, 400))

    result = submit(operator, Action.ACTIVATE)

    assert result == Rejected(
        ErrorClass.HELD_BY_OPERATOR, "SIMSTATUS_SUSPENDED", "Denied: SIMSTATUS_SUSPENDED"
    )


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (device("DEACTIVATED"), Already("DEACTIVATED")),
        (
            device("RETIRED"),
            Rejected(ErrorClass.INVALID, "SIMSTATUS_INVALID_TRANSITION", "No"),
        ),
        (
            LostReply("оператор не успел ответить"),
            Rejected(ErrorClass.INVALID, "SIMSTATUS_INVALID_TRANSITION", "No"),
        ),
    ],
)
def test_refused_transition_is_a_success_only_after_a_confirming_read(seen, expected):
    refusal = answer({"errorCode": "SIMSTATUS_INVALID_TRANSITION", "errorMessage": "No"}, 400)
    operator, _ = adapter(refusal, seen)

    result = submit(operator, Action.DEACTIVATE)

    assert result == expected


def test_switch_not_to_be_seen_yet_is_asked_about_later():
    operator, _ = adapter(answer({"iccid": SIM.iccid}), device("ACTIVATED"), device("DEACTIVATED"))

    result = submit(operator, Action.DEACTIVATE, key="k-7")
    check = operator.check(request_id="DEACTIVATED:k-7", sim=SIM, submitted_at=AT, at=AT)

    assert result == Accepted("DEACTIVATED:k-7")
    assert check == Check(CheckState.COMPLETED, code="DEACTIVATED")


@pytest.mark.parametrize(
    ("refusal", "accepted"),
    [
        ({"Retry-After": "60"}, Accepted("DEACTIVATED:k-7", 60.0, pause=60.0)),
        ({}, Accepted("DEACTIVATED:k-7", pause=2.0)),
    ],
)
def test_pause_asked_for_by_the_proof_of_a_switch_is_passed_on(refusal, accepted):
    limited = replace(answer({"errorCode": "40000029"}, 429), headers=refusal)
    operator, _ = adapter(answer({"iccid": SIM.iccid}), limited)

    result = submit(operator, Action.DEACTIVATE, key="k-7")

    assert result == accepted


def test_wait_for_our_own_quota_is_no_pause_of_the_operator():
    ours = NotSent("Квота исчерпана", code="quota", retry_after=3)
    operator, _ = adapter(answer({"iccid": SIM.iccid}), ours)

    result = submit(operator, Action.DEACTIVATE, key="k-7")

    assert result == Accepted("DEACTIVATED:k-7", 3)


@pytest.mark.parametrize(("word", "state"), SAMPLES["statuses"].items())
def test_every_status_has_our_word(word, state):
    operator, _ = adapter(device(word))

    assert operator.read_state(sim=SIM).state == state


def test_search_is_asked_for_as_in_the_sample():
    operator, door = adapter(answer({"pageNumber": 1, "devices": [], "lastPage": True}))

    operator.list_changes(since=AT, cursor="")

    [asked] = door.asked
    assert {name: asked[name] for name in SAMPLES["search_request"]} == SAMPLES["search_request"]


def test_empty_page_without_an_end_stops_the_reading():
    operator, _ = adapter(answer({"pageNumber": 3, "devices": []}))

    with pytest.raises(Unavailable) as refused:
        operator.list_changes(since=AT, cursor="3")

    assert refused.value.code == "garbage"


def test_page_of_changes_with_neither_cards_nor_an_end_is_given_up(tmp_path):
    empty = says({"pageNumber": 1, "devices": [], "lastPage": False})
    with standing(tmp_path, {"GET /rws/api/v1/devices": empty}) as (url, _):
        operator = registry.make(
            account="test-cc",
            adapter="control_center",
            base_url=url,
            credentials=KEYS,
            tokens=MemoryTokens(),
        )
        with pytest.raises(Unavailable) as refused:
            operator.list_changes(since=AT, cursor="")

    assert refused.value.code == "garbage"


def test_search_by_card_is_not_in_the_protocol(bench):
    with pytest.raises(Unavailable) as refused:
        bench.operator().check_by_sim(sim=SIM, action=Action.ACTIVATE, submitted_at=AT, at=AT)

    assert refused.value.error is ErrorClass.UNSUPPORTED
