"""Deeds that PostgreSQL broke off, and pages while it takes no writes."""

import pytest
from django.db import OperationalError, connection
from django.db.utils import InternalError
from django.test import RequestFactory
from psycopg2.errors import DeadlockDetected, ReadOnlySqlTransaction

from cabinet.tasks.deadlock_retry import TRIES, retry_on_deadlock
from cabinet.views import errors

_RAISE = "DO $$ BEGIN RAISE EXCEPTION 'broken off' USING ERRCODE = '{code}'; END $$"

pytestmark = pytest.mark.django_db(transaction=True)


def broken_off(tries: list[int], *, times: int, code: str = "40P01") -> str:
    tries.append(1)
    if len(tries) <= times:
        with connection.cursor() as cursor:
            cursor.execute(_RAISE.format(code=code))
    return "done"


@pytest.mark.parametrize("code", ["40P01", "40001"])
def test_deed_that_was_broken_off_is_done_again(code):
    tries: list[int] = []

    said = retry_on_deadlock(lambda: broken_off(tries, times=2, code=code))

    assert said == "done"
    assert len(tries) == 3


def test_deed_that_is_always_broken_off_is_given_up():
    tries: list[int] = []

    with pytest.raises(OperationalError) as caught:
        retry_on_deadlock(lambda: broken_off(tries, times=99))

    assert isinstance(caught.value.__cause__, DeadlockDetected)
    assert len(tries) == TRIES


def test_other_trouble_of_the_database_is_not_tried_again():
    tries: list[int] = []

    with pytest.raises(OperationalError):
        retry_on_deadlock(lambda: broken_off(tries, times=1, code="57014"))

    assert len(tries) == 1


def test_write_to_read_only_database_shows_refusal():
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        try:
            cursor.execute("CREATE TABLE never (id int)")
        except InternalError as error:
            caught = error
            answer = errors.server_error(RequestFactory().get("/"))
        finally:
            cursor.execute("SET default_transaction_read_only = off")

    assert isinstance(caught.__cause__, ReadOnlySqlTransaction)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "30"
    assert "Изменения ненадолго остановлены" in answer.content.decode()
