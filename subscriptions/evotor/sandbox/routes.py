"""The market's part of the sandbox."""

from collections.abc import Mapping
from typing import Any

from werkzeug.routing import Rule

from cabinet import clock
from cabinet.sandbox.http import Part
from subscriptions.evotor.sandbox.action_api import ActionApi
from subscriptions.evotor.sandbox.cloud_api import cloud_route
from subscriptions.evotor.sandbox.demo import demo_accounts
from subscriptions.evotor.sandbox.market import Market
from subscriptions.evotor.sandbox.pages import Pages


class MarketPart(Part):
    """The store, the merchants, their payments, and the cloud."""

    name = "market"

    def __init__(self, market: Market) -> None:
        self._market = market
        self._pages = Pages(self._market)

    def routes(self) -> list[Rule]:
        """The actions, the cloud API and the pages."""
        return [
            *ActionApi(self._market).routes(),
            cloud_route(self._market),
            *self._pages.routes(),
        ]

    def panel(self) -> str:
        """The merchants and what they have."""
        return self._pages.panel()

    def dump(self) -> Any:
        """Merchants, subscriptions, hooks that are not delivered yet."""
        return self._market.dump()

    def load(self, data: Mapping[str, Any]) -> None:
        """Takes back what `dump` gave."""
        self._market.load(data)

    def advance(self) -> None:
        """Time passes here too."""
        self._market.advance(clock.now())


def make() -> MarketPart:
    """The factory named in settings. A kept state replaces the demo merchants."""
    market = Market()
    for account in demo_accounts(clock.now()):
        market.add(account)
    return MarketPart(market)
