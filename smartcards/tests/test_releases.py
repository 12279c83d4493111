"""«Оператор снял блокировку»: what staff heard becomes the card's state, and the usual rules go on."""

from datetime import timedelta

import pytest
from django.test import Client

from cabinet import alerts
from cabinet.actors import SYSTEM
from cabinet.models import Alert, AuditEvent
from cabinet.tests.people import make_staff
from smartcards import brake, queries, releases
from smartcards.models import Command, CommandStep, SmartCard
from smartcards.reconcile import reconcile_merchant
from smartcards.rules import CardRefused
from smartcards.states import CommandKind, CommandState, Confirmed, Origin, Told
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
HELD = {"confirmed": Confirmed.HELD, "block_reason": "operator"}
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
    """A card that МТС holds; refused an hour ago, and staff were told of it."""
    card = make_card(merchant, **HELD | fields)
    if paid:
        cover(card, make_live_subscription(merchant))
    make_command(card, state=CommandState.FAILED, error="held_by_operator")
    alerts.raise_alert(
        key=f"operator:card:{card.pk}:held_by_operator", text="МТС: удерживает", at=NOW
    )
    return card


def release(card, *, working=False, reason=SAID):
    return releases.release(card=card, working=working, reason=reason, by=STAFF, at=LATER)


def state(card) -> dict[str, object]:
    card.refresh_from_db()
    names = ("confirmed", "block_reason", "confirmed_at", "confirmed_from", "wished_on")
    return {name: getattr(card, name) for name in names}


def journal(card) -> list[tuple[object, ...]]:
    rows = AuditEvent.objects.filter(target="smartcard", target_id=card.pk).order_by("pk")
    return list(rows.values_list("action", "text", "reason", "actor_name", "at", "merchant_id"))


def new_commands() -> list[dict[str, object]]:
    names = ("kind", "state", "origin", "asked_by", "asked_by_kind", "reason", "due_at")
    return list(Command.objects.filter(created_at__gte=LATER).values(*names))


def test_paid_and_wished_card_that_is_off_is_switched_on(
    merchant, django_capture_on_commit_callbacks
):
    card = held(merchant, wished_on=True)

    with django_capture_on_commit_callbacks() as woken:
        command = release(card)

    assert state(card) == {
        "confirmed": Confirmed.INACTIVE,
        "block_reason": "",
        "confirmed_at": LATER,
        "confirmed_from": Told.STAFF,
        "wished_on": True,
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
    assert [(wake.args, wake.keywords) for wake in woken] == [
        (("smartcards.reconcile_merchant",), {"merchant_id": merchant.pk}),
        (("smartcards.clicks",), {"account_id": card.account_id}),
    ]


def test_card_that_works_again_needs_no_command(merchant):
    card = held(merchant, wished_on=True)

    command = release(card, working=True)

    assert (command, new_commands()) == (None, [])
    assert state(card) == {
        "confirmed": Confirmed.ACTIVE,
        "block_reason": "",
        "confirmed_at": LATER,
        "confirmed_from": Told.STAFF,
        "wished_on": True,
    }
    assert [row[:2] for row in journal(card)] == [
        ("block_lifted", "Оператор снял блокировку"),
        ("confirmed", "Смарт-карта работает"),
    ]


@pytest.mark.parametrize(
    ("paid", "wished_on"), [(False, True), (True, False), (True, None), (False, None)]
)
def test_card_that_nobody_pays_or_wishes_stays_off(merchant, paid, wished_on):
    card = held(merchant, paid=paid, wished_on=wished_on)

    command = release(card)
    queued = reconcile_merchant(merchant_id=merchant.pk, at=LATER)

    assert (command, queued, new_commands()) == (None, 0, [])
    assert (state(card)["confirmed"], card.wished_on) == (Confirmed.INACTIVE, wished_on)


def test_unpaid_card_that_works_is_left_to_reconcile_and_its_brake(merchant):
    card = held(merchant, paid=False, wished_on=True)
    brake.close_tap(reason="учения", by=STAFF, at=NOW)

    command = release(card, working=True)
    braked = reconcile_merchant(merchant_id=merchant.pk, at=LATER)
    brake.open_tap(reason="учения кончились", by=STAFF, at=NOW)
    let_through = reconcile_merchant(merchant_id=merchant.pk, at=LATER)

    assert (command, braked, let_through) == (None, 0, 1)
    assert [(row["kind"], row["origin"]) for row in new_commands()] == [
        (CommandKind.DEACTIVATE, Origin.RECONCILE)
    ]


def test_block_that_was_told_as_a_reason_of_a_card_that_is_off_is_lifted_too(merchant):
    card = held(merchant, confirmed=Confirmed.INACTIVE, block_reason="limit", wished_on=True)

    release(card)

    assert (state(card)["block_reason"], len(new_commands())) == ("", 1)


def test_contract_whose_protocol_is_gone_is_believed_through_staff(merchant):
    card = held(merchant, account=make_account("old", title="Старый", adapter="pigeon"))

    release(card, working=True)

    assert state(card)["confirmed"] == Confirmed.ACTIVE


def refused(card, **asked) -> str:
    before = state(card), Alert.objects.filter(closed_at=None).count()
    with pytest.raises(CardRefused) as refusal:
        release(card, **asked)
    assert (state(card), Alert.objects.filter(closed_at=None).count()) == before
    assert journal(card) == []
    return refusal.value.sentence


def test_source_of_the_news_is_wanted(merchant):
    card = held(merchant, wished_on=True)

    assert refused(card, reason=" ") == "Укажите, откуда это известно: клиент увидит эти слова."


@pytest.mark.parametrize(
    "fields",
    [
        {"confirmed": Confirmed.ACTIVE},
        {"confirmed": Confirmed.INACTIVE},
        {"confirmed": Confirmed.NEW},
        {"confirmed": Confirmed.RETIRED, "block_reason": "operator"},
    ],
)
def test_card_without_a_block_of_the_operator_is_refused(merchant, fields):
    card = make_card(merchant, **fields)

    assert refused(card) == "Блокировки оператора на этой смарт-карте нет."


def test_operator_that_tells_the_state_itself_is_read_and_not_believed_by_hearsay(merchant):
    card = held(merchant, account=make_account("partner", title="Партнёр", adapter="tmf640"))

    assert refused(card) == (
        "Этот оператор сам сообщает состояние смарт-карт: нажмите «Проверить у оператора»."
    )


@pytest.mark.parametrize("under_way", [CommandState.QUEUED, CommandState.NEEDS_STAFF])
def test_command_under_way_must_end_first(merchant, under_way):
    card = held(merchant, wished_on=True)
    make_command(card, state=under_way)

    assert refused(card) == (
        "Команда по этой смарт-карте ещё не закончена. Дождитесь ответа оператора."
    )


def test_card_in_stock_is_refused():
    card = make_card(None, **HELD)

    assert refused(card) == "Смарт-карта на складе: её ещё никому не передали."


def test_second_colleague_reads_that_there_is_no_block_any_more(merchant):
    card = held(merchant, wished_on=False)
    release(card, working=False)

    with pytest.raises(CardRefused) as refusal:
        release(card, working=True)

    assert refusal.value.sentence == "Блокировки оператора на этой смарт-карте нет."
    assert state(card)["confirmed"] == Confirmed.INACTIVE


# --- the pages ---------------------------------------------------------------------------------


def said(answer) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def test_staff_write_it_down_on_the_cards_page(boss, merchant):
    card = held(merchant, wished_on=True)
    page = f"{CARDS}{card.pk}/release/"

    offered = boss.get(f"{CARDS}{card.pk}/change/").context["decisions"]
    unanswered = boss.post(page, {"reason": " "})
    nothing_yet = state(card)["confirmed"]
    done = boss.post(page, {"state": "working", "reason": SAID}, follow=True)

    assert (page, "Оператор снял блокировку…") in offered
    assert unanswered.context["form"].errors == {
        "state": ["Отметьте, что сказал оператор."],
        "reason": ["Укажите, откуда это известно."],
    }
    assert nothing_yet == Confirmed.HELD
    assert said(done) == ["Записано: оператор снял блокировку."]
    assert state(card)["confirmed"] == Confirmed.ACTIVE
    assert journal(card)[0][2:4] == (SAID, "Зоя Старшая")


def test_page_says_why_it_is_not_possible(boss, merchant):
    works = make_card(merchant, confirmed=Confirmed.ACTIVE, wished_on=True)

    offered = boss.get(f"{CARDS}{works.pk}/change/").context["decisions"]
    page = boss.get(f"{CARDS}{works.pk}/release/")

    assert "Оператор снял блокировку…" not in [title for _, title in offered]
    assert page.context["refusal"] == "Блокировки оператора на этой смарт-карте нет."


@pytest.mark.parametrize(
    ("act", "after", "commands"),
    [("released-on", Confirmed.ACTIVE, 0), ("released-off", Confirmed.INACTIVE, 1)],
)
def test_staff_write_it_down_in_the_list_of_differences(boss, merchant, act, after, commands):
    card = held(merchant, wished_on=True)

    offered = boss.get(DRIFT).context["lines"]
    silent = boss.post(f"{DRIFT}{card.pk}/", {"act": act}, follow=True)
    boss.post(f"{DRIFT}{card.pk}/", {"act": act, "reason": SAID}, follow=True)

    assert [remedy.name for remedy in offered[0].remedies] == [
        "released-on",
        "released-off",
        "read",
    ]
    assert said(silent) == [f"{card.iccid}: Укажите, откуда это известно: клиент увидит эти слова."]
    assert (state(card)["confirmed"], len(new_commands())) == (after, commands)


def test_operator_that_is_read_offers_a_reading_instead(boss, merchant):
    held(merchant, account=make_account("partner", title="Партнёр", adapter="tmf640"))

    lines = boss.get(DRIFT).context["lines"]

    assert [remedy.name for remedy in lines[0].remedies] == ["read"]


def test_reason_of_the_block_is_told_in_words(boss, merchant):
    card = held(merchant, block_reason="fraud")

    pages = [boss.get(page).content.decode() for page in (DRIFT, f"{CARDS}{card.pk}/change/")]

    assert ["подозрение в мошенничестве" in page for page in pages] == [True, True]
    assert ["fraud" in page for page in pages] == [False, False]


def test_released_card_is_as_free_as_any_other(merchant):
    card = held(merchant, wished_on=True)

    release(card)

    facts = queries.facts_now(card, LATER)
    assert (facts.block_reason, facts.open_command.kind) == ("", CommandKind.ACTIVATE)
    assert queries.tells_state(card.account) is False
    assert SYSTEM.name not in {row[3] for row in journal(card)}
