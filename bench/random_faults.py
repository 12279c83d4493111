"""A random schedule: what people do, what operators do, and what happens to processes and servers.

At the end every card must be at the operator as it was last desired, we must know it, nothing may be
left open, and nothing may have been done or asked for twice (see `bench.ledger_check`).
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg2
import requests
from django.conf import settings
from django.db import connections

from bench.harness import OPERATOR_WORKERS, Harness
from bench.ledger_check import Ledger
from bench.people import Person, was_accepted
from cabinet import clock
from cabinet.actors import Actor
from cabinet.enums import ActorKind, Role
from cabinet.errors import Refused
from operators.limits import quota
from operators.limits.maintenance import MOSCOW
from operators.models import OperatorAccount
from smartcards import services
from smartcards.models import SmartCard
from smartcards.reconciliation import reconcile
from smartcards.tests.cards import OWNER
from subscriptions.models import Subscription

COLLEAGUE = Actor(ActorKind.PERSON, "Коллега", role=Role.MANAGER)
FAULTS: tuple[dict[str, object], ...] = (
    {"kind": "drop_before"},
    {"kind": "drop_after"},
    {"kind": "http_500"},
    {"kind": "http_429", "retry_after": 1},
    {"kind": "maintenance", "retry_after": 2},
    {"kind": "garbage"},
    {"kind": "half_body"},
    {"kind": "drip", "seconds": 0.05},
    {"kind": "wrong_id"},
    {"kind": "slow", "seconds": 0.5},
    {"kind": "expired_token"},
    {"kind": "accept_and_forget"},
)
# What a page says after a click that may have made a command.
_TAKEN = ("Запрос принят", "Запрос уже принят")
_SECOND_WORKER = "operators-too"

Switch = Callable[..., object]


@dataclass
class Schedule:
    """One random schedule: two operators, a merchant at each with its owner at a browser, a few cards."""

    harness: Harness
    chance: random.Random
    is_limited: bool
    owners: dict[int, Person] = field(default_factory=dict)
    cards: list[SmartCard] = field(default_factory=list)
    # What is to be set right again when the steps are over.
    after: list[Callable[[], object]] = field(default_factory=list)

    def prepare(self) -> None:
        """Cards that nobody has decided about, with the operators' own limits or without."""
        harness = self.harness
        harness.asked.clear()
        harness.limit(self.is_limited)
        accounts = harness.limited if self.is_limited else harness.accounts
        for account in self.chance.sample(accounts, 2):
            owner = harness.owner(5)
            mine = harness.cards(owner, self.chance.randint(1, 3), account)
            self.owners |= dict.fromkeys([card.pk for card in mine], owner)
            self.cards += mine

    def play(self, played: Counter[str]) -> Ledger:
        """Some clicks and some faults; then all is well again, and the ledger is checked."""
        harness, names = self.harness, []
        before = harness.rejected_by_quota()
        for step in self._steps():
            names.append(step.__name__.strip("_").replace("_", " "))
            step()
        played.update(names)
        for undo in self.after:
            undo()
        harness.end_faults()
        harness.proxy.shuffles = False
        harness.come_to_rest(self.cards)
        ledger = harness.ledger(self.cards)
        over = harness.rejected_by_quota() - before if self.is_limited else 0
        refused, harness.proxy.refused = harness.proxy.refused, []
        if ledger.is_good and not over and not refused:
            return ledger
        more = (f"{over} calls over a limit", f"events refused: {refused}", f"steps: {names}")
        wrong = ledger.wrong + bool(over) + bool(refused)
        return replace(ledger, wrong=wrong, details=ledger.details + more)

    def _steps(self) -> list[Callable[[], None]]:
        usual: dict[Callable[[], None], int] = {
            self._click: 10,
            self._click_at_a_page: 6,
            self._two_people: 3,
            self._fault: 12,
            self._pay: 4,
            self._wait: 4,
            self._kill: 2,
            self._redis_emptied: 2,
            self._redis_stopped: 1,
            self._redis_frozen: 1,
            self._backends_ended: 2,
            self._second_beat: 1,
            self._beat_away: 1,
            self._events_out_of_order: 3,
            self._maintenance_window: 2,
        }
        steps = self.chance.choices(list(usual), list(usual.values()), k=self.chance.randint(5, 9))
        if self.chance.random() < 0.1:
            steps.insert(self.chance.randrange(len(steps)), self._postgres_restarted)
        return steps

    # --- people -----------------------------------------------------------------------------------

    def _card(self) -> SmartCard:
        return self.chance.choice(self.cards)

    def _note(self, card: SmartCard) -> None:
        self.harness.asked[card.pk] = self.harness.asked.get(card.pk, 0) + 1

    def _switch(self) -> Switch:
        return self.chance.choice((services.request_activation, services.request_deactivation))

    def _click(self) -> None:
        card = self._card()
        if _switched(card, self._switch(), OWNER):
            self._note(card)

    def _click_at_a_page(self) -> None:
        card = self._card()
        owner = self.owners[card.pk]
        click = self.chance.choice((owner.activate, owner.deactivate))
        try:
            answer = click(card)
        except requests.RequestException:
            self._note(card)  # nobody knows whether it was taken
            return
        if answer.status_code != 200 or was_accepted(answer, _TAKEN):
            self._note(card)

    def _two_people(self) -> None:
        """At one card at the same instant, of one mind or not."""
        card = self._card()
        with ThreadPoolExecutor(2) as both:
            asked = [
                both.submit(_switched, card, self._switch(), by, closes=True)
                for by in (OWNER, COLLEAGUE)
            ]
        for one in asked:
            if one.result():
                self._note(card)

    def _pay(self) -> None:
        """The paid time of a merchant ends, or is paid for again: its desired cards may switch once each."""
        merchant_id = self._card().merchant_id or 0
        mine = Subscription.objects.filter(merchant=merchant_id)
        live = mine.filter(entitled_until=None).exists()
        mine.update(entitled_until=clock.now() if live else None)
        cards = SmartCard.objects.filter(pk__in=[card.pk for card in self.cards])
        for card in cards.filter(merchant=merchant_id, desired_on=True):
            self._note(card)
        reconcile.reconcile_merchant(merchant_id=merchant_id, at=clock.now())

    def _wait(self) -> None:
        time.sleep(self.chance.uniform(0, 0.3))

    # --- operators --------------------------------------------------------------------------------

    def _fault(self) -> None:
        fault: dict[str, Any] = {
            "operator": self._card().account.adapter,
            "call": self.chance.choice(("submit", "submit", "check", "read", "auth")),
            "times": self.chance.randint(1, 2),
            **self.chance.choice(FAULTS),
        }
        self.harness.fault(**fault)

    def _events_out_of_order(self) -> None:
        """What an operator sends comes twice and in any order."""
        self.harness.proxy.chance = random.Random(self.chance.random())
        self.harness.proxy.shuffles = True

    def _maintenance_window(self) -> None:
        """The operator works on its systems from now on for two minutes by our clock."""
        row = OperatorAccount.objects.filter(pk=self._card().account_id)
        begins = clock.now().astimezone(MOSCOW)
        ends = begins + timedelta(minutes=2)
        row.update(maintenance_windows=[{"from": f"{begins:%H:%M}", "to": f"{ends:%H:%M}"}])
        self.after.append(partial(row.update, maintenance_windows=[]))

    # --- processes and servers --------------------------------------------------------------------

    def _kill(self) -> None:
        names = (*OPERATOR_WORKERS, _SECOND_WORKER, "worker")
        self.harness.processes.restart(self.chance.choice(names))

    def _second_beat(self) -> None:
        self.harness.processes.copy("beat", "beat-too")
        self.after.append(partial(self.harness.processes.kill, "beat-too"))

    def _beat_away(self) -> None:
        self.harness.processes.kill("beat")
        self.after.append(partial(self.harness.processes.restart, "beat"))

    def _redis_emptied(self) -> None:
        quota.client(settings.REDIS_URL).flushall()

    def _redis_stopped(self) -> None:
        servers = self.harness.servers
        servers.stop_valkey()
        self._click()
        time.sleep(self.chance.uniform(0.1, 0.5))
        servers.start_valkey()

    def _redis_frozen(self) -> None:
        with self.harness.servers.frozen_valkey():
            self._click_at_a_page()
            time.sleep(self.chance.uniform(0.1, 0.8))

    def _backends_ended(self) -> None:
        """Every session of the product is ended by the server in the middle of what it does."""
        connections.close_all()
        with suppress(psycopg2.OperationalError):
            self.harness.servers.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    def _postgres_restarted(self) -> None:
        connections.close_all()
        servers = self.harness.servers
        servers.stop_postgres(self.chance.choice((signal.SIGINT, signal.SIGKILL)))
        self._click_at_a_page()
        servers.start_postgres()


def _switched(card: SmartCard, switch: Switch, by: Actor, *, closes: bool = False) -> bool:
    """Whether a command was made; somebody else's may be on its way, or there is nothing to do.

    `closes` this thread's connection afterwards.
    """
    try:
        return switch(card=card, by=by, at=clock.now()) is not None
    except Refused:
        return False
    finally:
        if closes:
            connections.close_all()


def play_all(harness: Harness, *, seed: int, number: int, seconds: float) -> list[Ledger]:
    """So many schedules, or fewer where the time is up; prints those that are not good, and what was played."""
    harness.processes.copy("operators", _SECOND_WORKER)
    ends_at, done, played = time.monotonic() + seconds, list[Ledger](), Counter[str]()
    while len(done) < number and time.monotonic() < ends_at:
        chance = random.Random(f"{seed}:{len(done)}")
        schedule = Schedule(harness, chance, is_limited=chance.random() < 0.2)
        schedule.prepare()
        done.append(schedule.play(played))
        if not done[-1].is_good:
            print(f"schedule {len(done) - 1}: {done[-1]}", flush=True)
    harness.processes.kill(_SECOND_WORKER)
    harness.limit(False)
    steps = [f"{name} {times}" for name, times in played.most_common()]
    print(f"played: {', '.join(steps)}, events handed on {harness.proxy.handed_on}", flush=True)
    return done
