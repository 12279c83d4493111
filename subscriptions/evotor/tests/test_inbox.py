"""Nothing that was accepted is lost: claims, errors, tries, replays, repeats."""

import json
import logging
import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction

from cabinet.actors import Actor
from cabinet.errors import Refused
from cabinet.models import Alert, AuditEvent, Merchant
from cabinet.states import ActorKind
from subscriptions.evotor import inbox, queries, tasks
from subscriptions.evotor.hooks import Hook
from subscriptions.evotor.models import Delivery, SubscriptionEvent
from subscriptions.evotor.schema import UserCreate
from subscriptions.evotor.services import register
from subscriptions.evotor.tests import market
from subscriptions.models import Period, Subscription, Tariff
from subscriptions.signals import entitlement_changed

pytestmark = pytest.mark.django_db

STAFF = Actor(ActorKind.STAFF, "Ольга Поддержкина", 7)


class Broken(Exception):
    """Something that nobody thought of."""


@pytest.fixture
def known():
    market.make_module()
    return register(request=UserCreate(user_id=market.USER), at=market.NOW).merchant


@pytest.fixture
def broken_receiver():
    """The last step of every projection fails, as a real receiver might."""

    def fail(**_kwargs):
        raise Broken("на последнем шаге")

    entitlement_changed.connect(fail)
    yield
    entitlement_changed.disconnect(fail)


def store(payload, at=market.NOW):
    return inbox.store(
        hook=Hook.SUBSCRIPTION,
        body=json.dumps(payload).encode(),
        user_id=market.USER,
        event_type=payload["type"],
        authorized_as="приложение",
        at=at,
    )


def test_error_undoes_everything_and_is_kept_beside_the_body(known, broken_receiver):
    delivery = store(market.created())

    done = inbox.process(delivery_id=delivery.pk, at=market.NOW)

    delivery.refresh_from_db()
    assert done is False
    assert (delivery.state, delivery.attempts) == (Delivery.State.FAILED, 1)
    assert delivery.next_try_at == market.NOW + timedelta(seconds=10)
    assert "Broken: на последнем шаге" in delivery.error
    assert (Subscription.objects.count(), SubscriptionEvent.objects.count()) == (0, 0)
    assert Alert.objects.count() == 0


def test_failed_delivery_is_tried_later_and_later_and_then_put_before_staff(known, broken_receiver):
    delivery = store(market.created())
    at, waits = market.NOW, []

    for _ in range(8):
        assert queries.waiting_deliveries(at=at) == [delivery.pk]
        inbox.process(delivery_id=delivery.pk, at=at)
        delivery.refresh_from_db()
        if delivery.next_try_at:
            waits.append((delivery.next_try_at - at).total_seconds())
            assert queries.waiting_deliveries(at=delivery.next_try_at - timedelta(seconds=1)) == []
            at = delivery.next_try_at

    assert waits == [10, 30, 90, 270, 810, 2430, 7290]
    assert (delivery.state, delivery.next_try_at) == (Delivery.State.FAILED, None)
    assert queries.waiting_deliveries(at=at + market.days(30)) == []
    assert [alert.text for alert in Alert.objects.all()] == [
        "Эвотор, subscription/event: не удалось обработать за 8 попыток."
    ]


def test_failed_delivery_is_done_once_the_trouble_is_over(known):
    def fail(**_kwargs):
        raise Broken

    entitlement_changed.connect(fail)
    delivery = store(market.created())
    inbox.process(delivery_id=delivery.pk, at=market.NOW)
    entitlement_changed.disconnect(fail)

    later = market.NOW + timedelta(seconds=10)
    tries = [inbox.process(delivery_id=delivery.pk, at=at) for at in (market.NOW, later)]

    delivery.refresh_from_db()
    assert tries == [False, True]  # before its time nobody begins the next try
    assert (delivery.state, delivery.error, delivery.attempts) == (Delivery.State.DONE, "", 2)
    assert market.subscription().paid_cards == 2


def test_done_delivery_is_not_processed_again(known):
    delivery = store(market.created())
    first = inbox.process(delivery_id=delivery.pk, at=market.NOW)

    second = inbox.process(delivery_id=delivery.pk, at=market.NOW)

    assert (first, second) == (True, False)


@pytest.mark.parametrize("state", [Delivery.State.DONE, Delivery.State.FAILED])
def test_replay_gives_the_same_rows_again(known, state):
    market.deliver(market.created(), market.activated())
    before = market.kept(market.subscription())
    Subscription.objects.all().delete()
    Delivery.objects.update(state=state)
    first, second = Delivery.objects.order_by("pk")

    inbox.replay(delivery_id=first.pk, by=STAFF, at=market.NOW)
    inbox.replay(delivery_id=second.pk, by=STAFF, at=market.NOW)
    market.work()

    assert market.kept(market.subscription()) == before
    rows = AuditEvent.objects.filter(action="replayed").values_list("actor_name", "merchant_id")
    assert list(rows) == [(STAFF.name, known.pk)] * 2


def test_replay_of_a_waiting_delivery_is_refused(known):
    delivery = store(market.created())

    with pytest.raises(Refused, match="и так ждёт"):
        inbox.replay(delivery_id=delivery.pk, by=STAFF, at=market.NOW)


def test_replay_writes_nothing_twice(known):
    market.deliver(market.created(), market.activated())
    lines = list(AuditEvent.objects.exclude(action="replayed").values_list("text", flat=True))

    for delivery in Delivery.objects.all():
        inbox.replay(delivery_id=delivery.pk, by=STAFF, at=market.NOW)
    market.work()

    again = list(AuditEvent.objects.exclude(action="replayed").values_list("text", flat=True))
    assert again == lines
    assert (SubscriptionEvent.objects.count(), Period.objects.count()) == (2, 1)


def test_event_before_its_user_is_processed_when_the_user_appears():
    market.make_module()
    market.deliver(market.created(), market.activated())
    assert market.deliveries() == [("parked", f"Неизвестный клиент: {market.USER}")] * 2
    assert Alert.objects.filter(closed_at=None).count() == 2

    register(request=UserCreate(user_id=market.USER), at=market.NOW)
    revived = inbox.revive(user_id=market.USER)
    market.work()

    assert revived == 2
    assert market.deliveries() == [("done", "")] * 2
    assert market.subscription().paid_until == market.FIRST_END
    assert Alert.objects.filter(closed_at=None).count() == 0


def test_sweep_finds_what_a_lost_wake_up_left_behind():
    market.make_module()
    market.deliver(market.created())
    store(market.activated())
    register(request=UserCreate(user_id=market.USER), at=market.NOW)

    tasks.sweep()

    assert market.deliveries() == [("done", "")] * 2


def test_sweep_leaves_a_user_who_is_still_unknown_parked():
    market.make_module()
    market.deliver(market.created())

    assert inbox.revive_known() == 0
    assert market.deliveries() == [("parked", f"Неизвестный клиент: {market.USER}")]


def test_tariff_that_comes_later_is_taken_over(known):
    market.deliver(market.created(planId="kassovye-9m"), market.activated())
    assert market.subscription().tariff is None
    module = market.subscription().module
    tariff = Tariff.objects.create(
        module=module, plan_id="kassovye-9m", title="9", months=12, price_kopecks=1
    )

    inbox.revive()
    market.work()

    row = market.subscription()
    assert row.tariff == tariff
    assert [period.tariff for period in row.periods.all()] == [tariff]
    assert market.deliveries() == [("done", "")] * 2
    assert Alert.objects.filter(closed_at=None).count() == 0


def test_one_unknown_tariff_is_one_matter(known):
    other = "b1d7c0de-8f2e-4a4e-9b3c-2f6d5a1e7c90"

    market.deliver(market.created(planId="new"), market.created(planId="new", subscriptionId=other))

    assert list(Alert.objects.values_list("text", "seen_times", "merchant_id")) == [
        ("Эвотор, subscription/event: Неизвестный тариф: new", 2, known.pk)
    ]


def test_inventory_that_comes_again_is_processed_again(client, known):
    rows = market.sample("inventories_devices_v1")
    other = [rows[0] | {"name": "Другое имя"}]
    token = market.register(client)

    for body in (rows, other, rows):
        market.send(client, "inventories/devices", body, method="PUT", headers=market.bearer(token))
        market.work()

    assert [terminal.name for terminal in known.terminals.all()] == ["Моя касса №3"]
    assert list(Delivery.objects.order_by("pk").values_list("repeats", flat=True)) == [1, 0]


def test_delivery_held_by_another_worker_is_left_to_it(transactional_db):
    market.make_module()
    register(request=UserCreate(user_id=market.USER), at=market.NOW)
    delivery = store(market.created())
    results = []

    def other_worker():
        results.append(inbox.process(delivery_id=delivery.pk, at=market.NOW))
        connection.close()

    with transaction.atomic():
        Delivery.objects.select_for_update().get(pk=delivery.pk)
        thread = threading.Thread(target=other_worker)
        thread.start()
        thread.join(timeout=30)

    assert results == [False]
    assert inbox.process(delivery_id=delivery.pk, at=market.NOW) is True


@pytest.mark.parametrize("number", [50])
def test_events_of_one_merchant_processed_at_once_end_as_one_by_one(transactional_db, number):
    market.make_module()
    register(request=UserCreate(user_id=market.USER), at=market.NOW)
    ends = [market.FIRST_END + market.days(30 * step) for step in range(number - 2)]
    payloads = [market.created(), market.activated()] + [
        market.renewed(step + 3, end - market.days(30), nextBillingDate=end.isoformat())
        for step, end in enumerate(ends)
    ]
    ids = [store(payload).pk for payload in payloads]

    def worker(mine):
        for delivery_id in mine:
            inbox.process(delivery_id=delivery_id, at=market.NOW)
        connection.close()

    threads = [threading.Thread(target=worker, args=(ids[start::8],)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    market.work(market.NOW + market.days(1))

    together = market.kept(market.subscription())
    Merchant.objects.all().delete()
    SubscriptionEvent.objects.all().delete()
    Delivery.objects.all().delete()
    register(request=UserCreate(user_id=market.USER), at=market.NOW)
    market.deliver(*payloads)
    assert together == market.kept(market.subscription())
    assert together["paid_until"] == ends[-1]


# What the market says again


def given_up(delivery):
    """The delivery with all of its tries used up, before staff."""
    at = market.NOW
    for _ in range(inbox.MOST_ATTEMPTS):
        inbox.process(delivery_id=delivery.pk, at=at)
        delivery.refresh_from_db()
        at = delivery.next_try_at or at
    assert (delivery.state, delivery.next_try_at) == (Delivery.State.FAILED, None)
    return at


def test_given_up_delivery_that_the_market_repeats_is_done_when_the_trouble_is_over(known):
    def fail(**_kwargs):
        raise Broken

    entitlement_changed.connect(fail)
    delivery = store(market.created())
    at = given_up(delivery)
    entitlement_changed.disconnect(fail)

    again = store(market.created(), at=at + market.days(1))
    market.work(at + market.days(1))

    delivery.refresh_from_db()
    assert again.pk == delivery.pk
    assert (delivery.state, delivery.attempts, delivery.repeats) == (Delivery.State.DONE, 1, 1)
    assert market.subscription().paid_cards == 2
    assert Alert.objects.filter(closed_at=None).count() == 0


def test_repeat_of_a_given_up_delivery_has_all_its_tries_again(known, broken_receiver):
    delivery = store(market.created())
    at = given_up(delivery)

    store(market.created(), at=at)
    market.work(at)

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.next_try_at) == (
        Delivery.State.FAILED,
        1,
        at + timedelta(seconds=10),
    )


def test_repeat_does_not_hurry_a_delivery_that_will_be_tried_again(known, broken_receiver):
    delivery = store(market.created())
    inbox.process(delivery_id=delivery.pk, at=market.NOW)

    again = store(market.created())

    assert (again.state, again.attempts, again.next_try_at) == (
        Delivery.State.FAILED,
        1,
        market.NOW + timedelta(seconds=10),
    )


def test_list_that_came_many_times_has_all_its_tries_when_it_fails_at_last(known, settings):
    body = json.dumps(market.sample("inventories_devices_v1")).encode()

    def push():
        return inbox.store(
            hook=Hook.DEVICES,
            body=body,
            user_id=market.USER,
            event_type="",
            authorized_as="клиент",
            at=market.NOW,
        )

    for _ in range(inbox.MOST_ATTEMPTS):
        inbox.process(delivery_id=push().pk, at=market.NOW)
    last = push()

    assert (last.state, last.attempts, last.repeats) == (
        Delivery.State.NEW,
        0,
        inbox.MOST_ATTEMPTS,
    )


def test_failure_of_what_another_worker_has_done_meanwhile_is_no_failure(known, broken_receiver):
    delivery = store(market.created())
    others = Delivery.objects.filter(pk=delivery.pk)

    class Meanwhile(logging.Handler):
        def emit(self, record):
            others.update(state=Delivery.State.DONE)

    handler = Meanwhile()
    inbox.logger.addHandler(handler)
    try:
        inbox.process(delivery_id=delivery.pk, at=market.NOW)
    finally:
        inbox.logger.removeHandler(handler)

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.error) == (Delivery.State.DONE, 1, "")


@pytest.fixture
def deadly_receiver():
    """The process ends in the middle of a projection: no `except` of ours hears of it."""

    def die(**_kwargs):
        raise SystemExit

    entitlement_changed.connect(die)
    yield
    entitlement_changed.disconnect(die)


def try_deadly(delivery, at):
    """One more process that dies of it; the row afterwards."""
    with pytest.raises(SystemExit):
        inbox.process(delivery_id=delivery.pk, at=at)
    delivery.refresh_from_db()
    return delivery.state, delivery.attempts, delivery.next_try_at - at


def test_event_that_ends_its_process_is_left_to_staff_after_eight_tries(known, deadly_receiver):
    delivery, at = store(market.created()), market.NOW

    tries = []
    for _ in range(inbox.MOST_ATTEMPTS):
        assert queries.waiting_deliveries(at=at) == [delivery.pk]
        tries.append(try_deadly(delivery, at))
        assert queries.waiting_deliveries(at=at) == []
        at = delivery.next_try_at
    done = inbox.process(delivery_id=delivery.pk, at=at)

    delivery.refresh_from_db()
    assert tries == [
        (Delivery.State.NEW, count, timedelta(seconds=10 * 3 ** (count - 1)))
        for count in range(1, inbox.MOST_ATTEMPTS + 1)
    ]
    assert (done, delivery.state, delivery.next_try_at) == (False, Delivery.State.FAILED, None)
    assert queries.waiting_deliveries(at=at + timedelta(days=9)) == []
    assert list(Alert.objects.values_list("key", flat=True)) == [f"evotor.delivery.{delivery.pk}"]


def test_event_that_ended_its_process_stands_back_for_the_others(known, deadly_receiver):
    deadly = store(market.created())
    other = store(market.created(subscriptionId="5e8f1c2a-0000-4000-8000-000000000002"))

    try_deadly(deadly, market.NOW)

    later = market.NOW + timedelta(seconds=10)
    assert queries.waiting_deliveries(at=market.NOW) == [other.pk]
    assert queries.waiting_deliveries(at=later) == [deadly.pk, other.pk]


def test_replay_of_what_is_still_unknown_leaves_its_one_matter_open(known):
    market.deliver(market.created(planId="new"))
    delivery = Delivery.objects.get()

    inbox.replay(delivery_id=delivery.pk, by=STAFF, at=market.NOW)
    market.work()

    assert market.deliveries() == [("parked", "Неизвестный тариф: new")]
    assert list(Alert.objects.values_list("closed_at", "seen_times")) == [(None, 2)]
