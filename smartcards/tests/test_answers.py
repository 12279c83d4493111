"""What is written down of an operator's words: late ones, doubtful ones, and those about what is gone."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cabinet.models import Alert, AuditEvent
from operators.adapters.tmf640 import Tmf640
from operators.models import Exchange, OperatorAccount
from operators.ports import (
    OUR_QUOTA,
    Accepted,
    Already,
    Applied,
    BlockReason,
    Capabilities,
    Check,
    CheckState,
    ErrorClass,
    Identity,
    IdentityState,
    Reading,
    SimState,
    StateQuality,
    Unavailable,
    Unknown,
)
from operators.services import connect
from smartcards import commands, dispatch, line, questions, services
from smartcards.commands import WrongMove
from smartcards.dispatch import Letter
from smartcards.models import Command, SmartCard
from smartcards.questions import Answer, Question
from smartcards.states import CommandState, Confirmed, Origin, Told
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
from smartcards.tests.locks import held_elsewhere, impatient
from smartcards.tests.stand import Stand, standing, told

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
        make_card(merchant, account=account, confirmed=Confirmed.INACTIVE) for _ in range(number)
    ]
    for card in cards:
        cover(card, subscription)
    return [
        command
        for card in cards
        if (command := services.request_activation(card=card, by=OWNER, at=NOW)) is not None
    ]


def claimed(account: OperatorAccount) -> list[Letter]:
    return dispatch.claim(account=account, at=NOW, limit=100)


def asked(merchant, account, state: CommandState = CHECKING, **fields) -> tuple[Command, Question]:
    """A command that has been sent, and the question about it that is due."""
    card = make_card(merchant, account=account, confirmed=Confirmed.INACTIVE, wished_on=True)
    command = make_command(card, state=state, attempts=1, check_at=NOW, **fields)
    found = questions.due(account=account, at=NOW, limit=100)
    (question,) = [one for one in found if one.command_id == command.pk]
    return command, question


def answer(question: Question, word: Answer, at=LATER) -> None:
    questions.record([(question, word)], at=at)


def row(command: Command) -> Command:
    return Command.objects.get(pk=command.pk)


def facts(command: Command) -> tuple[str, str, str]:
    now = row(command)
    return now.state, now.error, now.code


# --- answers to commands -------------------------------------------------------------------------


def test_answer_to_a_command_that_is_gone_never_loses_the_others(merchant, account, caplog):
    gone, first, second = waiting(merchant, account, 3)
    letters = claimed(account)
    gone.steps.all().delete()
    Command.objects.filter(pk=gone.pk).delete()

    dispatch.record([(letter, Accepted("r-1")) for letter in letters], at=LATER)

    assert [facts(one) for one in (first, second)] == [(ACCEPTED, "", "")] * 2
    assert f"Could not record the answer to command {gone.pk}" in caplog.messages


@pytest.mark.django_db(transaction=True)
def test_answer_about_a_card_that_others_hold_for_long_is_left_and_the_rest_is_written(caplog):
    account = make_account("partner", adapter="tmf640", title="Партнёр")
    held, *free = waiting(make_merchant(), account, 3)
    letters = claimed(account)

    with impatient(), held_elsewhere(SmartCard.objects.filter(pk=held.card_id)):
        dispatch.record([(letter, Applied()) for letter in letters], at=LATER)

    assert "Could not record 3 answers together, now one by one" in caplog.messages
    assert row(held).state == SENDING
    assert [facts(one) for one in free] == [(DONE, "", "")] * 2
    dispatch.release_stuck(at=NOW + timedelta(minutes=5))
    assert row(held).state == CHECKING


@pytest.mark.django_db(transaction=True)
def test_stuck_command_that_somebody_decides_at_this_moment_is_left_to_them():
    account = make_account("partner", adapter="tmf640", title="Партнёр")
    (command,) = waiting(make_merchant(), account)
    claimed(account)

    with held_elsewhere(Command.objects.filter(pk=command.pk)):
        released = dispatch.release_stuck(at=NOW + timedelta(minutes=5))

    assert (released, row(command).state) == (0, SENDING)
    assert dispatch.release_stuck(at=NOW + timedelta(minutes=5)) == 1


def test_late_already_is_no_proof_where_the_card_is_about_to_be_read(merchant, account):
    (command,) = waiting(merchant, account)
    (letter,) = claimed(account)
    released_at = NOW + timedelta(seconds=61)
    dispatch.release_stuck(at=released_at)

    dispatch.record([(letter, Already())], at=LATER)

    now = row(command)
    assert (now.state, now.check_at) == (CHECKING, released_at + timedelta(seconds=60))
    assert now.card.confirmed == Confirmed.INACTIVE


def test_late_doubt_keeps_the_time_of_the_reading_and_is_noted(merchant, account):
    (command,) = waiting(merchant, account)
    (letter,) = claimed(account)
    released_at = NOW + timedelta(seconds=61)
    dispatch.release_stuck(at=released_at)

    dispatch.record([(letter, Unknown("сокет закрыт"))], at=LATER)

    now = row(command)
    assert (now.state, now.check_at, now.code) == (
        CHECKING,
        released_at + timedelta(seconds=60),
        "сокет закрыт",
    )
    assert told(command) == ["queued", "sending", "checking"]


def test_word_about_the_number_is_kept_beside_a_plain_answer(merchant, account):
    known, other = waiting(merchant, account, 2)
    letters = {letter.command_id: letter for letter in claimed(account)}
    letters[known.pk].learned.append(Identity(IdentityState.CONFIRMED))

    dispatch.record([(letter, Applied()) for letter in letters.values()], at=LATER)

    kept = [(row(one).state, row(one).card.identity) for one in (known, other)]
    assert kept == [(DONE, "confirmed"), (DONE, "")]


def test_card_that_was_silent_for_long_is_written_by_itself_and_the_others_together(
    merchant, account
):
    many = waiting(merchant, account, 3)
    silent = many[0].card
    SmartCard.objects.update(off_since=NOW - timedelta(hours=1))
    SmartCard.objects.filter(pk=silent.pk).update(off_since=NOW - timedelta(hours=100))
    letters = claimed(account)

    dispatch.record([(letter, Applied()) for letter in letters], at=LATER)

    held_until = [row(one).card.may_hold_until for one in many]
    assert [facts(one) for one in many] == [(DONE, "", "")] * 3
    assert held_until == [LATER + timedelta(hours=24), None, None]


def test_command_that_is_over_moves_nowhere(merchant, account):
    command = make_command(make_card(merchant, account=account), state=DONE)

    with pytest.raises(WrongMove, match=r"не переходит из «done» в «queued»"):
        commands.move(command, QUEUED, at=NOW)

    assert row(command).state == DONE


# --- answers to questions ------------------------------------------------------------------------


def test_question_without_an_answer_is_asked_again_later_and_decides_nothing(partner):
    card = partner.card()
    partner.bench.fault("submit", "drop_after")
    command = partner.activate(card)
    partner.work()
    partner.bench.fault("read", "http_500")

    partner.run(seconds=61)
    without_an_answer = (row(command).state, row(command).questions)
    partner.run(seconds=61)

    assert without_an_answer == (CHECKING, 1)
    assert (row(command).state, partner.effects(card)) == (DONE, ["activate"])


def test_card_of_an_operator_that_knows_no_requests_is_read_itself(partner, settings):
    settings.OPERATORS = settings.OPERATORS | {"weak": f"{__name__}.Weak"}
    OperatorAccount.objects.filter(pk=partner.account.pk).update(adapter="weak")
    card = partner.card()
    partner.bench.fault("submit", "drop_after")
    command = partner.activate(card)
    partner.work()

    partner.run(seconds=61)

    card.refresh_from_db()
    assert told(command) == ["queued", "sending", "checking", "done"]
    assert (card.confirmed, card.confirmed_from) == (Confirmed.ACTIVE, Told.READING)
    assert (partner.effects(card), partner.calls(card)["submit"]) == (["activate"], 1)


def test_answer_about_a_command_that_staff_settled_meanwhile_changes_nothing(merchant, account):
    command, question = asked(merchant, account)
    commands.hand_to_staff(command, at=NOW, text="")
    services.settle_by_staff(command=command, done=True, reason="по телефону", by=STAFF, at=NOW)

    answer(question, Answer(reading=Reading(SimState.INACTIVE)))

    assert facts(command) == (DONE, "", "")
    assert row(command).card.confirmed == Confirmed.ACTIVE


def test_answer_about_a_card_that_is_gone_never_loses_the_others(merchant, account, caplog):
    gone, kept = (make_card(merchant, account=account) for _ in range(2))
    found = questions.stale_cards(account=account, at=NOW, limit=10)
    SmartCard.objects.filter(pk=gone.pk).delete()

    questions.record([(one, Answer(reading=Reading(SimState.ACTIVE))) for one in found], at=LATER)

    kept.refresh_from_db()
    assert (kept.confirmed, kept.read_at) == (Confirmed.ACTIVE, LATER)
    assert f"Could not record an answer about card {gone.pk}" in caplog.messages


def test_answer_without_a_word_is_a_question_to_repeat(merchant, account):
    command, question = asked(merchant, account)

    answer(question, Answer())

    now = row(command)
    assert (now.state, now.questions, now.check_at) == (
        CHECKING,
        1,
        LATER + timedelta(seconds=30),
    )


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
    card = make_card(merchant, account=account, confirmed=Confirmed.INACTIVE)
    (question,) = questions.stale_cards(account=account, at=NOW, limit=10)
    meanwhile(card)

    answer(question, Answer(reading=Reading(SimState.ACTIVE)))

    card.refresh_from_db()
    assert (card.confirmed, card.read_at) == (Confirmed.INACTIVE, None)


def test_card_that_the_operator_does_not_know_is_lost_to_it_since_the_first_time(merchant, account):
    card = make_card(merchant, account=account)
    unknown = Answer(unavailable=Unavailable(ErrorClass.NOT_FOUND, "404", ""))
    at = NOW

    for _ in range(2):
        (question,) = questions.stale_cards(account=account, at=at, limit=10)
        answer(question, unknown, at=at)
        at += timedelta(hours=1)

    card.refresh_from_db()
    assert card.lost_to_operator_at == NOW
    assert questions.stale_cards(account=account, at=at - timedelta(seconds=1), limit=10) == []
    assert [one.card_id for one in questions.stale_cards(account=account, at=at, limit=10)] == [
        card.pk
    ]


def test_reading_that_waited_for_our_own_turn_stays_due(merchant, account):
    card = make_card(merchant, account=account)
    (question,) = questions.stale_cards(account=account, at=NOW, limit=10)

    answer(question, Answer(unavailable=Unavailable(ErrorClass.RATE_LIMITED, OUR_QUOTA, "")))

    card.refresh_from_db()
    assert card.read_at is None


def test_cards_are_read_only_when_nothing_is_in_the_air(partner):
    switched, other = partner.card(), partner.card()
    partner.activate(switched)

    done = line.work(account_id=partner.account.pk, clock=partner.clock, reading=True)

    asked_of = Exchange.objects.filter(account=partner.account).exclude(kind="auth").order_by("pk")
    assert done == (1, 2)
    # The first one looks the card up for the switch.
    assert list(asked_of.values_list("kind", flat=True)) == ["read", "submit", "read", "read"]
    assert [partner.calls(card)["read"] for card in (switched, other)] == [2, 1]


# --- how the cards are ---------------------------------------------------------------------------


def test_every_card_is_read_once_a_day_and_those_in_stock_after_the_merchants(merchant, account):
    day = timedelta(hours=24)
    fresh = NOW - day + timedelta(seconds=1)
    never_in_stock = make_card(None, account=account)
    old_in_stock = make_card(None, account=account, read_at=NOW - day)
    old = make_card(merchant, account=account, read_at=NOW - day)
    older = make_card(merchant, account=account, read_at=NOW - 2 * day)
    never = make_card(merchant, account=account)
    for whose in (merchant, None):
        make_card(whose, account=account, read_at=fresh)
    make_command(make_card(merchant, account=account))

    found = questions.stale_cards(account=account, at=NOW, limit=9, asked=[])

    wanted = [never, older, old, never_in_stock, old_in_stock]
    assert [one.card_id for one in found] == [card.pk for card in wanted]


@pytest.mark.parametrize(("adapter", "number"), [("mts", 1), ("beeline", 1), ("tmf640", 2)])
def test_card_without_a_number_is_not_asked_about_by_its_number(merchant, adapter, number):
    account = make_account(adapter, adapter=adapter)
    for msisdn in ("", "79105550011"):
        make_card(merchant, account=account, msisdn=msisdn)

    assert len(questions.stale_cards(account=account, at=NOW, limit=9)) == number


# --- whose question comes first ------------------------------------------------------------------


def test_question_about_a_click_never_waits_behind_those_of_mass_work(merchant, account):
    def accepted(origin: Origin, minutes: int) -> int:
        card = make_card(merchant, account=account, confirmed=Confirmed.INACTIVE, wished_on=True)
        check_at = NOW - timedelta(minutes=minutes)
        fields: dict[str, Any] = {"origin": origin, "request_id": "r", "check_at": check_at}
        return make_command(card, state=ACCEPTED, **fields).pk

    reconciled, mass = accepted(Origin.RECONCILE, 9), accepted(Origin.MASS, 8)
    late_click, click = accepted(Origin.PERSON, 0), accepted(Origin.PERSON, 1)
    accepted(Origin.PERSON, -1)

    def found(**which) -> list[int | None]:
        return [one.command_id for one in questions.due(account=account, at=NOW, **which)]

    assert found(limit=9) == [click, late_click, mass, reconciled]
    assert found(limit=3) == [click, late_click, mass]
    assert found(limit=9, asked=[click, mass]) == [late_click, reconciled]
    assert found(limit=9, origins=(Origin.PERSON,)) == [click, late_click]
    assert found(limit=9, origins=(Origin.MASS, Origin.RECONCILE)) == [mass, reconciled]


# --- what follows from a word about a request ----------------------------------------------------


def test_refusal_because_it_was_so_already_is_a_success(merchant):
    command, question = asked(merchant, make_account(), state=ACCEPTED, request_id="r-1")

    answer(question, Answer(check=Check(CheckState.FAILED, error=ErrorClass.ALREADY)))

    now = row(command)
    assert (now.state, now.card.confirmed, now.card.confirmed_from) == (
        DONE,
        Confirmed.ACTIVE,
        Told.POLL,
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
def test_failed_request_tells_staff_of_what_only_they_can_mend(merchant, error, kept, matters):
    command, question = asked(merchant, make_account(), state=ACCEPTED, request_id="r-1")

    answer(question, Answer(check=Check(CheckState.FAILED, code="17", error=error)))

    assert facts(command) == (FAILED, kept, "17")
    keys = [key.format(card=command.card_id) for key in matters]
    assert list(Alert.objects.values_list("key", flat=True)) == keys


def test_request_that_is_pending_past_its_deadline_is_asked_about_otherwise(merchant):
    command, question = asked(
        merchant, make_account(), state=ACCEPTED, request_id="r-1", deadline_at=LATER
    )

    answer(question, Answer(check=Check(CheckState.PENDING)), at=LATER)

    now = row(command)
    assert (now.state, now.check_at) == (CHECKING, LATER)
    assert now.text == "Оператор отвечает дольше обычного, уточняем"


def test_request_that_is_pending_before_its_deadline_waits_by_the_plan(merchant):
    account = make_account(poll_plan=[5, 40])
    command, question = asked(
        merchant, account, state=ACCEPTED, request_id="r-1", deadline_at=LATER
    )

    answer(question, Answer(check=Check(CheckState.PENDING)), at=NOW)

    now = row(command)
    assert (now.state, now.check_at, now.questions) == (ACCEPTED, NOW + timedelta(seconds=40), 1)


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
def test_operator_may_ask_to_be_asked_later_but_not_after_the_deadline(
    merchant, deadline, retry_in, seconds
):
    ends_at = None if deadline is None else NOW + deadline
    command, question = asked(
        merchant, make_account(poll_plan=[5, 40]), request_id="r-1", deadline_at=ends_at
    )

    answer(question, Answer(check=Check(CheckState.PENDING, retry_in=retry_in)), at=NOW)

    assert row(command).check_at == NOW + timedelta(seconds=seconds)


def test_late_answer_among_plain_ones_is_left_out(merchant, account):
    first, second = waiting(merchant, account, 2)
    one, other = claimed(account)
    outdated = replace(other, attempt=other.attempt + 1)

    dispatch.record([(one, Applied()), (outdated, Applied())], at=LATER)

    assert [row(first).state, row(second).state] == [DONE, CommandState.SENDING]


def test_long_silence_of_many_cards_is_told_as_of_one(merchant, account):
    rows = waiting(merchant, account, 2)
    SmartCard.objects.update(off_since=NOW - timedelta(hours=80))
    letters = claimed(account)

    dispatch.record([(letter, Applied()) for letter in letters], at=LATER)

    held = SmartCard.objects.values_list("may_hold_until", "off_since")
    assert list(held) == [(LATER + timedelta(hours=24), None)] * len(rows)


def test_silence_past_the_deadline_turns_to_the_card_itself(merchant):
    command, question = asked(
        merchant, make_account(), state=ACCEPTED, request_id="r-1", deadline_at=LATER
    )

    answer(question, Answer(unavailable=Unavailable(ErrorClass.TRANSIENT, "500", "")), at=LATER)

    assert (row(command).state, row(command).check_at) == (CHECKING, LATER)


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (Reading(SimState.ACTIVE), (DONE, "", "")),
        (Reading(SimState.HELD), (FAILED, "held_by_operator", "")),
        (Reading(SimState.INACTIVE), (CHECKING, "", "not_done")),
        (Reading(SimState.UNKNOWN), (CHECKING, "", "")),
    ],
)
def test_reading_decides_a_command_of_unknown_outcome(merchant, account, reading, expected):
    command, question = asked(merchant, account)

    answer(question, Answer(reading=reading))

    assert facts(command) == expected


def asked_again(command: Command, reading: Reading, at) -> tuple[str, int]:
    """The state after one more such answer, and in how many seconds the next question is due."""
    (question,) = questions.due(account=command.account, at=at, limit=9)
    answer(question, Answer(reading=reading), at=at)
    now = row(command)
    return now.state, round((now.check_at - at).total_seconds()) if now.check_at else 0


def test_card_that_is_as_it_was_proves_nothing_before_the_operators_time_is_over(merchant, account):
    command, question = asked(merchant, account, sent_at=NOW - timedelta(seconds=60))
    old, at = Reading(SimState.INACTIVE), NOW

    answer(question, Answer(reading=old), at=NOW)
    pauses = []
    while row(command).state == CHECKING:
        pauses.append(round((row(command).check_at - at).total_seconds()))
        at = row(command).check_at
        asked_again(command, old, at)

    assert facts(command) == (FAILED, "transient", "not_done")
    assert pauses == [30, 60, 120, 300, 30]
    assert at == NOW + timedelta(seconds=540)


def test_operator_that_promises_to_be_done_sooner_is_believed_sooner(merchant, account):
    OperatorAccount.objects.update(deadline_seconds=120)
    command, _ = asked(merchant, account, sent_at=NOW - timedelta(seconds=121))
    old = Reading(SimState.INACTIVE)

    states = [asked_again(command, old, NOW + timedelta(minutes=step))[0] for step in range(2)]

    assert states == [CHECKING, FAILED]


def test_one_reading_after_the_time_is_over_is_followed_by_a_second(merchant, account):
    long_ago = NOW - timedelta(hours=2)
    command, _ = asked(merchant, account, sent_at=long_ago)
    old = Reading(SimState.INACTIVE)

    first = asked_again(command, old, NOW)
    second = asked_again(command, old, NOW + timedelta(seconds=60))

    assert (first, second) == ((CHECKING, 60), (FAILED, 0))


def test_request_that_still_ran_when_the_card_was_read_is_done_by_a_later_reading(
    merchant, account
):
    command, _ = asked(merchant, account)

    asked_again(command, Reading(SimState.INACTIVE), NOW)
    later = asked_again(command, Reading(SimState.ACTIVE), LATER)

    assert later == (DONE, 0)
    assert row(command).card.confirmed == Confirmed.ACTIVE


def test_operator_that_switches_at_once_is_believed_at_once(merchant):
    account = make_account("cc", adapter="control_center", title="Центр")
    command, _ = asked(merchant, account)

    asked_again(command, Reading(SimState.INACTIVE), NOW)

    assert facts(command) == (FAILED, "transient", "not_done")


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
    assert row(command).card.confirmed == Confirmed.INACTIVE


def test_command_that_nobody_could_read_for_forty_questions_is_left_to_staff(merchant, account):
    command, question = asked(merchant, account, questions=39)

    answer(question, Answer(reading=Reading(SimState.UNKNOWN)))

    assert row(command).state == CommandState.NEEDS_STAFF
    assert list(Alert.objects.values_list("key", flat=True)) == [f"command:{command.pk}"]


# --- Госуслуги -----------------------------------------------------------------------------------


def test_number_is_not_asked_about_out_of_turn_and_the_switch_goes_without(mts):
    card = mts.card()
    mts.bench.fault("read", "http_429", retry_after=1)
    command = mts.activate(card)
    (letter,) = dispatch.claim(account=mts.account, at=mts.clock(), limit=1)

    result = dispatch.send(connect(mts.account, heard=lambda _: None), letter, mts.clock)
    dispatch.record([(letter, result)], at=mts.clock())

    card.refresh_from_db()
    assert (letter.asks_identity, row(command).state) == (True, ACCEPTED)
    assert (card.identity, card.identity_at) == ("", None)


def test_nothing_of_a_refused_answer_stays_in_the_journal_of_the_card(merchant, account):
    command, question = asked(merchant, account)

    answer(question, Answer(reading=Reading(SimState.HELD)))

    rows = AuditEvent.objects.filter(target="smartcard", target_id=command.card_id).order_by("pk")
    assert list(rows.values_list("action", flat=True)) == ["confirmed", "command_failed"]
