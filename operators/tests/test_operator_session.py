"""One call of an adapter is one value: its result or error, and every exchange that it took."""

import pytest
from django.conf import settings

from operators.client.http import CallContext
from operators.connections import OperatorSession, connect
from operators.limits import quota
from operators.limits.quota import QuotaGate
from operators.models import OperatorAccount
from operators.ports import CallKind, ErrorClass, Operator, OurCode, Unavailable
from operators.tests.sandbox_operator import SIM, STRANGER, RunningOperator, running

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty_server():
    quota.client(settings.REDIS_URL).flushdb()


@pytest.fixture
def bench(tmp_path):
    with running("tmf640", {}, tmp_path / "sandbox.json") as bench:
        yield bench


def session_at(bench: RunningOperator, **fields: object) -> OperatorSession:
    account = OperatorAccount.objects.create(
        code="partner",
        title="Партнёр",
        adapter="tmf640",
        base_url=f"{bench.url}/operators/tmf640",
        credentials={"token": "demo-partner-token"},
        **{"timeout_seconds": 5, "lease_seconds": 10, **fields},
    )
    return connect(account)


def test_answer_comes_with_its_exchanges_and_its_time(bench):
    session = session_at(bench)

    call = session.call(
        lambda operator: operator.read_state(sim=SIM),
        admit=QuotaGate(session.account),
        context=CallContext(SIM.iccid, 7),
    )

    assert not isinstance(call.result, Unavailable)
    assert call.result.raw == "active"
    assert [(one.kind, one.status, one.context) for one in call.exchanges] == [
        (CallKind.READ, 200, CallContext(SIM.iccid, 7))
    ]
    assert 0 < call.seconds < 5


def test_trouble_is_a_result_and_stands_on_the_last_exchange(bench):
    session = session_at(bench)

    call = session.call(
        lambda operator: operator.read_state(sim=STRANGER), admit=QuotaGate(session.account)
    )

    assert isinstance(call.result, Unavailable)
    assert call.result.error is ErrorClass.NOT_FOUND
    assert [one.error_class for one in call.exchanges] == [ErrorClass.NOT_FOUND]


def test_exchanges_of_a_call_that_breaks_are_kept(bench, caplog):
    session = session_at(bench)

    def breaks(operator: Operator) -> None:
        operator.read_state(sim=SIM)
        raise RuntimeError("after the exchange")

    call = session.call(breaks, admit=QuotaGate(session.account))

    assert isinstance(call.result, Unavailable)
    assert call.result.code == OurCode.BROKEN
    assert call.result.text == "ошибка в нашем коде"
    assert [(one.kind, one.status) for one in call.exchanges] == [(CallKind.READ, 200)]
    assert "The adapter of partner broke" in caplog.messages


def test_exchanges_of_one_call_end_together(bench):
    session = session_at(bench, timeout_seconds=2)
    bench.fault("read", "slow", seconds=1.2, times=None)

    def twice(operator: Operator) -> None:
        operator.read_state(sim=SIM)
        operator.read_state(sim=SIM)

    call = session.call(twice, admit=QuotaGate(session.account))

    assert isinstance(call.result, Unavailable)
    assert [one.status for one in call.exchanges] == [200, None]


def test_next_call_of_a_session_begins_anew(bench):
    session = session_at(bench)
    calls = [
        session.call(
            lambda operator: operator.read_state(sim=SIM), admit=QuotaGate(session.account)
        )
        for _ in range(2)
    ]

    assert [len(call.exchanges) for call in calls] == [1, 1]
