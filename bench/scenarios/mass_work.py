"""F23: mass work with failures and a killed worker."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet

from bench import rows
from bench.faults import scenario
from bench.harness import OPERATOR_WORKERS, Harness
from bench.timing import timed, until
from cabinet import clock
from cabinet.models import Merchant
from smartcards.models import Command, SmartCard
from smartcards.reconciliation import paid_slots, reconcile
from smartcards.states import CommandState, OperatorState, Origin
from smartcards.tests.cards import OWNER

_THREADS = 8  # of the contract; a few more calls may have begun when the worker is killed
_FAILING = 20  # one card of so many the operator does not know
_OVER = (CommandState.DONE, CommandState.FAILED, CommandState.CANCELLED)
_DOUBTFUL = (CommandState.CHECKING, CommandState.NEEDS_STAFF)


@dataclass(frozen=True)
class Chain:
    """A merchant with many working cards, every one paid; the operator knows all but some."""

    merchant: Merchant
    cards: list[SmartCard]
    known: set[str]
    commands: "QuerySet[Command]"

    def choose(self, cards: Sequence[SmartCard]) -> None:
        """The product's own mass action: these cards are paid from now on, and no others."""
        ids = [card.pk for card in cards]
        paid_slots.choose_cards(merchant=self.merchant, card_ids=ids, by=OWNER, at=clock.now())

    def reconcile(self) -> int:
        """Compare once more; gives how many commands were made."""
        before = self.commands.count()
        reconcile.reconcile_merchant(merchant_id=self.merchant.pk, at=clock.now())
        return self.commands.count() - before

    def iccids(self, commands: "QuerySet[Command]") -> set[str]:
        """The cards of these commands."""
        return set(commands.values_list("card__iccid", flat=True))

    def waiting(self) -> "QuerySet[Command]":
        """In the air at the kill, of a card that the operator does not know: nobody can read what became
        of it, so it waits for staff.
        """
        doubtful = self.commands.filter(questions__gt=0, state__in=_DOUBTFUL)
        return doubtful.exclude(card__iccid__in=self.known)

    def wait(self) -> None:
        """Until nothing is on its way but what waits for staff. Raises AssertionError."""
        rest = self.commands.exclude(state__in=_OVER).exclude(pk__in=self.waiting())
        patience = 60 + len(self.cards) / 4
        until(lambda: not rest.exists(), "the work is not over", seconds=patience, pause=0.3)


@scenario("F23", "{mass} cards unticked (5 % refused), worker killed, ticked again")
def mass(harness: Harness) -> str:
    """Exact lists of done, failed and waiting; a repeat touches only the rest."""
    harness.set_limits("tmf640", delay_seconds=None)
    chain = _chain(harness, harness.mass)
    took = timed(lambda: chain.choose([]))
    origins = set(chain.commands.values_list("origin", flat=True))
    assert origins == {Origin.MASS}, f"the origins of the commands: {origins}"
    middle = _kill_in_the_middle(harness, chain)
    _finish_the_rest(chain)
    lists = _check_lists(harness, chain, OperatorState.INACTIVE, "deactivate")
    # Ticked again, all of them: those that were switched off come back, and no others are touched.
    before = chain.commands.count()
    chain.choose(chain.cards)
    off = SmartCard.objects.filter(iccid__in=chain.known).exclude(confirmed=OperatorState.ACTIVE)
    patience = 60 + len(chain.cards) / 4
    until(lambda: not off.exists(), "not all are on again", seconds=patience, pause=0.5)
    chain.wait()
    made = chain.commands.count() - before
    assert made == len(chain.known), f"{made} commands for {len(chain.known)} cards"
    _check_lists(harness, chain, OperatorState.ACTIVE, "deactivate", "activate")
    return f"the choice took {took:.0f} s; killed at {middle}; {lists}; repeats add none"


def _chain(harness: Harness, number: int) -> Chain:
    account = harness.account(concurrency=_THREADS, timeout_seconds=10, lease_seconds=20)
    subscription = rows.merchant(number)
    with transaction.atomic():
        cards = rows.cards(account, subscription, number)
        working = SmartCard.objects.filter(account=account)
        working.update(confirmed=OperatorState.ACTIVE, block_reason="")
    known = [card for index, card in enumerate(cards) if index % _FAILING]
    rows.add_to_sandbox(harness.product.sandbox, known, "active")
    commands = Command.objects.filter(account=account)
    return Chain(subscription.merchant, cards, {card.iccid for card in known}, commands)


def _kill_in_the_middle(harness: Harness, chain: Chain) -> dict[str, int]:
    """Gives the states of the commands at the kill."""
    number, done = len(chain.cards), chain.commands.filter(state=CommandState.DONE)
    until(lambda: done.count() > number * 0.4, "too slow", seconds=60 + number / 8, pause=0.2)
    harness.processes.kill(*OPERATOR_WORKERS)
    middle = Counter(chain.commands.values_list("state", flat=True))
    assert middle[CommandState.QUEUED] > 0, "the worker was killed too late"
    chain.choose([])
    chain.reconcile()
    assert chain.commands.count() == number, "a repeat in the middle made commands"
    harness.processes.restart(*OPERATOR_WORKERS)
    chain.wait()
    return dict(sorted(middle.items()))


def _finish_the_rest(chain: Chain) -> None:
    """What the kill left undone for sure comes again by itself; what was refused does not."""
    undone = chain.commands.filter(state="failed", error="transient").count()
    clock.advance(120)
    repeated = chain.reconcile()
    assert repeated <= undone, f"a repeat made {repeated} commands, {undone} were undone"
    chain.wait()
    again = chain.reconcile()
    assert again == 0, f"a second repeat made {again} commands"


def _check_lists(harness: Harness, chain: Chain, state: OperatorState, *effects: str) -> str:
    """Exactly the known cards have these effects and this state; each other one is refused or waits."""
    sims = harness.product.ask("GET", "/state/tmf640")["sims"]
    done = {sim["iccid"]: [one["action"] for one in sim["effects"]] for sim in sims}
    wrong = [iccid for iccid in chain.known if done[iccid] != list(effects)]
    assert not wrong, f"{len(wrong)} cards with other effects, as {wrong[0]}: {done[wrong[0]]}"
    mine = SmartCard.objects.filter(iccid__in=chain.known)
    assert not mine.exclude(confirmed=state).exists(), "cards are not in the right list"
    failed = chain.commands.filter(state="failed").exclude(error="transient")
    refused, waiting = chain.iccids(failed), chain.iccids(chain.waiting())
    rest = {card.iccid for card in chain.cards} - chain.known
    assert refused | waiting == rest, "cards are not in the lists of failed and waiting"
    assert len(waiting) <= _THREADS * 7, f"{len(waiting)} wait for their outcome"
    assert failed.count() == len(refused), f"{failed.count()} refusals, {len(refused)} cards"
    return f"done {len(chain.known)}, failed {len(refused)}, waiting {len(waiting)}"
