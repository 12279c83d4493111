"""`make bench`: five measures of the dispatcher, each as a ratio or a limit of this very run."""

import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from statistics import quantiles

import requests

from bench import place

place.prepare()

from django.db import connection  # noqa: E402 - after setup

from bench import rows  # noqa: E402
from cabinet import clock  # noqa: E402
from cabinet.actors import Actor  # noqa: E402
from cabinet.states import ActorKind, Role  # noqa: E402
from operators import quota  # noqa: E402
from smartcards import dispatch, line, services  # noqa: E402
from smartcards.models import Command, SmartCard  # noqa: E402
from smartcards.states import Confirmed  # noqa: E402

OWNER = Actor(ActorKind.PERSON, "Замер", role=Role.OWNER)


def say(text: str) -> None:
    print(text, flush=True)


def p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def against_bare_calls(number: int = 600) -> None:
    """(a) Commands confirmed a second against a bare thread pool making the same calls."""
    with place.played_operators() as sandbox:
        rows.put(f"{sandbox}/limits/tmf640", {"per_second": None, "per_minute": None})
        contract = rows.account("tmf640", sandbox)
        ours = rows.cards(contract, rows.merchant(number), number)
        bare = rows.cards(contract, rows.merchant(number), number)
        rows.tell_sandbox(sandbox, ours + bare)
        base, headers = (
            f"{sandbox}/operators/tmf640",
            {"Authorization": "Bearer demo-partner-token"},
        )
        local = threading.local()

        def switch(card: SmartCard) -> None:
            session = local.__dict__.setdefault("session", requests.Session())
            found = session.get(
                f"{base}/service",
                params={"supportingResource.iccid": card.iccid},
                headers=headers,
                timeout=20,
            ).json()
            address = f"{base}/service/{found[0]['id']}"
            done = session.patch(address, json={"state": "active"}, headers=headers, timeout=20)
            assert done.status_code == 200, done.text

        def all_bare() -> None:
            with ThreadPoolExecutor(contract.concurrency) as pool:
                list(pool.map(switch, bare))

        rows.queue(ours)
        half = len(bare) // 2
        bare, rest = bare[:half], bare[half:]
        first = timed(all_bare)
        mine = timed(lambda: line.work(account_id=contract.pk, clock=clock.now, budget=300))
        bare = rest
        bare_rate = number / (first + timed(all_bare))
        done = Command.objects.filter(account=contract, state="done").count()
        assert done == number, done
        our_rate = number / mine
        say(
            f"(a) {our_rate:.0f} commands/s against {bare_rate:.0f} bare switches/s:"
            f" ratio {our_rate / bare_rate:.2f} (aim 0.6)"
        )


def against_naive_tasks(number: int = 4000) -> None:
    """(b) The outbox's own cost against one Celery task for each card that updates its row."""
    contract = rows.account("nothing", concurrency=32)
    ours = rows.cards(contract, rows.merchant(number), number)
    theirs = rows.cards(contract, rows.merchant(number), number)
    rows.queue(ours)
    our_rate = number / timed(
        lambda: line.work(account_id=contract.pk, clock=clock.now, budget=300)
    )
    from bench.naive import switch_on  # noqa: PLC0415 - needs the prepared environment

    arguments = ("-m", "celery", "-A", "bench.naive", "worker", "-c", "2", "-l", "ERROR")
    with place.process(*arguments, "--without-gossip", "--without-mingle", "-Q", "celery"):
        mine = SmartCard.objects.filter(
            pk__in=[card.pk for card in theirs], confirmed=Confirmed.ACTIVE
        )
        switch_on.delay(theirs[0].pk)
        while not mine.exists():
            time.sleep(0.05)
        started = time.perf_counter()
        for card in theirs[1:]:
            switch_on.delay(card.pk)
        while mine.count() < number:
            time.sleep(0.02)
        naive_rate = (number - 1) / (time.perf_counter() - started)
    assert Command.objects.filter(account=contract, state="done").count() == number
    say(
        f"(b) {our_rate:.0f} commands/s against {naive_rate:.0f} naive tasks/s:"
        f" ratio {our_rate / naive_rate:.1f} (aim 3)"
    )


def quota_used(reserve: int, seconds: float) -> None:
    """(c) 3 a second and 60 a minute with three worker processes; clicks under full mass load."""
    with place.played_operators() as sandbox, ExitStack() as workers:
        rows.put(
            f"{sandbox}/limits/mts", {"per_second": 3, "per_minute": 60, "delay_seconds": 3600}
        )
        contract = rows.account(
            "mts",
            sandbox,
            per_second=3,
            per_minute=60,
            reserve_percent=reserve,
            concurrency=2,
            poll_plan=[7200],
            deadline_seconds=86400,
        )
        chain = rows.merchant(1000)
        mass = rows.cards(contract, chain, int(seconds * 1.2) + 60)
        clicked = rows.cards(contract, rows.merchant(100), int(seconds // 12)) if reserve else []
        rows.tell_sandbox(sandbox, mass + clicked)
        SmartCard.objects.filter(pk__in=[card.pk for card in clicked]).update(
            wished_on=None, wished_at=None, wished_by=""
        )
        rows.queue(mass)
        for _ in range(3):
            started = workers.enter_context(place.process("-m", "bench.worker", str(contract.pk)))
            assert started.stdout is not None
            started.stdout.readline()
        begun = time.monotonic()
        for card in clicked:
            services.request_activation(card=card, by=OWNER, at=clock.now())
            time.sleep(12)
        time.sleep(max(0.0, seconds - (time.monotonic() - begun)))
        shown = rows.call("GET", f"{sandbox}/state/mts")
        # The operator itself counts: every call about a card, questions too.
        calls = sum(
            number
            for sim in shown["sims"]
            for kind, number in sim["calls"].items()
            if kind != "auth"
        )
        used = calls / (time.monotonic() - begun)
        sent = Command.objects.filter(card__in=clicked).exclude(sent_at=None)
        waits = [(row.sent_at - row.created_at).total_seconds() for row in sent if row.sent_at]
        click = f", click p95 {p95(waits):.2f} s of {len(waits)} (limit 2)" if waits else ""
        say(
            f"(c) reserve {reserve} %: quota used to {used:.0%}, rejected {shown['rejected_by_quota']}"
            f" (aim 97 % with reserve 0, rejected 0){click}"
        )


def click_past_mass(number: int = 10_000, clicks: int = 40) -> None:
    """(d) 10,000 mass commands waiting, no limits: from the click to the operator's socket."""
    with place.played_operators() as sandbox, ExitStack() as workers:
        rows.put(f"{sandbox}/limits/tmf640", {"per_second": None, "per_minute": None})
        contract = rows.account("tmf640", sandbox)
        mass = rows.cards(contract, rows.merchant(number), number)
        clicked = rows.cards(contract, rows.merchant(clicks), clicks)
        rows.tell_sandbox(sandbox, mass + clicked)
        SmartCard.objects.filter(pk__in=[card.pk for card in clicked]).update(
            wished_on=None, wished_at=None, wished_by=""
        )
        rows.queue(mass)
        started = workers.enter_context(place.process("-m", "bench.worker", str(contract.pk)))
        assert started.stdout is not None
        started.stdout.readline()
        time.sleep(1)
        waits = []
        for card in clicked:
            at = clock.now()
            services.request_activation(card=card, by=OWNER, at=at)
            waits.append(_until_effect(sandbox, card, at))
        left = Command.objects.filter(account=contract, state="queued").count()
        say(
            f"(d) click to the operator p95 {p95(waits) * 1000:.0f} ms of {len(waits)},"
            f" {left} mass commands still waiting at the end (limit 100 ms)"
        )


def _until_effect(sandbox: str, card: SmartCard, at: datetime) -> float:
    while True:
        shown = rows.call("GET", f"{sandbox}/state/tmf640/{card.iccid}")
        if shown["effects"]:
            effect = datetime.fromisoformat(shown["effects"][0]["at"])
            return (effect - at).total_seconds()
        time.sleep(0.02)


def claim_is_flat() -> None:
    """(e) The time of a claim with 100,000 commands waiting against 1,000."""
    times = []
    for number in (1_000, 100_000):
        contract = rows.account("nothing")
        rows.queue(rows.cards(contract, rows.merchant(number), number))
        with connection.cursor() as cursor:
            cursor.execute(
                "VACUUM ANALYZE smartcards_command, smartcards_smartcard, smartcards_coverage"
            )
        taken = [
            timed(lambda: dispatch.claim(account=contract, at=clock.now(), limit=20))  # noqa: B023
            for _ in range(30)
        ]
        times.append(sorted(taken)[len(taken) // 2])
    say(
        f"(e) claim of 20: {times[1] * 1000:.1f} ms with 100,000 waiting, {times[0] * 1000:.1f} ms"
        f" with 1,000: ratio {times[1] / times[0]:.2f} (aim about 1)"
    )


def main(chosen: str) -> None:
    quota.client(os.environ["REDIS_URL"]).flushdb()
    if "a" in chosen:
        against_bare_calls()
    if "b" in chosen:
        against_naive_tasks()
    if "c" in chosen:
        quota_used(reserve=0, seconds=125)
        quota_used(reserve=10, seconds=245)
    if "d" in chosen:
        click_past_mass()
    if "e" in chosen:
        claim_is_flat()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "abcde")
