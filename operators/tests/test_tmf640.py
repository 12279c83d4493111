"""TMF640: the common contract, and what only this protocol does."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cabinet.clock import advance, now
from operators.ports import (
    Accepted,
    Action,
    Already,
    Applied,
    BlockReason,
    Check,
    CheckState,
    ErrorClass,
    Operator,
    Reading,
    Rejected,
    SimState,
    Unavailable,
    Unknown,
)
from operators.tests.contract import OperatorContract
from operators.tests.declarative_server import Handler, replies, serving_handlers
from operators.tests.sandbox_operator import (
    SIM,
    STRANGER,
    RunningOperator,
    accepted,
    checked,
    make_operator,
    own_clock,
    running,
    settled,
    submit,
)

STATIC = {"token": "demo-partner-token"}


__all__ = ["own_clock"]


def reading(state: SimState, word: str, reason: BlockReason | None = None) -> Reading:
    return Reading(state, reason, raw=word, msisdn=SIM.msisdn, imei="356938035643809")


class TestTmf640(OperatorContract):
    column = code = "tmf640"
    credentials = {"client_id": "demo-client", "client_secret": "demo-client-secret"}
    wrong_credentials = {"client_secret": "not-the-secret"}
    done = Applied
    already = Already
    held = (Rejected, ErrorClass.HELD_BY_OPERATOR)
    in_maintenance = (Rejected, ErrorClass.MAINTENANCE)
    error_in_2xx = (Unknown, ErrorClass.UNKNOWN_OUTCOME)
    wrong_card: ClassVar[Any] = (Unknown, ErrorClass.UNKNOWN_OUTCOME)
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
    def bench(self, tmp_path: Path, own_clock: None) -> Iterator[RunningOperator]:
        with running(self.code, self.credentials, tmp_path / "sandbox.json") as bench:
            token_url = f"{bench.url}/operators/tmf640/token"
            yield RunningOperator(
                bench.code, bench.url, {**self.credentials, "token_url": token_url}
            )


@pytest.fixture
def bench(tmp_path: Path, own_clock: None) -> Iterator[RunningOperator]:
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

    assert first == Unknown("ответ оператора не получен целиком")
    assert second == Already("inactive")
    assert bench.actions() == ["deactivate"]


def test_switch_overtaken_while_waiting_ends_as_already(bench):
    bench.limits(delay_seconds=60)
    operator, at = bench.operator(), now()
    taken = accepted(operator, Action.DEACTIVATE)
    bench.put(state="inactive")
    advance(60)

    check = checked(operator, taken.request_id, at)

    assert check == Check(
        CheckState.COMPLETED,
        "alreadyInState",
        "The service is in this state already",
        ErrorClass.ALREADY,
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

    assert refused.value.error == ErrorClass.TRANSIENT
    assert refused.value.code == "wrong_id"


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


# --- answers that the played partner never gives ------------------------------------------------------


SERVICE = {"id": "s/1", "state": "active", "supportingResource": [{"iccid": SIM.iccid}]}


@contextmanager
def partner(tmp_path: Path, **keys: str) -> Iterator[Callable[[Mapping[str, Handler]], Operator]]:
    """Opens the partner with these answers."""
    with ExitStack() as opened:

        def standing_with(handlers: Mapping[str, Handler]) -> Operator:
            url, _ = opened.enter_context(serving_handlers(tmp_path, handlers))
            given = {name: value.format(url=url) for name, value in (keys or STATIC).items()}
            return make_operator(
                account="test-partner",
                adapter="tmf640",
                base_url=url,
                credentials=given,
            )

        yield standing_with


@pytest.mark.parametrize("life", ["3600", "1h", None, 0, -1])
def test_token_is_taken_whatever_its_lifetime_is_written_as(tmp_path, life):
    keys = {"client_id": "c", "client_secret": "s", "token_url": "{url}/token"}
    answer = replies({"access_token": "t", "expires_in": life})
    with partner(tmp_path, **keys) as open_partner:
        result = submit(open_partner({"POST /token": answer}), Action.ACTIVATE)

    assert isinstance(result, Rejected)
    assert result.error == ErrorClass.NOT_FOUND  # let in: this partner answers no card


@pytest.mark.parametrize(
    ("answer", "error", "code", "pause"),
    [
        (replies({}, 429), ErrorClass.RATE_LIMITED, "429", 20.0),
        (replies({}, 429, Retry_After="3"), ErrorClass.RATE_LIMITED, "429", 3.0),
        (replies({}, 429, Retry_After="3600"), ErrorClass.RATE_LIMITED, "429", 3600.0),
        (replies({}, 502), ErrorClass.TRANSIENT, "502", None),
        (replies({}, 503, Retry_After="90"), ErrorClass.TRANSIENT, "503", 90.0),
        (replies({}, 403), ErrorClass.AUTH, "403", None),
        (replies({}, 404), ErrorClass.CONFIGURATION, "404", None),
        (replies({}), ErrorClass.TRANSIENT, "no_token", None),
        (replies({"access_token": ""}), ErrorClass.TRANSIENT, "no_token", None),
    ],
)
def test_login_that_gives_no_token_says_why(tmp_path, answer, error, code, pause):
    keys = {"client_id": "c", "client_secret": "s", "token_url": "{url}/token"}
    with partner(tmp_path, **keys) as open_partner:
        result = submit(open_partner({"POST /token": answer}), Action.ACTIVATE)

    assert isinstance(result, Rejected)
    assert result.error == error
    assert result.code == code
    assert result.retry_after == pause


def test_state_missing_in_the_list_is_read_by_service_id(tmp_path):
    short = {name: SERVICE[name] for name in ("id", "supportingResource")}
    handlers = {"GET /service": replies([short]), "GET /service/s/1": replies(SERVICE)}
    with partner(tmp_path) as open_partner:
        seen = open_partner(handlers).read_state(sim=SIM)

    assert seen == Reading(SimState.ACTIVE, raw="active")


@pytest.mark.parametrize(
    ("listed", "shown", "code"),
    [
        ([{"id": "s/1", "supportingResource": [{"iccid": SIM.iccid}]}],
         SERVICE | {"supportingResource": [{"iccid": STRANGER.iccid}]}, "wrong_id"),
        ([{"state": "active", "supportingResource": [{"iccid": SIM.iccid}]}], SERVICE, "garbage"),
        ({"items": []}, SERVICE, "garbage"),
    ],
)  # fmt: skip
def test_service_that_cannot_be_named_is_not_read(tmp_path, listed, shown, code):
    handlers = {"GET /service": replies(listed), "GET /service/s/1": replies(shown)}
    with partner(tmp_path) as open_partner, pytest.raises(Unavailable) as refused:
        open_partner(handlers).read_state(sim=SIM)

    assert refused.value.code == code


def test_list_is_what_a_ping_waits_for(tmp_path):
    with partner(tmp_path) as open_partner, pytest.raises(Unavailable) as refused:
        open_partner({"GET /service": replies({})}).ping()

    assert refused.value.code == "garbage"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (replies({"code": "alreadyInState"}, 409), Already("inactive")),
        (replies({}, 202), Unknown("оператор принял запрос, но не дал его номера")),
        (
            replies({}, 202, Location="/service/s-1"),
            Unknown("оператор принял запрос, но не дал его номера"),
        ),
        (replies(SERVICE), Unknown("оператор ответил «сделано», но состояние «active»")),
        (
            replies({}, 302, Location="/login"),
            Unknown("оператор ответил 302", ErrorClass.CONFIGURATION, "302"),
        ),
    ],
)
def test_answer_to_a_switch_is_believed_by_what_it_shows(tmp_path, answer, expected):
    handlers = {"GET /service": replies([SERVICE]), "PATCH /service/s/1": answer}
    with partner(tmp_path) as open_partner:
        assert submit(open_partner(handlers), Action.DEACTIVATE) == expected


@pytest.mark.parametrize(
    ("location", "number"),
    [
        ("/monitor/m-1", "m-1"),
        ("https://api.volga.example/tmf/v4/monitor/m-1/", "m-1"),
        ("/monitor/m-1?tenant=7", "m-1"),
        ("/monitor/a%2Fb", "a/b"),
    ],
)
def test_monitor_is_asked_about_under_its_own_id(tmp_path, location, number):
    handlers = {
        "GET /service": replies([SERVICE]),
        "PATCH /service/s/1": replies({}, 202, Location=location),
        f"GET /monitor/{number}": replies({"id": number, "state": "Completed"}),
    }
    with partner(tmp_path) as open_partner:
        operator = open_partner(handlers)
        accepted, found = submit(operator, Action.DEACTIVATE), checked(operator, number, now())

    assert accepted == Accepted(number)
    assert found == Check(CheckState.COMPLETED, code="Completed")


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (
            {"statusCode": "409", "body": '{"code": "heldByOperator", "reason": "Debt"}'},
            Check(CheckState.FAILED, "heldByOperator", "Debt", ErrorClass.HELD_BY_OPERATOR),
        ),
        ({}, Check(CheckState.FAILED, "", "", ErrorClass.INVALID)),
    ],
)
def test_failed_monitor_carries_the_refusal_it_ended_with(tmp_path, response, expected):
    monitor = {"id": "m-1", "state": "InError", "response": response}
    with partner(tmp_path) as open_partner:
        operator = open_partner({"GET /monitor/m-1": replies(monitor)})

        assert checked(operator, "m-1", now()) == expected
