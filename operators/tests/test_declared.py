"""Operators by configuration: the common contract, kept by profiles of two played operators."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from operators import registry
from operators.ports import Action, ErrorClass, Rejected, StateQuality
from operators.tests import test_tmf640
from operators.tests.bench import Bench, own_clock, running, submit
from operators.tests.contract import OperatorContract
from operators.tests.control_center import ControlCenterContract
from operators.tests.described import EXAMPLES, DescribedBench, document

__all__ = ["own_clock"]
TMF640 = document(EXAMPLES / "tmf640.json")
BY_LINKS = {
    **TMF640,
    "calls": {
        **TMF640["calls"],
        **{
            name: {
                **TMF640["calls"][name],
                "answer": {
                    **TMF640["calls"][name]["answer"],
                    "request_id": "header:Location:link",
                },
            }
            for name in ("activate", "deactivate")
        },
        "check": {
            **TMF640["calls"]["check"],
            "path": "{request_id}",
            "answer": {**TMF640["calls"]["check"]["answer"], "request_id": None},
        },
    },
}
CONTROL_CENTER = document(Path(__file__).with_name("data") / "declared_control_center.json")


class Described:
    """What differs from an adapter in code: the class behind the code, and where it is bound."""

    def test_class_satisfies_the_port(self):
        assert registry.problem("declared") == ""

    def test_operator_away_means_not_sent(self, bench):
        gone = replace(bench, url="http://127.0.0.1:1")

        result = submit(gone.operator(), Action.DEACTIVATE)

        assert result == Rejected(
            ErrorClass.TRANSIENT, "not_sent_refused", "оператор не принимает соединение"
        )


class TestTmf640ByProfile(Described, OperatorContract):
    column = "declared tmf640"
    code = "tmf640"
    credentials = {"client_id": "demo-client", "client_secret": "demo-client-secret"}
    wrong_credentials = {"client_secret": "not-the-secret"}
    done = test_tmf640.TestTmf640.done
    already = test_tmf640.TestTmf640.already
    held = test_tmf640.TestTmf640.held
    in_maintenance = test_tmf640.TestTmf640.in_maintenance
    error_in_2xx = test_tmf640.TestTmf640.error_in_2xx
    wrong_card = test_tmf640.TestTmf640.wrong_card
    pause_without_retry_after = None
    readings = test_tmf640.TestTmf640.readings

    @pytest.fixture
    def bench(self, tmp_path: Path, own_clock: None) -> Iterator[Bench]:
        with running(self.code, self.credentials, tmp_path / "sandbox.json") as bench:
            yield DescribedBench(bench.code, bench.url, self.credentials, TMF640)


class TestTmf640ByLinks(TestTmf640ByProfile):
    """The same, but each request is asked about at the address that the operator names."""

    column = "declared tmf640 by links"

    @pytest.fixture
    def bench(self, tmp_path: Path, own_clock: None) -> Iterator[Bench]:
        with running(self.code, self.credentials, tmp_path / "sandbox.json") as bench:
            yield DescribedBench(bench.code, bench.url, self.credentials, BY_LINKS)

    @pytest.mark.parametrize("kind", ["drop_after", "http_500", "garbage", "half_body"])
    def test_bad_answer_to_a_check_teaches_nothing(self, bench, kind):
        """All but a foreign `id`: the answer is known by the address that it came from."""
        super().test_bad_answer_to_a_check_teaches_nothing(bench, kind)


class TestControlCenterByProfile(Described, ControlCenterContract):
    column = "declared control center"
    credentials = {"username": "demo-user", "password": "demo-api-key"}
    wrong_credentials = {"password": "not-the-key"}

    @pytest.fixture
    def bench(self, tmp_path: Path, own_clock: None) -> Iterator[Bench]:
        with running(self.code, self.credentials, tmp_path / "sandbox.json") as bench:
            yield DescribedBench(bench.code, bench.url, self.credentials, CONTROL_CENTER)

    def test_account_without_keys_is_not_configured(self, bench):
        result = submit(bench.operator(password=""), Action.DEACTIVATE)

        assert result == Rejected(ErrorClass.CONFIGURATION, "no_keys", "не заданы ключи договора")
        assert bench.state()["calls"]["submit"] == 0


def test_two_adapters_of_one_protocol_can_do_the_same():
    names = ("key", "asynchronous", "state_quality", "per_second", "concurrency", "poll_plan")

    by_profile, by_code = registry.capabilities("declared", TMF640), registry.capabilities("tmf640")

    assert [getattr(by_profile, name) for name in names] == [
        getattr(by_code, name) for name in names
    ]


def test_class_alone_promises_nothing():
    assert registry.capabilities("declared").state_quality is StateQuality.NONE
    assert [code for code in registry.codes() if registry.is_declarative(code)] == ["declared"]
