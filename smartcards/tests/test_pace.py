"""How many threads are worth running, and how many letters are begun ahead."""

import pytest

from smartcards.pace import Pace


def after(*calls: tuple[float, float]) -> Pace:
    """A pace that has seen these calls: seconds of each, and our own work in it."""
    pace = Pace()
    for seconds, own_seconds in calls:
        pace.note(seconds=seconds, own_seconds=own_seconds)
    return pace


@pytest.mark.parametrize(
    ("seconds", "own_seconds", "width"),
    [
        (0.2, 0.004, 8),
        (0.02, 0.004, 7),
        (0.008, 0.004, 4),
        (0.004, 0.004, 3),
        (0.0001, 0.004, 2),
        # A clock too coarse for so short a work tells nothing.
        (0.2, 0.0, 8),
    ],
)
def test_threads_beyond_a_busy_interpreter_rest(seconds, own_seconds, width):
    assert after((seconds, own_seconds)).width(8) == width


def test_all_threads_run_while_nothing_is_known():
    assert Pace().width(8) == 8


def test_one_slow_call_among_quick_ones_wakes_nobody():
    assert after((0.008, 0.004), (3.0, 0.004), (0.008, 0.004)).width(8) == 4


def test_contract_that_allows_one_call_at_a_time_has_one_thread():
    assert after((0.2, 0.004)).width(1) == 1


def test_operator_that_became_slow_gets_all_threads_again():
    pace = after(*[(0.008, 0.004)] * 10, *[(0.5, 0.004)] * 500)

    assert pace.width(8) == 8


@pytest.mark.parametrize(
    ("seconds", "threads", "ahead"),
    [(0.001, 8, 48), (0.1, 8, 40), (0.5, 8, 8), (5.0, 4, 0), (5.0, 20, 2)],
)
def test_letters_are_begun_ahead_for_half_a_second(seconds, threads, ahead):
    assert after(*[(seconds, 0.001)] * 100).ahead(threads) == ahead
