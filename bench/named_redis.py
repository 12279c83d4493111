"""F3 and F4: Redis is stopped for ten minutes and emptied; Redis takes connections and never answers."""

import time
from collections.abc import Sequence

from bench.named_house import House, Owner
from bench.named_trial import Findings, Trial, timed
from cabinet import clock
from operators import quota
from smartcards.models import SmartCard

FAULTS = ("F3", "F4")
_PAGES = ("/", "/subscription/", "/modules/", "/orders/", "/documents/", "/cards/choose/")
_STOPPED_FOR = 8.0  # real seconds; the product's clock goes on by ten minutes


def stopped_and_emptied(house: House) -> Findings:
    """F3: pages work and clicks are taken while Redis is away; nothing is lost or doubled after."""
    found, owner = Findings(), house.merchant(18)
    cards = owner.cards(18)
    house.servers.stop_valkey()
    before, flushed = cards[:10], cards[10:]
    slowest = _pages(found, owner, before)
    clock.advance(600)
    time.sleep(_STOPPED_FOR)
    sent = sum(house.truth(card)["calls"]["submit"] for card in before)
    found.expect(sent == 0, f"{sent} commands left while the quota could not be known")
    house.servers.start_valkey()
    took = house.settled(before, seconds=90)
    found.expect(took is not None, "not settled within 90 s after Redis came back")
    for card in flushed:
        owner.activate(card)
        quota.client(house.servers.redis_url).flushall()
    found.expect(house.settled(flushed, seconds=60) is not None, "not settled after FLUSHALL")
    found.wrong += house.books(cards, ["activate"])
    died = house.died()
    found.expect(not died, f"ended by themselves: {', '.join(died)}")
    found.note(
        f"10 clicks taken, slowest page {slowest:.2f} s; done {took or 0:.1f} s after the return"
    )
    found.note("8 FLUSHALLs in the middle of 8 clicks: one effect each")
    return found


def _pages(found: Findings, owner: Owner, cards: Sequence[SmartCard]) -> float:
    slowest = 0.0
    for path in _PAGES:
        began = time.monotonic()
        status = owner.browser.get(path).status_code
        slowest = max(slowest, time.monotonic() - began)
        found.expect(status == 200, f"{path} answered {status}")
    for card in cards:
        began = time.monotonic()
        status = owner.activate(card).status_code
        slowest = max(slowest, time.monotonic() - began)
        found.expect(status == 200, f"a click answered {status}")
    return slowest


def frozen(house: House) -> Findings:
    """F4: every page and every click is at most a second slower."""
    found, owner = Findings(), house.merchant(12)
    cards = owner.cards(12)
    usual = _measure(owner, cards[:6])
    house.settled(cards[:6], seconds=30)
    with house.servers.frozen_valkey():
        slow = _measure(owner, cards[6:])
    for name, seconds in slow.items():
        late = seconds - usual[name]
        found.expect(
            late <= 1, f"{name}: {late:.1f} s slower ({usual[name]:.2f} -> {seconds:.2f} s)"
        )
    took = house.settled(cards, seconds=60)
    found.expect(took is not None, "not settled within 60 s after Redis thawed")
    found.wrong += house.books(cards, ["activate"])
    died = house.died()
    found.expect(not died, f"ended by themselves: {', '.join(died)}")
    worst = max(slow[name] - usual[name] for name in slow)
    found.note(
        f"slowest by {worst:.2f} s (limit 1); all clicks done {took or 0:.1f} s after the thaw"
    )
    return found


def _measure(owner: Owner, cards: Sequence[SmartCard]) -> dict[str, float]:
    """The slowest of several askings, by page."""
    found = {
        path: max(timed(lambda one=path: owner.browser.get(one)) for _ in range(2))  # type: ignore[misc]
        for path in _PAGES
    }
    found["click"] = max(timed(lambda one=card: owner.activate(one)) for card in cards)  # type: ignore[misc]
    found["card"] = timed(lambda: owner.browser.get(f"/cards/{cards[0].pk}/"))
    return found


def trials(house: House) -> list[Trial]:
    """What is played with Redis."""
    return [
        Trial(
            "F4",
            "Redis frozen (SIGSTOP), all pages and 6 clicks",
            lambda: frozen(house),
        ),
        Trial(
            "F3",
            "Redis stopped 10 min by our clock, comes back empty; FLUSHALL in flight",
            lambda: stopped_and_emptied(house),
        ),
    ]
