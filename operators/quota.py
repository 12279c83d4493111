"""The operator's quota, shared by all workers through Redis: per second and per minute.

Fail closed: with Redis away nothing is sent. A counter that was lost (an emptied Redis) cannot tell
what was sent before, so the account rests until one full window has passed since its last call,
which PostgreSQL knows.
"""

import time
from datetime import datetime, timedelta
from functools import lru_cache

import redis
from django.conf import settings
from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from cabinet.clock import real_now
from operators.models import OperatorAccount
from operators.ports import CallKind, NotSent

_PREFIX = "quota"
_NOTED_EVERY = timedelta(seconds=1)


class QuotaAway(Exception):
    """Redis does not answer: nobody knows what may be sent."""


@lru_cache(maxsize=2)
def _limiter(url: str) -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(RedisStorage(url, socket_timeout=2, socket_connect_timeout=2))


@lru_cache(maxsize=2)
def client(url: str) -> "redis.Redis":
    """The Redis of quotas and tokens, with short timeouts."""
    return redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, decode_responses=True)


def windows(account: OperatorAccount) -> list[RateLimitItem]:
    """The account's limits as windows; empty where the operator names none."""
    found: list[RateLimitItem] = []
    if account.per_minute:
        found.append(RateLimitItemPerMinute(account.per_minute))
    if account.per_second:
        found.append(RateLimitItemPerSecond(account.per_second))
    return found


def seconds_to_wait(account: OperatorAccount) -> float:
    """0 where a call may leave now, else how long until the next one may. Raises QuotaAway."""
    limits = windows(account)
    if not limits:
        return 0
    try:
        resting = _seconds_to_rest(account, limits)
        return resting or max(_seconds_full(account, limit) for limit in limits)
    except redis.RedisError as error:
        raise QuotaAway from error


def admit(account: OperatorAccount, kind: CallKind) -> None:
    """Take one place in every window, or raise NotSent with code `quota`. Every call counts.

    Asks Redis only: it runs in the threads that call operators, which hold no database connection.
    """
    limits = windows(account)
    try:
        known = not limits or client(settings.REDIS_URL).exists(_mark(account))
        if known and all(_limiter(settings.REDIS_URL).hit(item, _PREFIX, account.code) for item in limits):
            return
        wait = max((_seconds_full(account, item) for item in limits), default=0.0)
    except redis.RedisError as error:
        raise NotSent("Счётчик вызовов недоступен", code="quota", retry_after=5) from error
    raise NotSent(f"Квота исчерпана ({kind})", code="quota", retry_after=wait or 1)


def note_call(account: OperatorAccount) -> None:
    """Keep in PostgreSQL, about once a second, that calls are going out."""
    now = real_now()
    row = OperatorAccount.objects.filter(pk=account.pk)
    row.exclude(last_call_at__gt=now - _NOTED_EVERY).update(last_call_at=now)


def _mark(account: OperatorAccount) -> str:
    return f"{_PREFIX}:known:{account.code}"


def _seconds_full(account: OperatorAccount, limit: RateLimitItem) -> float:
    limiter = _limiter(settings.REDIS_URL)
    if limiter.test(limit, _PREFIX, account.code):
        return 0
    reset, _remaining = limiter.get_window_stats(limit, _PREFIX, account.code)
    return max(0.05, reset - time.time())


def _seconds_to_rest(account: OperatorAccount, limits: list[RateLimitItem]) -> float:
    """After a lost counter: until one full window has passed since the last call."""
    if client(settings.REDIS_URL).exists(_mark(account)):
        return 0
    longest = max(limit.get_expiry() for limit in limits)
    last: datetime | None = (
        OperatorAccount.objects.filter(pk=account.pk).values_list("last_call_at", flat=True).first()
    )
    rest = (last + timedelta(seconds=longest) - real_now()).total_seconds() if last else 0
    if rest > 0:
        return rest
    client(settings.REDIS_URL).set(_mark(account), "1")
    return 0

