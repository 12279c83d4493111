"""How long an operator asks to wait, and how much of it is believed. All times are seconds."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from operators.ports import (
    OUR_QUOTA,
    TOKENS_AWAY,
    Accepted,
    ErrorClass,
    Rejected,
    Reply,
    SubmitResult,
    Unavailable,
    Unknown,
)

# Works last for hours and may be told so; asking once an hour whether they are over costs nobody
# anything, while a wrong word («a year») would keep everybody's cards waiting for as long.
LONGEST_PAUSE = 3600.0
# Works without a word how long. Half a minute: of a switch sent meanwhile nobody knows whether it was
# made, so few are to leave until the breaker opens, and the first one after the works is not late.
MAINTENANCE_PAUSE = 30.0
# Too many calls without a word how long: the first pause, and the longest of those that grow from it.
FIRST_PAUSE = 2.0
LONGEST_GROWN_PAUSE = 60.0

_USUAL = {ErrorClass.MAINTENANCE: MAINTENANCE_PAUSE, ErrorClass.RATE_LIMITED: FIRST_PAUSE}

# Nothing was asked: our own turn did not come, Redis is away, or the lease ran out before anything left.
OUR_OWN = frozenset({OUR_QUOTA, TOKENS_AWAY, "lease"})
# These speak of one card, and the others need not wait for it.
_OF_ONE_CARD = frozenset(
    {
        ErrorClass.NOT_FOUND,
        ErrorClass.INVALID,
        ErrorClass.ALREADY,
        ErrorClass.CONFLICT_PENDING,
        ErrorClass.HELD_BY_OPERATOR,
    }
)

# What an answer may be: to a switch, or to a question that was not answered.
Word = SubmitResult | Unavailable


def retry_after(reply: Reply, *, default: float | None) -> float | None:
    """The `Retry-After` of an answer, at most `LONGEST_PAUSE`; `default` where it has none."""
    given = seconds_of(reply.headers.get("Retry-After", ""), reply)
    return default if given is None else min(given, LONGEST_PAUSE)


def seconds_of(said: str, reply: Reply) -> float | None:
    """A number of seconds, or the time until a date of HTTP (RFC 9110, 10.2.3); None where it is neither.

    A date is counted from the answer's own `Date`, so that a wrong clock on either side does not
    matter, and from our clock where the answer has none. A date that is over is 0.
    """
    said = said.strip()
    if said.isdecimal():
        return float(said)
    until = _moment(said)
    if until is None:
        return None
    told_at = _moment(reply.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - told_at).total_seconds())


def _moment(said: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def asked_pause(word: Word) -> float:
    """How long this answer asks everybody to wait, at most `LONGEST_PAUSE`; 0 where it does not.

    What works or a spent quota ask without a word how long is ours to say; see `is_short_of_words`.
    """
    if isinstance(word, Accepted):
        return min(word.pause or 0.0, LONGEST_PAUSE)
    refusal = _refusal_to_all(word)
    if refusal is None:
        return 0.0
    if refusal.retry_after is not None:
        return min(refusal.retry_after, LONGEST_PAUSE)
    return _USUAL.get(refusal.error, 0.0)


def is_short_of_words(word: Word) -> bool:
    """Too many calls, and not a word how long to wait: pauses that follow one another are to grow."""
    refusal = _refusal_to_all(word)
    return (
        refusal is not None
        and refusal.error == ErrorClass.RATE_LIMITED
        and refusal.retry_after is None
    )


def _refusal_to_all(word: Word) -> Rejected | Unknown | Unavailable | None:
    """The answer where the operator itself refused, and not because of one card."""
    if not isinstance(word, Rejected | Unknown | Unavailable):
        return None
    return None if word.code in OUR_OWN or word.error in _OF_ONE_CARD else word
