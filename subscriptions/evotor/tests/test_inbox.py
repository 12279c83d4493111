"""Nothing that was accepted is lost: claims, errors, tries, replays, repeats."""

import json
import logging
import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.signals import post_save
from hypothesis import given, settings
from hypothesis import strategies as st

from cabinet import clock
from cabinet.actors import Actor
from cabinet.enums import ActorKind
from cabinet.errors import Refused
from cabinet.inbox import processing
from cabinet.models import Alert, AuditEvent, Merchant
from subscriptions.evotor import inbox, tasks
from subscriptions.evotor.models import Delivery, Hook, SubscriptionEvent
from subscriptions.evotor.schemas import UserCreate
from subscriptions.evotor.services import register
from subscriptions.evotor.tests import market
from subscriptions.models import Period, Subscription, Tariff

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
    """Every projection fails when the subscription is written."""

    def fail(**_kwargs):
        raise Broken("на последнем шаге")

    post_save.connect(fail, sender=Subscription)
    yield
    post_save.disconnect(fail, sender=Subscription)


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

    done = inbox.INBOX.process(delivery.pk, at=market.NOW)

    delivery.refresh_from_db()
    assert done is False
    assert delivery.state == Delivery.State.FAILED
    assert delivery.attempts == 1
    assert delivery.next_try_at == market.NOW + timedelta(seconds=10)
    assert "Broken: на последнем шаге" in delivery.error
    assert Subscription.objects.count() == 0
    assert SubscriptionEvent.objects.count() == 0
    assert Alert.objects.count() == 0


def test_failed_delivery_is_retried_with_backoff_then_alerted(known, broken_receiver):
    delivery = store(market.created())
    at, waits = market.NOW, []

    for _ in range(8):
        assert inbox.INBOX.waiting(at=at) == [delivery.pk]
        inbox.INBOX.process(delivery.pk, at=at)
        delivery.refresh_from_db()
        if delivery.next_try_at:
            waits.append((delivery.next_try_at - at).total_seconds())
            assert inbox.INBOX.waiting(at=delivery.next_try_at - timedelta(seconds=1)) == []
            at = delivery.next_try_at

    assert waits == [10, 30, 90, 270, 810, 2430, 7290]
    assert delivery.state == Delivery.State.FAILED
    assert delivery.next_try_at is None
    assert inbox.INBOX.waiting(at=at + market.days(30)) == []
    assert [alert.text for alert in Alert.objects.all()] == [
        "Эвотор, subscription/event: не удалось обработать за 8 попыток."
    ]


@given(tries=st.integers(1, processing.MOST_ATTEMPTS - 1), ahead=st.integers(180, 1440))
@settings(max_examples=20)
def test_clock_that_steps_back_puts_no_try_off(tries, ahead):
    minute = timedelta(minutes=1)
    with transaction.atomic():
        market.make_module()
        register(request=UserCreate(user_id=market.USER), at=market.NOW)
        delivery = store(market.created(), at=market.NOW + ahead * minute)
        delay = processing.FIRST_DELAY * 3 ** (tries - 1)
        facts = {"attempts": tries, "next_try_at": market.NOW + ahead * minute + delay}
        Delivery.objects.update(state="failed", **facts)
        is_beyond_doubt = ahead * minute > 2 * delay

        assert inbox.INBOX.process_waiting(at=market.NOW) == int(is_beyond_doubt)
        assert Delivery.objects.filter(pk=delivery.pk, state="done").exists() == is_beyond_doubt
        transaction.set_rollback(True)


def test_failed_delivery_is_done_once_the_trouble_is_over(known):
    def fail(**_kwargs):
        raise Broken

    post_save.connect(fail, sender=Subscription)
    delivery = store(market.created())
    inbox.INBOX.process(delivery.pk, at=market.NOW)
    post_save.disconnect(fail, sender=Subscription)

    later = market.NOW + timedelta(seconds=10)
    too_early = inbox.INBOX.process(delivery.pk, at=market.NOW)
    in_time = inbox.INBOX.process(delivery.pk, at=later)

    delivery.refresh_from_db()
    assert not too_early  # before its time nobody begins the next try
    assert in_time
    assert delivery.state == Delivery.State.DONE
    assert delivery.error == ""
    assert delivery.attempts == 2
    assert market.subscription().paid_cards == 2


def test_done_delivery_is_not_processed_again(known):
    delivery = store(market.created())
    first = inbox.INBOX.process(delivery.pk, at=market.NOW)

    second = inbox.INBOX.process(delivery.pk, at=market.NOW)

    assert first is True
    assert second is False


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


def audit_texts() -> list[str]:
    written = AuditEvent.objects.exclude(action="replayed").order_by("pk")
    return list(written.values_list("text", flat=True))


def test_replay_writes_nothing_twice(known):
    market.deliver(market.created(), market.activated())
    texts = audit_texts()

    for delivery in Delivery.objects.all():
        inbox.replay(delivery_id=delivery.pk, by=STAFF, at=market.NOW)
    market.work()

    again = audit_texts()
    assert again == texts
    assert SubscriptionEvent.objects.count() == 2
    assert Period.objects.count() == 1


def test_event_before_its_user_is_processed_when_the_user_appears():
    market.make_module()
    market.deliver(market.created(), market.activated())
    assert market.deliveries() == [("parked", f"Неизвестный клиент: {market.USER}")] * 2
    assert Alert.objects.filter(closed_at=None).count() == 1

    register(request=UserCreate(user_id=market.USER), at=market.NOW)
    revived = inbox.requeue_parked(user_id=market.USER)
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

    assert inbox.requeue_known_users() == 0
    assert market.deliveries() == [("parked", f"Неизвестный клиент: {market.USER}")]


def test_tariff_that_comes_later_is_taken_over(known):
    market.deliver(market.created(planId="kassovye-9m"), market.activated())
    assert market.subscription().tariff is None
    module = market.subscription().module
    tariff = Tariff.objects.create(
        module=module, plan_id="kassovye-9m", title="9", months=12, price_kopecks=1
    )

    inbox.requeue_parked()
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


def test_last_of_several_waiting_lists_counts(client, known):
    rows = market.sample("inventories_devices_v1")
    other = [rows[0] | {"name": "Другое имя"}]
    token = market.register(client)

    for body in (rows, other, rows):
        market.send(client, "inventories/devices", body, method="PUT", headers=market.bearer(token))
    market.work(clock.now())

    assert [terminal.name for terminal in known.terminals.all()] == ["Моя касса №3"]


def test_delivery_held_by_another_worker_is_left_to_it(transactional_db):
    market.make_module()
    register(request=UserCreate(user_id=market.USER), at=market.NOW)
    delivery = store(market.created())
    results = []

    def other_worker():
        results.append(inbox.INBOX.process(delivery.pk, at=market.NOW))
        connection.close()

    with transaction.atomic():
        Delivery.objects.select_for_update().get(pk=delivery.pk)
        thread = threading.Thread(target=other_worker)
        thread.start()
        thread.join(timeout=30)

    (processed_by_other,) = results
    assert not processed_by_other
    assert inbox.INBOX.process(delivery.pk, at=market.NOW) is True


@pytest.mark.parametrize("number", [50])
def test_concurrent_events_of_one_merchant_end_as_sequential_ones(transactional_db, number):
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
            inbox.INBOX.process(delivery_id, at=market.NOW)
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
    for _ in range(processing.MOST_ATTEMPTS):
        inbox.INBOX.process(delivery.pk, at=at)
        delivery.refresh_from_db()
        at = delivery.next_try_at or at
    assert delivery.state == Delivery.State.FAILED
    assert delivery.next_try_at is None
    return at


def test_repeat_of_a_given_up_delivery_is_processed(known):
    def fail(**_kwargs):
        raise Broken

    post_save.connect(fail, sender=Subscription)
    delivery = store(market.created())
    at = given_up(delivery)
    post_save.disconnect(fail, sender=Subscription)

    again = store(market.created(), at=at + market.days(1))
    market.work(at + market.days(1))

    delivery.refresh_from_db()
    assert again.pk == delivery.pk
    assert delivery.state == Delivery.State.DONE
    assert delivery.attempts == 1
    assert delivery.repeats == 1
    assert market.subscription().paid_cards == 2
    assert Alert.objects.filter(closed_at=None).count() == 0


def test_repeat_of_a_given_up_delivery_resets_its_attempts(known, broken_receiver):
    delivery = store(market.created())
    at = given_up(delivery)

    store(market.created(), at=at)
    market.work(at)

    delivery.refresh_from_db()
    assert delivery.state == Delivery.State.FAILED
    assert delivery.attempts == 1
    assert delivery.next_try_at == at + timedelta(seconds=10)


def test_repeat_does_not_hurry_a_scheduled_retry(known, broken_receiver):
    delivery = store(market.created())
    inbox.INBOX.process(delivery.pk, at=market.NOW)

    again = store(market.created())

    assert again.state == Delivery.State.FAILED
    assert again.attempts == 1
    assert again.next_try_at == market.NOW + timedelta(seconds=10)


def test_repeated_list_has_all_its_attempts_when_it_fails(known, settings):
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

    for _ in range(processing.MOST_ATTEMPTS):
        inbox.INBOX.process(push().pk, at=market.NOW)
    last = push()

    assert last.state == Delivery.State.NEW
    assert last.attempts == 0
    assert last.repeats == processing.MOST_ATTEMPTS


def test_failure_is_ignored_when_another_worker_is_done(known, broken_receiver):
    delivery = store(market.created())
    others = Delivery.objects.filter(pk=delivery.pk)

    class Meanwhile(logging.Handler):
        def emit(self, record):
            others.update(state=Delivery.State.DONE)

    handler = Meanwhile()
    processing.logger.addHandler(handler)
    try:
        inbox.INBOX.process(delivery.pk, at=market.NOW)
    finally:
        processing.logger.removeHandler(handler)

    delivery.refresh_from_db()
    assert delivery.state == Delivery.State.DONE
    assert delivery.attempts == 1
    assert delivery.error == ""


@pytest.fixture
def deadly_receiver():
    """The process ends in the middle of a projection: no `except` of ours hears of it."""

    def die(**_kwargs):
        raise SystemExit

    post_save.connect(die, sender=Subscription)
    yield
    post_save.disconnect(die, sender=Subscription)


def try_deadly(delivery, at):
    """One more process that dies of it; the row afterwards."""
    with pytest.raises(SystemExit):
        inbox.INBOX.process(delivery.pk, at=at)
    delivery.refresh_from_db()
    return delivery.state, delivery.attempts, delivery.next_try_at - at


def test_event_killing_its_process_is_parked_after_eight_attempts(known, deadly_receiver):
    delivery, at = store(market.created()), market.NOW

    tries = []
    for _ in range(processing.MOST_ATTEMPTS):
        assert inbox.INBOX.waiting(at=at) == [delivery.pk]
        tries.append(try_deadly(delivery, at))
        assert inbox.INBOX.waiting(at=at) == []
        at = delivery.next_try_at
    done = inbox.INBOX.process(delivery.pk, at=at)

    delivery.refresh_from_db()
    assert tries == [
        (Delivery.State.NEW, count, timedelta(seconds=10 * 3 ** (count - 1)))
        for count in range(1, processing.MOST_ATTEMPTS + 1)
    ]
    assert done is False
    assert delivery.state == Delivery.State.FAILED
    assert delivery.next_try_at is None
    assert inbox.INBOX.waiting(at=at + timedelta(days=9)) == []
    assert list(Alert.objects.values_list("key", flat=True)) == ["evotor.failed.subscription/event"]


def test_event_that_ended_its_process_stands_back_for_the_others(known, deadly_receiver):
    deadly = store(market.created())
    other = store(market.created(subscriptionId="5e8f1c2a-0000-4000-8000-000000000002"))

    try_deadly(deadly, market.NOW)

    later = market.NOW + timedelta(seconds=10)
    assert inbox.INBOX.waiting(at=market.NOW) == [other.pk]
    assert inbox.INBOX.waiting(at=later) == [deadly.pk, other.pk]


def test_replay_of_a_still_unknown_delivery_keeps_one_alert_open(known):
    market.deliver(market.created(planId="new"))
    delivery = Delivery.objects.get()

    inbox.replay(delivery_id=delivery.pk, by=STAFF, at=market.NOW)
    market.work()

    assert market.deliveries() == [("parked", "Неизвестный тариф: new")]
    assert list(Alert.objects.values_list("closed_at", "seen_times")) == [(None, 2)]
