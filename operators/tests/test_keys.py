"""Whether an operator accepts our keys is known from every call, also where nothing is to be switched."""

import pytest

from cabinet import clock
from operators import exchanges
from operators.heard import Exchange
from operators.models import OperatorAccount
from operators.ports import Action, CallKind, ErrorClass, Unavailable
from operators.services import connect, note_exchanges, ping
from operators.tests.bench import SIM, running, submit
from operators.tests.test_exchanges import AT, heard
from operators.told import once_told

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
    calls: list[Exchange] = []
    try:
        connect(account, heard=calls.append).read_state(sim=SIM)
    except Unavailable:
        pass
    finally:
        note_exchanges(account, calls)


def test_reading_that_is_refused_for_the_keys_is_remembered_till_they_are_accepted(tmp_path):
    with running("tmf640", {}, tmp_path / "sandbox.json") as bench:
        account = contract("tmf640", f"{bench.url}/operators/tmf640", WRONG)

        read(account)
        since = refused_since(account)
        read(account)
        still = refused_since(account)
        account.credentials = {"token": TOKEN}
        read(account)

        assert since is not None
        assert (still, refused_since(account)) == (since, None)


def test_login_that_is_refused_says_it_of_the_keys(tmp_path):
    with running("mts", OF_MTS, tmp_path / "sandbox.json") as bench:
        account = contract("mts", f"{bench.url}/operators/mts", OF_MTS | {"secret": "wrong"})

        link = ping(account)

    assert not link.works
    assert refused_since(account) is not None


def test_switch_that_is_refused_for_the_keys_says_it_too(tmp_path):
    calls = []
    with running("control_center", {}, tmp_path / "sandbox.json") as bench:
        keys = {"username": "demo-user", "api_key": "wrong"}
        account = contract("control_center", f"{bench.url}/operators/control_center", keys)
        submit(connect(account, heard=calls.append), Action.ACTIVATE)

    note_exchanges(account, calls)

    assert [one.told for one in calls] == [ErrorClass.AUTH]
    assert refused_since(account) is not None


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ([{"told": ErrorClass.AUTH, "status": 401}], True),
        ([{"told": ErrorClass.AUTH, "status": 200}], True),
        ([{"told": ErrorClass.AUTH, "status": 401}, {}], False),
        ([{}, {"told": ErrorClass.AUTH, "status": 401}], True),
        ([{"told": ErrorClass.AUTH}, {"kind": CallKind.AUTH}], True),
        ([{"told": ErrorClass.AUTH}, {"status": None}], True),
        ([{"told": ErrorClass.AUTH}, {"told": ErrorClass.NOT_FOUND}], True),
        ([{"told": ErrorClass.FORBIDDEN, "status": 403}], False),
        ([{}], False),
        ([], False),
    ],
)
def test_last_word_about_the_keys_counts(words, refused):
    account = contract("tmf640", "https://api.example.com", WRONG)

    exchanges.keep(account, [heard(**word) for word in words], at=AT)

    assert refused_since(account) == (AT if refused else None)


def test_broken_measure_hides_no_answer(tmp_path, caplog):
    def broken(_exchange):
        raise RuntimeError("no room")

    with running("tmf640", {}, tmp_path / "sandbox.json") as bench:
        account = contract("tmf640", f"{bench.url}/operators/tmf640", {"token": TOKEN})
        reading = connect(account, heard=broken).read_state(sim=SIM)

    assert reading.raw == "active"
    assert "Could not note the exchange with tmf640" in caplog.text


def test_exchange_outside_of_a_question_is_told_at_once():
    calls: list[Exchange] = []

    once_told(calls.append)(heard())

    assert calls == [heard()]


def test_exchanges_come_in_order_and_the_last_bears_the_word(tmp_path):
    calls = []
    with running("tmf640", {}, tmp_path / "sandbox.json") as bench:
        bench.fault("submit", "http_429", retry_after=7)
        account = contract("tmf640", f"{bench.url}/operators/tmf640", {"token": TOKEN})
        submit(connect(account, heard=calls.append), Action.DEACTIVATE)

    assert [(one.kind, one.status, one.told) for one in calls] == [
        (CallKind.READ, 200, None),
        (CallKind.SUBMIT, 429, ErrorClass.RATE_LIMITED),
    ]
    assert calls[0].at <= calls[1].at <= clock.now()
