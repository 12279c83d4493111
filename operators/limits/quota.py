"""The operator's quota, shared by all workers through Redis: several windows, taken at once or not at all.

Clicks may use all of it. Mass work leaves a share for clicks and is spread evenly over the window,
so that a click never finds a minute's quota spent in its first seconds; readings take half of that.

Fail closed: with Redis away nothing is sent. A counter that was lost (an emptied Redis, or one that was
started anew: what a snapshot brings back is older than the last calls) cannot tell what was sent before,
so the account rests until one full window has passed since its last call, which PostgreSQL knows.
"""

import logging
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

import redis
from django.conf import settings

from cabinet.clock import real_now
from operators.backoff import FIRST_PAUSE, LONGEST_GROWN_PAUSE
from operators.classification import Classification
from operators.models import OperatorAccount
from operators.ports import CallKind, NotSent

logger = logging.getLogger(__name__)

# Who may wait for a turn waits no longer, seconds.
LONGEST_NAP = 1.5
_NOTED_EVERY = timedelta(seconds=1)
# A call may leave so long after the last note of calls: notes are as far apart, and the worker that makes
# them looks up in between.
_UNNOTED = 2 * _NOTED_EVERY
# A quota's refusal this long after the pause of the one before it is the first of a new row.
_GROWS_WITHIN = 30.0
# The operator counts arrivals, we count departures: a window of ours is longer by what a call may be
# late or early on its way. Seconds of a window to our milliseconds.
_WINDOW_MS = {1: 1_150, 60: 60_500}

# A paced departure that was late by no more than this is made up for by those after it.
_MADE_UP_MS = 2000

# The mark of a known counter is the run of the server that counted: every start of a server has a new
# one, so a counter that came back from a snapshot, or on a replica that took over, is known to be lost.
_RUN = """
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
"""
_KNOW = _RUN + "redis.call('SET', KEYS[1], run)"
# KEYS: departures, mark of a known counter, pause asked for by the operator, next paced departure.
# ARGV: place ('' only asks), pace in ms (0: unpaced), whether it waits for its pace ('' not: it only
# puts the next one off), how late a paced one may be made up for; then limit and window in ms, again
# and again. Redis' own clock serves all machines. Answers the milliseconds to wait, 0 where the place
# is free (and taken), -1 where the counter was lost.
_TAKE = (
    _RUN
    + """
if redis.call('GET', KEYS[2]) ~= run then return -1 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local wait = math.max(0, redis.call('PTTL', KEYS[3]))
local pace = tonumber(ARGV[2])
local due = tonumber(redis.call('GET', KEYS[4]) or '0')
if pace > 0 and ARGV[3] ~= '' then wait = math.max(wait, due - now) end
for i = 5, #ARGV, 2 do
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
  if pace > 0 then
    if due < now - tonumber(ARGV[4]) then due = now end
    redis.call('SET', KEYS[4], due + pace, 'PX', 120000)
  end
end
return 0
"""
)
_LOST = -1

# KEYS: pause asked for by the operator, the last pause that grew. ARGV in ms: the first, the longest,
# how long after its end the next one still grows from it. Answers the new pause, 0 within a pause.
_GROW = """
if redis.call('PTTL', KEYS[1]) > 0 then return 0 end
local before = tonumber(redis.call('GET', KEYS[2]) or '0')
local now = math.min(math.max(before * 2, tonumber(ARGV[1])), tonumber(ARGV[2]))
redis.call('SET', KEYS[2], now, 'PX', now + tonumber(ARGV[3]))
return now
"""
# A shorter pause never ends a longer one: answers to calls that were in the air come after it.
_PAUSE = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
"""


class Urgency(StrEnum):
    """Whose call it is: what it may take of the quota."""

    CLICK = "click"
    MASS = "mass"
    BACKGROUND = "background"


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


@lru_cache(maxsize=16)
def _script(url: str, text: str) -> Any:
    return client(url).register_script(text)


@dataclass(frozen=True)
class Allowance:
    """What calls of one urgency may take of each window, and the milliseconds between two of them (0: none)."""

    windows: list[Window]
    pace_ms: int = 0


def allowance(account: OperatorAccount, urgency: Urgency = Urgency.CLICK) -> Allowance:
    """A click may take all, at once. Mass work never gets less than one call of a window, and is spread over it.

    No windows where the operator names no limits.
    """
    named = ((account.per_second, 1), (account.per_minute, 60))
    windows = [Window(calls, seconds) for calls, seconds in named if calls]
    if urgency is Urgency.CLICK:
        return Allowance(windows)
    part = (100 - account.reserve_percent) / 100
    if urgency is Urgency.BACKGROUND:
        part /= 2
    shares = [Window(max(1, int(one.calls * part)), one.seconds) for one in windows]
    pace = max((_WINDOW_MS[one.seconds] // one.calls for one in shares), default=0)
    return Allowance(shares, pace)


def seconds_to_wait(account: OperatorAccount, urgency: Urgency = Urgency.CLICK) -> float:
    """0 where such a call may leave now, else how long until the next one may. Takes no place.

    Reads the database where the counter was lost. Raises QuotaAway.
    """
    if not allowance(account).windows:
        return pause_left(account)
    wait = _ask(account, urgency, place="")
    if wait == _LOST:
        if (rest := _rest_after_loss(account)) > 0:
            return rest
        wait = _ask(account, urgency, place="")  # a pause outlives the loss
    return max(0, wait) / 1000


def pause_left(account: OperatorAccount) -> float:
    """Seconds until the end of the pause that the operator asked for; 0 without one. Raises QuotaAway."""
    try:
        answer: Any = client(settings.REDIS_URL).pttl(f"quota:{account.code}:pause")
    except redis.RedisError as error:
        raise QuotaAway from error
    return max(0, int(answer)) / 1000


@dataclass
class QuotaGate:
    """Asked before every HTTP call of one question to an operator.

    The first call waits for its urgency's turn; those that follow (find, then change; log in anew) are
    the same work half done, so they may use the whole quota and wait for no pace, but the next work is
    put off by them. Asks Redis only: it runs in the threads that call operators, which hold no database
    connection.
    """

    account: OperatorAccount
    urgency: Urgency = Urgency.CLICK
    _begun: bool = False

    def __call__(self, kind: CallKind) -> None:
        """Take one place in every window, or raise NotSent with code `quota`. Every call counts.

        Without windows only a pause that the operator asked for can hold back the first call.
        """
        ends_at = time.monotonic() + LONGEST_NAP
        has_windows = bool(allowance(self.account).windows)
        while True:
            try:
                if has_windows:
                    place = uuid.uuid4().hex
                    answer = _ask(self.account, self.urgency, place=place, begun=self._begun)
                    wait = 1.0 if answer == _LOST else answer / 1000
                else:
                    wait = 0.0 if self._begun else pause_left(self.account)
            except QuotaAway as error:
                text = "Счётчик вызовов недоступен"
                raise NotSent(text, cause="quota", retry_after=5) from error
            if wait <= 0:
                break
            if time.monotonic() + wait > ends_at:
                raise NotSent(f"Квота исчерпана ({kind})", cause="quota", retry_after=wait)
            time.sleep(wait)
        self._begun = True


def apply_backoff(account: OperatorAccount, answer: Classification) -> None:
    """Pause the account for as long as this answer asks.

    Where the operator says «too many calls» and not for how long, pauses that follow one another grow.
    """
    seconds = answer.pause
    if answer.pause_grows:
        seconds = max(seconds, _grown_pause(account))
    if seconds > 0:
        pause(account, seconds)


def _grown_pause(account: OperatorAccount) -> float:
    """The first pause, or twice the one before where its end is not long ago; a refusal that comes
    while nobody calls anyway (it left before the pause) asks for nothing more.
    """
    keys = [f"quota:{account.code}:{name}" for name in ("pause", "refusals")]
    limits = (FIRST_PAUSE, LONGEST_GROWN_PAUSE, _GROWS_WITHIN)
    try:
        grown = _script(settings.REDIS_URL, _GROW)(
            keys=keys, args=[int(one * 1000) for one in limits]
        )
    except redis.RedisError:
        return FIRST_PAUSE
    return int(grown) / 1000


def pause(account: OperatorAccount, seconds: float) -> None:
    """The operator asked to wait: nobody calls it until then. With Redis away nobody does anyway.

    A pause that lasts longer already stays. A counter that was lost stays lost: after the pause the
    account rests as long as it would have.
    """
    try:
        script = _script(settings.REDIS_URL, _PAUSE)
        script(keys=[f"quota:{account.code}:pause"], args=[max(1, int(seconds * 1000))])
    except redis.RedisError as error:
        logger.warning("The pause of %s was not kept: %s", account.code, type(error).__name__)


def lift_pause(account: OperatorAccount) -> bool:
    """End the pause that the operator asked for, and let the next one grow from the first anew.

    Whether there was one. Raises QuotaAway.
    """
    keys = [f"quota:{account.code}:{name}" for name in ("pause", "refusals")]
    try:
        removed: Any = client(settings.REDIS_URL).delete(keys[0])
        client(settings.REDIS_URL).delete(keys[1])
    except redis.RedisError as error:
        raise QuotaAway from error
    return bool(removed)


def note_call(account: OperatorAccount) -> None:
    """Keep in PostgreSQL, about once a second, that calls are going out.

    To be called before calls leave, and while they last: a process that dies records no more, and what
    it had sent must be known after a loss of the counter. Asks the database once.
    """
    now = real_now()
    row = OperatorAccount.objects.filter(pk=account.pk)
    row.exclude(last_call_at__gt=now - _NOTED_EVERY).update(last_call_at=now)


def _ask(account: OperatorAccount, urgency: Urgency, *, place: str, begun: bool = False) -> int:
    clicks = urgency is Urgency.CLICK
    waits = "" if begun or clicks else "1"
    # A click waits for no pace, but mass work gives its turn for it: otherwise many clicks would fill
    # the window, and those after them would wait till its first calls are a minute old.
    paced = allowance(account, Urgency.MASS if clicks else urgency)
    arguments: list[str | int] = [place, paced.pace_ms, waits, _MADE_UP_MS]
    for window in allowance(account).windows if begun or clicks else paced.windows:
        arguments += [window.calls, _WINDOW_MS[window.seconds]]
    keys = [f"quota:{account.code}:{name}" for name in ("departures", "known", "pause", "paced")]
    try:
        return int(_script(settings.REDIS_URL, _TAKE)(keys=keys, args=arguments))
    except redis.RedisError as error:
        raise QuotaAway from error


def _rest_after_loss(account: OperatorAccount) -> float:
    longest = max((window.seconds for window in allowance(account).windows), default=0)
    rows = OperatorAccount.objects.filter(pk=account.pk)
    last: datetime | None = rows.values_list("last_call_at", flat=True).first()
    if last is not None:
        rest = (last + timedelta(seconds=longest) + _UNNOTED - real_now()).total_seconds()
        if rest > 0:
            return rest
    try:
        _script(settings.REDIS_URL, _KNOW)(keys=[f"quota:{account.code}:known"])
    except redis.RedisError as error:
        raise QuotaAway from error
    return 0
