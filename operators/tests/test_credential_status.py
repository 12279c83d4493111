"""Whether an operator accepts our keys is known from every call, also where nothing is to be switched."""

import pytest

from cabinet import clock
from operators.connections import connect, ping
from operators.limits.quota import QuotaGate
from operators.models import OperatorAccount
from operators.ports import Action, CallKind, ErrorClass
from operators.services import record_exchanges
from operators.tests.sandbox_operator import SIM, running, submit
from operators.tests.test_exchanges import AT, http_exchange

pytestmark = pytest.mark.django_db

TOKEN = "demo-partner-token"
WRONG = {"token": "not-the-token"}
OF_MTS = {"key": "demo-key", "secret": "demo-secret"}


def contract(adapter: str, base_url: str, credentials: dict[str, str]) -> OperatorAccount:
    return OperatorAccount.objects.create(
        code=adapter, title=adapter, adapter=adapter, base_url=base_url, credentials=credentials
    )


def refused_since(account: OperatorAccount):
    stored = OperatorAccount.objects.get(pk=account.pk).keys_refused_since
    assert stored == account.keys_refused_since
    return stored


def read(account: OperatorAccount) -> None:
    """A reading as the workers make it."""
    call = connect(account).call(
        lambda operator: operator.read_state(sim=SIM), admit=QuotaGate(account)
    )
    record_exchanges(account, call.exchanges)


def test_refused_keys_are_remembered_until_accepted(tmp_path):
    with running("tmf640", {}, tmp_path / "sandbox.json") as bench:
        account = contract("tmf640", f"{bench.url}/operators/tmf640", WRONG)

        read(account)
        since = refused_since(account)
        read(account)
        still = refused_since(account)
        account.credentials = {"token": TOKEN}
        read(account)

        assert since is not None
        assert still == since
        assert refused_since(account) is None


def test_login_that_is_refused_says_it_of_the_keys(tmp_path):
    with running("mts", OF_MTS, tmp_path / "sandbox.json") as bench:
        account = contract("mts", f"{bench.url}/operators/mts", OF_MTS | {"secret": "wrong"})

        link = ping(account)

    assert not link.works
    assert refused_since(account) is not None


def test_switch_that_is_refused_for_the_keys_says_it_too(tmp_path):
    with running("control_center", {}, tmp_path / "sandbox.json") as bench:
        keys = {"username": "demo-user", "api_key": "wrong"}
        account = contract("control_center", f"{bench.url}/operators/control_center", keys)
        call = connect(account).call(
            lambda operator: submit(operator, Action.ACTIVATE), admit=QuotaGate(account)
        )

    record_exchanges(account, call.exchanges)

    assert [one.error_class for one in call.exchanges] == [ErrorClass.AUTH]
    assert refused_since(account) is not None


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ([{"error_class": ErrorClass.AUTH, "status": 401}], True),
        ([{"error_class": ErrorClass.AUTH, "status": 200}], True),
        ([{"error_class": ErrorClass.AUTH, "status": 401}, {}], False),
        ([{}, {"error_class": ErrorClass.AUTH, "status": 401}], True),
        ([{"error_class": ErrorClass.AUTH}, {"kind": CallKind.AUTH}], True),
        ([{"error_class": ErrorClass.AUTH}, {"status": None}], True),
        ([{"error_class": ErrorClass.AUTH}, {"error_class": ErrorClass.NOT_FOUND}], True),
        ([{"error_class": ErrorClass.FORBIDDEN, "status": 403}], False),
        ([{}], False),
        ([], False),
    ],
)
def test_last_word_about_the_keys_counts(words, refused, monkeypatch):
    monkeypatch.setattr("operators.services.real_now", lambda: AT)
    account = contract("tmf640", "https://api.example.com", WRONG)

    record_exchanges(account, [http_exchange(**word) for word in words])

    assert refused_since(account) == (AT if refused else None)


def test_exchanges_come_in_order_and_the_last_bears_the_word(tmp_path):
    with running("tmf640", {}, tmp_path / "sandbox.json") as bench:
        bench.fault("submit", "http_429", retry_after=7)
        account = contract("tmf640", f"{bench.url}/operators/tmf640", {"token": TOKEN})
        call = connect(account).call(
            lambda operator: submit(operator, Action.DEACTIVATE), admit=QuotaGate(account)
        )

    assert [(one.kind, one.status, one.error_class) for one in call.exchanges] == [
        (CallKind.READ, 200, None),
        (CallKind.SUBMIT, 429, ErrorClass.RATE_LIMITED),
    ]
    assert call.exchanges[0].at <= call.exchanges[1].at <= clock.now()
