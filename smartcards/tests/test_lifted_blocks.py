"""«Оператор снял блокировку»: what staff have learned becomes the card's state, and the usual rules go on."""

from datetime import timedelta

import pytest
from django.test import Client

from cabinet.actors import SYSTEM
from cabinet.messaging import alerts
from cabinet.models import Alert, AuditEvent
from cabinet.tests.people import make_staff
from smartcards import queries, safety_brake
from smartcards.models import Command, CommandStep, SmartCard
from smartcards.reconciliation import lifted_blocks
from smartcards.reconciliation.reconcile import reconcile_merchant
from smartcards.rules import CardRefused
from smartcards.states import CommandKind, CommandState, OperatorState, Origin, StateSource
from smartcards.tests.cards import (
    NOW,
    STAFF,
    clock_at,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_merchant,
)

pytestmark = pytest.mark.django_db

CARDS = "/admin/smartcards/smartcard/"
DRIFT = "/admin/smartcards/drift/"
LATER = NOW + timedelta(hours=3)
HELD = {"confirmed": OperatorState.HELD, "block_reason": "operator"}
SAID = "поддержка МТС, 15:40"


@pytest.fixture
def merchant():
    return make_merchant()


@pytest.fixture
def boss(settings, tmp_path) -> Client:
    clock_at(settings, tmp_path, LATER)
    client = Client()
    client.force_login(make_staff("boss", name="Зоя Старшая"))
    return client


def held(merchant, *, paid=True, **fields) -> SmartCard:
    """A card that МТС holds; refused an hour ago, and staff were alerted."""
    card = make_card(merchant, **HELD | fields)
    if paid:
        cover(card, make_live_subscription(merchant))
    make_command(card, state=CommandState.FAILED, error="held_by_operator")
    alerts.raise_alert(
        key=f"operator:card:{card.pk}:held_by_operator", text="МТС: удерживает", at=NOW
    )
    return card


def release(card, *, working=False, reason=SAID):
    return lifted_blocks.release(card=card, working=working, reason=reason, by=STAFF, at=LATER)


def state(card) -> dict[str, object]:
    card.refresh_from_db()
    names = ("confirmed", "block_reason", "confirmed_at", "confirmed_from", "desired_on")
    return {name: getattr(card, name) for name in names}


def journal(card) -> list[tuple[object, ...]]:
    rows = AuditEvent.objects.filter(target="smartcard", target_id=card.pk).order_by("pk")
    return list(rows.values_list("action", "text", "reason", "actor_name", "at", "merchant_id"))


def new_commands() -> list[dict[str, object]]:
    names = ("kind", "state", "origin", "asked_by", "asked_by_kind", "reason", "due_at")
    return list(Command.objects.filter(created_at__gte=LATER).values(*names))


def test_paid_and_desired_card_that_is_off_is_switched_on(
    merchant, django_capture_on_commit_callbacks
):
    card = held(merchant, desired_on=True)

    with django_capture_on_commit_callbacks() as callbacks:
        command = release(card)

    assert state(card) == {
        "confirmed": OperatorState.INACTIVE,
        "block_reason": "",
        "confirmed_at": LATER,
        "confirmed_from": StateSource.STAFF,
        "desired_on": True,
    }
    assert new_commands() == [
        {
            "kind": CommandKind.ACTIVATE,
            "state": CommandState.QUEUED,
            "origin": Origin.PERSON,
            "asked_by": STAFF.name,
            "asked_by_kind": "staff",
            "reason": "оператор снял блокировку",
            "due_at": LATER,
        }
    ]
    assert command == Command.objects.get(created_at=LATER)
    assert list(CommandStep.objects.filter(command=command).values_list("state", "at")) == [
        (CommandState.QUEUED, LATER)
    ]
    who = (STAFF.name, LATER, merchant.pk)
    assert journal(card) == [
        ("block_lifted", "Оператор снял блокировку", SAID, *who),
        ("confirmed", "Смарт-карта отключена", "", *who),
    ]
    assert list(Alert.objects.values_list("closed_at", "closed_by")) == [(LATER, STAFF.name)]
    assert [(callback.args, callback.keywords) for callback in callbacks] == [
        (("smartcards.reconcile_merchant",), {"merchant_id": merchant.pk}),
        (("smartcards.dispatch",), {"account_id": card.account_id}),
    ]


def test_card_that_works_again_needs_no_command(merchant):
    card = held(merchant, desired_on=True)

    command = release(card, working=True)

    assert command is None
    assert new_commands() == []
    assert state(card) == {
        "confirmed": OperatorState.ACTIVE,
        "block_reason": "",
        "confirmed_at": LATER,
        "confirmed_from": StateSource.STAFF,
        "desired_on": True,
    }
    assert [row[:2] for row in journal(card)] == [
        ("block_lifted", "Оператор снял блокировку"),
        ("confirmed", "Смарт-карта работает"),
    ]


@pytest.mark.parametrize(
    ("paid", "desired_on"), [(False, True), (True, False), (True, None), (False, None)]
)
def test_unpaid_or_undesired_card_stays_off(merchant, paid, desired_on):
    card = held(merchant, paid=paid, desired_on=desired_on)

    command = release(card)
    queued = reconcile_merchant(merchant_id=merchant.pk, at=LATER)

    assert command is None
    assert queued == 0
    assert new_commands() == []
    assert state(card)["confirmed"] == OperatorState.INACTIVE
    assert card.desired_on == desired_on


def test_working_unpaid_card_is_left_to_reconcile(merchant):
    card = held(merchant, paid=False, desired_on=True)
    safety_brake.close_tap(reason="учения", by=STAFF, at=NOW)

    command = release(card, working=True)
    braked = reconcile_merchant(merchant_id=merchant.pk, at=LATER)
    safety_brake.open_tap(reason="учения кончились", by=STAFF, at=NOW)
    let_through = reconcile_merchant(merchant_id=merchant.pk, at=LATER)

    assert command is None
    assert braked == 0
    assert let_through == 1
    assert [(row["kind"], row["origin"]) for row in new_commands()] == [
        (CommandKind.DEACTIVATE, Origin.RECONCILE)
    ]


def test_block_given_as_reason_of_an_inactive_card_is_lifted(merchant):
    card = held(merchant, confirmed=OperatorState.INACTIVE, block_reason="limit", desired_on=True)

    release(card)

    assert state(card)["block_reason"] == ""
    assert len(new_commands()) == 1


def test_contract_whose_protocol_is_gone_is_believed_through_staff(merchant):
    card = held(merchant, account=make_account("old", title="Старый", adapter="pigeon"))

    release(card, working=True)

    assert state(card)["confirmed"] == OperatorState.ACTIVE


def refused(card, **asked) -> str:
    before, alerts = state(card), Alert.objects.filter(closed_at=None).count()
    with pytest.raises(CardRefused) as refusal:
        release(card, **asked)
    assert state(card) == before
    assert Alert.objects.filter(closed_at=None).count() == alerts
    assert journal(card) == []
    return refusal.value.sentence


def test_source_of_the_news_is_wanted(merchant):
    card = held(merchant, desired_on=True)

    assert refused(card, reason=" ") == "Укажите, откуда это известно: клиент увидит эти слова."


@pytest.mark.parametrize(
    "fields",
    [
        {"confirmed": OperatorState.ACTIVE},
        {"confirmed": OperatorState.INACTIVE},
        {"confirmed": OperatorState.NEW},
        {"confirmed": OperatorState.RETIRED, "block_reason": "operator"},
    ],
)
def test_card_without_a_block_of_the_operator_is_refused(merchant, fields):
    card = make_card(merchant, **fields)

    assert refused(card) == "Блокировки оператора на этой смарт-карте нет."


def test_staff_lift_no_block_of_a_readable_operator(merchant):
    card = held(merchant, account=make_account("partner", title="Партнёр", adapter="tmf640"))

    assert refused(card) == (
        "Этот оператор сам сообщает состояние смарт-карт: нажмите «Проверить у оператора»."
    )


@pytest.mark.parametrize("under_way", [CommandState.QUEUED, CommandState.NEEDS_STAFF])
def test_command_under_way_must_end_first(merchant, under_way):
    card = held(merchant, desired_on=True)
    make_command(card, state=under_way)

    assert refused(card) == (
        "Команда по этой смарт-карте ещё не закончена. Дождитесь ответа оператора."
    )


def test_card_in_stock_is_refused():
    card = make_card(None, **HELD)

    assert refused(card) == "Смарт-карта на складе: её ещё никому не передали."


def test_second_colleague_reads_that_there_is_no_block_any_more(merchant):
    card = held(merchant, desired_on=False)
    release(card, working=False)

    with pytest.raises(CardRefused) as refusal:
        release(card, working=True)

    assert refusal.value.sentence == "Блокировки оператора на этой смарт-карте нет."
    assert state(card)["confirmed"] == OperatorState.INACTIVE


# --- the pages ---------------------------------------------------------------------------------


def messages_of(answer) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def test_staff_record_release_on_card_page(boss, merchant):
    card = held(merchant, desired_on=True)
    page = f"{CARDS}{card.pk}/release/"

    offered = boss.get(f"{CARDS}{card.pk}/change/").context["confirm_links"]
    unanswered = boss.post(page, {"reason": " "})
    nothing_yet = state(card)["confirmed"]
    done = boss.post(page, {"working": "working", "reason": SAID}, follow=True)

    assert (page, "Оператор снял блокировку…") in offered
    assert unanswered.context["form"].errors == {
        "working": ["Отметьте, что сказал оператор."],
        "reason": ["Укажите, откуда это известно."],
    }
    assert nothing_yet == OperatorState.HELD
    assert messages_of(done) == ["Записано: оператор снял блокировку."]
    assert state(card)["confirmed"] == OperatorState.ACTIVE
    _, _, reason, actor_name, *_ = journal(card)[0]
    assert reason == SAID
    assert actor_name == "Зоя Старшая"


def test_page_shows_why_it_is_not_possible(boss, merchant):
    works = make_card(merchant, confirmed=OperatorState.ACTIVE, desired_on=True)

    offered = boss.get(f"{CARDS}{works.pk}/change/").context["confirm_links"]
    page = boss.get(f"{CARDS}{works.pk}/release/")

    assert "Оператор снял блокировку…" not in [title for _, title in offered]
    assert page.context["refusal"] == "Блокировки оператора на этой смарт-карте нет."


@pytest.mark.parametrize(
    ("act", "after", "commands"),
    [("released-on", OperatorState.ACTIVE, 0), ("released-off", OperatorState.INACTIVE, 1)],
)
def test_staff_write_it_down_in_the_list_of_differences(boss, merchant, act, after, commands):
    card = held(merchant, desired_on=True)

    offered = boss.get(DRIFT).context["rows"]
    silent = boss.post(f"{DRIFT}{card.pk}/", {"act": act}, follow=True)
    boss.post(f"{DRIFT}{card.pk}/", {"act": act, "reason": SAID}, follow=True)

    assert [fix.name for fix in offered[0].fixes] == [
        "released-on",
        "released-off",
        "read",
    ]
    assert messages_of(silent) == [
        f"{card.iccid}: Укажите, откуда это известно: клиент увидит эти слова."
    ]
    assert state(card)["confirmed"] == after
    assert len(new_commands()) == commands


def test_operator_that_is_read_offers_a_reading_instead(boss, merchant):
    held(merchant, account=make_account("partner", title="Партнёр", adapter="tmf640"))

    lines = boss.get(DRIFT).context["rows"]

    assert [fix.name for fix in lines[0].fixes] == ["read"]


def test_reason_of_the_block_is_shown_in_russian(boss, merchant):
    card = held(merchant, block_reason="fraud")

    pages = [boss.get(page).content.decode() for page in (DRIFT, f"{CARDS}{card.pk}/change/")]

    assert all("подозрение в мошенничестве" in page for page in pages)
    assert not any("fraud" in page for page in pages)


def test_released_card_is_as_free_as_any_other(merchant):
    card = held(merchant, desired_on=True)

    release(card)

    facts = queries.facts_now(card, LATER)
    assert facts.block_reason == ""
    assert facts.open_command.kind == CommandKind.ACTIVATE
    assert queries.tells_state(card.account) is False
    assert SYSTEM.name not in {row[3] for row in journal(card)}
