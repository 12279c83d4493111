"""Control Center: the common contract, and its words on the wire."""

import json
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cabinet.clock import now
from operators.adapters import decoded
from operators.adapters.control_center import ControlCenter
from operators.ports import (
    Accepted,
    Action,
    Already,
    Applied,
    CallKind,
    Changes,
    Check,
    CheckState,
    Connection,
    ErrorClass,
    LostReply,
    NotSent,
    Reading,
    Rejected,
    Reply,
    SimState,
    Unavailable,
    Unknown,
)
from operators.sandbox.control_center import SandboxControlCenter
from operators.sandbox.faults import Faults
from operators.tests.control_center import KEYS, ControlCenterContract
from operators.tests.declarative_server import replies, serving_handlers
from operators.tests.sandbox_operator import (
    SIM,
    kind_of,
    make_operator,
    new_tokens,
    own_clock,
    running,
    submit,
)

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
    bench.fault("read", "slow", seconds=2)
    slow = threading.Thread(target=bench.operator().read_state, kwargs={"sim": SIM})
    slow.start()
    while not bench.state()["calls"]["read"]:
        time.sleep(0.01)

    with pytest.raises(Unavailable) as refused:
        bench.operator().read_state(sim=SIM)

    slow.join()
    assert refused.value.error == ErrorClass.RATE_LIMITED
    assert refused.value.code == "40000029"


def test_played_operator_keeps_the_vendor_s_policy_by_itself():
    assert vars(SandboxControlCenter(Faults()).quota.limits) == {
        "per_second": 5,
        "per_minute": None,
        "concurrency": 1,
        "delay_seconds": 0,
    }


def days_ago(days: float) -> str:
    return f"modifiedSince={now() - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "10000003"),
        ("modifiedSince=2026-11-20", "10000028"),
        (f"{days_ago(1)}&pageSize=51", "10000028"),
        (days_ago(366), "10000045"),
        (days_ago(-1), "10002119"),
    ],
    # The seconds of a start are no names: processes of one run must agree on them.
    ids=["no day", "no time", "long page", "over a year ago", "tomorrow"],
)
def test_played_search_refuses_what_the_real_one_would(bench, query, code):
    http = bench.operator()._connection.http  # the adapter itself never asks so
    url = f"{bench.url}/operators/control_center/rws/api/v1/devices?{query}"

    reply = http.request("GET", url, kind=CallKind.READ, auth=tuple(KEYS.values()))

    assert reply.status == 400
    assert decoded(reply)["errorCode"] == code


# --- requests on the wire, with a recording client -----------------------------------------------


@dataclass
class RecordingHttp:
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


def adapter(*answers: Any) -> tuple[ControlCenter, RecordingHttp]:
    http = RecordingHttp(list(answers))
    connection = Connection("cc", "https://cc.example.com/", KEYS, http, new_tokens())
    return ControlCenter(connection), http


def test_switch_follows_the_sample_and_is_read_once():
    operator, http = adapter(answer({"iccid": SIM.iccid}), device("ACTIVATED"))

    result = submit(operator, Action.ACTIVATE)

    assert result == Applied("ACTIVATED")
    common = {"headers": {"Accept": "application/json"}, "auth": tuple(KEYS.values())}
    url = SAMPLES["edit_request"]["url"]
    assert http.asked == [
        {**SAMPLES["edit_request"], "kind": CallKind.SUBMIT, **common},
        {"method": "GET", "url": url, "kind": CallKind.CHECK, **common},
    ]


@pytest.mark.parametrize(
    "sample", SAMPLES["errors"], ids=lambda one: f"{one['http']}-{one['errorCode']}"
)
def test_refusal_is_read_by_its_code_before_its_status(sample):
    body = {"errorCode": sample["errorCode"], "errorMessage": "No"}
    operator, http = adapter(answer(body, sample["http"]))

    result = submit(operator, Action.DEACTIVATE)

    kind, error = kind_of(result)
    assert [kind.__name__, error] == sample["result"]
    assert len(http.asked) == 1


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


def test_health_is_asked_within_the_last_year():
    operator, http = adapter(answer({"pageNumber": 1, "devices": [], "lastPage": True}))

    operator.ping()

    since = datetime.fromisoformat(http.asked[0]["params"]["modifiedSince"])
    assert timedelta(0) < datetime.now(UTC) - since < timedelta(days=365)


FULL = "89701010000000000062"
BARE = FULL[:-1]


@pytest.mark.parametrize(
    ("ours", "given"),
    [
        (FULL, f"{FULL}F"),
        (FULL, int(FULL)),
        (FULL, BARE),
        (FULL, f"{BARE}f"),
        (FULL, f"{BARE}-{FULL[-1]}"),
        (BARE, FULL),
        (BARE, int(BARE)),
    ],
)
def test_card_is_the_same_however_its_number_is_written(ours, given):
    sim = replace(SIM, iccid=ours)
    operator, _ = adapter(answer({"iccid": given}), answer({"iccid": given, "status": "ACTIVATED"}))

    assert submit(operator, Action.ACTIVATE, sim) == Applied("ACTIVATED")


@pytest.mark.parametrize("given", [f"{BARE}5", BARE[:-1], "", None, True, 8.97e19, [FULL]])
def test_answer_about_another_number_proves_nothing(given):
    operator, _ = adapter(answer({"iccid": given}))

    result = submit(operator, Action.ACTIVATE, replace(SIM, iccid=FULL))

    assert result == Unknown("в ответе оператора нет этой смарт-карты", code="wrong_id")


def test_listed_cards_are_named_by_their_digits():
    rows = [{"iccid": given, "status": "ACTIVATED"} for given in (f"{BARE}F", int(FULL), "?", None)]
    operator, _ = adapter(answer({"devices": rows, "lastPage": True}))

    changes = operator.list_changes(since=AT, cursor="")

    assert changes == Changes(
        ((BARE, Reading(SimState.ACTIVE, raw="ACTIVATED")),
         (FULL, Reading(SimState.ACTIVE, raw="ACTIVATED")))
    )  # fmt: skip


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
def test_pause_of_a_reading_after_a_switch_is_returned(refusal, accepted):
    limited = replace(answer({"errorCode": "40000029"}, 429), headers=refusal)
    operator, _ = adapter(answer({"iccid": SIM.iccid}), limited)

    result = submit(operator, Action.DEACTIVATE, key="k-7")

    assert result == accepted


def test_wait_for_our_quota_is_not_an_operator_pause():
    ours = NotSent("Квота исчерпана", cause="quota", retry_after=3)
    operator, _ = adapter(answer({"iccid": SIM.iccid}), ours)

    result = submit(operator, Action.DEACTIVATE, key="k-7")

    assert result == Accepted("DEACTIVATED:k-7", 3)


@pytest.mark.parametrize(("word", "state"), SAMPLES["statuses"].items())
def test_every_status_has_our_word(word, state):
    operator, _ = adapter(device(word))

    assert operator.read_state(sim=SIM).state == state


def test_search_is_asked_for_as_in_the_sample():
    operator, http = adapter(answer({"pageNumber": 1, "devices": [], "lastPage": True}))

    operator.list_changes(since=AT, cursor="")

    [asked] = http.asked
    assert {name: asked[name] for name in SAMPLES["search_request"]} == SAMPLES["search_request"]


def test_empty_page_without_an_end_stops_the_reading():
    operator, _ = adapter(answer({"pageNumber": 3, "devices": []}))

    with pytest.raises(Unavailable) as refused:
        operator.list_changes(since=AT, cursor="3")

    assert refused.value.code == "garbage"


def test_page_of_changes_without_cards_and_end_is_refused(tmp_path):
    empty = replies({"pageNumber": 1, "devices": [], "lastPage": False})
    with serving_handlers(tmp_path, {"GET /rws/api/v1/devices": empty}) as (url, _):
        operator = make_operator(
            account="test-cc",
            adapter="control_center",
            base_url=url,
            credentials=KEYS,
        )
        with pytest.raises(Unavailable) as refused:
            operator.list_changes(since=AT, cursor="")

    assert refused.value.code == "garbage"


def test_search_by_card_is_not_in_the_protocol(bench):
    with pytest.raises(Unavailable) as refused:
        bench.operator().check_by_sim(sim=SIM, action=Action.ACTIVATE, submitted_at=AT, at=AT)

    assert refused.value.error is ErrorClass.UNSUPPORTED
