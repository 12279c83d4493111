"""How soon a person's click leaves: under a quota full of mass work, and past ten thousand commands."""

import time
from contextlib import ExitStack
from datetime import datetime, timedelta

from bench import place, rows
from bench.figures import Figure, p95
from cabinet import clock
from cabinet.actors import Actor
from cabinet.states import ActorKind, Role
from cabinet.wake import ring
from operators.models import Exchange, OperatorAccount
from smartcards import reconcile, services
from smartcards.models import Command, SmartCard
from smartcards.states import CommandState

OWNER = Actor(ActorKind.PERSON, "Замер", role=Role.OWNER)
_BETWEEN_CLICKS = 6.0
_MTS = {"per_second": 3, "per_minute": 60}


def under_a_quota(*, reserve: int, seconds: float) -> Figure:
    """(c) 3 a second and 60 a minute with three worker processes; clicks while a chain comes on.

    The operator itself counts: every call about a card, polls too.
    """
    with place.played_operators() as sandbox, ExitStack() as workers:
        rows.put(f"{sandbox}/limits/mts", {**_MTS, "delay_seconds": 5})
        contract = rows.account("mts", sandbox, reserve_percent=reserve, concurrency=2, **_MTS)
        chain = rows.merchant(1000)
        rows.tell_sandbox(sandbox, rows.cards(contract, chain, int(seconds) + 60))
        clicked = _off_by_wish(contract, int(seconds // _BETWEEN_CLICKS) - 5) if reserve else []
        rows.tell_sandbox(sandbox, clicked)
        reconcile.reconcile_merchant(merchant_id=chain.merchant_id, at=clock.now())
        for _ in range(3):
            workers.enter_context(place.ready("-m", "bench.worker", str(contract.pk)))
        begun = time.monotonic()
        for card in clicked:
            services.request_activation(card=card, by=OWNER, at=clock.now())
            time.sleep(_BETWEEN_CLICKS)
        time.sleep(max(0.0, seconds - (time.monotonic() - begun)))
        used = _calls(sandbox) / (time.monotonic() - begun)
        rejected = rows.call("GET", f"{sandbox}/state/mts")["rejected_by_quota"]
        waits, told = _departures(clicked), _confirmations(clicked)
    found = f"reserve {reserve} %: quota used to {used:.0%}, rejected {rejected}"
    if not reserve:
        return Figure("c", f"{found} (aim 97 %, rejected 0)", used >= 0.97 and not rejected)
    found += f", click leaves p95 {p95(waits):.2f} s of {len(waits)} (limit 2)"
    found += f" and is confirmed p95 {p95(told):.1f} s"
    return Figure("c", found, p95(waits) < 2 and not rejected)


def _off_by_wish(contract: OperatorAccount, number: int) -> list[SmartCard]:
    """Paid cards of another merchant, switched off by their owner."""
    cards = rows.cards(contract, rows.merchant(number), number)
    SmartCard.objects.filter(pk__in=[card.pk for card in cards]).update(
        wished_on=None, wished_at=None, wished_by=""
    )
    return cards


def _calls(sandbox: str) -> int:
    shown = rows.call("GET", f"{sandbox}/state/mts")
    counted = (sim["calls"].items() for sim in shown["sims"])
    return sum(number for calls in counted for kind, number in calls if kind != "auth")


def _departures(cards: list[SmartCard]) -> list[float]:
    """Seconds from the click to the call; one that never left has waited till now."""
    return [(_left_at(row) - row.created_at).total_seconds() for row in _of(cards)]


def _left_at(command: Command) -> datetime:
    calls = Exchange.objects.filter(command_id=command.pk, kind="submit").order_by("at")
    return calls.values_list("at", flat=True).first() or clock.now()


def _confirmations(cards: list[SmartCard]) -> list[float]:
    now = clock.now()
    return [((row.finished_at or now) - row.created_at).total_seconds() for row in _of(cards)]


def _of(cards: list[SmartCard]) -> list[Command]:
    return list(Command.objects.filter(card__in=cards).order_by("pk"))


def past_mass(number: int = 10_000, clicks: int = 40) -> Figure:
    """(d) 10,000 mass commands waiting, no limits: from the click to the operator's socket.

    By the workers as the product starts them. Counted from before the click's transaction to the
    operator's change, so the wake-up, the claim and the calls that find the card are in it.
    """
    with place.played_operators() as sandbox, ExitStack() as workers:
        rows.put(f"{sandbox}/limits/tmf640", {"per_second": None, "per_minute": None})
        contract = rows.account("tmf640", sandbox)
        mass = rows.cards(contract, rows.merchant(number), number)
        clicked = _off_by_wish(contract, clicks + 1)
        rows.tell_sandbox(sandbox, mass + clicked)
        for queue in ("operators", "clicks"):
            workers.enter_context(place.process(*_WORKER, "--queues", queue))
        # Both have begun to work when the first click is done.
        _click(sandbox, clicked.pop())
        rows.queue(mass)
        ring("smartcards.dispatch", account_id=contract.pk)
        _wait_for_mass(contract)
        waits = [_click(sandbox, card) for card in clicked]
        left = Command.objects.filter(account=contract, state=CommandState.QUEUED).count()
    found = f"click to the operator p95 {p95(waits) * 1000:.0f} ms of {len(waits)} (limit 100 ms)"
    assert left > number // 4, left
    return Figure("d", f"{found}, {left} mass commands still waiting at the end", p95(waits) < 0.1)


_WORKER = (
    *("-m", "celery", "-A", "cabinet", "worker", "--pool", "threads", "--concurrency", "16"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)


def _wait_for_mass(contract: OperatorAccount) -> None:
    """Mass work is going on: the wake-up was not lost."""
    ends_at = time.monotonic() + 60
    while not Command.objects.filter(account=contract, state=CommandState.DONE).count() > 50:
        assert time.monotonic() < ends_at
        time.sleep(0.1)


def _click(sandbox: str, card: SmartCard) -> float:
    at = clock.now()
    services.request_activation(card=card, by=OWNER, at=at)
    while at + timedelta(seconds=60) > clock.now():
        shown = rows.call("GET", f"{sandbox}/state/tmf640/{card.iccid}")
        if shown["effects"]:
            effect = datetime.fromisoformat(shown["effects"][0]["at"])
            return (effect - at).total_seconds()
        time.sleep(0.02)
    return 60.0
