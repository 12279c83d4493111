"""`make faults`: random schedules on the whole product with servers of its own, then named faults.

Every run ends with each card in its right state and with the operator's record showing exactly the
effects that were wanted: nothing lost, nothing doubled. The seed is printed; give it to repeat a run:
`make faults ARGS="--seed 7 --schedules 300"`, one named fault alone: `ARGS="--only F7"`.
"""

import argparse
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple

from bench import random_faults
from bench.harness import Harness
from bench.ledger_check import Ledger

logger = logging.getLogger(__name__)

_ROW = "{:<4} {:<74} {:<6} {:>6.1f} s"
# In the order of the table; the last one replaces the PostgreSQL server for good.
_MODULES = (
    *("worker_killed", "slow_operator", "bad_answers", "web_killed_and_two_people", "redis_down"),
    *("wakeups", "poison", "mass_work", "disk_full", "postgres_down"),
)

# Does it, and says what was seen. Raises AssertionError with what should not have been.
Run = Callable[[Harness], str]


class Scenario(NamedTuple):
    """A named fault, a row of the table: its number, what is done, and the doing of it."""

    fault: str
    title: str
    run: Run


_scenarios: list[Scenario] = []


def scenario(fault: str, title: str) -> Callable[[Run], Run]:
    """Registers a function as a row of the table. `{mass}` in the title is the number of F23's cards."""

    def register(run: Run) -> Run:
        _scenarios.append(Scenario(fault, title, run))
        return run

    return register


def main(harness: Harness, asked: argparse.Namespace) -> int:
    results = list[bool]()
    # Pages are played without the collected static files.
    warnings.filterwarnings("ignore", message="No directory at")
    print(f"seed {asked.seed}", flush=True)
    harness.mass = asked.mass
    if not asked.only:
        results += _schedules(harness, asked)
    if not asked.only_random:
        for name in _MODULES:
            import_module(f"bench.scenarios.{name}")
        only = asked.only.split(",") if asked.only else [one.fault for one in _scenarios]
        results += [_run(one, harness) for one in _scenarios if one.fault in only]
    print(f"{results.count(True)} passed, {results.count(False)} failed", flush=True)
    return 0 if results and all(results) else 1


def _run(scenario: Scenario, harness: Harness) -> bool:
    """One row of the table; whatever it raises is a finding."""
    started, is_good = time.monotonic(), True
    try:
        seen = scenario.run(harness)
    except Exception as error:
        is_good, seen = False, f"{type(error).__name__}: {error}"
        logger.debug("%s", scenario.title, exc_info=True)
        harness.end_faults()
    title, result = scenario.title.format(mass=harness.mass), "ok" if is_good else "FAILED"
    print(_ROW.format(scenario.fault, title, result, time.monotonic() - started))
    print(f"     {seen}", flush=True)
    return is_good


def _schedules(harness: Harness, asked: argparse.Namespace) -> list[bool]:
    started, limit = time.monotonic(), asked.minutes * 60
    done = random_faults.play_all(harness, seed=asked.seed, number=asked.schedules, seconds=limit)
    return results_of(done, asked.schedules, total=time.monotonic() - started)


def results_of(done: Sequence[Ledger], wanted: int, *, total: float) -> list[bool]:
    """Which of the `wanted` schedules are good; one that was not played is not. Prints it too.

    `total`: seconds that they took together.
    """
    lost, doubled, wrong = (
        sum(getattr(one, name) for one in done) for name in ("lost", "doubled", "wrong")
    )
    print(
        f"{len(done)} random schedules in {total:.0f} s, {total / max(1, len(done)):.2f} s each:"
        f" lost {lost}, doubled {doubled}, wrong {wrong}",
        flush=True,
    )
    rest = wanted - len(done)
    if rest:
        played = f"time is up, {rest} of {wanted} schedules were not played"
        print(f"FAILED: {played}", flush=True)
    return [one.is_good for one in done] + [False] * rest
