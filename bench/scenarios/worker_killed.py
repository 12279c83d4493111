"""F1: workers killed at every step, of a command at the operator and of a renewal in the market."""

import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from bench import fault_points, ledger_check, rows
from bench.faults import scenario
from bench.harness import Harness, fresh
from bench.timing import until
from cabinet import clock
from operators.models import OperatorAccount
from smartcards import services
from smartcards.models import Coverage, SmartCard
from smartcards.states import OperatorState
from smartcards.tests.cards import OWNER
from subscriptions import demo
from subscriptions.models import Period, Subscription

# The market's price of a month for one card.
_MONTH_KOPECKS = 300_00
_SHORT_OF_A_MONTH, _REST_OF_THE_MONTH = timedelta(days=27), timedelta(days=5)
# Two leases of a command.
_LIMIT = 2 * 60


@scenario("F1", "kill -9 before, after the call; before, amid, after the write")
def killed_at_every_step(harness: Harness) -> str:
    """At two operators, each time the product's own worker."""
    steps = [(step, adapter) for step in fault_points.OF_COMMAND for adapter in ("tmf640", "mts")]
    cards = harness.undecided([harness.account(adapter) for _, adapter in steps])
    for card, (step, _) in zip(cards, steps, strict=True):
        has_died = harness.die_once("operators", step)
        services.request_activation(card=card, by=OWNER, at=clock.now())
        until(has_died, f"never came to «{step}»", seconds=20)
        harness.processes.restart("operators")
    harness.asked = {card.pk: 1 for card in cards}
    began = time.monotonic()
    harness.check_ledger(cards)
    took = time.monotonic() - began
    assert took <= 30, f"done after {took:.0f} s"
    for (step, adapter), number in zip(steps, harness.calls(cards), strict=True):
        most = 2 if step == "before call" else 1
        assert number <= most, f"{adapter} killed {step}: {number} requests"
    return f"{len(steps)} workers killed, one effect each, one request where the call was made"


# --- a renewal ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Buyer:
    """A merchant of the sandbox's market with one card that worked until the subscription ended."""

    user_id: str
    subscription: Subscription
    card: SmartCard

    def wait_for(self, state: OperatorState, otherwise: str) -> None:
        """Until we know the card to be in this state. Raises AssertionError."""
        mine = SmartCard.objects.filter(pk=self.card.pk, confirmed=state)
        until(partial(fresh, mine.exists), otherwise, seconds=60)


@scenario(
    "F1", f"a renewal in the market, worker killed -9 at {len(fault_points.OF_RENEWAL)} steps"
)
def killed_in_a_renewal(harness: Harness) -> str:
    """At every step between the market's hook and the operator's command: one of each, a little later."""
    demo.seed(clock.now())
    account = harness.account(timeout_seconds=3, lease_seconds=6, concurrency=4)
    steps = fault_points.OF_RENEWAL
    buyers = _buyers_whose_month_has_ended(harness, account, len(steps))
    took = 0.0
    for step, buyer in zip(steps, buyers, strict=True):
        took = max(took, _renew_and_kill(harness, buyer, step))
    for step, buyer in zip(steps, buyers, strict=True):
        _check_one_of_each(harness, buyer, step)
    assert took <= _LIMIT, f"done after {took:.0f} s"
    return (
        f"{len(steps)} renewals, worker killed at each step: one period, one charge, one command each;"
        f" on again {took:.1f} s after the kill at the latest (limit {_LIMIT})"
    )


def _buyers_whose_month_has_ended(
    harness: Harness, account: OperatorAccount, number: int
) -> list[Buyer]:
    """Bought a month ago, one card each switched on; the month has ended, so the cards are off."""
    buyers = [_bought(harness, account, 1 + one) for one in range(number)]
    for buyer in buyers:
        services.request_activation(card=buyer.card, by=OWNER, at=clock.now())
    for buyer in buyers:
        buyer.wait_for(OperatorState.ACTIVE, "not on after the purchase")
    clock.advance(_REST_OF_THE_MONTH.total_seconds())
    for buyer in buyers:
        harness.act_in_market("terminate", buyer.user_id)
    for buyer in buyers:
        buyer.wait_for(OperatorState.INACTIVE, "not off after the end")
    return buyers


def _bought(harness: Harness, account: OperatorAccount, number: int) -> Buyer:
    user_id = f"01-{990_000_000_000_000 + number:015}"
    since = clock.now() - _SHORT_OF_A_MONTH
    subscription = harness.bought(user_id, at=since.isoformat())
    (card,) = rows.undecided(harness.product.sandbox, account, subscription, 1)
    return Buyer(user_id, subscription, card)


def _renew_and_kill(harness: Harness, buyer: Buyer, step: str) -> float:
    """Gives the seconds from the restart to the working card."""
    has_died = harness.die_once("worker", step)
    harness.act_in_market("renew", buyer.user_id)
    until(has_died, f"never came to «{step}»", seconds=20)
    began = time.monotonic()
    # As after a machine's restart; without it the wake-up that was lost waits for the beat's minute.
    harness.processes.restart("worker", "beat")
    buyer.wait_for(OperatorState.ACTIVE, f"killed {step}: not on again")
    return time.monotonic() - began


def _check_one_of_each(harness: Harness, buyer: Buyer, step: str) -> None:
    harness.settle([buyer.card], seconds=20)
    periods = Period.objects.filter(subscription=buyer.subscription).order_by("starts_at")
    charged = list(periods.values_list("charged_kopecks", flat=True))
    assert charged == [_MONTH_KOPECKS] * 2, f"killed {step}: periods charged {charged}"
    made = harness.commands([buyer.card]).order_by("pk")
    kinds = list(made.values_list("kind", flat=True))
    wanted = ["activate", "deactivate", "activate"]
    assert kinds == wanted, f"killed {step}: commands {kinds}"
    covered = Coverage.objects.filter(card=buyer.card, till=None).count()
    assert covered == 1, f"killed {step}: covered {covered} times"
    harness.check_effects(buyer.card, wanted)
    ledger = ledger_check.examine(harness.product.ask, [buyer.card])
    assert ledger.is_good, f"killed {step}: {ledger}"
