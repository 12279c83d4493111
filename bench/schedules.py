"""Random fault schedules on the whole product: web, workers, beat, servers and operators of its own.

At the end every card must be at the operator as it was last wished, we must know it, nothing may be
left open, and nothing may have been done or asked for twice (see `bench.books`).
"""

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connections
from django.db.models import Q
from kombu.exceptions import OperationalError

from bench import books, rows
from bench.books import Found
from bench.named_house import House, Owner
from bench.relay import Relay, relay
from cabinet import clock
from cabinet.actors import Actor
from cabinet.celery import app
from cabinet.states import ActorKind, Role
from operators import registry
from operators.models import OperatorAccount
from operators.sandbox.herald import CALLBACK_SECRET
from operators.sandbox.part import PLAYED
from smartcards import queries, reconcile, services
from smartcards.models import Command, SmartCard
from smartcards.states import OPEN_COMMANDS, CommandState

OWNER = Actor(ActorKind.PERSON, "Владелец", role=Role.OWNER)
STAFF = Actor(ActorKind.STAFF, "Сотрудник")
ADAPTERS = ("mts", "tmf640", "beeline", "control_center")
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
NO_LIMITS = {"per_second": None, "per_minute": None, "concurrency": None, "delay_seconds": 0.2}
# How long one schedule may take to come to rest, in real seconds.
PATIENCE = 60.0
_RING_EVERY = 0.5
_WINDOW = 1.2  # seconds
_OPEN = sorted(OPEN_COMMANDS)


@dataclass
class Cast:
    """Who takes part in one schedule."""

    cards: list[SmartCard]
    owners: dict[int, Owner]
    limited: bool


@dataclass
class Stage:
    """The product with an account of each operator, once without limits and once with the real ones."""

    house: House
    relay: Relay
    accounts: list[OperatorAccount]
    limited: list[OperatorAccount]
    asked: dict[int, int] = field(default_factory=dict)
    # What was played how often, over all schedules.
    played: Counter[str] = field(default_factory=Counter)
    rang_at: float = 0.0

    @property
    def sandbox(self) -> str:
        """The address of the played operators."""
        return self.house.sandbox

    def cast(self, chance: random.Random) -> Cast:
        """Two operators, a merchant at each with its owner at a browser, a few cards nobody decided about."""
        limited = chance.random() < 0.2
        self.limit(limited)
        cards: list[SmartCard] = []
        owners: dict[int, Owner] = {}
        for account in chance.sample(self.limited if limited else self.accounts, 2):
            owner = self.house.merchant(5)
            mine = owner.cards(chance.randint(1, 3), account)
            owners |= dict.fromkeys([card.pk for card in mine], owner)
            cards += mine
        return Cast(cards, owners, limited)

    def limit(self, limited: bool) -> None:
        """The operators' own limits by the second and at once, or none; only accounts that know them work."""
        ours = self.limited if limited else self.accounts
        every = OperatorAccount.objects.filter(
            pk__in=[one.pk for one in self.accounts + self.limited]
        )
        every.update(enabled=False)
        every.filter(pk__in=[one.pk for one in ours]).update(enabled=True)
        if limited:
            time.sleep(_WINDOW)  # till what left without limits is forgotten
        for played in PLAYED:
            real = played.limits
            limits = {"per_second": real.per_second, "concurrency": real.concurrency}
            rows.put(
                f"{self.sandbox}/limits/{played.code}", NO_LIMITS | (limits if limited else {})
            )

    def rejected(self) -> int:
        """How many calls the operators have refused because they were over a limit."""
        shown = [rows.call("GET", f"{self.sandbox}/state/{adapter}") for adapter in ADAPTERS]
        return sum(int(one["rejected_by_quota"]) for one in shown)

    def peace(self) -> None:
        """The operators do as they are told again."""
        rows.call("DELETE", f"{self.sandbox}/faults")

    def come_to_rest(self, cards: list[SmartCard]) -> None:
        """Let time pass in leaps while nothing is in the air, until every card is as it should be."""
        ends_at = time.monotonic() + PATIENCE
        while not self._at_rest(cards) and time.monotonic() < ends_at:
            self._staff_decide(cards)
            if not self._in_the_air(cards):
                clock.advance(61)
                reconcile.reconcile_all(at=clock.now())
                self.rang_at = 0
            self._ring()
            time.sleep(0.1)
        connections.close_all()

    def _ring(self) -> None:
        """Where time goes in leaps the beat would be late: its message, at once."""
        if time.monotonic() - self.rang_at < _RING_EVERY:
            return
        self.rang_at = time.monotonic()
        try:
            app.send_task("smartcards.sweep", ignore_result=True, retry=False, expires=3)
        except (OperationalError, OSError):
            return  # Redis is on its way back; the beat rings too

    def _mine(self, cards: Sequence[SmartCard]) -> "queries.Commands":
        return Command.objects.filter(card__in=[card.pk for card in cards])

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
        return books.truth(self.sandbox, card)

    def examine(self, cards: list[SmartCard]) -> Found:
        """Compare wishes, our knowledge, our book of attempts and the operator's book."""
        return books.examine(self.sandbox, cards, self.asked)


@contextmanager
def stage(house: House) -> Iterator[Stage]:
    """The accounts in a house that stands, and the operator that tells of changes."""
    accounts = [rows.account(one, house.sandbox, **_told(one)) for one in ADAPTERS]
    limited = [rows.account(one, house.sandbox, **_told(one) | _limits(one)) for one in ADAPTERS]
    with relay() as between:
        between.doors = tuple(
            f"http://127.0.0.1:{house.port}/operators/{one.code}/callback"
            for one in (*accounts, *limited)
            if one.callback_secret
        )
        _subscribe(house.sandbox, between.url)
        found = Stage(house, between, accounts, limited)
        found.limit(False)
        yield found


def _told(adapter: str) -> dict[str, Any]:
    """As every account of a schedule; the one operator that tells of changes signs what it tells."""
    return QUICK | ({"callback_secret": CALLBACK_SECRET} if adapter == "tmf640" else {})


def _limits(adapter: str) -> dict[str, Any]:
    """What the contract allows by the second and at once. A lost count of a minute rests for a minute."""
    known = registry.capabilities(adapter)
    return {"per_second": known.per_second, "concurrency": known.concurrency}


def _subscribe(sandbox: str, callback: str) -> None:
    rows.call(
        "POST",
        f"{sandbox}/operators/tmf640/hub",
        {"callback": callback},
        Authorization=f"Bearer {rows.CREDENTIALS['tmf640']['token']}",
    )
