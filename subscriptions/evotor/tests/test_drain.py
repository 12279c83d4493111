"""The inbox is drained in order for each merchant, merchants in turn, past rows that somebody holds."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from django.db.models import TextField
from django.db.models.expressions import RawSQL

from cabinet.inbox.processing import BUSY_DELAY, MOST_ATTEMPTS
from cabinet.models import Alert, Merchant
from cabinet.tasks.advisory_lock import only_one
from subscriptions.evotor import inbox, tasks
from subscriptions.evotor.models import Delivery, Hook, Sender
from subscriptions.evotor.tests import market
from subscriptions.models import Subscription

OTHERS = "01-{:015}"


def make_merchants(number: int) -> list[str]:
    market.make_module()
    users = [OTHERS.format(one) for one in range(1, number + 1)]
    for user_id in users:
        Merchant.objects.create(evotor_user_id=user_id, created_at=market.BOUGHT)
    return users


def make_delivery(user_id: str, number: int = 1) -> Delivery:
    own = {"userId": user_id, "subscriptionId": f"{user_id[-8:]}-6307-4acc-b61c-741ee9eef6c0"}
    payload = market.created(number) if number == 1 else market.renewed(number, market.BOUGHT)
    return Delivery.objects.create(
        hook=Hook.SUBSCRIPTION,
        body_hash=f"{user_id} {number}",
        body=json.dumps(payload | own),
        user_id=user_id,
        event_type="",
        authorized_as=Sender.APPLICATION,
        received_at=market.NOW,
    )


@contextmanager
def hold_merchant(user_id: str) -> Iterator[None]:
    """Another session holds the merchant's row for the block."""
    taken, finish = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Merchant.objects.select_for_update().get(evotor_user_id=user_id)
            taken.set()
            finish.wait(timeout=30)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(timeout=20)
    yield
    finish.set()
    thread.join(timeout=20)


@pytest.mark.django_db
def test_merchants_take_turns_each_in_order():
    first, second, third = make_merchants(3)
    long_queue = [make_delivery(first, number).pk for number in (1, 2, 3)]
    others = [make_delivery(second).pk, make_delivery(third).pk]

    assert inbox.INBOX.waiting(at=market.NOW) == [long_queue[0], *others, *long_queue[1:]]


@pytest.mark.django_db(transaction=True)
def test_held_merchant_does_not_stop_the_others():
    held, *others = make_merchants(4)
    rows = [make_delivery(held, number) for number in (1, 2, 3)]
    for user_id in others:
        make_delivery(user_id)

    with hold_merchant(held):
        started = time.monotonic()
        ended = inbox.INBOX.process_waiting(at=market.NOW)
        seconds = time.monotonic() - started
    after = inbox.INBOX.process_waiting(at=market.NOW + BUSY_DELAY)

    assert ended == 3
    assert seconds < 15
    assert after == 3
    states = Delivery.objects.filter(user_id=held).order_by("pk").values_list("state", "attempts")
    assert list(states) == [("done", 1)] * len(rows)
    assert Alert.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_held_merchant_costs_no_tries():
    (held,) = make_merchants(1)
    row = make_delivery(held)

    with hold_merchant(held):
        done = inbox.INBOX.process(row.pk, at=market.NOW)

    row.refresh_from_db()
    assert done is False
    assert (row.state, row.attempts) == ("new", 0)
    assert row.next_try_at == market.NOW + BUSY_DELAY


@pytest.mark.django_db(transaction=True)
def test_merchant_at_whom_another_worker_works_is_left_to_it():
    busy, free = make_merchants(2)
    make_delivery(busy)
    make_delivery(free)
    taken, finish = threading.Event(), threading.Event()

    def other_worker():
        with only_one(f"MarketInbox:{busy}"):
            taken.set()
            finish.wait(timeout=20)
        connection.close()

    thread = threading.Thread(target=other_worker)
    thread.start()
    assert taken.wait(timeout=20)
    ended = inbox.INBOX.process_waiting(at=market.NOW)
    finish.set()
    thread.join(timeout=20)

    assert ended == 1
    assert list(Delivery.objects.order_by("pk").values_list("state", flat=True)) == ["new", "done"]
    assert inbox.INBOX.process_waiting(at=market.NOW) == 1


@pytest.mark.django_db
def test_delivery_that_another_worker_ends_meanwhile_is_left_to_it():
    (user_id,) = make_merchants(1)
    row = make_delivery(user_id)

    def ending(execute, sql, *arguments):
        result = execute(sql, *arguments)
        if "SET attempts = attempts + 1" in sql:
            Delivery.objects.update(state="done")
        return result

    with connection.execute_wrapper(ending):
        done = inbox.INBOX.process(row.pk, at=market.NOW)

    assert done is False
    assert list(Delivery.objects.values_list("state", "attempts")) == [("done", 1)]
    assert Subscription.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_two_workers_end_everything_once():
    users = make_merchants(20)
    for number in (1, 2):
        for user_id in users:
            make_delivery(user_id, number)

    def worker():
        tasks.drain()
        connection.close()

    threads = [threading.Thread(target=worker) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    tasks.drain()

    assert set(Delivery.objects.values_list("state", "attempts")) == {("done", 1)}
    assert Subscription.objects.count() == len(users)


@pytest.mark.django_db
def test_event_costs_a_known_number_of_statements(django_assert_num_queries):
    (user_id,) = make_merchants(1)
    first, second = (make_delivery(user_id, number).pk for number in (1, 2))

    # With two savepoint statements, since a test is a transaction of its own.
    with django_assert_num_queries(16):
        inbox.INBOX.process(first, at=market.NOW)
    with django_assert_num_queries(24):
        inbox.INBOX.process(second, at=market.NOW)
    with django_assert_num_queries(1):
        inbox.INBOX.process(second, at=market.NOW)


@pytest.mark.django_db
def test_end_of_a_delivery_leaves_its_stored_body_alone():
    (user_id,) = make_merchants(1)
    row = make_delivery(user_id)
    encrypted = RawSQL("body", [], output_field=TextField())
    stored = Delivery.objects.annotate(encrypted=encrypted).values_list("state", "encrypted")
    ((_, before),) = stored

    inbox.INBOX.process(row.pk, at=market.NOW)

    assert list(stored.all()) == [("done", before)]


@pytest.mark.django_db
def test_more_than_eight_tries_are_never_begun():
    (user_id,) = make_merchants(1)
    row = make_delivery(user_id)
    Delivery.objects.update(attempts=MOST_ATTEMPTS)

    done = inbox.INBOX.process(row.pk, at=market.NOW)

    row.refresh_from_db()
    assert done is False
    assert (row.state, row.attempts, row.next_try_at) == ("failed", MOST_ATTEMPTS, None)
