"""F23: mass work with failures and a killed worker."""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests
from django.db import transaction
from django.db.models import QuerySet

from bench import rows, schedules
from bench.named_house import QUICK, House
from bench.named_trial import Findings, Trial, until
from cabinet import clock
from cabinet.models import Merchant
from operators.models import OperatorAccount
from smartcards import coverage, reconcile
from smartcards.models import Command, SmartCard
from smartcards.states import CommandState, Confirmed, Origin

FAULTS = ("F23",)
# Threads of the contract and what is begun beyond them.
MOST_IN_THE_AIR = 8 * 7
_FAILING = 20  # one card of so many the operator does not know


def mass(house: House, number: int) -> Findings:
    """F23: exact lists of done, failed and waiting; a repeat touches only the rest."""
    found = Findings()
    rows.put(f"{house.sandbox}/limits/tmf640", {"delay_seconds": None})
    chain = _chain(house, number)
    began = time.monotonic()
    chain.choose([])
    took = time.monotonic() - began
    origins = set(chain.commands.values_list("origin", flat=True))
    found.expect(origins == {Origin.MASS}, f"the origins of the commands: {origins}")
    middle = _killed_in_the_middle(house, found, chain)
    _finish_the_rest(found, house, chain)
    _lists(found, house, chain, ["deactivate"], on=False)
    found.note(f"the choice took {took:.0f} s; killed at {dict(sorted(middle.items()))}")
    _chosen_again(house, found, chain)
    return found


@dataclass(frozen=True)
class Chain:
    """A merchant with many working cards, every one paid; the operator knows all but some."""

    merchant: Merchant
    account: OperatorAccount
    cards: list[SmartCard]
    known: set[str]

    @property
    def commands(self) -> "QuerySet[Command]":
        """All that were ever made."""
        return Command.objects.filter(account=self.account)

    def choose(self, cards: Sequence[SmartCard]) -> None:
        """The product's own mass action: these cards are paid from now on, and no others."""
        by, ids = schedules.OWNER, [card.pk for card in cards]
        coverage.choose_cards(merchant=self.merchant, card_ids=ids, by=by, at=clock.now())


def _chain(house: House, number: int) -> Chain:
    account = rows.account(
        "tmf640",
        house.sandbox,
        **{**QUICK, "concurrency": 8, "timeout_seconds": 10, "lease_seconds": 20},
        # What the kill leaves undone is switched off by ourselves afterwards.
        brake_cards=number,
        brake_percent=100,
    )
    subscription = rows.merchant(number)
    with transaction.atomic():
        cards = rows.cards(account, subscription, number)
        SmartCard.objects.filter(account=account).update(
            confirmed=Confirmed.ACTIVE, block_reason=""
        )
    known = [card for place_, card in enumerate(cards) if place_ % _FAILING]
    _tell(house, known)
    return Chain(subscription.merchant, account, cards, {card.iccid for card in known})


def _killed_in_the_middle(house: House, found: Findings, chain: Chain) -> Counter[str]:
    number = len(chain.cards)
    done = chain.commands.filter(state=CommandState.DONE)
    until(lambda: done.count() > number * 0.4, seconds=240, pause=0.2)
    house.kill("operators")
    middle = Counter(chain.commands.values_list("state", flat=True))
    found.expect(sum(middle.values()) == number, f"{sum(middle.values())} commands after the kill")
    found.expect(middle[CommandState.QUEUED] > 0, "the worker was killed too late")
    chain.choose([])
    repeated = reconcile.reconcile_merchant(merchant_id=chain.merchant.pk, at=clock.now())
    made = chain.commands.count() - number
    found.expect(repeated == made == 0, f"a repeat in the middle made {made} commands")
    house.again("operators")
    took = until(lambda: not _open(chain.account.pk), seconds=300, pause=0.3)
    states = Counter(chain.commands.values_list("state", flat=True))
    found.expect(took is not None, f"not over: {states}")
    return middle


def _chosen_again(house: House, found: Findings, chain: Chain) -> None:
    """Ticked again, all of them: those that were switched off come back, and no others are touched."""
    before = chain.commands.count()
    chain.choose(chain.cards)
    came = until(lambda: _working(chain) == len(chain.known), seconds=300, pause=0.5)
    found.expect(came is not None, f"{_working(chain)} of {len(chain.known)} are on again")
    until(lambda: not _open(chain.account.pk), seconds=60)
    made = chain.commands.count() - before
    found.expect(made == len(chain.known), f"{made} commands for {len(chain.known)} cards")
    _lists(found, house, chain, ["deactivate", "activate"], on=True)


def _working(chain: Chain) -> int:
    on = SmartCard.objects.filter(account=chain.account, confirmed=Confirmed.ACTIVE)
    return on.filter(iccid__in=chain.known).count()


def _open(account_id: int) -> bool:
    over = [CommandState.DONE, CommandState.FAILED, CommandState.CANCELLED]
    rest = Command.objects.filter(account_id=account_id).exclude(state__in=over)
    return rest.exclude(pk__in=_doubtful(account_id)).exists()


def _doubtful(account_id: int) -> "QuerySet[Command]":
    """In the air at the kill, of a card that the operator does not know: nobody can read what became of it,
    so it waits for staff. It is in the list of the waiting.
    """
    asked = Command.objects.filter(account_id=account_id, questions__gt=0)
    return asked.filter(state__in=[CommandState.CHECKING, CommandState.NEEDS_STAFF])


def _finish_the_rest(found: Findings, house: House, chain: Chain) -> None:
    """What the kill left undone for sure comes again by itself; what was refused does not."""
    undone = chain.commands.filter(state="failed", error="transient").count()
    clock.advance(120)
    repeated = reconcile.reconcile_merchant(merchant_id=chain.merchant.pk, at=clock.now())
    found.expect(
        repeated <= undone, f"a repeat made {repeated} commands where {undone} were undone"
    )
    over = until(lambda: not _open(chain.account.pk), seconds=60)
    found.expect(over is not None, "the rest is not over")
    again = reconcile.reconcile_merchant(merchant_id=chain.merchant.pk, at=clock.now())
    found.expect(again == 0, f"a second repeat made {again} commands")


def _lists(
    found: Findings, house: House, chain: Chain, effects: Sequence[str], *, on: bool
) -> None:
    shown = rows.call("GET", f"{house.sandbox}/state/tmf640")["sims"]
    done = {sim["iccid"]: [one["action"] for one in sim["effects"]] for sim in shown}
    wrong = {iccid: done[iccid] for iccid in chain.known if done[iccid] != list(effects)}
    found.expect(not wrong, f"{len(wrong)} cards with other effects: {list(wrong.items())[:3]}")
    ours = SmartCard.objects.filter(account=chain.account)
    state = Confirmed.ACTIVE if on else Confirmed.INACTIVE
    right = set(ours.filter(confirmed=state, iccid__in=chain.known).values_list("iccid", flat=True))
    found.expect(
        right == chain.known, f"{len(right ^ chain.known)} cards are not in the right list"
    )
    _refused_and_waiting(found, chain, len(right))


def _refused_and_waiting(found: Findings, chain: Chain, right: int) -> None:
    failed = chain.commands.filter(state="failed").exclude(error="transient")
    refused = set(failed.values_list("card__iccid", flat=True))
    strangers = {card.iccid for card in chain.cards} - chain.known
    waiting = set(_doubtful(chain.account.pk).values_list("card__iccid", flat=True))
    rest = (refused | waiting) ^ strangers
    found.expect(not rest, f"{len(rest)} cards are not in the lists of failed and waiting")
    found.expect(len(waiting) <= MOST_IN_THE_AIR, f"{len(waiting)} wait for their outcome")
    found.expect(failed.count() == len(refused), f"{failed.count()} refusals, {len(refused)} cards")
    found.note(f"done {right}, failed {len(refused)}, waiting {len(waiting)}; repeats add none")


def _tell(house: House, cards: Sequence[SmartCard]) -> None:
    with requests.Session() as line, ThreadPoolExecutor(2) as both:

        def put(card: SmartCard) -> None:
            address = f"{house.sandbox}/state/tmf640/{card.iccid}"
            line.put(address, json={"msisdn": card.msisdn, "state": "active"}, timeout=20)

        list(both.map(put, cards))


def trials(house: House, number: int) -> list[Trial]:
    """What is played with many commands."""
    return [
        Trial(
            "F23",
            f"{number} cards unticked (5 % refused), worker killed, ticked again",
            lambda: mass(house, number),
        ),
    ]
