"""One holder of an account's lock at a time, whichever machine or process it is on."""

import threading
import time

import pytest
from django.db import OperationalError, connection, connections

from operators.limits.account_lock import beside_worker, hold_account
from operators.models import OperatorAccount
from operators.tests.held_locks import held_elsewhere

pytestmark = pytest.mark.django_db(transaction=True)


def test_free_lock_is_acquired_and_released():
    with hold_account(1) as first:
        pass
    with hold_account(1) as second:
        assert second

    assert first


def test_lock_of_another_is_not_ours_and_stays_its_own():
    with held_elsewhere(1):
        with hold_account(1) as ours:
            pass
        with hold_account(1) as still:
            pass
        with hold_account(2) as another_account:
            pass

    assert ours is False
    assert still is False
    assert another_account is True


def test_patience_waits_for_the_lock_to_be_let_go():
    with held_elsewhere(1) as let_go:
        threading.Timer(0.15, let_go.set).start()

        with hold_account(1, patience=5) as ours:
            pass

    assert ours is True


def test_patience_has_an_end():
    started = time.monotonic()

    with held_elsewhere(1), hold_account(1, patience=0.25) as ours:
        waited = time.monotonic() - started

    assert ours is False
    assert (0.25 <= waited < 5) is True


def test_database_that_fails_is_no_lock_of_another():
    def fail(execute, sql, *arguments):
        if "pg_advisory_lock" in sql:
            raise OperationalError("the server is gone")
        return execute(sql, *arguments)

    with (
        connection.execute_wrapper(fail),
        pytest.raises(OperationalError, match="gone"),
        hold_account(1, patience=1),
    ):
        pass


def test_lock_dies_with_the_session_that_held_it():
    def die() -> None:
        with hold_account(1):
            connections.close_all()

    holder = threading.Thread(target=die)
    holder.start()
    holder.join(10)

    with hold_account(1, patience=5) as ours:
        pass

    assert ours is True


def test_block_that_fails_lets_its_lock_go():
    with pytest.raises(ValueError, match="failed"), hold_account(1):
        raise ValueError("failed")

    with held_elsewhere(1):  # another session can have it
        pass


@pytest.mark.parametrize(("concurrency", "free"), [(1, False), (2, True)])
def test_concurrent_account_allows_call_beside_the_worker(concurrency, free):
    account = OperatorAccount(pk=7, concurrency=concurrency)

    with held_elsewhere(7), beside_worker(account, patience=0) as busy:
        pass
    with beside_worker(account, patience=0) as at_rest:
        pass

    assert busy == free
    assert at_rest is True
