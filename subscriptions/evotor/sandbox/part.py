"""The market's part of the sandbox."""

import logging
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any

from cabinet import clock
from cabinet.sandbox.http import Route
from subscriptions.evotor.sandbox.cloud import Cloud
from subscriptions.evotor.sandbox.demo import demo_accounts
from subscriptions.evotor.sandbox.door import Door
from subscriptions.evotor.sandbox.market import Market
from subscriptions.evotor.sandbox.pages import Pages

logger = logging.getLogger(__name__)

BEAT = 0.5  # seconds of real time between two looks at the clock


class MarketPart:
    """The store, the merchants, their payments, and the cloud."""

    name = "market"

    def __init__(self, market: Market) -> None:
        self._market = market
        self._pages = Pages(self._market)

    def routes(self) -> list[Route]:
        """Actions first: the pages answer to any other word below `/market`."""
        return [
            *Door(self._market).routes(),
            *Cloud(self._market).routes(),
            *self._pages.routes(),
        ]

    def panel(self) -> str:
        """The merchants and what they have."""
        return self._pages.panel()

    def dump(self) -> Any:
        """Merchants, subscriptions, hooks that are still on their way."""
        return self._market.dump()

    def load(self, data: Mapping[str, Any]) -> None:
        """Takes back what `dump` gave."""
        self._market.load(data)

    def begin(self) -> None:
        """From now on time passes here too, for as long as this part is kept."""
        alive = weakref.ref(self._market)
        threading.Thread(target=_live, args=(alive,), name="sandbox-market", daemon=True).start()


def _live(alive: "weakref.ref[Market]") -> None:
    while True:
        time.sleep(BEAT)
        market = alive()
        if market is None:
            return
        _beat(market)
        del market


def _beat(market: Market) -> None:
    try:
        market.live_through(clock.now())
    except Exception:
        logger.exception("The played market stumbled")


def make() -> MarketPart:
    """The factory named in settings. A kept state replaces the demo merchants."""
    market = Market()
    for account in demo_accounts(clock.now()):
        market.take(account)
    part = MarketPart(market)
    part.begin()
    return part
