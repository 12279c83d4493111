"""МТС: the common contract, and what only this operator does."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cabinet.clock import now
from operators.adapters.mts import Mts
from operators.ports import (
    Accepted,
    Action,
    BlockReason,
    CallKind,
    Check,
    CheckState,
    Connection,
    ErrorClass,
    Reading,
    Rejected,
    Reply,
    Sim,
    SimState,
    Unavailable,
    Unknown,
)
from operators.tests.contract import OperatorContract
from operators.tests.sandbox_operator import (
    SIM,
    MemoryTokens,
    RunningOperator,
    kind_of,
    new_tokens,
    own_clock,
    running,
    settled,
    submit,
)

KEYS = {"key": "demo-key", "secret": "demo-secret"}
SAMPLES = json.loads(Path(__file__).with_name("data").joinpath("mts.json").read_text())
AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


__all__ = ["own_clock"]


def blocked(reason: BlockReason, name: str) -> Reading:
    return Reading(SimState.HELD, reason, raw=name, msisdn=SIM.msisdn)


class TestMts(OperatorContract):
    column = code = "mts"
    credentials = KEYS
    wrong_credentials = {"secret": "not-the-secret"}
    done = (CheckState.COMPLETED, None)
    already = (CheckState.COMPLETED, ErrorClass.ALREADY)
    held = (CheckState.FAILED, ErrorClass.HELD_BY_OPERATOR)
    in_maintenance = (Unknown, ErrorClass.MAINTENANCE)
    error_in_2xx = (Rejected, ErrorClass.FORBIDDEN)
    wrong_card = "wrong_id"
    pause_without_retry_after = 20.0
    readings = {
        ("active", None): Reading(SimState.UNKNOWN, msisdn=SIM.msisdn),
        ("retired", None): Reading(SimState.UNKNOWN, msisdn=SIM.msisdn),
        ("new", None): Reading(SimState.NEW, raw="Первоначальная блокировка", msisdn=SIM.msisdn),
        ("inactive", "voluntary"): Reading(
            SimState.INACTIVE,
            BlockReason.VOLUNTARY,
            raw="Добровольная блокировка",
            msisdn=SIM.msisdn,
        ),
        ("held", "debt"): blocked(BlockReason.DEBT, "Финансовая блокировка"),
        ("held", "fraud"): blocked(BlockReason.FRAUD, "Блокировка по подозрению в мошенничестве"),
        ("held", "stolen"): blocked(BlockReason.STOLEN, "Блокировка по краже или утере"),
        ("held", "law"): blocked(BlockReason.LAW, "Блокировка по закону"),
        ("held", "limit"): blocked(BlockReason.LIMIT, "Блокировка по лимиту"),
        ("held", "imei"): blocked(BlockReason.IMEI, "Блокировка по смене IMEI"),
        ("held", "operator"): blocked(BlockReason.OPERATOR, "Блокировка оператором"),
        ("held", "unknown"): blocked(BlockReason.UNKNOWN, "Прочая блокировка"),
    }


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[RunningOperator]:
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        yield bench


# --- a request whose answer was lost ------------------------------------------------------------


def test_lost_answer_is_settled_by_the_number(bench):
    bench.fault("submit", "drop_after")
    operator, at = bench.operator(), now()
    result = submit(operator, Action.DEACTIVATE)

    check = operator.check_by_sim(sim=SIM, action=Action.DEACTIVATE, submitted_at=at, at=now())

    assert isinstance(result, Unknown)
    assert check == Check(CheckState.COMPLETED, code="Completed")


def test_request_that_never_arrived_is_lost_by_the_number(bench):
    bench.fault("submit", "drop_before")
    operator, at = bench.operator(), now()
    submit(operator, Action.DEACTIVATE)

    check = operator.check_by_sim(sim=SIM, action=Action.DEACTIVATE, submitted_at=at, at=now())

    assert check.state is CheckState.LOST


def test_older_request_of_the_number_is_not_the_lost_one(bench):
    operator = bench.operator()
    submit(operator, Action.DEACTIVATE)
    later = now() + timedelta(seconds=5)

    check = operator.check_by_sim(sim=SIM, action=Action.ACTIVATE, submitted_at=later, at=later)

    assert check.state is CheckState.LOST


def test_request_unknown_by_its_id_is_found_by_number(bench):
    bench.fault("check", "not_by_id", times=None)

    check = settled(bench.operator(), Action.DEACTIVATE)

    assert check == Check(CheckState.COMPLETED, code="Completed")
    assert bench.state()["calls"]["check"] == 2


# --- our requests against samples, with a recording client ---------------


@dataclass
class RecordingHttp:
    """Answers the login, then what it was given; keeps what it was asked."""

    answers: list[Reply]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def request(self, method: str, url: str, *, kind: CallKind, **parts: Any) -> Reply:
        if kind is CallKind.AUTH:
            return Reply(200, {}, json.dumps(SAMPLES["token_response"]).encode())
        self.asked.append({"method": method, "url": url, **parts})
        return self.answers.pop(0)


def answer(body: Any, status: int = 200, **headers: str) -> Reply:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def mts(*answers: Reply, **keys: str) -> tuple[Mts, RecordingHttp]:
    http = RecordingHttp(list(answers))
    return Mts(Connection("mts", "https://api.mts.ru/", KEYS | keys, http, new_tokens())), http


@pytest.mark.parametrize(
    ("action", "sample"),
    [(Action.DEACTIVATE, "block_request"), (Action.ACTIVATE, "unblock_request")],
)
def test_switch_is_asked_for_as_in_the_sample(action, sample):
    operator, http = mts(answer(SAMPLES["modify_response"]))

    result = submit(operator, action)

    assert result == Accepted(SAMPLES["modify_response"]["eventID"], retry_in=5.0)
    [asked] = http.asked
    assert asked == {
        "method": "POST",
        "url": "https://api.mts.ru/b2b/v1/Product/ModifyProduct",
        "params": {"msisdn": SIM.msisdn},
        "json": SAMPLES[sample],
        "headers": {"Authorization": "Bearer SYNTHETIC", "Accept": "application/json"},
    }


def test_status_is_asked_for_as_in_the_sample():
    operator, http = mts(answer(SAMPLES["status_completed"]))
    event = SAMPLES["modify_response"]["eventID"]

    check = operator.check(request_id=event, sim=SIM, submitted_at=AT, at=AT)

    assert check == Check(CheckState.COMPLETED, code="Completed")
    assert [asked["json"] for asked in http.asked] == [SAMPLES["status_by_uuid_request"]]


def test_failure_carries_the_billing_core_s_code():
    operator, _ = mts(answer(SAMPLES["status_faulted"]))

    check = operator.check(request_id="e", sim=SIM, submitted_at=AT, at=AT)

    assert check == Check(
        CheckState.FAILED,
        "TariffPlanForbids",
        "МТС не выполнил запрос: TariffPlanForbids",
        ErrorClass.INVALID,
    )


def spans(http: RecordingHttp) -> list[tuple[str, str]]:
    asked = [call["json"]["validFor"] for call in http.asked]
    return [(span["startDateTime"], span["endDateTime"]) for span in asked]


NINETEENTH = ("2026-11-19T00:00:00", "2026-11-19T23:59:59")
TWENTIETH = ("2026-11-20T00:00:00", "2026-11-20T23:59:59")
# 23:59:58 of 19 November in Moscow.
LATE = datetime(2026, 11, 19, 20, 59, 58, tzinfo=UTC)


def test_request_before_midnight_is_searched_on_both_days():
    operator, http = mts(answer([]), answer(SAMPLES["status_completed"]))

    check = operator.check(
        request_id="e", sim=SIM, submitted_at=LATE, at=LATE + timedelta(seconds=5)
    )

    assert check.state is CheckState.COMPLETED
    assert spans(http) == [NINETEENTH, TWENTIETH]


def test_request_is_searched_on_its_day_until_the_next_begins():
    operator, http = mts(answer([]), answer([]))

    check = operator.check(
        request_id="e", sim=SIM, submitted_at=LATE, at=LATE + timedelta(seconds=1)
    )

    assert check.state is CheckState.LOST
    assert spans(http) == [NINETEENTH, NINETEENTH]


def test_old_request_is_not_looked_for_day_by_day():
    operator, http = mts(*[answer([])] * 4)

    operator.check(request_id="e", sim=SIM, submitted_at=LATE, at=LATE + timedelta(days=40))

    assert spans(http) == [NINETEENTH, TWENTIETH] * 2


@pytest.mark.parametrize(
    ("days", "period"),
    [
        ("31", {"startDateTime": "2026-11-19T00:00:00", "endDateTime": "2026-12-19T23:59:59"}),
        ("0", {}),
    ],
)
def test_period_of_a_status_question_is_the_contract_s(days, period):
    operator, http = mts(answer([]), answer([]), status_days=days)

    operator.check(request_id="e", sim=SIM, submitted_at=LATE, at=LATE + timedelta(days=2))

    assert [call["json"]["validFor"] for call in http.asked] == [period, period]


@pytest.mark.parametrize("days", ["32", "-1", "день"])
def test_wrong_period_of_the_contract_is_refused_before_any_call(days):
    with pytest.raises(ValueError, match=r"status_days|invalid literal"):
        mts(status_days=days)


@pytest.mark.parametrize("keys", [{}, {"key": "demo-key"}, {"key": "", "secret": "demo-secret"}])
def test_contract_without_keys_is_refused_before_any_call(keys):
    http = RecordingHttp([])
    operator = Mts(Connection("mts", "https://api.mts.ru/", keys, http, new_tokens()))

    result = submit(operator, Action.DEACTIVATE)

    assert result == Rejected(ErrorClass.CONFIGURATION, "no_keys", "не заданы ключи договора")
    assert http.asked == []


def test_request_not_found_by_id_is_asked_for_by_number():
    other = {"id": "other", "status": "Faulted"}
    operator, http = mts(
        answer([]), answer({"relatedParty": [other, {"id": "e", "status": "Completed"}]})
    )

    check = operator.check(request_id="e", sim=SIM, submitted_at=AT, at=AT)

    assert check == Check(CheckState.COMPLETED, code="Completed")
    assert [call["url"].rpartition("/")[2] for call in http.asked] == [
        "CheckRequestStatusByUUID",
        "CheckRequestStatus",
    ]
    assert http.asked[1]["json"]["relatedParty"] == [
        {"characteristic": [{"name": "MSISDN", "value": SIM.msisdn}]},
        {"id": "e"},
    ]


def test_other_request_of_the_number_is_not_taken_for_ours():
    operator, _ = mts(
        answer([]), answer({"relatedParty": [{"id": "other", "status": "Completed"}]})
    )

    check = operator.check(request_id="e", sim=SIM, submitted_at=AT, at=AT)

    assert check.state is CheckState.LOST


@pytest.mark.parametrize(
    ("parties", "code"),
    [
        ([{"id": "other", "status": "Completed"}], "wrong_id"),
        ([{"id": "other", "status": "Completed"}, {"status": "Completed"}], "wrong_id"),
        ([{"status": "Faulted"}, {"status": "Completed"}], "garbage"),
    ],
)
def test_status_answer_about_another_request_teaches_nothing(parties, code):
    operator, http = mts(answer({"relatedParty": parties}))

    with pytest.raises(Unavailable) as refused:
        operator.check(request_id="e", sim=SIM, submitted_at=AT, at=AT)

    assert (refused.value.error, refused.value.code) == (ErrorClass.TRANSIENT, code)
    assert len(http.asked) == 1


def test_request_is_the_same_in_any_case_of_letters():
    parties = [{"id": "00ff", "status": "Faulted"}, {"id": "00AB", "status": "Completed"}]
    operator, _ = mts(answer({"relatedParty": parties}))

    check = operator.check(request_id="00ab", sim=SIM, submitted_at=AT, at=AT)

    assert check == Check(CheckState.COMPLETED, code="Completed")


@pytest.mark.parametrize(
    ("phones", "code"),
    [
        (["79990000999"], "wrong_id"),
        (["79990000999", "+7 999 000-00-01"], ""),
        ([], ""),
    ],
)
def test_identity_of_another_number_is_not_taken(phones, code):
    person = {
        "contactMedium": [{"phoneNumber": phone} for phone in phones],
        "characteristic": [{"name": "PersonalDataConfirmation", "value": "Activated"}],
    }
    operator, _ = mts(answer([person]))

    try:
        seen = operator.read_identity(sim=SIM).raw, ""
    except Unavailable as refused:
        seen = "", refused.code

    assert seen == ("" if code else "Activated", code)


DONE = {"id": "e", "status": "completed", "characteristic": []}


@pytest.mark.parametrize(
    "body",
    [
        {"relatedParty": [DONE]},
        {"relatedParty": DONE},
        [{"relatedParty": DONE}],
        {"relatedParty": [{"characteristic": []}, DONE]},
        {"status": "COMPLETED"},
    ],
)
def test_status_is_read_in_every_shape_that_was_seen(body):
    operator, _ = mts(answer(body))

    check = operator.check(request_id="e", sim=SIM, submitted_at=AT, at=AT)

    assert (check.state, check.code.casefold()) == (CheckState.COMPLETED, "completed")


def test_fault_inside_a_status_answer_teaches_nothing():
    operator, _ = mts(answer({"fault": {"code": "3003", "message": "Foris"}}))

    with pytest.raises(Unavailable) as refused:
        operator.check(request_id="e", sim=SIM, submitted_at=AT, at=AT)

    assert (refused.value.error, refused.value.code) == (ErrorClass.TRANSIENT, "3003")


def faulted(code: str) -> Check:
    """A failure whose reason is the last characteristic, whatever its name."""
    facts = [{"name": "msisdn", "value": SIM.msisdn}, {"name": "reason", "value": code}]
    operator, _ = mts(
        answer({"relatedParty": [{"id": "e", "status": "Faulted", "characteristic": facts}]})
    )
    return operator.check(request_id="e", sim=SIM, submitted_at=AT, at=AT)


@pytest.mark.parametrize(
    ("code", "sim_state"),
    [
        ("BlockAlreadyExists", SimState.INACTIVE),
        ("VoluntaryBlockNotExists", SimState.ACTIVE),
        ("BL0005AlreadyExists", SimState.INACTIVE),
    ],
)
def test_code_about_the_block_itself_means_so_already(code, sim_state):
    assert faulted(code) == Check(
        CheckState.COMPLETED, code, "так уже и было", ErrorClass.ALREADY, sim_state=sim_state
    )


@pytest.mark.parametrize(
    "code", ["SubscriberNotExists", "CallForwardingServiceNotExists", "OrderAlreadyExists"]
)
def test_code_about_something_else_is_a_failure(code):
    assert faulted(code) == Check(
        CheckState.FAILED, code, f"МТС не выполнил запрос: {code}", ErrorClass.INVALID
    )


def test_requests_without_a_time_prove_nothing_about_a_lost_one():
    operator, _ = mts(answer(SAMPLES["status_completed"]))

    with pytest.raises(Unavailable) as refused:
        operator.check_by_sim(sim=SIM, action=Action.ACTIVATE, submitted_at=AT, at=AT)

    assert refused.value.error == ErrorClass.UNSUPPORTED
    assert refused.value.code == "no_time"


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, {"errorCode": 1002}, (Rejected, ErrorClass.CONFIGURATION)),
        (401, {"errorCode": "1014"}, (Rejected, ErrorClass.FORBIDDEN)),
        (401, {"message": "Unauthorized"}, (Rejected, ErrorClass.FORBIDDEN)),
        (403, {"code": 1010}, (Rejected, ErrorClass.FORBIDDEN)),
        (429, {"fault": {"code": 1011}}, (Rejected, ErrorClass.RATE_LIMITED)),
        (500, {"errorCode": 1012}, (Rejected, ErrorClass.RATE_LIMITED)),
        (499, {"errorCode": 1017}, (Unknown, ErrorClass.UNKNOWN_OUTCOME)),
        (400, {"errorCode": 1100}, (Rejected, ErrorClass.INVALID)),
        (401, {"errorCode": "1100"}, (Rejected, ErrorClass.INVALID)),
        (421, {"errorCode": 3003}, (Unknown, ErrorClass.TRANSIENT)),
        (422, {"errorCode": 2005}, (Rejected, ErrorClass.NOT_FOUND)),
        (400, {"errorCode": "IL.0042"}, (Rejected, ErrorClass.INVALID)),
        (500, "EJB Exception: nested", (Unknown, ErrorClass.MAINTENANCE)),
        (503, "away", (Unknown, ErrorClass.TRANSIENT)),
        (409, {}, (Rejected, ErrorClass.CONFLICT_PENDING)),
        (404, "<html>", (Rejected, ErrorClass.CONFIGURATION)),
        (302, "", (Unknown, ErrorClass.CONFIGURATION)),
        (200, {"error": {"errorCode": "1010"}}, (Rejected, ErrorClass.FORBIDDEN)),
        (200, json.dumps(json.dumps({"errorCode": 1100})), (Rejected, ErrorClass.INVALID)),
        (200, {"errorCode": "9999"}, (Unknown, ErrorClass.UNKNOWN_OUTCOME)),
        (200, {"fault": "?"}, (Unknown, ErrorClass.UNKNOWN_OUTCOME)),
        (200, "", (Unknown, ErrorClass.UNKNOWN_OUTCOME)),
        (200, [], (Unknown, ErrorClass.UNKNOWN_OUTCOME)),
        (200, {"eventID": None}, (Unknown, ErrorClass.UNKNOWN_OUTCOME)),
    ],
)
def test_refusal_is_read_by_its_code_before_its_status(status, body, expected):
    operator, _ = mts(answer(body, status))

    result = submit(operator, Action.DEACTIVATE)

    assert kind_of(result) == expected


@pytest.mark.parametrize("code", [1001, 1004, 1005, 1013])
def test_stale_token_is_renewed_for_each_of_its_codes(code):
    operator, http = mts(answer({"errorCode": code}, 401), answer(SAMPLES["modify_response"]))

    result = submit(operator, Action.DEACTIVATE)

    assert isinstance(result, Accepted)
    assert len(http.asked) == 2


@pytest.mark.parametrize(
    ("given", "waited"),
    [("5", 5.0), ("3600", 3600.0), ("86400", 3600.0), ("0", 0.0), ("soon", 20.0)],
)
def test_pause_is_as_requested_up_to_an_hour(given, waited):
    operator, _ = mts(answer({"errorCode": 1011}, 429, Retry_After=given))

    result = submit(operator, Action.DEACTIVATE)

    assert result == Rejected(ErrorClass.RATE_LIMITED, "1011", "МТС ответил 429", waited)


def test_event_in_a_json_string_is_accepted():
    operator, _ = mts(answer(json.dumps(json.dumps(SAMPLES["modify_response"]))))

    result = submit(operator, Action.DEACTIVATE)

    assert isinstance(result, Accepted)


def test_list_with_a_service_among_blocks_is_not_believed():
    listed = [
        {"externalID": "BL0005", "name": "Добровольная блокировка"},
        {"externalID": "PE2125", "name": "Скидка"},
    ]
    operator, _ = mts(answer(listed))

    reading = operator.read_state(sim=SIM)

    assert reading.state is SimState.UNKNOWN


def test_operator_s_block_outweighs_our_own():
    listed = [
        {"externalID": "BL0005", "name": "Добровольная блокировка"},
        {"externalID": "BL0099", "name": "Блокировка за неоплату, задолженность"},
    ]
    operator, _ = mts(answer(listed))

    reading = operator.read_state(sim=SIM)

    assert reading.state == SimState.HELD
    assert reading.reason == BlockReason.DEBT


# --- what cannot be asked ---------------------------------------------------------------------------


def test_card_without_a_number_is_neither_switched_nor_identified():
    operator, http = mts()

    result = submit(operator, Action.ACTIVATE, Sim(SIM.iccid))
    with pytest.raises(Unavailable) as refused:
        operator.read_identity(sim=Sim(SIM.iccid))

    assert result == Rejected(ErrorClass.INVALID, "no_msisdn", "у смарт-карты не указан номер")
    assert refused.value.error == ErrorClass.INVALID
    assert refused.value.code == "no_msisdn"
    assert http.asked == []


def test_page_instead_of_the_inventory_is_no_good_ping():
    operator, _ = mts(answer("<html>Вход в сеть</html>"))

    with pytest.raises(Unavailable) as refused:
        operator.ping()

    assert refused.value.code == "garbage"


def test_operator_gone_after_the_login_means_not_sent(bench):
    tokens = MemoryTokens(kept={"token:test-mts": "t"})
    gone = replace(bench, url="http://127.0.0.1:1")

    result = submit(gone.operator(tokens=tokens), Action.DEACTIVATE)

    assert result == Rejected(
        ErrorClass.TRANSIENT, "not_sent_refused", "оператор не принимает соединение"
    )


def test_request_status_without_its_number_is_accepted():
    operator, _ = mts(answer([{"relatedParty": [{"id": "e-1", "status": "Completed"}]}]))

    check = operator.check(request_id="e-1", sim=SIM, submitted_at=AT, at=AT)

    assert check == Check(CheckState.COMPLETED, "Completed")
