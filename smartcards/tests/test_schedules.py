"""Ten random fault schedules on the whole product, and the proof that their examination can fail."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings

from bench import books, faults, rows
from bench.books import Attempts, Found
from operators import quota
from operators.http import Exchange
from operators.ports import Operator, SubmitResult
from operators.services import connect
from operators.tests.bench import running
from smartcards import dispatch, reconcile
from smartcards.dispatch import Letter
from smartcards.models import Command, SmartCard
from smartcards.states import CommandState
from smartcards.tests.cards import make_account, make_live_subscription, make_merchant
from smartcards.tests.stand import MovedClock, Stand

# Seconds from the operator's «accepted» to its deed: an equal request in between is a second one.
DELAY = 0.3
PROJECT = Path(__file__).resolve().parents[2]
ON = {"call": "submit", "action": "activate", "heard": "answered"}
OFF = {"call": "submit", "action": "deactivate", "heard": "lost"}
REFUSED = {"call": "submit", "action": "activate", "heard": "refused"}
READ = {"call": "read", "action": "", "heard": "answered"}


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bench.faults", "--only-random", *arguments],
        cwd=PROJECT,
        env={**os.environ, "LOCAL_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=400,
    )


@pytest.mark.workers
def test_ten_random_schedules_lose_and_double_nothing(tmp_path: Path):
    seed = random.SystemRandom().randrange(1_000_000)

    done = run(tmp_path, "--schedules", "10", "--seed", str(seed), "--minutes", "5")

    last = done.stdout.strip().splitlines()[-1:]
    assert (done.returncode, last) == (0, ["10 passed, 0 failed"]), (
        f"{done.stdout}\n{done.stderr[-3000:]}"
    )


def test_run_that_plays_fewer_schedules_than_asked_for_fails(capsys):
    results = faults.verdict([Found(), Found()], 300, total=2.5)

    assert (results, capsys.readouterr().out.splitlines()) == (
        [True, True] + [False] * 298,
        [
            "2 random schedules in 2 s, 1.25 s each: lost 0, doubled 0, wrong 0",
            "FAILED: time is up, 298 of 300 schedules were not played",
        ],
    )


def test_run_of_all_schedules_is_as_good_as_each_of_them(capsys):
    results = faults.verdict([Found(), Found(doubled=1)], 2, total=2)

    assert (results, capsys.readouterr().out.splitlines()) == (
        [True, False],
        ["2 random schedules in 2 s, 1.00 s each: lost 0, doubled 1, wrong 0"],
    )


# --- the examination can fail ---------------------------------------------------------------------

Dispatcher = Callable[[Operator, Letter, Stand], SubmitResult]


@pytest.fixture(params=["mts", "tmf640", "beeline", "control_center"])
def stand(request: pytest.FixtureRequest, db: None, tmp_path: Path) -> Iterator[Stand]:
    """A quick played operator without limits, and a merchant with ten paid places."""
    code, keys = request.param, rows.CREDENTIALS[request.param]
    quota.client(settings.REDIS_URL).flushdb()
    with running(code, keys, tmp_path / "sandbox.json") as bench:
        bench.limits(per_second=None, per_minute=None, concurrency=None, delay_seconds=DELAY)
        account = make_account(
            f"books-{code}",
            adapter=code,
            base_url=f"{bench.url}/operators/{code}",
            credentials=keys,
            timeout_seconds=5,
            lease_seconds=30,
            quiet_seconds=1,
            poll_plan=[1],
        )
        merchant, moved = make_merchant(), MovedClock()
        paid = make_live_subscription(merchant, cards=10, at=moved())
        yield Stand(bench, account, merchant, paid, moved)


def once(operator: Operator, letter: Letter, stand: Stand) -> SubmitResult:
    return dispatch.send(operator, letter, stand.clock)


def twice(operator: Operator, letter: Letter, stand: Stand) -> SubmitResult:
    """The dispatcher that we never want: the second of two equal requests does nothing, but it was made."""
    dispatch.send(operator, letter, stand.clock)
    return dispatch.send(operator, letter, stand.clock)


def leave(stand: Stand, send: Dispatcher) -> None:
    """What is due leaves by this dispatcher; then the product itself finds out what became of it."""
    letters = dispatch.claim(account=stand.account, at=stand.clock(), limit=10)
    operator = connect(stand.account, heard=unheard.append)
    dispatch.record(
        [(letter, send(operator, letter, stand)) for letter in letters], at=stand.clock()
    )


unheard: list[Exchange] = []


def examined(stand: Stand, card: SmartCard) -> Found:
    time.sleep(DELAY)
    for _ in range(4):
        stand.run(seconds=61)
    return books.examine(stand.bench.url, [card], {card.pk: 1})


def test_honest_dispatcher_is_found_good(stand):
    card = stand.card()
    stand.activate(card)

    leave(stand, once)

    assert examined(stand, card) == Found()


def test_dispatcher_that_sends_everything_twice_is_found_out(stand):
    card = stand.card()
    stand.activate(card)

    leave(stand, twice)

    found = examined(stand, card)
    assert (found.lost, found.doubled, found.good) == (0, 1, False)
    assert len(stand.effects(card)) == 1


# The adapter of tmf640 reads the card before each request.
@pytest.mark.parametrize("stand", ["mts", "beeline", "control_center"], indirect=True)
def test_request_repeated_without_a_question_is_found_out(stand):
    card = stand.card()
    command = stand.activate(card)
    stand.bench.fault("submit", "drop_after", times=1)
    leave(stand, once)
    Command.objects.filter(pk=command.pk).update(
        state=CommandState.QUEUED, check_at=None, due_at=stand.clock()
    )

    leave(stand, once)

    found = examined(stand, card)
    assert (found.lost, found.doubled) == (0, 1)
    assert "again without a question in between" in found.details[0]


def test_request_repeated_after_a_question_is_found_good(stand):
    card = stand.card()
    stand.activate(card)
    stand.bench.fault("submit", "drop_before", times=1)

    stand.work()
    for _ in range(4):
        stand.run(seconds=61)
        reconcile.reconcile_all(at=stand.clock())

    assert examined(stand, card) == Found()
    assert stand.calls(card)["submit"] == 2


@pytest.mark.parametrize(
    ("came", "book", "said"),
    [
        ([ON], Attempts({"activate": 1}, ("activate",)), []),
        ([ON], Attempts({}, ()), ["1 requests to activate, 0 attempts in our book"]),
        ([REFUSED, ON], Attempts({"activate": 2}, ("activate",)), []),
        ([ON, OFF, ON], Attempts({"activate": 2, "deactivate": 1}, ("activate",)), []),
        ([ON, READ, ON], Attempts({"activate": 2}, ("activate",)), []),
        (
            [ON, ON],
            Attempts({"activate": 2}, ("activate",)),
            ["activate again without a question in between"],
        ),
        (
            [ON, READ, ON],
            Attempts({"activate": 2}, ("activate", "activate")),
            ["two commands to activate done in a row"],
        ),
    ],
)
def test_books_tell_what_came_twice(came, book, said):
    assert books.doubles(came=came, effects=[], book=book) == said


@pytest.mark.parametrize(
    ("effects", "asked", "said"),
    [
        (["activate"], 1, []),
        (["activate"], 0, ["1 effects, asked for 0 times"]),
        (["activate", "activate"], 2, ["2 effects of activate, 1 attempts"]),
    ],
)
def test_books_tell_of_effects_that_nobody_asked_for(effects, asked, said):
    book = Attempts({"activate": 1}, ("activate",))

    assert books.doubles(came=[], effects=effects, book=book, asked=asked) == said
