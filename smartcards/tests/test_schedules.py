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
from django.test import override_settings

from bench import faults, ledger_check
from bench.ledger_check import Ledger
from operators.demo.contracts import CONTRACTS
from operators.limits import quota
from operators.sandbox.state import ClientSaw, ReceivedCall
from operators.tests.sandbox_operator import running
from smartcards.dispatch import outbox
from smartcards.dispatch.outbox import OutgoingCommand, SendOutcome
from smartcards.models import Command, SmartCard
from smartcards.reconciliation import reconcile
from smartcards.states import CommandState
from smartcards.tests.cards import make_account, make_live_subscription, make_merchant
from smartcards.tests.dispatch_setup import MovedClock, Stand, claim_all, send_now

# Seconds from the operator's «accepted» to its effect: an equal request in between is a second one.
DELAY = 0.3
PROJECT = Path(__file__).resolve().parents[2]
ON = ReceivedCall(1, "submit", "activate")
OFF = ReceivedCall(1, "submit", "deactivate")
REFUSED = ReceivedCall(1, "submit", "activate", ClientSaw.REFUSED)
READ = ReceivedCall(1, "read", "")


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bench", "faults", "--only-random", *arguments],
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

    output = f"{done.stdout}\n{done.stderr[-3000:]}"
    assert done.returncode == 0, output
    assert done.stdout.strip().splitlines()[-1:] == ["10 passed, 0 failed"], output


def test_run_that_plays_fewer_schedules_than_asked_for_fails(capsys):
    results = faults.results_of([Ledger(), Ledger()], 300, total=2.5)

    assert results[:2] == [True] * 2
    assert results[2:] == [False] * 298
    assert capsys.readouterr().out.splitlines() == [
        "2 random schedules in 2 s, 1.25 s each: lost 0, doubled 0, wrong 0",
        "FAILED: time is up, 298 of 300 schedules were not played",
    ]


def test_run_fails_if_any_schedule_fails(capsys):
    results = faults.results_of([Ledger(), Ledger(doubled=1)], 2, total=2)

    assert results.count(True) == 1
    assert results[-1] is False
    assert capsys.readouterr().out.splitlines() == [
        "2 random schedules in 2 s, 1.00 s each: lost 0, doubled 1, wrong 0"
    ]


# --- the examination can fail ---------------------------------------------------------------------

Dispatcher = Callable[[Stand, OutgoingCommand], SendOutcome]


@pytest.fixture(params=["mts", "tmf640", "beeline", "control_center"])
def stand(request: pytest.FixtureRequest, db: None, tmp_path: Path) -> Iterator[Stand]:
    """A quick played operator without limits, and a merchant with ten paid places."""
    code, keys = request.param, CONTRACTS[request.param]["credentials"]
    quota.client(settings.REDIS_URL).flushdb()
    with (
        override_settings(SANDBOX=True, CLOCK_FILE=tmp_path / "clock"),
        running(code, keys, tmp_path / "sandbox.json") as bench,
    ):
        bench.limits(per_second=None, per_minute=None, concurrency=None, delay_seconds=DELAY)
        account = make_account(
            f"schedules-{code}",
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


def twice(stand: Stand, outgoing: OutgoingCommand) -> SendOutcome:
    """The dispatcher that we never want: the second of two equal requests does nothing, but it was made."""
    send_now(stand, outgoing)
    return send_now(stand, outgoing)


def leave(stand: Stand, send: Dispatcher) -> None:
    """What is due leaves by this dispatcher; then the product itself finds out what became of it."""
    for outgoing in claim_all(stand.account, at=stand.clock()):
        outbox.record(outgoing, send(stand, outgoing), at=stand.clock())


def examined(stand: Stand, card: SmartCard) -> Ledger:
    time.sleep(DELAY)
    for _ in range(4):
        stand.run(seconds=61)
    return ledger_check.examine(stand.bench.call, [card], {card.pk: 1})


def test_honest_dispatcher_is_good(stand):
    card = stand.card()
    stand.activate(card)

    leave(stand, send_now)

    assert examined(stand, card) == Ledger()


def test_dispatcher_that_sends_everything_twice_is_not_good(stand):
    # Long enough for a second request on a busy machine.
    stand.bench.limits(delay_seconds=5 * DELAY)
    card = stand.card()
    stand.activate(card)

    leave(stand, twice)
    time.sleep(4 * DELAY)

    found = examined(stand, card)
    assert found.lost == 0
    assert found.doubled == 1
    assert found.is_good is False
    assert len(stand.effects(card)) == 1


# The adapter of tmf640 reads the card before each request.
@pytest.mark.parametrize("stand", ["mts", "beeline", "control_center"], indirect=True)
def test_request_repeated_without_a_question_is_not_good(stand):
    card = stand.card()
    command = stand.activate(card)
    stand.bench.fault("submit", "drop_after", times=1)
    leave(stand, send_now)
    Command.objects.filter(pk=command.pk).update(
        state=CommandState.QUEUED, check_at=None, due_at=stand.clock()
    )

    leave(stand, send_now)

    found = examined(stand, card)
    assert found.lost == 0
    assert found.doubled == 1
    assert "again without a question in between" in found.details[0]


def test_request_repeated_after_a_question_is_good(stand):
    card = stand.card()
    stand.activate(card)
    stand.bench.fault("submit", "drop_before", times=1)

    stand.work()
    for _ in range(4):
        stand.run(seconds=61)
        reconcile.reconcile_all(at=stand.clock())

    assert examined(stand, card) == Ledger()
    assert stand.calls(card)["submit"] == 2


def done(kind: str, attempts: int = 1) -> Command:
    """A command of our record, not stored."""
    return Command(kind=kind, attempts=attempts, state=CommandState.DONE)


@pytest.mark.parametrize(
    ("came", "sent", "expected"),
    [
        ([ON], [done("activate")], []),
        ([ON], [], ["1 requests to activate, 0 attempts in our record"]),
        ([REFUSED, ON], [done("activate", attempts=2)], []),
        ([ON, OFF, ON], [done("activate", attempts=2), done("deactivate")], []),
        ([ON, READ, ON], [done("activate", attempts=2)], []),
        (
            [ON, ON],
            [done("activate", attempts=2)],
            ["activate again without a question in between"],
        ),
        (
            [ON, READ, ON],
            [done("activate"), done("activate")],
            ["two commands to activate done in a row"],
        ),
    ],
)
def test_repeated_requests_are_named(came, sent, expected):
    assert ledger_check.doubles(came=came, effects=[], sent=sent) == expected


@pytest.mark.parametrize(
    ("effects", "asked", "expected"),
    [
        (["activate"], 1, []),
        (["activate"], 0, ["1 effects, asked for 0 times"]),
        (["activate", "activate"], 2, ["2 effects of activate, 1 attempts in our record"]),
    ],
)
def test_effects_beyond_those_asked_for_are_named(effects, asked, expected):
    found = ledger_check.doubles(came=[], effects=effects, sent=[done("activate")], asked=asked)

    assert found == expected
