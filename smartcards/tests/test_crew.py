"""The crew of threads: the most urgent first, equals in turn, and nobody leaves before the work is done."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from smartcards.crew import Crew


class Trouble(Exception):
    """What a job of these tests raises."""


@contextmanager
def held(crew: Crew) -> Iterator[None]:
    """All threads of a crew of one are busy until the block ends: what is given meanwhile must queue."""
    busy, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        go_on.wait(10)

    crew.give(hold, priority=0)
    assert busy.wait(10)
    try:
        yield
    finally:
        go_on.set()


def order_of(priorities: list[int]) -> list[int]:
    """In which order a crew of one takes jobs that were given in this order, by their places in it."""
    taken: list[int] = []
    with Crew(1) as crew, held(crew):
        for number, priority in enumerate(priorities):
            crew.give(partial(taken.append, number), priority=priority)
    return taken


@pytest.mark.parametrize(
    ("priorities", "order"),
    [
        ([], []),
        ([2, 1, 0], [2, 1, 0]),
        ([1, 1, 1, 0], [3, 0, 1, 2]),
        ([1, 1, 1, 1, 1, 1], [0, 1, 2, 3, 4, 5]),
        ([2, 0, 1, 2, 0, 1], [1, 4, 2, 5, 0, 3]),
    ],
)
def test_urgent_is_taken_first_and_equals_in_turn(priorities, order):
    assert order_of(priorities) == order


def test_answers_come_out_of_their_own_futures():
    with Crew(3) as crew:
        futures = [crew.give(partial(pow, number, 2), priority=1) for number in range(20)]

    assert [future.result(0) for future in futures] == [number**2 for number in range(20)]


def test_exception_comes_out_of_the_future_and_the_thread_works_on():
    def fail() -> None:
        raise Trouble("сломалось")

    with Crew(1) as crew:
        failed = crew.give(fail, priority=0)
        following = crew.give(lambda: "готово", priority=1)

        with pytest.raises(Trouble, match="сломалось"):
            failed.result(10)

        assert following.result(10) == "готово"


def test_leaving_the_block_waits_for_every_job():
    done: list[int] = []

    def work(number: int) -> None:
        time.sleep(0.01)
        done.append(number)

    with Crew(2) as crew:
        for number in range(8):
            crew.give(partial(work, number), priority=number % 3)
        done_inside = len(done)

    assert done_inside < 8
    assert sorted(done) == list(range(8))


def test_leaving_the_block_by_an_exception_waits_too():
    done: list[str] = []

    def work() -> None:
        time.sleep(0.05)
        done.append("готово")

    def give_and_fail() -> None:
        with Crew(1) as crew:
            crew.give(work, priority=0)
            crew.give(work, priority=0)
            raise Trouble

    with pytest.raises(Trouble):
        give_and_fail()

    assert done == ["готово", "готово"]


def test_so_many_jobs_run_at_a_time_and_no_more():
    together = threading.Barrier(3)
    lock = threading.Lock()
    running, most = 0, 0

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(10)  # passes only where three are inside
        with lock:
            running -= 1

    with Crew(3) as crew:
        for _ in range(9):
            crew.give(work, priority=1)

    assert (running, most) == (0, 3)


def test_threads_end_with_the_block():
    before = threading.active_count()

    with Crew(4):
        inside = threading.active_count()

    assert (inside, threading.active_count()) == (before + 4, before)


def test_narrow_crew_works_one_by_one_and_widens_again():
    together: list[int] = []
    lock, busy = threading.Lock(), [0]

    def job() -> None:
        with lock:
            busy[0] += 1
            together.append(busy[0])
        time.sleep(0.02)
        with lock:
            busy[0] -= 1

    with Crew(4) as crew:
        crew.widen(1)
        # The threads that were waiting for work already take one more each.
        for _ in range(4):
            crew.give(job, priority=1)
        for _ in [crew.give(job, priority=1) for _ in range(6)]:
            _.result(10)
        narrow = together[-4:]
        crew.widen(4)
        wide = [crew.give(job, priority=1) for _ in range(8)]
        for future in wide:
            future.result(10)

    assert (narrow, max(together[-8:])) == ([1, 1, 1, 1], 4)
