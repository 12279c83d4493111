"""The sandbox without cards and merchants, and without a state on disk: writing ten thousand cards twice a
second would stop its answers for a quarter of a second each time.
"""

from operators.sandbox.routes import OperatorsPart
from subscriptions.evotor.sandbox.market import Market
from subscriptions.evotor.sandbox.routes import MarketPart


class Operators(OperatorsPart):
    """All operators without a card."""

    def dump(self) -> None:
        """Nothing is kept."""


class EmptyMarket(MarketPart):
    """A market without merchants, where time passes."""

    def __init__(self) -> None:
        super().__init__(Market())

    def dump(self) -> None:
        """Nothing is kept."""
