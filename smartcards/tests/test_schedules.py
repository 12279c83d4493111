"""Ten random fault schedules on real workers; `make faults` runs three hundred of them."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.workers
def test_ten_random_schedules_lose_and_double_nothing(tmp_path: Path):
    seed = random.SystemRandom().randrange(1_000_000)
    arguments = ("--only-random", "--schedules", "10", "--seed", str(seed), "--minutes", "5")

    run = subprocess.run(
        [sys.executable, "-m", "bench.faults", *arguments],
        cwd=PROJECT,
        env={**os.environ, "LOCAL_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=400,
    )

    last = run.stdout.strip().splitlines()[-1:]
    assert (run.returncode, last) == (0, ["10 passed, 0 failed"]), (
        f"{run.stdout}\n{run.stderr[-3000:]}"
    )
