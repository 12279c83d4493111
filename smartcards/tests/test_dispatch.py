"""How a switch reaches the operator and comes back, against the played operators over real HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cabinet.models import Alert
from operators.ports import Sim
from operators.services import connect
from smartcards import commands, dispatch, services
from smartcards.models import Command
from smartcards.states import CommandState, Confirmed, Origin
from smartcards.tests.cards import OWNER
from smartcards.tests.stand import Stand, standing, told

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["mts", "tmf640"])
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    with standing(request.param, tmp_path) as stand:
        yield stand


@pytest.fixture
def mts(tmp_path: Path) -> Iterator[Stand]:
    with standing("mts", tmp_path) as stand:
        yield stand


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Stand]:
    with standing("tmf640", tmp_path) as stand:
        yield stand


def test_activation_is_sent_once_and_confirmed(stand):
    card = stand.card()
    command = stand.activate(card)

    stand.drain()
    stand.run(seconds=6)

    card.refresh_from_db()
    command.refresh_from_db()
    assert (card.confirmed, card.block_reason, command.state) == (
        Confirmed.ACTIVE,
        "",
        CommandState.DONE,
    )
    assert stand.effects(card) == ["activate"]


def test_deactivation_is_sent_once_and_confirmed(stand):
    card = stand.card(state="active", wished_on=True)
    stand.deactivate(card)

    stand.drain()
    stand.run(seconds=6)

    card.refresh_from_db()
    assert (card.confirmed, card.block_reason) == (Confirmed.INACTIVE, "voluntary")
    assert stand.effects(card) == ["deactivate"]


def test_accepted_command_is_polled_by_the_plan_until_done(mts):
    mts.bench.limits(delay_seconds=0.2)
    card = mts.card()
    command = mts.activate(card)

    mts.drain()
    command.refresh_from_db()
    waiting = (command.state, round((command.check_at - command.sent_at).total_seconds()))
    mts.ask()
    asked_too_early = mts.calls(card)["check"]
    mts.run(seconds=6)

    assert waiting == (CommandState.ACCEPTED, 5)
    assert asked_too_early == 0
    assert told(command)[:3] == ["queued", "sending", "accepted"]


def test_lost_answer_is_read_and_never_sent_again(stand):
    card = stand.card()
    stand.bench.fault("submit", "drop_after")
    command = stand.activate(card)

    stand.drain()
    command.refresh_from_db()
    state_after_loss, calls_of_sending = command.state, stand.calls(card)
    stand.run(seconds=30)
    calls_in_quiet_time = stand.calls(card)
    stand.run(seconds=31)

    card.refresh_from_db()
    assert state_after_loss == CommandState.CHECKING
    assert calls_in_quiet_time == calls_of_sending
    assert card.confirmed == Confirmed.ACTIVE
    assert (stand.effects(card), stand.calls(card)["submit"]) == (["activate"], 1)


def test_request_that_never_arrived_fails_after_the_reading(partner):
    card = partner.card()
    partner.bench.fault("submit", "drop_before")
    command = partner.activate(card)

    partner.drain()
    partner.run(seconds=61)

    command.refresh_from_db()
    assert (command.state, command.error, command.code) == ("failed", "transient", "not_done")
    assert partner.effects(card) == []


def test_request_that_mts_does_not_know_fails_after_the_second_no(mts):
    card = mts.card()
    mts.bench.fault("submit", "drop_before")
    command = mts.activate(card)

    mts.drain()
    mts.run(seconds=61)
    command.refresh_from_db()
    after_first_no = command.state
    mts.run(seconds=61)

    command.refresh_from_db()
    assert (after_first_no, command.state, command.code) == ("checking", "failed", "lost")
    assert mts.effects(card) == []


def test_forgotten_acceptance_of_mts_goes_to_staff(mts):
    card = mts.card()
    mts.bench.fault("submit", "accept_and_forget")
    command = mts.activate(card)

    mts.drain()
    for _ in range(3):
        mts.run(seconds=61)

    command.refresh_from_db()
    assert (command.state, mts.calls(card)["submit"]) == (CommandState.NEEDS_STAFF, 1)


def test_already_switched_card_becomes_done_without_an_effect(stand):
    card = stand.card()
    stand.bench.put(Sim(card.iccid, card.msisdn), state="active")
    stand.activate(card)

    stand.drain()
    stand.run(seconds=6)
    stand.run(seconds=6)

    card.refresh_from_db()
    assert (card.confirmed, stand.effects(card)) == (Confirmed.ACTIVE, [])


def test_card_held_by_the_operator_is_not_retried(stand):
    card = stand.card()
    stand.bench.put(Sim(card.iccid, card.msisdn), state="held", reason="fraud")
    command = stand.activate(card)

    stand.drain()
    stand.run(seconds=6)

    card.refresh_from_db()
    command.refresh_from_db()
    assert (command.state, command.error, card.confirmed) == (
        "failed",
        "held_by_operator",
        Confirmed.HELD,
    )


def test_too_many_requests_go_back_to_the_queue_and_leave_later(stand):
    card = stand.card()
    stand.bench.fault("submit", "http_429", retry_after=40)
    command = stand.activate(card)

    stand.drain()
    command.refresh_from_db()
    pause = round((command.due_at - stand.clock()).total_seconds())
    stand.run(seconds=30)
    too_early = stand.effects(card)
    stand.run(seconds=11)

    assert (command.state, pause) == (CommandState.QUEUED, 40)
    assert (too_early, stand.effects(card)) == ([], ["activate"])


def test_maintenance_keeps_the_command_in_the_queue_or_reads_it(stand):
    card = stand.card()
    stand.bench.fault("submit", "maintenance")
    stand.activate(card)

    stand.drain()
    for _ in range(5):
        stand.run(seconds=301)

    assert stand.effects(card) in (["activate"], [])
    assert stand.calls(card)["submit"] <= 2


def test_unknown_card_fails_and_staff_are_told(stand):
    card = stand.card()
    type(card).objects.filter(pk=card.pk).update(iccid="89701010000000099999", msisdn="79990099999")
    card.refresh_from_db()
    command = stand.activate(card)

    stand.drain()

    command.refresh_from_db()
    assert (command.state, command.error) == ("failed", "not_found")
    assert (
        Alert.objects.filter(key=f"operator:card:{card.pk}:not_found", closed_at=None).count() == 1
    )


def test_wrong_keys_keep_the_queue_and_tell_staff(stand):
    stand.account.credentials = dict.fromkeys(stand.account.credentials, "wrong")
    stand.account.save()
    card = stand.card()
    command = stand.activate(card)

    stand.drain()

    command.refresh_from_db()
    assert command.state == CommandState.QUEUED
    assert list(Alert.objects.values_list("key", flat=True)) == [
        f"operator:account:{stand.account.pk}:auth"
    ]
    assert stand.effects(card) == []


def test_command_no_longer_wanted_does_not_leave(stand):
    card = stand.card()
    command = stand.activate(card)
    card.coverages.update(till=stand.clock())

    stand.drain()

    command.refresh_from_db()
    assert (command.state, stand.calls(card)["submit"]) == (CommandState.CANCELLED, 0)


def test_on_goes_before_off_and_a_click_before_reconcile(partner):
    clicked_off = partner.card(state="active", wished_on=True)
    swept_off = partner.card(state="active", wished_on=True, covered=False)
    clicked_on = partner.card()
    swept_on = partner.card(wished_on=True)
    for card, kind in ((swept_off, "deactivate"), (swept_on, "activate")):
        commands.create(card=card, kind=kind, origin=Origin.RECONCILE, by=OWNER, at=partner.clock())
    partner.deactivate(clicked_off)
    partner.activate(clicked_on)

    claimed = dispatch.claim(account=partner.account, at=partner.clock(), limit=10)

    assert [command.card for command in claimed] == [clicked_on, swept_on, clicked_off, swept_off]


def test_claimed_command_is_not_claimed_twice_within_its_lease(partner):
    partner.activate(partner.card())

    first = dispatch.claim(account=partner.account, at=partner.clock(), limit=10)
    second = dispatch.claim(account=partner.account, at=partner.clock(), limit=10)
    partner.clock.pass_(seconds=61)
    third = dispatch.claim(account=partner.account, at=partner.clock(), limit=10)

    assert (len(first), len(second), len(third)) == (1, 0, 1)


def test_lease_that_ran_out_before_sending_sends_nothing(partner):
    card = partner.card()
    command = partner.activate(card)
    (claimed,) = dispatch.claim(account=partner.account, at=partner.clock(), limit=1)
    letter = dispatch.begin(claimed, at=partner.clock())
    partner.clock.pass_(seconds=31)

    result = dispatch.send(connect(partner.account, heard=lambda _: None), letter, partner.clock)
    dispatch.record(letter=letter, result=result, at=partner.clock())

    command.refresh_from_db()
    assert (command.state, partner.calls(card)["submit"]) == (CommandState.QUEUED, 0)


def test_dead_workers_sending_is_read_and_not_queued_again(stand):
    card = stand.card()
    command = stand.activate(card)
    (claimed,) = dispatch.claim(account=stand.account, at=stand.clock(), limit=1)
    letter = dispatch.begin(claimed, at=stand.clock())
    dispatch.send(connect(stand.account, heard=lambda _: None), letter, stand.clock)

    stand.run(seconds=31)
    command.refresh_from_db()
    after_the_lease = command.state
    stand.run(seconds=61)

    command.refresh_from_db()
    assert (after_the_lease, command.state) == (CommandState.CHECKING, CommandState.DONE)
    assert (stand.effects(card), stand.calls(card)["submit"]) == (["activate"], 1)


def test_late_answer_is_believed_while_nobody_decided(mts):
    card = mts.card()
    command = mts.activate(card)
    (claimed,) = dispatch.claim(account=mts.account, at=mts.clock(), limit=1)
    letter = dispatch.begin(claimed, at=mts.clock())
    result = dispatch.send(connect(mts.account, heard=lambda _: None), letter, mts.clock)
    mts.clock.pass_(seconds=31)
    dispatch.release_stuck(at=mts.clock())

    dispatch.record(letter=letter, result=result, at=mts.clock())
    mts.run(seconds=61)

    command.refresh_from_db()
    assert (command.request_id, command.state) == (result.request_id, CommandState.DONE)


def test_late_answer_changes_nothing_after_the_command_is_over(partner):
    card = partner.card()
    command = partner.activate(card)
    (claimed,) = dispatch.claim(account=partner.account, at=partner.clock(), limit=1)
    letter = dispatch.begin(claimed, at=partner.clock())
    result = dispatch.send(connect(partner.account, heard=lambda _: None), letter, partner.clock)
    partner.run(seconds=31)
    partner.run(seconds=61)
    finished = Command.objects.get(pk=command.pk)

    dispatch.record(letter=letter, result=result, at=partner.clock())

    again = Command.objects.get(pk=command.pk)
    assert (again.state, again.finished_at) == (finished.state, finished.finished_at)


def test_switched_off_account_sends_nothing_and_keeps_the_queue(partner):
    partner.account.enabled = False
    partner.account.save()
    card = partner.card()
    command = partner.activate(card)

    partner.drain()

    command.refresh_from_db()
    assert (command.state, partner.calls(card)["submit"]) == (CommandState.QUEUED, 0)


def test_quota_of_the_account_is_never_exceeded(tmp_path):
    with standing("tmf640", tmp_path, per_second=2, per_minute=None, concurrency=4) as stand:
        stand.bench.limits(per_second=2)
        for _ in range(5):
            stand.activate(stand.card())

        stand.drain()

        shown = stand.bench.call("GET", "/state/tmf640")
        assert shown["rejected_by_quota"] == 0


def test_without_redis_nothing_leaves_and_nothing_is_lost(tmp_path, settings):
    with standing("tmf640", tmp_path, per_second=5) as stand:
        card = stand.card()
        command = stand.activate(card)
        settings.REDIS_URL = "redis://127.0.0.1:1/0"

        stand.drain()

        command.refresh_from_db()
        assert (command.state, command.attempts, stand.calls(card)["submit"]) == (
            CommandState.QUEUED,
            0,
            0,
        )


def test_cancelled_command_does_not_leave(stand):
    card = stand.card()
    stand.activate(card)

    services.cancel_command(card=card, by=OWNER, at=stand.clock())
    stand.drain()

    card.refresh_from_db()
    assert (stand.calls(card)["submit"], card.wished_on) == (0, False)
