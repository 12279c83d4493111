"""How long a switch takes, as far as a merchant may be promised: measured, else what the contract says."""

import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
from django.core.cache import cache
from django.db.models import Q

from operators.models import OperatorAccount
from smartcards.monitoring.latency import clicks_done, latency_by_account
from smartcards.monitoring.operator_health import Latency
from smartcards.states import OPEN_COMMANDS, Origin

MEASURED_FOR = timedelta(days=7)
# With fewer switches the figures of the contract are shown.
FEWEST_MEASURED = 20
CACHED_SECONDS = 300
# No less than a minute is promised.
SHORTEST_SECONDS = 60


@dataclass(frozen=True)
class SwitchEta:
    """How many seconds a switch takes: usually, and at worst.

    Commands that already wait longer count too. Where these are more than one click in twenty, `waits` is
    for how long half of them have been waiting, and the figures are at least that; it is 0 where
    the figures hold. `usual_is_met`: whether at least most clicks are still done as usual.
    """

    usual: int
    worst: int
    waits: int = 0
    usual_is_met: bool = True


def switch_eta(account: OperatorAccount, *, at: datetime) -> SwitchEta:
    """The median and the 95th percentile of the last seven days, and whether they hold at this moment.

    With fewer than twenty switches they are what staff have written in the contract. Remembered for
    five minutes; without Redis they are computed each time.
    """
    key = f"promise:{account.pk}"
    contract = SwitchEta(account.usual_seconds, account.worst_seconds)
    try:
        known: SwitchEta | tuple[()] | None = cache.get(key)
    except redis.RedisError:
        # Nothing is stored either: a page waits for an absent Redis once, not twice.
        return _measured(account, contract, at) or contract
    if known is None:
        # The figures of the contract are not remembered: staff may change them.
        known = _measured(account, contract, at) or ()
        with suppress(redis.RedisError):
            cache.set(key, known, CACHED_SECONDS)
    return known or contract


def _measured(account: OperatorAccount, contract: SwitchEta, at: datetime) -> SwitchEta | None:
    """None where only the figures of the contract are known."""
    which = Q(account=account) & clicks_done(at - MEASURED_FOR, at)
    done = latency_by_account(which, at).get(account.pk)
    enough = done is not None and done.clicks >= FEWEST_MEASURED
    eta = SwitchEta(_whole(done.usual), _whole(done.worst)) if done and enough else contract
    slow = _slower(eta, account, done.clicks if done else 0, at)
    return slow or (eta if enough else None)


def _slower(eta: SwitchEta, account: OperatorAccount, done: int, at: datetime) -> SwitchEta | None:
    """What becomes of these figures by the clicks that wait beyond them; None where they hold."""
    beyond = _waiting_beyond(eta.usual, account, at)
    if beyond is None or done + beyond.clicks < FEWEST_MEASURED:
        return None
    if beyond.clicks >= done:
        waits = int(beyond.usual.total_seconds())
        return SwitchEta(waits, max(eta.worst, waits), waits, usual_is_met=False)
    beyond = _waiting_beyond(eta.worst, account, at)
    if beyond is None or _ONE_OF * beyond.clicks <= done + beyond.clicks:
        return None
    waits = int(beyond.usual.total_seconds())
    return SwitchEta(eta.usual, waits, waits)


# The worst time is that of the 95th percentile.
_ONE_OF = 20


def _waiting_beyond(seconds: int, account: OperatorAccount, at: datetime) -> Latency | None:
    """How long people's commands have been waiting by now that wait longer than so."""
    before = at - timedelta(seconds=max(seconds, SHORTEST_SECONDS))
    waiting = Q(
        account=account,
        state__in=sorted(OPEN_COMMANDS),
        origin=Origin.PERSON,
        created_at__lt=before,
    )
    return latency_by_account(waiting, at).get(account.pk)


def _whole(length: timedelta) -> int:
    return max(1, math.ceil(length.total_seconds()))
