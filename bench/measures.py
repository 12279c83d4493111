"""The five measures; each makes its own contract, merchants and cards, and starts what it needs."""

import os
import time
from collections.abc import Callable, Iterator
from statistics import median

from django.db import connection

from bench import bare, naive, place, rows
from bench.clicks import past_mass, under_a_quota
from bench.figures import Figure
from cabinet import clock
from operators import quota
from smartcards import dispatch, line
from smartcards.models import Command, SmartCard
from smartcards.states import CommandState, Confirmed


def taken(chosen: str) -> Iterator[Figure]:
    """The chosen measures by their letters, printed as they come."""
    quota.client(os.environ["REDIS_URL"]).flushdb()
    for letter, measure in _MEASURES:
        if letter in chosen:
            figure = measure()
            print(figure, flush=True)
            yield figure


def timed(action: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def against_bare_calls(number: int = 1200) -> Figure:
    """(a) Commands confirmed a second against a bare thread pool making the same calls.

    Half of the bare calls are made before and half after ours, so that a change of the machine's mood
    falls upon both.
    """
    with place.played_operators() as sandbox:
        rows.put(f"{sandbox}/limits/tmf640", {"per_second": None, "per_minute": None})
        contract = rows.account("tmf640", sandbox)
        ours = rows.cards(contract, rows.merchant(number), number)
        theirs = rows.cards(contract, rows.merchant(number), number)
        rows.tell_sandbox(sandbox, ours + theirs)
        rows.queue(ours)
        half = number // 2
        first = timed(lambda: bare.switch_all(sandbox, theirs[:half], contract.concurrency))
        mine = timed(lambda: line.work(account_id=contract.pk, clock=clock.now, budget=300))
        rest = timed(lambda: bare.switch_all(sandbox, theirs[half:], contract.concurrency))
        _all_done(contract.pk, number)
    ratio = (first + rest) / mine
    found = f"{number / mine:.0f} commands/s against {number / (first + rest):.0f} bare switches/s"
    return Figure("a", f"{found}: ratio {ratio:.2f} (aim 0.6)", ratio >= 0.6)


def against_naive_tasks(number: int = 4000) -> Figure:
    """(b) The outbox's own cost against one Celery task for each card that updates its row.

    Neither side's clock runs while its work is put in its queue.
    """
    contract = rows.account("nothing", concurrency=32)
    ours = rows.cards(contract, rows.merchant(number), number)
    theirs = rows.cards(contract, rows.merchant(number), number)
    rows.queue(ours)
    mine = timed(lambda: line.work(account_id=contract.pk, clock=clock.now, budget=300))
    _all_done(contract.pk, number)
    switched = SmartCard.objects.filter(
        pk__in=[card.pk for card in theirs], confirmed=Confirmed.ACTIVE
    )
    with naive.worker(theirs[0].pk, is_up=switched.exists):
        naive.publish(card.pk for card in theirs[1:])
        started = time.perf_counter()
        naive.let_go()
        while switched.count() < number:
            time.sleep(0.02)
        naive_rate = (number - 1) / (time.perf_counter() - started)
    ratio = number / mine / naive_rate
    found = f"{number / mine:.0f} commands/s against {naive_rate:.0f} naive tasks/s"
    return Figure("b", f"{found}: ratio {ratio:.1f} (aim 3)", ratio >= 3)


def _all_done(account_id: int, number: int) -> None:
    done = Command.objects.filter(account=account_id, state=CommandState.DONE).count()
    assert done == number, done


def claim_is_flat() -> Figure:
    """(e) The time of a claim with 100,000 commands waiting against 1,000."""
    few, many = (_claim_seconds(number) for number in (1_000, 100_000))
    found = f"{many * 1000:.1f} ms with 100,000 waiting, {few * 1000:.1f} ms with 1,000"
    return Figure("e", f"claim of 20: {found}: ratio {many / few:.2f} (aim 2)", many / few < 2)


def _claim_seconds(waiting: int) -> float:
    contract = rows.account("nothing")
    rows.queue(rows.cards(contract, rows.merchant(waiting), waiting))
    with connection.cursor() as cursor:
        cursor.execute(
            "VACUUM ANALYZE smartcards_command, smartcards_smartcard, smartcards_coverage"
        )

    def claim() -> None:
        dispatch.claim(account=contract, at=clock.now(), limit=20)

    return median(timed(claim) for _ in range(30))


_MEASURES: tuple[tuple[str, Callable[[], Figure]], ...] = (
    ("a", against_bare_calls),
    ("b", against_naive_tasks),
    ("c", lambda: under_a_quota(reserve=0, seconds=125)),
    ("c", lambda: under_a_quota(reserve=10, seconds=245)),
    ("d", past_mass),
    ("e", claim_is_flat),
)
