"""A line whose time is up leaves no gap behind it."""

from pathlib import Path

import pytest

from cabinet.celery import app
from operators.limits import quota
from smartcards import commands, tasks
from smartcards.states import CommandKind, CommandState, Origin
from smartcards.tests.cards import OWNER
from smartcards.tests.dispatch_setup import standing

pytestmark = pytest.mark.django_db(transaction=True)


def enqueued() -> list[tuple[str, dict[str, object]]]:
    """What was enqueued on the operators' queue, oldest first; the queue is empty then."""
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue("operators", no_ack=True)
        messages = [queue.get_nowait() for _ in range(queue.qsize())]
    return [(message.headers["task"], message.payload[1]) for message in messages]


def queued(stand, count):
    """Commands of mass work and no message yet."""
    rows = [
        commands.create(
            card=stand.card(desired_on=True),
            kind=CommandKind.ACTIVATE,
            origin=Origin.MASS,
            by=OWNER,
            at=stand.clock(),
            wake_dispatcher=False,
        )
        for _ in range(count)
    ]
    enqueued()
    return rows


def states(rows):
    """Their states now."""
    for row in rows:
        row.refresh_from_db()
    return {CommandState(row.state) for row in rows}


def test_work_that_is_left_over_is_rung_for_at_once(tmp_path: Path):
    with standing("tmf640", tmp_path, concurrency=1) as stand:
        stand.bench.fault("submit", "slow", seconds=0.2, times=None)
        rows = queued(stand, 4)

        tasks.dispatch_account(account_id=stand.account.pk, budget=0.1)

        assert states(rows) == {CommandState.DONE, CommandState.QUEUED}
        assert enqueued() == [("smartcards.dispatch", {"account_id": stand.account.pk})]


def test_finished_work_rings_for_nobody(tmp_path: Path):
    with standing("tmf640", tmp_path) as stand:
        rows = queued(stand, 2)

        tasks.dispatch_account(account_id=stand.account.pk)

        assert states(rows) == {CommandState.DONE}
        assert enqueued() == []


def test_work_that_cannot_be_done_rings_for_nobody(tmp_path: Path):
    with standing("tmf640", tmp_path) as stand:
        rows = queued(stand, 2)
        quota.pause(stand.account, 30)

        tasks.dispatch_account(account_id=stand.account.pk)

        assert states(rows) == {CommandState.QUEUED}
        assert enqueued() == []
