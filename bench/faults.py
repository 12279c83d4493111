"""`make faults`: fault runs with real servers and worker processes, then random schedules of them.

Every run ends with each card in its right state and with the operator's book showing exactly the
effects that were wanted: nothing lost, nothing doubled. The seed is printed; give it to repeat a run:
`python -m bench.faults --seed 7 --schedules 300`.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import place

place.prepare()

from bench import schedules  # noqa: E402 - after setup
from bench.named import NAMED  # noqa: E402


@dataclass(frozen=True)
class Outcome:
    """What one run showed."""

    name: str
    seconds: float
    lost: int
    doubled: int
    wrong: int
    note: str = ""

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.wrong or self.note)


def run(name: str, action: Callable[[], schedules.Found]) -> Outcome:
    """One run, its time and its findings; an exception is a finding too."""
    started = time.monotonic()
    try:
        found = action()
    except Exception as error:  # noqa: BLE001 - every failure belongs into the table
        return Outcome(
            name, time.monotonic() - started, 0, 0, 0, f"{type(error).__name__}: {error}"
        )
    return Outcome(name, time.monotonic() - started, found.lost, found.doubled, found.wrong)


def show(outcome: Outcome) -> None:
    word = "ok" if outcome.good else "FAILED"
    counts = f"lost {outcome.lost}, doubled {outcome.doubled}, wrong {outcome.wrong}"
    print(
        f"{outcome.name:<58} {word:<7} {counts:<28} {outcome.seconds:6.1f} s {outcome.note}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--schedules", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=19)
    parser.add_argument("--only-random", action="store_true", help="leave the named faults out")
    chosen = parser.parse_args()
    ends_at = time.monotonic() + chosen.minutes * 60
    print(f"seed {chosen.seed}", flush=True)
    outcomes = []
    named = {} if chosen.only_random else NAMED
    for name, action in named.items():
        outcomes.append(run(name, action))
        show(outcomes[-1])
    outcomes += _random(chosen.seed, chosen.schedules, ends_at)
    bad = [outcome for outcome in outcomes if not outcome.good]
    print(f"{len(outcomes) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad else 0


def _random(seed: int, number: int, ends_at: float) -> list[Outcome]:
    done: list[Outcome] = []
    with schedules.stage() as stage:
        for index in range(number):
            if time.monotonic() > ends_at:
                print(f"out of time after {index} schedules", flush=True)
                break
            chance = random.Random(f"{seed}:{index}")
            done.append(run(f"schedule {index}", lambda: stage.play(chance)))  # noqa: B023
            if not done[-1].good:
                show(done[-1])
    total = sum(outcome.seconds for outcome in done)
    print(
        f"{len(done)} random schedules in {total:.0f} s: lost {sum(o.lost for o in done)},"
        f" doubled {sum(o.doubled for o in done)}, wrong {sum(o.wrong for o in done)}",
        flush=True,
    )
    return done


if __name__ == "__main__":
    sys.exit(main())
