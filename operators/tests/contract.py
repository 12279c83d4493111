"""What every adapter must do, tried against the real sandbox over real HTTP.

A new operator gets a class derived from `OperatorContract` in a test module of its own, with its
row of facts. The cases of the class are the same for all; an answer that differs between operators
for a good reason is one of the facts.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cabinet.clock import advance, now
from operators import registry
from operators.ports import (
    Accepted,
    Action,
    Applied,
    CheckState,
    ErrorClass,
    Reading,
    Rejected,
    Unavailable,
    Unknown,
)
from operators.tests.contract_table import Contract
from operators.tests.sandbox_operator import (
    SIM,
    STRANGER,
    MemoryTokens,
    ResultKind,
    RunningOperator,
    accepted,
    checked,
    kind_of,
    running,
    settled,
    submit,
)


class OperatorContract(Contract):
    """The cases; a derived class states the facts in which its operator differs.

    What does not apply to it is named in `does_not_apply`, with the reason.
    """

    code: ClassVar[str]
    credentials: ClassVar[Mapping[str, str]]
    wrong_credentials: ClassVar[Mapping[str, str]]
    done: ClassVar[Any]
    already: ClassVar[Any]
    held: ClassVar[Any]
    in_maintenance: ClassVar[Any]
    error_in_2xx: ClassVar[Any]
    wrong_card: ClassVar[Any]
    pause_without_retry_after: ClassVar[float | None]
    readings: ClassVar[Mapping[tuple[str, str | None], Reading]]

    @pytest.fixture
    def bench(self, tmp_path: Path, own_clock: None) -> Iterator[RunningOperator]:
        with running(self.code, self.credentials, tmp_path / "sandbox.json") as bench:
            yield bench

    # --- it goes well ---------------------------------------------------------------------------

    def test_class_satisfies_the_port(self):
        assert registry.problem(self.code) == ""

    def test_switch_off_and_on_are_done_once_each(self, bench):
        operator = bench.operator()

        off = settled(operator, Action.DEACTIVATE)
        on = operator.submit(action=Action.ACTIVATE, sim=SIM, key="k-2", at=now())

        assert kind_of(off) == self.done
        assert isinstance(on, Accepted | Applied)
        assert bench.actions() == ["deactivate", "activate"]
        assert bench.state()["state"] == "active"

    def test_new_card_is_switched_on(self, bench):
        bench.put(state="new")

        result = settled(bench.operator(), Action.ACTIVATE)

        assert kind_of(result) == self.done
        assert bench.actions() == ["activate"]

    def test_accepted_request_is_pending_and_then_completed(self, bench):
        bench.limits(delay_seconds=3600)
        operator, at = bench.operator(), now()

        taken = accepted(operator, Action.DEACTIVATE)
        early = checked(operator, taken.request_id, at)
        before = bench.actions()
        advance(3600)
        late = checked(operator, taken.request_id, at)

        assert early.state == CheckState.PENDING
        assert before == []
        assert late.state == CheckState.COMPLETED
        assert bench.actions() == ["deactivate"]

    def test_card_already_in_the_state_is_distinguished(self, bench):
        bench.put(state="inactive")

        result = settled(bench.operator(), Action.DEACTIVATE)

        assert kind_of(result) == self.already
        assert bench.actions() == []

    def test_ping_answers_with_a_sentence(self, bench):
        assert bench.operator().ping().endswith(".")

    def test_every_state_is_read_as_far_as_the_operator_reports(self, bench):
        seen = {}

        for state, reason in self.readings:
            bench.put(state=state, reason=reason)
            seen[state, reason] = bench.operator().read_state(sim=SIM)

        assert seen == self.readings

    def test_other_shapes_of_the_answers_are_understood(self, bench):
        bench.fault("", "other_shape", times=None)
        operator = bench.operator()

        before, off = operator.read_state(sim=SIM), settled(operator, Action.DEACTIVATE)
        after = operator.read_state(sim=SIM)

        assert kind_of(off) == self.done
        assert bench.actions() == ["deactivate"]
        assert before == self.readings["active", None]
        assert after == self.readings["inactive", "voluntary"]

    # --- it is refused: surely not done ---------------------------------------------------------

    def test_unknown_card_is_not_found(self, bench):
        result = settled(bench.operator(), Action.ACTIVATE, STRANGER)

        assert kind_of(result) == ResultKind(result=Rejected, error=ErrorClass.NOT_FOUND)

    def test_held_card_stays_held(self, bench):
        bench.put(state="held", reason="debt")

        result = settled(bench.operator(), Action.ACTIVATE)

        assert kind_of(result) == self.held
        assert bench.actions() == []

    def test_wrong_credentials_are_refused_before_the_switch(self, bench):
        operator = bench.operator(**self.wrong_credentials)

        result = submit(operator, Action.DEACTIVATE)

        assert kind_of(result) == ResultKind(result=Rejected, error=ErrorClass.AUTH)
        assert bench.state()["calls"]["submit"] == 0
        with pytest.raises(Unavailable) as refused:
            operator.ping()
        assert refused.value.error is ErrorClass.AUTH

    def test_expired_token_is_renewed_once_and_the_call_repeated_once(self, bench):
        bench.fault("submit", "expired_token")

        result = settled(bench.operator(), Action.DEACTIVATE)

        assert kind_of(result) == self.done
        assert bench.actions() == ["deactivate"]
        calls = bench.state()["calls"]
        assert calls["auth"] == 2
        assert calls["submit"] == 2

    def test_token_refused_again_is_given_up(self, bench):
        bench.fault("submit", "expired_token", times=None)

        result = submit(bench.operator(), Action.DEACTIVATE)

        assert kind_of(result) == ResultKind(result=Rejected, error=ErrorClass.AUTH)
        calls = bench.state()["calls"]
        assert calls["auth"] == 2
        assert calls["submit"] == 2

    def test_workers_with_one_stale_token_log_in_once(self, bench):
        tokens = MemoryTokens(kept={f"token:test-{self.code}": "stale"})
        workers = [
            threading.Thread(target=bench.operator(tokens=tokens).read_state, kwargs={"sim": SIM})
            for _ in range(6)
        ]

        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

        assert bench.state()["calls"]["auth"] == 1

    def test_token_store_away_means_not_sent(self, bench):
        result = submit(bench.operator(tokens=MemoryTokens(away=True)), Action.DEACTIVATE)

        assert kind_of(result) == ResultKind(result=Rejected, error=ErrorClass.TRANSIENT)
        assert bench.state()["calls"]["submit"] == 0

    @pytest.mark.parametrize(
        "kind", ["drop_after", "html_page", "cp1251_page", "empty_body", "cut_body"]
    )
    def test_lost_login_means_not_sent(self, bench, kind):
        bench.fault("auth", kind)

        result = submit(bench.operator(), Action.DEACTIVATE)

        assert kind_of(result) == ResultKind(result=Rejected, error=ErrorClass.TRANSIENT)
        assert bench.state()["calls"]["submit"] == 0

    def test_operator_away_means_not_sent(self, bench):
        gone = RunningOperator(self.code, "http://127.0.0.1:1", bench.credentials)

        result = submit(gone.operator(), Action.DEACTIVATE)

        assert result == Rejected(
            ErrorClass.TRANSIENT, "not_sent_refused", "оператор не принимает соединение"
        )

    @pytest.mark.parametrize("given", [None, 7])
    def test_too_many_calls_say_when_to_come_back(self, bench, given):
        bench.fault("submit", "http_429", retry_after=given)

        result = submit(bench.operator(), Action.DEACTIVATE)

        assert isinstance(result, Rejected)
        assert result.error is ErrorClass.RATE_LIMITED
        assert result.retry_after == (given or self.pause_without_retry_after)
        assert bench.actions() == []

    def test_quota_of_the_operator_is_kept_and_counted(self, bench):
        operator = bench.operator()
        operator.read_state(sim=SIM)
        bench.limits(per_minute=1)

        with pytest.raises(Unavailable) as refused:
            operator.read_state(sim=SIM)

        assert refused.value.error is ErrorClass.RATE_LIMITED
        assert refused.value.retry_after is not None
        assert bench.call("GET", f"/state/{self.code}")["rejected_by_quota"] == 1

    # --- nobody knows ---------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("kind", "done"),
        [
            ("drop_before", []),
            ("http_500", []),
            ("drop_after", ["deactivate"]),
            ("garbage", ["deactivate"]),
            ("half_body", ["deactivate"]),
            ("no_id", ["deactivate"]),
            ("login_redirect", []),
            ("html_page", ["deactivate"]),
            ("cp1251_page", ["deactivate"]),
            ("empty_body", ["deactivate"]),
            ("cut_body", ["deactivate"]),
        ],
    )
    def test_bad_answer_to_a_switch_is_an_unknown_outcome(self, bench, kind, done):
        bench.fault("submit", kind)

        result = submit(bench.operator(), Action.DEACTIVATE)

        assert isinstance(result, Unknown)
        assert bench.actions() == done
        assert bench.state()["calls"]["submit"] == 1

    @pytest.mark.parametrize(("kind", "pause"), [("drip", 0.2), ("slow", 6)])
    def test_slow_answer_ends_with_the_call_s_time(self, bench, kind, pause):
        bench.fault("submit", kind, seconds=pause)
        started = time.monotonic()

        result = submit(bench.operator(timeout=1), Action.DEACTIVATE)

        assert result == Unknown("оператор не успел ответить")
        assert time.monotonic() - started < 6
        assert bench.actions() == ["deactivate"]

    def test_nightly_works_are_recognised(self, bench):
        bench.fault("submit", "maintenance")

        result = submit(bench.operator(), Action.DEACTIVATE)

        assert kind_of(result) == self.in_maintenance
        assert bench.actions() == []

    def test_error_inside_a_success_is_no_success(self, bench):
        bench.fault("submit", "error_in_2xx")

        result = submit(bench.operator(), Action.DEACTIVATE)

        assert kind_of(result) == self.error_in_2xx

    def test_answer_about_another_card_proves_nothing(self, bench):
        bench.put(STRANGER, state="active")
        bench.fault("submit", "wrong_id")

        try:
            result = kind_of(settled(bench.operator(), Action.DEACTIVATE))
        except Unavailable as error:
            result = error.code

        assert result == self.wrong_card
        assert bench.actions() == ["deactivate"]

    def test_request_accepted_and_forgotten_is_lost(self, bench):
        bench.limits(delay_seconds=60)
        bench.fault("submit", "accept_and_forget")

        result = settled(bench.operator(), Action.DEACTIVATE)

        assert kind_of(result) == ResultKind(result=CheckState.LOST, error=None)
        assert bench.actions() == []

    # --- questions ------------------------------------------------------------------------------

    def test_unknown_word_of_a_status_is_pending(self, bench):
        bench.limits(delay_seconds=60)
        bench.fault("check", "odd_status")

        result = settled(bench.operator(), Action.DEACTIVATE)

        assert kind_of(result) == ResultKind(result=CheckState.PENDING, error=None)

    @pytest.mark.parametrize(
        "kind",
        [
            "drop_before",
            "drop_after",
            "http_500",
            "http_429",
            "garbage",
            "half_body",
            "maintenance",
            "login_redirect",
            "html_page",
            "cp1251_page",
            "empty_body",
            "cut_body",
        ],
    )
    def test_bad_answer_to_a_question_teaches_nothing(self, bench, kind):
        bench.fault("read", kind)
        operator = bench.operator()

        with pytest.raises(Unavailable):
            operator.read_state(sim=SIM)

        assert operator.read_state(sim=SIM) == self.readings["active", None]

    @pytest.mark.parametrize(
        "kind",
        [
            "drop_after",
            "http_500",
            "garbage",
            "half_body",
            "wrong_id",
            "login_redirect",
            "html_page",
            "cp1251_page",
            "empty_body",
            "cut_body",
        ],
    )
    def test_bad_answer_to_a_check_teaches_nothing(self, bench, kind):
        bench.limits(delay_seconds=60)
        operator, at = bench.operator(), now()
        taken = accepted(operator, Action.DEACTIVATE)
        bench.fault("check", kind)

        with pytest.raises(Unavailable):
            checked(operator, taken.request_id, at)

        advance(60)
        assert checked(operator, taken.request_id, at).state is CheckState.COMPLETED

    def test_unknown_request_is_lost(self, bench):
        stranger = "00000000-0000-4000-8000-000000000001"

        check = checked(bench.operator(), stranger, now())

        assert check.state is CheckState.LOST

    def test_secrets_never_reach_the_log(self, bench, caplog):
        caplog.set_level("INFO")

        settled(bench.operator(), Action.DEACTIVATE)

        assert f"test-{self.code} submit" in caplog.text
        ours = [record.getMessage() for record in caplog.records if "operators" in record.name]
        assert not [
            line
            for line in ours
            for secret in (*self.credentials.values(), SIM.msisdn, SIM.iccid)
            if secret in line
        ]
