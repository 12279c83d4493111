"""F5 and F6: messages delivered twice; a beat that runs twice, not at all, or by a wrong clock."""

import re
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from bench.faults import scenario
from bench.harness import OPERATOR_WORKERS, Harness
from bench.timing import until
from cabinet import clock
from cabinet.models import Heartbeat
from smartcards.models import SmartCard
from smartcards.states import OperatorState
from subscriptions.models import Subscription

_RECEIVED = re.compile(r"Task smartcards\.dispatch\[([0-9a-f-]+)\] received")
_LEFT = re.compile(r"Task smartcards\.dispatch\[([0-9a-f-]+)\] succeeded in ([0-9.e-]+)s")


@scenario("F5", "message delivered again while its task runs, two workers")
def delivered_again(harness: Harness) -> str:
    """The visibility timeout passes while the task runs; the second copy leaves at once."""
    owner, processes = harness.owner(10), harness.processes
    slow = harness.account(timeout_seconds=3, lease_seconds=6, concurrency=1)
    cards = harness.cards(owner, 8, slow)
    processes.kill(*OPERATOR_WORKERS)
    harness.fault(call="submit", kind="slow", seconds=2.2)
    for card in cards:
        owner.activate(card)
    copies = ("first-copy", "second-copy")
    processes.copy("operators", copies[0], REDELIVER="1")
    until(lambda: any(harness.calls(cards)), "nothing left", seconds=20)
    time.sleep(3)
    # A worker that starts delivers again what was not acknowledged in time.
    processes.copy("operators", copies[1], REDELIVER="1")
    took = harness.settle(cards, seconds=60)
    harness.end_faults()
    text = "".join(processes.specs[name].log.read_text(encoding="utf-8") for name in copies)
    processes.kill(*copies)
    processes.restart(*OPERATOR_WORKERS)
    left = _seconds_of_second_copies(text)
    assert left, "no message was delivered again: nothing was shown"
    assert max(left) < 1, f"a second copy stayed {left} s"
    harness.finish(cards, "activate", requests=[1])
    return (
        f"{len(left)} messages delivered again during a task of {took:.0f} s; the copies left after"
        f" {max(left):.2f} s; 8 cards, one request each"
    )


def _seconds_of_second_copies(log: str) -> list[float]:
    """Of each task that was received more than once, how long its quickest run took."""
    runs = [(task, float(seconds)) for task, seconds in _LEFT.findall(log)]
    again = [task for task, number in Counter(_RECEIVED.findall(log)).items() if number > 1]
    return [min(seconds for one, seconds in runs if one == task) for task in again]


@scenario("F6", "two beats; none for 3 h; one 2 h ahead, then a right one")
def beats(harness: Harness) -> str:
    """What is due is done once, and late where no wake-up came."""
    _two_at_once(harness)
    took = _none_for_three_hours(harness)
    ready = _two_hours_ahead(harness)
    return (
        "two beats: 10 cards on by click, off by the end of the paid time, once each; none for 3 h: 8 late"
        f" switch-offs once each, {took:.0f} s after the return; right again {ready:.0f} s after 2 h ahead"
    )


def _working_cards(harness: Harness, number: int) -> tuple[Subscription, list[SmartCard]]:
    """A merchant whose cards are switched on by click, once each."""
    owner = harness.owner(number)
    cards = harness.cards(owner, number)
    for card in cards:
        owner.activate(card)
    harness.finish(cards, "activate", requests=[1], seconds=40)
    return owner.subscription, cards


def _end_at(subscription: Subscription, at: object) -> None:
    Subscription.objects.filter(pk=subscription.pk).update(entitled_until=at)


def _are_off(harness: Harness, cards: Sequence[SmartCard]) -> bool:
    mine = SmartCard.objects.filter(pk__in=[card.pk for card in cards])
    return not mine.exclude(confirmed=OperatorState.INACTIVE).exists()


def _two_at_once(harness: Harness) -> None:
    harness.processes.copy("beat", "beat-too")
    subscription, cards = _working_cards(harness, 10)
    _end_at(subscription, clock.now())
    are_off = partial(_are_off, harness, cards)
    until(are_off, "two beats: the end of the paid time was not noticed", seconds=40)
    harness.processes.kill("beat-too")
    harness.finish(cards, "activate", "deactivate", requests=[2])


def _none_for_three_hours(harness: Harness) -> float:
    subscription, cards = _working_cards(harness, 8)
    harness.processes.kill("beat")
    _end_at(subscription, clock.now() + timedelta(hours=1))
    clock.advance(3 * 3600)
    time.sleep(4)
    assert set(harness.calls(cards)) == {1}, "something was done without a beat"
    harness.processes.restart("beat")
    are_off = partial(_are_off, harness, cards)
    took = until(are_off, "the late ones were not caught up with", seconds=100)
    harness.finish(cards, "activate", "deactivate")
    return took


def _two_hours_ahead(harness: Harness) -> float:
    harness.processes.kill("beat")
    harness.processes.copy("beat", "beat-ahead", CLOCK_AHEAD="7200")
    began = clock.real_now()
    until(lambda: harness.is_swept(began), "a beat two hours ahead sends nothing", seconds=20)
    _working_cards(harness, 4)
    time.sleep(4)
    harness.processes.kill("beat-ahead")
    harness.processes.restart("beat")
    Heartbeat.objects.filter(name="smartcards.sweep").delete()
    right = clock.real_now()
    return until(lambda: harness.is_swept(right), "a right beat after it is silent", seconds=25)
