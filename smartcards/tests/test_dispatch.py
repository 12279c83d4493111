"""How a switch reaches the operator and comes back, against the played operators over real HTTP."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cabinet.models import Alert, AuditEvent
from operators.limits.breaker import THRESHOLD
from operators.ports import Sim
from smartcards import commands, services
from smartcards.dispatch import outbox
from smartcards.dispatch.outbox import OutgoingCommand
from smartcards.models import Brake, Command
from smartcards.states import (
    CommandKind,
    CommandState,
    OperatorState,
    Origin,
)
from smartcards.tests.cards import (
    OWNER,
    cover,
    make_card,
    make_live_subscription,
    make_merchant,
)
from smartcards.tests.dispatch_setup import (
    Drained,
    Stand,
    claim_all,
    send_now,
    standing,
    step_states,
)

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


def claimed(stand: Stand, limit: int = 1) -> list[OutgoingCommand]:
    return claim_all(stand.account, at=stand.clock(), limit=limit)


def test_activation_is_sent_once_and_confirmed(stand):
    card = stand.card()
    command = stand.activate(card)

    stand.work()
    stand.run(seconds=6)

    card.refresh_from_db()
    command.refresh_from_db()
    assert card.confirmed == OperatorState.ACTIVE
    assert card.block_reason == ""
    assert command.state == CommandState.DONE
    assert stand.effects(card) == ["activate"]


def test_deactivation_is_sent_once_and_confirmed(stand):
    card = stand.card(state="active", desired_on=True)
    stand.deactivate(card)

    stand.work()
    stand.run(seconds=6)

    card.refresh_from_db()
    assert card.confirmed == OperatorState.INACTIVE
    assert card.block_reason == "voluntary"
    assert stand.effects(card) == ["deactivate"]


def test_accepted_command_is_polled_by_the_plan_until_done(mts):
    mts.bench.limits(delay_seconds=0.2)
    card = mts.card()
    command = mts.activate(card)

    mts.work()
    command.refresh_from_db()
    state, pause = command.state, command.check_at - command.sent_at
    mts.work()
    asked_too_early = mts.calls(card)["check"]
    mts.run(seconds=6)

    assert state == CommandState.ACCEPTED
    # The plan's first pause, and the time of the call itself.
    assert 5 <= pause.total_seconds() < 10
    assert asked_too_early == 0
    assert step_states(command)[:3] == ["queued", "sending", "accepted"]


def test_lost_answer_is_read_and_never_sent_again(stand):
    card = stand.card()
    stand.bench.fault("submit", "drop_after")
    command = stand.activate(card)

    stand.work()
    command.refresh_from_db()
    state_after_loss, calls_of_sending = command.state, stand.calls(card)
    stand.run(seconds=30)
    calls_in_quiet_time = stand.calls(card)
    stand.run(seconds=31)

    card.refresh_from_db()
    assert state_after_loss == CommandState.CHECKING
    assert calls_in_quiet_time == calls_of_sending
    assert card.confirmed == OperatorState.ACTIVE
    assert stand.effects(card) == ["activate"]
    assert stand.calls(card)["submit"] == 1


def test_request_never_received_fails_after_the_deadline(partner):
    card = partner.card()
    partner.bench.fault("submit", "drop_before")
    command = partner.activate(card)

    partner.work()
    partner.run(seconds=61)
    command.refresh_from_db()
    while_it_may_still_run = command.state
    partner.run(seconds=3600)

    command.refresh_from_db()
    assert while_it_may_still_run == "checking"
    assert command.state == "failed"
    assert command.error == "transient"
    assert command.code == "not_done"
    assert partner.effects(card) == []


def test_request_unknown_to_mts_fails_after_second_answer(mts):
    card = mts.card()
    mts.bench.fault("submit", "drop_before")
    command = mts.activate(card)

    mts.work()
    mts.run(seconds=61)
    command.refresh_from_db()
    after_first_no = command.state
    mts.run(seconds=61)

    command.refresh_from_db()
    assert after_first_no == "checking"
    assert command.state == "failed"
    assert command.code == "lost"
    assert mts.effects(card) == []


def test_forgotten_acceptance_of_mts_goes_to_staff(mts):
    card = mts.card()
    mts.bench.fault("submit", "accept_and_forget")
    command = mts.activate(card)

    mts.work()
    for _ in range(3):
        mts.run(seconds=61)

    command.refresh_from_db()
    assert command.state == CommandState.NEEDS_STAFF
    assert mts.calls(card)["submit"] == 1


def test_already_switched_card_becomes_done_without_an_effect(stand):
    card = stand.card()
    stand.bench.put(Sim(card.iccid, card.msisdn), state="active")
    stand.activate(card)

    stand.work()
    stand.run(seconds=6)
    stand.run(seconds=6)

    card.refresh_from_db()
    assert card.confirmed == OperatorState.ACTIVE
    assert stand.effects(card) == []


def test_card_held_by_the_operator_is_not_retried(stand):
    card = stand.card()
    stand.bench.put(Sim(card.iccid, card.msisdn), state="held", reason="fraud")
    command = stand.activate(card)

    stand.work()
    stand.run(seconds=6)

    card.refresh_from_db()
    command.refresh_from_db()
    assert command.state == "failed"
    assert command.error == "held_by_operator"
    assert card.confirmed == OperatorState.HELD


def test_rate_limited_commands_are_requeued_and_sent_later(stand):
    card = stand.card()
    stand.bench.fault("submit", "http_429", retry_after=40)
    command = stand.activate(card)

    stand.work()
    command.refresh_from_db()
    pause = round((command.due_at - stand.clock()).total_seconds())
    stand.run(seconds=30)
    too_early = stand.effects(card)
    stand.end_pause()
    stand.run(seconds=11)

    assert command.state == CommandState.QUEUED
    assert pause == 40
    assert too_early == []
    assert stand.effects(card) == ["activate"]


def test_maintenance_keeps_the_command_in_the_queue_or_reads_it(stand):
    card = stand.card()
    stand.bench.fault("submit", "maintenance")
    stand.activate(card)

    stand.work()
    for _ in range(5):
        stand.run(seconds=301)

    assert stand.effects(card) in (["activate"], [])
    assert stand.calls(card)["submit"] <= 2


def test_unknown_card_fails_and_alerts_staff(stand):
    card = stand.card()
    type(card).objects.filter(pk=card.pk).update(iccid="89701010000000099999", msisdn="79990099999")
    card.refresh_from_db()
    command = stand.activate(card)

    stand.work()

    command.refresh_from_db()
    assert command.state == "failed"
    assert command.error == "not_found"
    assert (
        Alert.objects.filter(key=f"operator:card:{card.pk}:not_found", closed_at=None).count() == 1
    )


def test_wrong_keys_keep_the_queue_and_alert_staff(stand):
    stand.account.credentials = dict.fromkeys(stand.account.credentials, "wrong")
    stand.account.save()
    card = stand.card()
    command = stand.activate(card)

    stand.work()

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

    stand.work()

    command.refresh_from_db()
    assert command.state == CommandState.CANCELLED
    assert stand.calls(card)["submit"] == 0


def test_clicks_go_before_mass_work_and_on_before_off(partner):
    clicked_off = partner.card(state="active", desired_on=True)
    swept_off = partner.card(state="active", desired_on=True, covered=False)
    clicked_on = partner.card()
    swept_on = partner.card(desired_on=True)
    for card, kind in ((swept_off, CommandKind.DEACTIVATE), (swept_on, CommandKind.ACTIVATE)):
        commands.create(card=card, kind=kind, origin=Origin.RECONCILE, by=OWNER, at=partner.clock())
    partner.deactivate(clicked_off)
    partner.activate(clicked_on)

    order = [claimed(partner)[0].sim.iccid for _ in range(4)]

    assert order == [card.iccid for card in (clicked_on, clicked_off, swept_on, swept_off)]


def test_kiosk_is_served_among_the_first_of_a_chain(partner):
    chain = [partner.card(desired_on=True) for _ in range(5)]
    kiosk = make_merchant("ИП Киоск")
    lone = make_card(
        kiosk, account=partner.account, confirmed=OperatorState.INACTIVE, desired_on=True
    )
    cover(lone, make_live_subscription(kiosk))
    for card in (*chain, lone):
        commands.create(
            card=card, kind=CommandKind.ACTIVATE, origin=Origin.MASS, by=OWNER, at=partner.clock()
        )

    order = [outgoing.sim.iccid for outgoing in claimed(partner, limit=6)]

    assert order.index(lone.iccid) == 1


def test_claimed_command_is_not_claimed_twice(partner):
    partner.activate(partner.card())

    assert len(claimed(partner)) == 1
    assert len(claimed(partner)) == 0


def test_lease_that_ran_out_before_sending_sends_nothing(partner):
    card = partner.card()
    command = partner.activate(card)
    (outgoing,) = claimed(partner)
    partner.clock.pass_(seconds=31)

    result = send_now(partner, outgoing)
    outbox.record(outgoing, result, at=partner.clock())

    command.refresh_from_db()
    assert command.state == CommandState.QUEUED
    assert partner.calls(card)["submit"] == 0


def test_dead_workers_sending_is_read_and_not_queued_again(stand):
    card = stand.card()
    command = stand.activate(card)
    (outgoing,) = claimed(stand)
    send_now(stand, outgoing)

    stand.run(seconds=31)
    command.refresh_from_db()
    after_the_lease = command.state
    stand.run(seconds=61)

    command.refresh_from_db()
    assert after_the_lease == CommandState.CHECKING
    assert command.state == CommandState.DONE
    assert stand.effects(card) == ["activate"]
    assert stand.calls(card)["submit"] == 1


def test_late_answer_is_believed_while_nobody_decided(mts):
    card = mts.card()
    command = mts.activate(card)
    (outgoing,) = claimed(mts)
    result = send_now(mts, outgoing)
    mts.clock.pass_(seconds=31)
    outbox.release_stuck(at=mts.clock())

    outbox.record(outgoing, result, at=mts.clock())
    mts.run(seconds=61)

    command.refresh_from_db()
    assert command.request_id == result.call.result.request_id
    assert command.state == CommandState.DONE


def test_late_answer_changes_nothing_after_the_command_is_over(partner):
    card = partner.card()
    command = partner.activate(card)
    (outgoing,) = claimed(partner)
    result = send_now(partner, outgoing)
    partner.run(seconds=31)
    partner.run(seconds=61)
    finished = Command.objects.get(pk=command.pk)

    outbox.record(outgoing, result, at=partner.clock())

    again = Command.objects.get(pk=command.pk)
    assert again.state == finished.state
    assert again.finished_at == finished.finished_at


def test_switched_off_account_sends_nothing_and_keeps_the_queue(partner):
    partner.account.enabled = False
    partner.account.save()
    card = partner.card()
    command = partner.activate(card)

    partner.work()

    command.refresh_from_db()
    assert command.state == CommandState.QUEUED
    assert partner.calls(card)["submit"] == 0


def test_quota_of_the_account_is_never_exceeded(tmp_path):
    with standing("tmf640", tmp_path, per_second=2, per_minute=None, concurrency=4) as stand:
        stand.bench.limits(per_second=2)
        for _ in range(5):
            stand.activate(stand.card())

        stand.work()

        shown = stand.bench.call("GET", "/state/tmf640")
        assert shown["rejected_by_quota"] == 0


def test_without_redis_nothing_leaves_and_nothing_is_lost(tmp_path, settings):
    with standing("tmf640", tmp_path, per_second=5) as stand:
        card = stand.card()
        command = stand.activate(card)
        settings.REDIS_URL = "redis://127.0.0.1:1/0"

        stand.work()

        command.refresh_from_db()
        assert command.state == CommandState.QUEUED
        assert command.attempts == 0
        assert stand.calls(card)["submit"] == 0


def test_cancelled_command_does_not_leave(stand):
    card = stand.card()
    stand.activate(card)

    services.cancel_command(card=card, by=OWNER, at=stand.clock())
    stand.work()

    card.refresh_from_db()
    assert stand.calls(card)["submit"] == 0
    assert card.desired_on is False


def test_many_commands_end_in_one_run(partner):
    cards = [partner.card() for _ in range(6)]
    many = [partner.activate(card) for card in cards]

    partner.work()

    rows = Command.objects.filter(pk__in=[command.pk for command in many])
    assert set(rows.values_list("state", "lease_until", "attempts")) == {("done", None, 1)}
    assert [step_states(command) for command in many] == [["queued", "sending", "done"]] * 6
    assert {
        (card.confirmed, card.block_reason)
        for card in type(cards[0]).objects.filter(merchant=partner.merchant)
    } == {("active", "")}
    assert AuditEvent.objects.filter(action="confirmed").count() == 6


def test_long_silent_card_is_shown_as_held(partner):
    card = partner.card()
    type(card).objects.filter(pk=card.pk).update(off_since=partner.clock() - timedelta(hours=73))
    command = partner.activate(card)

    partner.work()

    card.refresh_from_db()
    command.refresh_from_db()
    assert command.state == CommandState.DONE
    assert round((card.may_hold_until - partner.clock()) / timedelta(hours=1)) == 24


def test_cooldown_of_the_contract_is_kept_between_two_switches(partner):
    partner.account.cooldown_seconds = 600
    partner.account.save()
    card = partner.card()
    partner.activate(card)
    partner.work()

    command = partner.deactivate(card)
    partner.run(seconds=590)
    too_early = partner.effects(card)
    partner.run(seconds=15)

    assert command.due_at > command.created_at
    assert too_early == ["activate"]
    assert partner.effects(card) == ["activate", "deactivate"]


def test_dead_operator_opens_the_breaker_and_closes_it_by_itself(partner):
    cards = [partner.card() for _ in range(8)]
    for card in cards:
        partner.activate(card)
    partner.bench.fault("", "http_500", times=None)

    partner.work()
    partner.account.refresh_from_db()
    broken = partner.account.broken_since
    calls_while_open = partner.work()
    partner.bench.call("DELETE", "/faults")
    for _ in range(6):
        partner.run(seconds=301)

    partner.account.refresh_from_db()
    assert broken is not None
    assert calls_while_open == Drained(sent=0, asked=0)
    assert partner.account.broken_since is None
    assert not Alert.objects.filter(key__endswith=":broken", closed_at=None).exists()
    assert all(partner.effects(card) in (["activate"], []) for card in cards)


def test_maintenance_window_pauses_switches_and_keeps_the_queue(partner):
    partner.account.maintenance_windows = [{"days": [], "from": "00:00", "to": "23:59"}]
    partner.account.save()
    card = partner.card()
    command = partner.activate(card)

    partner.work()

    command.refresh_from_db()
    assert command.state == CommandState.QUEUED
    assert partner.calls(card)["submit"] == 0


def test_report_only_mode_lets_nothing_from_before_the_restore_leave(partner):
    before, after = partner.card(), partner.card()
    old = partner.activate(before)
    Brake.objects.create(pk=1, report_only_at=partner.clock())
    new = partner.activate(after)

    partner.work()

    old.refresh_from_db()
    new.refresh_from_db()
    assert old.state == CommandState.QUEUED
    assert new.state == CommandState.DONE


def test_number_without_service_never_opens_the_breaker(mts):
    poor, other = mts.card(), mts.card()
    mts.bench.fault("", "no_service", times=None, iccid=poor.iccid)
    mts.activate(poor)

    for _ in range(2 * THRESHOLD):
        mts.run(minutes=10)
    command = mts.activate(other)
    mts.run(seconds=10)
    mts.run(seconds=10)

    mts.account.refresh_from_db()
    command.refresh_from_db()
    asked = mts.calls(poor)
    assert sum(asked.values()) >= THRESHOLD, asked
    assert mts.account.broken_since is None
    assert mts.effects(other) == ["activate"]
    assert command.state == CommandState.DONE
