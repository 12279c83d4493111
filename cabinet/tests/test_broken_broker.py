"""A broker that is frozen, gone or full of rubbish, and an alarm clock that was ahead."""

import base64
import json
import socket
import time
from datetime import timedelta

import pytest

from cabinet import wake
from cabinet.beat import ForgetfulScheduler
from cabinet.broker import is_whole
from cabinet.celery import app

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
    """It takes connections and never answers."""
    monkeypatch.setattr(wake._silence, "ends_at", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        monkeypatch.setitem(app.conf, "broker_write_url", f"redis://127.0.0.1:{port}/0")
        yield


@pytest.mark.usefixtures("frozen_broker")
def test_frozen_broker_costs_a_page_one_short_wait_however_many_wake_ups():
    started = time.monotonic()

    for number in range(20):
        wake.ring("smartcards.dispatch", account_id=number)

    assert wake.PATIENCE_SECONDS <= time.monotonic() - started < 2 * wake.PATIENCE_SECONDS


def test_stopped_broker_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(wake._silence, "ends_at", 0.0)
    monkeypatch.setitem(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
    started = time.monotonic()

    wake.ring("smartcards.dispatch", account_id=1)

    assert time.monotonic() - started < wake.PATIENCE_SECONDS


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
    assert not is_whole(broken)


def test_message_of_ours_is_whole():
    assert is_whole(WHOLE)


def test_beat_rings_everything_at_its_start_whatever_it_did_before():
    beat = ForgetfulScheduler(app=app, lazy=True, schedule={})

    beat.setup_schedule()

    late = {app.now() - entry.last_run_at > timedelta(days=1) for entry in beat.schedule.values()}
    assert late == {True}
