"""Descriptions and answers that once passed for a switch that was not made, or for a sick operator."""

from typing import Any

import pytest

from operators.classification import Health, classify
from operators.ports import Accepted, Action, CheckState, SimState
from operators.tests.declarative_server import (
    SMALL,
    described_operator,
    profile,
    replies,
)
from operators.tests.sandbox_operator import SIM, submit
from operators.tests.test_declarative_operators import ICCID, READ_PATH, check

ON = {"method": "POST", "path": "/sims/{iccid}/on"}
SCHEDULED = {"iccid": ICCID, "status": "scheduled"}
BY_STATUS = {"iccid": "body.iccid", "state": "body.status"}
WORDS = {"words": {"active": "active", "inactive": "inactive", "scheduled": "pending"}}
# «active» and «inactive» are both the end of a request that reports the card's own state.
BOTH_DONE: dict[str, Any] = profile(
    ON | {"answer": {"request_id": "body.job"}},
    calls={
        "read": {"path": "/sims/{iccid}", "answer": BY_STATUS},
        "check": {"path": "/jobs/{request_id}", "answer": {"result": "body.status"}},
    },
    states=WORDS,
    results={"words": {"active": "done", "inactive": "done"}},
)


def test_old_state_that_counts_as_done_is_no_success(tmp_path):
    handlers = {
        f"POST /sims/{ICCID}/on": replies({"job": "77"}, 202),
        "GET /jobs/77": replies({"status": "inactive"}),
        READ_PATH: replies({"iccid": ICCID, "status": "inactive"}),
    }

    with described_operator(tmp_path, BOTH_DONE, {}, handlers) as (operator, _):
        accepted = submit(operator, Action.ACTIVATE)
        asked = check(operator, accepted.request_id)

    assert accepted == Accepted("activate:77")
    assert asked.state is CheckState.PENDING


@pytest.mark.parametrize("status", [200, 202])
def test_transitional_state_is_a_pending_switch(tmp_path, status):
    described = profile(
        ON | {"answer": BY_STATUS},
        calls={"read": {"path": "/sims/{iccid}", "answer": BY_STATUS}},
        states=WORDS,
    )
    handlers = {
        f"POST /sims/{ICCID}/on": replies(SCHEDULED, status),
        READ_PATH: replies(SCHEDULED),
    }

    with described_operator(tmp_path, described, {}, handlers) as (operator, _):
        accepted = submit(operator, Action.ACTIVATE, key="k-1")
        asked = check(operator, accepted.request_id)
        seen = operator.read_state(sim=SIM)

    assert accepted == Accepted("read:activate:k-1")
    assert (asked.state, seen.state) == (CheckState.PENDING, SimState.UNKNOWN)


def test_five_scheduled_switches_say_the_operator_is_well(tmp_path):
    handlers = {f"POST /sims/{ICCID}/on": replies({"iccid": ICCID, "state": "scheduled"}, 202)}

    with described_operator(tmp_path, SMALL | {"states": WORDS}, {}, handlers) as (operator, _):
        results = [classify(submit(operator, Action.ACTIVATE)) for _ in range(5)]

    assert [one.health for one in results] == [Health.GOOD] * 5
    assert [one.error for one in results] == [None] * 5
