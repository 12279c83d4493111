"""How each contract with an operator is doing, for staff: what PostgreSQL and Redis know of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

import redis
from django.conf import settings

from operators import quota
from operators.models import OperatorAccount
from operators.windows import MOSCOW, window_end


@dataclass(frozen=True)
class QuotaUse:
    """So many calls left within the last window, of so many that are allowed."""

    used: int
    calls: int
    seconds: int

    @property
    def percent(self) -> int:
        return min(100, round(100 * self.used / self.calls))


@dataclass(frozen=True)
class Maintenance:
    """The operator's window of works: the one that runs, else the next within a week. UTC."""

    starts_at: datetime | None
    ends_at: datetime

    @property
    def runs(self) -> bool:
        return self.starts_at is None


@dataclass(frozen=True)
class AccountNow:
    """One contract at this moment. `quota` is None where Redis cannot tell."""

    pk: int
    title: str
    enabled: bool
    broken_since: datetime | None
    probe_at: datetime | None
    maintenance: Maintenance | None
    quota: tuple[QuotaUse, ...] | None
    last_answer_at: datetime | None
    last_error: str
    last_error_at: datetime | None
    keys_refused_since: datetime | None = None


def accounts_now(at: datetime) -> list[AccountNow]:
    """All contracts by title: one query, and one round to Redis."""
    accounts = list(OperatorAccount.objects.defer("credentials").order_by("title", "pk"))
    used = _used(accounts)
    return [_now(account, used, at) for account in accounts]


def _now(
    account: OperatorAccount, used: Mapping[int, tuple[QuotaUse, ...]] | None, at: datetime
) -> AccountNow:
    return AccountNow(
        pk=account.pk,
        title=account.title,
        enabled=account.enabled,
        broken_since=account.broken_since,
        probe_at=account.probe_at,
        maintenance=maintenance(account.maintenance_windows, at),
        quota=None if used is None else used.get(account.pk, ()),
        last_answer_at=account.last_answer_at,
        last_error=account.last_error,
        last_error_at=account.last_error_at,
        keys_refused_since=account.keys_refused_since,
    )


# --- the quota ------------------------------------------------------------------------------------


def _used(accounts: Sequence[OperatorAccount]) -> dict[int, tuple[QuotaUse, ...]] | None:
    """What has left within each window; None where Redis does not answer."""
    try:
        return _count(accounts)
    except redis.RedisError:
        return None


def _count(accounts: Sequence[OperatorAccount]) -> dict[int, tuple[QuotaUse, ...]]:
    asked = [(account, window) for account in accounts for window in quota.windows(account)]
    if not asked:
        return {}
    server = quota.client(settings.REDIS_URL)
    # The clock of Redis marks the departures.
    seconds, micros = server.time()  # type: ignore[misc]
    now = seconds * 1000 + micros // 1000
    pipe = server.pipeline(transaction=False)
    for account, window in asked:
        pipe.zcount(_departures(account), now - window.seconds * 1000 + 1, "+inf")
    found: dict[int, tuple[QuotaUse, ...]] = {}
    for (account, window), used in zip(asked, pipe.execute(), strict=True):
        use = QuotaUse(int(used), window.calls, window.seconds)
        found[account.pk] = (*found.get(account.pk, ()), use)
    return found


def _departures(account: OperatorAccount) -> str:
    """Where `operators.quota` marks each call that leaves."""
    return f"quota:{account.code}:departures"


# --- windows of works -----------------------------------------------------------------------------


def maintenance(windows: Sequence[Mapping[str, Any]], at: datetime) -> Maintenance | None:
    """The window that runs now, else the next one; None without any, or where a row is wrong."""
    try:
        ends_at = window_end(windows, at)
        if ends_at is not None:
            return Maintenance(None, ends_at)
        return _next(windows, at)
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


def _next(windows: Sequence[Mapping[str, Any]], at: datetime) -> Maintenance | None:
    today = at.astimezone(MOSCOW)
    days = [today + timedelta(days=ahead) for ahead in range(8)]
    begun = [_begins(window, day) for window in windows for day in days]
    starts_at = min((start for start in begun if start is not None and start > at), default=None)
    ends_at = window_end(windows, starts_at) if starts_at is not None else None
    return Maintenance(starts_at, ends_at) if ends_at is not None else None


def _begins(window: Mapping[str, Any], day: datetime) -> datetime | None:
    if day.weekday() not in (window.get("days") or range(7)):
        return None
    return datetime.combine(day.date(), time.fromisoformat(window["from"]), tzinfo=MOSCOW)
