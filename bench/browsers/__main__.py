"""`make browsers`: the main journey in every engine, small screen; pictures in LOCAL_DIR/browsers/shots.

An engine that cannot be had is named; with STRICT=1 it counts as failed. ENGINES chooses: comma-separated.
"""

import io
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench.browsers.drivers import Stuck
from bench.browsers.engines import ENGINES, Engine
from bench.browsers.journey import STEPS, Visitor
from bench.browsers.product import house
from bench.browsers.tools import NotAvailable, Tools
from cabinet.launcher import LauncherError
from cabinet.launcher.environment import chosen_local_dir
from cabinet.tests.journeys.house import House

ENGINE_SECONDS = 180.0
OK, FAILED, NOT_REACHED = "ok", "FAILED", "-"


@dataclass
class Outcome:
    """What one engine showed."""

    engine: Engine
    version: str = ""
    seconds: float = 0.0
    steps: dict[str, str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    unavailable: str = ""

    def good(self, *, strict: bool) -> bool:
        if self.unavailable:
            return not strict
        return not self.troubles and all(said == OK for said in self.steps.values())


def phone_of(engine: Engine) -> str:
    """An invented number, each engine's own."""
    return f"7912000{1000 + ENGINES.index(engine)}"


def visit(engine: Engine, tools: Tools, lived: House, shots: Path) -> Outcome:
    """The journey in one engine. Nothing raised in it goes further."""
    outcome = Outcome(engine)
    started = time.monotonic()
    shutil.rmtree(shots, ignore_errors=True)
    shots.mkdir(parents=True)
    try:
        _visit(outcome, tools, lived, shots)
    except NotAvailable as reason:
        outcome.unavailable = str(reason)
    except Exception as error:  # noqa: BLE001 - one engine's failure never stops the others
        outcome.troubles.append(f"{type(error).__name__}: {error}")
    outcome.seconds = time.monotonic() - started
    return outcome


def _visit(outcome: Outcome, tools: Tools, lived: House, shots: Path) -> None:
    engine = outcome.engine
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        browser = engine.start(tools, Path(profile))
        try:
            browser.deadline = time.monotonic() + ENGINE_SECONDS
            outcome.version = browser.version()
            visitor = Visitor(browser, lived, phone_of(engine), engine.scripts, shots)
            _walk(visitor, outcome)
            outcome.troubles += dict.fromkeys(browser.complaints)
        finally:
            browser.close()


def _walk(visitor: Visitor, outcome: Outcome) -> None:
    for name, step in STEPS:
        if time.monotonic() > visitor.browser.deadline or outcome.steps.get("sign in") == FAILED:
            outcome.steps[name] = NOT_REACHED
            continue
        try:
            step(visitor)
            outcome.steps[name] = OK
        except (Stuck, AssertionError) as trouble:
            outcome.steps[name] = FAILED
            outcome.troubles.append(f"{name}: {trouble}")
            with suppress(Stuck):
                visitor.keeps(f"failed-{name.replace(' ', '-')}")


def show(outcomes: Sequence[Outcome]) -> None:
    """The table of engines and steps, and below it what went wrong."""
    names = [name for name, _ in STEPS]
    widths = [max(len(name), len(FAILED)) + 2 for name in names]
    heads = "".join(name.ljust(width) for name, width in zip(names, widths, strict=True))
    print(f"{'engine':<26}{heads}seconds  version")
    for outcome in outcomes:
        if outcome.unavailable:
            print(f"{outcome.engine.title:<26}not available: {outcome.unavailable}")
            continue
        said = (outcome.steps.get(name, NOT_REACHED) for name in names)
        cells = "".join(word.ljust(width) for word, width in zip(said, widths, strict=True))
        print(f"{outcome.engine.title:<26}{cells}{outcome.seconds:7.1f}  {outcome.version}")
    for outcome in outcomes:
        for trouble in outcome.troubles:
            print(f"{outcome.engine.title}: {trouble}")


def chosen() -> list[Engine]:
    wanted = [word for word in os.environ.get("ENGINES", "").split(",") if word]
    unknown = set(wanted) - {engine.code for engine in ENGINES}
    if unknown:
        codes = ", ".join(engine.code for engine in ENGINES)
        raise SystemExit(f"ENGINES: there is no {', '.join(sorted(unknown))}; there are {codes}.")
    return [engine for engine in ENGINES if not wanted or engine.code in wanted]


def _ended(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    if not shutil.which("node") or not shutil.which("npm"):
        print(
            "make browsers needs Node 18 or newer with npm; on Debian: apt-get install nodejs npm",
            file=sys.stderr,
        )
        return 1
    engines = chosen()
    signal.signal(signal.SIGTERM, _ended)
    folder = chosen_local_dir(os.environ) / "browsers"
    tools, outcomes = Tools(folder), []
    with ExitStack() as stack:
        phones = [phone_of(engine) for engine in engines]
        print("The product is being started…", flush=True)
        # It would invite to sign in, and ends with this run.
        with redirect_stdout(io.StringIO()):
            lived = stack.enter_context(house(folder / "house", phones))
        for engine in engines:
            print(f"{engine.title}…", flush=True)
            outcomes.append(visit(engine, tools, lived, folder / "shots" / engine.code))
    show(outcomes)
    strict = os.environ.get("STRICT") == "1"
    bad = [outcome for outcome in outcomes if not outcome.good(strict=strict)]
    print(f"Pictures: {folder / 'shots'}")
    print(f"{len(outcomes) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LauncherError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)
