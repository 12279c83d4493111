"""What people and staff do with cards."""

from dataclasses import replace
from typing import NamedTuple

import pytest

from cabinet.enums import Role
from cabinet.errors import NotAllowed
from cabinet.models import AuditEvent
from smartcards import services
from smartcards.models import Command, CommandStep, SmartCard
from smartcards.rules import CardRefused
from smartcards.states import CommandKind, CommandState, OperatorState, Origin
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
    make_terminal,
)

pytestmark = pytest.mark.django_db

CASHIER = replace(OWNER, name="Кассир Ирина", role=Role.CASHIER)


@pytest.fixture
def merchant():
    return make_merchant()


@pytest.fixture
def subscription(merchant):
    return make_live_subscription(merchant, cards=5)


def paid_card(merchant, subscription, **fields) -> SmartCard:
    card = make_card(merchant, **fields)
    cover(card, subscription)
    return card


class DesiredState(NamedTuple):
    on: bool | None
    by: str


def desired_state_of(card: SmartCard) -> DesiredState:
    card.refresh_from_db()
    return DesiredState(card.desired_on, card.desired_by)


def test_activation_records_desired_state_command_step_and_audit(merchant, subscription):
    card = paid_card(merchant, subscription)

    command = services.request_activation(card=card, by=OWNER, at=NOW)

    assert desired_state_of(card) == DesiredState(on=True, by=OWNER.name)
    assert command.kind == CommandKind.ACTIVATE
    assert command.state == CommandState.QUEUED
    assert command.origin == Origin.PERSON
    assert command.asked_by == OWNER.name
    assert command.due_at == NOW
    assert list(CommandStep.objects.values_list("command", "state")) == [(command.pk, "queued")]
    assert list(AuditEvent.objects.values_list("action", "actor_name", "merchant_id", "at")) == [
        ("activation_requested", OWNER.name, merchant.pk, NOW)
    ]


def test_second_click_makes_no_second_command(merchant, subscription):
    card = paid_card(merchant, subscription)
    services.request_activation(card=card, by=OWNER, at=NOW)

    with pytest.raises(CardRefused, match="Анна Владимировна"):
        services.request_activation(card=card, by=CASHIER, at=NOW)

    assert Command.objects.count() == 1


def test_refusal_leaves_nothing_behind(merchant, subscription):
    card = make_card(merchant)

    with pytest.raises(CardRefused):
        services.request_activation(card=card, by=OWNER, at=NOW)

    assert desired_state_of(card) == DesiredState(on=None, by="")
    assert Command.objects.count() == 0
    assert AuditEvent.objects.count() == 0


def test_cashier_may_not_switch_off(merchant, subscription):
    card = paid_card(merchant, subscription, confirmed=OperatorState.ACTIVE, desired_on=True)

    with pytest.raises(NotAllowed):
        services.request_deactivation(card=card, by=CASHIER, at=NOW)

    assert desired_state_of(card)[0] is True


def test_activation_of_a_card_that_works_only_records_desired_state(merchant, subscription):
    card = paid_card(merchant, subscription, confirmed=OperatorState.ACTIVE, desired_on=False)

    command = services.request_activation(card=card, by=OWNER, at=NOW)

    assert command is None
    assert desired_state_of(card)[0] is True
    assert Command.objects.count() == 0


def test_deactivation_of_an_unpaid_card_clears_its_desired_state(merchant):
    card = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=True)

    command = services.request_deactivation(card=card, by=OWNER, at=NOW)

    assert command is None
    assert desired_state_of(card)[0] is False


def test_staff_must_give_a_reason_to_switch_off(merchant, subscription):
    card = paid_card(merchant, subscription, confirmed=OperatorState.ACTIVE, desired_on=True)

    with pytest.raises(CardRefused, match="Укажите причину"):
        services.request_deactivation(card=card, by=STAFF, at=NOW)
    services.request_deactivation(
        card=card, by=STAFF, at=NOW, reason="просьба владельца по телефону"
    )

    event = AuditEvent.objects.get(action="deactivation_requested")
    assert event.actor_kind == "staff"
    assert event.reason == "просьба владельца по телефону"


def test_cancel_takes_command_and_desired_state_back(merchant, subscription):
    card = paid_card(merchant, subscription, confirmed=OperatorState.ACTIVE, desired_on=True)
    command = services.request_deactivation(card=card, by=OWNER, at=NOW)

    services.cancel_command(card=card, by=OWNER, at=NOW)

    command.refresh_from_db()
    assert command.state == CommandState.CANCELLED
    assert command.finished_at == NOW
    assert desired_state_of(card)[0] is True


def test_command_that_has_left_is_not_taken_back(merchant, subscription):
    card = paid_card(merchant, subscription)
    make_command(card, state=CommandState.SENDING)

    with pytest.raises(CardRefused, match="уже отправлена"):
        services.cancel_command(card=card, by=OWNER, at=NOW)


def test_check_again_brings_a_given_up_command_back_to_asking(merchant, subscription):
    card = paid_card(merchant, subscription)
    command = make_command(card, state=CommandState.NEEDS_STAFF)

    services.check_again(card=card, by=OWNER, at=NOW)

    command.refresh_from_db()
    assert command.state == CommandState.CHECKING
    assert command.check_at == NOW


def test_check_again_has_nothing_to_ask_about_a_known_card(merchant, subscription):
    card = paid_card(merchant, subscription, confirmed=OperatorState.ACTIVE)

    with pytest.raises(CardRefused, match="уточнять нечего"):
        services.check_again(card=card, by=OWNER, at=NOW)


@pytest.mark.parametrize(
    ("done", "state", "confirmed"),
    [
        (True, CommandState.DONE, OperatorState.ACTIVE),
        (False, CommandState.FAILED, OperatorState.NEW),
    ],
)
def test_staff_settle_what_nobody_can_read(merchant, subscription, done, state, confirmed):
    card = paid_card(merchant, subscription)
    command = make_command(card, state=CommandState.NEEDS_STAFF)

    services.settle_by_staff(
        command=command, done=done, reason="спросили оператора", by=STAFF, at=NOW
    )

    command.refresh_from_db()
    card.refresh_from_db()
    assert command.state == state
    assert card.confirmed == confirmed


def test_staff_cannot_settle_without_a_reason_or_twice(merchant, subscription):
    card = paid_card(merchant, subscription)
    command = make_command(card, state=CommandState.NEEDS_STAFF)

    with pytest.raises(CardRefused):
        services.settle_by_staff(command=command, done=True, reason=" ", by=STAFF, at=NOW)
    services.settle_by_staff(command=command, done=True, reason="звонок", by=STAFF, at=NOW)
    with pytest.raises(CardRefused):
        services.settle_by_staff(command=command, done=False, reason="звонок", by=STAFF, at=NOW)


def test_handed_over_cards_appear_as_new(merchant):
    cards = [make_card(None), make_card(None)]

    count = services.assign_to_merchant(cards=cards, merchant=merchant, by=STAFF, at=NOW)

    assert count == 2
    assert (
        list(SmartCard.objects.of(merchant).values_list("confirmed", "handed_at"))
        == [("new", NOW)] * 2
    )


def test_card_that_left_the_stock_stops_the_whole_handing_over(merchant):
    taken, free = make_card(make_merchant("ИП Чужой")), make_card(None)

    with pytest.raises(CardRefused, match="уже не на складе"):
        services.assign_to_merchant(cards=[taken, free], merchant=merchant, by=STAFF, at=NOW)

    assert SmartCard.objects.of(merchant).count() == 0


def test_terminal_of_a_stranger_is_refused(merchant):
    card = make_card(merchant)
    foreign = make_terminal(make_merchant("ИП Чужой"))

    with pytest.raises(CardRefused, match="Такой кассы у вас нет"):
        services.update_label_and_terminal(
            card=card, label="Касса у входа", terminal=foreign, by=OWNER, at=NOW
        )


def test_label_and_terminal_are_set_once_and_audited(merchant):
    card = make_card(merchant, account=make_account())
    terminal = make_terminal(merchant)

    for _ in range(2):
        services.update_label_and_terminal(
            card=card, label="Касса у входа", terminal=terminal, by=OWNER, at=NOW
        )

    card.refresh_from_db()
    assert card.label == "Касса у входа"
    assert card.terminal == terminal
    assert AuditEvent.objects.filter(action="described").count() == 1


def test_cancel_of_a_named_command_takes_no_other_back(merchant, subscription):
    card = make_card(merchant, confirmed=OperatorState.INACTIVE)
    cover(card, subscription)
    seen = make_command(card, state=CommandState.FAILED)
    waiting = services.request_activation(card=card, by=OWNER, at=NOW)
    assert waiting is not None

    with pytest.raises(CardRefused):
        services.cancel_command(card=card, command=seen, by=STAFF, at=NOW)
    services.cancel_command(card=card, command=waiting, by=STAFF, at=NOW)

    waiting.refresh_from_db()
    assert waiting.state == CommandState.CANCELLED
