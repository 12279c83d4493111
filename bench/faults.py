"""`make faults`: named faults on the whole product with servers of its own, then random schedules.

Every run ends with each card in its right state and with the operator's book showing exactly the
effects that were wanted: nothing lost, nothing doubled. The seed is printed; give it to repeat a run:
`python -m bench.faults --seed 7 --schedules 300`, one named fault alone: `--only F7`.
"""

import argparse
import os
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bench import place
from bench.named_servers import OwnServers, own_servers
from bench.named_trial import Findings, Trial

if TYPE_CHECKING:
    from bench import books

_TABLE = "{:<4} {:<60.60} {:<64.64} {:<6} {:>6}"


def arguments() -> argparse.Namespace:
    """What the person asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--schedules", type=int, default=300)
    parser.add_argument(
        "--minutes",
        type=float,
        default=19.5,
        help="no schedule begins later than so many after the first",
    )
    parser.add_argument("--only-random", action="store_true", help="leave the named faults out")
    parser.add_argument(
        "--only", metavar="F7", default="", help="these faults (F3,F7), and no schedules"
    )
    parser.add_argument("--mass", type=int, default=10_000, help="how many commands F23 has")
    return parser.parse_args()


def main() -> int:
    chosen = arguments()
    # Pages are played without the collected static files.
    warnings.filterwarnings("ignore", message="No directory at")
    print(f"seed {chosen.seed}", flush=True)
    environment = dict(os.environ)
    results: list[bool] = []
    with ExitStack() as stack:
        folder = _folder() / ("schedules" if chosen.only_random else "named")
        servers = stack.enter_context(own_servers(folder))
        place.prepare()
        if chosen.only_random:
            results += _random(servers, chosen.seed, chosen.schedules, chosen.minutes * 60)
        else:
            only = chosen.only.split(",") if chosen.only else []
            results += _named(servers, only=only, mass=chosen.mass)
    if not chosen.only_random and not chosen.only:
        results.append(_random_apart(chosen, environment))
    print(f"{results.count(True)} passed, {results.count(False)} failed", flush=True)
    return 0 if results and all(results) else 1


def _folder() -> Path:
    return Path(os.environ.get("LOCAL_DIR") or place.PROJECT / ".local").absolute() / "faults"


def _named(servers: OwnServers, *, only: Sequence[str], mass: int) -> list[bool]:
    # After setup.
    from bench import named  # noqa: PLC0415

    print(_TABLE.format("", "what was done", "what was found", "", "s"), flush=True)
    return [_play(trial) for trial in named.trials(servers, only=only, mass=mass)]


def _play(trial: Trial) -> bool:
    """One row of the table; an exception is a finding too."""
    started = time.monotonic()
    found = Findings()
    try:
        found = trial.play()
    except Exception as error:
        found.expect(False, f"{type(error).__name__}: {error}")
        if os.environ.get("FAULTS_TRACE"):
            raise
    _show(trial, found.wrong or found.seen, not found.wrong, time.monotonic() - started)
    return not found.wrong


def _show(trial: Trial, said: Sequence[str], good: bool, seconds: float) -> None:
    first, *rest = said or ["nothing wrong"]
    word = "ok" if good else "FAILED"
    print(_TABLE.format(trial.fault, trial.done, first, word, f"{seconds:.1f}"), flush=True)
    for line in rest[:8]:
        print(_TABLE.format("", "", line, "", ""), flush=True)
    for line in (line for line in said if len(line) > 64 and not good):
        print(f"     {line}", flush=True)


def _random_apart(chosen: argparse.Namespace, environment: dict[str, str]) -> bool:
    """The schedules in a process and with servers of their own, without the named faults' remains."""
    asked = ("--seed", chosen.seed, "--schedules", chosen.schedules, "--minutes", chosen.minutes)
    arguments = [sys.executable, "-m", "bench.faults", "--only-random", *map(str, asked)]
    return (
        subprocess.run(arguments, cwd=place.PROJECT, env=environment, check=False).returncode == 0
    )


def _random(servers: OwnServers, seed: int, number: int, seconds: float) -> list[bool]:
    # After setup.
    from bench import mischief, named_house, schedules  # noqa: PLC0415

    ends_at = time.monotonic() + seconds
    with named_house.house(servers) as house, schedules.stage(house) as stage:
        house.start_worker("operators-too", "--queues", "operators", *named_house.THREADS)
        started = time.monotonic()
        done: list[books.Found] = []
        while len(done) < number and time.monotonic() < ends_at:
            done.append(mischief.play(stage, random.Random(f"{seed}:{len(done)}")))
            if not done[-1].good:
                print(f"schedule {len(done) - 1}: {done[-1]}", flush=True)
        total = time.monotonic() - started
        print(f"played: {', '.join(mischief.told(stage))}", flush=True)
    return verdict(done, number, total=total)


def verdict(done: "Sequence[books.Found]", asked: int, *, total: float) -> list[bool]:
    """Which of the schedules that were asked for are good; one that was not played is not. Says it too."""
    print(_summary(done, total), flush=True)
    rest = asked - len(done)
    if rest:
        print(f"FAILED: time is up, {rest} of {asked} schedules were not played", flush=True)
    return [one.good for one in done] + [False] * rest


def _summary(done: "Sequence[books.Found]", total: float) -> str:
    lost, doubled, wrong = (
        sum(getattr(one, word) for one in done) for word in ("lost", "doubled", "wrong")
    )
    return (
        f"{len(done)} random schedules in {total:.0f} s, {total / max(1, len(done)):.2f} s each:"
        f" lost {lost}, doubled {doubled}, wrong {wrong}"
    )


if __name__ == "__main__":
    sys.exit(main())
