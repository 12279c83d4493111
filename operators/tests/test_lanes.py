"""One holder of a lane at a time, whichever machine or process it is on."""

import threading
import time

import pytest
from django.db import OperationalError, connection, connections

from operators.lanes import Lane, beside_the_line, hold_lane
from operators.models import OperatorAccount
from operators.tests.held import held_elsewhere

pytestmark = pytest.mark.django_db(transaction=True)


def test_lane_is_ours_where_nobody_holds_it_and_free_after_it():
    with hold_lane(1) as first:
        pass
    with hold_lane(1) as second:
        answers = (first, second)

    assert answers == (True, True)


def test_lane_of_another_is_not_ours_and_stays_its_own():
    with held_elsewhere(1):
        with hold_lane(1) as ours:
            pass
        with hold_lane(1) as still:
            pass
        with hold_lane(2) as another_account, hold_lane(1, Lane.CLICKS) as another_lane:
            pass

    assert (ours, still, another_account, another_lane) == (False, False, True, True)


def test_patience_waits_for_a_lane_to_be_let_go():
    with held_elsewhere(1) as let_go:
        threading.Timer(0.15, let_go.set).start()

        with hold_lane(1, patience=5) as ours:
            pass

    assert ours is True


def test_patience_has_an_end():
    started = time.monotonic()

    with held_elsewhere(1), hold_lane(1, patience=0.25) as ours:
        waited = time.monotonic() - started

    assert (ours, 0.25 <= waited < 5) == (False, True)


def test_database_that_fails_is_no_lane_of_another():
    def fail(execute, sql, *arguments):
        if "pg_advisory_lock" in sql:
            raise OperationalError("the server is gone")
        return execute(sql, *arguments)

    with (
        connection.execute_wrapper(fail),
        pytest.raises(OperationalError, match="gone"),
        hold_lane(1, patience=1),
    ):
        pass


def test_lane_dies_with_the_session_that_held_it():
    def die() -> None:
        with hold_lane(1):
            connections.close_all()

    holder = threading.Thread(target=die)
    holder.start()
    holder.join(10)

    with hold_lane(1, patience=5) as ours:
        pass

    assert ours is True


def test_block_that_fails_lets_its_lane_go():
    with pytest.raises(ValueError, match="failed"), hold_lane(1):
        raise ValueError("failed")

    with held_elsewhere(1):  # another session can have it
        pass


@pytest.mark.parametrize(("concurrency", "free"), [(1, False), (2, True)])
def test_call_beside_the_line_where_the_operator_takes_more_than_one(concurrency, free):
    account = OperatorAccount(pk=7, concurrency=concurrency)

    with held_elsewhere(7), beside_the_line(account, patience=0) as busy:
        pass
    with beside_the_line(account, patience=0) as at_rest:
        pass

    assert (busy, at_rest) == (free, True)
