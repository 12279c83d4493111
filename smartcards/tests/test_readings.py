"""What is believed of a reading: weak hints, holds that cannot be read, and how long a card was silent."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from django.db.models import F

from cabinet.models import Alert, AuditEvent
from operators.connections import CallOutcome
from operators.limits.quota import Urgency
from operators.models import OperatorAccount
from operators.ports import BlockReason, ErrorClass, Reading, Sim, SimState, Unavailable
from smartcards import commands, queries
from smartcards.dispatch import polling, state_sync, worker
from smartcards.models import Command, SmartCard
from smartcards.reconciliation import discrepancy_actions, lifted_blocks
from smartcards.reconciliation.reconcile import reconcile_all, reconcile_merchant
from smartcards.states import CommandKind, CommandState, OperatorState, StateSource
from smartcards.tests import dispatch_setup as stands
from smartcards.tests.cards import (
    NOW,
    STAFF,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_merchant,
)
from smartcards.tests.dispatch_setup import Stand, standing

pytestmark = pytest.mark.django_db

ACTIVE, INACTIVE, HELD, NEW, UNKNOWN = (
    OperatorState.ACTIVE,
    OperatorState.INACTIVE,
    OperatorState.HELD,
    OperatorState.NEW,
    OperatorState.UNKNOWN,
)
DEBT = Reading(SimState.HELD, BlockReason.DEBT)
NAMELESS = Reading(SimState.HELD, BlockReason.UNKNOWN)
OURS = Reading(SimState.INACTIVE, BlockReason.VOLUNTARY)
SILENCE = Reading(SimState.UNKNOWN)
HOUR = timedelta(hours=1)
DAY = 24 * HOUR


@pytest.fixture
def merchant():
    return make_merchant()


@pytest.fixture
def mts(tmp_path: Path) -> Iterator[Stand]:
    with standing("mts", tmp_path) as stand:
        yield stand


@pytest.fixture
def center(tmp_path: Path, monkeypatch) -> Iterator[Stand]:
    keys = {"username": "demo-user", "api_key": "demo-api-key"}
    monkeypatch.setitem(stands.CREDENTIALS, "control_center", keys)
    with standing("control_center", tmp_path, concurrency=1) as stand:
        yield stand


class KnownState(NamedTuple):
    confirmed: str
    block_reason: str


def read(card: SmartCard, *readings: Reading, at: datetime = NOW + HOUR) -> KnownState:
    """What is known after these readings, a day apart."""
    for number, reading in enumerate(readings):
        fresh = SmartCard.objects.select_related("account").get(pk=card.pk)
        state_sync.record_reading(fresh, reading, at=at + number * DAY)
    card.refresh_from_db()
    return KnownState(card.confirmed, card.block_reason)


# --- a weak reading ------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [ACTIVE, INACTIVE, NEW, UNKNOWN])
@pytest.mark.parametrize(
    "reading",
    [
        SILENCE,
        OURS,
        NAMELESS,
        Reading(SimState.HELD),
        Reading(SimState.NEW),
        Reading(SimState.ACTIVE),
        Reading(SimState.RETIRED),
    ],
)
def test_weak_reading_makes_no_card_on_or_off(merchant, state, reading):
    card = make_card(merchant, confirmed=state)
    before = card.confirmed, card.block_reason

    assert read(card, reading, reading, reading) == before
    assert card.read_at == NOW + HOUR + 2 * DAY
    assert AuditEvent.objects.count() == 0


@pytest.mark.parametrize("state", [ACTIVE, INACTIVE, NEW, UNKNOWN])
@pytest.mark.parametrize("reason", ["debt", "fraud", "stolen", "law", "limit", "imei", "operator"])
def test_weak_reading_records_a_block_that_it_names(merchant, state, reason):
    card = make_card(merchant, confirmed=state)

    known = read(card, Reading(SimState.HELD, BlockReason(reason)))

    assert known == KnownState(confirmed=HELD, block_reason=reason)
    assert card.confirmed_from == StateSource.READING


@pytest.mark.parametrize(
    ("then", "known"),
    [
        ([DEBT], (HELD, "debt")),
        ([Reading(SimState.HELD, BlockReason.LAW)], (HELD, "law")),
        ([NAMELESS], (HELD, "debt")),
        ([Reading(SimState.RETIRED)], (HELD, "debt")),
        ([OURS], (INACTIVE, "voluntary")),
        ([Reading(SimState.ACTIVE)], (UNKNOWN, "")),
        ([SILENCE], (HELD, "debt")),
        ([SILENCE, SILENCE], (UNKNOWN, "")),
        ([SILENCE, DEBT, SILENCE], (HELD, "debt")),
    ],
)
def test_block_of_a_weak_reading_ends_by_weak_readings(merchant, then, known):
    card = make_card(merchant, confirmed=ACTIVE, desired_on=True)

    assert read(card, DEBT, *then) == known


@pytest.mark.parametrize("then", [[OURS], [SILENCE, SILENCE], [Reading(SimState.ACTIVE)]])
def test_block_from_refusal_is_not_ended_by_weak_reading(merchant, then):
    card = make_card(
        merchant, confirmed=HELD, block_reason="unknown", confirmed_from=StateSource.POLL
    )

    assert read(card, *then) == KnownState(confirmed=HELD, block_reason="unknown")


def test_only_two_empty_answers_in_a_row_end_a_block(merchant):
    card = make_card(
        merchant, confirmed=HELD, block_reason="debt", confirmed_from=StateSource.READING
    )
    blocked_for_no_reason = Reading(SimState.HELD, BlockReason.UNKNOWN)

    answers = (SILENCE, blocked_for_no_reason, SILENCE, SILENCE)
    states = [read(card, answer) for answer in answers]

    assert states == [(HELD, "debt")] * 3 + [(OperatorState.UNKNOWN, "")]


def test_reading_that_failed_is_no_empty_answer(merchant):
    held = {"confirmed": HELD, "block_reason": "debt", "confirmed_from": StateSource.READING}
    card = make_card(merchant, **held, confirmed_at=NOW, read_at=NOW)
    question = polling.StatusQuery(
        card_id=card.pk,
        sim=Sim(card.iccid, card.msisdn),
        urgency=Urgency.BACKGROUND,
        asked_at=NOW,
    )
    error = Unavailable(ErrorClass.TRANSIENT, "500", "")

    polling.record(question, CallOutcome(error), at=NOW + timedelta(hours=24))

    assert read(card, SILENCE) == KnownState(confirmed=HELD, block_reason="debt")


def test_card_with_an_answer_is_not_lost(merchant):
    card = make_card(merchant, confirmed=ACTIVE, lost_to_operator_at=NOW)

    read(card, SILENCE)

    assert card.confirmed == ACTIVE
    assert card.lost_to_operator_at is None


def test_reading_by_old_number_is_no_discrepancy_of_new(merchant):
    card = make_card(merchant, seen_msisdn="79105550099", msisdn="79105550099", read_at=NOW)

    discrepancy_actions.write_number(card=card, msisdn="79105550011", reason="", by=STAFF, at=NOW)

    card.refresh_from_db()
    assert card.msisdn == "79105550011"
    assert card.seen_msisdn == ""
    assert card.read_at is None


def test_debt_at_mts_is_found_and_its_end_restores_cards(mts):
    paid, unpaid = (
        mts.card(state="active", desired_on=True),
        mts.card(state="active", covered=False),
    )
    SmartCard.objects.filter(pk=unpaid.pk).update(
        desired_on=True, desired_at=mts.clock(), desired_by="Анна"
    )
    cards = (paid, unpaid)

    def states() -> list[str]:
        for card in cards:
            card.refresh_from_db()
        return [card.confirmed for card in cards]

    def next_day() -> None:
        # МТС is asked about requests by the day, and its clock is not moved: so all else grows older.
        aged = {name: F(name) - timedelta(hours=25) for name in ("read_due_at", "confirmed_at")}
        SmartCard.objects.update(**aged)
        worker.drain_account(account_id=mts.account.pk, clock=mts.clock, reading=True)

    for card in cards:
        mts.bench.put(Sim(card.iccid, card.msisdn), state="held", reason="debt")
    next_day()
    found = states()
    for card in cards:
        mts.bench.put(Sim(card.iccid, card.msisdn), state="active")
    next_day()
    next_day()
    not_known = states()
    reconcile_all(at=mts.clock())
    mts.run(seconds=1)
    mts.run(seconds=6)
    mts.run(seconds=11)

    assert found == [HELD, HELD]
    assert not_known == [UNKNOWN, UNKNOWN]
    assert states() == [ACTIVE, INACTIVE]


# --- a hold that no reading shows ----------------------------------------------------------------


def test_hold_from_refusal_stays_if_readings_cannot_show_it(center):
    card = center.card(desired_on=True)
    center.bench.put(Sim(card.iccid, card.msisdn), state="held", reason="fraud")
    for _ in range(3):
        reconcile_merchant(merchant_id=center.merchant.pk, at=center.clock())
        center.work()
        center.clock.pass_(hours=25)
        worker.drain_account(account_id=center.account.pk, clock=center.clock, reading=True)

    card.refresh_from_db()
    assert card.confirmed == HELD
    assert center.calls(card)["submit"] == 1
    assert card.read_at is not None
    assert [alert.closed_at for alert in Alert.objects.all()] == [None]


def test_hold_that_no_reading_shows_is_lifted_by_staff(center):
    card = center.card(desired_on=True)
    sim = Sim(card.iccid, card.msisdn)
    center.bench.put(sim, state="held", reason="fraud")
    reconcile_merchant(merchant_id=center.merchant.pk, at=center.clock())
    center.work()
    center.bench.put(sim, state="inactive")

    lifted_blocks.release(
        card=card, working=False, reason="поддержка, 15:40", by=STAFF, at=center.clock()
    )
    center.work()

    card.refresh_from_db()
    assert card.confirmed == ACTIVE
    assert center.effects(card) == ["activate"]
    assert Alert.objects.filter(closed_at=None).count() == 0


@pytest.mark.parametrize(
    ("reading", "known"),
    [
        (OURS, (HELD, "unknown")),
        (Reading(SimState.NEW), (HELD, "unknown")),
        (SILENCE, (HELD, "unknown")),
        (Reading(SimState.ACTIVE), (ACTIVE, "")),
        (Reading(SimState.RETIRED), (OperatorState.RETIRED, "")),
    ],
)
def test_reading_lifts_only_the_hold_that_it_disproves(merchant, reading, known):
    account = make_account("cc", adapter="control_center")
    card = make_card(merchant, account=account, confirmed=HELD, block_reason="unknown")

    assert read(card, reading) == known


def test_card_that_is_not_held_is_read_there_as_anywhere(merchant):
    account = make_account("cc", adapter="control_center")
    card = make_card(merchant, account=account, confirmed=ACTIVE, desired_on=True)

    assert read(card, OURS) == KnownState(confirmed=INACTIVE, block_reason="voluntary")


@pytest.mark.parametrize(
    ("adapter", "can_be_read", "weakly", "tells"),
    [
        ("tmf640", True, False, True),
        ("beeline", True, False, True),
        ("control_center", True, False, False),
        ("mts", True, True, False),
        ("telegraph", False, False, False),
    ],
)
def test_what_an_operator_can_tell(adapter, can_be_read, weakly, tells):
    account = OperatorAccount(adapter=adapter)

    assert queries.can_be_read(account) is can_be_read
    assert queries.reads_weakly(account) is weakly
    assert queries.tells_state(account) is tells


# --- a card of which nothing is known ------------------------------------------------------------


@pytest.mark.parametrize(
    ("desired_on", "covered", "wanted"),
    [
        (True, True, [CommandKind.ACTIVATE]),
        (True, False, [CommandKind.DEACTIVATE]),
        (False, True, [CommandKind.DEACTIVATE]),
        (None, True, []),
    ],
)
def test_card_in_unknown_state_is_switched_to_desired_state(merchant, desired_on, covered, wanted):
    card = make_card(merchant, confirmed=UNKNOWN, desired_on=desired_on)
    subscription = make_live_subscription(merchant)
    if covered:
        cover(card, subscription)

    reconcile_all(at=NOW)

    assert list(Command.objects.values_list("kind", flat=True)) == wanted


# --- how long it was silent ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "may_be"),
    [
        ({"confirmed": INACTIVE, "off_since": NOW - 71 * HOUR}, False),
        ({"confirmed": INACTIVE, "off_since": NOW - 72 * HOUR}, True),
        ({"confirmed": INACTIVE}, True),
        ({"confirmed": HELD}, True),
        ({"confirmed": UNKNOWN}, True),
        ({"confirmed": ACTIVE}, False),
        ({"confirmed": NEW}, False),
    ],
)
def test_card_never_known_active_may_be_held(merchant, fields, may_be):
    card = make_card(merchant, **fields)

    assert commands.may_be_held(card, NOW) is may_be


@pytest.mark.parametrize(
    ("known_on", "off_since"),
    [(NOW - 60 * DAY, NOW - 60 * DAY), (NOW - 70 * HOUR, NOW + HOUR), (None, NOW + HOUR)],
)
def test_card_found_off_counts_silence_from_last_active_state(merchant, known_on, off_since):
    account = make_account("partner", adapter="tmf640")
    card = make_card(merchant, account=account, confirmed=ACTIVE, confirmed_at=known_on)

    read(card, OURS)

    assert card.off_since == off_since


def test_card_switched_off_counts_silence_from_then(merchant):
    account = make_account("partner", adapter="tmf640")
    long_ago = NOW - 60 * DAY
    ours, theirs, weak = (
        make_card(merchant, account=of, confirmed=ACTIVE, confirmed_at=long_ago)
        for of in (account, account, make_account())
    )
    command = make_command(
        ours, kind=CommandKind.DEACTIVATE, state=CommandState.ACCEPTED, check_at=NOW
    )

    commands.finish_done(command, source=StateSource.POLL, at=NOW)
    state_sync.record_reading(theirs, OURS, at=NOW, source=StateSource.CALLBACK)
    state_sync.record_reading(weak, DEBT, at=NOW)

    assert [card.off_since for card in (ours, theirs, weak)] == [NOW, NOW, NOW]


def test_activation_works_with_unknown_time_of_switch_off(merchant):
    card = make_card(merchant, confirmed=INACTIVE, desired_on=True)
    command = make_command(card, state=CommandState.ACCEPTED)

    commands.finish_done(command, source=StateSource.POLL, at=NOW)

    card.refresh_from_db()
    assert command.state == CommandState.DONE
    assert card.confirmed == ACTIVE
    assert card.may_hold_until == NOW + DAY


# --- words that we do not know -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "shown"), [("tmf640", "POSTPONED"), ("control_center", "POSTPONED"), ("mts", "")]
)
def test_unknown_word_of_a_state_is_shown_and_changes_nothing(merchant, adapter, shown):
    account = make_account(adapter, adapter=adapter)
    card = make_card(merchant, account=account, confirmed=OperatorState.ACTIVE)

    state_sync.record_reading(card, Reading(SimState.UNKNOWN, raw="POSTPONED"), at=NOW)
    word, confirmed = card.seen_state, card.confirmed
    state_sync.record_reading(card, Reading(SimState.ACTIVE, raw="ACTIVATED"), at=NOW + HOUR)

    assert (word, confirmed) == (shown, OperatorState.ACTIVE)
    assert SmartCard.objects.get(pk=card.pk).seen_state == ""
