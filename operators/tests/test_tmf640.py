"""TMF640: the common contract, and what only this protocol does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cabinet.clock import advance, now
from operators.ports import (
    Action,
    Already,
    Applied,
    BlockReason,
    Check,
    CheckState,
    ErrorClass,
    Reading,
    Rejected,
    SimState,
    Unavailable,
    Unknown,
)
from operators.tests.bench import (
    SIM,
    STRANGER,
    Bench,
    accepted,
    checked,
    own_clock,
    running,
    settled,
    submit,
)
from operators.tests.contract import OperatorContract

STATIC = {"token": "demo-partner-token"}


__all__ = ["own_clock"]


def reading(state: SimState, word: str, reason: BlockReason | None = None) -> Reading:
    return Reading(state, reason, raw=word, msisdn=SIM.msisdn, imei="356938035643809")


class TestTmf640(OperatorContract):
    code = "tmf640"
    credentials = {"client_id": "demo-client", "client_secret": "demo-client-secret"}
    wrong_credentials = {"client_secret": "not-the-secret"}
    done = Applied
    already = Already
    held = (Rejected, ErrorClass.HELD_BY_OPERATOR)
    in_maintenance = (Rejected, ErrorClass.MAINTENANCE)
    error_in_2xx = (Unknown, ErrorClass.UNKNOWN_OUTCOME)
    wrong_card = (Unknown, ErrorClass.UNKNOWN_OUTCOME)
    pause_without_retry_after = None
    readings = {
        ("new", None): reading(SimState.NEW, "reserved"),
        ("active", None): reading(SimState.ACTIVE, "active"),
        ("inactive", "voluntary"): reading(SimState.INACTIVE, "inactive", BlockReason.VOLUNTARY),
        ("inactive", "debt"): reading(SimState.HELD, "inactive", BlockReason.DEBT),
        ("held", "imei"): reading(SimState.HELD, "inactive", BlockReason.IMEI),
        ("retired", None): reading(SimState.RETIRED, "terminated"),
    }

    @pytest.fixture
    def bench(self, tmp_path: Path, own_clock: None) -> Iterator[Bench]:
        with running(self.code, self.credentials, tmp_path / "sandbox.json") as bench:
            token_url = f"{bench.url}/operators/tmf640/token"
            yield Bench(bench.code, bench.url, {**self.credentials, "token_url": token_url})


@pytest.fixture
def bench(tmp_path: Path, own_clock: None) -> Iterator[Bench]:
    with running("tmf640", STATIC, tmp_path / "sandbox.json") as bench:
        yield bench


def test_fixed_token_needs_no_login(bench):
    result = settled(bench.operator(), Action.DEACTIVATE)

    assert result == Applied("inactive")
    assert bench.state()["calls"] == {"auth": 0, "submit": 1, "check": 0, "read": 1}


def test_refused_fixed_token_is_not_renewed(bench):
    result = submit(bench.operator(token="wrong"), Action.DEACTIVATE)

    assert result == Rejected(
        ErrorClass.AUTH, "401", "The token is unknown or has expired", retry_after=None
    )


def test_account_without_any_keys_is_not_configured(bench):
    result = submit(bench.operator(token=""), Action.DEACTIVATE)

    assert result == Rejected(ErrorClass.CONFIGURATION, "no_keys", "не заданы ключи договора")


def test_repeat_with_the_same_key_changes_nothing_twice(bench):
    bench.fault("submit", "drop_after")
    operator = bench.operator()
    first = submit(operator, Action.DEACTIVATE)

    second = submit(operator, Action.DEACTIVATE)

    assert (first, second) == (
        Unknown("ответ оператора не получен целиком"),
        Already("inactive"),
    )
    assert bench.actions() == ["deactivate"]


def test_switch_overtaken_while_waiting_ends_as_already(bench):
    bench.limits(delay_seconds=60)
    operator, at = bench.operator(), now()
    taken = accepted(operator, Action.DEACTIVATE)
    bench.put(state="inactive")
    advance(60)

    check = checked(operator, taken.request_id, at)

    assert check == Check(
        CheckState.COMPLETED, "alreadyInState", "так уже и было", ErrorClass.ALREADY
    )


def test_card_held_while_waiting_ends_as_failed(bench):
    bench.limits(delay_seconds=60)
    operator, at = bench.operator(), now()
    taken = accepted(operator, Action.DEACTIVATE)
    bench.put(state="held", reason="debt")
    advance(60)

    check = checked(operator, taken.request_id, at)

    assert check == Check(
        CheckState.FAILED,
        "heldByOperator",
        "The service is held by the operator",
        ErrorClass.HELD_BY_OPERATOR,
    )


def test_service_of_another_card_is_not_read(bench):
    bench.fault("read", "wrong_id")

    with pytest.raises(Unavailable) as refused:
        bench.operator().read_state(sim=SIM)

    assert (refused.value.error, refused.value.code) == (ErrorClass.TRANSIENT, "wrong_id")


def test_service_of_another_card_is_not_switched(bench):
    bench.fault("read", "wrong_id")

    result = submit(bench.operator(), Action.DEACTIVATE)

    assert result == Rejected(
        ErrorClass.TRANSIENT, "wrong_id", "оператор ответил о другой смарт-карте"
    )
    assert bench.actions() == []


def test_maintenance_says_when_to_come_back(bench):
    bench.fault("submit", "maintenance", retry_after=120)

    result = submit(bench.operator(), Action.DEACTIVATE)

    assert result == Rejected(ErrorClass.MAINTENANCE, "503", "Maintenance", 120.0)


def test_switch_promised_at_once_and_forgotten_shows_in_a_read(bench):
    bench.fault("submit", "accept_and_forget")
    operator = bench.operator()

    result = submit(operator, Action.DEACTIVATE)

    assert result == Applied("inactive")
    assert operator.read_state(sim=SIM).state is SimState.ACTIVE


def test_search_by_card_is_not_in_the_contract(bench):
    with pytest.raises(Unavailable) as refused:
        bench.operator().check_by_sim(
            sim=STRANGER, action=Action.ACTIVATE, submitted_at=now(), at=now()
        )

    assert refused.value.error is ErrorClass.UNSUPPORTED
