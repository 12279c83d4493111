"""Crashes, lost messages and doubled alarm clocks, with real servers and real worker processes.

What counts is the operator's own book: the sandbox lists every real change and every request.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from operators.limits import quota
from operators.ports import Sim
from smartcards import services
from smartcards.models import Command
from smartcards.states import CommandState, OperatorState
from smartcards.tests import processes
from smartcards.tests.cards import OWNER
from smartcards.tests.dispatch_setup import Stand, standing

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.workers]


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Stand]:
    with standing(
        "tmf640", tmp_path, timeout_seconds=3, lease_seconds=6, quiet_seconds=1, poll_plan=[1]
    ) as stand:
        yield stand


def state_of(command: Command) -> str:
    return str(Command.objects.values_list("state", flat=True).get(pk=command.pk))


def all_done() -> bool:
    return set(Command.objects.values_list("state", flat=True)) == {CommandState.DONE}


def over(command: Command) -> bool:
    return state_of(command) in {CommandState.DONE, CommandState.FAILED}


def test_worker_killed_between_the_call_and_its_record(partner, tmp_path):
    card = partner.card()
    partner.bench.fault("submit", "drip", seconds=1)
    command = partner.activate(card)

    with processes.beat(tmp_path):
        with processes.worker(tmp_path) as doomed:
            assert processes.eventually(lambda: partner.effects(card) == ["activate"])
            processes.kill(doomed)
        state_left_behind = state_of(command)
        with processes.worker(tmp_path):
            assert processes.eventually(lambda: over(command))

    card.refresh_from_db()
    assert state_left_behind == CommandState.SENDING
    assert state_of(command) == CommandState.DONE
    assert partner.effects(card) == ["activate"]
    assert partner.calls(card)["submit"] == 1
    assert card.confirmed == OperatorState.ACTIVE


def test_broker_emptied_loses_nothing(partner, tmp_path, settings):
    cards = [partner.card() for _ in range(5)]
    for card in cards:
        partner.activate(card)
    quota.client(settings.REDIS_URL).flushdb()

    with processes.beat(tmp_path), processes.worker(tmp_path):
        assert processes.eventually(all_done)

    assert [partner.effects(card) for card in cards] == [["activate"]] * 5


def test_two_beats_and_two_workers_send_every_command_once(partner, tmp_path):
    cards = [partner.card() for _ in range(10)]
    for card in cards:
        partner.activate(card)

    with ExitStack() as running:
        for name in ("first", "second"):
            running.enter_context(processes.beat(tmp_path, name))
            running.enter_context(processes.worker(tmp_path))
        assert processes.eventually(all_done)

    assert [(partner.effects(card), partner.calls(card)["submit"]) for card in cards] == [
        (["activate"], 1)
    ] * 10


def test_stale_off_queued_behind_a_payment_does_not_leave(partner, tmp_path):
    card = partner.card(state="active", desired_on=True)
    end = partner.clock() - timedelta(seconds=1)
    type(partner.subscription).objects.update(entitled_until=end)
    with processes.beat(tmp_path), processes.worker(tmp_path) as doomed:
        type(partner.account).objects.update(enabled=False)
        assert processes.eventually(lambda: Command.objects.filter(state="queued").exists())
        processes.kill(doomed)
    type(partner.subscription).objects.update(entitled_until=None)
    type(partner.account).objects.update(enabled=True)

    with processes.beat(tmp_path), processes.worker(tmp_path):
        assert processes.eventually(lambda: Command.objects.filter(state="cancelled").exists())

    assert partner.effects(card) == []
    assert partner.calls(card)["submit"] == 0


def test_end_of_paid_period_deactivates_and_payment_reactivates(partner, tmp_path):
    card = partner.card(state="active", desired_on=True)
    stopped = partner.card(state="active", desired_on=True)
    services.request_deactivation(card=stopped, by=OWNER, at=partner.clock())
    type(partner.subscription).objects.update(entitled_until=partner.clock())

    with processes.beat(tmp_path), processes.worker(tmp_path):
        assert processes.eventually(lambda: partner.effects(card) == ["deactivate"])
        assert processes.eventually(all_done)
        type(partner.subscription).objects.update(entitled_until=None)
        processes.enqueue("smartcards.reconcile_merchant", merchant_id=partner.merchant.pk)
        assert processes.eventually(lambda: partner.effects(card) == ["deactivate", "activate"])
        assert processes.eventually(all_done)

    card.refresh_from_db()
    assert card.confirmed == OperatorState.ACTIVE
    assert partner.effects(stopped) == ["deactivate"]
    assert partner.bench.state(Sim(card.iccid, card.msisdn))["state"] == "active"
