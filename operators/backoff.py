"""How long an operator asks to wait and lets a token live, and how much of it is believed. All times are seconds."""

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from operators.ports import Reply

# Works last for hours and may be announced so; asking once an hour whether they are over costs nobody
# anything, while a wrong value («a year») would keep everybody's cards waiting for as long.
LONGEST_PAUSE = 3600.0
# Nobody means more than a day: such a value is a mistake, and is asked again after five minutes.
LONGEST_MEANT = 86_400.0
MISTAKEN_PAUSE = 300.0
# Works of unknown length. Half a minute: of a switch sent meanwhile nobody knows whether it was
# made, so few are to leave until the breaker opens, and the first one after the works is not late.
MAINTENANCE_PAUSE = 30.0
# Too many calls, and no time named: the first pause, and the longest of those that grow from it.
FIRST_PAUSE = 2.0
LONGEST_GROWN_PAUSE = 60.0

# A token whose lifetime is not given, and the longest that one is kept for.
USUAL_TOKEN = 300.0
LONGEST_TOKEN = 604_800.0


def lifetime_of(given: object, *, default: float = USUAL_TOKEN) -> float:
    """The lifetime of a token as an operator writes it: a number, or a number as text.

    `default` where it is absent, null or no number; 0 where it is negative; at most `LONGEST_TOKEN`.
    """
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return default
    try:
        seconds = float(given)
    except (ValueError, OverflowError):
        return default
    return default if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_TOKEN)


def retry_after(reply: Reply, *, default: float | None) -> float | None:
    """The `Retry-After` of an answer, at most `LONGEST_PAUSE`; `default` where it has none.

    `MISTAKEN_PAUSE` for one over `LONGEST_MEANT`.
    """
    given = seconds_of(reply.headers.get("Retry-After", ""), reply)
    if given is None:
        return default
    return MISTAKEN_PAUSE if given > LONGEST_MEANT else min(given, LONGEST_PAUSE)


def seconds_of(said: str, reply: Reply) -> float | None:
    """A number of seconds, or the time until a date of HTTP (RFC 9110, 10.2.3); None where it is neither.

    A date is counted from the answer's own `Date`, so that a wrong clock on either side does not
    matter, and from our clock where the answer has none. A date that is over is 0.
    """
    said = said.strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", said):
        return float(said)
    until = http_date(said)
    if until is None:
        return None
    told_at = http_date(reply.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - told_at).total_seconds())


def http_date(said: str) -> datetime | None:
    """A date of HTTP as an aware instant, UTC where it names no zone; None for what is none or out of range."""
    try:
        moment = parsedate_to_datetime(said)
    except (ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC)
