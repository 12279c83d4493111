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
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import place
from bench.named_servers import OwnServers, own_servers
from bench.named_trial import Findings, Trial

_TABLE = "{:<4} {:<60.60} {:<64.64} {:<6} {:>6}"


def arguments() -> argparse.Namespace:
    """What the person asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--schedules", type=int, default=300)
    parser.add_argument(
        "--minutes", type=float, default=19.5, help="no schedule begins after so many"
    )
    parser.add_argument("--only-random", action="store_true", help="leave the named faults out")
    parser.add_argument(
        "--only", metavar="F7", default="", help="these faults (F3,F7), and no schedules"
    )
    parser.add_argument("--mass", type=int, default=10_000, help="how many commands F23 has")
    return parser.parse_args()


def main() -> int:
    chosen = arguments()
    ends_at = time.monotonic() + chosen.minutes * 60
    print(f"seed {chosen.seed}", flush=True)
    results: list[bool] = []
    with ExitStack() as stack:
        if not chosen.only_random or "DATABASE_URL" not in os.environ:
            servers = stack.enter_context(own_servers(_folder()))
        empty = dict(os.environ)
        place.prepare()
        if chosen.only_random:
            results += _random(chosen.seed, chosen.schedules, ends_at)
        else:
            only = chosen.only.split(",") if chosen.only else []
            results += _named(servers, only=only, mass=chosen.mass)
            results += [] if only else [_random_apart(chosen, empty, ends_at)]
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


def _random_apart(chosen: argparse.Namespace, environment: dict[str, str], ends_at: float) -> bool:
    """The schedules in a process and a database of their own, without the named faults' remains."""
    minutes = (ends_at - time.monotonic()) / 60
    asked = ("--seed", chosen.seed, "--schedules", chosen.schedules, "--minutes", minutes)
    arguments = [sys.executable, "-m", "bench.faults", "--only-random", *map(str, asked)]
    return (
        subprocess.run(arguments, cwd=place.PROJECT, env=environment, check=False).returncode == 0
    )


def _random(seed: int, number: int, ends_at: float) -> list[bool]:
    # After setup.
    from bench import schedules  # noqa: PLC0415

    started = time.monotonic()
    done: list[schedules.Found] = []
    with schedules.stage() as stage:
        for index in range(number):
            if time.monotonic() > ends_at:
                print(f"out of time after {index} schedules", flush=True)
                break
            done.append(stage.play(random.Random(f"{seed}:{index}")))
            if not done[-1].good:
                print(f"schedule {index}: {done[-1]}", flush=True)
    total = time.monotonic() - started
    print(
        f"{len(done)} random schedules in {total:.0f} s, {total / max(1, len(done)):.2f} s each:"
        f" lost {sum(one.lost for one in done)}, doubled {sum(one.doubled for one in done)},"
        f" wrong {sum(one.wrong for one in done)}",
        flush=True,
    )
    return [one.good for one in done]


if __name__ == "__main__":
    sys.exit(main())
