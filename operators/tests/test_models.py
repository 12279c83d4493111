"""What the database itself keeps right about contracts with operators."""

from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet
from django.db import IntegrityError, connection, transaction

from cabinet.crypto import Undecryptable, decrypt
from operators.models import Callback, Exchange, OperatorAccount

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def make(**fields):
    given = {
        "code": "mts",
        "title": "МТС",
        "adapter": "mts",
        "base_url": "https://api.example.com",
        **fields,
    }
    return OperatorAccount.objects.create(**given)


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("operator_lease_outlives_calls", {"timeout_seconds": 30, "lease_seconds": 59}),
        ("operator_lease_outlives_calls", {"timeout_seconds": 0}),
        ("operator_concurrency_positive", {"concurrency": 0}),
        ("operator_quota_positive", {"per_second": 0}),
        ("operator_quota_positive", {"per_minute": 0}),
        ("operator_breaker_paired", {"broken_since": AT}),
        ("operator_breaker_paired", {"probe_at": AT}),
        ("operator_reserve_in_range", {"reserve_percent": 91}),
        ("reserve_percent", {"reserve_percent": -1}),
    ],
)
def test_database_refuses_a_contract_that_cannot_work(constraint, fields):
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        make(**fields)

    assert OperatorAccount.objects.count() == 0


def test_database_refuses_a_second_contract_of_the_same_code():
    make()

    with pytest.raises(IntegrityError, match="code"), transaction.atomic():
        make(title="Другой")

    assert list(OperatorAccount.objects.values_list("title", flat=True)) == ["МТС"]


def test_contract_at_the_limits_is_kept():
    make(
        timeout_seconds=1,
        lease_seconds=2,
        concurrency=1,
        per_second=1,
        per_minute=None,
        reserve_percent=90,
        broken_since=AT,
        probe_at=AT,
    )

    account = OperatorAccount.objects.get()
    assert account.per_second == 1
    assert account.reserve_percent == 90
    assert account.probe_at == AT


# --- what was said to operators, and by them ---------------------------------------------------


def make_exchange(account, **fields):
    given = {"at": AT, "kind": "read", "method": "GET", "url": "https://a", "seconds": 0.1}
    return Exchange.objects.create(account=account, **given | fields)


def make_callback(account, **fields):
    given = {
        "event_id": "e-1",
        "event_type": "changed",
        "occurred_at": AT,
        "received_at": AT,
        "payload": {},
    }
    return Callback.objects.create(account=account, **given | fields)


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("account", {"account": None}),
        ("at", {"at": None}),
        ("status", {"status": -1}),
    ],
)
def test_database_refuses_an_exchange_that_cannot_be(constraint, fields):
    account = make()

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        make_exchange(**{"account": account} | fields)

    assert Exchange.objects.count() == 0


def test_event_id_is_unique_per_contract():
    mts, other = make(), make(code="other")
    make_callback(mts)

    with pytest.raises(IntegrityError, match="callback_once"), transaction.atomic():
        make_callback(mts)
    make_callback(mts, event_id="e-2")
    make_callback(other)

    assert list(Callback.objects.order_by("pk").values_list("account", "event_id")) == [
        (mts.pk, "e-1"),
        (mts.pk, "e-2"),
        (other.pk, "e-1"),
    ]


def test_database_refuses_an_unknown_state_of_a_callback():
    account = make()

    with pytest.raises(IntegrityError, match="callback_state_known"), transaction.atomic():
        make_callback(account, state="lost")

    assert Callback.objects.count() == 0


def test_log_goes_with_its_contract():
    account = make()
    make_exchange(account)
    make_callback(account)

    account.delete()

    assert Exchange.objects.count() == 0
    assert Callback.objects.count() == 0


def stored_credentials() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT credentials FROM operators_operatoraccount")
        (value,) = cursor.fetchone()
    return str(value)


def test_credentials_lie_encrypted():
    make(credentials={"secret": "слово"})

    raw = stored_credentials()

    assert "слово" not in raw
    assert decrypt(raw) == '{"secret": "слово"}'
    assert OperatorAccount.objects.get().credentials == {"secret": "слово"}


def test_empty_credentials_are_an_empty_object():
    make()

    account = OperatorAccount.objects.get()

    assert stored_credentials() == ""
    assert account.credentials == {}


def test_secret_of_callbacks_lies_encrypted():
    make(callback_secret="подпись")

    with connection.cursor() as cursor:
        cursor.execute("SELECT callback_secret FROM operators_operatoraccount")
        (raw,) = cursor.fetchone()

    assert "подпись" not in raw
    assert decrypt(raw) == OperatorAccount.objects.get().callback_secret == "подпись"


def test_credentials_of_a_lost_key_are_refused(settings):
    make(credentials={"secret": "слово"})
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    account = OperatorAccount.objects.get()

    assert account.title == "МТС"
    with pytest.raises(Undecryptable):
        _ = account.credentials
    with pytest.raises(Undecryptable):
        account.save()
