"""The present state of each contract with an operator for the dashboard, from PostgreSQL and Redis."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import redis
from django.conf import settings
from django.db.models import Sum

from cabinet.crypto import Undecryptable
from operators import registry
from operators.limits import quota
from operators.limits.maintenance import Maintenance, maintenance
from operators.models import EventRejection, OperatorAccount


@dataclass(frozen=True)
class QuotaUse:
    """`used` of at most `calls` calls left within the last `seconds`."""

    used: int
    calls: int
    seconds: int

    @property
    def percent(self) -> int:
        """The share that is used, 0–100."""
        return min(100, round(100 * self.used / self.calls))


@dataclass(frozen=True)
class AccountNow:
    """One contract at this moment; instants are UTC. `quota` is None where Redis does not answer.

    `paused_until`: the operator asked us to call nobody until then. `silent_until`: staff asked for no alerts
    about it. `rejected_events`: signed events of the last day that were refused, by the reason.
    """

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
    paused_until: datetime | None = None
    silent_until: datetime | None = None
    rejected_events: Mapping[str, int] = field(default_factory=dict)


def accounts_now(at: datetime) -> list[AccountNow]:
    """All contracts by title: two queries, and two rounds to Redis."""
    accounts = list(OperatorAccount.objects.defer("credentials").order_by("title", "pk"))
    used, pauses, rejected = _used(accounts), _pauses(accounts, at), _rejected_events(at)
    return [
        replace(
            _now(account, used, at),
            paused_until=pauses.get(account.pk),
            rejected_events=rejected.get(account.pk, {}),
        )
        for account in accounts
    ]


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
        silent_until=account.silent_until if (account.silent_until or at) > at else None,
    )


def _rejected_events(at: datetime) -> dict[int, dict[str, int]]:
    """Signed events of the last day that were refused, by account and reason; whole hours."""
    found: defaultdict[int, dict[str, int]] = defaultdict(dict)
    rows = EventRejection.objects.filter(hour__gt=at - timedelta(days=1))
    for account_id, reason, times in rows.values_list("account_id", "reason").annotate(
        Sum("times")
    ):
        found[account_id][reason] = times
    return found


def _pauses(accounts: Sequence[OperatorAccount], at: datetime) -> dict[int, datetime]:
    """Until when each operator has asked for rest; empty where Redis does not answer."""
    if not accounts:
        return {}
    pipe = quota.client(settings.REDIS_URL).pipeline(transaction=False)
    for account in accounts:
        pipe.pttl(f"quota:{account.code}:pause")
    try:
        left = [max(0, int(one)) for one in pipe.execute()]
    except redis.RedisError:
        return {}
    return {
        account.pk: at + timedelta(milliseconds=one)
        for account, one in zip(accounts, left, strict=True)
        if one
    }


# --- the keys -------------------------------------------------------------------------------------


def has_keys(account: OperatorAccount) -> bool:
    """Whether the contract has the keys that its protocol wants, and they can be read.

    Where every secret may be left empty (one of several logins), at least one has to be there.
    """
    try:
        wanted = registry.capabilities(account.adapter, account.profile).credentials
        given = {name for name, value in account.credentials.items() if value}
    except (registry.NoSuchAdapter, ImportError, Undecryptable):
        return False
    secret = {one.name for one in wanted if one.secret}
    required = {one.name for one in wanted if one.required}
    return required <= given and (not secret or bool(secret & given))


# --- the quota ------------------------------------------------------------------------------------


def _used(accounts: Sequence[OperatorAccount]) -> dict[int, tuple[QuotaUse, ...]] | None:
    """What has left within each window; None where Redis does not answer."""
    asked = [(one, window) for one in accounts for window in quota.allowance(one).windows]
    if not asked:
        return {}
    server = quota.client(settings.REDIS_URL)
    try:
        # The clock of Redis marks the departures.
        seconds, micros = server.time()  # type: ignore[misc]
        now = seconds * 1000 + micros // 1000
        pipe = server.pipeline(transaction=False)
        for account, window in asked:
            # Where `operators.limits.quota` marks each call that leaves.
            departures = f"quota:{account.code}:departures"
            pipe.zcount(departures, now - window.seconds * 1000 + 1, "+inf")
        counted = pipe.execute()
    except redis.RedisError:
        return None
    found: dict[int, tuple[QuotaUse, ...]] = {}
    for (account, window), used in zip(asked, counted, strict=True):
        use = QuotaUse(int(used), window.calls, window.seconds)
        found[account.pk] = (*found.get(account.pk, ()), use)
    return found
