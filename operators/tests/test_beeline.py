"""Билайн: the common contract, and what only this operator does, against the played one."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cabinet.clock import advance, now
from operators.adapters import wsdl
from operators.adapters.wsdl import SoapFault
from operators.client.http import HttpClient, HttpExchange
from operators.ports import (
    Action,
    Already,
    BlockReason,
    CallKind,
    Check,
    CheckState,
    ErrorClass,
    Reading,
    Rejected,
    SimState,
    Unavailable,
    Unknown,
)
from operators.tests.beeline import BOMB, KEYS, blocked, resting
from operators.tests.contract import OperatorContract
from operators.tests.sandbox_operator import (
    SIM,
    STRANGER,
    MemoryTokens,
    RunningOperator,
    accepted,
    checked,
    make_operator,
    own_clock,
    running,
    submit,
)

__all__ = ["own_clock"]


class TestBeeline(OperatorContract):
    column = code = "beeline"
    credentials = KEYS
    wrong_credentials = {"password": "not-the-password"}
    done = (CheckState.COMPLETED, None)
    already = Already
    held = (Rejected, ErrorClass.HELD_BY_OPERATOR)
    in_maintenance = (Unknown, ErrorClass.MAINTENANCE)
    error_in_2xx = (Rejected, ErrorClass.FORBIDDEN)
    wrong_card = "wrong_id"
    pause_without_retry_after = 30.0
    readings = {
        ("active", None): Reading(SimState.ACTIVE, raw="ACTIVE", msisdn=SIM.msisdn),
        ("new", None): resting("S1B"),
        ("inactive", "voluntary"): resting("WIB"),
        ("held", "stolen"): blocked(BlockReason.STOLEN, "STO"),
        ("held", "operator"): blocked(BlockReason.OPERATOR, "BSB"),
        ("held", "debt"): blocked(BlockReason.OPERATOR, "DUF"),
        ("held", "fraud"): blocked(BlockReason.OPERATOR, "DOSS"),
        ("held", "law"): blocked(BlockReason.UNKNOWN, "SYS"),
    }


@pytest.fixture
def bench(tmp_path: Path, own_clock: None) -> Iterator[RunningOperator]:
    with running("beeline", KEYS, tmp_path / "sandbox.json") as bench:
        yield bench


# --- «already so» is believed only after a reading ----------------------------------------------


def test_second_suspension_is_read_before_it_is_called_already(bench):
    bench.put(state="inactive")

    result = submit(bench.operator(), Action.DEACTIVATE)

    assert result == Already("BLOCKED WIB")
    assert bench.state()["calls"] == {"auth": 1, "submit": 1, "check": 0, "read": 1}


def test_restoration_of_a_held_number_says_who_holds_it(bench):
    bench.put(state="held", reason="stolen")

    result = submit(bench.operator(), Action.ACTIVATE)

    assert result == Rejected(
        ErrorClass.HELD_BY_OPERATOR, "20001", "номер заблокирован оператором: BLOCKED STO"
    )


def test_fault_without_a_confirming_reading_stays_what_it_was(bench):
    bench.put(state="inactive")
    bench.fault("read", "http_500")

    result = submit(bench.operator(), Action.DEACTIVATE)

    assert result == Rejected(ErrorClass.INVALID, "20001", "INVALID_QUERY_PARAM")


def test_confirming_reading_ends_within_the_time_of_the_switch(bench):
    bench.put(state="inactive")
    bench.fault("submit", "slow", seconds=1.5)
    bench.fault("read", "slow", seconds=10)
    operator, started = bench.operator(), time.monotonic()
    operator._connection.http.call.ends_at = started + 4

    result = submit(operator, Action.DEACTIVATE)

    assert result == Rejected(ErrorClass.INVALID, "20001", "INVALID_QUERY_PARAM")
    assert time.monotonic() - started < 10


def test_number_of_another_contract_is_forbidden(bench):
    bench.put(state="retired")

    result = submit(bench.operator(), Action.ACTIVATE)

    assert result == Rejected(ErrorClass.FORBIDDEN, "20006", "FORBIDDEN")


# --- answers that are none ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "said"),
    [
        ("login_redirect", 302, "••• не XML, знаков: 97, текст «Войдите в личный кабинет»"),
        ("html_page", 200, "••• не XML, знаков: 97, текст «Войдите в личный кабинет»"),
        ("cp1251_page", 200, "••• не XML, знаков: 97, текст «Войдите в личный кабинет»"),
        ("empty_body", 200, ""),
        ("cut_body", 200, "••• не XML, знаков: 122"),
    ],
)
def test_answer_that_is_none_is_unknown_and_shown_masked(bench, kind, status, said):
    bench.fault("submit", kind)
    exchanges: list[HttpExchange] = []
    operator = make_operator(
        adapter="beeline",
        base_url=f"{bench.url}/operators/beeline",
        credentials=KEYS,
        exchanges=exchanges,
    )

    result = submit(operator, Action.DEACTIVATE)

    assert isinstance(result, Unknown)
    assert (exchanges[-1].kind, exchanges[-1].status) == (CallKind.SUBMIT, status)
    assert exchanges[-1].reply.partition("\n\n")[2] == said


# --- requests that end otherwise ----------------------------------------------------------------


def test_card_held_while_waiting_ends_as_held(bench):
    bench.limits(delay_seconds=60)
    operator, at = bench.operator(), now()
    taken = accepted(operator, Action.DEACTIVATE)
    bench.put(state="held", reason="debt")
    advance(60)

    check = checked(operator, taken.request_id, at)

    text = "номер заблокирован оператором: BLOCKED DUF"
    assert check == Check(CheckState.FAILED, "REJECTED", text, ErrorClass.HELD_BY_OPERATOR)


def test_switch_overtaken_while_waiting_is_rejected(bench):
    bench.limits(delay_seconds=60)
    operator, at = bench.operator(), now()
    taken = accepted(operator, Action.DEACTIVATE)
    bench.put(state="inactive")
    advance(60)

    check = checked(operator, taken.request_id, at)

    text = "Билайн не выполнил запрос: Номер уже в этом состоянии"
    assert check == Check(CheckState.FAILED, "REJECTED", text, ErrorClass.INVALID)


def test_search_by_card_is_not_possible(bench):
    operator = bench.operator()

    with pytest.raises(Unavailable) as refused:
        operator.check_by_sim(sim=SIM, action=Action.ACTIVATE, submitted_at=now(), at=now())

    assert refused.value.error is ErrorClass.UNSUPPORTED
    assert operator.capabilities.check_by_sim is False


def test_effect_of_a_switch_names_its_request(bench):
    taken = accepted(bench.operator(), Action.DEACTIVATE)

    [effect] = bench.state()["effects"]

    assert effect["request_id"] == "1000000001"
    assert taken.request_id == "1000000001"


def test_requests_outlive_a_restart_of_the_played_operator(tmp_path, own_clock):
    file = tmp_path / "sandbox.json"
    with running("beeline", KEYS, file) as bench:
        taken = accepted(bench.operator(), Action.DEACTIVATE)

    with running("beeline", KEYS, file) as bench:
        check = checked(bench.operator(), taken.request_id, now())
        again = accepted(bench.operator(), Action.DEACTIVATE)

    assert check == Check(CheckState.COMPLETED, code="COMPLETE")
    assert again.request_id == "1000000002"


def test_wrong_contract_of_ours_knows_no_number(bench):
    with pytest.raises(Unavailable) as refused:
        bench.operator(ban="100000002").read_state(sim=SIM)

    assert refused.value.error == ErrorClass.NOT_FOUND
    assert refused.value.code == "20005"


# --- the token ----------------------------------------------------------------------------------


def test_five_workers_with_an_expired_token_log_in_once(bench):
    tokens = MemoryTokens(kept={"token:test-beeline": "expired"})
    seen: list[Reading] = []

    def work() -> None:
        seen.append(bench.operator(tokens=tokens).read_state(sim=SIM))

    workers = [threading.Thread(target=work) for _ in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert seen == [Reading(SimState.ACTIVE, raw="ACTIVE", msisdn=SIM.msisdn)] * 5
    assert bench.state()["calls"]["auth"] == 1


def test_token_is_kept_for_nine_minutes(bench):
    class Noting(MemoryTokens):
        def put(self, key: str, value: str, ttl: float) -> None:
            lives.append(ttl)
            super().put(key, value, ttl)

    lives: list[float] = []
    bench.operator(tokens=Noting()).ping()

    assert lives == [540.0]


# --- the played operator ------------------------------------------------------------------------


def test_switch_of_a_later_day_waits_for_it(bench):
    operator, at = bench.operator(), now()
    taken = operator.submit(action=Action.DEACTIVATE, sim=SIM, key="k", at=at + timedelta(days=2))
    early = checked(operator, taken.request_id, at).state
    advance(2 * 86400)

    late = checked(operator, taken.request_id, at).state

    assert early == CheckState.PENDING
    assert late == CheckState.COMPLETED
    assert bench.actions() == ["deactivate"]


def test_played_operator_checks_what_it_is_sent(bench):
    http = HttpClient("raw-beeline")
    url = f"{bench.url}/operators/beeline/SubscriberService"
    ours = wsdl.soap("SubscriberService.wsdl")
    message = ours.message("suspendCTN", token="x", ctn="1", actvDate="d", reasonCode="WIB")

    def code_of(body: bytes, headers: dict[str, str]) -> str:
        reply = http.request("POST", url, kind=CallKind.SUBMIT, data=body, headers=headers)
        with pytest.raises(SoapFault) as refused:
            ours.read("suspendCTN", reply.body)
        return refused.value.code or refused.value.text

    assert [
        code_of(message.body, message.headers),
        code_of(message.body, message.headers | {"SOAPAction": '"other"'}),
        code_of(b"<half", message.headers),
        code_of(BOMB.encode() + message.body.split(b"?>", 1)[1], message.headers),
    ] == [
        "20003",
        "Body and SOAPAction name no operation",
        "The body is no XML",
        "The body is no XML",
    ]


def test_foreign_number_is_distinguished_from_ours(bench):
    bench.put(STRANGER, state="inactive")

    states = [bench.operator().read_state(sim=sim).state for sim in (SIM, STRANGER)]

    assert states == [SimState.ACTIVE, SimState.INACTIVE]
