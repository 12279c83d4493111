"""Declarative operators: the common contract, kept by descriptions of two played operators."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from operators import registry
from operators.ports import (
    Action,
    Applied,
    CheckState,
    ErrorClass,
    Rejected,
    StateQuality,
    Unknown,
)
from operators.tests import test_tmf640
from operators.tests.contract import OperatorContract
from operators.tests.control_center import ControlCenterContract
from operators.tests.declarative_server import EXAMPLES, RunningDescribedOperator, document
from operators.tests.sandbox_operator import (
    ResultKind,
    RunningOperator,
    kind_of,
    own_clock,
    running,
    settled,
    submit,
)

__all__ = ["own_clock"]
TMF640 = document(EXAMPLES / "tmf640.json")
CONTROL_CENTER = document(Path(__file__).with_name("data") / "declarative_control_center.json")


class Described:
    """What differs from an adapter in code: an unclear answer is followed by a reading at once."""

    def test_class_satisfies_the_port(self):
        assert registry.problem("declared") == ""

    def test_operator_away_means_not_sent(self, bench):
        gone = replace(bench, url="http://127.0.0.1:1")

        result = submit(gone.operator(), Action.DEACTIVATE)

        assert result == Rejected(
            ErrorClass.TRANSIENT, "not_sent_refused", "оператор не принимает соединение"
        )

    @pytest.mark.parametrize(
        ("kind", "done"),
        [
            ("drop_before", []),
            ("http_500", []),
            ("drop_after", ["deactivate"]),
            ("half_body", ["deactivate"]),
        ],
    )
    def test_bad_answer_to_a_switch_is_an_unknown_outcome(self, bench, kind, done):
        bench.fault("submit", kind)

        result = submit(bench.operator(), Action.DEACTIVATE)

        assert isinstance(result, Unknown)
        assert bench.actions() == done
        assert bench.state()["calls"]["submit"] == 1

    @pytest.mark.parametrize("kind", ["garbage", "no_id", "wrong_id"])
    def test_unclear_answer_to_a_switch_is_proven_by_a_reading(self, bench, kind):
        bench.fault("submit", kind)

        result = settled(bench.operator(), Action.DEACTIVATE)

        assert kind_of(result) in ResultKind(result=Applied, error=(CheckState.COMPLETED, None))
        assert bench.actions() == ["deactivate"]
        assert bench.state()["calls"]["submit"] == 1


class TestTmf640ByDescription(Described, OperatorContract):
    column = "declarative tmf640"
    code = "tmf640"
    credentials = {"client_id": "demo-client", "client_secret": "demo-client-secret"}
    wrong_credentials = {"client_secret": "not-the-secret"}
    done = test_tmf640.TestTmf640.done
    already = test_tmf640.TestTmf640.already
    held = test_tmf640.TestTmf640.held
    in_maintenance = (Unknown, ErrorClass.MAINTENANCE)
    # A code that the description does not list: the card is read, and it shows the work.
    error_in_2xx = Applied
    wrong_card = Applied
    pause_without_retry_after = None
    readings = test_tmf640.TestTmf640.readings

    @pytest.fixture
    def bench(self, tmp_path: Path, own_clock: None) -> Iterator[RunningOperator]:
        with running(self.code, self.credentials, tmp_path / "sandbox.json") as bench:
            yield RunningDescribedOperator(bench.code, bench.url, self.credentials, TMF640)


class TestControlCenterByDescription(Described, ControlCenterContract):
    column = "declarative control center"
    credentials = {"username": "demo-user", "password": "demo-api-key"}
    wrong_credentials = {"password": "not-the-key"}
    wrong_card: ClassVar[Any] = Applied

    @pytest.fixture
    def bench(self, tmp_path: Path, own_clock: None) -> Iterator[RunningOperator]:
        with running(self.code, self.credentials, tmp_path / "sandbox.json") as bench:
            yield RunningDescribedOperator(bench.code, bench.url, self.credentials, CONTROL_CENTER)

    def test_account_without_keys_is_not_configured(self, bench):
        result = submit(bench.operator(password=""), Action.DEACTIVATE)

        assert result == Rejected(ErrorClass.CONFIGURATION, "no_keys", "не заданы ключи договора")
        assert bench.state()["calls"]["submit"] == 0


def test_description_and_adapter_of_one_protocol_can_do_the_same():
    names = ("key", "asynchronous", "state_quality", "per_second", "concurrency", "poll_plan")

    described, in_code = registry.capabilities("declared", TMF640), registry.capabilities("tmf640")

    assert {name: getattr(described, name) for name in names} == {
        name: getattr(in_code, name) for name in names
    }


@pytest.mark.parametrize("profile", [None, {}, {"title": "of an older language"}])
def test_unusable_description_promises_nothing(profile):
    assert registry.capabilities("declared", profile).state_quality is StateQuality.NONE


def test_only_one_protocol_is_declarative():
    assert [code for code in registry.codes() if registry.is_declarative(code)] == ["declared"]
