"""F7, F8 and F9: PostgreSQL restarts, crashes, is replaced; takes no writes; breaks transactions off."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial

import psycopg2.extensions
import requests
from django.db import connections

from bench import place
from bench.named_house import House, Owner, page_text
from bench.named_servers import Standby
from bench.named_trial import Findings, Trial, timed, until
from smartcards.models import Command, SmartCard

FAULTS = ("F7", "F8", "F9")
_ACCEPTED = "Запрос принят: включаем"
_RECOVERY_LIMIT = 30.0
_CONFLICTS = """
CREATE SEQUENCE bench_conflicts;
CREATE FUNCTION bench_conflict() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE number bigint := nextval('bench_conflicts');
BEGIN
  IF number % 9 = 1 THEN RAISE EXCEPTION 'injected' USING ERRCODE = '40P01'; END IF;
  IF number % 9 = 5 THEN RAISE EXCEPTION 'injected' USING ERRCODE = '40001'; END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER bench_conflict BEFORE INSERT OR UPDATE ON smartcards_command
  FOR EACH STATEMENT EXECUTE FUNCTION bench_conflict();
"""
_NO_CONFLICTS = """
DROP TRIGGER bench_conflict ON smartcards_command;
DROP FUNCTION bench_conflict();
DROP SEQUENCE bench_conflicts;
"""


# --- F7 -------------------------------------------------------------------------------------------


@dataclass
class Load:
    """People at the pages while the database goes away: clicks until they are accepted, and reading."""

    owner: Owner
    cards: Sequence[SmartCard]
    answers: list[tuple[float, int]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    refused: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """As long as the block; it ends when every card's click has been accepted."""
        clicking = threading.Thread(target=self._click)
        reading = threading.Thread(target=self._read)
        for thread in (clicking, reading):
            thread.start()
        try:
            yield
            clicking.join(timeout=60)
        finally:
            self._stop.set()
            for thread in (clicking, reading):
                thread.join(timeout=20)

    def _click(self) -> None:
        for card in self.cards:
            while not self._stop.is_set() and not self._taken(card):
                time.sleep(0.2)
            time.sleep(0.15)

    def _taken(self, card: SmartCard) -> bool:
        answer = self._noted(partial(self.owner.activate, card))
        # A click whose answer was lost may have been committed: then the person reads «уже принят».
        words = ("Запрос принят: включаем", "Запрос уже принят", "Смарт-карта уже работает")
        return answer is not None and any(word in page_text(answer) for word in words)

    def _read(self) -> None:
        while not self._stop.is_set():
            self._noted(partial(self.owner.browser.get, "/"))
            time.sleep(0.1)

    def _noted(self, ask: Callable[[], requests.Response]) -> requests.Response | None:
        try:
            answer = ask()
        except requests.RequestException as error:
            self.wrong.append(f"no answer: {type(error).__name__}")
            return None
        self.answers.append((time.monotonic(), answer.status_code))
        if answer.status_code == 503:
            self.refused += 1
            if "Retry-After" not in answer.headers or "недоступен" not in answer.text:
                self.wrong.append("a 503 without Retry-After or without words")
        elif answer.status_code != 200:
            self.wrong.append(f"a page answered {answer.status_code}")
        return answer

    def recovered(self, since: float, ends: float) -> float | None:
        """How long after `since` the last refusal before `ends` was; None where pages never came back."""
        after = [(at, status) for at, status in self.answers if since <= at < ends]
        if not any(status == 200 for _, status in after):
            return None
        return max([at - since for at, status in after if status != 200], default=0.0)


@dataclass
class Outages:
    """When PostgreSQL went and came back."""

    times: list[tuple[float, float]] = field(default_factory=list)

    @contextmanager
    def one(self) -> Iterator[None]:
        """It is away as long as the block."""
        went = time.monotonic()
        yield
        self.times.append((went, time.monotonic()))

    def calm(self, end: float) -> list[tuple[float, float]]:
        """From each return to the next outage, the last till `end`."""
        went = [one for one, _ in self.times[1:]]
        return list(zip([back for _, back in self.times], [*went, end], strict=True))


def restarted(house: House) -> Findings:
    """F7: a fast restart and a crash under load, mid-transaction."""
    return _under_load(house, _restart_and_crash, "fast restart, then kill -9")


def replaced(house: House) -> Findings:
    """F7: the first server is lost, its standby is promoted under load."""
    standby = Standby(house.servers)
    standby.follow()

    def lose(house: House, outages: Outages) -> None:
        with outages.one():
            house.servers.stop_postgres(signal.SIGKILL)
            standby.promote()

    return _under_load(house, lose, "standby promoted")


def _restart_and_crash(house: House, outages: Outages) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        with outages.one():
            house.servers.stop_postgres(number)
            time.sleep(1.5)
            house.servers.start_postgres()
        time.sleep(3)


def _under_load(house: House, break_it: Callable[[House, Outages], None], said: str) -> Findings:
    found, owner = Findings(), house.merchant(40)
    cards = owner.cards(30)
    house.trouble(call="submit", kind="slow", seconds=0.3, probability=0.5)
    load, outages = Load(owner, cards), Outages()
    with load.running():
        time.sleep(1.5)
        break_it(house, outages)
        connections.close_all()
        time.sleep(2)
    house.peace()
    found.wrong += sorted(set(load.wrong))
    waits = [load.recovered(since, ends) for since, ends in outages.calm(time.monotonic())]
    found.expect(
        all(wait is not None and wait <= _RECOVERY_LIMIT for wait in waits),
        f"pages recovered after {waits} s",
    )
    took = house.settled(cards, seconds=60)
    found.expect(took is not None, "not settled within 60 s")
    found.wrong += house.books(cards, ["activate"]) + _halves(cards)
    died = house.died()
    found.expect(not died, f"ended by themselves: {', '.join(died)}")
    found.note(
        f"{said}: {load.refused} pages of {len(load.answers)} refused with 503 and Retry-After"
    )
    found.note(f"recovered {max((wait or 0) for wait in waits):.1f} s after the return (limit 30)")
    return found


def _halves(cards: Sequence[SmartCard]) -> list[str]:
    """A wish without a command, or two commands for one wish."""
    wrong = []
    for card in cards:
        commands = Command.objects.filter(card=card).count()
        if (card.wished_on is True) != (commands == 1):
            wrong.append(f"card {card.pk}: wish {card.wished_on}, {commands} commands")
    return wrong


# --- F8 -------------------------------------------------------------------------------------------


def read_only(house: House) -> Findings:
    """F8: reads serve, writes refuse in words, nothing is sent; then all goes on."""
    found, owner = Findings(), house.merchant(10)
    flying, waiting, later = owner.cards(2), owner.cards(2), owner.cards(2)
    house.trouble(call="submit", kind="slow", seconds=1.5, times=2)
    for card in flying:
        owner.activate(card)
    found.expect(
        until(lambda: all(house.truth(card)["calls"]["submit"] for card in flying), seconds=10)
        is not None,
        "nothing left before the fault",
    )
    _writes(house, allowed=False)
    time.sleep(2)
    for path in ("/", "/subscription/", "/orders/", f"/cards/{later[0].pk}/"):
        status = owner.browser.get(path).status_code
        found.expect(status == 200, f"{path} answered {status}")
    for card in waiting:
        answer = owner.activate(card)
        found.expect(answer.status_code == 503, f"a click was answered {answer.status_code}")
        found.expect(
            "недоступен" in answer.text or "нельзя" in answer.text, "a refusal without words"
        )
        found.expect("Retry-After" in answer.headers, "a refusal without Retry-After")
    sent = sum(house.truth(card)["calls"]["submit"] for card in waiting + later)
    found.expect(sent == 0, f"{sent} commands left that could not be written down")
    time.sleep(5)
    _writes(house, allowed=True)
    for card in waiting + later:
        owner.activate(card)
    cards = flying + waiting + later
    found.expect(house.settled(cards, seconds=60) is not None, "not settled within 60 s")
    found.wrong += house.books(cards, ["activate"])
    died = house.died()
    found.expect(not died, f"ended by themselves: {', '.join(died)}")
    found.note(
        "pages read, clicks refused with a sentence and 503; 2 answers that came meanwhile known"
    )
    return found


def _writes(house: House, *, allowed: bool) -> None:
    house.servers.tell_postgres(
        f"ALTER SYSTEM SET default_transaction_read_only = {'off' if allowed else 'on'}",
        "SELECT pg_reload_conf()",
    )
    time.sleep(0.3)
    connections.close_all()


# --- F9 -------------------------------------------------------------------------------------------


def conflicts(house: House) -> Findings:
    """F9: writes of commands are broken off, then real deadlocks."""
    found, owner = Findings(), house.merchant(20)
    cards = owner.cards(8)
    house.servers.tell_postgres(_CONFLICTS, database=place.DATABASE)
    try:
        answers = [owner.activate(card) for card in cards]
        for card, answer in zip(cards, answers, strict=True):
            taken = answer.status_code == 200 and _ACCEPTED in page_text(answer)
            found.expect(taken, f"a click was not tried again: {answer.status_code}")
            if not taken:
                until(lambda one=card: _ACCEPTED in page_text(owner.activate(one)), seconds=5)  # type: ignore[misc]
        time.sleep(4)
    finally:
        house.servers.tell_postgres(_NO_CONFLICTS, database=place.DATABASE)
    found.expect(house.settled(cards, seconds=60) is not None, "not settled within 60 s")
    found.wrong += house.books(cards, ["activate"]) + _halves(cards)
    number = int(_deadlock_of_a_click(house, found, owner)) + int(
        _deadlock_of_a_record(house, found, owner)
    )
    found.note("8 clicks with 2 of 9 writes broken off (40P01, 40001): each accepted, one effect")
    found.note(f"{number} real deadlocks, the product the victim: tried again, one effect")
    return found


def _deadlock_of_a_click(house: House, found: Findings, owner: Owner) -> bool:
    """The click holds the card and wants its merchant's turn; somebody holds the turn and wants the card."""
    (card,) = owner.cards(1)
    turn = "UPDATE smartcards_fairshare SET turn = turn WHERE merchant_id = %s"
    with _holding(house, turn, card.merchant_id) as session:
        answers: list[requests.Response] = []
        clicking = threading.Thread(target=lambda: answers.append(owner.activate(card)))
        clicking.start()
        met = _close_the_ring(house, session, card)
        clicking.join(timeout=20)
    said = page_text(answers[0]) if answers else ""
    found.expect(_ACCEPTED in said, "a click that met a deadlock was not accepted")
    found.expect(
        house.settled([card], seconds=30) is not None, "a click that met a deadlock: not settled"
    )
    found.wrong += house.books([card], ["activate"])
    found.expect(met, "the click did not meet a deadlock")
    return met


def _deadlock_of_a_record(house: House, found: Findings, owner: Owner) -> bool:
    """The record holds the card and wants the command; somebody holds the command and wants the card."""
    (card,) = owner.cards(1)
    house.trouble(call="submit", kind="slow", seconds=1, times=1)
    owner.activate(card)
    left = until(lambda: bool(house.truth(card)["calls"]["submit"]), seconds=10, pause=0.02)
    found.expect(left is not None, "nothing left")
    command = "SELECT 1 FROM smartcards_command WHERE card_id = %s FOR UPDATE"
    with _holding(house, command, card.pk) as one:
        met = _close_the_ring(house, one, card)
    found.expect(
        house.settled([card], seconds=30) is not None, "a record that met a deadlock: not settled"
    )
    found.wrong += house.books([card], ["activate"])
    found.expect(met, "the record did not meet a deadlock")
    return met


@contextmanager
def _holding(
    house: House, statement: str, key: int | None
) -> Iterator[psycopg2.extensions.connection]:
    with closing(house.servers.session(place.DATABASE)) as session:
        cursor = session.cursor()
        # The other side shall be the one that finds the ring out.
        cursor.execute("SET deadlock_timeout = '60s'")
        session.autocommit = False
        cursor.execute(statement, [key])
        yield session
        session.rollback()


def _close_the_ring(house: House, session: psycopg2.extensions.connection, card: SmartCard) -> bool:
    """Wait until somebody waits for us, then want what it holds. Whether a deadlock was counted."""
    before = _deadlocks(house)
    found = until(lambda: _waits_for(house, session.get_backend_pid()), seconds=10, pause=0.02)
    if found is None:
        return False
    took = timed(
        lambda: session.cursor().execute(
            "SELECT 1 FROM smartcards_smartcard WHERE id = %s FOR UPDATE", [card.pk]
        )
    )
    session.rollback()
    return took < 30 and until(lambda: _deadlocks(house) > before, seconds=5) is not None


def _deadlocks(house: House) -> int:
    return _asked(
        house, "SELECT deadlocks FROM pg_stat_database WHERE datname = %s", place.DATABASE
    )


def _waits_for(house: House, pid: int) -> bool:
    question = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    return _asked(house, question, pid) > 0


def _asked(house: House, question: str, value: object) -> int:
    with closing(house.servers.session(place.DATABASE)) as session:
        cursor = session.cursor()
        cursor.execute(question, [value])
        return int((cursor.fetchone() or (0,))[0])


def trials(house: House) -> list[Trial]:
    """What is played with PostgreSQL; the replacement comes last, it cannot be undone."""
    return [
        Trial(
            "F9",
            "deadlocks and serialization failures, injected and real",
            lambda: conflicts(house),
        ),
        Trial(
            "F8", "PostgreSQL read-only for 8 s, 2 commands in the air", lambda: read_only(house)
        ),
        Trial(
            "F7",
            "PostgreSQL restarted, then killed -9, 30 clicks meanwhile",
            lambda: restarted(house),
        ),
        Trial(
            "F7",
            "first server lost, standby promoted, 30 clicks meanwhile",
            lambda: replaced(house),
        ),
    ]
