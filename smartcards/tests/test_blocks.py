"""A card that the operator holds: how it is told, how one asks again, and how it comes back by itself."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client

from cabinet.models import Alert
from cabinet.states import Role
from cabinet.tests.people import make_staff
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
from smartcards import line, outcomes, queries, readings, services
from smartcards.admin.words import block_of
from smartcards.models import Command, SmartCard
from smartcards.pages.card import card_page
from smartcards.pages.offers import Deed
from smartcards.reconcile import reconcile_all, reconcile_merchant
from smartcards.rules import CardRefused
from smartcards.states import CommandKind, CommandState, Confirmed
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
from smartcards.tests.stand import Stand, standing

pytestmark = pytest.mark.django_db

CARDS = "/admin/smartcards/smartcard/"
HELD = {"confirmed": Confirmed.HELD, "block_reason": "unknown"}
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
        **{"wished_on": True, "wished_at": NOW - timedelta(minutes=6)} | HELD | fields,
    )
    cover(card, make_live_subscription(merchant), since=NOW - timedelta(hours=1))
    refused(card)
    return card


def read(card: SmartCard, state: SimState, reason: BlockReason | None = None) -> SmartCard:
    cards = queries.with_facts(SmartCard.objects.filter(pk=card.pk))
    readings.note_reading(cards.get(), Reading(state, reason), at=LATER)
    return cards.all().get()


def page(card: SmartCard):
    assert card.merchant is not None
    fresh = queries.cards_of(card.merchant).get(pk=card.pk)
    return card_page(card=fresh, merchant=card.merchant, role=Role.OWNER, at=LATER)


# --- the reason -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("voluntary", "unknown", "оператор не назвал причину"),
        ("", "unknown", "оператор не назвал причину"),
        ("debt", "debt", "долг перед оператором"),
    ],
)
def test_refused_switch_never_makes_our_own_block_the_operators_reason(
    merchant, readable, before, after, told
):
    card = make_card(
        merchant,
        account=readable,
        confirmed=Confirmed.INACTIVE,
        block_reason=before,
        wished_on=True,
    )
    command = make_command(card, state=CommandState.SENDING)

    outcomes.apply_submit(
        command, card, Rejected(ErrorClass.HELD_BY_OPERATOR, "409", "held"), at=NOW
    )

    card.refresh_from_db()
    assert (card.confirmed, card.block_reason, block_of(card)) == (Confirmed.HELD, after, told)


def test_held_card_of_the_stock_is_told_released_and_concerns_no_merchant(readable):
    card = make_card(None, account=readable, **HELD)

    fresh = read(card, SimState.INACTIVE, BlockReason.VOLUNTARY)

    assert (fresh.confirmed, fresh.merchant_id) == (Confirmed.NEW, None)


def test_switch_that_ends_in_a_hold_is_told_the_same_way(merchant, readable):
    card = make_card(merchant, account=readable, confirmed=Confirmed.INACTIVE, wished_on=True)
    command = make_command(card, state=CommandState.ACCEPTED)

    said = Check(CheckState.FAILED, "held", "", ErrorClass.HELD_BY_OPERATOR)
    outcomes.apply_check(command, card, said, at=NOW)

    card.refresh_from_db()
    assert (card.confirmed, card.block_reason) == (Confirmed.HELD, "unknown")


@pytest.mark.parametrize(
    ("reason", "kept"),
    [(None, "unknown"), (BlockReason.VOLUNTARY, "unknown"), (BlockReason.FRAUD, "fraud")],
)
def test_hold_that_is_read_has_the_operators_reason_or_none(merchant, readable, reason, kept):
    card = read(held(merchant, readable), SimState.HELD, reason)

    assert (card.confirmed, card.block_reason) == (Confirmed.HELD, kept)


def test_hold_kept_with_our_old_reason_is_not_called_voluntary(boss, merchant, readable):
    card = held(merchant, readable, block_reason="voluntary")

    pages = [
        boss.get(f"{CARDS}{card.pk}/change/").content.decode(),
        boss.get("/admin/smartcards/drift/").content.decode(),
    ]

    assert ["снять можем мы" in one for one in pages] == [False, False]
    assert ["оператор не назвал причину" in one for one in pages] == [True, True]


# --- asking again ---------------------------------------------------------------------------------


def titles(answer) -> list[str]:
    return [title for _, title in answer.context["decisions"]]


def test_staff_are_offered_what_the_advice_names(boss, merchant, readable):
    told, silent = held(merchant, readable), held(make_merchant("ИП Тихий"), make_account())

    offered = [titles(boss.get(f"{CARDS}{card.pk}/change/")) for card in (told, silent)]
    advice = [
        boss.get(f"/admin/smartcards/command/{card.commands.get().pk}/change/").content.decode()
        for card in (told, silent)
    ]

    assert ["Проверить у оператора" in one for one in offered] == [True, False]
    assert ["Оператор снял блокировку…" in one for one in offered] == [False, True]
    assert ["«Проверить у оператора»" in one for one in advice] == [True, False]
    assert ["«Оператор снял блокировку…»" in one for one in advice] == [False, True]


def test_staff_ask_about_a_held_card_and_it_is_the_next_to_be_read(boss, merchant, readable):
    card = held(merchant, readable, read_at=NOW)

    answer = boss.post(f"{CARDS}{card.pk}/check/", follow=True)

    card.refresh_from_db()
    assert card.read_at is None
    assert [str(one) for one in answer.context["messages"]] == [
        "Спросим оператора, ответ появится здесь."
    ]


def test_merchant_may_ask_about_a_held_card(client, settings, tmp_path, merchant, readable):
    clock_at(settings, tmp_path, LATER)
    card = held(merchant, readable, read_at=NOW)
    client.force_login(make_member(merchant).user)

    shown = page(card)
    answer = client.post(f"/cards/{card.pk}/check/")

    card.refresh_from_db()
    assert [offer.deed for offer in shown.offers] == [Deed.ACTIVATE, Deed.CHECK, Deed.STAY_OFF]
    assert (answer.status_code, card.read_at) == (302, None)


@pytest.mark.parametrize("fields", [{"confirmed": Confirmed.ACTIVE, "block_reason": ""}, {}])
def test_nothing_is_asked_where_it_would_tell_nothing(merchant, fields):
    # Either the card is no longer held, or МТС does not tell dependably how its cards are.
    card = held(merchant, make_account(), **fields)

    with pytest.raises(CardRefused, match="уточнять нечего"):
        services.check_again(card=card, by=OWNER, at=LATER)

    assert Deed.CHECK not in {offer.deed for offer in page(card).offers}


# --- coming back ----------------------------------------------------------------------------------


def test_old_failure_is_shown_until_the_block_is_gone(merchant, readable):
    card = held(merchant, readable)
    before = page(card)

    after = page(read(card, SimState.INACTIVE, BlockReason.VOLUNTARY))

    assert before.failure is not None
    assert before.failure.text.startswith(OLD_FAILURE)
    assert before.failure.next_step == "Повтор не поможет, напишите нам."
    assert after.failure is None
    assert after.offers[0].reason == ""
    assert (
        after.why.text == "Отключена у оператора. Мы включим её сами, или нажмите «Активировать»."
    )


def test_paid_card_comes_back_after_the_hold_and_no_sooner(merchant, readable):
    card = held(merchant, readable)

    while_held = reconcile_merchant(merchant_id=merchant.pk, at=LATER)
    read(card, SimState.INACTIVE, BlockReason.VOLUNTARY)
    released = reconcile_all(at=LATER)

    assert (while_held, released) == (0, 1)
    command = Command.objects.get(state=CommandState.QUEUED)
    assert (command.card_id, command.kind, command.due_at) == (card.pk, CommandKind.ACTIVATE, LATER)


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


def test_release_that_is_read_wakes_the_comparison_and_closes_the_matter(
    merchant, readable, monkeypatch, django_capture_on_commit_callbacks
):
    rung: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr("cabinet.wake.ring", lambda task, **said: rung.append((task, said)))
    card = held(merchant, readable)
    Alert.objects.create(
        key=f"operator:card:{card.pk}:held_by_operator", text="удерживает", raised_at=NOW
    )

    with django_capture_on_commit_callbacks(execute=True):
        read(card, SimState.INACTIVE)

    assert ("smartcards.reconcile_merchant", {"merchant_id": merchant.pk}) in rung
    assert Alert.objects.get().closed_at is not None


def test_held_card_of_a_real_operator_comes_back_by_itself(partner):
    card = partner.card(wished_on=True)
    sim = Sim(card.iccid, card.msisdn)
    partner.bench.put(sim, state="held", reason="debt")
    reconcile_merchant(merchant_id=partner.merchant.pk, at=partner.clock())
    partner.work()
    card.refresh_from_db()
    was = card.confirmed

    partner.bench.put(sim, state="inactive")
    services.check_again(card=card, by=STAFF, at=partner.clock())
    line.work(account_id=partner.account.pk, clock=partner.clock, reading=True)
    partner.clock.pass_(seconds=5)
    reconcile_all(at=partner.clock())
    partner.work()

    card.refresh_from_db()
    assert (was, card.confirmed, partner.effects(card)) == (
        Confirmed.HELD,
        Confirmed.ACTIVE,
        ["activate"],
    )


# --- cards that operators deliver blocked ---------------------------------------------------------


@pytest.mark.parametrize("reason", [None, BlockReason.VOLUNTARY, BlockReason.UNKNOWN])
def test_card_that_never_worked_and_is_read_as_off_stays_new(merchant, readable, reason):
    card = make_card(merchant, account=readable)

    shown = page(read(card, SimState.INACTIVE, reason))

    assert shown.pill.text == "Новая"
    assert shown.why.text == "Смарт-карта ещё не включалась."
    assert list(queries.stand_ins(merchant)) == [card]


def test_card_called_off_by_an_earlier_reading_becomes_new_again(merchant, readable):
    card = make_card(merchant, account=readable, confirmed=Confirmed.INACTIVE, block_reason="")

    assert page(card).pill.text == "Отключена: причина неизвестна"
    assert page(read(card, SimState.INACTIVE)).pill.text == "Новая"


@pytest.mark.parametrize(
    ("fields", "reason", "told"),
    [
        ({}, BlockReason.DEBT, "Отключена: оператором"),
        ({}, BlockReason.LAW, "Отключена: по закону"),
        ({"confirmed": Confirmed.ACTIVE}, None, "Отключена: причина неизвестна"),
        (
            {"confirmed": Confirmed.INACTIVE, "off_since": NOW},
            None,
            "Отключена: причина неизвестна",
        ),
        ({"confirmed": Confirmed.INACTIVE, "wished_on": False}, None, "Отключена: вами"),
    ],
    ids=["debt", "law", "worked", "worked-once", "decided"],
)
def test_card_that_worked_or_is_blocked_by_the_operator_is_no_new_one(
    merchant, readable, fields, reason, told
):
    card = make_card(merchant, account=readable, **fields)

    assert page(read(card, SimState.INACTIVE, reason)).pill.text == told


def test_card_that_we_switched_on_once_is_no_new_one(merchant, readable):
    card = make_card(merchant, account=readable, confirmed=Confirmed.INACTIVE)
    make_command(card, state=CommandState.DONE)

    assert read(card, SimState.INACTIVE).confirmed == Confirmed.INACTIVE
