"""Work on many cards: what is shown before, what leaves and when, what can be taken back."""

from datetime import timedelta
from typing import NamedTuple
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Count
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from cabinet.accounts.access import actor_for
from cabinet.enums import Role
from cabinet.errors import NotAllowed
from cabinet.models import AuditEvent, Member
from smartcards import services as card_services
from smartcards.dispatch import outbox
from smartcards.listing.card_filter import CardFilter
from smartcards.mass_operations import processing, queries, services
from smartcards.mass_operations.services import PREVIEW_HOLDS, MassRefused
from smartcards.models import Command, Coverage, MassOperation, MassOperationCard, SmartCard
from smartcards.states import (
    CommandKind,
    CommandState,
    MassAction,
    MassState,
    OperatorState,
    Origin,
)
from smartcards.tests.cards import (
    NOW,
    OWNER,
    STAFF,
    make_account,
    make_card,
    make_command,
    make_member,
)
from smartcards.tests.mass_operations import (
    LATER,
    SENT,
    Outcome,
    add_card,
    begin,
    confirm,
    make_chain,
    outcomes,
    run,
)

pytestmark = pytest.mark.django_db

OFF = {"confirmed": OperatorState.INACTIVE, "desired_on": False}
NEW = {"confirmed": OperatorState.NEW, "desired_on": None}


class Queued(NamedTuple):
    kind: str
    state: str
    origin: int
    seconds: float


def commands_of(merchant):
    """The commands of a merchant's cards, in how many seconds from `NOW` each may leave."""
    rows = Command.objects.filter(card__merchant=merchant).order_by("card", "pk")
    return [
        Queued(row.kind, row.state, row.origin, (row.due_at - NOW).total_seconds()) for row in rows
    ]


class Decision(NamedTuple):
    on: bool | None
    by: str


def decisions_of(merchant):
    rows = SmartCard.objects.of(merchant).order_by("pk").values_list("desired_on", "desired_by")
    return [Decision(*row) for row in rows]


MASS_OFF = Queued("deactivate", "queued", Origin.MASS, 60.0)


# The preview


def test_preview_says_who_changes_and_why_others_do_not():
    chain = make_chain()
    add_card(chain, "Касса 1")
    add_card(chain, "Касса 2", **OFF)
    add_card(chain, "Касса 3", **NEW)

    operation = begin(chain)

    assert outcomes(operation) == [
        Outcome("planned"),
        Outcome("excluded", "Смарт-карта уже отключена."),
        Outcome("excluded", "Смарт-карта ещё не включалась."),
    ]
    assert (operation.state, operation.total, operation.planned) == ("prepared", 3, 1)
    assert commands_of(chain.merchant) == []


def test_preview_sums_the_fees_of_planned_switches():
    chain = make_chain()
    account = make_account("paid", activation_fee_kopecks=1500)
    add_card(chain, "Касса 1", account=account, **OFF)
    add_card(chain, "Касса 2", account=account, **OFF)
    add_card(chain, "Касса 3", account=account)

    operation = begin(chain, MassAction.ACTIVATE)

    assert (operation.planned, operation.fee_kopecks) == (2, 3000)


def test_preview_counts_tills_without_another_working_card():
    chain = make_chain()
    add_card(chain, "Касса 1")
    both = add_card(chain, "Касса 2")
    spare = make_card(
        chain.merchant, terminal=both.terminal, confirmed=OperatorState.ACTIVE, desired_on=True
    )

    without_spare = begin(chain, cards=SmartCard.objects.exclude(pk=spare.pk))
    with_spare = begin(chain)

    assert (without_spare.dark_terminals, with_spare.dark_terminals) == (1, 2)


def test_selection_by_filter_means_what_it_shows():
    chain = make_chain()
    add_card(chain, "Касса 1", label="летняя веранда")
    add_card(chain, "Касса 2")

    wanted = services.selection_of(wanted=CardFilter(text="веранда"))
    operation = begin(chain, selection=wanted)

    labels = list(operation.cards.order_by("position").values_list("card__label", flat=True))
    assert labels == ["летняя веранда"]


def test_cards_of_another_merchant_are_never_selected():
    chain, other = make_chain(1), make_chain(1)

    operation = begin(chain, cards=SmartCard.objects.all())

    assert [row.card.merchant for row in operation.cards.select_related("card__merchant")] == [
        chain.merchant
    ]
    assert other.merchant.cards.count() == 1


def test_same_form_sent_twice_is_one_operation():
    chain, key = make_chain(2), uuid4()

    first = begin(chain, form_key=key)
    second = begin(chain, form_key=key)
    with_other_cards = begin(chain, cards=SmartCard.objects.all()[:1], form_key=key)

    assert (first == second, first == with_other_cards) == (True, False)


def test_operation_without_a_card_is_refused():
    chain = make_chain()

    with pytest.raises(MassRefused, match="Отметьте хотя бы одну"):
        begin(chain, cards=[])


@pytest.mark.parametrize(
    ("role", "action"),
    [
        (Role.CASHIER, MassAction.DEACTIVATE),
        (Role.CASHIER, MassAction.CHOOSE),
        (Role.ACCOUNTANT, MassAction.ACTIVATE),
    ],
)
def test_roles_may_do_no_more_than_by_single_clicks(role, action):
    chain = make_chain(1)
    colleague = actor_for(make_member(chain.merchant, role))

    with pytest.raises(NotAllowed):
        begin(chain, action, by=colleague)


def test_staff_have_to_give_a_reason():
    chain = make_chain(1)

    with pytest.raises(MassRefused, match="Укажите причину"):
        begin(chain, by=STAFF)

    assert begin(chain, by=STAFF, reason="просьба клиента").reason == "просьба клиента"


# The confirmation


def test_confirmed_switches_leave_after_sixty_seconds():
    chain = make_chain(2)
    operation = confirm(chain, begin(chain))

    assert (operation.state, operation.starts_at) == ("running", SENT)
    assert commands_of(chain.merchant) == [MASS_OFF, MASS_OFF]
    assert decisions_of(chain.merchant) == [Decision(False, "Анна Владимировна")] * 2
    account = SmartCard.objects.of(chain.merchant)[0].account
    assert outbox.claim(account=account, at=SENT - timedelta(seconds=1)) is None
    assert outbox.claim(account=account, at=SENT) is not None


def test_confirmation_needs_the_number_that_was_shown():
    chain = make_chain(2)
    operation = begin(chain)

    with pytest.raises(MassRefused, match="Список изменился"):
        services.confirm(operation=operation, number=1, by=actor_for(chain.owner), at=NOW)

    assert commands_of(chain.merchant) == []


def test_second_confirmation_changes_nothing():
    chain = make_chain(1)
    operation = confirm(chain, begin(chain))

    confirm(chain, operation, at=LATER)

    assert commands_of(chain.merchant) == [MASS_OFF]
    assert MassOperation.objects.get().starts_at == SENT


def test_old_preview_is_made_anew():
    chain = make_chain(2)
    operation = begin(chain)
    SmartCard.objects.filter(pk=chain.merchant.cards.first().pk).update(
        confirmed=OperatorState.INACTIVE, desired_on=False
    )

    anew = confirm(chain, operation, at=NOW + PREVIEW_HOLDS + timedelta(seconds=1))

    assert (anew.state, anew.planned) == ("prepared", 1)
    assert commands_of(chain.merchant) == []


def test_card_decided_about_after_the_confirmation_is_left_alone():
    chain = make_chain(2)
    operation = begin(chain)
    services.confirm(operation=operation, number=2, by=actor_for(chain.owner), at=NOW)
    first = SmartCard.objects.of(chain.merchant).order_by("pk")[0]
    card_services.set_desired_state(first, on=True, by=OWNER, at=LATER)

    done = run(operation, at=LATER)

    assert outcomes(done) == [
        Outcome("refused", "Позже о ней решили отдельно."),
        Outcome("accepted"),
    ]


def test_rules_are_asked_again_when_it_is_done():
    chain = make_chain(2)
    operation = begin(chain)
    card = SmartCard.objects.of(chain.merchant).order_by("pk")[0]
    make_command(card, kind=CommandKind.ACTIVATE, by=OWNER)

    done = confirm(chain, operation)

    sentence = (
        "Включение уже выполняется: его запросил(а) Анна Владимировна. Дождитесь ответа оператора."
    )
    assert outcomes(done) == [Outcome("refused", sentence), Outcome("accepted")]


def test_person_who_left_the_company_switches_nothing():
    chain = make_chain(2)
    operation = begin(chain)
    services.confirm(operation=operation, number=2, by=actor_for(chain.owner), at=NOW)
    Member.objects.all().delete()

    stopped = run(operation)

    assert (stopped.state, commands_of(chain.merchant)) == ("cancelled", [])
    assert outcomes(stopped) == [Outcome("reverted")] * 2


# Taking back


def test_cancellation_brings_back_the_earlier_decision():
    chain = make_chain()
    add_card(chain, "Касса 1", **OFF)
    add_card(chain, "Касса 2", **NEW)
    before = decisions_of(chain.merchant)
    operation = confirm(chain, begin(chain, MassAction.ACTIVATE))

    services.cancel(operation=operation, by=actor_for(chain.owner), at=LATER)
    cancelled = run(operation, at=LATER)

    assert cancelled.state == "cancelled"
    assert (
        decisions_of(chain.merchant) == before == [Decision(False, OWNER.name), Decision(None, "")]
    )
    assert [queued.state for queued in commands_of(chain.merchant)] == ["cancelled"] * 2
    assert outcomes(cancelled) == [Outcome("reverted")] * 2


def test_cancellation_stops_everything_at_once():
    """Also before the worker has taken the first batch back."""
    chain = make_chain(3)
    operation = confirm(chain, begin(chain))

    services.cancel(operation=operation, by=actor_for(chain.owner), at=LATER)

    account = SmartCard.objects.of(chain.merchant)[0].account
    assert outbox.claim(account=account, at=SENT) is None


def test_cancellation_leaves_what_has_left():
    chain = make_chain(2)
    operation = confirm(chain, begin(chain))
    account = SmartCard.objects.of(chain.merchant)[0].account
    assert outbox.claim(account=account, at=SENT) is not None

    services.cancel(operation=operation, by=actor_for(chain.owner), at=SENT)
    cancelled = run(operation, at=SENT)

    assert outcomes(cancelled) == [Outcome("accepted"), Outcome("reverted")]
    assert [queued.state for queued in commands_of(chain.merchant)] == ["sending", "cancelled"]
    assert [one.on for one in decisions_of(chain.merchant)] == [False, True]


def test_operation_that_is_not_confirmed_is_over_at_once():
    chain = make_chain(2)

    operation = services.cancel(operation=begin(chain), by=actor_for(chain.owner), at=LATER)

    assert (operation.state, outcomes(operation)) == ("cancelled", [Outcome("reverted")] * 2)
    assert run(operation, at=SENT).state == "cancelled"


def test_wake_up_for_a_forgotten_operation_does_nothing():
    assert processing.work(operation_id=0, clock=lambda: NOW) is False


def test_cancellation_before_the_worker_began_does_nothing():
    chain = make_chain(2)
    operation = begin(chain)
    services.confirm(operation=operation, number=2, by=actor_for(chain.owner), at=NOW)
    services.cancel(operation=operation, by=actor_for(chain.owner), at=LATER)

    cancelled = run(operation, at=LATER)

    assert (cancelled.state, commands_of(chain.merchant)) == ("cancelled", [])


def test_cancellation_of_a_finished_operation_is_refused():
    chain = make_chain(1)
    operation = confirm(chain, begin(chain))
    Command.objects.update(state=CommandState.DONE, sent_at=SENT, finished_at=SENT)
    finished = run(operation, at=SENT)

    with pytest.raises(MassRefused, match="отменять нечего"):
        services.cancel(operation=finished, by=actor_for(chain.owner), at=SENT)


@pytest.mark.parametrize("seconds", [0, 59])
def test_single_click_wins_over_mass_work(seconds):
    chain = make_chain(2)
    operation = confirm(chain, begin(chain))
    card = SmartCard.objects.of(chain.merchant).order_by("pk")[0]
    at = NOW + timedelta(seconds=seconds)

    card_services.request_activation(card=card, by=OWNER, at=at)

    assert commands_of(chain.merchant) == [MASS_OFF._replace(state="cancelled"), MASS_OFF]
    assert [one.on for one in decisions_of(chain.merchant)] == [True, False]
    services.cancel(operation=operation, by=actor_for(chain.owner), at=at)
    run(operation, at=at)
    assert [one.on for one in decisions_of(chain.merchant)] == [True, True]


def test_single_click_of_the_same_kind_leaves_at_once():
    chain = make_chain(1)
    confirm(chain, begin(chain))

    card_services.request_deactivation(card=SmartCard.objects.get(), by=OWNER, at=LATER)

    assert commands_of(chain.merchant) == [
        MASS_OFF._replace(state="cancelled"),
        Queued("deactivate", "queued", Origin.PERSON, 30.0),
    ]


def test_refused_single_click_leaves_mass_work_as_it_is():
    chain = make_chain()
    add_card(chain, "Касса 1", **OFF)
    confirm(chain, begin(chain, MassAction.ACTIVATE))
    Coverage.objects.all().delete()

    with pytest.raises(card_services.CardRefused):
        card_services.request_activation(card=SmartCard.objects.get(), by=OWNER, at=LATER)

    assert [queued.state for queued in commands_of(chain.merchant)] == ["queued"]


# What is paid


def test_choice_takes_as_many_cards_as_are_paid():
    chain = make_chain(1, paid=2)
    add_card(chain, "Касса 2", covered=False, **OFF)
    add_card(chain, "Касса 3", covered=False, **OFF)

    operation = begin(chain, MassAction.CHOOSE)

    assert outcomes(operation) == [
        Outcome("excluded", "Смарт-карта уже выбрана для оплаты."),
        Outcome("planned"),
        Outcome("excluded", "Не хватает оплаченных карт. Увеличьте их число в подписке."),
    ]
    assert (operation.planned, operation.lacking) == (1, 1)


def test_choice_is_stored_when_the_time_to_cancel_is_over():
    chain = make_chain(1)
    added = add_card(chain, "Касса 2", covered=False, **OFF)
    operation = confirm(chain, begin(chain, MassAction.CHOOSE))
    still_open = Coverage.objects.filter(card=added).exists()

    finished = run(operation, at=SENT)

    assert (still_open, finished.state) == (False, "finished")
    assert Coverage.objects.filter(card=added, till=None).count() == 1


def test_cancelled_choice_changes_nothing():
    chain = make_chain(1)
    add_card(chain, "Касса 2", covered=False, **OFF)
    operation = confirm(chain, begin(chain, MassAction.CHOOSE))

    services.cancel(operation=operation, by=actor_for(chain.owner), at=LATER)
    run(operation, at=LATER)
    cancelled = run(operation, at=SENT)

    assert (cancelled.state, Coverage.objects.filter(till=None).count()) == ("cancelled", 1)


def test_cards_left_out_are_switched_off_and_named():
    chain = make_chain(2)
    one = SmartCard.objects.of(chain.merchant).order_by("pk")[0]
    operation = confirm(chain, begin(chain, MassAction.UNCHOOSE, [one]))

    done = run(operation, at=SENT)

    assert (done.state, done.cards.get().command) == ("running", Command.objects.get())
    assert list(Coverage.objects.filter(till=None).values_list("card", flat=True)) != [one.pk]
    assert Coverage.objects.filter(till=None).count() == 1


def test_paid_places_lost_meanwhile_refuse_the_rest():
    chain = make_chain(1, paid=3)
    add_card(chain, "Касса 2", covered=False, **OFF)
    add_card(chain, "Касса 3", covered=False, **OFF)
    operation = confirm(chain, begin(chain, MassAction.CHOOSE))
    chain.subscription.periods.update(cards=2)

    done = run(operation, at=SENT)

    assert [one.outcome for one in outcomes(done)] == ["excluded", "accepted", "refused"]


# The result


def test_operation_ends_when_the_operators_have_answered():
    chain = make_chain(2)
    operation = confirm(chain, begin(chain))
    waits = queries.work_waits(SENT)
    Command.objects.update(state=CommandState.DONE, sent_at=SENT, finished_at=SENT)

    assert (waits, queries.work_waits(SENT)) == ([], [operation.pk])
    finished = run(operation, at=SENT)
    assert (finished.state, finished.finished_at) == ("finished", SENT)


def test_repetition_takes_only_the_failed():
    chain = make_chain(3)
    operation = confirm(chain, begin(chain))
    cards = list(SmartCard.objects.of(chain.merchant).order_by("pk"))
    Command.objects.update(state=CommandState.DONE, sent_at=SENT, finished_at=SENT)
    Command.objects.filter(card=cards[1]).update(state=CommandState.FAILED)
    finished = run(operation, at=SENT)

    again = services.repeat(
        operation=finished, form_key=uuid4(), by=actor_for(chain.owner), at=SENT
    )

    assert [row.card for row in run(again, at=SENT).cards.select_related("card")] == [cards[1]]
    assert again.repeats == operation


def test_audit_log_has_cards_and_operation():
    chain = make_chain(1)
    operation = confirm(chain, begin(chain))
    services.cancel(operation=operation, by=actor_for(chain.owner), at=LATER)
    run(operation, at=LATER)

    rows = AuditEvent.objects.filter(merchant_id=chain.merchant.pk).order_by("pk")
    assert list(rows.values_list("target", "action", "text")) == [
        ("massoperation", "mass.confirmed", "Подтверждено: отключение, 1\u00a0смарт-карта"),
        ("smartcard", "deactivation_requested", "Запрошено отключение"),
        ("massoperation", "mass.cancelled", "Отменено: отключение, 1\u00a0смарт-карта"),
        ("smartcard", "command_cancelled", "Отменено: отключение"),
    ]


# The worker


def test_card_that_breaks_does_not_stop_the_others():
    chain = make_chain(3)
    operation = begin(chain)
    broken = SmartCard.objects.of(chain.merchant).order_by("pk")[1]
    # The database refuses this card's command: nothing else makes exactly one card fail.
    make_trouble = (
        "CREATE FUNCTION refuse_one() RETURNS trigger AS $$ BEGIN"
        f" IF NEW.card_id = {broken.pk} THEN RAISE EXCEPTION 'trouble'; END IF;"
        " RETURN NEW; END $$ LANGUAGE plpgsql;"
        "CREATE TRIGGER refuse_one BEFORE INSERT ON smartcards_command"
        " FOR EACH ROW EXECUTE FUNCTION refuse_one()"
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(make_trouble)

    done = confirm(chain, operation)

    assert outcomes(done) == [
        Outcome("accepted"),
        Outcome("refused", "Не получилось. Мы уже разбираемся."),
        Outcome("accepted"),
    ]


def test_work_stops_when_its_time_is_over_and_goes_on():
    chain = make_chain(3)
    operation = services.begin(
        merchant=chain.merchant,
        action=MassAction.DEACTIVATE,
        selection=services.selection_of(ids=SmartCard.objects.values_list("pk", flat=True)),
        form_key=uuid4(),
        by=actor_for(chain.owner),
        at=NOW,
    )

    steps = 0
    while processing.work(operation_id=operation.pk, clock=lambda: NOW, budget=0):
        steps += 1

    assert (steps, run(operation).state) == (2, "prepared")


def test_operations_that_nobody_confirmed_are_forgotten():
    chain = make_chain(1)
    begin(chain)
    kept = confirm(chain, begin(chain))

    processing.purge(at=NOW + timedelta(days=2))

    assert list(MassOperation.objects.all()) == [kept]


# The database


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("mass_operation_state_known", {"state": "odd", "confirmed_at": NOW, "starts_at": NOW}),
        ("mass_operation_action_known", {"action": "odd"}),
        ("mass_operation_confirmed_at_known", {"confirmed_at": NOW}),
        ("mass_operation_finished_at_when_over", {"finished_at": NOW}),
        ("mass_operation_of_staff_has_reason", {"asked_by_kind": "staff"}),
    ],
)
def test_database_refuses_impossible_operations(constraint, fields):
    operation = begin(make_chain(1))

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        MassOperation.objects.filter(pk=operation.pk).update(**fields)


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("mass_card_outcome_known", {"outcome": "odd"}),
        ("mass_card_reason_where_not_done", {"outcome": "refused"}),
        ("mass_card_done_at_known", {"outcome": "accepted"}),
    ],
)
def test_database_refuses_impossible_cards(constraint, fields):
    begin(make_chain(1))

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        MassOperationCard.objects.update(**fields)


def test_database_keeps_commands_to_accepted_cards():
    begin(make_chain(1))
    command = make_command(SmartCard.objects.get())

    with (
        pytest.raises(IntegrityError, match="mass_card_command_where_accepted"),
        transaction.atomic(),
    ):
        MassOperationCard.objects.update(command=command)


def test_database_lists_a_card_once():
    operation = begin(make_chain(1))
    row = operation.cards.get()
    row.pk = None

    with pytest.raises(IntegrityError, match="mass_card_once"), transaction.atomic():
        row.save(force_insert=True)


# Any order of events


class TestAnyOrder(TestCase):
    """Whatever comes in whatever order: every card ends decided as it was, or as the operation wanted."""

    @settings(max_examples=15)
    @given(st.lists(st.sampled_from(["work", "click", "send", "cancel", "confirm"]), max_size=8))
    def test_cancelled_operation_never_leaves_a_lone_decision(self, events):
        chain = make_chain(3)
        operation = begin(chain)
        by, at = actor_for(chain.owner), NOW
        cards = list(SmartCard.objects.of(chain.merchant).order_by("pk"))
        clicked = False
        for event in ["confirm", *events, "cancel", "work"]:
            at += timedelta(seconds=20)
            if event == "confirm":
                services.confirm(operation=operation, number=3, by=by, at=at)
            elif event == "work":
                run(operation, at=at)
            elif event == "send":
                outbox.claim(account=cards[0].account, at=at)
            elif event == "cancel":
                services.cancel(operation=operation, by=by, at=at)
            elif not clicked and not Command.objects.filter(card=cards[2], state="sending"):
                card_services.request_deactivation(card=cards[2], by=OWNER, at=at)
                clicked = True

        assert run(operation, at=at).state == MassState.CANCELLED
        for card in cards[:2]:
            card.refresh_from_db()
            left = Command.objects.filter(card=card, state=CommandState.SENDING).exists()
            assert card.desired_on is not left
        cards[2].refresh_from_db()
        left = Command.objects.filter(card=cards[2], state=CommandState.SENDING).exists()
        assert cards[2].desired_on is not (clicked or left)
        doubled = (
            Command.objects.values("card")
            .annotate(number=Count("pk"))
            .filter(state__in=["queued", "sending"], number__gt=1)
        )
        assert list(doubled) == []
