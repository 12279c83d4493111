"""What is true of a card and what may be done with it: tables without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cabinet.enums import ActorKind, Role
from cabinet.errors import NotAllowed
from cabinet.formatting.ru_format import Pill, Tone
from smartcards import rules
from smartcards.rules import CardFacts, CardRefused, OpenCommand
from smartcards.states import (
    COMMAND_TRANSITIONS,
    OPEN_COMMANDS,
    CardState,
    CommandKind,
    CommandState,
    OffReason,
    OperatorState,
    WithdrawalReason,
)
from smartcards.texts import pill, staff_state

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
WORKING = CardFacts(
    confirmed=OperatorState.ACTIVE,
    block_reason="",
    desired_on=True,
    desired_by_kind=ActorKind.PERSON,
    covered=True,
    entitled=True,
)
OFF_BY_WISH = replace(
    WORKING, confirmed=OperatorState.INACTIVE, block_reason="voluntary", desired_on=False
)
UNPAID = replace(
    WORKING, confirmed=OperatorState.INACTIVE, block_reason="voluntary", entitled=False
)
NEW = replace(WORKING, confirmed=OperatorState.NEW, desired_on=None, desired_by_kind="")

facts = st.builds(
    CardFacts,
    confirmed=st.sampled_from(OperatorState),
    block_reason=st.sampled_from(
        ["", "voluntary", "debt", "fraud", "stolen", "law", "limit", "imei", "operator"]
    ),
    desired_on=st.sampled_from([None, True, False]),
    desired_by_kind=st.sampled_from([*ActorKind]),
    covered=st.booleans(),
    entitled=st.booleans(),
    not_over=st.booleans(),
    withdrawn=st.sampled_from(["", *WithdrawalReason.values]),
    replaced=st.booleans(),
    open_command=st.none()
    | st.builds(
        OpenCommand,
        kind=st.sampled_from(CommandKind),
        state=st.sampled_from(sorted(OPEN_COMMANDS)),
        asked_by=st.just("Анна"),
        created_at=st.just(NOON),
    ),
    # What pays now is not over.
).map(lambda known: replace(known, not_over=known.not_over or known.entitled))


def on_its_way(kind: CommandKind, state: CommandState) -> OpenCommand:
    return OpenCommand(kind=kind, state=state, asked_by="Анна", created_at=NOON)


@pytest.mark.parametrize(
    ("desired_on", "covered", "entitled", "on"),
    [
        (True, True, True, True),
        (True, True, False, False),
        (True, False, True, False),
        (False, True, True, False),
        (None, True, True, False),
    ],
)
def test_target_needs_desired_on_cover_and_entitlement(desired_on, covered, entitled, on):
    asked = replace(WORKING, desired_on=desired_on, covered=covered, entitled=entitled)

    assert rules.target_on(asked) is on


@pytest.mark.parametrize(
    ("case", "shown"),
    [
        (NEW, Pill(Tone.OFF, "Новая")),
        (WORKING, Pill(Tone.WORKS, "Работает")),
        (OFF_BY_WISH, Pill(Tone.OFF, "Отключена: вами")),
        (
            replace(OFF_BY_WISH, desired_by_kind=ActorKind.STAFF),
            Pill(Tone.OFF, "Отключена: сотрудником сервиса"),
        ),
        (UNPAID, Pill(Tone.PROBLEM, "Отключена: не оплачена")),
        (replace(UNPAID, entitled=True), Pill(Tone.PROBLEM, "Отключена: причина неизвестна")),
        (replace(UNPAID, block_reason="debt"), Pill(Tone.PROBLEM, "Отключена: оператором")),
        (replace(UNPAID, block_reason="limit"), Pill(Tone.PROBLEM, "Отключена: лимит")),
        (
            replace(UNPAID, block_reason="imei"),
            Pill(Tone.PROBLEM, "Отключена: другой терминал (IMEI)"),
        ),
        (replace(UNPAID, block_reason="law"), Pill(Tone.PROBLEM, "Отключена: по закону")),
        (
            replace(WORKING, confirmed=OperatorState.HELD),
            Pill(Tone.PROBLEM, "Отключена: оператором"),
        ),
        (
            replace(WORKING, confirmed=OperatorState.UNKNOWN),
            Pill(Tone.ATTENTION, "Уточняем у оператора"),
        ),
        (replace(WORKING, confirmed=OperatorState.RETIRED), Pill(Tone.OFF, "Списана")),
        (
            replace(
                OFF_BY_WISH, open_command=on_its_way(CommandKind.ACTIVATE, CommandState.SENDING)
            ),
            Pill(Tone.PROGRESS, "Включается…"),
        ),
        (
            replace(WORKING, open_command=on_its_way(CommandKind.DEACTIVATE, CommandState.QUEUED)),
            Pill(Tone.PROGRESS, "Отключается…"),
        ),
        (
            replace(
                WORKING, open_command=on_its_way(CommandKind.DEACTIVATE, CommandState.NEEDS_STAFF)
            ),
            Pill(Tone.ATTENTION, "Уточняем у оператора"),
        ),
    ],
)
def test_pill_names_the_state_and_the_reason(case, shown):
    assert pill(case) == shown


def test_activation_is_refused_with_the_sentence_for_the_button():
    cases = {
        WORKING: "Смарт-карта уже работает.",
        replace(OFF_BY_WISH, covered=False): (
            "Смарт-карта не выбрана для оплаты. Сначала отметьте её в разделе «Выбрать карты»."
        ),
        UNPAID: "Подписка не оплачена. Продлите её, и смарт-карту можно будет включить.",
        replace(OFF_BY_WISH, block_reason="law"): rules.BLOCK_ADVICE[OffReason.LAW],
        replace(
            OFF_BY_WISH, confirmed=OperatorState.RETIRED
        ): "Смарт-карта списана, включить её нельзя. Закажите новую.",
    }

    sentences = {}
    for case in cases:
        with pytest.raises(CardRefused) as refusal:
            rules.check_can_activate(case, Role.OWNER)
        sentences[case] = refusal.value.sentence

    assert sentences == cases


def test_second_person_reads_who_was_first():
    busy = replace(OFF_BY_WISH, open_command=on_its_way(CommandKind.ACTIVATE, CommandState.QUEUED))

    with pytest.raises(CardRefused, match=r"Включение уже выполняется: его запросил\(а\) Анна"):
        rules.check_can_activate(busy, Role.MANAGER)


@pytest.mark.parametrize(
    ("role", "on", "off"),
    [
        (Role.OWNER, True, True),
        (Role.MANAGER, True, True),
        (Role.CASHIER, True, False),
        (Role.ACCOUNTANT, False, False),
        (None, True, True),
    ],
)
def test_role_decides_who_switches(role, on, off):
    may = {"on": True, "off": True}
    for word, check, case in (
        ("on", rules.check_can_activate, OFF_BY_WISH),
        ("off", rules.check_can_deactivate, WORKING),
    ):
        try:
            check(case, role)
        except NotAllowed:
            may[word] = False

    assert may == {"on": on, "off": off}


@pytest.mark.parametrize(
    "case",
    [NEW, OFF_BY_WISH, replace(WORKING, confirmed=OperatorState.RETIRED)],
    ids=["new", "off", "retired"],
)
def test_deactivation_of_what_is_not_on_is_refused(case):
    with pytest.raises(CardRefused):
        rules.check_can_deactivate(case, Role.OWNER)


def test_only_a_queued_command_may_be_taken_back():
    waiting = replace(
        OFF_BY_WISH, open_command=on_its_way(CommandKind.ACTIVATE, CommandState.QUEUED)
    )

    rules.check_can_cancel(waiting, Role.CASHIER)

    for state in OPEN_COMMANDS - {CommandState.QUEUED}:
        with pytest.raises(CardRefused):
            rules.check_can_cancel(
                replace(waiting, open_command=on_its_way(CommandKind.ACTIVATE, state)), Role.OWNER
            )
    with pytest.raises(CardRefused):
        rules.check_can_cancel(WORKING, Role.OWNER)
    with pytest.raises(NotAllowed):
        rules.check_can_cancel(
            replace(WORKING, open_command=on_its_way(CommandKind.DEACTIVATE, CommandState.QUEUED)),
            Role.CASHIER,
        )


@given(facts)
def test_reconcile_sends_only_what_is_still_wanted(case):
    kind = rules.next_command(case)

    if kind is not None:
        assert rules.wanted_now(
            kind,
            confirmed=case.confirmed,
            desired_on=case.desired_on,
            paid=case.paid,
            not_over=case.covered and case.not_over,
        )
        assert case.open_command is None
        assert case.desired_on is not None


@given(facts)
def test_reconcile_never_switches_a_paid_desired_card_off(case):
    if case.desired_on and case.covered and case.not_over:
        assert rules.next_command(case) != CommandKind.DEACTIVATE


@given(facts)
def test_shown_state_is_the_last_thing_that_happened_to_a_card(case):
    command = case.open_command
    if case.confirmed == OperatorState.RETIRED:
        expected = CardState.RETIRED
    elif command is not None and command.state in {CommandState.CHECKING, CommandState.NEEDS_STAFF}:
        expected = CardState.UNCLEAR
    elif command is not None:
        on = command.kind == CommandKind.ACTIVATE
        expected = CardState.ACTIVATING if on else CardState.DEACTIVATING
    elif case.withdrawn:
        expected = CardState.WITHDRAWN
    elif case.confirmed in {OperatorState.NEW, OperatorState.ACTIVE}:
        expected = CardState(case.confirmed.value)
    else:
        unknown = case.confirmed == OperatorState.UNKNOWN
        expected = CardState.UNCLEAR if unknown else CardState.INACTIVE

    assert rules.card_state(case) == expected
    assert pill(case).text


@pytest.mark.parametrize(
    ("failures", "passed", "may"),
    [
        (1, timedelta(seconds=59), False),
        (1, timedelta(minutes=1), True),
        (3, timedelta(minutes=29), False),
        (3, timedelta(minutes=30), True),
        (5, timedelta(hours=12), True),
        (6, timedelta(hours=23), False),
        (40, timedelta(hours=24), True),
    ],
)
def test_failures_are_repeated_more_and_more_seldom(failures, passed, may):
    answer = rules.may_repeat(
        error="transient", failures=failures, failed_at=NOON, at=NOON + passed
    )

    assert answer is may


def test_permanent_errors_are_never_repeated():
    answers = {
        rules.may_repeat(error=error, failures=1, failed_at=NOON, at=NOON + timedelta(days=30))
        for error in rules.PERMANENT_ERRORS
    }

    assert answers == {False}


@pytest.mark.parametrize(
    ("cards", "percent", "active", "limit"),
    [(50, 20, 0, 10), (50, 20, 100, 20), (50, 20, 1000, 50), (5, 20, 1000, 5)],
)
def test_brake_limit_is_the_smaller_of_number_and_share(cards, percent, active, limit):
    assert rules.brake_limit(cards=cards, percent=percent, active=active, floor=10) == limit


def test_no_way_leads_back_from_a_command_that_is_over():
    over = {
        state: COMMAND_TRANSITIONS[state] for state in CommandState if state not in OPEN_COMMANDS
    }

    assert over == {
        CommandState.DONE: frozenset(),
        CommandState.FAILED: frozenset(),
        CommandState.CANCELLED: frozenset(),
    }


def test_unknown_outcome_is_never_sent_again():
    assert CommandState.QUEUED not in COMMAND_TRANSITIONS[CommandState.CHECKING]
    assert CommandState.SENDING not in COMMAND_TRANSITIONS[CommandState.CHECKING]


def test_staff_read_the_merchant_where_the_merchant_reads_you():
    assert staff_state(OFF_BY_WISH) == "Отключена: клиентом"
    assert staff_state(UNPAID) == "Отключена: не оплачена"


@pytest.mark.parametrize("kind", CommandKind)
def test_no_command_is_wanted_for_a_retired_card(kind):
    desired_on = kind == CommandKind.ACTIVATE

    assert not rules.wanted_now(
        kind, confirmed=OperatorState.RETIRED, desired_on=desired_on, paid=True
    )


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (WORKING, True),
        (UNPAID, True),
        (OFF_BY_WISH, True),
        (NEW, True),
        (replace(WORKING, confirmed=OperatorState.INACTIVE), False),
        (replace(WORKING, confirmed=OperatorState.HELD), False),
        (replace(WORKING, entitled=False), False),
        (replace(UNPAID, confirmed=OperatorState.UNKNOWN), False),
        (replace(UNPAID, confirmed=OperatorState.HELD), True),
        (replace(WORKING, confirmed=OperatorState.RETIRED), True),
        (replace(WORKING, desired_on=None), True),
        (
            replace(
                WORKING,
                open_command=on_its_way(CommandKind.DEACTIVATE, CommandState.QUEUED),
            ),
            False,
        ),
    ],
)
def test_card_in_desired_state_without_command_is_in_step(asked, expected):
    assert rules.is_in_step(asked) is expected


@given(facts)
def test_card_out_of_step_is_switched_or_waits_for_an_answer_or_the_operator(asked):
    switched = rules.next_command(asked) is not None
    under_way = asked.open_command is not None
    blocked = rules.is_blocked(asked.confirmed, asked.block_reason)
    waits_for_operator = (
        rules.target_on(asked)
        and blocked
        and asked.confirmed not in {OperatorState.ACTIVE, OperatorState.RETIRED}
    )

    out_of_step = switched or under_way or waits_for_operator
    assert rules.is_in_step(asked) is not out_of_step


def test_failures_that_do_not_count_put_nothing_off():
    again = rules.retry_at(error="not_found", failures=0, failed_at=NOON)

    assert again == NOON
