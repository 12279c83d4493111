"""What PostgreSQL and Redis know of each contract at this moment."""

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings as django_settings

from operators import account_snapshot
from operators.account_snapshot import AccountNow, QuotaUse
from operators.limits import quota
from operators.limits.maintenance import Maintenance
from operators.models import EventRejection, OperatorAccount
from operators.ports import CallKind

pytestmark = pytest.mark.django_db

# Sunday, noon in Moscow.
AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
WINDOWS = [
    {"days": [0, 6], "from": "23:00", "to": "04:30"},
    {"days": [2], "from": "02:00", "to": "03:00"},
]


@pytest.fixture(autouse=True)
def _empty_server():
    quota.client(django_settings.REDIS_URL).flushdb()


def make(code: str, **fields) -> OperatorAccount:
    given = {"title": code, "adapter": "mts", "base_url": "https://api.example.com", **fields}
    return OperatorAccount.objects.create(code=code, **given)


def hours(number: float) -> datetime:
    return AT + timedelta(hours=number)


def test_all_contracts_are_listed_by_title(django_assert_num_queries):
    busy = make(
        "b",
        per_second=5,
        per_minute=60,
        broken_since=hours(-1),
        probe_at=hours(1),
        maintenance_windows=WINDOWS,
        last_answer_at=hours(-2),
        last_error="HTTP 503",
        last_error_at=hours(-1),
        silent_until=hours(1),
    )
    calm = make("a", enabled=False, silent_until=hours(-1))
    quota.seconds_to_wait(busy)
    for _ in range(3):
        quota.QuotaGate(busy)(CallKind.SUBMIT)

    quota.pause(calm, 600)
    EventRejection.objects.create(account=busy, hour=hours(-23), reason="age", times=3)
    EventRejection.objects.create(account=busy, hour=hours(-2), reason="age", times=2)
    EventRejection.objects.create(account=busy, hour=hours(-25), reason="conflict", times=9)

    with django_assert_num_queries(2):
        found = account_snapshot.accounts_now(AT)

    paused_until = found[0].paused_until
    assert paused_until is not None
    assert hours(0.16) < paused_until <= AT + timedelta(seconds=600)
    assert found == [
        AccountNow(calm.pk, "a", False, None, None, None, (), None, "", None, None, paused_until),
        AccountNow(
            pk=busy.pk,
            title="b",
            enabled=True,
            broken_since=hours(-1),
            probe_at=hours(1),
            maintenance=Maintenance(hours(11), hours(16.5)),
            quota=(QuotaUse(3, 5, 1), QuotaUse(3, 60, 60)),
            last_answer_at=hours(-2),
            last_error="HTTP 503",
            last_error_at=hours(-1),
            silent_until=hours(1),
            rejected_events={"age": 5},
        ),
    ]


def test_contracts_without_limits_need_no_redis(settings):
    make("a")
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    without = [one.quota for one in account_snapshot.accounts_now(AT)]
    make("b", per_second=5)
    unknown = [one.quota for one in account_snapshot.accounts_now(AT)]

    assert without == [()]
    assert unknown == [None, None]


@pytest.mark.parametrize(("used", "percent"), [(0, 0), (1, 33), (3, 100), (4, 100)])
def test_use_of_a_quota_is_never_over_a_hundred(used, percent):
    assert QuotaUse(used, calls=3, seconds=1).percent == percent


@pytest.mark.parametrize(
    ("at", "found", "runs"),
    [
        (hours(0), Maintenance(hours(11), hours(16.5)), False),
        (hours(12), Maintenance(None, hours(16.5)), True),
        (hours(48), Maintenance(hours(62), hours(63)), False),
        (hours(96), Maintenance(hours(179), hours(184.5)), False),
    ],
)
def test_window_of_works_that_runs_or_comes_next(at, found, runs):
    maintenance = account_snapshot.maintenance(WINDOWS, at)

    assert maintenance == found
    assert maintenance.runs == runs


@pytest.mark.parametrize("windows", [[], [{"from": "25:00", "to": "1"}], [{}], ["02:00"], [None]])
def test_no_window_or_a_wrong_one_is_none(windows):
    assert account_snapshot.maintenance(windows, AT) is None
