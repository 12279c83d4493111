"""The quota against a real server: never exceeded, patient after a loss, closed while nobody can count."""

import threading
import time
from datetime import timedelta
from itertools import count

import pytest
from django.conf import settings as django_settings

from cabinet.clock import real_now
from operators import quota
from operators.models import OperatorAccount
from operators.ports import CallKind, NotSent

pytestmark = pytest.mark.django_db

NOBODY_THERE = "redis://127.0.0.1:1/0"
_numbers = count(1)


@pytest.fixture(autouse=True)
def _empty_server():
    quota.client(django_settings.REDIS_URL).flushdb()


def make(**fields) -> OperatorAccount:
    return OperatorAccount.objects.create(
        code=f"quota-{next(_numbers)}",
        title="Оператор",
        adapter="mts",
        base_url="https://api.example.com",
        **fields,
    )


def counted(**fields) -> OperatorAccount:
    """An account whose counter is known, as after its first question."""
    account = make(**fields)
    assert quota.seconds_to_wait(account) == 0
    return account


def leaves(account: OperatorAccount) -> bool:
    try:
        quota.admit(account, CallKind.SUBMIT)
    except NotSent:
        return False
    return True


def refusal(account: OperatorAccount) -> tuple[str, float]:
    with pytest.raises(NotSent) as refused:
        quota.admit(account, CallKind.SUBMIT)
    return refused.value.code, refused.value.retry_after or 0


def push(account: OperatorAccount, *, threads: int, seconds: float) -> list[float]:
    """The times at which calls left, while so many threads press without a pause."""
    ends, left = time.monotonic() + seconds, []

    def work() -> None:
        while time.monotonic() < ends:
            if leaves(account):
                left.append(time.monotonic())
            time.sleep(0.001)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sorted(left)


def test_three_threads_together_never_exceed_a_second():
    account = counted(per_second=5)

    left = push(account, threads=3, seconds=2.6)

    busiest = max(sum(1 for other in left if one <= other < one + 1) for one in left)
    assert busiest == 5
    # Windows of 1.15 s: at 0, 1.15 and 2.3 s. The quota is used, not only kept.
    assert len(left) == 15


def test_both_windows_hold_at_once():
    account = counted(per_second=3, per_minute=4)

    first = [leaves(account) for _ in range(4)]
    in_the_second = refusal(account)
    time.sleep(1.2)
    second = [leaves(account) for _ in range(2)]
    in_the_minute = refusal(account)

    assert first == [True, True, True, False]
    assert second == [True, False]
    assert in_the_second[0] == in_the_minute[0] == "quota"
    assert 0 < in_the_second[1] <= 1.15
    assert 55 < in_the_minute[1] <= 60.5


def test_call_refused_by_one_window_takes_no_place_in_the_other():
    account = counted(per_second=1, per_minute=2)

    pressed = [leaves(account) for _ in range(6)]
    time.sleep(1.2)

    assert pressed == [True, False, False, False, False, False]
    assert leaves(account)


def test_question_takes_no_place():
    account = counted(per_second=1)

    waits = [quota.seconds_to_wait(account) for _ in range(5)]

    assert waits == [0] * 5
    assert leaves(account)
    assert 0 < quota.seconds_to_wait(account) <= 1.15


def test_accounts_do_not_share_a_quota():
    one, other = counted(per_second=1), counted(per_second=1)

    assert [leaves(one), leaves(one), leaves(other)] == [True, False, True]


def test_account_without_limits_needs_no_server(settings):
    settings.REDIS_URL = NOBODY_THERE
    account = make(per_second=None, per_minute=None)

    assert quota.seconds_to_wait(account) == 0
    assert all(leaves(account) for _ in range(100))


@pytest.mark.parametrize(
    ("fields", "longest"), [({"per_second": 3, "per_minute": 60}, 61), ({"per_second": 3}, 2)]
)
def test_lost_counter_rests_one_whole_window_after_the_last_call(fields, longest):
    account = counted(**fields)
    quota.note_call(account)
    quota.client(django_settings.REDIS_URL).flushdb()

    wait = quota.seconds_to_wait(account)

    assert longest - 1.5 < wait <= longest
    assert refusal(account) == ("quota", 1)


def test_lost_counter_of_an_account_that_has_rested_begins_anew():
    account = counted(per_second=3, per_minute=60)
    OperatorAccount.objects.filter(pk=account.pk).update(
        last_call_at=real_now() - timedelta(seconds=62)
    )
    quota.client(django_settings.REDIS_URL).flushdb()

    wait = quota.seconds_to_wait(account)

    assert wait == 0
    assert leaves(account)


def test_nothing_leaves_while_nobody_can_count(settings):
    account = counted(per_second=3)
    settings.REDIS_URL = NOBODY_THERE

    with pytest.raises(quota.QuotaAway):
        quota.seconds_to_wait(account)

    assert refusal(account) == ("quota", 5)
    assert not quota.turn_comes(account)


def test_short_wait_is_waited_for_and_a_long_one_is_not():
    second, minute = counted(per_second=1), counted(per_minute=1)
    leaves(second)
    leaves(minute)
    began = time.monotonic()

    comes = (quota.turn_comes(second), quota.turn_comes(minute))

    assert comes == (True, False)
    assert 0.5 < time.monotonic() - began < 3
    assert leaves(second)


def test_calls_are_noted_about_once_a_second():
    account = make(per_second=3)

    quota.note_call(account)
    first = OperatorAccount.objects.get(pk=account.pk).last_call_at
    quota.note_call(account)
    second = OperatorAccount.objects.get(pk=account.pk).last_call_at
    OperatorAccount.objects.filter(pk=account.pk).update(
        last_call_at=real_now() - timedelta(seconds=5)
    )
    quota.note_call(account)
    third = OperatorAccount.objects.get(pk=account.pk).last_call_at

    assert first is not None
    assert third is not None
    assert second == first
    assert abs(third - real_now()) < timedelta(seconds=2)
