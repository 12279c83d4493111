"""Why a request failed, as an event says it, in our words."""

from typing import Any

import pytest

from operators.events.event_mapping import MonitorChanged, ServiceChanged, read_event
from operators.ports import BlockReason, Check, CheckState, ErrorClass, Reading, SimState
from operators.tests.signing import ICCID, monitor_event, service_event


def failure(response: Any) -> Check:
    event = monitor_event(state="InError")
    event["event"]["monitor"] |= {"response": response}
    parsed = read_event(event["eventType"], event)
    assert isinstance(parsed, MonitorChanged)
    return parsed.check


def failed(code: str, text: str, error: ErrorClass) -> Check:
    return Check(CheckState.FAILED, code, text, error)


@pytest.mark.parametrize(
    ("response", "check"),
    [
        (
            {"statusCode": 409, "body": {"code": "heldByOperator", "reason": "Debt"}},
            failed("heldByOperator", "Debt", ErrorClass.HELD_BY_OPERATOR),
        ),
        (
            {"statusCode": "409", "body": '{"code": "alreadyInState", "message": "So"}'},
            Check(CheckState.COMPLETED, "alreadyInState", "So", ErrorClass.ALREADY),
        ),
        (
            {"statusCode": "404", "body": "<html>Not here</html>"},
            failed("404", "", ErrorClass.NOT_FOUND),
        ),
        ({"statusCode": "503", "body": "["}, failed("503", "", ErrorClass.MAINTENANCE)),
        ({"statusCode": "500", "body": "[" * 100_000}, failed("500", "", ErrorClass.TRANSIENT)),
        ({"statusCode": "422", "body": "[1]"}, failed("422", "", ErrorClass.INVALID)),
        ({"statusCode": "5", "body": None}, failed("5", "", ErrorClass.INVALID)),
        (None, failed("", "", ErrorClass.INVALID)),
    ],
)
def test_failure_is_put_in_our_words(response, check):
    assert failure(response) == check


@pytest.mark.parametrize(
    ("reason", "reading"),
    [
        (None, Reading(SimState.INACTIVE, BlockReason.VOLUNTARY, raw="inactive")),
        ("voluntary", Reading(SimState.INACTIVE, BlockReason.VOLUNTARY, raw="inactive")),
        ("debt", Reading(SimState.HELD, BlockReason.DEBT, raw="inactive")),
        ("solar wind", Reading(SimState.HELD, BlockReason.UNKNOWN, raw="inactive")),
        (["debt"], Reading(SimState.HELD, BlockReason.UNKNOWN, raw="inactive")),
        ({"code": "debt"}, Reading(SimState.HELD, BlockReason.UNKNOWN, raw="inactive")),
        (17, Reading(SimState.HELD, BlockReason.UNKNOWN, raw="inactive")),
    ],
)
def test_reason_of_an_inactive_service_is_put_in_our_words(reason, reading):
    event = service_event(reason=reason)

    parsed = read_event(event["eventType"], event)

    assert parsed == ServiceChanged(ICCID, reading)
