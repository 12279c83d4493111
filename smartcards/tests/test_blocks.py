"""A card that the operator holds: how it is shown, how one asks again, and how it comes back by itself."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from django.test import Client

from cabinet.enums import Role
from cabinet.models import Alert
from cabinet.tests.people import make_staff
from operators.connections import CallOutcome
from operators.ports import (
    BlockReason,
    Check,
    CheckState,
    ErrorClass,
    Reading,
    Rejected,
    Sim,
    SimState,
)
from smartcards import queries, services
from smartcards.admin.labels import block_of
from smartcards.dispatch import outcomes, state_sync
from smartcards.models import Command, SmartCard
from smartcards.presentation.actions import CardAction
from smartcards.presentation.card import card_page
from smartcards.reconciliation.reconcile import reconcile_all, reconcile_merchant
from smartcards.rules import CardRefused
from smartcards.states import CommandKind, CommandState, OperatorState
from smartcards.tests.cards import (
    NOW,
    OWNER,
    STAFF,
    clock_at,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_member,
    make_merchant,
)
from smartcards.tests.dispatch_setup import Stand, standing

pytestmark = pytest.mark.django_db

CARDS = "/admin/smartcards/smartcard/"
HELD = {"confirmed": OperatorState.HELD, "block_reason": "unknown"}
LATER = NOW + timedelta(minutes=30)
OLD_FAILURE = "Смарт-карту удерживает оператор"


@pytest.fixture
def merchant():
    return make_merchant()


@pytest.fixture
def readable():
    return make_account("partner", title="Партнёр", adapter="tmf640")


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Stand]:
    with standing("tmf640", tmp_path) as stand:
        yield stand


@pytest.fixture
def boss(settings, tmp_path) -> Client:
    clock_at(settings, tmp_path, LATER)
    client = Client()
    client.force_login(make_staff("boss", name="Зоя Старшая"))
    return client


def refused(card: SmartCard, **fields) -> Command:
    """The click that the operator answered with «I hold it», just before `NOW`."""
    return make_command(
        card,
        state=CommandState.FAILED,
        error="held_by_operator",
        at=NOW - timedelta(minutes=5),
        **fields,
    )


def held(merchant, account, **fields) -> SmartCard:
    card = make_card(
        merchant,
        account=account,
        **{"desired_on": True, "desired_at": NOW - timedelta(minutes=6)} | HELD | fields,
    )
    cover(card, make_live_subscription(merchant), since=NOW - timedelta(hours=1))
    refused(card)
    return card


def read(card: SmartCard, state: SimState, reason: BlockReason | None = None) -> SmartCard:
    cards = queries.with_facts(SmartCard.objects.filter(pk=card.pk))
    state_sync.record_reading(cards.get(), Reading(state, reason), at=LATER)
    return cards.all().get()


def page(card: SmartCard):
    assert card.merchant is not None
    fresh = queries.cards_of(card.merchant).get(pk=card.pk)
    return card_page(card=fresh, merchant=card.merchant, role=Role.OWNER, at=LATER)


# --- the reason -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "label"),
    [
        ("voluntary", "unknown", "оператор не назвал причину"),
        ("", "unknown", "оператор не назвал причину"),
        ("debt", "debt", "долг перед оператором"),
    ],
)
def test_refused_switch_never_makes_our_own_block_the_operators_reason(
    merchant, readable, before, after, label
):
    card = make_card(
        merchant,
        account=readable,
        confirmed=OperatorState.INACTIVE,
        block_reason=before,
        desired_on=True,
    )
    command = make_command(card, state=CommandState.SENDING)

    refusal = Rejected(ErrorClass.HELD_BY_OPERATOR, "409", "held")
    outcomes.apply_submit(command, CallOutcome(refusal), at=NOW)

    card.refresh_from_db()
    assert card.confirmed == OperatorState.HELD
    assert card.block_reason == after
    assert block_of(card) == label


def test_held_card_in_stock_is_released_without_a_merchant(readable):
    card = make_card(None, account=readable, **HELD)

    fresh = read(card, SimState.INACTIVE, BlockReason.VOLUNTARY)

    assert fresh.confirmed == OperatorState.NEW
    assert fresh.merchant_id is None


def test_switch_that_ends_in_a_hold_is_shown_alike(merchant, readable):
    card = make_card(merchant, account=readable, confirmed=OperatorState.INACTIVE, desired_on=True)
    command = make_command(card, state=CommandState.ACCEPTED)

    sentence = Check(CheckState.FAILED, "held", "", ErrorClass.HELD_BY_OPERATOR)
    outcomes.apply_check(command, sentence, at=NOW)

    card.refresh_from_db()
    assert card.confirmed == OperatorState.HELD
    assert card.block_reason == "unknown"


@pytest.mark.parametrize(
    ("reason", "kept"),
    [(None, "unknown"), (BlockReason.VOLUNTARY, "unknown"), (BlockReason.FRAUD, "fraud")],
)
def test_hold_that_is_read_has_the_operators_reason_or_none(merchant, readable, reason, kept):
    card = read(held(merchant, readable), SimState.HELD, reason)

    assert card.confirmed == OperatorState.HELD
    assert card.block_reason == kept


def test_hold_kept_with_our_old_reason_is_not_called_voluntary(boss, merchant, readable):
    card = held(merchant, readable, block_reason="voluntary")

    pages = [
        boss.get(f"{CARDS}{card.pk}/change/").content.decode(),
        boss.get("/admin/smartcards/drift/").content.decode(),
    ]

    for page in pages:
        assert "снять можем мы" not in page
        assert "оператор не назвал причину" in page


# --- asking again ---------------------------------------------------------------------------------


def titles(answer) -> list[str]:
    return [title for _, title in answer.context["confirm_links"]]


def test_staff_are_offered_what_the_advice_names(boss, merchant, readable):
    cards = {
        "readable": held(merchant, readable),
        "silent": held(make_merchant("ИП Тихий"), make_account()),
    }
    links = {name: titles(boss.get(f"{CARDS}{card.pk}/change/")) for name, card in cards.items()}
    advice = {
        name: boss.get(
            f"/admin/smartcards/command/{card.commands.get().pk}/change/"
        ).content.decode()
        for name, card in cards.items()
    }

    assert "Проверить у оператора" in links["readable"]
    assert "Оператор снял блокировку…" not in links["readable"]
    assert "«Проверить у оператора»" in advice["readable"]
    assert "«Оператор снял блокировку…»" not in advice["readable"]
    assert "Проверить у оператора" not in links["silent"]
    assert "Оператор снял блокировку…" in links["silent"]
    assert "«Проверить у оператора»" not in advice["silent"]
    assert "«Оператор снял блокировку…»" in advice["silent"]


def test_held_card_that_staff_check_is_read_next(boss, merchant, readable):
    card = held(merchant, readable, read_due_at=NOW)

    answer = boss.post(f"{CARDS}{card.pk}/check/", follow=True)

    card.refresh_from_db()
    assert card.read_due_at is None
    assert [str(one) for one in answer.context["messages"]] == [
        "Спросим оператора, ответ появится здесь."
    ]


def test_merchant_may_ask_about_a_held_card(client, settings, tmp_path, merchant, readable):
    clock_at(settings, tmp_path, LATER)
    card = held(merchant, readable, read_due_at=NOW)
    client.force_login(make_member(merchant).user)

    shown = page(card)
    answer = client.post(f"/cards/{card.pk}/check/")

    card.refresh_from_db()
    assert [button.action for button in shown.buttons] == [
        CardAction.ACTIVATE,
        CardAction.CHECK,
        CardAction.STAY_OFF,
    ]
    assert answer.status_code == 302
    assert card.read_due_at is None


@pytest.mark.parametrize("fields", [{"confirmed": OperatorState.ACTIVE, "block_reason": ""}, {}])
def test_unreadable_operator_is_not_asked(merchant, fields):
    # Either the card is no longer held, or МТС does not tell dependably how its cards are.
    card = held(merchant, make_account(), **fields)

    with pytest.raises(CardRefused, match="уточнять нечего"):
        services.check_again(card=card, by=OWNER, at=LATER)

    assert CardAction.CHECK not in {button.action for button in page(card).buttons}


# --- coming back ----------------------------------------------------------------------------------


def test_old_failure_is_shown_until_the_block_is_gone(merchant, readable):
    card = held(merchant, readable)
    before = page(card)

    after = page(read(card, SimState.INACTIVE, BlockReason.VOLUNTARY))

    assert before.failure is not None
    assert before.failure.text.startswith(OLD_FAILURE)
    assert before.failure.next_step == "Повтор не поможет, напишите нам."
    assert after.failure is None
    assert after.buttons[0].reason == ""
    assert (
        after.why.text == "Отключена у оператора. Мы включим её сами, или нажмите «Активировать»."
    )


def test_paid_card_comes_back_after_the_hold_and_no_sooner(merchant, readable):
    card = held(merchant, readable)

    while_held = reconcile_merchant(merchant_id=merchant.pk, at=LATER)
    read(card, SimState.INACTIVE, BlockReason.VOLUNTARY)
    released = reconcile_all(at=LATER)

    assert while_held == 0
    assert released == 1
    command = Command.objects.get(state=CommandState.QUEUED)
    assert command.card_id == card.pk
    assert command.kind == CommandKind.ACTIVATE
    assert command.due_at == LATER


def test_trouble_after_the_release_is_waited_out_as_ever(merchant, readable):
    card = held(merchant, readable)
    read(card, SimState.INACTIVE, BlockReason.VOLUNTARY)
    make_command(card, state=CommandState.FAILED, error="transient", at=LATER)

    counted = queries.failures_that_count(
        SmartCard.objects.get(pk=card.pk), CommandKind.ACTIVATE, LATER
    )

    assert [command.error for command in counted] == ["transient"]
    assert reconcile_merchant(merchant_id=merchant.pk, at=LATER + timedelta(seconds=10)) == 0
    assert reconcile_merchant(merchant_id=merchant.pk, at=LATER + timedelta(minutes=2)) == 1


def test_release_that_is_read_triggers_reconcile_and_closes_the_alert(
    merchant, readable, django_capture_on_commit_callbacks
):
    card = held(merchant, readable)
    Alert.objects.create(
        key=f"operator:card:{card.pk}:held_by_operator", text="удерживает", raised_at=NOW
    )

    with django_capture_on_commit_callbacks() as callbacks:
        read(card, SimState.INACTIVE)

    enqueued = [
        {"task": callback.args[0], **callback.keywords}
        for callback in callbacks
        if isinstance(callback, partial)
    ]
    assert {"task": "smartcards.reconcile_merchant", "merchant_id": merchant.pk} in enqueued
    assert Alert.objects.get().closed_at is not None


def test_held_card_of_a_real_operator_comes_back_by_itself(partner):
    card = partner.card(desired_on=True)
    sim = Sim(card.iccid, card.msisdn)
    partner.bench.put(sim, state="held", reason="debt")
    reconcile_merchant(merchant_id=partner.merchant.pk, at=partner.clock())
    partner.work()
    card.refresh_from_db()
    was = card.confirmed

    partner.bench.put(sim, state="inactive")
    services.check_again(card=card, by=STAFF, at=partner.clock())
    partner.work(reading=True)
    partner.clock.pass_(seconds=5)
    reconcile_all(at=partner.clock())
    partner.work()

    card.refresh_from_db()
    assert was == OperatorState.HELD
    assert card.confirmed == OperatorState.ACTIVE
    assert partner.effects(card) == ["activate"]


# --- cards that operators deliver blocked ---------------------------------------------------------


@pytest.mark.parametrize("reason", [None, BlockReason.VOLUNTARY, BlockReason.UNKNOWN])
def test_never_activated_card_read_as_off_stays_new(merchant, readable, reason):
    card = make_card(merchant, account=readable)

    shown = page(read(card, SimState.INACTIVE, reason))

    assert shown.pill.text == "Новая"
    assert shown.why.text == "Смарт-карта ещё не включалась."
    assert list(queries.replacement_candidates(merchant)) == [card]


def test_card_called_off_by_an_earlier_reading_becomes_new_again(merchant, readable):
    card = make_card(merchant, account=readable, confirmed=OperatorState.INACTIVE, block_reason="")

    assert page(card).pill.text == "Отключена: причина неизвестна"
    assert page(read(card, SimState.INACTIVE)).pill.text == "Новая"


@pytest.mark.parametrize(
    ("fields", "reason", "label"),
    [
        ({}, BlockReason.DEBT, "Отключена: оператором"),
        ({}, BlockReason.LAW, "Отключена: по закону"),
        ({"confirmed": OperatorState.ACTIVE}, None, "Отключена: причина неизвестна"),
        (
            {"confirmed": OperatorState.INACTIVE, "off_since": NOW},
            None,
            "Отключена: причина неизвестна",
        ),
        ({"confirmed": OperatorState.INACTIVE, "desired_on": False}, None, "Отключена: вами"),
    ],
    ids=["debt", "law", "worked", "worked-once", "decided"],
)
def test_activated_or_blocked_card_is_not_new(merchant, readable, fields, reason, label):
    card = make_card(merchant, account=readable, **fields)

    assert page(read(card, SimState.INACTIVE, reason)).pill.text == label


def test_card_that_we_switched_on_once_is_no_new_one(merchant, readable):
    card = make_card(merchant, account=readable, confirmed=OperatorState.INACTIVE)
    make_command(card, state=CommandState.DONE)

    assert read(card, SimState.INACTIVE).confirmed == OperatorState.INACTIVE
