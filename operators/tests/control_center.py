"""The common contract as Control Center keeps it: no logins, no request numbers, checks are reads.

Two adapters are tried by it: the one in code, and the same protocol by a profile.
"""

from typing import Any, ClassVar

import pytest

from cabinet.clock import advance, now
from operators.ports import (
    Accepted,
    Action,
    Applied,
    BlockReason,
    CheckState,
    ErrorClass,
    Reading,
    Rejected,
    SimState,
    Unavailable,
    Unknown,
)
from operators.tests.contract import OperatorContract
from operators.tests.sandbox_operator import (
    SIM,
    ResultKind,
    RunningOperator,
    accepted,
    checked,
    kind_of,
    settled,
    submit,
)

KEYS = {"username": "demo-user", "api_key": "demo-api-key"}
IMEI = "356938035643809"


def reading(state: SimState, word: str, reason: BlockReason | None = None) -> Reading:
    return Reading(state, reason, raw=word, msisdn=SIM.msisdn, imei=IMEI)


_NO_LOGIN = "keys go with every call: there is no login to lose, and no token to run out"


class ControlCenterContract(OperatorContract):
    column = "control center"
    code = "control_center"
    does_not_apply = dict.fromkeys(
        (
            "test_expired_token_is_renewed_once_and_the_call_repeated_once",
            "test_token_refused_again_is_given_up",
            "test_workers_with_one_stale_token_log_in_once",
            "test_token_store_away_means_not_sent",
            "test_lost_login_means_not_sent",
        ),
        _NO_LOGIN,
    )
    wrong_credentials = {"api_key": "not-the-key"}
    done = Applied
    already = Applied
    held = (Rejected, ErrorClass.HELD_BY_OPERATOR)
    in_maintenance = (Unknown, ErrorClass.MAINTENANCE)
    error_in_2xx = (Unknown, ErrorClass.UNKNOWN_OUTCOME)
    wrong_card: ClassVar[Any] = (Unknown, ErrorClass.UNKNOWN_OUTCOME)
    pause_without_retry_after: ClassVar[float | None] = 2.0
    readings = {
        ("new", None): reading(SimState.NEW, "ACTIVATION_READY"),
        ("active", None): reading(SimState.ACTIVE, "ACTIVATED"),
        ("inactive", "voluntary"): reading(SimState.INACTIVE, "DEACTIVATED", BlockReason.VOLUNTARY),
        ("held", "fraud"): reading(SimState.INACTIVE, "DEACTIVATED", BlockReason.VOLUNTARY),
        ("retired", None): reading(SimState.RETIRED, "RETIRED"),
    }

    def test_wrong_credentials_are_refused_before_the_switch(self, bench):
        operator = bench.operator(**self.wrong_credentials)

        result = submit(operator, Action.DEACTIVATE)

        assert kind_of(result) == ResultKind(result=Rejected, error=ErrorClass.AUTH)
        assert bench.actions() == []
        with pytest.raises(Unavailable) as refused:
            operator.ping()
        assert refused.value.error is ErrorClass.AUTH

    def test_account_without_keys_is_not_configured(self, bench):
        result = submit(bench.operator(api_key=""), Action.DEACTIVATE)

        assert result == Rejected(ErrorClass.CONFIGURATION, "no_keys", "не заданы ключи договора")
        assert bench.state()["calls"]["submit"] == 0

    def test_switch_takes_two_calls(self, bench):
        result = submit(bench.operator(), Action.DEACTIVATE)

        assert result == Applied("DEACTIVATED")
        assert bench.state()["calls"] == {"auth": 0, "submit": 1, "check": 0, "read": 1}

    def test_quota_exhausted_before_the_read_defers_the_check(self, bench):
        bench.limits(per_minute=1)

        result = submit(bench.operator(), Action.DEACTIVATE)

        assert isinstance(result, Accepted)
        assert result.retry_in is not None
        assert bench.actions() == ["deactivate"]

    @pytest.mark.parametrize("kind", ["drop_after", "http_500", "garbage", "wrong_id"])
    def test_switch_whose_read_went_wrong_is_asked_about_later(self, bench, kind):
        bench.fault("read", kind)
        operator, at = bench.operator(), now()

        taken = accepted(operator, Action.DEACTIVATE)
        check = checked(operator, taken.request_id, at)

        assert check.state is CheckState.COMPLETED
        assert bench.actions() == ["deactivate"]

    def test_request_accepted_and_forgotten_is_lost(self, bench):
        # Nobody can tell it from one that takes long: the deadline settles it.
        bench.fault("submit", "accept_and_forget")

        result = settled(bench.operator(), Action.DEACTIVATE)

        assert kind_of(result) == ResultKind(result=CheckState.PENDING, error=None)
        assert bench.actions() == []

    def test_unknown_word_of_a_status_is_pending(self, bench):
        bench.fault("read", "odd_status", times=2)

        result = settled(bench.operator(), Action.DEACTIVATE)

        assert kind_of(result) == ResultKind(result=CheckState.PENDING, error=None)

    @pytest.mark.parametrize("kind", ["drop_after", "http_500", "garbage", "half_body", "wrong_id"])
    def test_bad_answer_to_a_check_teaches_nothing(self, bench, kind):
        bench.limits(delay_seconds=60)
        operator, at = bench.operator(), now()
        taken = accepted(operator, Action.DEACTIVATE)
        bench.fault("read", kind)

        with pytest.raises(Unavailable):
            checked(operator, taken.request_id, at)

        advance(60)
        assert checked(operator, taken.request_id, at).state is CheckState.COMPLETED

    def test_card_of_an_unknown_word_is_read_as_unknown(self, bench):
        bench.fault("read", "odd_status")

        assert bench.operator().read_state(sim=SIM) == reading(SimState.UNKNOWN, "POSTPONED")

    def test_card_retired_while_waiting_ends_as_failed(self, bench):
        bench.limits(delay_seconds=60)
        operator, at = bench.operator(), now()
        taken = accepted(operator, Action.DEACTIVATE)
        bench.put(state="retired")

        check = checked(operator, taken.request_id, at)

        assert kind_of(check) == ResultKind(result=CheckState.FAILED, error=ErrorClass.INVALID)

    def test_retired_card_is_refused(self, bench):
        bench.put(state="retired")

        result = submit(bench.operator(), Action.ACTIVATE)

        assert kind_of(result) == ResultKind(result=Rejected, error=ErrorClass.INVALID)

    def test_changes_are_listed_page_by_page(self, bench):
        since = now()
        for number in range(51):
            add(bench, number)
        operator = bench.operator()
        operator.list_changes(since=since, cursor="")
        advance(60)
        submit(operator, Action.DEACTIVATE)

        first = operator.list_changes(since=since, cursor="")
        second = operator.list_changes(since=since, cursor=first.next_cursor)

        assert len(first.items) == 50
        assert len(second.items) == 2
        assert second.next_cursor is None
        # The search tells neither number nor IMEI, and the latest change is the last.
        iccid, reading = second.items[-1]
        assert iccid == SIM.iccid
        assert reading == Reading(SimState.INACTIVE, BlockReason.VOLUNTARY, raw="DEACTIVATED")
        assert {iccid for iccid, _ in first.items + second.items} == everybody(bench)

    def test_nothing_changed_is_one_empty_page(self, bench):
        operator = bench.operator()
        operator.list_changes(since=now(), cursor="")
        advance(60)

        changes = operator.list_changes(since=now(), cursor="")

        assert changes.items == ()
        assert changes.next_cursor is None

    def test_lost_list_of_changes_teaches_nothing(self, bench):
        bench.fault("read", "garbage")

        with pytest.raises(Unavailable) as refused:
            bench.operator().list_changes(since=now(), cursor="")

        assert refused.value.error is ErrorClass.TRANSIENT


def add(bench: RunningOperator, number: int) -> None:
    bench.call("PUT", f"/state/{bench.code}/89701010000001{number:06}", {"state": "active"})


def everybody(bench: RunningOperator) -> set[str]:
    return {sim["iccid"] for sim in bench.call("GET", f"/state/{bench.code}")["sims"]}
