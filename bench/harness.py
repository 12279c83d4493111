"""The whole product on servers of its own: start it, act, wait for a condition, check the ledger."""

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from io import StringIO
from typing import Any

import requests
from django.db import close_old_connections, connections
from django.db.models import Q
from kombu.exceptions import OperationalError

from bench import fault_points, ledger_check, people, rows
from bench.ledger_check import Ledger
from bench.people import Person
from bench.proxies import CallbackProxy, callback_proxy
from bench.servers import OwnServers, Watched
from bench.timing import until
from cabinet import clock
from cabinet.celery import app
from cabinet.enums import Role
from cabinet.launcher.ports import free_port
from cabinet.launcher.run import Product
from cabinet.models import Heartbeat
from cabinet.tests.journeys.running_product import RunningProduct
from operators import registry
from operators.demo.contracts import CONTRACTS
from operators.models import OperatorAccount
from smartcards import queries, services
from smartcards.models import Command, SmartCard
from smartcards.reconciliation import out_of_step, reconcile
from smartcards.states import OPEN_COMMANDS, CommandState, OperatorState
from smartcards.tests.cards import OWNER, STAFF, make_member
from subscriptions.models import Subscription

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
# What the operators themselves take, and the same without limits.
_OWN_LIMITS: dict[str, dict[str, int]] = {
    "mts": {"per_second": 3},
    "tmf640": {"per_second": 10},
    "beeline": {"per_second": 5},
    "control_center": {"per_second": 5, "concurrency": 1},
}
_NO_LIMITS = {"per_second": None, "per_minute": None, "concurrency": None, "delay_seconds": 0.2}
_WINDOW = 1.2  # seconds until calls made without limits are forgotten
_PATIENCE = 60.0  # real seconds in which cards come to rest
_SWEEP_EVERY = 0.5
# The workers that call operators; each has the name of its queue.
OPERATOR_WORKERS = ("operators",)
_OPEN = sorted(OPEN_COMMANDS)


@dataclass
class Harness:
    """The product, the sandbox with an account at each operator, and how to look at what became of a card.

    `partner` is the one that owners' cards are with. `accounts` work without limits, `limited` with the
    operators' own; only one kind is enabled at a time.
    `asked` counts how often people and payments wanted a switch, by card. `mass`: how many cards F23 has.
    """

    servers: OwnServers
    product: RunningProduct
    proxy: CallbackProxy
    partner: OperatorAccount = field(init=False)
    accounts: list[OperatorAccount] = field(default_factory=list)
    limited: list[OperatorAccount] = field(default_factory=list)
    asked: dict[int, int] = field(default_factory=dict)
    mass: int = 500
    _swept_at: float = 0.0

    @property
    def processes(self) -> Watched:
        """Processes of the product and of the servers, by name."""
        return self.servers.watched

    def wait_until_ready(self) -> None:
        """Until the page answers and a sweep has run since now. Raises AssertionError."""
        since = clock.real_now()
        trouble = f"the product does not work: see {self.servers.folder / 'logs'}"
        until(lambda: self.is_alive() and self.is_swept(since), trouble, seconds=40, pause=0.2)

    def is_alive(self) -> bool:
        """Whether the web answers."""
        try:
            return requests.get(f"{self.product.web}/health/live", timeout=2).ok
        except requests.RequestException:
            return False

    def is_swept(self, since: datetime) -> bool:
        """Whether the cards' sweep has been done since then."""
        close_old_connections()
        return Heartbeat.objects.filter(name="smartcards.sweep", at__gt=since).exists()

    def make_accounts(self) -> None:
        """An account at each operator, and the partner's events sent to all of ours by way of the proxy."""
        self.partner = self.account(timeout_seconds=3, lease_seconds=6, concurrency=4)
        for adapter in _OWN_LIMITS:
            known, secret = (
                registry.capabilities(adapter),
                CONTRACTS[adapter].get("callback_secret", ""),
            )
            self.accounts.append(self.account(adapter, callback_secret=secret))
            limits = {"per_second": known.per_second, "concurrency": known.concurrency}
            self.limited.append(self.account(adapter, callback_secret=secret, **limits))
        signing = [one for one in (*self.accounts, *self.limited) if one.callback_secret]
        self.proxy.targets = tuple(
            f"{self.product.web}/operators/{one.code}/callback" for one in signing
        )
        self.product.ask("PUT", "/callbacks/tmf640", {"url": self.proxy.url})
        self.limit(False)

    def limit(self, limited: bool) -> None:
        """The operators' own limits, or none; only the accounts that know them are enabled."""
        enable(self.accounts, on=not limited)
        enable(self.limited, on=limited)
        if limited:
            time.sleep(_WINDOW)
        for adapter, limits in _OWN_LIMITS.items():
            self.set_limits(adapter, **_NO_LIMITS | (limits if limited else {}))

    def die_once(self, name: str, point: str) -> Callable[[], bool]:
        """The next process that comes to this fault point dies; gives whether the process `name` has."""
        (self.servers.folder / fault_points.FILE).write_text(point, encoding="utf-8")
        process = self.processes.processes[name]
        return lambda: process.poll() is not None

    # --- people, cards and operators --------------------------------------------------------------

    def account(self, adapter: str = "tmf640", **fields: Any) -> OperatorAccount:
        """A new quick contract with an operator of the sandbox."""
        return rows.account(adapter, self.product.sandbox, **QUICK | fields)

    def owner(self, slots: int) -> Person:
        """The owner of a new company with so many paid cards."""
        return self.person(rows.merchant(slots), Role.OWNER, "Анна Первая")

    def person(self, subscription: Subscription, role: Role, name: str) -> Person:
        """Somebody of the subscription's company, signed in."""
        member = make_member(subscription.merchant, role, name)
        return people.sign_in(self.product.web, subscription, member.user)

    def cards(
        self, owner: Person, number: int, account: OperatorAccount | None = None
    ) -> list[SmartCard]:
        """Inactive paid cards that nobody has decided about, at the quick partner where no account is given."""
        partner = account or self.partner
        return rows.undecided(self.product.sandbox, partner, owner.subscription, number)

    def undecided(self, accounts: Sequence[OperatorAccount], number: int = 1) -> list[SmartCard]:
        """Cards of these accounts, off and paid for, that nobody has decided about; a merchant for each."""
        merchants = [(account, rows.merchant(number)) for account in accounts]
        each = (rows.undecided(self.product.sandbox, *merchant, number) for merchant in merchants)
        return [card for cards in each for card in cards]

    def activate(self, cards: Sequence[SmartCard]) -> None:
        """A person wants each of them on, once."""
        for card in cards:
            services.request_activation(card=card, by=OWNER, at=clock.now())
        self.asked = {card.pk: 1 for card in cards}

    def fault(self, **fault: Any) -> None:
        """The operators, or one of them, misbehave; see `POST /faults` of the sandbox."""
        self.product.ask("POST", "/faults", fault)

    def end_faults(self) -> None:
        """The operators are well again."""
        self.product.ask("DELETE", "/faults")

    def set_limits(self, adapter: str, **limits: Any) -> None:
        """See `PUT /limits` of the sandbox."""
        self.product.ask("PUT", f"/limits/{adapter}", limits)

    def rejected_by_quota(self) -> int:
        """How many calls the operators have refused because they were over a limit."""
        shown = [self.product.ask("GET", f"/state/{adapter}") for adapter in _OWN_LIMITS]
        return sum(int(one["rejected_by_quota"]) for one in shown)

    def act_in_market(self, action: str, user_id: str, **terms: object) -> None:
        """A merchant does something in the sandbox's market; its hooks are repeated until they are taken."""
        self.product.ask("POST", f"/market/{action}", {"userId": user_id, **terms})

    def bought(self, user_id: str, **terms: object) -> Subscription:
        """What a new merchant has bought in the sandbox's market, one card where `terms` do not say otherwise.

        Needs the demo's tariffs. Raises AssertionError where the purchase does not arrive.
        """
        self.act_in_market("install", user_id, **{"deviceNumber": 1, **terms})
        bought = Subscription.objects.filter(merchant__evotor_user_id=user_id)
        paid = bought.exclude(paid_until=None)
        until(partial(fresh, paid.exists), "the purchase did not arrive", seconds=60)
        return paid.get()

    # --- what became of it ------------------------------------------------------------------------

    def truth(self, card: SmartCard) -> dict[str, Any]:
        """The operator's own record of a card."""
        return ledger_check.truth(self.product.ask, card)

    def calls(self, cards: Sequence[SmartCard], kind: str = "submit") -> list[int]:
        """How many requests of a kind the operator received about each card."""
        return [self.truth(card)["calls"][kind] for card in cards]

    def commands(self, cards: Sequence[SmartCard]) -> "queries.Commands":
        """All commands of these cards."""
        close_old_connections()
        return Command.objects.filter(card__in=[card.pk for card in cards])

    def settle(self, cards: Sequence[SmartCard], *, seconds: float) -> float:
        """Until no command of theirs is open; gives the seconds. Raises AssertionError."""
        still_open = partial(self._are_open, cards)
        return until(lambda: not still_open(), "commands are still open", seconds=seconds)

    def _are_open(self, cards: Sequence[SmartCard]) -> bool:
        return self.commands(cards).filter(state__in=_OPEN).exists()

    def finish(
        self,
        cards: Sequence[SmartCard],
        *effects: str,
        requests: Collection[int] | None = None,
        seconds: float = 60,
    ) -> float:
        """Each card comes to rest with exactly these effects and we know its state; no process has died.

        `requests`: how many requests the operator may have received about a card. Gives the seconds that
        it took. Raises AssertionError.
        """
        took = self.settle(cards, seconds=seconds)
        for card in cards:
            self.check_effects(card, effects)
        if requests is not None:
            calls = self.calls(cards)
            assert set(calls) <= set(requests), f"requests about each card: {calls}"
        died = self.processes.died()
        assert not died, f"ended by themselves: {', '.join(died)}"
        return took

    def check_effects(self, card: SmartCard, effects: Sequence[str]) -> None:
        """The operator did exactly this, and we know the card's state. Raises AssertionError."""
        card.refresh_from_db()
        shown = self.truth(card)
        done = [effect["action"] for effect in shown["effects"]]
        assert done == list(effects), f"card {card.pk}: effects {done}"
        known = OperatorState.ACTIVE if shown["state"] == "active" else OperatorState.INACTIVE
        ours = f"card {card.pk}: we say {card.confirmed}, the operator {shown['state']}"
        assert card.confirmed == known, ours

    def check_ledger(self, cards: list[SmartCard], *, requests: int | None = None) -> None:
        """The operators are well again: each card comes to its target state, nothing lost, doubled or wrong.

        `requests`: the most that the operator may have received about a card. Raises AssertionError.
        """
        self.end_faults()
        self.come_to_rest(cards)
        ledger = self.ledger(cards)
        assert ledger.is_good, str(ledger)
        calls = self.calls(cards)
        assert requests is None or max(calls) <= requests, f"requests about each card: {calls}"

    def ledger(self, cards: Sequence[SmartCard]) -> Ledger:
        """Desired states, our knowledge, our attempts and the operator's record, compared."""
        return ledger_check.examine(self.product.ask, cards, self.asked)

    # --- time in leaps ----------------------------------------------------------------------------

    def come_to_rest(self, cards: list[SmartCard]) -> None:
        """Let time pass in leaps while nothing is on its way, until every card is as it should be."""
        ends_at = time.monotonic() + _PATIENCE
        while not self._is_at_rest(cards) and time.monotonic() < ends_at:
            self._decide_as_staff(cards)
            if not self._is_on_its_way(cards):
                clock.advance(61)
                reconcile.reconcile_all(at=clock.now())
                self._swept_at = 0
            self._sweep()
            time.sleep(0.1)
        connections.close_all()

    def _sweep(self) -> None:
        """Where time goes in leaps the beat would be late: its message, at once."""
        if time.monotonic() - self._swept_at < _SWEEP_EVERY:
            return
        self._swept_at = time.monotonic()
        with suppress(OperationalError, OSError):  # Redis is on its way back; there is a beat too
            app.send_task("smartcards.sweep", ignore_result=True, retry=False, expires=3)

    def _is_on_its_way(self, cards: list[SmartCard]) -> bool:
        """Sent, or due now: then real time must pass. Redis counts the quota by a clock of its own."""
        at = clock.now()
        # Behind an open circuit nothing moves before the next probe, and that goes by our clock.
        mine = self.commands(cards).exclude(account__probe_at__gt=at)
        return mine.filter(
            Q(state=CommandState.SENDING)
            | Q(state=CommandState.QUEUED, due_at__lte=at)
            | Q(state__in=[CommandState.ACCEPTED, CommandState.CHECKING], check_at__lte=at)
        ).exists()

    def _is_at_rest(self, cards: list[SmartCard]) -> bool:
        if self._are_open(cards):
            return False
        return not out_of_step.merchants_out_of_step(clock.now()) & {
            card.merchant_id for card in cards
        }

    def _decide_as_staff(self, cards: list[SmartCard]) -> None:
        """Where nobody can read the outcome staff look into the operator's own cabinet."""
        for command in self.commands(cards).filter(state=CommandState.NEEDS_STAFF):
            wanted = "active" if command.kind == "activate" else "inactive"
            done = self.truth(command.card)["state"] == wanted
            services.settle_by_staff(
                command=command, done=done, reason="кабинет оператора", by=STAFF, at=clock.now()
            )


def fresh(question: Callable[[], bool]) -> bool:
    """The answer by a connection that lives."""
    close_old_connections()
    return question()


def enable(accounts: Sequence[OperatorAccount], *, on: bool) -> None:
    """Let the workers work these accounts, or not."""
    OperatorAccount.objects.filter(pk__in=[one.pk for one in accounts]).update(enabled=on)


@contextmanager
def harness(servers: OwnServers) -> Iterator[Harness]:
    """Everything started as by `make run`, and ready; its processes end with the servers.

    Raises LauncherError or AssertionError where it does not start.
    """
    product = RunningProduct(free_port(), free_port(), servers.folder)
    ports = {"PORT": str(product.port), "SANDBOX_PORT": str(product.sandbox_port)}
    with callback_proxy() as proxy:
        with redirect_stdout(StringIO()):
            Product(servers.watched, servers.folder, os.environ | ports).start()
        running = Harness(servers, product, proxy)
        try:
            running.wait_until_ready()
            running.make_accounts()
            yield running
        finally:
            clock.reset()
