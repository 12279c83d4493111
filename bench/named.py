"""The named faults that are not part of the test suite's own crash tests, each as one run."""

import random
import time
from collections.abc import Callable

from bench import rows, schedules
from bench.schedules import Found, Stage
from cabinet import clock
from smartcards import services
from smartcards.models import Command, SmartCard


def _switched_on(stage: Stage, fault: dict[str, object] | None, *, number: int = 4) -> Found:
    """Cards of every operator are switched on under one trouble, and must end switched on, once each."""
    cards: list[SmartCard] = []
    for account in stage.accounts:
        cards += rows.cards(account, rows.merchant(number), 1)
    rows.tell_sandbox(stage.sandbox, cards)
    if fault is not None:
        rows.call("POST", f"{stage.sandbox}/faults", fault)
    stage.asked.clear()
    for card in cards:
        services.request_activation(card=card, by=schedules.OWNER, at=clock.now())
        stage.asked[card.pk] = 1
    time.sleep(1)
    rows.call("DELETE", f"{stage.sandbox}/faults")
    stage.come_to_rest(cards)
    return stage.examine(cards)


def _under(fault: dict[str, object] | None) -> Callable[[], Found]:
    def action() -> Found:
        with schedules.stage() as stage:
            return _switched_on(stage, fault)

    return action


def killed_at_every_moment() -> Found:
    """F1: a worker killed at six different moments of a switch."""
    total = Found()
    with schedules.stage() as stage:
        for moment in range(6):
            cards = [
                card for one in stage.accounts for card in rows.cards(one, rows.merchant(2), 1)
            ]
            rows.tell_sandbox(stage.sandbox, cards)
            stage.asked = {card.pk: 1 for card in cards}
            rows.call(
                "POST",
                f"{stage.sandbox}/faults",
                {"call": "submit", "kind": "slow", "seconds": 0.4, "times": 4},
            )
            for card in cards:
                services.request_activation(card=card, by=schedules.OWNER, at=clock.now())
            time.sleep(moment * 0.15)
            for _ in range(len(stage.workers)):
                stage.kill(random.Random(moment), cards)
            rows.call("DELETE", f"{stage.sandbox}/faults")
            stage.come_to_rest(cards)
            found = stage.examine(cards)
            total = Found(
                total.lost + found.lost, total.doubled + found.doubled, total.wrong + found.wrong
            )
    return total


def one_slow_operator() -> Found:
    """F14: one operator answers after the time limit; the others' commands do not wait for it."""
    with schedules.stage() as stage:
        slow, *others = stage.accounts
        rows.call(
            "POST",
            f"{stage.sandbox}/faults",
            {"operator": slow.adapter, "kind": "slow", "seconds": 5},
        )
        stuck = rows.cards(slow, rows.merchant(20), 20)
        quick = [card for one in others for card in rows.cards(one, rows.merchant(1), 1)]
        rows.tell_sandbox(stage.sandbox, stuck + quick)
        for card in stuck + quick:
            services.request_activation(card=card, by=schedules.OWNER, at=clock.now())
        ends_at = time.monotonic() + 15
        mine = Command.objects.filter(card__in=quick)
        while time.monotonic() < ends_at and mine.exclude(state="done").exists():
            time.sleep(0.1)
        late = mine.exclude(state="done").count()
        rows.call("DELETE", f"{stage.sandbox}/faults")
        return Found(wrong=late)


NAMED: dict[str, Callable[[], Found]] = {
    "F1 worker killed at six moments": killed_at_every_moment,
    "F14 one slow operator delays nobody else": one_slow_operator,
    "F15 answer lost after the work was done": _under(
        {"call": "submit", "kind": "drop_after", "times": 4}
    ),
    "F16 half an answer": _under({"call": "submit", "kind": "half_body", "times": 4}),
    "F16 garbage with 200": _under({"call": "submit", "kind": "garbage", "times": 4}),
    "F16 another card in the answer": _under({"call": "submit", "kind": "wrong_id", "times": 4}),
    "F17 accepted and forgotten": _under(
        {"call": "submit", "kind": "accept_and_forget", "times": 4}
    ),
    "F18 too many requests": _under(
        {"call": "submit", "kind": "http_429", "retry_after": 1, "times": 4}
    ),
    "F18 token refused": _under({"call": "auth", "kind": "http_500", "times": 2}),
    "F28 operator answers 500 to everything": _under({"kind": "http_500", "times": 30}),
}
