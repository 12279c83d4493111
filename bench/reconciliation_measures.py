"""Two measures of reconciliation: nobody waits behind a chain, and a sweep costs what differs."""

import time
from datetime import datetime
from functools import partial
from statistics import median
from uuid import uuid4

import requests
from django.conf import settings
from django.db import connection

from bench import rows
from bench.figure import Found, p95
from bench.harness import Harness, fresh
from bench.timing import timed, until
from cabinet import clock
from smartcards import queries
from smartcards.models import Brake, Command, SmartCard
from smartcards.reconciliation import reconcile
from smartcards.states import OperatorState
from subscriptions import demo
from subscriptions.evotor.models import Delivery
from subscriptions.models import Subscription

_CHAIN, _OTHERS, _DIFFERING = 10_000, 200, 100
_SWEEPS = 5
_WAIT = 2.0  # seconds that an event of another merchant may wait


def chain_held_by_the_brake(harness: Harness) -> Found:
    """(g) Events of 200 other merchants while 10,000 cards of a chain are held by the brake.

    Ten a second, first without the chain; then its paid time ends and its switch-offs begin. Counted from
    the market's POST to the end of the processing.
    """
    demo.seed(clock.now())
    account = rows.account("null", brake_cards=50)
    chain = rows.merchant(_CHAIN)
    rows.cards(account, chain, _CHAIN, OperatorState.ACTIVE)
    harness.processes.restart("beat", "worker", "reconciliation", "operators")
    until(partial(fresh, partial(harness.is_swept, clock.real_now())), "no sweep", seconds=60)
    alone = _waits(harness)
    Subscription.objects.filter(pk=chain.pk).update(entitled_until=clock.now())
    until(partial(fresh, _is_braked), "the brake is not engaged", seconds=60, pause=0.01)
    waits = _waits(harness)
    ready = requests.get(f"{harness.product.web}/health/ready", timeout=10).status_code
    queued = Command.objects.filter(account=account).count()
    Brake.objects.update(engaged_at=None, engaged_because="")
    found = f"events of {len(waits)} merchants processed p95 {p95(waits):.2f} s (limit {_WAIT:.0f})"
    found += f" while {_CHAIN - queued} cards of a chain are held, {p95(alone):.2f} s without it"
    found += f"; /health/ready {ready}"
    return found, p95(waits) <= _WAIT and ready == requests.codes.ok and queued <= 50


def _is_braked() -> bool:
    return queries.is_braked(queries.brake_now())


def _waits(harness: Harness) -> list[float]:
    """Seconds from the market's POST to the end of the processing, of an event of each merchant."""
    users = rows.users(_OTHERS)
    sent = {user: _send_later(harness, user, place) for place, user in enumerate(users)}
    waiting = Delivery.objects.filter(user_id__in=users, processed_at=None)
    until(lambda: fresh(lambda: not waiting.exists()), "events wait still", seconds=120)
    ended = dict(Delivery.objects.filter(user_id__in=users).values_list("user_id", "processed_at"))
    return [((ended[user] or at) - at).total_seconds() for user, at in sent.items()]


def _send_later(harness: Harness, user: str, place: int) -> datetime:
    """Ten a second. Gives the moment of sending."""
    time.sleep(0.1)
    body = {
        "subscriptionId": str(uuid4()),
        "productId": settings.EVOTOR_PRODUCT_ID,
        "userId": user,
        "timestamp": clock.now().isoformat(),
        "sequenceNumber": 1,
        "type": "SubscriptionCreated",
        "planId": "kassovye-1m",
        "trialPeriodDuration": "P0DT",
        "deviceNumber": place + 1,
    }
    token = {"Authorization": f"Bearer {settings.EVOTOR_APP_TOKENS[0]}"}
    at = clock.now()
    requests.post(
        f"{harness.product.web}/api/v1/subscription/event", json=body, headers=token, timeout=20
    ).raise_for_status()
    return at


def sweep_costs_what_differs(_harness: Harness) -> Found:
    """(h) A sweep over 1,000,000 cards of which 100 differ against the same over 10,000."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE smartcards_smartcard, subscriptions_subscription CASCADE")
    account = rows.account("null")
    few = _sweep_seconds(account.pk, rows.many_working(account, 10_000))
    many = _sweep_seconds(account.pk, rows.many_working(account, 990_000))
    found = f"{many * 1000:.0f} ms over 1,000,000 cards, {few * 1000:.0f} ms over 10,000"
    ratio = f"ratio {many / few:.2f} (limit 1.2)"
    return f"a sweep of {_DIFFERING} cards: {found}: {ratio}", many / few <= 1.2


def _sweep_seconds(account_id: int, _made: int) -> float:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return median(_one_sweep(account_id) for _ in range(_SWEEPS))


def _one_sweep(account_id: int) -> float:
    """Seconds of a sweep that finds a hundred cards spread over all merchants."""
    cards = SmartCard.objects.filter(account=account_id)
    step = cards.count() // _DIFFERING
    chosen = list(cards.order_by("pk").values_list("pk", flat=True)[::step])
    differing = SmartCard.objects.filter(pk__in=chosen)
    differing.update(confirmed=OperatorState.INACTIVE)
    seconds = timed(partial(reconcile.reconcile_all, at=clock.now()))
    queued = Command.objects.filter(card__in=chosen)
    assert queued.count() == len(chosen), f"{queued.count()} of {len(chosen)} cards were queued"
    queued.delete()
    differing.update(confirmed=OperatorState.ACTIVE)
    return seconds
