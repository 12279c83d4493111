"""The first page with fifty cards against a bare Django view, under the same gunicorn command."""

import itertools
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import psutil
from django.conf import settings

from bench import rows, webhook
from bench.figure import Found
from bench.harness import Harness
from bench.people import Person
from bench.timing import timed
from cabinet import clock
from smartcards.models import SmartCard
from smartcards.states import OperatorState
from smartcards.tests.cards import make_terminal
from subscriptions.models import Subscription

_CARDS, _SHOPS, _CONNECTIONS = 50, 10, 8
_TURNS, _OURS, _BARE = 6, 120, 1200
_LIMIT = 1 / 15


@dataclass
class _Seconds:
    """What was used up so far."""

    ours: float = 0.0
    bare: float = 0.0
    cpu: float = 0.0


def first_page(harness: Harness) -> Found:
    """(p) First pages a second against a bare view's words, and the processor time of one page.

    In turns, so that a change of the machine's load falls upon both.
    """
    bare, person = webhook.start_bare(harness), _owner_of_cards(harness)
    web = psutil.Process(harness.processes.processes["web"].pid)
    _get_all(person.web, 2 * _CONNECTIONS, person)
    used = _Seconds()
    for _ in range(_TURNS):
        used.bare += timed(partial(_get_all, bare, _BARE))
        begun = _cpu(web)
        used.ours += timed(partial(_get_all, person.web, _OURS, person))
        used.cpu += _cpu(web) - begun
    mine, theirs = _TURNS * _OURS / used.ours, _TURNS * _BARE / used.bare
    found = f"first page with {_CARDS} cards: {mine:.0f}/s against {theirs:.0f}/s of a bare view:"
    found += f" ratio 1/{theirs / mine:.1f} (limit 1/{1 / _LIMIT:.0f})"
    found += f", {used.cpu / _TURNS / _OURS * 1000:.0f} ms of processor time"
    return found, mine / theirs >= _LIMIT


def _owner_of_cards(harness: Harness) -> Person:
    """The owner of cards of two operators in ten shops, a fifth of them switched off."""
    person = harness.owner(_CARDS)
    subscription = person.subscription
    paid_until = clock.now() + timedelta(days=30)
    Subscription.objects.filter(pk=subscription.pk).update(paid_until=paid_until)
    half = _CARDS // 2
    cards = rows.cards(rows.account("mts"), subscription, half, OperatorState.ACTIVE)
    cards += rows.cards(rows.account("beeline"), subscription, half, OperatorState.ACTIVE)
    for number, card in enumerate(cards):
        card.terminal = make_terminal(
            subscription.merchant, f"Магазин {number % _SHOPS}", f"Касса {number}"
        )
        card.label = f"Подпись {number}"
    SmartCard.objects.bulk_update(cards, ["terminal", "label"])
    off = [card.pk for card in cards[::5]]
    SmartCard.objects.filter(pk__in=off).update(
        confirmed=OperatorState.INACTIVE, desired_on=False, block_reason="voluntary"
    )
    return person


def _cpu(web: psutil.Process) -> float:
    """Seconds of the processor that the server and its workers have used."""
    times = [one.cpu_times() for one in (web, *web.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def _get_all(address: str, number: int, person: Person | None = None) -> None:
    cookie = f"Cookie: {settings.SESSION_COOKIE_NAME}={person.session}\r\n" if person else ""
    request = f"GET / HTTP/1.1\r\nHost: localhost\r\n{cookie}\r\n".encode()
    get = partial(_get, int(address.rpartition(":")[2]), request, number // _CONNECTIONS)
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for done in [pool.submit(get) for _ in range(_CONNECTIONS)]:
            done.result()


def _get(port: int, request: bytes, number: int) -> None:
    """One after another over one connection, by the least that a client can do."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as connected:
        for _ in itertools.repeat(None, number):
            connected.sendall(request)
            head, body = _head(connected)
            assert head.startswith(b"HTTP/1.1 200 "), head[:200]
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
            while len(body) < length:
                body += connected.recv(65536)


def _head(connected: socket.socket) -> tuple[bytes, bytes]:
    """The headers of an answer, and what of the body came with them."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        received = connected.recv(65536)
        assert received, answer[:200]
        answer += received
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body
