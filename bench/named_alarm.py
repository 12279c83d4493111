"""F5 and F6: the alarm clock rings twice, not at all, or by a wrong clock."""

import re
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from bench import rows
from bench.named_house import QUICK, House
from bench.named_trial import Findings, Trial, until
from cabinet import clock
from cabinet.models import Heartbeat
from smartcards.models import SmartCard
from smartcards.states import Confirmed
from subscriptions.models import Subscription

FAULTS = ("F5", "F6")
_AHEAD = ("-m", "bench.named_beat")
_RECEIVED = re.compile(r"Task smartcards\.dispatch\[([0-9a-f-]+)\] received")
_LEFT = re.compile(r"Task smartcards\.dispatch\[([0-9a-f-]+)\] succeeded in ([0-9.e-]+)s")
_PATIENT = ("--queues", "operators", "--pool", "threads", "--concurrency", "4")


def delivered_again(house: House) -> Findings:
    """F5: the visibility timeout passes while the task runs; the second copy leaves at once."""
    found, owner = Findings(), house.merchant(10)
    slow = rows.account("tmf640", house.sandbox, **{**QUICK, "concurrency": 1})
    cards = owner.cards(8, slow)
    house.kill("operators")
    house.trouble(call="submit", kind="slow", seconds=2.2)
    copies = ("first-copy", "second-copy")
    for card in cards:
        owner.activate(card)
    house.start_worker(copies[0], *_PATIENT, DJANGO_SETTINGS_MODULE="bench.named_settings")
    until(lambda: any(house.truth(card)["calls"]["submit"] for card in cards), seconds=20)
    time.sleep(3)
    # A worker that starts delivers again what was not acknowledged in time.
    house.start_worker(copies[1], *_PATIENT, DJANGO_SETTINGS_MODULE="bench.named_settings")
    took = house.settled(cards, seconds=60)
    house.peace()
    text = "".join(_log(house, name) for name in copies)
    for name in copies:
        house.kill(name)
    house.again("operators")
    found.expect(took is not None, "not settled within 60 s")
    again = [task for task, number in Counter(_RECEIVED.findall(text)).items() if number > 1]
    found.expect(bool(again), "no message was delivered again: nothing was shown")
    left = [min(seconds for one, seconds in _times(text) if one == task) for task in again]
    found.expect(all(seconds < 1 for seconds in left), f"a second copy stayed {left} s")
    _once(found, house, cards, "activate")
    found.note(f"{len(again)} messages delivered again during a task of {took or 0:.0f} s")
    found.note(f"the copies left after {max(left, default=0):.2f} s; 8 cards, one request each")
    return found


def _log(house: House, name: str) -> str:
    return Path(house.servers.folder / "logs" / f"{name}.log").read_text(encoding="utf-8")


def _times(text: str) -> list[tuple[str, float]]:
    return [(task, float(seconds)) for task, seconds in _LEFT.findall(text)]


def _once(found: Findings, house: House, cards: Sequence[SmartCard], action: str) -> None:
    found.wrong += house.books(cards, [action])
    calls = [house.truth(card)["calls"]["submit"] for card in cards]
    found.expect(set(calls) == {1}, f"requests for each card: {calls}")


def beats(house: House) -> Findings:
    """F6: two at once, none for three hours, one two hours ahead and then a right one in its place."""
    found = Findings()
    _two_at_once(house, found)
    _none_for_three_hours(house, found)
    _two_hours_ahead(house, found)
    found.note("no burst of reminders: the product sends none")
    return found


def _two_at_once(house: House, found: Findings) -> None:
    owner = house.merchant(10)
    cards = owner.cards(10)
    house.start_beat("beat-too")
    subscription = Subscription.objects.filter(pk=owner.subscription.pk)
    for card in cards:
        owner.activate(card)
    found.expect(house.settled(cards, seconds=40) is not None, "two beats: not settled")
    subscription.update(entitled_until=clock.now())
    done = until(lambda: _all_off(house, cards), seconds=40)
    house.kill("beat-too")
    found.expect(done is not None, "two beats: the end of the paid time was not noticed")
    found.wrong += house.books(cards, ["activate", "deactivate"])
    calls = {house.truth(card)["calls"]["submit"] for card in cards}
    found.expect(calls == {2}, f"two beats: {calls} requests for a card")
    found.note("two beats: 10 cards on by click, off by the end of the paid time, once each")


def _all_off(house: House, cards: Sequence[SmartCard]) -> bool:
    found = SmartCard.objects.filter(pk__in=[card.pk for card in cards])
    return not found.exclude(confirmed=Confirmed.INACTIVE).exists() and not house.open_commands(
        cards
    )


def _none_for_three_hours(house: House, found: Findings) -> None:
    owner = house.merchant(8)
    cards = owner.cards(8)
    for card in cards:
        owner.activate(card)
    found.expect(house.settled(cards, seconds=40) is not None, "before the silence: not settled")
    house.kill("beat")
    ends = clock.now() + timedelta(hours=1)
    Subscription.objects.filter(pk=owner.subscription.pk).update(entitled_until=ends)
    clock.advance(3 * 3600)
    time.sleep(4)
    still = [house.effects(card) for card in cards]
    found.expect(still == [["activate"]] * 8, "something was done without a beat")
    house.again("beat")
    took = until(lambda: _all_off(house, cards), seconds=100)
    found.expect(took is not None, "after the silence: the late ones were not caught up")
    found.wrong += house.books(cards, ["activate", "deactivate"])
    found.note(f"none for 3 h: 8 late switch-offs once each, {took or 0:.0f} s after the return")


def _two_hours_ahead(house: House, found: Findings) -> None:
    house.kill("beat")
    house.start_beat("beat", module=_AHEAD)
    began = clock.real_now()
    rung = until(lambda: house.swept(began), seconds=20)
    found.expect(rung is not None, "a beat two hours ahead rings nobody")
    owner = house.merchant(4)
    cards = owner.cards(4)
    for card in cards:
        owner.activate(card)
    found.expect(house.settled(cards, seconds=40) is not None, "two hours ahead: not settled")
    _once(found, house, cards, "activate")
    time.sleep(4)
    house.kill("beat")
    house.start_beat("beat")
    Heartbeat.objects.filter(name="smartcards.sweep").delete()
    began = clock.real_now()
    took = until(lambda: house.swept(began), seconds=25)
    found.expect(took is not None, "a right beat after one two hours ahead is silent")
    found.note(f"2 h ahead: rings; the right one after it rings {took or 0:.0f} s after its start")


def trials(house: House) -> list[Trial]:
    """What is played with the alarm clock."""
    return [
        Trial(
            "F5",
            "message delivered again while its task runs, two workers",
            lambda: delivered_again(house),
        ),
        Trial(
            "F6", "two beats; none for 3 h; one 2 h ahead, then a right one", lambda: beats(house)
        ),
    ]
