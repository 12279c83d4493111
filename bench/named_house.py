"""The whole product on the run's own servers: web, workers, beat and played operators, and a visitor."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import requests
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.db import close_old_connections
from django.test import Client

from bench import place, rows
from bench.named_servers import OwnServers
from bench.named_trial import until
from cabinet import clock
from cabinet.launcher.ports import free_port
from cabinet.launcher.processes import tethered
from cabinet.models import Heartbeat, Member, Merchant, User
from cabinet.states import Role
from operators.models import OperatorAccount
from smartcards.models import Command, SmartCard
from smartcards.states import OPEN_COMMANDS, CommandState, Confirmed

QUICK = {
    "timeout_seconds": 3,
    "lease_seconds": 6,
    "quiet_seconds": 2,
    "poll_plan": [1],
    "concurrency": 4,
    "deadline_seconds": 600,
}
_WEB = ("-m", "gunicorn", "bench.named_wsgi", "--workers", "2", "--worker-class", "gthread")
_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
_CELERY = ("-m", "celery", "-A", "cabinet")
# The queues whose workers wait for operators; each has a worker of its name.
LINES = tuple(name for name in settings.CELERY_TASK_QUEUES_NAMES if name != "default")
THREADS = ("--pool", "threads", "--concurrency", "16")
_phones = count(9_100_000_001)
_OPEN = sorted(OPEN_COMMANDS)


@dataclass
class House:
    """The processes, each in a group of its own, and how to look into the books."""

    servers: OwnServers
    sandbox: str
    account: OperatorAccount
    port: int
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    started: dict[str, tuple[Sequence[str], dict[str, str]]] = field(default_factory=dict)

    # --- processes ------------------------------------------------------------------------------

    def start(self, name: str, *arguments: str, **environment: str) -> None:
        """A Python process of ours under that name."""
        self.started[name] = arguments, environment
        with (self.servers.folder / "logs" / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                tethered((sys.executable, *arguments)),
                cwd=place.PROJECT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """`kill -9` for the process and all its children."""
        process = self.running.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)

    def end(self, name: str) -> None:
        """Kill it where it lives."""
        if name in self.running:
            self.kill(name)

    def again(self, name: str) -> None:
        """Kill it where it lives, and start it anew."""
        if name in self.running:
            self.kill(name)
        arguments, environment = self.started[name]
        self.start(name, *arguments, **environment)

    def died(self) -> list[str]:
        """Who ended by itself; they are started again, as the launcher would."""
        names = [name for name, process in self.running.items() if process.poll() is not None]
        for name in names:
            self.again(name)
        return names

    def start_web(self) -> None:
        """Two processes of four threads, as `make run` has them."""
        address = f"127.0.0.1:{self.port}"
        self.start(
            "web", *_WEB, "--threads", "4", "--preload", "--bind", address, "--no-control-socket"
        )

    def start_workers(self) -> None:
        """One for our own work, two whose threads wait for operators, as `make run` has them."""
        self.start_workers_of_our_own()
        for queue in LINES:
            self.start_worker(queue, "--queues", queue, *THREADS)

    def start_workers_of_our_own(self, *, include: str = "bench.named_tasks") -> None:
        """Those that wait for nobody."""
        self.start_worker("worker", "--queues", "default", "--concurrency", "2", include=include)

    def start_worker(
        self, name: str, *arguments: str, include: str = "bench.named_tasks", **environment: str
    ) -> None:
        """One Celery worker that takes in this module too."""
        self.start(
            name, *_CELERY, "worker", "-l", "INFO", "--hostname", f"{name}@%h", *arguments, *_QUIET,
            *("-I", include), **environment,
        )  # fmt: skip

    def start_beat(self, name: str = "beat", *, module: Sequence[str] = _CELERY) -> None:
        """A beat with a schedule file of its own."""
        schedule = ("--schedule", str(self.servers.folder / f"{name}-schedule"), "--pidfile", "")
        self.start(name, *module, "beat", "-l", "INFO", *schedule)

    def wait_until_ready(self, *, seconds: float = 40.0) -> float | None:
        """Until the page answers and a sweep has run since now; after how long, None if not at all."""
        since = clock.real_now()
        return until(lambda: self.alive() and self.swept(since), seconds=seconds, pause=0.2)

    def alive(self) -> bool:
        """Whether the web answers."""
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/health/live", timeout=2).ok
        except requests.RequestException:
            return False

    def swept(self, since: Any) -> bool:
        """Whether the cards' sweep has been done since then."""
        close_old_connections()
        return Heartbeat.objects.filter(name="smartcards.sweep", at__gt=since).exists()

    # --- people and cards -----------------------------------------------------------------------

    def merchant(self, places: int) -> "Owner":
        """A company with so many paid places and its owner, signed in."""
        subscription = rows.merchant(places)
        return Owner(
            self, subscription, self.person(subscription.merchant, Role.OWNER, "Анна Первая")
        )

    def person(self, merchant: Merchant, role: Role, name: str) -> "Visitor":
        """Somebody of the company, signed in."""
        user = User.objects.for_phone(f"7{next(_phones)}")
        User.objects.filter(pk=user.pk).update(name=name)
        Member.objects.create(merchant=merchant, user=user, role=role, created_at=clock.now())
        return Visitor(f"http://127.0.0.1:{self.port}", *_session_of(user))

    def truth(self, card: SmartCard) -> dict[str, Any]:
        """The operator's own book about a card."""
        shown: dict[str, Any] = rows.call(
            "GET", f"{self.sandbox}/state/{card.account.adapter}/{card.iccid}"
        )
        return shown

    def effects(self, card: SmartCard) -> list[str]:
        """What the operator really did to it."""
        return [effect["action"] for effect in self.truth(card)["effects"]]

    def trouble(self, **fault: Any) -> None:
        """Tell the played operator to misbehave."""
        rows.call("POST", f"{self.sandbox}/faults", fault)

    def peace(self) -> None:
        """All well again."""
        rows.call("DELETE", f"{self.sandbox}/faults")

    def open_commands(self, cards: Sequence[SmartCard]) -> int:
        """How many of their commands are not over."""
        close_old_connections()
        return Command.objects.filter(card__in=[card.pk for card in cards], state__in=_OPEN).count()

    def settled(self, cards: Sequence[SmartCard], *, seconds: float) -> float | None:
        """Until no command of theirs is open; after how long, None if not at all."""
        return until(partial(lambda found: self.open_commands(found) == 0, cards), seconds=seconds)

    def books(self, cards: Sequence[SmartCard], effects: Sequence[str]) -> list[str]:
        """What is wrong: each card must have exactly these effects, and we must know its state."""
        wrong = []
        for card in cards:
            card.refresh_from_db()
            shown = self.truth(card)
            done = [effect["action"] for effect in shown["effects"]]
            if done != list(effects):
                wrong.append(f"card {card.pk}: effects {done}")
            known = Confirmed.ACTIVE if shown["state"] == "active" else Confirmed.INACTIVE
            if card.confirmed != known:
                wrong.append(f"card {card.pk}: we say {card.confirmed}, operator {shown['state']}")
        half = Command.objects.filter(
            card__in=[card.pk for card in cards], state__in=_OPEN
        ).values_list("pk", "state")
        return wrong + [f"command {pk}: {state}" for pk, state in half]


@dataclass
class Visitor:
    """A browser of a person who is signed in."""

    address: str
    cookie: str
    token: str

    def get(self, path: str) -> requests.Response:
        """A page."""
        return requests.get(self.address + path, cookies=self._jar(), timeout=60)

    def post(self, path: str, **form: Any) -> requests.Response:
        """A form; the page it leads to is shown."""
        answer = requests.post(
            self.address + path,
            data={"csrfmiddlewaretoken": self.token, **form},
            cookies=self._jar(),
            timeout=60,
            allow_redirects=False,
        )
        return self.get(answer.headers["Location"]) if answer.is_redirect else answer

    def _jar(self) -> dict[str, str]:
        return {settings.SESSION_COOKIE_NAME: self.cookie}


@dataclass
class Owner:
    """A company's owner at the browser."""

    house: House
    subscription: Any
    browser: Visitor

    def cards(self, number: int, account: OperatorAccount | None = None) -> list[SmartCard]:
        """Inactive cards, paid for, that nobody has decided about; the operator knows them."""
        found = rows.undecided(account or self.house.account, self.subscription, number)
        rows.tell_sandbox(self.house.sandbox, found)
        return found

    def activate(self, card: SmartCard) -> requests.Response:
        """«Активировать»."""
        return self.browser.post(f"/cards/{card.pk}/activate/")


def _session_of(user: User) -> tuple[str, str]:
    client = Client()
    client.force_login(user)
    session = SessionStore(client.cookies[settings.SESSION_COOKIE_NAME].value)
    token = "kassovye" * 4
    session["_csrftoken"] = token
    session.save()
    return str(session.session_key), token


@contextmanager
def house(servers: OwnServers) -> Iterator[House]:
    """Everything started and ready; gone with the block."""
    call_command("collectstatic", verbosity=0, interactive=False)
    (servers.folder / "logs").mkdir(exist_ok=True)
    with place.played_operators() as sandbox:
        limits = {"per_second": None, "per_minute": None, "concurrency": None, "delay_seconds": 0.2}
        for adapter in ("mts", "tmf640", "beeline", "control_center"):
            rows.put(f"{sandbox}/limits/{adapter}", limits)
        found = House(servers, sandbox, rows.account("tmf640", sandbox, **QUICK), free_port())
        try:
            found.start_web()
            found.start_workers()
            found.start_beat()
            if found.wait_until_ready() is None:
                raise RuntimeError(f"the house did not start: see {servers.folder / 'logs'}")
            yield found
        finally:
            for name in list(found.running):
                found.kill(name)
            clock.reset()


def every_done(cards: Sequence[SmartCard]) -> bool:
    """Whether every command of these cards is done."""
    found = Command.objects.filter(card__in=[card.pk for card in cards])
    return set(found.values_list("state", flat=True)) == {CommandState.DONE}


def page_text(answer: requests.Response) -> str:
    """The words of a page, without the marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text)).strip()
