"""One holder of a lane at a time, whichever machine or process it is on."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connections

from operators.lanes import Lane, hold_lane

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def _held_elsewhere(account_id: int, lane: Lane = Lane.MAIN) -> Iterator[threading.Event]:
    """Another session of PostgreSQL holds the lane until the event is set, or the block ends."""
    taken, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with hold_lane(account_id, lane):
                taken.set()
                let_go.wait(10)
        finally:
            connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(10)
    try:
        yield let_go
    finally:
        let_go.set()
        holder.join(10)


def test_lane_is_ours_where_nobody_holds_it_and_free_after_it():
    with hold_lane(1) as first:
        pass
    with hold_lane(1) as second:
        answers = (first, second)

    assert answers == (True, True)


def test_lane_of_another_is_not_ours_and_stays_its_own():
    with _held_elsewhere(1):
        with hold_lane(1) as ours:
            pass
        with hold_lane(1) as still:
            pass
        with hold_lane(2) as another_account, hold_lane(1, Lane.CLICKS) as another_lane:
            pass

    assert (ours, still, another_account, another_lane) == (False, False, True, True)


def test_patience_waits_for_a_lane_to_be_let_go():
    with _held_elsewhere(1) as let_go:
        threading.Timer(0.15, let_go.set).start()

        with hold_lane(1, patience=5) as ours:
            pass

    assert ours is True


def test_patience_has_an_end():
    started = time.monotonic()

    with _held_elsewhere(1), hold_lane(1, patience=0.25) as ours:
        waited = time.monotonic() - started

    assert (ours, 0.25 <= waited < 5) == (False, True)


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

    with _held_elsewhere(1):  # another session can have it
        pass
