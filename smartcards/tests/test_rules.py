"""What is true of a card and what may be done with it: tables without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cabinet.errors import NotAllowed
from cabinet.states import ActorKind, Role
from cabinet.wording import Pill, Tone
from smartcards import rules
from smartcards.phrases import pill, staff_state
from smartcards.rules import CardFacts, CardRefused, OpenCommand
from smartcards.states import (
    COMMAND_TRANSITIONS,
    OPEN_COMMANDS,
    CardState,
    CommandKind,
    CommandState,
    Confirmed,
    WhyOff,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
WORKING = CardFacts(
    confirmed=Confirmed.ACTIVE,
    block_reason="",
    wished_on=True,
    wished_by_kind=ActorKind.PERSON,
    covered=True,
    entitled=True,
)
OFF_BY_WISH = replace(
    WORKING, confirmed=Confirmed.INACTIVE, block_reason="voluntary", wished_on=False
)
UNPAID = replace(WORKING, confirmed=Confirmed.INACTIVE, block_reason="voluntary", entitled=False)
NEW = replace(WORKING, confirmed=Confirmed.NEW, wished_on=None, wished_by_kind="")

facts = st.builds(
    CardFacts,
    confirmed=st.sampled_from(Confirmed),
    block_reason=st.sampled_from(
        ["", "voluntary", "debt", "fraud", "stolen", "law", "limit", "imei", "operator"]
    ),
    wished_on=st.sampled_from([None, True, False]),
    wished_by_kind=st.sampled_from([*ActorKind]),
    covered=st.booleans(),
    entitled=st.booleans(),
    open_command=st.none()
    | st.builds(
        OpenCommand,
        kind=st.sampled_from(CommandKind),
        state=st.sampled_from(sorted(OPEN_COMMANDS)),
        asked_by=st.just("Анна"),
        created_at=st.just(NOON),
    ),
)


def on_its_way(kind: CommandKind, state: CommandState) -> OpenCommand:
    return OpenCommand(kind=kind, state=state, asked_by="Анна", created_at=NOON)


@pytest.mark.parametrize(
    ("wished_on", "covered", "entitled", "on"),
    [
        (True, True, True, True),
        (True, True, False, False),
        (True, False, True, False),
        (False, True, True, False),
        (None, True, True, False),
    ],
)
def test_target_needs_wish_cover_and_entitlement(wished_on, covered, entitled, on):
    asked = replace(WORKING, wished_on=wished_on, covered=covered, entitled=entitled)

    assert rules.target_on(asked) is on


@pytest.mark.parametrize(
    ("case", "shown"),
    [
        (NEW, Pill(Tone.OFF, "Новая")),
        (WORKING, Pill(Tone.WORKS, "Работает")),
        (OFF_BY_WISH, Pill(Tone.OFF, "Отключена: вами")),
        (
            replace(OFF_BY_WISH, wished_by_kind=ActorKind.STAFF),
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
        (replace(WORKING, confirmed=Confirmed.HELD), Pill(Tone.PROBLEM, "Отключена: оператором")),
        (
            replace(WORKING, confirmed=Confirmed.UNKNOWN),
            Pill(Tone.ATTENTION, "Уточняем у оператора"),
        ),
        (replace(WORKING, confirmed=Confirmed.RETIRED), Pill(Tone.OFF, "Списана")),
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
        replace(OFF_BY_WISH, block_reason="law"): rules.BLOCK_ADVICE[WhyOff.LAW],
        replace(
            OFF_BY_WISH, confirmed=Confirmed.RETIRED
        ): "Смарт-карта списана, включить её нельзя. Закажите новую.",
    }

    heard = {}
    for case in cases:
        with pytest.raises(CardRefused) as refusal:
            rules.check_can_activate(case, Role.OWNER)
        heard[case] = refusal.value.sentence

    assert heard == cases


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
    [NEW, OFF_BY_WISH, replace(WORKING, confirmed=Confirmed.RETIRED)],
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
def test_reconcile_only_sends_what_is_still_wanted_when_its_turn_comes(case):
    kind = rules.next_command(case)

    if kind is not None:
        assert rules.wanted_now(case, kind)
        assert case.open_command is None
        assert case.wished_on is not None


@given(facts)
def test_reconcile_never_switches_a_paid_wished_card_off(case):
    if case.wished_on and case.covered and case.entitled:
        assert rules.next_command(case) != CommandKind.DEACTIVATE


@given(facts)
def test_every_card_has_one_state(case):
    assert rules.card_state(case) in set(CardState)
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
def test_nobody_wants_a_command_for_a_card_that_the_operator_has_retired(kind):
    asked = replace(WORKING, confirmed=Confirmed.RETIRED, wished_on=kind == CommandKind.ACTIVATE)

    assert rules.wanted_now(asked, kind) is False


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (WORKING, True),
        (UNPAID, True),
        (OFF_BY_WISH, True),
        (NEW, True),
        (replace(WORKING, confirmed=Confirmed.INACTIVE), False),
        (replace(WORKING, confirmed=Confirmed.HELD), False),
        (replace(WORKING, entitled=False), False),
        (replace(UNPAID, confirmed=Confirmed.UNKNOWN), False),
        (replace(UNPAID, confirmed=Confirmed.HELD), True),
        (replace(WORKING, confirmed=Confirmed.RETIRED), True),
        (replace(WORKING, wished_on=None), True),
        (
            replace(
                WORKING,
                open_command=on_its_way(CommandKind.DEACTIVATE, CommandState.QUEUED),
            ),
            False,
        ),
    ],
)
def test_card_is_in_step_when_it_is_as_it_should_be_and_nothing_moves_it(asked, expected):
    assert rules.is_in_step(asked) is expected


@given(facts)
def test_card_in_step_has_nothing_to_send(asked):
    if rules.is_in_step(asked):
        assert rules.next_command(asked) is None


def test_failures_that_do_not_count_put_nothing_off():
    again = rules.retry_at(error="not_found", failures=0, failed_at=NOON)

    assert again == NOON
