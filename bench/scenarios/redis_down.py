"""F3 and F4: Redis is stopped for ten minutes and emptied; Redis takes connections and never answers."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import requests

from bench.faults import scenario
from bench.harness import Harness
from bench.people import Person
from bench.timing import timed
from cabinet import clock
from operators.limits import quota
from smartcards.models import SmartCard

_PAGES = ("/", "/subscription/", "/modules/", "/orders/", "/documents/", "/cards/choose/")
_STOPPED_FOR = 8.0  # real seconds; the product's clock goes on by ten minutes


@scenario("F4", "Redis frozen (SIGSTOP), all pages and 6 clicks")
def frozen(harness: Harness) -> str:
    """Every page and every click is at most a second slower."""
    owner = harness.owner(12)
    cards = harness.cards(owner, 12)
    usual = _slowest(owner, cards[:6])
    harness.settle(cards[:6], seconds=30)
    with harness.servers.frozen_valkey():
        slow = _slowest(owner, cards[6:])
    late = {page: seconds - usual[page] for page, seconds in slow.items()}
    assert max(late.values()) <= 1, f"seconds slower: {late}"
    took = harness.finish(cards, "activate")
    worst = max(late.values())
    return f"slowest by {worst:.2f} s (limit 1); all clicks done {took:.1f} s after the thaw"


def _slowest(owner: Person, cards: Sequence[SmartCard]) -> dict[str, float]:
    """The slowest of several loads, by page."""
    pages = {path: max(timed(partial(owner.get, path)) for _ in range(2)) for path in _PAGES}
    clicks = [timed(partial(owner.activate, card)) for card in cards]
    card = timed(partial(owner.get, f"/cards/{cards[0].pk}/"))
    return pages | {"click": max(clicks), "card": card}


@scenario("F3", "Redis stopped 10 min by our clock, comes back empty; FLUSHALL in flight")
def stopped_and_emptied(harness: Harness) -> str:
    """Pages work and clicks are taken while Redis is away; nothing is lost or doubled after."""
    owner = harness.owner(18)
    cards = harness.cards(owner, 18)
    harness.servers.stop_valkey()
    before, flushed = cards[:10], cards[10:]
    pages: list[Callable[[], requests.Response]] = [
        *(partial(owner.get, path) for path in _PAGES),
        *(partial(owner.activate, card) for card in before),
    ]
    slowest = max(timed(partial(_check_ok, page)) for page in pages)
    clock.advance(600)
    time.sleep(_STOPPED_FOR)
    assert not any(harness.calls(before)), "commands left while the quota could not be known"
    harness.servers.start_valkey()
    took = harness.settle(before, seconds=90)
    for card in flushed:
        owner.activate(card)
        quota.client(harness.servers.redis_url).flushall()
    harness.finish(cards, "activate")
    return (
        f"10 clicks taken, slowest page {slowest:.2f} s; done {took:.1f} s after the return;"
        " 8 FLUSHALLs in the middle of 8 clicks: one effect each"
    )


def _check_ok(page: Callable[[], requests.Response]) -> None:
    answer = page()
    assert answer.status_code == 200, f"{answer.url} answered {answer.status_code}"
