"""F2 and F22: the web process dies at the worst moment; two people at one card."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import requests

from bench import fault_points
from bench.faults import scenario
from bench.harness import Harness
from bench.people import ACCEPTED, ACCEPTED_OFF, page_text
from bench.timing import until
from cabinet.enums import Role
from smartcards.models import SmartCard

_ROUNDS = 8


@scenario("F2", "web killed -9 between COMMIT and publish, 3 clicks")
def killed_before_publish(harness: Harness) -> str:
    """The click is committed, the process dies before a wake-up is sent; the sweep finds the command."""
    owner = harness.owner(3)
    waits = []
    for card in harness.cards(owner, 3):
        harness.die_once("web", fault_points.BEFORE_PUBLISH)
        clicked = time.monotonic()
        with suppress(requests.ConnectionError):
            answer = owner.activate(card)
            raise AssertionError(f"the web did not die: {answer.status_code}")
        until(partial(_has_left, harness, card), "nothing left after the click", seconds=15)
        waits.append(time.monotonic() - clicked)
        until(harness.is_alive, "the web did not come back", seconds=10)
        # The person, who saw no answer, clicks again.
        status = owner.activate(card).status_code
        assert status == 200, f"the second click was answered {status}"
        harness.finish([card], "activate", seconds=20)
        number = harness.commands([card]).count()
        assert number == 1, f"{number} commands for one click"
    assert max(waits) <= 10, f"the operation began after {max(waits):.1f} s"
    return f"began {max(waits):.1f} s after the click at the latest (limit 10)"


def _has_left(harness: Harness, card: SmartCard) -> bool:
    return harness.calls([card]) != [0]


@scenario("F22", f"owner and colleague click one card at once, {2 * _ROUNDS} rounds")
def two_people_at_one_card(harness: Harness) -> str:
    """At the same instant, first of one mind and then against each other: one command, both can read it."""
    owner = harness.owner(_ROUNDS)
    colleague = harness.person(owner.subscription, Role.MANAGER, "Борис Второй")
    cards = harness.cards(owner, _ROUNDS)
    with ThreadPoolExecutor(2) as both:
        for card in cards:
            pages = [both.submit(one.activate, card) for one in (owner, colleague)]
            texts = sorted((page_text(page.result()) for page in pages), key=_is_explained)
            assert ACCEPTED in texts[0], f"card {card.pk}: no request accepted"
            assert _is_explained(texts[1]), f"card {card.pk}: the second does not see the first"
        harness.finish(cards, "activate", seconds=30)
        for card in cards:
            off, on = both.submit(owner.deactivate, card), both.submit(colleague.activate, card)
            assert ACCEPTED_OFF in page_text(off.result()), f"card {card.pk}: «off» was not taken"
            assert _is_explained(page_text(on.result())), f"card {card.pk}: does not read of «off»"
    harness.finish(cards, "activate", "deactivate", seconds=30)
    return f"{_ROUNDS} double clicks: one command each, the second person reads who was first"


def _is_explained(text: str) -> bool:
    return "его запросил(а)" in text or "уже работает" in text
