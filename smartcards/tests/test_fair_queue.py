"""Fair turns: nobody's long queue stands before another's short one, whatever the order of events."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.models import OperatorAccount
from smartcards.commands import advance_fair_clock, reserve_turns
from smartcards.models import FairShare
from smartcards.tests.cards import make_account, make_merchant

pytestmark = pytest.mark.django_db


@dataclass
class Queue:
    """An account's queue as the outbox keeps it: the smallest turn leaves first, equals as they came."""

    account: OperatorAccount
    merchants: dict[str, int] = field(default_factory=dict)
    waiting: list[tuple[int, int, str]] = field(default_factory=list)
    came: int = 0

    def enter(self, name: str, count: int = 1) -> list[int]:
        """The turns of so many commands of this merchant."""
        if name not in self.merchants:
            self.merchants[name] = make_merchant(name).pk
        own = (self.account.pk, self.merchants[name])
        last = reserve_turns({own: count})[own]
        turns = list(range(last - count + 1, last + 1))
        for turn in turns:
            self.came += 1
            self.waiting.append((turn, self.came, name))
        return turns

    def serve(self) -> str:
        """Whose command leaves now."""
        first = min(self.waiting)
        self.waiting.remove(first)
        advance_fair_clock(account_id=self.account.pk, turn=first[0])
        return first[2]

    def drain(self) -> list[str]:
        return [self.serve() for _ in range(len(self.waiting))]

    def has(self, name: str) -> bool:
        return any(row[2] == name for row in self.waiting)


@pytest.fixture
def queue() -> Queue:
    return Queue(make_account())


def known_turn(queue: Queue) -> int:
    return OperatorAccount.objects.get(pk=queue.account.pk).turn


def test_commands_of_one_merchant_stand_in_a_row(queue):
    assert [queue.enter("Сеть"), queue.enter("Сеть"), queue.enter("Сеть", 3)] == [
        [1],
        [2],
        [3, 4, 5],
    ]


def test_card_of_nobody_takes_no_turn(queue):
    nobodys = (queue.account.pk, None)

    assert reserve_turns({nobodys: 5}) == {nobodys: 0}
    assert FairShare.objects.count() == 0


def test_chain_and_kiosks_interleave(queue):
    queue.enter("Сеть", 10)
    for kiosk in ("Киоск", "Ларёк", "Палатка"):
        queue.enter(kiosk)

    order = queue.drain()

    assert order == ["Сеть", "Киоск", "Ларёк", "Палатка", *["Сеть"] * 9]


def test_two_chains_leave_one_by_one(queue):
    queue.enter("Первая", 4)
    queue.enter("Вторая", 2)

    assert queue.drain() == ["Первая", "Вторая", "Первая", "Вторая", "Первая", "Первая"]


def test_newcomer_stands_behind_the_advance_fair_clock_turn(queue):
    queue.enter("Сеть", 10)
    for _ in range(6):
        queue.serve()

    turns = queue.enter("Киоск", 2)

    assert known_turn(queue) == 6
    assert turns == [7, 8]
    assert queue.drain() == ["Сеть", "Киоск", "Сеть", "Киоск", "Сеть", "Сеть"]


def test_long_absence_gives_no_credit(queue):
    queue.enter("Киоск")
    queue.enter("Сеть", 8)
    for _ in range(7):
        queue.serve()

    queue.enter("Киоск", 3)

    assert queue.drain() == ["Сеть", "Киоск", "Сеть", "Киоск", "Киоск"]


def test_advance_fair_clock_turn_never_goes_back(queue):
    advance_fair_clock(account_id=queue.account.pk, turn=7)
    advance_fair_clock(account_id=queue.account.pk, turn=3)

    assert known_turn(queue) == 7


def test_accounts_have_queues_of_their_own(queue):
    other = Queue(make_account("other"), merchants=queue.merchants)
    queue.enter("Сеть", 5)
    queue.drain()

    assert other.enter("Сеть") == [1]
    assert known_turn(other) == 0
    assert known_turn(queue) == 5


# --- any order of events -------------------------------------------------------------------------

NAMES = ("Сеть", "Магазин", "Киоск")
arrivals = st.tuples(st.sampled_from(NAMES), st.integers(1, 6))
departures = st.integers(1, 8)
events = st.lists(arrivals | departures, max_size=20)
# Every example has an account and merchants of its own, so the database need not be emptied between.
some = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_accounts = iter(range(1_000_000))


def fresh() -> Queue:
    return Queue(make_account(f"turns-{next(_accounts)}"))


@some
@given(events)
def test_at_most_two_commands_of_each_merchant_overtake(happened):
    queue = fresh()
    passed: defaultdict[str, Counter[str]] = defaultdict(Counter)

    for event in (*happened, 1_000):
        if isinstance(event, tuple):
            queue.enter(*event)
            continue
        for _ in range(min(event, len(queue.waiting))):
            name = queue.serve()
            passed[name].clear()
            for waiting in {row[2] for row in queue.waiting} - {name}:
                passed[waiting][name] += 1

            assert all(max(counts.values(), default=0) <= 2 for counts in passed.values())

    assert queue.waiting == []


@some
@given(st.lists(arrivals, min_size=1, max_size=6))
def test_all_waiting_merchants_are_advance_fair_clock_equally(came):
    queue = fresh()
    for name, count in came:
        queue.enter(name, count)
    got: Counter[str] = Counter()

    while queue.waiting:
        got[queue.serve()] += 1
        shares = [got[name] for name in NAMES if queue.has(name)]
        assert not shares or max(shares) - min(shares) <= 1
