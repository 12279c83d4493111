"""The sandbox operators: states, effects, quotas, faults, and what outlives a restart."""

import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from cabinet import clock
from cabinet.sandbox.server import serving
from operators.ports import (
    Accepted,
    Action,
    CheckState,
    ErrorClass,
    Rejected,
    Sim,
    Unknown,
)
from operators.sandbox.limits import Limits, OverQuota, QuotaGate
from operators.sandbox.routes import OperatorsPart
from operators.tests.sandbox_operator import (
    SIM,
    STRANGER,
    ResultKind,
    RunningOperator,
    accepted,
    checked,
    kind_of,
    own_clock,
    running,
    settled,
    submit,
)

__all__ = ["own_clock"]

KEYS = {"key": "demo-key", "secret": "demo-secret"}
PARTNER = {"token": "demo-partner-token"}


@pytest.fixture
def mts(tmp_path: Path, own_clock: None) -> Iterator[RunningOperator]:
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        yield bench


@pytest.fixture
def partner(mts: RunningOperator) -> RunningOperator:
    """The second operator of the same sandbox, without a quota."""
    bench = RunningOperator("tmf640", mts.url, PARTNER)
    bench.limits(per_second=None, delay_seconds=None)
    bench.put(state="active")
    return bench


def refused(bench: RunningOperator, method: str, path: str, body: object = None) -> int:
    with pytest.raises(urllib.error.HTTPError) as answer:
        bench.call(method, path, body)
    answer.value.close()
    return answer.value.code


# --- states ------------------------------------------------------------------------------------


def test_state_of_a_card_is_shown_whole(mts):
    settled(mts.operator(), Action.DEACTIVATE)

    shown = mts.state()

    [effect] = shown.pop("effects")
    assert shown == {
        "iccid": SIM.iccid,
        "msisdn": SIM.msisdn,
        "imei": "356938035643809",
        "state": "inactive",
        "reason": "voluntary",
        "calls": {"auth": 1, "submit": 1, "check": 1, "read": 0},
    }
    assert sorted(effect) == ["action", "at", "request_id"]
    assert effect["action"] == "deactivate"


def test_states_of_an_operator_are_listed_with_its_refusals(mts):
    mts.put(STRANGER, state="new")

    shown = mts.call("GET", "/state/mts")

    assert [sim["iccid"] for sim in shown["sims"]] == [SIM.iccid, STRANGER.iccid]
    assert shown["rejected_by_quota"] == 0


def test_received_calls_are_listed_with_what_the_client_saw(mts):
    mts.limits(per_second=None, per_minute=None, delay_seconds=None)
    operator = mts.operator()
    mts.fault("submit", "http_429", times=1, retry_after=1)
    submit(operator, Action.DEACTIVATE)
    mts.fault("submit", "drop_after", times=1)
    submit(operator, Action.DEACTIVATE)
    operator.read_state(sim=SIM)
    submit(operator, Action.ACTIVATE)

    came = mts.call("GET", f"/received/mts/{SIM.iccid}")["received"]

    assert [(one["call"], one["action"], one["client_saw"]) for one in came] == [
        ("submit", "deactivate", "refused"),
        ("submit", "deactivate", "lost"),
        ("read", "", "answered"),
        ("submit", "activate", "answered"),
    ]
    assert [one["number"] for one in came] == sorted(one["number"] for one in came)


def test_check_of_unknown_request_is_listed_at_every_card(mts):
    mts.limits(per_second=None, per_minute=None, delay_seconds=None)
    operator = mts.operator()
    mts.fault("submit", "accept_and_forget", times=1)
    forgotten = accepted(operator, Action.DEACTIVATE)
    checked(operator, forgotten.request_id, clock.now())

    came = mts.call("GET", f"/received/mts/{SIM.iccid}")["received"]

    assert [one["call"] for one in came] == ["submit", "check", "check"]


@pytest.mark.parametrize("path", ["/received/nobody/1", "/received/mts/1"])
def test_received_calls_of_unknown_card_are_not_found(mts, path):
    assert refused(mts, "GET", path) == 404


def test_change_from_outside_writes_no_effect(mts):
    mts.put(state="held", reason="debt", imei="1")

    shown = mts.state()

    assert shown["state"] == "held"
    assert shown["reason"] == "debt"
    assert shown["imei"] == "1"
    assert shown["effects"] == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"state": "inactive"}, "voluntary"),
        ({"state": "held"}, "operator"),
        ({"state": "active", "reason": "debt"}, None),
        ({"state": "inactive", "reason": "limit"}, "limit"),
    ],
)
def test_reason_fits_the_state(mts, given, reason):
    mts.put(**given)

    assert mts.state()["reason"] == reason


def test_switch_of_a_blocked_card_leaves_no_old_reason(mts):
    mts.put(state="inactive")

    settled(mts.operator(), Action.ACTIVATE)

    assert mts.state()["state"] == "active"
    assert mts.state()["reason"] is None


def test_operators_keep_their_cards_apart(mts, partner):
    settled(partner.operator(), Action.DEACTIVATE)

    assert mts.state()["state"] == "active"
    assert partner.state()["state"] == "inactive"


def test_number_moved_to_another_card_is_found_there(mts):
    mts.put(msisdn="79990000777")
    mts.put(Sim(STRANGER.iccid, SIM.msisdn), state="active")

    settled(mts.operator(), Action.DEACTIVATE)

    assert mts.actions(SIM) == []
    assert mts.actions(STRANGER) == ["deactivate"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/state/nobody", None, 404),
        ("GET", "/state/mts/89701010000000000777", None, 404),
        ("PUT", "/state/nobody/89701010000000000777", {}, 404),
        ("PUT", "/state/mts/89701010000000000777", {"state": "asleep"}, 400),
        ("PUT", "/state/mts/89701010000000000777", {"reason": "rain"}, 400),
        ("PUT", "/state/mts/89701010000000000777", {"colour": "red"}, 400),
        ("PUT", "/state/mts/89701010000000000777", {"msisdn": 7}, 400),
        ("PUT", "/state/mts/89701010000000000777", [], 400),
        ("POST", "/faults", {"operator": "mts", "call": "submit", "kind": "flood"}, 400),
        ("POST", "/faults", {"operator": "nobody", "call": "submit", "kind": "slow"}, 400),
        ("POST", "/faults", {"operator": "mts", "call": "dance", "kind": "slow"}, 400),
        ("POST", "/faults", {"operator": "mts", "kind": "slow", "times": 0.5}, 400),
        ("POST", "/faults", {"operator": "mts", "kind": "slow", "seconds": -1}, 400),
        ("PUT", "/limits/nobody", {}, 404),
        ("PUT", "/limits/mts", {"per_second": "many"}, 400),
    ],
)
def test_invalid_control_call_is_refused(mts, method, path, body, status):
    assert refused(mts, method, path, body) == status


# --- time --------------------------------------------------------------------------------------


def test_effect_is_dated_by_its_due_time_after_clock_advance(mts):
    mts.limits(delay_seconds=3600)
    operator, at = mts.operator(), clock.now()
    taken = accepted(operator, Action.DEACTIVATE)
    assert mts.actions() == []

    clock.advance(86400)

    check = operator.check(request_id=taken.request_id, sim=SIM, submitted_at=at, at=clock.now())
    [effect] = mts.state()["effects"]
    late = (datetime.fromisoformat(effect["at"]) - at).total_seconds()
    assert check.state is CheckState.COMPLETED
    assert late == pytest.approx(3600, abs=5)


def test_overlapping_requests_take_effect_in_due_order(mts):
    operator = mts.operator()
    mts.limits(delay_seconds=120)
    submit(operator, Action.ACTIVATE)
    mts.limits(delay_seconds=60)
    submit(operator, Action.DEACTIVATE)

    clock.advance(120)

    assert mts.actions() == ["deactivate", "activate"]


# --- quotas ------------------------------------------------------------------------------------


def rejected_at(limits: Limits, moments: list[float]) -> list[float]:
    """Which of the calls at these moments are refused."""
    gate = QuotaGate(limits)
    refused = []
    for moment in moments:
        try:
            gate.admit(moment)
        except OverQuota:
            refused.append(moment)
    return refused


def test_window_slides_and_refused_calls_do_not_fill_it():
    moments = [100, 100.5, 100.9, 101, 101.4, 101.5]

    assert rejected_at(Limits(per_second=2), moments) == [100.9, 101.4]


def test_minute_window_counts_beside_second_window():
    moments = [100, 110, 120, 159.9, 160]

    assert rejected_at(Limits(per_second=3, per_minute=3), moments) == [159.9]


def test_refusal_says_when_the_window_has_room():
    gate = QuotaGate(Limits(per_minute=2))
    gate.admit(100)
    gate.admit(130)

    with pytest.raises(OverQuota) as over:
        gate.admit(140)

    assert over.value.wait == 20


def test_concurrency_over_the_limit_is_refused(mts):
    operator = mts.operator()
    operator.ping()
    mts.limits(concurrency=1)
    mts.fault("read", "slow", seconds=2)
    slow = threading.Thread(target=mts.operator().read_state, kwargs={"sim": SIM})
    slow.start()
    while mts.state()["calls"]["read"] == 0:
        time.sleep(0.01)
    time.sleep(0.1)

    result = submit(operator, Action.DEACTIVATE)

    slow.join()
    assert kind_of(result) == ResultKind(result=Rejected, error=ErrorClass.RATE_LIMITED)
    assert isinstance(submit(operator, Action.DEACTIVATE), Accepted)


def test_limits_not_named_stay(mts):
    mts.limits(per_second=5, delay_seconds=2.5)

    mts.limits(per_second=None, per_minute=60)

    assert mts.call("GET", "/limits/mts") == {
        "per_second": None,
        "per_minute": 60,
        "concurrency": None,
        "delay_seconds": 2.5,
    }


# --- faults ------------------------------------------------------------------------------------


def test_fault_happens_the_given_number_of_times(mts):
    mts.fault("submit", "http_500", times=2)
    operator = mts.operator()

    results = [type(submit(operator, Action.DEACTIVATE)) for _ in range(3)]

    assert results == [Unknown, Unknown, Accepted]


def test_fault_of_one_operator_spares_the_other(mts, partner):
    mts.fault("submit", "http_500", times=None)

    submit(partner.operator(), Action.DEACTIVATE)

    assert partner.actions() == ["deactivate"]


def test_fault_with_zero_probability_never_happens(mts):
    mts.fault("submit", "http_500", times=None, probability=0)
    operator = mts.operator()

    results = {type(submit(operator, Action.DEACTIVATE)) for _ in range(20)}

    assert results == {Accepted}


def test_deleted_faults_are_over(mts):
    mts.fault("submit", "http_500", times=None)

    mts.call("DELETE", "/faults")

    assert isinstance(submit(mts.operator(), Action.DEACTIVATE), Accepted)


# --- calls that our adapters do not send -------------------------------------------------------


def test_mts_refuses_an_interval_over_a_day(mts):
    body = {
        "relatedParty": [{"characteristic": [{"name": "MSISDN", "value": SIM.msisdn}]}],
        "validFor": {
            "startDateTime": "2026-11-20T00:00:00",
            "endDateTime": "2026-11-21T00:00:01",
        },
    }

    status, answer = _post_as_client(mts, "/Product/CheckRequestStatus", body)

    assert status == 400
    assert answer == {"errorCode": "1100", "errorMessage": "Интервал больше одного дня"}


def test_mts_ignores_a_number_in_the_body(mts):
    body = {
        "msisdn": SIM.msisdn,
        "item": [{"action": "create", "product": {"externalID": "BL0005"}}],
    }

    status, answer = _post_as_client(mts, "/Product/ModifyProduct", body)

    assert status == 401
    assert answer == {"message": "Unauthorized"}


def _post_as_client(bench: RunningOperator, path: str, body: object) -> tuple[int, object]:
    """What the API says to a client that has just logged in."""
    base = f"{bench.url}/operators/mts"
    login = urllib.request.Request(  # noqa: S310
        f"{base}/token",
        data=b"grant_type=client_credentials",
        headers={"Authorization": "Basic ZGVtby1rZXk6ZGVtby1zZWNyZXQ="},
    )
    with urllib.request.urlopen(login, timeout=5) as answer:  # noqa: S310
        token = json.load(answer)["access_token"]
    request = urllib.request.Request(  # noqa: S310
        f"{base}/b2b/v1{path}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


# --- a restart ---------------------------------------------------------------------------------


def test_everything_but_tokens_outlives_a_restart(tmp_path, own_clock):
    file = tmp_path / "sandbox.json"
    with running("mts", KEYS, file) as bench:
        bench.limits(delay_seconds=3600)
        bench.fault("check", "odd_status")
        at = clock.now()
        taken = accepted(bench.operator(), Action.DEACTIVATE)
        before = bench.state()

    with serving([OperatorsPart()], port=0, state=file) as server:
        again = RunningOperator("mts", f"http://127.0.0.1:{server.server_port}", KEYS)
        restored = again.state()
        odd = checked(again.operator(), taken.request_id, at)
        clock.advance(3600)
        done = checked(again.operator(), taken.request_id, at)

        assert restored == before
        assert odd.text == "незнакомое состояние «Suspended?»"
        assert done.state is CheckState.COMPLETED
        assert again.actions() == ["deactivate"]
