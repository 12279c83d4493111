"""A broker that is frozen, gone or full of rubbish, and an alarm clock that was ahead."""

import base64
import json
import socket
import time
from contextlib import ExitStack, suppress
from datetime import timedelta

import pytest

from cabinet.celery import app
from cabinet.tasks import task_queue
from cabinet.tasks.redis_transport import is_valid_message
from cabinet.tasks.scheduler import StatelessScheduler

WHOLE = {
    "body": base64.b64encode(b"[[], {}, {}]").decode(),
    "content-encoding": "utf-8",
    "content-type": "application/json",
    "headers": {"task": "smartcards.sweep", "id": "1"},
    "properties": {
        "body_encoding": "base64",
        "delivery_tag": "1",
        "delivery_info": {"exchange": "", "routing_key": "default"},
    },
}


@pytest.fixture
def frozen_broker(monkeypatch):
    """It takes connections and never answers; the socket that it listens at."""
    monkeypatch.setattr(task_queue._pause, "ends_at", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        monkeypatch.setitem(app.conf, "broker_write_url", f"redis://127.0.0.1:{port}/0")
        yield listening


def connections_to(listening: socket.socket) -> int:
    """How many wait to be taken."""
    listening.setblocking(False)
    taken = []
    with suppress(BlockingIOError), ExitStack() as closing:
        while True:
            taken.append(closing.enter_context(listening.accept()[0]))
    return len(taken)


def test_frozen_broker_delays_a_page_once(frozen_broker):
    started = time.monotonic()

    for number in range(20):
        task_queue.enqueue_now("smartcards.dispatch", account_id=number)

    # One wait and not twenty, which would take ten seconds.
    assert task_queue.TIMEOUT_SECONDS <= time.monotonic() - started < 9 * task_queue.TIMEOUT_SECONDS
    assert connections_to(frozen_broker) == 1


def test_stopped_broker_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(task_queue._pause, "ends_at", 0.0)
    monkeypatch.setitem(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
    started = time.monotonic()

    task_queue.enqueue_now("smartcards.dispatch", account_id=1)

    # Celery by itself would try for six seconds.
    assert time.monotonic() - started < 6 * task_queue.TIMEOUT_SECONDS


@pytest.mark.parametrize(
    "broken",
    [
        {},
        [],
        "text",
        WHOLE | {"headers": {}},
        WHOLE | {"body": "ключ"},
        WHOLE | {"body": base64.b64encode(b"{}").decode()},
        WHOLE | {"body": base64.b64encode(b"not JSON").decode()},
        WHOLE | {"content-type": "application/x-python-serialize"},
        WHOLE | {"properties": {}},
    ],
    ids=json.dumps,
)
def test_message_that_we_cannot_have_sent_is_broken(broken):
    assert not is_valid_message(broken)


def test_message_of_ours_is_whole():
    assert is_valid_message(WHOLE)


def test_beat_rings_everything_at_its_start_whatever_it_did_before():
    beat = StatelessScheduler(app=app, lazy=True, schedule={})

    beat.setup_schedule()

    late = {app.now() - entry.last_run_at > timedelta(days=1) for entry in beat.schedule.values()}
    assert late == {True}
