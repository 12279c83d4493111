"""`make browsers`: the main journey in every engine, small screen; pictures in LOCAL_DIR/browsers.

An engine that cannot be had is named; with STRICT=1 it counts as failed. ENGINES chooses: comma-separated.
"""

import argparse
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from bench import rows
from bench.browsers.drivers import Stuck
from bench.browsers.engines import ENGINES, Engine, NotAvailable
from bench.browsers.journey import CARD, STEPS, Journey
from bench.harness import Harness
from cabinet import clock
from smartcards.models import SmartCard
from smartcards.tests.cards import make_member
from subscriptions import demo

_PLAN, _SLOTS = "kassovye-3m", 2


def main(harness: Harness, _asked: argparse.Namespace) -> int:
    folder = harness.servers.folder.parents[1] / "browsers"
    chosen = [code for code in os.environ.get("ENGINES", "").split(",") if code]
    engines = [engine for engine in ENGINES if not chosen or engine.code in chosen]
    demo.seed(clock.now())
    harness.account("mts", title="МТС")
    results = [_report(engine, folder, harness) for engine in engines]
    print(f"Pictures: {folder}")
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if results and all(results) else 1


def _report(engine: Engine, folder: Path, harness: Harness) -> bool:
    """Prints how the journey went in one engine; whether it is as it should be."""
    started, phone = time.monotonic(), _add_merchant(harness, ENGINES.index(engine))
    try:
        failures = _visit(engine, folder, harness, phone)
    except NotAvailable as reason:
        print(f"{engine.title:<26}not available: {reason}", flush=True)
        return os.environ.get("STRICT") != "1"
    except Exception as error:  # noqa: BLE001 - one engine's failure never stops the others
        failures = [f"{type(error).__name__}: {error}"]
    result = "FAILED" if failures else f"ok, {len(STEPS)} steps"
    print(f"{engine.title:<26}{result:<14}{time.monotonic() - started:7.1f} s", flush=True)
    for failure in failures:
        print(f"    {failure}")
    return not failures


def _add_merchant(harness: Harness, number: int) -> str:
    """Bought in the market; of two paid cards one has the journey's label. Gives the owner's phone."""
    user_id = f"01-{970_000_000_000_000 + number:015}"
    subscription = harness.bought(user_id, planId=_PLAN, deviceNumber=_SLOTS)
    cards = rows.undecided(harness.product.sandbox, harness.partner, subscription, _SLOTS)
    mine = SmartCard.objects.filter(pk__in=[card.pk for card in cards])
    mine.update(confirmed="new", block_reason="")
    mine.filter(pk=cards[0].pk).update(label=CARD)
    return str(make_member(subscription.merchant, name="Вера Орлова").user.phone)


def _visit(engine: Engine, folder: Path, harness: Harness, phone: str) -> list[str]:
    """The journey in one engine; gives what went wrong. Raises NotAvailable or Stuck."""
    shots = folder / engine.code
    shutil.rmtree(shots, ignore_errors=True)
    shots.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as own:
        browser = engine.start(folder / "npm", Path(own))
        journey = Journey(browser, harness.product, phone, shots)
        try:
            return _failures(journey) + list(dict.fromkeys(browser.complaints))
        finally:
            browser.close()


def _failures(journey: Journey) -> list[str]:
    """Every step is tried, but none without a sign-in."""
    failures = []
    for step in STEPS:
        try:
            journey.run(step)
        except (Stuck, AssertionError) as trouble:
            failures.append(f"{step}: {trouble}")
            with suppress(Stuck):
                journey.browser.shot(journey.shots / f"failed-{step.replace(' ', '-')}")
            if step == "sign in":
                break
    return failures
