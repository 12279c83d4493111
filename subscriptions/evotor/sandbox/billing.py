"""What the played market does by itself when time passes: charges, tries again, gives up."""

from datetime import datetime

from subscriptions.evotor.sandbox.actions import Order, Seat, renew, terminate
from subscriptions.evotor.sandbox.book import Billing, Deal
from subscriptions.evotor.sandbox.messages import Message
from subscriptions.evotor.sandbox.plans import tries

# One try a day for five days, the first on the day of payment (Evotor, doc_subscriptions.md, 2018).
TRIES = 5


def live_through(seat: Seat, now: datetime) -> list[Message]:
    """Every step that fell due up to `now`, in order and each at its own time.

    A year that passes at once is told month by month.
    """
    told: list[Message] = []
    if seat.account.billing is Billing.BY_HAND:
        return told
    while (deal := seat.holding.deal) is not None and deal.live:
        at = tries(deal.due, deal.failed_tries)
        if at > now:
            break
        told += _step(seat, deal, at)
    return told


def _step(seat: Seat, deal: Deal, at: datetime) -> list[Message]:
    if deal.stop_requested or deal.failed_tries >= TRIES:
        return terminate(seat, Order(at))
    if seat.account.billing is Billing.PAYS:
        return renew(seat, Order(at))
    deal.failed_tries += 1
    return []
