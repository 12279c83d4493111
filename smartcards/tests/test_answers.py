"""What is written down of an operator's words: late ones, doubtful ones, and those about what is gone."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from cabinet.models import Alert, AuditEvent
from operators.adapters.tmf640 import Tmf640
from operators.client.http import HttpExchange
from operators.connections import CallOutcome
from operators.models import Exchange, OperatorAccount
from operators.ports import (
    Already,
    Applied,
    BlockReason,
    CallKind,
    Capabilities,
    Check,
    CheckState,
    ErrorClass,
    Identity,
    IdentityState,
    OurCode,
    Reading,
    SimState,
    StateQuality,
    Unavailable,
    Unknown,
)
from smartcards import commands, services
from smartcards.commands import WrongMove
from smartcards.dispatch import outbox, outcomes, polling
from smartcards.dispatch.outbox import OutgoingCommand, SendOutcome
from smartcards.dispatch.polling import StatusQuery
from smartcards.models import Command, SmartCard
from smartcards.states import CommandState, OperatorState, Origin, StateSource
from smartcards.tests.cards import (
    NOW,
    OWNER,
    STAFF,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_merchant,
)
from smartcards.tests.dispatch_setup import (
    Drained,
    Stand,
    claim_all,
    record_answer,
    send_now,
    standing,
    step_states,
)
from smartcards.tests.locks import held_elsewhere

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(minutes=2)
QUEUED, SENDING, ACCEPTED, CHECKING, DONE, FAILED = (
    CommandState.QUEUED,
    CommandState.SENDING,
    CommandState.ACCEPTED,
    CommandState.CHECKING,
    CommandState.DONE,
    CommandState.FAILED,
)


class Blind(Tmf640):
    """Cards cannot be read here."""

    capabilities: ClassVar[Capabilities] = replace(
        Tmf640.capabilities, state_quality=StateQuality.NONE
    )


class Weak(Tmf640):
    """Cards can be read here, but the word about them settles nothing."""

    capabilities: ClassVar[Capabilities] = replace(
        Tmf640.capabilities, state_quality=StateQuality.WEAK
    )


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Stand]:
    with standing("tmf640", tmp_path) as stand:
        yield stand


@pytest.fixture
def mts(tmp_path: Path) -> Iterator[Stand]:
    with standing("mts", tmp_path) as stand:
        yield stand


@pytest.fixture
def account() -> OperatorAccount:
    """An operator whose reading of a card settles what happened."""
    return make_account("partner", adapter="tmf640", title="Партнёр", quiet_seconds=60)


@pytest.fixture
def merchant():
    return make_merchant()


def waiting(merchant, account, number: int = 1) -> list[Command]:
    """Activations in the queue, of cards that are off and paid."""
    subscription = make_live_subscription(merchant, cards=number)
    cards = [
        make_card(merchant, account=account, confirmed=OperatorState.INACTIVE)
        for _ in range(number)
    ]
    for card in cards:
        cover(card, subscription)
    return [
        command
        for card in cards
        if (command := services.request_activation(card=card, by=OWNER, at=NOW)) is not None
    ]


def claimed(account: OperatorAccount) -> list[OutgoingCommand]:
    return claim_all(account, at=NOW)


def asked(
    merchant, account, state: CommandState = CHECKING, **fields
) -> tuple[Command, StatusQuery]:
    """A command that has been sent, and the question about it that is due."""
    card = make_card(merchant, account=account, confirmed=OperatorState.INACTIVE, desired_on=True)
    command = make_command(card, state=state, attempts=1, check_at=NOW, **fields)
    question = polling.next_due(account=account, at=NOW)
    assert question is not None
    assert question.command_id == command.pk
    return command, question


def answer(question: StatusQuery, result: Check | Reading | Unavailable, at=LATER) -> None:
    polling.record(question, CallOutcome(result), at=at)


def row(command: Command) -> Command:
    return Command.objects.get(pk=command.pk)


class CommandFacts(NamedTuple):
    state: str
    error: str
    code: str


def facts(command: Command) -> CommandFacts:
    now = row(command)
    return CommandFacts(now.state, now.error, now.code)


# --- answers to commands -------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_stuck_command_locked_by_staff_is_skipped():
    account = make_account("partner", adapter="tmf640", title="Партнёр")
    (command,) = waiting(make_merchant(), account)
    claimed(account)

    with held_elsewhere(Command.objects.filter(pk=command.pk)):
        released = outbox.release_stuck(at=NOW + timedelta(minutes=5))

    assert released == 0
    assert row(command).state == SENDING
    assert outbox.release_stuck(at=NOW + timedelta(minutes=5)) == 1


def test_late_already_done_is_no_proof_before_a_reading(merchant, account):
    (command,) = waiting(merchant, account)
    (outgoing,) = claimed(account)
    released_at = NOW + timedelta(seconds=61)
    outbox.release_stuck(at=released_at)

    record_answer(outgoing, Already(), at=LATER)

    now = row(command)
    assert now.state == CHECKING
    assert now.check_at == released_at + timedelta(seconds=60)
    assert now.card.confirmed == OperatorState.INACTIVE


def test_late_unknown_answer_keeps_the_reading_time(merchant, account):
    (command,) = waiting(merchant, account)
    (outgoing,) = claimed(account)
    released_at = NOW + timedelta(seconds=61)
    outbox.release_stuck(at=released_at)

    record_answer(outgoing, Unknown("сокет закрыт"), at=LATER)

    now = row(command)
    assert now.state == CHECKING
    assert now.check_at == released_at + timedelta(seconds=60)
    assert now.code == "сокет закрыт"
    assert step_states(command) == ["queued", "sending", "checking"]


def test_word_about_the_number_is_kept_beside_a_plain_answer(merchant, account):
    known, other = waiting(merchant, account, 2)
    identities = {known.pk: Identity(IdentityState.CONFIRMED)}

    for outgoing in claimed(account):
        outcome = SendOutcome(CallOutcome(Applied()), identities.get(outgoing.command_id))
        outbox.record(outgoing, outcome, at=LATER)

    kept = [(row(one).state, row(one).card.identity) for one in (known, other)]
    assert kept == [(DONE, "confirmed"), (DONE, "")]


def test_only_a_long_silent_card_may_be_held(merchant, account):
    many = waiting(merchant, account, 3)
    silent = many[0].card
    SmartCard.objects.update(off_since=NOW - timedelta(hours=1))
    SmartCard.objects.filter(pk=silent.pk).update(off_since=NOW - timedelta(hours=100))
    for outgoing in claimed(account):
        record_answer(outgoing, Applied(), at=LATER)

    held_until = [row(one).card.may_hold_until for one in many]
    assert [facts(one) for one in many] == [CommandFacts(DONE, error="", code="")] * 3
    assert held_until == [LATER + timedelta(hours=24), None, None]


def test_command_that_is_over_moves_nowhere(merchant, account):
    command = make_command(make_card(merchant, account=account), state=DONE)

    with pytest.raises(WrongMove, match=r"не переходит из «done» в «queued»"):
        commands.move(command, QUEUED, at=NOW)

    assert row(command).state == DONE


# --- answers to questions ------------------------------------------------------------------------


def test_unanswered_query_is_repeated_and_decides_nothing(partner):
    card = partner.card()
    partner.bench.fault("submit", "drop_after")
    command = partner.activate(card)
    partner.work()
    partner.bench.fault("read", "http_500")

    partner.run(seconds=61)
    without_an_answer = row(command)
    partner.run(seconds=61)

    assert without_an_answer.state == CHECKING
    assert without_an_answer.questions == 1
    assert row(command).state == DONE
    assert partner.effects(card) == ["activate"]


def test_operator_without_requests_has_cards_read(partner, settings):
    settings.OPERATORS = settings.OPERATORS | {"weak": f"{__name__}.Weak"}
    OperatorAccount.objects.filter(pk=partner.account.pk).update(adapter="weak")
    card = partner.card()
    partner.bench.fault("submit", "drop_after")
    command = partner.activate(card)
    partner.work()

    partner.run(seconds=61)

    card.refresh_from_db()
    assert step_states(command) == ["queued", "sending", "checking", "done"]
    assert card.confirmed == OperatorState.ACTIVE
    assert card.confirmed_from == StateSource.READING
    assert partner.effects(card) == ["activate"]
    assert partner.calls(card)["submit"] == 1


def test_answer_about_a_command_that_staff_settled_meanwhile_changes_nothing(merchant, account):
    command, question = asked(merchant, account)
    commands.hand_to_staff(command, at=NOW, text="")
    services.settle_by_staff(command=command, done=True, reason="по телефону", by=STAFF, at=NOW)

    answer(question, Reading(SimState.INACTIVE))

    assert facts(command) == CommandFacts(state=DONE, error="", code="")
    assert row(command).card.confirmed == OperatorState.ACTIVE


def test_query_that_fails_in_our_code_is_repeated(merchant, account):
    command, question = asked(merchant, account)

    answer(question, Unavailable(ErrorClass.TRANSIENT, OurCode.BROKEN, "ошибка в нашем коде"))

    now = row(command)
    assert now.state == CHECKING
    assert now.questions == 1
    assert now.check_at == LATER + timedelta(seconds=30)


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda card: make_command(card, at=NOW + timedelta(minutes=1)),
        lambda card: SmartCard.objects.filter(pk=card.pk).update(
            confirmed_at=NOW + timedelta(minutes=1)
        ),
    ],
    ids=["a switch began", "a switch was confirmed"],
)
def test_reading_that_may_be_of_before_is_not_believed(
    merchant, account, meanwhile: Callable[[SmartCard], object]
):
    card = make_card(merchant, account=account, confirmed=OperatorState.INACTIVE)
    (question,) = polling.stale_cards(account=account, at=NOW, limit=10)
    meanwhile(card)

    answer(question, Reading(SimState.ACTIVE))

    card.refresh_from_db()
    assert card.confirmed == OperatorState.INACTIVE
    assert card.read_at is None


def test_unknown_card_is_lost_since_first_answer(merchant, account):
    card = make_card(merchant, account=account)
    unknown = Unavailable(ErrorClass.NOT_FOUND, "404", "")
    at = NOW

    for _ in range(2):
        (question,) = polling.stale_cards(account=account, at=at, limit=10)
        answer(question, unknown, at=at)
        at += timedelta(hours=1)

    card.refresh_from_db()
    assert card.lost_to_operator_at == NOW
    assert polling.stale_cards(account=account, at=at - timedelta(seconds=1), limit=10) == []
    assert [one.card_id for one in polling.stale_cards(account=account, at=at, limit=10)] == [
        card.pk
    ]


def test_reading_that_waited_for_our_own_turn_stays_due(merchant, account):
    card = make_card(merchant, account=account)
    (question,) = polling.stale_cards(account=account, at=NOW, limit=10)

    answer(question, Unavailable(ErrorClass.RATE_LIMITED, OurCode.QUOTA, ""))

    card.refresh_from_db()
    assert card.read_at is None


def test_cards_are_read_only_when_nothing_is_in_the_air(partner):
    switched, other = partner.card(), partner.card()
    partner.activate(switched)

    done = partner.work(reading=True)

    asked_of = Exchange.objects.filter(account=partner.account).exclude(kind="auth").order_by("pk")
    assert done == Drained(sent=1, asked=2)
    # The first one looks the card up for the switch.
    assert list(asked_of.values_list("kind", flat=True)) == ["read", "submit", "read", "read"]
    assert [partner.calls(card)["read"] for card in (switched, other)] == [2, 1]


# --- how the cards are ---------------------------------------------------------------------------


def test_daily_reading_takes_merchants_cards_before_stock(merchant, account):
    day = timedelta(hours=24)
    never_in_stock = make_card(None, account=account)
    old_in_stock = make_card(None, account=account, read_due_at=NOW)
    old = make_card(merchant, account=account, read_due_at=NOW)
    older = make_card(merchant, account=account, read_due_at=NOW - day)
    never = make_card(merchant, account=account)
    for whose in (merchant, None):
        make_card(whose, account=account, read_due_at=NOW + timedelta(seconds=1))
    make_command(make_card(merchant, account=account))

    found = polling.stale_cards(account=account, at=NOW, limit=9)

    wanted = [never, older, old, never_in_stock, old_in_stock]
    assert [one.card_id for one in found] == [card.pk for card in wanted]


@pytest.mark.parametrize(("adapter", "number"), [("mts", 1), ("beeline", 1), ("tmf640", 2)])
def test_card_without_number_is_not_queried_by_number(merchant, adapter, number):
    account = make_account(adapter, adapter=adapter)
    for msisdn in ("", "79105550011"):
        make_card(merchant, account=account, msisdn=msisdn)

    assert len(polling.stale_cards(account=account, at=NOW, limit=9)) == number


# --- whose question comes first ------------------------------------------------------------------


def test_query_of_a_click_precedes_mass_queries(merchant, account):
    def accepted(origin: Origin, minutes: int) -> int:
        card = make_card(
            merchant, account=account, confirmed=OperatorState.INACTIVE, desired_on=True
        )
        check_at = NOW - timedelta(minutes=minutes)
        fields: dict[str, Any] = {"origin": origin, "request_id": "r", "check_at": check_at}
        return make_command(card, state=ACCEPTED, **fields).pk

    reconciled, mass = accepted(Origin.RECONCILE, 9), accepted(Origin.MASS, 8)
    late_click, click = accepted(Origin.PERSON, 0), accepted(Origin.PERSON, 1)
    accepted(Origin.PERSON, -1)

    def found(**which) -> list[int]:
        asked: list[int] = []
        while (one := polling.next_due(account=account, at=NOW, asked=asked, **which)) is not None:
            assert one.command_id is not None
            asked.append(one.command_id)
        return asked

    assert found() == [click, late_click, mass, reconciled]
    assert found(origins=(Origin.PERSON,)) == [click, late_click]
    assert found(origins=(Origin.MASS, Origin.RECONCILE)) == [mass, reconciled]


# --- what follows from a word about a request ----------------------------------------------------


ALREADY_ON = Check(
    CheckState.COMPLETED, "BlockNotExists", "", ErrorClass.ALREADY, sim_state=SimState.ACTIVE
)


@pytest.mark.parametrize(
    "said", [ALREADY_ON, Check(CheckState.FAILED, "BlockNotExists", error=ErrorClass.ALREADY)]
)
@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (Reading(SimState.UNKNOWN), (DONE, "", "")),
        (Reading(SimState.ACTIVE), (DONE, "", "")),
        (Reading(SimState.INACTIVE), (FAILED, "transient", "not_done")),
        (Unavailable(ErrorClass.FORBIDDEN, "1010", ""), (DONE, "", "")),
        (Unavailable(ErrorClass.TRANSIENT, "500", ""), (CHECKING, "already", "BlockNotExists")),
    ],
)
def test_so_already_is_confirmed_by_a_reading(merchant, said, reading, expected):
    account = make_account()
    command, question = asked(merchant, account, state=ACCEPTED, request_id="r-1")

    answer(question, said, at=NOW)
    first, confirming = facts(command), polling.next_due(account=account, at=NOW)
    assert confirming is not None
    answer(confirming, reading)

    assert first == CommandFacts(CHECKING, "already", "BlockNotExists")
    assert (question.by_request, confirming.by_request) == (True, False)
    assert facts(command) == expected


def test_so_already_that_names_the_other_state_fails(merchant):
    command, question = asked(merchant, make_account(), state=ACCEPTED, request_id="r-1")

    answer(question, replace(ALREADY_ON, code="BlockAlreadyExists", sim_state=SimState.INACTIVE))

    assert facts(command) == CommandFacts(FAILED, "invalid", "BlockAlreadyExists")
    assert row(command).card.confirmed == OperatorState.INACTIVE


def test_operator_without_readings_is_believed_that_it_was_so(merchant, settings):
    settings.OPERATORS = settings.OPERATORS | {"blind": f"{__name__}.Blind"}
    account = make_account("blind", adapter="blind")
    command, question = asked(merchant, account, state=ACCEPTED, request_id="r-1")

    answer(question, Check(CheckState.FAILED, error=ErrorClass.ALREADY))

    now = row(command)
    assert now.state == DONE
    assert now.card.confirmed == OperatorState.ACTIVE
    assert now.card.confirmed_from == StateSource.POLL


class Lost(NamedTuple):
    status: int | None
    step: str


@pytest.mark.parametrize(
    "lost",
    [
        Lost(200, "По ответу оператора не понять, сделано ли, уточняем"),
        Lost(None, "Ответ оператора не получен, уточняем"),
    ],
)
def test_step_of_an_unknown_outcome_says_whether_an_answer_came(merchant, account, lost):
    (command,) = waiting(merchant, account)
    (outgoing,) = claimed(account)
    call = CallOutcome(Unknown("?"), (exchange(lost.status),))

    outbox.record(outgoing, SendOutcome(call), at=LATER)

    assert row(command).text == lost.step


def exchange(status: int | None) -> HttpExchange:
    """A switch that was answered so; None: the answer was lost."""
    return HttpExchange(
        account="partner",
        kind=CallKind.SUBMIT,
        method="PATCH",
        url="http://127.0.0.1:9/service",
        status=status,
        seconds=0.1,
        error="" if status else "оператор не успел ответить",
    )


@pytest.mark.parametrize(
    ("error", "kept", "matters"),
    [
        (None, "invalid", ["operator:card:{card}:invalid"]),
        (ErrorClass.TRANSIENT, "transient", []),
        (
            ErrorClass.HELD_BY_OPERATOR,
            "held_by_operator",
            ["operator:card:{card}:held_by_operator"],
        ),
    ],
)
def test_failed_request_alerts_staff_of_what_only_they_can_fix(merchant, error, kept, matters):
    command, question = asked(merchant, make_account(), state=ACCEPTED, request_id="r-1")

    answer(question, Check(CheckState.FAILED, code="17", error=error))

    assert facts(command) == CommandFacts(state=FAILED, error=kept, code="17")
    keys = [key.format(card=command.card_id) for key in matters]
    assert list(Alert.objects.values_list("key", flat=True)) == keys


def test_request_pending_past_deadline_is_resolved_by_reading(merchant):
    command, question = asked(
        merchant, make_account(), state=ACCEPTED, request_id="r-1", deadline_at=LATER
    )

    answer(question, Check(CheckState.PENDING), at=LATER)

    now = row(command)
    assert now.state == CHECKING
    assert now.check_at == LATER
    assert now.text == "Оператор отвечает дольше обычного, уточняем"


def test_request_pending_before_deadline_follows_poll_plan(merchant):
    account = make_account(poll_plan=[5, 40])
    command, question = asked(
        merchant, account, state=ACCEPTED, request_id="r-1", deadline_at=LATER
    )

    answer(question, Check(CheckState.PENDING), at=NOW)

    now = row(command)
    assert now.state == ACCEPTED
    assert now.check_at == NOW + timedelta(seconds=40)
    assert now.questions == 1


@pytest.mark.parametrize(
    ("deadline", "retry_in", "seconds"),
    [
        (timedelta(hours=1), 90, 90),
        (timedelta(hours=1), 4000, 3600),
        (timedelta(seconds=-1), 90, 90),
        (None, 90, 90),
        (None, None, 40),
    ],
)
def test_operator_may_delay_polling_up_to_the_deadline(merchant, deadline, retry_in, seconds):
    ends_at = None if deadline is None else NOW + deadline
    command, question = asked(
        merchant, make_account(poll_plan=[5, 40]), request_id="r-1", deadline_at=ends_at
    )

    answer(question, Check(CheckState.PENDING, retry_in=retry_in), at=NOW)

    assert row(command).check_at == NOW + timedelta(seconds=seconds)


def test_late_answer_among_plain_ones_is_left_out(merchant, account):
    first, second = waiting(merchant, account, 2)
    one, other = claimed(account)
    outdated = replace(other, attempt=other.attempt + 1)

    record_answer(one, Applied(), at=LATER)
    record_answer(outdated, Applied(), at=LATER)

    assert [row(first).state, row(second).state] == [DONE, CommandState.SENDING]


def test_long_silence_of_many_cards_is_audited_as_of_one(merchant, account):
    rows = waiting(merchant, account, 2)
    SmartCard.objects.update(off_since=NOW - timedelta(hours=80))
    for outgoing in claimed(account):
        record_answer(outgoing, Applied(), at=LATER)

    held = SmartCard.objects.values_list("may_hold_until", "off_since")
    assert list(held) == [(LATER + timedelta(hours=24), None)] * len(rows)


def test_silence_past_the_deadline_turns_to_the_card_itself(merchant):
    command, question = asked(
        merchant, make_account(), state=ACCEPTED, request_id="r-1", deadline_at=LATER
    )

    answer(question, Unavailable(ErrorClass.TRANSIENT, "500", ""), at=LATER)

    assert row(command).state == CHECKING
    assert row(command).check_at == LATER


@pytest.mark.parametrize(
    ("reading", "expected", "unchanged_at"),
    [
        (Reading(SimState.ACTIVE), (DONE, "", ""), None),
        (Reading(SimState.HELD), (FAILED, "held_by_operator", ""), None),
        (Reading(SimState.INACTIVE), (CHECKING, "", ""), LATER),
        (Reading(SimState.UNKNOWN), (CHECKING, "", ""), None),
    ],
)
def test_reading_decides_a_command_of_unknown_outcome(
    merchant, account, reading, expected, unchanged_at
):
    command, question = asked(merchant, account)

    answer(question, reading)

    assert facts(command) == expected
    assert row(command).unchanged_at == unchanged_at


class AskedAgain(NamedTuple):
    state: str
    seconds_to_next: int


def asked_again(command: Command, reading: Reading, at) -> AskedAgain:
    """What one more such answer leads to."""
    question = polling.next_due(account=command.account, at=at)
    assert question is not None
    answer(question, reading, at=at)
    now = row(command)
    wait = round((now.check_at - at).total_seconds()) if now.check_at else 0
    return AskedAgain(now.state, wait)


def test_unchanged_card_proves_nothing_before_the_deadline(merchant, account):
    command, question = asked(merchant, account, sent_at=NOW - timedelta(seconds=60))
    old, at = Reading(SimState.INACTIVE), NOW

    answer(question, old, at=NOW)
    pauses = []
    while row(command).state == CHECKING:
        pauses.append(round((row(command).check_at - at).total_seconds()))
        at = row(command).check_at
        asked_again(command, old, at)

    assert facts(command) == CommandFacts(state=FAILED, error="transient", code="not_done")
    assert pauses == [30, 60, 120, 300, 30]
    assert at == NOW + timedelta(seconds=540)


def test_operator_that_promises_to_be_done_sooner_is_believed_sooner(merchant, account):
    OperatorAccount.objects.update(deadline_seconds=120)
    command, _ = asked(merchant, account, sent_at=NOW - timedelta(seconds=121))
    old = Reading(SimState.INACTIVE)

    states = [asked_again(command, old, NOW + timedelta(minutes=step))[0] for step in range(2)]

    assert states == [CHECKING, FAILED]


def test_first_reading_after_deadline_needs_a_second(merchant, account):
    long_ago = NOW - timedelta(hours=2)
    command, _ = asked(merchant, account, sent_at=long_ago)
    old = Reading(SimState.INACTIVE)

    first = asked_again(command, old, NOW)
    second = asked_again(command, old, NOW + timedelta(seconds=60))

    assert first == AskedAgain(CHECKING, seconds_to_next=60)
    assert second == AskedAgain(FAILED, seconds_to_next=0)


def test_request_running_at_a_reading_is_finished_by_later_one(merchant, account):
    command, _ = asked(merchant, account)

    asked_again(command, Reading(SimState.INACTIVE), NOW)
    later = asked_again(command, Reading(SimState.ACTIVE), LATER)

    assert later == AskedAgain(DONE, seconds_to_next=0)
    assert row(command).card.confirmed == OperatorState.ACTIVE


def test_operator_that_switches_at_once_is_believed_at_once(merchant):
    account = make_account("cc", adapter="control_center", title="Центр")
    command, _ = asked(merchant, account)

    asked_again(command, Reading(SimState.INACTIVE), NOW)

    assert facts(command) == CommandFacts(state=FAILED, error="transient", code="not_done")


@pytest.mark.parametrize(
    "reading",
    [Reading(SimState.INACTIVE), Reading(SimState.HELD, BlockReason.UNKNOWN)],
)
def test_weak_reading_never_proves_that_nothing_was_done(merchant, settings, reading):
    settings.OPERATORS = settings.OPERATORS | {"weak": f"{__name__}.Weak"}
    account = make_account("weak", adapter="weak", deadline_seconds=1)
    command, _ = asked(merchant, account, sent_at=NOW - timedelta(hours=2))

    states = [asked_again(command, reading, NOW + timedelta(hours=step))[0] for step in range(3)]

    assert states == [CHECKING, CHECKING, CHECKING]
    assert row(command).card.confirmed == OperatorState.INACTIVE


def test_command_unresolved_after_forty_queries_goes_to_staff(merchant, account):
    command, question = asked(merchant, account, questions=39)

    answer(question, Reading(SimState.UNKNOWN))

    assert row(command).state == CommandState.NEEDS_STAFF
    assert list(Alert.objects.values_list("key", flat=True)) == [f"command:{command.pk}"]


# --- Госуслуги -----------------------------------------------------------------------------------


def test_number_is_not_read_out_of_turn_before_switch(mts):
    card = mts.card()
    mts.bench.fault("read", "http_429", retry_after=1)
    command = mts.activate(card)
    (outgoing,) = claim_all(mts.account, at=mts.clock())

    outbox.record(outgoing, send_now(mts, outgoing), at=mts.clock())

    card.refresh_from_db()
    assert outgoing.asks_identity is True
    assert row(command).state == ACCEPTED
    assert card.identity == ""
    assert card.identity_at is None


def test_held_reading_is_audited_as_confirmed_and_failed(merchant, account):
    command, question = asked(merchant, account)

    answer(question, Reading(SimState.HELD))

    rows = AuditEvent.objects.filter(target="smartcard", target_id=command.card_id).order_by("pk")
    assert list(rows.values_list("action", flat=True)) == ["confirmed", "command_failed"]


# --- a request that the operator does not find ----------------------------------------------------

AGAIN_AT = NOW + timedelta(seconds=60)


class After(NamedTuple):
    state: str
    check_at: datetime | None
    code: str = ""


def answered(command: Command, *, seconds: int, check: CheckState = CheckState.LOST) -> After:
    """The operator answers so about the request so long after `NOW`."""
    now = Command.objects.select_related("card__account", "account").get(pk=command.pk)
    outcomes.apply_check(now, Check(check), at=NOW + timedelta(seconds=seconds))
    now = row(command)
    return After(now.state, now.check_at, now.code)


def test_second_no_within_the_quiet_time_decides_nothing(merchant, account):
    command = make_command(make_card(merchant, account=account), state=CHECKING)

    first = answered(command, seconds=0)
    early = answered(command, seconds=59)
    late = answered(command, seconds=60)

    assert first == After(CHECKING, AGAIN_AT)
    assert early == After(CHECKING, AGAIN_AT)
    assert late == After(FAILED, None, "lost")


def test_click_does_not_shorten_the_wait_for_the_second_no(merchant, account):
    card = make_card(merchant, account=account)
    command = make_command(card, state=CHECKING, sent_at=NOW - timedelta(hours=1))
    answered(command, seconds=0)

    services.check_again(card=card, by=OWNER, at=NOW + timedelta(seconds=5))
    asked_at = row(command).check_at
    after = answered(command, seconds=5)

    assert asked_at == NOW + timedelta(seconds=5)
    assert after == After(CHECKING, AGAIN_AT)


def test_forgotten_acceptance_waits_one_quiet_time(merchant, account):
    card = make_card(merchant, account=account)
    command = make_command(card, state=ACCEPTED, request_id="7")

    first = answered(command, seconds=0)
    second = answered(command, seconds=60)

    assert first == After(CHECKING, AGAIN_AT)
    assert second == After(CommandState.NEEDS_STAFF, None)


def test_request_found_after_all_needs_two_answers_again(merchant, account):
    command = make_command(make_card(merchant, account=account), state=CHECKING)
    answered(command, seconds=0)

    answered(command, seconds=60, check=CheckState.PENDING)
    after = answered(command, seconds=90)

    assert after == After(CHECKING, NOW + timedelta(seconds=150))
