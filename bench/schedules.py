"""Random fault schedules: real worker processes on a played operator, killed and cut off at random.

At the end every card must be at the operator as it was last wished, we must know it, nothing may be
left open, and no card may have been switched oftener than it was asked for.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import close_old_connections
from django.db.models import Q

from bench import place, rows
from cabinet import clock
from cabinet.actors import Actor
from cabinet.errors import Refused
from cabinet.states import ActorKind, Role
from operators import quota
from operators.models import OperatorAccount
from smartcards import queries, reconcile, rules, services
from smartcards.models import Command, SmartCard
from smartcards.states import OPEN_COMMANDS, CommandState, Confirmed
from subscriptions.models import Subscription

OWNER = Actor(ActorKind.PERSON, "Владелец", role=Role.OWNER)
STAFF = Actor(ActorKind.STAFF, "Сотрудник")
ADAPTERS = ("mts", "tmf640", "beeline", "control_center")
FAULTS = (
    {"kind": "drop_before"},
    {"kind": "drop_after"},
    {"kind": "http_500"},
    {"kind": "http_429", "retry_after": 1},
    {"kind": "garbage"},
    {"kind": "half_body"},
    {"kind": "wrong_id"},
    {"kind": "slow", "seconds": 0.5},
    {"kind": "maintenance"},
    {"kind": "accept_and_forget"},
)
QUICK: dict[str, Any] = {
    "timeout_seconds": 2,
    "lease_seconds": 4,
    "quiet_seconds": 2,
    "poll_plan": [1],
    "concurrency": 2,
    "deadline_seconds": 600,
    # Time is passed in leaps: an hour's worth of ends of paid time must not engage the brake.
    "brake_cards": 100_000,
    "brake_percent": 100,
}
# How long one schedule may take to come to rest, in real seconds.
PATIENCE = 60.0
_OPEN = sorted(OPEN_COMMANDS)


@dataclass(frozen=True)
class Found:
    """What an examination at the end counted."""

    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    details: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Nothing lost, nothing doubled, nothing wrong."""
        return not (self.lost or self.doubled or self.wrong)


@dataclass
class Stage:
    """One sandbox, one account of each operator, and workers that may be killed."""

    sandbox: str
    accounts: list[OperatorAccount]
    workers: list[Any] = field(default_factory=list)
    asked: dict[int, int] = field(default_factory=dict)

    def play(self, chance: random.Random) -> Found:
        """One schedule: some cards, some troubles, some clicks; then peace, and a look at the books."""
        self.asked.clear()
        cards = self._cards(chance)
        for _ in range(chance.randint(4, 9)):
            self._step(chance, cards)
        rows.call("DELETE", f"{self.sandbox}/faults")
        self.come_to_rest(cards)
        return self.examine(cards)

    def _cards(self, chance: random.Random) -> list[SmartCard]:
        cards = []
        for account in chance.sample(self.accounts, 2):
            cards += rows.cards(account, rows.merchant(5), chance.randint(1, 3))
        rows.tell_sandbox(self.sandbox, cards)
        SmartCard.objects.filter(pk__in=[card.pk for card in cards]).update(
            wished_on=None, wished_at=None, wished_by=""
        )
        return cards

    def _step(self, chance: random.Random, cards: list[SmartCard]) -> None:
        action = chance.choices(
            (self._click, self._trouble, self.kill, self._forget, self._wait, self._pay),
            (6, 4, 1, 1, 3, 2),
        )[0]
        action(chance, cards)

    def _click(self, chance: random.Random, cards: list[SmartCard]) -> None:
        card = chance.choice(cards)
        switch = chance.choice((services.request_activation, services.request_deactivation))
        try:
            if switch(card=card, by=OWNER, at=clock.now()) is not None:
                self.asked[card.pk] = self.asked.get(card.pk, 0) + 1
        except Refused:
            return  # somebody else's command is on its way, or there is nothing to do

    def _trouble(self, chance: random.Random, cards: list[SmartCard]) -> None:
        fault = {
            "operator": chance.choice(cards).account.adapter,
            "call": chance.choice(("submit", "check", "read", "auth")),
            "times": chance.randint(1, 2),
            **chance.choice(FAULTS),
        }
        rows.call("POST", f"{self.sandbox}/faults", fault)

    def kill(self, chance: random.Random, _cards: list[SmartCard]) -> None:
        doomed = self.workers.pop(chance.randrange(len(self.workers)))
        doomed.kill()
        doomed.wait(timeout=10)
        self.workers.append(place.start("-m", "bench.worker", "all"))

    def restart_workers(self) -> None:
        """All workers anew: each knows the contracts that there were at its start."""
        number = len(self.workers) or 2
        for worker in self.workers:
            worker.kill()
            worker.wait(timeout=10)
        self.workers = [place.start("-m", "bench.worker", "all") for _ in range(number)]

    def _forget(self, _chance: random.Random, _cards: list[SmartCard]) -> None:
        quota.client(settings.REDIS_URL).flushdb()

    def _pay(self, chance: random.Random, cards: list[SmartCard]) -> None:
        """The paid time of a merchant ends, or is paid for again: each may switch all its cards once."""
        card = chance.choice(cards)
        mine = Subscription.objects.filter(merchant=card.merchant_id)
        live = mine.filter(entitled_until=None).exists()
        mine.update(entitled_until=clock.now() if live else None)
        for one in cards:
            if one.merchant_id == card.merchant_id:
                self.asked[one.pk] = self.asked.get(one.pk, 0) + 1
        reconcile.reconcile_merchant(merchant_id=card.merchant_id or 0, at=clock.now())

    def _wait(self, chance: random.Random, _cards: list[SmartCard]) -> None:
        time.sleep(chance.uniform(0, 0.3))

    def come_to_rest(self, cards: list[SmartCard]) -> None:
        """Let time pass in leaps while nothing is in the air, until every card is as it should be."""
        ends_at = time.monotonic() + PATIENCE
        while not self._at_rest(cards) and time.monotonic() < ends_at:
            self._staff_decide(cards)
            if not self._in_the_air(cards):
                clock.advance(61)
            reconcile.reconcile_all(at=clock.now())
            time.sleep(0.1)
        close_old_connections()

    def _mine(self, cards: list[SmartCard]) -> "queries.Commands":
        return Command.objects.filter(card__in=cards)

    def _in_the_air(self, cards: list[SmartCard]) -> bool:
        """Sent, or due now: then real time must pass. Redis counts the quota by a clock of its own."""
        at = clock.now()
        # Behind an open circuit nothing moves before the next probe, and that goes by our clock.
        mine = self._mine(cards).exclude(account__probe_at__gt=at)
        return mine.filter(
            Q(state=CommandState.SENDING)
            | Q(state=CommandState.QUEUED, due_at__lte=at)
            | Q(state__in=[CommandState.ACCEPTED, CommandState.CHECKING], check_at__lte=at)
        ).exists()

    def _at_rest(self, cards: list[SmartCard]) -> bool:
        if self._mine(cards).filter(state__in=_OPEN).exists():
            return False
        return not queries.merchants_out_of_step(clock.now()) & {card.merchant_id for card in cards}

    def _staff_decide(self, cards: list[SmartCard]) -> None:
        """Where nobody can read the outcome staff look into the operator's own cabinet."""
        for command in self._mine(cards).filter(state=CommandState.NEEDS_STAFF):
            wanted = "active" if command.kind == "activate" else "inactive"
            done = self.truth(command.card)["state"] == wanted
            services.settle_by_staff(
                command=command, done=done, reason="кабинет оператора", by=STAFF, at=clock.now()
            )

    def truth(self, card: SmartCard) -> dict[str, Any]:
        """The operator's own book about a card."""
        shown: dict[str, Any] = rows.call(
            "GET", f"{self.sandbox}/state/{card.account.adapter}/{card.iccid}"
        )
        return shown

    def examine(self, cards: list[SmartCard]) -> Found:
        """Compare wishes, our knowledge and the operator's book."""
        lost = doubled = wrong = 0
        details = []
        at = clock.now()
        for card in SmartCard.objects.filter(pk__in=[one.pk for one in cards]).select_related(
            "account"
        ):
            shown = self.truth(card)
            state = Confirmed.ACTIVE if shown["state"] == "active" else Confirmed.INACTIVE
            target = rules.target_on(queries.facts_now(card, at))
            is_lost = card.wished_on is not None and (shown["state"] == "active") != target
            is_doubled = self._is_doubled(card, shown)
            is_wrong = (
                card.confirmed != state or self._mine([card]).filter(state__in=_OPEN).exists()
            )
            lost, doubled, wrong = lost + is_lost, doubled + is_doubled, wrong + is_wrong
            if is_lost or is_doubled or is_wrong:
                details.append(self._told(card, shown))
        return Found(lost, doubled, wrong, tuple(details))

    def _is_doubled(self, card: SmartCard, shown: dict[str, Any]) -> bool:
        """More effects than commands that left, of either kind, or more than people and payments asked for."""
        effects = Counter(effect["action"] for effect in shown["effects"])
        left = Counter(self._mine([card]).exclude(sent_at=None).values_list("kind", flat=True))
        return effects.total() > self.asked.get(card.pk, 0) or any(
            effects[kind] > left[kind] for kind in effects
        )

    def _told(self, card: SmartCard, shown: dict[str, Any]) -> str:
        commands = [
            f"{row.kind} {row.state} {row.error} {row.code}"
            for row in self._mine([card]).order_by("pk")
        ]
        return (
            f"{card.account.adapter}: wished {card.wished_on}, we say {card.confirmed}, operator"
            f" {shown['state']}, asked {self.asked.get(card.pk, 0)}, {len(shown['effects'])} effects; {commands}"
        )


@contextmanager
def stage(workers: int = 2) -> Iterator[Stage]:
    """The sandbox, the accounts and the workers of a run of schedules."""
    with place.played_operators() as sandbox:
        for adapter in ADAPTERS:
            limits = {
                "per_second": None,
                "per_minute": None,
                "concurrency": None,
                "delay_seconds": 0.2,
            }
            rows.put(f"{sandbox}/limits/{adapter}", limits)
        accounts = [rows.account(adapter, sandbox, **QUICK) for adapter in ADAPTERS]
        found = Stage(sandbox, accounts)
        found.workers = [place.start("-m", "bench.worker", "all") for _ in range(workers)]
        try:
            yield found
        finally:
            for worker in found.workers:
                worker.kill()
                worker.wait(timeout=10)
            clock.reset()
