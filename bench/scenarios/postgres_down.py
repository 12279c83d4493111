"""F7, F8 and F9: PostgreSQL restarts, crashes, is replaced; takes no writes; breaks transactions off."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial

import psycopg2.extensions
import requests
from django.db import connections

from bench.faults import scenario
from bench.harness import Harness
from bench.people import ACCEPTED_BEFORE, PageLoad, Person, is_refusal, was_accepted
from bench.servers import Standby
from bench.timing import timed, until
from smartcards.models import SmartCard

_RECOVERY_LIMIT = 30.0

# --- F9 -------------------------------------------------------------------------------------------


@scenario("F9", "deadlocks and serialization failures, injected and real")
def conflicts(harness: Harness) -> str:
    """Writes of commands are broken off, then real deadlocks with the product as the victim."""
    owner = harness.owner(20)
    cards = harness.cards(owner, 8)
    for sqlstate, some in (("40P01", cards[:4]), ("40001", cards[4:])):
        every_third = "nextval('bench_writes') % 3 = 1"
        events = "AFTER INSERT OR UPDATE"
        with harness.servers.refusing_writes(events, every_third, sqlstate):
            for card in some:
                answer = owner.activate(card)
                assert was_accepted(answer), f"a click was not tried again: {answer.status_code}"
            time.sleep(2)
    harness.finish(cards, "activate")
    _check_one_command_each(harness, cards)
    _deadlock_of_a_click(harness, owner)
    _deadlock_of_a_record(harness, owner)
    return (
        "8 clicks with a third of the writes broken off (40P01, 40001): each accepted, one effect;"
        " 2 real deadlocks, the product the victim: tried again, one effect"
    )


def _deadlock_of_a_click(harness: Harness, owner: Person) -> None:
    """The click holds the card and wants its merchant's turn; we hold the turn and want the card."""
    (card,) = harness.cards(owner, 1)
    turn = "UPDATE smartcards_fairshare SET turn = turn WHERE merchant_id = %s"
    with ThreadPoolExecutor(1) as thread, _holding(harness, turn, card.merchant_id) as session:
        click = thread.submit(owner.activate, card)
        _close_the_circle(harness, session, card)
    assert was_accepted(click.result()), "a click that met a deadlock was not accepted"
    harness.finish([card], "activate", seconds=30)


def _deadlock_of_a_record(harness: Harness, owner: Person) -> None:
    """The record holds the card and wants the command; we hold the command and want the card."""
    (card,) = harness.cards(owner, 1)
    harness.fault(call="submit", kind="slow", seconds=2, times=1)
    owner.activate(card)
    until(lambda: harness.calls([card]) != [0], "nothing left", seconds=10, pause=0.02)
    command = "SELECT 1 FROM smartcards_command WHERE card_id = %s FOR UPDATE"
    with _holding(harness, command, card.pk) as session:
        _close_the_circle(harness, session, card)
    harness.finish([card], "activate", seconds=30)


@contextmanager
def _holding(
    harness: Harness, statement: str, key: int | None
) -> Iterator[psycopg2.extensions.connection]:
    """A session that holds what the statement locks."""
    with closing(harness.servers.session()) as session:
        cursor = session.cursor()
        # The other side shall be the one that finds the deadlock.
        cursor.execute("SET deadlock_timeout = '60s'")
        session.autocommit = False
        cursor.execute(statement, [key])
        yield session
        session.rollback()


def _close_the_circle(
    harness: Harness, session: psycopg2.extensions.connection, card: SmartCard
) -> None:
    """Wait until somebody waits for us, then want what it holds. Raises AssertionError without a deadlock."""
    ask = harness.servers.value
    counter = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    deadlocks = partial(ask, counter)
    before, pid = deadlocks(), session.get_backend_pid()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    until(lambda: ask(waiting, pid), "nobody waits for our lock", seconds=10, pause=0.02)
    lock = "SELECT 1 FROM smartcards_smartcard WHERE id = %s FOR UPDATE"
    took = timed(lambda: session.cursor().execute(lock, [card.pk]))
    session.rollback()
    assert took < 30, "the product did not give way"
    until(lambda: deadlocks() > before, "the product did not meet a deadlock", seconds=5)


def _check_one_command_each(harness: Harness, cards: Sequence[SmartCard]) -> None:
    """Neither a decision without a command, nor two commands for one decision."""
    for card in cards:
        commands = harness.commands([card]).count()
        is_whole = (card.desired_on is True) == (commands == 1)
        assert is_whole, f"card {card.pk}: wanted {card.desired_on}, {commands} commands"


# --- F8 -------------------------------------------------------------------------------------------


@scenario("F8", "PostgreSQL read-only for 8 s, 2 commands in the air")
def read_only(harness: Harness) -> str:
    """Reads serve, writes refuse with a sentence, nothing is sent; then all goes on."""
    owner = harness.owner(10)
    flying, waiting, later = (harness.cards(owner, 2) for _ in range(3))
    harness.fault(call="submit", kind="slow", seconds=1.5, times=2)
    for card in flying:
        owner.activate(card)
    until(lambda: all(harness.calls(flying)), "nothing left before the fault", seconds=10)
    _allow_writes(harness, "on")
    time.sleep(2)
    for path in ("/", "/subscription/", "/orders/", f"/cards/{later[0].pk}/"):
        status = owner.get(path).status_code
        assert status == 200, f"{path} answered {status}"
    assert all(is_refusal(owner.activate(card)) for card in waiting), "a click was not refused"
    sent = sum(harness.calls(waiting + later))
    assert sent == 0, f"{sent} commands left that could not be written down"
    time.sleep(5)
    _allow_writes(harness, "off")
    for card in waiting + later:
        owner.activate(card)
    harness.finish(flying + waiting + later, "activate")
    return "pages read, clicks refused with 503 and a sentence; 2 answers that came meanwhile known"


def _allow_writes(harness: Harness, read_only: str) -> None:
    harness.servers.execute(
        f"ALTER SYSTEM SET default_transaction_read_only = {read_only}", "SELECT pg_reload_conf()"
    )
    time.sleep(0.3)
    connections.close_all()


# --- F7 -------------------------------------------------------------------------------------------


@scenario("F7", "PostgreSQL restarted, then killed -9, 30 clicks meanwhile")
def restarted(harness: Harness) -> str:
    """A fast restart and a crash under load, mid-transaction."""

    def restart(number: int) -> None:
        harness.servers.stop_postgres(number)
        time.sleep(1.5)
        harness.servers.start_postgres()

    outages = [partial(restart, number) for number in (signal.SIGINT, signal.SIGKILL)]
    return _under_load(harness, *outages)


@scenario("F7", "first server lost, standby promoted, 30 clicks meanwhile")
def replaced(harness: Harness) -> str:
    """The first server is lost, its standby is promoted under load; it cannot be undone."""
    standby = Standby(harness.servers)
    standby.follow()

    def lose() -> None:
        harness.servers.stop_postgres(signal.SIGKILL)
        standby.promote()

    return _under_load(harness, lose)


def _under_load(harness: Harness, *outages: Callable[[], None]) -> str:
    """Somebody reads and somebody clicks until 30 cards' clicks are taken, while the outages come."""
    owner = harness.owner(40)
    cards = harness.cards(owner, 30)
    harness.fault(call="submit", kind="slow", seconds=0.3, probability=0.5)
    waits = []
    with ThreadPoolExecutor(1) as thread, owner.reading("/") as loads:
        clicking = thread.submit(_click_until_taken, owner, cards)
        time.sleep(1.5)
        for outage in outages:
            outage()
            back = time.monotonic()
            calm = partial(_is_calm, loads, back)
            until(calm, "the pages do not recover", seconds=_RECOVERY_LIMIT)
            waits.append(max([one.at - back for one in loads if one.refused], default=0))
        connections.close_all()
        clicking.result(timeout=60)
    harness.end_faults()
    wrong = {one.wrong for one in loads if one.wrong}
    assert not wrong, f"pages: {wrong}"
    harness.finish(cards, "activate")
    _check_one_command_each(harness, cards)
    refused = sum(one.refused for one in loads)
    return (
        f"{refused} pages of {len(loads)} refused with 503 and Retry-After; recovered"
        f" {max(0.0, *waits):.1f} s after the return (limit {_RECOVERY_LIMIT:.0f})"
    )


def _is_calm(loads: Sequence[PageLoad], since: float) -> bool:
    """Whether pages have come for the last three seconds, all of them after that moment."""
    recent = [one for one in loads if one.at >= max(since, time.monotonic() - 3)]
    return time.monotonic() > since + 3 and bool(recent) and not any(one.refused for one in recent)


def _click_until_taken(owner: Person, cards: Sequence[SmartCard]) -> None:
    """One card after the other, each again and again. Raises AssertionError with a wrong answer."""
    for card in cards:
        until(partial(_is_taken, owner, card), "a click is never taken", seconds=60, pause=0.2)
        time.sleep(0.15)


def _is_taken(owner: Person, card: SmartCard) -> bool:
    try:
        answer = owner.activate(card)
    except requests.RequestException as error:
        raise AssertionError(f"no answer to a click: {type(error).__name__}") from error
    if answer.status_code == 200:
        return was_accepted(answer, ACCEPTED_BEFORE)
    assert is_refusal(answer), f"a click was answered {answer.status_code}"
    return False
