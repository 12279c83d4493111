"""The steps of a random schedule: what people do, what operators do, and what happens to the servers."""

import random
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

import psycopg2
import requests
from django.conf import settings
from django.db import connections

from bench import rows
from bench.books import Found
from bench.named_house import LINES, page_text
from bench.schedules import OWNER, Cast, Stage
from cabinet import clock
from cabinet.actors import Actor
from cabinet.errors import Refused
from cabinet.states import ActorKind, Role
from operators import quota
from operators.models import OperatorAccount
from operators.windows import MOSCOW
from smartcards import reconcile, services
from smartcards.models import SmartCard
from subscriptions.models import Subscription

COLLEAGUE = Actor(ActorKind.PERSON, "Коллега", role=Role.MANAGER)
FAULTS: tuple[dict[str, object], ...] = (
    {"kind": "drop_before"},
    {"kind": "drop_after"},
    {"kind": "http_500"},
    {"kind": "http_429", "retry_after": 1},
    {"kind": "maintenance", "retry_after": 2},
    {"kind": "maintenance", "retry_after": 1},
    {"kind": "garbage"},
    {"kind": "half_body"},
    {"kind": "drip", "seconds": 0.05},
    {"kind": "wrong_id"},
    {"kind": "slow", "seconds": 0.5},
    {"kind": "expired_token"},
    {"kind": "accept_and_forget"},
)
# Words of a page after a click that may have made a command.
_TAKEN = ("Запрос принят", "Запрос уже принят")
_WORKERS = (*LINES, "operators-too", "worker")


@dataclass
class Schedule:
    """One random schedule on a stage."""

    stage: Stage
    chance: random.Random
    cast: Cast
    # What is to be set right again when the steps are over.
    after: list[Callable[[], object]] = field(default_factory=list)

    def play(self) -> Found:
        """Some clicks and some troubles; then peace, and a look at the books."""
        before, names = self.stage.rejected(), []
        for step in self._steps():
            names.append(step.__name__.strip("_").replace("_", " "))
            step()
        self.stage.played.update(names)
        for undo in self.after:
            undo()
        self.stage.peace()
        self.stage.relay.mischief = False
        self.stage.come_to_rest(self.cast.cards)
        found = self.stage.examine(self.cast.cards)
        over = self.stage.rejected() - before if self.cast.limited else 0
        refused, self.stage.relay.refused = self.stage.relay.refused, []
        if found.good and not over and not refused:
            return found
        more = (f"{over} calls over a limit", f"events refused: {refused}", f"steps: {names}")
        wrong = found.wrong + bool(over) + bool(refused)
        return replace(found, wrong=wrong, details=found.details + more)

    def _steps(self) -> list[Callable[[], None]]:
        usual: dict[Callable[[], None], int] = {
            self._click: 10,
            self._click_at_a_page: 6,
            self._two_people: 3,
            self._trouble: 12,
            self._pay: 4,
            self._wait: 4,
            self._kill: 2,
            self._redis_emptied: 2,
            self._redis_stopped: 1,
            self._redis_frozen: 1,
            self._backends_ended: 2,
            self._second_beat: 1,
            self._no_beat: 1,
            self._events_out_of_order: 3,
            self._maintenance_window: 2,
        }
        steps = self.chance.choices(list(usual), list(usual.values()), k=self.chance.randint(5, 9))
        if self.chance.random() < 0.1:
            steps.insert(self.chance.randrange(len(steps)), self._postgres_restarted)
        return steps

    # --- people -----------------------------------------------------------------------------------

    def _card(self) -> SmartCard:
        return self.chance.choice(self.cast.cards)

    def _note(self, card: SmartCard) -> None:
        self.stage.asked[card.pk] = self.stage.asked.get(card.pk, 0) + 1

    def _click(self) -> None:
        card = self._card()
        if _switched(card, self._switch(), OWNER):
            self._note(card)

    def _switch(self) -> "Switch":
        return self.chance.choice((services.request_activation, services.request_deactivation))

    def _click_at_a_page(self) -> None:
        card = self._card()
        word = self.chance.choice(("activate", "deactivate"))
        owner = self.cast.owners[card.pk]
        try:
            answer = owner.browser.post(f"/cards/{card.pk}/{word}/")
        except requests.RequestException:
            self._note(card)  # nobody knows whether it was taken
            return
        if answer.status_code != 200 or any(word in page_text(answer) for word in _TAKEN):
            self._note(card)

    def _two_people(self) -> None:
        """At one card at the same instant, of one mind or not."""
        card = self._card()
        with ThreadPoolExecutor(2) as both:
            asked = [
                both.submit(_apart, partial(_switched, card, self._switch(), by))
                for by in (OWNER, COLLEAGUE)
            ]
        for one in asked:
            if one.result():
                self._note(card)

    def _pay(self) -> None:
        """The paid time of a merchant ends, or is paid for again: its wished cards may switch once each."""
        merchant_id = self._card().merchant_id or 0
        mine = Subscription.objects.filter(merchant=merchant_id)
        live = mine.filter(entitled_until=None).exists()
        mine.update(entitled_until=clock.now() if live else None)
        cards = SmartCard.objects.filter(pk__in=[card.pk for card in self.cast.cards])
        for card in cards.filter(merchant=merchant_id, wished_on=True):
            self._note(card)
        reconcile.reconcile_merchant(merchant_id=merchant_id, at=clock.now())

    def _wait(self) -> None:
        time.sleep(self.chance.uniform(0, 0.3))

    # --- operators --------------------------------------------------------------------------------

    def _trouble(self) -> None:
        fault = {
            "operator": self._card().account.adapter,
            "call": self.chance.choice(("submit", "submit", "check", "read", "auth")),
            "times": self.chance.randint(1, 2),
            **self.chance.choice(FAULTS),
        }
        rows.call("POST", f"{self.stage.sandbox}/faults", fault)

    def _events_out_of_order(self) -> None:
        """What an operator tells comes twice and in any order."""
        self.stage.relay.chance = random.Random(self.chance.random())
        self.stage.relay.mischief = True

    def _maintenance_window(self) -> None:
        """The operator works on its systems from now on for two minutes by our clock."""
        row = OperatorAccount.objects.filter(pk=self._card().account_id)
        begins = clock.now().astimezone(MOSCOW)
        ends = begins + timedelta(minutes=2)
        row.update(maintenance_windows=[{"from": f"{begins:%H:%M}", "to": f"{ends:%H:%M}"}])
        self.after.append(partial(row.update, maintenance_windows=[]))

    # --- processes and servers --------------------------------------------------------------------

    def _kill(self) -> None:
        self.stage.house.again(self.chance.choice(_WORKERS))

    def _second_beat(self) -> None:
        self.stage.house.start_beat("beat-too")
        self.after.append(partial(self.stage.house.end, "beat-too"))

    def _no_beat(self) -> None:
        self.stage.house.end("beat")
        self.after.append(partial(self.stage.house.again, "beat"))

    def _redis_emptied(self) -> None:
        quota.client(settings.REDIS_URL).flushall()

    def _redis_stopped(self) -> None:
        servers = self.stage.house.servers
        servers.stop_valkey()
        self._click()
        time.sleep(self.chance.uniform(0.1, 0.5))
        servers.start_valkey()

    def _redis_frozen(self) -> None:
        with self.stage.house.servers.frozen_valkey():
            self._click_at_a_page()
            time.sleep(self.chance.uniform(0.1, 0.8))

    def _backends_ended(self) -> None:
        """Every session of the product is ended by the server in the middle of what it does."""
        connections.close_all()
        with suppress(psycopg2.OperationalError):
            self.stage.house.servers.tell_postgres(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    def _postgres_restarted(self) -> None:
        connections.close_all()
        servers = self.stage.house.servers
        servers.stop_postgres(self.chance.choice((signal.SIGINT, signal.SIGKILL)))
        self._click_at_a_page()
        servers.start_postgres()


Switch = Callable[..., object]


def _switched(card: SmartCard, switch: Switch, by: Actor) -> bool:
    """Whether a command was made; somebody else's may be on its way, or there is nothing to do."""
    try:
        return switch(card=card, by=by, at=clock.now()) is not None
    except Refused:
        return False


def _apart(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    finally:
        connections.close_all()


def play(stage: Stage, chance: random.Random) -> Found:
    """One schedule, from its cards to the look at the books."""
    stage.asked.clear()
    return Schedule(stage, chance, stage.cast(chance)).play()


def told(stage: Stage) -> Sequence[str]:
    """What was played how often, for the table."""
    events = f"events handed on {stage.relay.handed_on}"
    return [*(f"{name} {number}" for name, number in stage.played.most_common()), events]
