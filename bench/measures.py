"""`make bench`: measures of the product, each as a ratio or a limit of this very run.

Each makes its own contract, merchants and cards, and starts what it needs; a limit that is missed ends with 1.
"""

import argparse
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from statistics import median
from typing import Any

import requests
from django.db import connection

from bench import pages, reconciliation_measures, rows, webhook
from bench.figure import Found, p95
from bench.harness import Harness
from bench.timing import timed, until
from cabinet import clock
from cabinet.celery import app
from cabinet.tasks.task_queue import enqueue_now
from operators.models import Exchange, OperatorAccount
from smartcards import services
from smartcards.dispatch import outbox, worker
from smartcards.models import Command, SmartCard
from smartcards.reconciliation import reconcile
from smartcards.states import CommandState, OperatorState
from smartcards.tests.cards import OWNER

_BETWEEN_CLICKS = 6.0
_MTS = {"per_second": 3, "per_minute": 60}
_OURS = ("beat", "worker", "reconciliation", "operators")


def main(harness: Harness, asked: argparse.Namespace) -> int:
    """The chosen measures, printed as they come. Each begins without workers."""
    is_good = True
    for letter, measure in _MEASURES:
        if letter in asked.letters:
            harness.processes.kill(*_OURS)
            found, is_kept = measure(harness)
            print(f"({letter}) {found}{'' if is_kept else ' MISSED'}", flush=True)
            is_good &= is_kept
    return 0 if is_good else 1


def _drain(account: OperatorAccount, number: int) -> float:
    """Seconds until this process has sent so many commands. Raises AssertionError where some are not done."""
    drain = partial(worker.drain_account, account_id=account.pk, clock=clock.now, budget=600)
    seconds = timed(drain)
    done = Command.objects.filter(account=account, state=CommandState.DONE).count()
    assert done == number, f"{done} of {number} commands are done"
    return seconds


# --- throughput -----------------------------------------------------------------------------------


def against_bare_calls(harness: Harness, number: int = 600) -> Found:
    """(a) Commands confirmed a second against a bare thread pool making the same calls.

    Half of the bare calls are made before and half after ours, so that a change of the machine's load
    falls upon both.
    """
    harness.set_limits("tmf640", delay_seconds=0)
    account = rows.account("tmf640", harness.product.sandbox)
    ours = rows.cards(account, rows.merchant(number), number)
    theirs = rows.cards(account, rows.merchant(number), number)
    rows.add_to_sandbox(harness.product.sandbox, ours + theirs)
    rows.queue(ours)
    halves = theirs[: number // 2], theirs[number // 2 :]
    bare = timed(partial(_switch_all, account, halves[0]))
    mine = _drain(account, number)
    bare += timed(partial(_switch_all, account, halves[1]))
    return _ratio(number / mine, number / bare, "bare switches", limit=_AGAINST_BARE)


def _switch_all(account: OperatorAccount, cards: list[SmartCard]) -> None:
    """Find each card's service and switch it on, with one `requests.Session` for each thread, and nothing else."""
    local, services_url = threading.local(), f"{account.base_url}/service"
    given: dict[str, Any] = {
        "headers": {"Authorization": f"Bearer {account.credentials['token']}"},
        "timeout": account.timeout_seconds,
    }

    def switch(card: SmartCard) -> None:
        session = local.__dict__.setdefault("session", requests.Session())
        query = {"supportingResource.iccid": card.iccid}
        (found,) = session.get(services_url, params=query, **given).json()
        address = f"{services_url}/{found['id']}"
        session.patch(address, json={"state": "active"}, **given).raise_for_status()

    with ThreadPoolExecutor(account.concurrency) as pool:
        list(pool.map(switch, cards))


def against_naive_tasks(harness: Harness, number: int = 1000) -> Found:
    """(b) The outbox's own cost against one Celery task for each card that updates its row, by two processes.

    Neither side's clock runs while its work is put in its queue.
    """
    account = rows.account("null")
    ours = rows.cards(account, rows.merchant(number), number)
    theirs = rows.cards(account, rows.merchant(number), number)
    rows.queue(ours)
    mine = number / _drain(account, number)
    for card in theirs:
        app.send_task("bench.switch_on", kwargs={"card_id": card.pk}, ignore_result=True)
    ids = [card.pk for card in theirs]
    switched = SmartCard.objects.filter(pk__in=ids, confirmed=OperatorState.ACTIVE)
    harness.processes.restart("worker")
    until(switched.exists, "the worker does not begin", seconds=60, pause=0.01)
    took = until(
        lambda: switched.count() == number, "the tasks are not done", seconds=300, pause=0.02
    )
    return _ratio(mine, number / took, "naive tasks", limit=_AGAINST_NAIVE)


def _ratio(mine: float, other: float, what: str, *, limit: float) -> Found:
    found = f"{mine:.0f} commands/s against {other:.0f} {what}/s: ratio {mine / other:.2f}"
    return f"{found} (limit {limit})", mine / other >= limit


def claim_is_flat(_harness: Harness) -> Found:
    """(e) The time of a claim with 100,000 commands waiting against 1,000."""
    few, many = (_claim_seconds(number) for number in (1_000, 100_000))
    found = f"{many * 1000:.1f} ms with 100,000 waiting, {few * 1000:.1f} ms with 1,000"
    return f"a claim: {found}: ratio {many / few:.2f} (limit 2)", many / few < 2


def _claim_seconds(waiting: int) -> float:
    account = rows.account("null")
    rows.queue(rows.cards(account, rows.merchant(waiting), waiting))
    with connection.cursor() as cursor:
        cursor.execute(
            "VACUUM ANALYZE smartcards_command, smartcards_smartcard, smartcards_coverage"
        )
    claim = partial(outbox.claim, account=account, at=clock.now())
    return median(timed(claim) for _ in range(100))


# --- clicks ---------------------------------------------------------------------------------------


def under_a_quota(harness: Harness, *, reserve: int, seconds: float) -> Found:
    """(c) 3 a second and 60 a minute with three worker processes; clicks while a chain comes on.

    The operator itself counts: every call about a card, polls too.
    """
    harness.set_limits("mts", **_MTS, delay_seconds=5)
    limits = {"reserve_percent": reserve, "concurrency": 2, **_MTS}
    account = rows.account("mts", harness.product.sandbox, **limits)
    chain, known = rows.merchant(1000), harness.rejected_by_quota()
    number = int(seconds // _BETWEEN_CLICKS) - 5 if reserve else 0
    clicked = rows.undecided(harness.product.sandbox, account, rows.merchant(1000), number)
    mass = rows.cards(account, chain, int(seconds) + 60)
    rows.add_to_sandbox(harness.product.sandbox, mass)
    reconcile.reconcile_merchant(merchant_id=chain.merchant_id, at=clock.now())
    begun = _start_three_workers(harness, account)
    for card in clicked:
        services.request_activation(card=card, by=OWNER, at=clock.now())
        time.sleep(_BETWEEN_CLICKS)
    time.sleep(max(0.0, seconds - (time.monotonic() - begun)))
    used = _calls(harness, mass + clicked) / (time.monotonic() - begun)
    rejected = harness.rejected_by_quota() - known
    found = f"reserve {reserve} %: quota used to {used:.0%}, rejected {rejected}"
    if not reserve:
        return f"{found} (limit 97 %, rejected 0)", used >= 0.97 and not rejected
    commands = Command.objects.filter(card__in=clicked)
    waits = [_seconds(row, _left_at(row)) for row in commands]
    done = [_seconds(row, row.finished_at or clock.now()) for row in commands]
    found += f", click leaves p95 {p95(waits):.2f} s of {len(waits)} (limit 2)"
    found += f" and is confirmed p95 {p95(done):.1f} s"
    return found, p95(waits) < 2 and not rejected


def _start_three_workers(harness: Harness, account: OperatorAccount) -> float:
    """And the beat; gives the moment (monotonic) of the first call."""
    harness.processes.restart("beat", "worker", "operators")
    for copy in ("operators-2", "operators-3"):
        harness.processes.copy("operators", copy)
    called = Exchange.objects.filter(account=account)
    until(called.exists, "no call leaves", seconds=60, pause=0.02)
    return time.monotonic()


def _calls(harness: Harness, cards: list[SmartCard]) -> int:
    """Every call about these cards but log-ins."""
    mine, shown = {card.iccid for card in cards}, harness.product.ask("GET", "/state/mts")
    counted = (sim["calls"].items() for sim in shown["sims"] if sim["iccid"] in mine)
    return sum(number for calls in counted for kind, number in calls if kind != "auth")


def _seconds(command: Command, at: datetime) -> float:
    return (at - command.created_at).total_seconds()


def _left_at(command: Command) -> datetime:
    """When its call left; one that never left has waited till now."""
    calls = Exchange.objects.filter(command_id=command.pk, kind="submit").order_by("at")
    return calls.values_list("at", flat=True).first() or clock.now()


def past_mass(harness: Harness, number: int = 10_000, clicks: int = 40) -> Found:
    """(d) 10,000 mass commands waiting, the quota left blank: from the click to the operator's socket.

    By one worker as the product starts it. Counted from before the click's transaction to the
    operator's change, so the wake-up, the claim and the calls that find the card are in it.
    """
    harness.set_limits("tmf640", delay_seconds=0)
    account = rows.account("tmf640", harness.product.sandbox)
    mass = rows.cards(account, rows.merchant(number), number)
    merchant = rows.merchant(2 * clicks + 1)
    clicked = rows.undecided(harness.product.sandbox, account, merchant, 2 * clicks + 1)
    rows.add_to_sandbox(harness.product.sandbox, mass)
    harness.processes.restart("operators")
    # The worker has begun to work when the first click is done.
    _click(harness, clicked.pop())
    alone = [_click(harness, card) for card in clicked[clicks:]]
    rows.queue(mass)
    enqueue_now("smartcards.dispatch", account_id=account.pk)
    done = Command.objects.filter(account=account, state=CommandState.DONE)
    begun = 2 * clicks
    until(lambda: done.count() > begun, "mass work has not begun", seconds=60)
    waits = [_click(harness, card) for card in clicked[:clicks]]
    left = Command.objects.filter(account=account, state=CommandState.QUEUED).count()
    assert left > number // 4, f"{left} mass commands left"
    found = f"click to the operator p95 {p95(waits) * 1000:.0f} ms of {len(waits)} (limit 150 ms)"
    found += f", {p95(alone) * 1000:.0f} ms with nothing waiting; {left} still wait at the end"
    return found, p95(waits) <= 0.15


def _click(harness: Harness, card: SmartCard) -> float:
    """Seconds from the click to the operator's change. Raises AssertionError after a minute."""
    at = clock.now()
    services.request_activation(card=card, by=OWNER, at=at)
    arrived = partial(harness.product.effects, card.account.adapter, card.iccid)
    until(arrived, "a click has not come to the operator", seconds=60, pause=0.02)
    effect = harness.truth(card)["effects"][0]
    return (datetime.fromisoformat(effect["at"]) - at).total_seconds()


# --- hooks ----------------------------------------------------------------------------------------


def hooks_against_bare_view(harness: Harness, *, busy: bool) -> Found:
    """(w) Hooks of the market a second against a bare Django view with one INSERT under the same server.

    `busy`: the workers run and process what has come, while either side is measured.
    """
    if busy:
        harness.processes.restart("beat", "worker")
    mine, bare = webhook.rates(harness, turns=6, each=500)
    found = f"workers {'running' if busy else 'stopped'}: {mine:.0f} hooks/s against {bare:.0f}"
    found += f" of a bare view: ratio {mine / bare:.2f} (limit {_AGAINST_BARE_VIEW})"
    return found, mine / bare >= _AGAINST_BARE_VIEW


def events_of_many_merchants(harness: Harness, number: int = 2_000) -> Found:
    """(f) Events of as many merchants, from the first that is sent to the last that is processed."""
    rate = webhook.processing_rate(harness, number)
    found = f"{number} events of {number} merchants: {rate:.0f} processed a second"
    return f"{found} (limit {_PROCESSED})", rate >= _PROCESSED


# Ratios that one ordinary worker keeps: one command is two transactions, one naive task is one UPDATE.
_AGAINST_BARE, _AGAINST_NAIVE = 0.05, 0.1
_AGAINST_BARE_VIEW = 0.5
_PROCESSED = 100  # a second, on two cores
_MEASURES: tuple[tuple[str, Callable[[Harness], Found]], ...] = (
    ("a", against_bare_calls),
    ("b", against_naive_tasks),
    ("c", partial(under_a_quota, reserve=0, seconds=125)),
    ("c", partial(under_a_quota, reserve=10, seconds=245)),
    ("d", past_mass),
    ("e", claim_is_flat),
    ("f", events_of_many_merchants),
    ("g", reconciliation_measures.chain_held_by_the_brake),
    ("h", reconciliation_measures.sweep_costs_what_differs),
    ("p", pages.first_page),
    ("w", partial(hooks_against_bare_view, busy=False)),
    ("w", partial(hooks_against_bare_view, busy=True)),
)
