"""What the database itself keeps right about contracts with operators."""

import pytest
from cryptography.fernet import Fernet
from django.db import IntegrityError, connection, transaction

from cabinet.crypto import Undecryptable, decrypt
from operators.models import OperatorAccount

pytestmark = pytest.mark.django_db


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
        ("operator_lease_outlives_call", {"timeout_seconds": 60, "lease_seconds": 60}),
        ("operator_lease_outlives_call", {"timeout_seconds": 0}),
        ("operator_concurrency_positive", {"concurrency": 0}),
        ("operator_quota_positive", {"per_second": 0}),
        ("operator_quota_positive", {"per_minute": 0}),
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
    make(timeout_seconds=1, lease_seconds=2, concurrency=1, per_second=1, per_minute=None)

    assert OperatorAccount.objects.get().per_second == 1


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

    assert (stored_credentials(), account.credentials) == ("", {})


def test_credentials_of_a_lost_key_are_told(settings):
    make(credentials={"secret": "слово"})
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    with pytest.raises(Undecryptable):
        OperatorAccount.objects.get()
