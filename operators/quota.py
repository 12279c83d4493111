"""The operator's quota, shared by all workers through Redis: several windows, taken at once or not at all.

Fail closed: with Redis away nothing is sent. A counter that was lost (an emptied Redis) cannot tell
what was sent before, so the account rests until one full window has passed since its last call,
which PostgreSQL knows.
"""

import logging
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import redis
from django.conf import settings

from cabinet.clock import real_now
from operators.models import OperatorAccount
from operators.ports import CallKind, NotSent

logger = logging.getLogger(__name__)

_LONGEST_NAP = 1.5
_NOTED_EVERY = timedelta(seconds=1)
# The operator counts arrivals, we count departures: a window of ours is longer by what a call may be
# late or early on its way.
_MARGIN = {1: 0.15, 60: 0.5}

# One sorted set of departure times. Redis' own clock serves all machines. Answers the milliseconds to
# wait (0: the place is taken where ARGV[1] names it), or -1 where the counter was lost.
_TAKE = """
if redis.call('EXISTS', KEYS[2]) == 0 then return -1 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local wait = 0
for i = 2, #ARGV, 2 do
  local limit, window = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  local taken = redis.call('ZCOUNT', KEYS[1], now - window + 1, '+inf')
  if taken >= limit then
    local oldest = redis.call('ZREVRANGE', KEYS[1], limit - 1, limit - 1, 'WITHSCORES')
    wait = math.max(wait, tonumber(oldest[2]) + window - now)
  end
end
if wait > 0 then return math.ceil(wait) end
if ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 61000)
  redis.call('PEXPIRE', KEYS[1], 120000)
end
return 0
"""
_LOST = -1


class QuotaAway(Exception):
    """Redis does not answer: nobody knows what may be sent."""


@dataclass(frozen=True)
class Window:
    """At most `calls` in any `seconds`."""

    calls: int
    seconds: int


@lru_cache(maxsize=4)
def client(url: str) -> "redis.Redis":
    """The Redis of quotas and tokens, with short timeouts."""
    return redis.Redis.from_url(
        url, socket_timeout=2, socket_connect_timeout=2, decode_responses=True
    )


@lru_cache(maxsize=4)
def _script(url: str) -> Any:
    return client(url).register_script(_TAKE)


def windows(account: OperatorAccount) -> list[Window]:
    """The account's limits; empty where the operator names none."""
    named = ((account.per_second, 1), (account.per_minute, 60))
    return [Window(calls, seconds) for calls, seconds in named if calls]


def seconds_to_wait(account: OperatorAccount) -> float:
    """0 where a call may leave now, else how long until the next one may. Takes no place.

    Reads the database where the counter was lost. Raises QuotaAway.
    """
    if not windows(account):
        return 0
    try:
        wait = _ask(account, place="")
        return _rest_after_loss(account) if wait == _LOST else wait / 1000
    except redis.RedisError as error:
        raise QuotaAway from error


def turn_comes(account: OperatorAccount) -> bool:
    """Whether a call may leave now; waits up to a second and a half for its turn.

    False where the wait is longer, or where the quota cannot be known: the sweep tries again.
    """
    try:
        wait = seconds_to_wait(account)
    except QuotaAway:
        logger.warning("The quota of %s cannot be read, nothing is sent", account.code)
        return False
    if wait > _LONGEST_NAP:
        return False
    time.sleep(wait)
    return True


def admit(account: OperatorAccount, kind: CallKind) -> None:
    """Take one place in every window, or raise NotSent with code `quota`. Every call counts.

    Asks Redis only: it runs in the threads that call operators, which hold no database connection.
    """
    if not windows(account):
        return
    try:
        wait = _ask(account, place=uuid.uuid4().hex)
    except redis.RedisError as error:
        raise NotSent("Счётчик вызовов недоступен", code="quota", retry_after=5) from error
    if wait != 0:
        pause = 1 if wait == _LOST else wait / 1000
        raise NotSent(f"Квота исчерпана ({kind})", code="quota", retry_after=pause)


def note_call(account: OperatorAccount) -> None:
    """Keep in PostgreSQL, about once a second, that calls are going out."""
    now = real_now()
    row = OperatorAccount.objects.filter(pk=account.pk)
    row.exclude(last_call_at__gt=now - _NOTED_EVERY).update(last_call_at=now)


def _ask(account: OperatorAccount, *, place: str) -> int:
    arguments: list[str | int] = [place]
    for window in windows(account):
        arguments += [window.calls, round((window.seconds + _MARGIN[window.seconds]) * 1000)]
    return int(_script(settings.REDIS_URL)(keys=_keys(account), args=arguments))


def _keys(account: OperatorAccount) -> list[str]:
    return [f"quota:{account.code}", f"quota-known:{account.code}"]


def _rest_after_loss(account: OperatorAccount) -> float:
    longest = max(window.seconds for window in windows(account))
    rows = OperatorAccount.objects.filter(pk=account.pk)
    last: datetime | None = rows.values_list("last_call_at", flat=True).first()
    if last is not None:
        rest = (last + timedelta(seconds=longest + 1) - real_now()).total_seconds()
        if rest > 0:
            return rest
    client(settings.REDIS_URL).set(_keys(account)[1], "1")
    return 0
