"""One message of a kind waits at a time, and none is kept back once its task has begun."""

import base64
import json

import pytest
import redis
from celery.signals import task_prerun
from django.conf import settings

from cabinet.accounts import tasks
from cabinet.celery import app
from cabinet.tasks import task_queue
from cabinet.tests.waiting import wait_until


@pytest.fixture(autouse=True)
def _tasks():
    """All tasks are known, as in a worker."""
    app.loader.import_default_modules()


@pytest.fixture
def broker(monkeypatch):
    """A real broker without messages."""
    monkeypatch.setattr(task_queue._pause, "ends_at", 0.0)
    monkeypatch.setitem(app.conf, "broker_write_url", settings.REDIS_URL)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
        yield client
        client.flushdb()


def waiting(client):
    """Arguments of the messages in the queue, the oldest first."""
    queues = ("default", "reconciliation")
    messages = [message for queue in queues for message in reversed(client.lrange(queue, 0, -1))]
    bodies = [json.loads(message)["body"] for message in messages]
    return [json.loads(base64.b64decode(body))[1] for body in bodies]


def begin(name, **arguments):
    """What Celery says where a worker begins a task."""
    task_prerun.send(sender=None, task_id="1", task=app.tasks[name], args=[], kwargs=arguments)


def test_hundred_wake_ups_of_one_task_are_one_message(broker):
    for _ in range(100):
        task_queue.enqueue_now("smartcards.reconcile_merchant", merchant_id=7)

    assert waiting(broker) == [{"merchant_id": 7}]


def test_other_arguments_are_another_message(broker):
    for merchant_id in (7, 8, 7):
        task_queue.enqueue_now("smartcards.reconcile_merchant", merchant_id=merchant_id)

    assert waiting(broker) == [{"merchant_id": 7}, {"merchant_id": 8}]


def test_wake_up_after_the_begin_is_sent_again(broker):
    task_queue.enqueue_now("smartcards.reconcile_merchant", merchant_id=7)
    begin("smartcards.reconcile_merchant", merchant_id=7)

    task_queue.enqueue_now("smartcards.reconcile_merchant", merchant_id=7)

    assert waiting(broker) == [{"merchant_id": 7}] * 2


def test_begin_of_another_task_keeps_the_message_pending(broker):
    task_queue.enqueue_now("smartcards.reconcile_merchant", merchant_id=7)
    begin("smartcards.reconcile_merchant", merchant_id=8)

    task_queue.enqueue_now("smartcards.reconcile_merchant", merchant_id=7)

    assert waiting(broker) == [{"merchant_id": 7}]


def test_lost_message_keeps_others_back_for_seconds_only(broker):
    task_queue.enqueue_now("evotor.drain")
    broker.delete("default")

    (key,) = broker.keys("pending:*")

    assert 0 < broker.ttl(key) <= task_queue.PENDING_SECONDS


def test_begin_of_a_task_survives_a_broker_that_is_away(monkeypatch, caplog):
    monkeypatch.setitem(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")

    begin("evotor.drain")

    assert "Could not note the begin of evotor.drain" in caplog.text


def test_thousand_calls_within_a_moment_are_one_message(broker, monkeypatch):
    monkeypatch.setattr(task_queue, "SOON_SECONDS", 1.0)  # a busy machine is slow to call
    for _ in range(1_000):
        task_queue.enqueue_soon("smartcards.reconcile_merchant", merchant_id=7)
    before = waiting(broker)
    wait_until(lambda: waiting(broker))

    assert before == []
    assert waiting(broker) == [{"merchant_id": 7}]


def test_call_after_the_moment_is_another_message(broker):
    for number in (1, 2):
        task_queue.enqueue_soon("smartcards.reconcile_merchant", merchant_id=7)
        wait_until(lambda sent=number: len(waiting(broker)) == sent)
        begin("smartcards.reconcile_merchant", merchant_id=7)

    assert waiting(broker) == [{"merchant_id": 7}] * 2


def test_long_sending_of_messages_goes_on_in_another_task(broker, monkeypatch):
    monkeypatch.setattr(tasks, "_SENDING_SECONDS", 0.0)

    tasks.send_messages()

    messages = [json.loads(message) for message in broker.lrange("operators", 0, -1)]
    assert [message["headers"]["task"] for message in messages] == ["cabinet.send_messages"]
