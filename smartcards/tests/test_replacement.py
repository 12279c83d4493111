"""Lost, stolen, broken: a card leaves use, another takes its place, or it is found again."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace as changed
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from django.contrib.messages import get_messages
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from cabinet.actors import SYSTEM, Actor
from cabinet.enums import ActorKind, Role
from cabinet.errors import NotAllowed, Refused
from cabinet.formatting.ru_format import NBSP, Pill, Tone
from cabinet.models import Alert, AuditEvent
from cabinet.tests.people import make_staff
from smartcards import queries, replacement, safety_brake, services, texts
from smartcards.dispatch import outbox
from smartcards.listing.card_filter import CardFilter, StateFilter
from smartcards.models import Command, Coverage, SmartCard
from smartcards.orders.models import PackedCard
from smartcards.orders.tests.orders import place
from smartcards.presentation.card import Link, Why, card_page
from smartcards.presentation.card_list import card_list_page
from smartcards.presentation.list_options import ListQuery
from smartcards.presentation.timeline import timeline_of
from smartcards.reconciliation import paid_slots
from smartcards.reconciliation.reconcile import reconcile_merchant
from smartcards.rules import AlreadyAsked, CardRefused
from smartcards.states import CommandKind, CommandState, OperatorState, Origin, WithdrawalReason
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
    make_terminal,
)
from smartcards.tests.dispatch_setup import Stand, standing

pytestmark = pytest.mark.django_db

LOST, STOLEN, BROKEN = WithdrawalReason.LOST, WithdrawalReason.STOLEN, WithdrawalReason.BROKEN
LATER = NOW + timedelta(minutes=5)
MANAGER = changed(OWNER, name="Борис", role=Role.MANAGER)
CASHIER = changed(OWNER, name="Кассир Ирина", role=Role.CASHIER)
ON = {"confirmed": OperatorState.ACTIVE, "desired_on": True}


@pytest.fixture
def merchant():
    return make_merchant()


@pytest.fixture
def subscription(merchant):
    return make_live_subscription(merchant, cards=2)


@pytest.fixture(params=["mts", "tmf640"])
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    with standing(request.param, tmp_path) as stand:
        yield stand


def paid(merchant, subscription, **fields) -> SmartCard:
    card = make_card(merchant, **fields)
    cover(card, subscription)
    return card


def withdraw(card, because=LOST, by=OWNER, at=NOW, reason=""):
    return replacement.withdraw(card=card, because=because, by=by, at=at, reason=reason)


def replace(card, fresh, by=OWNER, at=LATER, reason=""):
    return replacement.replace(card=card, with_card=fresh, by=by, at=at, reason=reason)


def row(card) -> SmartCard:
    return SmartCard.objects.get(pk=card.pk)


def commands_of(card) -> list[tuple[str, str, int, str]]:
    rows = Command.objects.filter(card=card).order_by("pk")
    return list(rows.values_list("kind", "state", "origin", "reason"))


def coverage_of(card) -> list[tuple[int, object, object]]:
    rows = Coverage.objects.filter(card=card).order_by("pk")
    return list(rows.values_list("subscription_id", "since", "till"))


def stories(card) -> list[str]:
    rows = AuditEvent.objects.filter(target="smartcard", target_id=card.pk).order_by("pk")
    return list(rows.values_list("text", flat=True))


# --- out of use ----------------------------------------------------------------------------------


@pytest.mark.parametrize("because", WithdrawalReason)
def test_withdrawn_working_card_is_switched_off_and_frees_slot(merchant, subscription, because):
    card = paid(merchant, subscription, **ON)

    withdraw(card, because, at=LATER)

    now = row(card)
    assert now.withdrawn_at == LATER
    assert now.withdrawn_because == because
    assert now.desired_on is False
    assert now.desired_by == OWNER.name
    reason = f"смарт-карта {because.label}"
    assert commands_of(card) == [("deactivate", "queued", Origin.PERSON, reason)]
    assert coverage_of(card) == [(subscription.pk, NOW, LATER)]
    assert stories(card) == [f"Выведена из работы: {because.label}"]


@pytest.mark.parametrize(
    "confirmed", [OperatorState.NEW, OperatorState.INACTIVE, OperatorState.HELD]
)
def test_card_that_is_off_needs_no_command(merchant, subscription, confirmed):
    card = paid(merchant, subscription, confirmed=confirmed)

    command = withdraw(card)

    assert command is None
    assert commands_of(card) == []
    assert row(card).withdrawn_because == LOST


def test_staff_are_alerted_of_a_stolen_card_only(merchant, subscription):
    lost, stolen = (paid(merchant, subscription, **ON) for _ in range(2))

    withdraw(lost, LOST)
    withdraw(stolen, STOLEN)

    assert list(Alert.objects.values_list("key", "merchant_id")) == [
        (f"stolen:{stolen.pk}", merchant.pk)
    ]


def test_queued_activation_is_taken_back(merchant, subscription):
    card = paid(merchant, subscription, confirmed=OperatorState.INACTIVE)
    services.request_activation(card=card, by=OWNER, at=NOW)

    withdraw(card)

    assert commands_of(card) == [("activate", "cancelled", Origin.PERSON, "")]


def test_waiting_automatic_switch_off_becomes_a_click(merchant, subscription):
    card = paid(merchant, subscription, **ON)
    command = make_command(
        card, kind=CommandKind.DEACTIVATE, origin=Origin.RECONCILE, by=SYSTEM, reason="не оплачена"
    )

    withdraw(card)

    command.refresh_from_db()
    assert commands_of(card) == [
        ("deactivate", "queued", Origin.PERSON, "смарт-карта потеряна"),
    ]
    assert Actor(ActorKind(command.asked_by_kind), command.asked_by, role=OWNER.role) == OWNER


def test_withdrawn_card_goes_off_though_only_reports_are_made(merchant, subscription):
    card = paid(merchant, subscription, **ON)
    make_command(card, kind=CommandKind.DEACTIVATE, origin=Origin.RECONCILE, by=SYSTEM)
    safety_brake.report_only(by=SYSTEM, at=NOW - timedelta(minutes=1))

    withdraw(card)

    assert outbox.claim(account=card.account, at=LATER) is not None


def test_activation_that_has_left_is_awaited_and_undone(stand):
    stand.bench.limits(delay_seconds=0.3)
    card = stand.card()
    stand.activate(card)
    stand.work()

    command = replacement.withdraw(card=card, because=STOLEN, by=OWNER, at=stand.clock())
    time.sleep(0.4)
    stand.run(seconds=6)
    reconcile_merchant(merchant_id=stand.merchant.pk, at=stand.clock())
    stand.run(seconds=1)
    time.sleep(0.4)
    stand.run(seconds=6)

    assert command is None
    assert stand.effects(card) == ["activate", "deactivate"]
    assert row(card).confirmed == OperatorState.INACTIVE


def test_stolen_card_is_off_at_the_operator_and_stays_so(stand):
    card = stand.card(state="active", desired_on=True)

    replacement.withdraw(card=card, because=STOLEN, by=OWNER, at=stand.clock())
    stand.work()
    stand.run(seconds=6)

    assert stand.effects(card) == ["deactivate"]
    with pytest.raises(CardRefused, match="выведена из работы: украдена"):
        services.request_activation(card=card, by=OWNER, at=stand.clock())
    with pytest.raises(CardRefused, match="выведена из работы"):
        paid_slots.choose_cards(
            merchant=stand.merchant, card_ids=[card.pk], by=OWNER, at=stand.clock()
        )


def test_switch_off_of_a_withdrawn_card_cannot_be_cancelled(merchant, subscription):
    card = paid(merchant, subscription, **ON)
    withdraw(card)

    with pytest.raises(CardRefused, match="её отключение не отменяют"):
        services.cancel_command(card=card, by=OWNER, at=LATER)

    assert commands_of(card)[0][1] == CommandState.QUEUED


def test_second_withdrawal_is_refused_and_own_second_click_is_calm(merchant, subscription):
    card = paid(merchant, subscription, **ON)
    withdraw(card)

    with pytest.raises(AlreadyAsked, match="Запрос уже принят"):
        withdraw(card)
    with pytest.raises(CardRefused, match="уже выведена из работы: потеряна") as refusal:
        withdraw(card, STOLEN, by=MANAGER)

    assert not isinstance(refusal.value, AlreadyAsked)
    assert len(commands_of(card)) == 1


@pytest.mark.parametrize("by", [CASHIER, changed(OWNER, role=Role.ACCOUNTANT)])
def test_withdrawal_and_return_need_right_to_switch_off(merchant, subscription, by):
    card, gone = paid(merchant, subscription, **ON), paid(merchant, subscription, **ON)
    withdraw(gone)

    with pytest.raises(NotAllowed):
        withdraw(card, by=by)
    with pytest.raises(NotAllowed):
        replacement.take_back(card=gone, by=by, at=LATER)
    with pytest.raises(NotAllowed):
        replace(gone, make_card(merchant), by=by)


def test_staff_must_give_a_reason(merchant, subscription):
    card = paid(merchant, subscription, **ON)

    with pytest.raises(CardRefused, match="Укажите причину"):
        withdraw(card, by=STAFF, reason=" ")
    withdraw(card, STOLEN, by=STAFF, reason="позвонил владелец")

    assert AuditEvent.objects.get().reason == "позвонил владелец"
    assert Alert.objects.count() == 0


def test_retired_card_and_card_in_stock_cannot_be_withdrawn(merchant):
    with pytest.raises(CardRefused, match="списана оператором"):
        withdraw(make_card(merchant, confirmed=OperatorState.RETIRED))
    with pytest.raises(CardRefused, match="на складе"):
        withdraw(make_card())


@pytest.mark.parametrize(
    "fields",
    [
        {"withdrawn_at": NOW, "withdrawn_because": LOST, "desired_on": True},
        {"withdrawn_at": NOW, "withdrawn_because": "", "desired_on": False},
        {"withdrawn_at": None, "withdrawn_because": LOST, "desired_on": False},
    ],
)
def test_database_refuses_a_withdrawn_card_without_reason_or_desired_on(merchant, fields):
    name = "card_withdrawn_has_reason_and_is_off"
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        make_card(merchant, **fields)


def test_database_lets_only_a_withdrawn_card_be_replaced(merchant):
    fresh = make_card(merchant)

    with pytest.raises(IntegrityError, match="card_withdrawn"), transaction.atomic():
        make_card(merchant, replaced_by=fresh)


@pytest.mark.django_db(transaction=True)
def test_two_people_at_once_make_one_command():
    merchant = make_merchant()
    card = paid(merchant, make_live_subscription(merchant), **ON)
    together = threading.Barrier(2)

    def click(by) -> str:
        try:
            together.wait(10)
            replacement.withdraw(card=card, because=STOLEN, by=by, at=NOW)
        except Refused as refusal:
            return refusal.sentence
        finally:
            connection.close()
        return ""

    with ThreadPoolExecutor(2) as pool:
        sentences = sorted(pool.map(click, [OWNER, MANAGER]))

    assert sentences == ["", "Смарт-карта уже выведена из работы: украдена."]
    assert len(commands_of(card)) == 1


# --- another takes its place ---------------------------------------------------------------------


def test_replacement_takes_slot_terminal_label_and_desired_state(merchant, subscription):
    till = make_terminal(merchant)
    old = paid(merchant, subscription, terminal=till, label="у входа", **ON)
    fresh = make_card(merchant, label="запасная")
    withdraw(old, STOLEN)

    command = replace(old, fresh)

    assert command is not None
    assert command.card_id == fresh.pk
    assert command.kind == "activate"
    assert command.origin == Origin.PERSON
    assert coverage_of(old) == [(subscription.pk, NOW, NOW)]
    assert coverage_of(fresh) == [(subscription.pk, LATER, None)]
    before, now = row(old), row(fresh)
    assert before.replaced_by_id == fresh.pk
    assert before.terminal_id is None
    assert before.label == ""
    assert now.terminal_id == till.pk
    assert now.label == "у входа"
    assert now.desired_on is True
    assert stories(old)[-1] == f"Заменена смарт-картой …{fresh.iccid[-4:]}"
    assert stories(fresh) == [
        f"Заменяет смарт-карту …{old.iccid[-4:]}: украдена",
        "Запрошено включение",
    ]


def test_replacement_is_on_and_old_card_off_at_operator(stand):
    old = stand.card(state="active", desired_on=True)
    fresh = stand.card(state="new", covered=False)
    replacement.withdraw(card=old, because=BROKEN, by=OWNER, at=stand.clock())
    replacement.replace(card=old, with_card=fresh, by=OWNER, at=stand.clock())

    stand.work()
    stand.run(seconds=6)

    assert stand.effects(old) == ["deactivate"]
    assert stand.effects(fresh) == ["activate"]
    assert row(old).confirmed == OperatorState.INACTIVE
    assert row(fresh).confirmed == OperatorState.ACTIVE


def test_replacement_of_card_desired_off_stays_off(merchant, subscription):
    old = paid(merchant, subscription, confirmed=OperatorState.INACTIVE, desired_on=False)
    fresh = make_card(merchant)
    withdraw(old)

    command = replace(old, fresh)

    assert command is None
    assert row(fresh).desired_on is None
    assert commands_of(fresh) == []
    assert coverage_of(fresh) == [(subscription.pk, LATER, None)]


def test_replacement_of_an_unpaid_card_waits_for_the_payment(merchant):
    ended = make_live_subscription(merchant, entitled_until=NOW - timedelta(days=1))
    old = paid(merchant, ended, confirmed=OperatorState.INACTIVE, desired_on=True)
    fresh = make_card(merchant)
    withdraw(old)

    command = replace(old, fresh)

    assert command is None
    assert row(fresh).desired_on is True
    assert commands_of(fresh) == []
    assert coverage_of(fresh) == [(ended.pk, LATER, None)]


def test_place_that_was_given_away_meanwhile_is_not_taken_twice(merchant):
    subscription = make_live_subscription(merchant, cards=1)
    old, other, fresh = paid(merchant, subscription, **ON), make_card(merchant), make_card(merchant)
    withdraw(old)
    paid_slots.choose_cards(merchant=merchant, card_ids=[other.pk], by=OWNER, at=NOW)

    command = replace(old, fresh)

    assert command is None
    assert coverage_of(fresh) == []
    assert row(fresh).desired_on is True
    assert Coverage.objects.filter(till=None).count() == 1


def test_replacement_that_is_covered_already_takes_no_second_slot(merchant, subscription):
    old, fresh = paid(merchant, subscription, **ON), paid(merchant, subscription)
    withdraw(old)

    replace(old, fresh)

    assert coverage_of(fresh) == [(subscription.pk, NOW, None)]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"confirmed": OperatorState.INACTIVE}, "должна быть новой"),
        (ON, "должна быть новой"),
        (
            {"withdrawn_at": NOW, "withdrawn_because": LOST, "desired_on": False},
            "должна быть новой",
        ),
    ],
)
def test_only_a_new_card_may_stand_in(merchant, subscription, fields, sentence):
    old = paid(merchant, subscription, **ON)
    withdraw(old)

    with pytest.raises(CardRefused, match=sentence):
        replace(old, make_card(merchant, **fields))


def test_replacement_is_own_other_and_only_once(merchant, subscription):
    old, second = (paid(merchant, subscription, **ON) for _ in range(2))
    fresh, spare = make_card(merchant), make_card(merchant)
    with pytest.raises(CardRefused, match="Сначала отметьте"):
        replace(old, fresh)
    withdraw(old)
    withdraw(second)

    with pytest.raises(CardRefused, match="Такой смарт-карты у вас нет"):
        replace(old, make_card(make_merchant()))
    with pytest.raises(CardRefused, match="Выберите другую"):
        replace(old, old)
    replace(old, fresh)
    with pytest.raises(AlreadyAsked):
        replace(old, fresh)
    with pytest.raises(CardRefused, match="уже заменили"):
        replace(old, spare)
    with pytest.raises(CardRefused, match="уже заменяет другую"):
        replace(second, fresh)


def test_staff_replace_from_the_stock_of_any_operator(merchant, subscription):
    old = paid(merchant, subscription, **ON)
    withdraw(old, STOLEN)
    fresh = make_card(None, account=make_account("partner", adapter="tmf640", title="Партнёр"))

    replacement.replace_from_stock(
        card=old,
        stock=queries.unassigned_stock(),
        iccid=fresh.iccid,
        by=STAFF,
        at=LATER,
        reason="по звонку",
    )

    now = row(fresh)
    assert now.merchant_id == merchant.pk
    assert now.handed_at == LATER
    assert now.desired_on is True
    assert row(old).replaced_by_id == fresh.pk
    assert coverage_of(fresh) == [(subscription.pk, LATER, None)]
    assert commands_of(fresh) == [("activate", "queued", Origin.PERSON, "по звонку")]


def test_staff_take_nothing_that_is_not_in_stock(merchant, subscription):
    old = paid(merchant, subscription, **ON)
    withdraw(old, STOLEN)
    packed, switched_off = make_card(), make_card(None, account=make_account("old", enabled=False))
    PackedCard.objects.create(order=place(merchant), card=packed)
    handed = make_card(make_merchant())

    for iccid in (packed.iccid, switched_off.iccid, handed.iccid, "89701010000000099999"):
        with pytest.raises(CardRefused, match="на складе нет"):
            replacement.replace_from_stock(
                card=old,
                stock=queries.unassigned_stock(),
                iccid=iccid,
                by=STAFF,
                at=LATER,
                reason="по звонку",
            )

    assert row(old).replaced_by_id is None
    assert SmartCard.objects.filter(merchant=merchant).count() == 1


# --- found again ---------------------------------------------------------------------------------


def test_found_card_gets_its_slot_back_and_stays_off(stand):
    card = stand.card(state="active", desired_on=True)
    replacement.withdraw(card=card, because=LOST, by=OWNER, at=stand.clock())
    stand.work()
    stand.run(seconds=6)

    stays = replacement.take_back(card=card, by=OWNER, at=stand.clock())

    now = row(card)
    assert stays is False
    assert now.withdrawn_at is None
    assert now.withdrawn_because == ""
    assert now.desired_on is False
    assert Coverage.objects.filter(card=card, till=None).count() == 1
    stand.activate(card)
    stand.run(seconds=1)
    stand.run(seconds=6)
    assert stand.effects(card) == ["deactivate", "activate"]


def test_card_found_before_the_operator_was_asked_just_goes_on(merchant, subscription):
    card = paid(merchant, subscription, **ON)
    withdraw(card)

    stays = replacement.take_back(card=card, by=MANAGER, at=LATER)

    assert stays is True
    assert row(card).desired_on is True
    assert row(card).desired_by == MANAGER.name
    assert [state for _, state, _, _ in commands_of(card)] == [CommandState.CANCELLED]
    assert coverage_of(card) == [(subscription.pk, NOW, NOW), (subscription.pk, LATER, None)]


def test_card_found_without_a_free_slot_goes_off(merchant):
    subscription = make_live_subscription(merchant, cards=1)
    card, other = paid(merchant, subscription, **ON), make_card(merchant)
    withdraw(card)
    paid_slots.choose_cards(merchant=merchant, card_ids=[other.pk], by=OWNER, at=NOW)

    stays = replacement.take_back(card=card, by=OWNER, at=LATER)

    assert stays is False
    assert row(card).desired_on is False
    assert commands_of(card)[0][1] == "queued"
    assert stories(card)[-1] == "Смарт-карта нашлась, но оплаченного места для неё уже нет"


@pytest.mark.parametrize("because", [STOLEN, BROKEN])
def test_only_a_lost_card_is_found(merchant, subscription, because):
    card = paid(merchant, subscription, **ON)
    withdraw(card, because)

    with pytest.raises(CardRefused, match="только потерянную"):
        replacement.take_back(card=card, by=OWNER, at=LATER)


def test_card_in_use_or_replaced_is_not_found(merchant, subscription):
    card, gone = paid(merchant, subscription, **ON), paid(merchant, subscription, **ON)
    withdraw(gone)
    replace(gone, make_card(merchant))

    with pytest.raises(CardRefused, match="и так в работе"):
        replacement.take_back(card=card, by=OWNER, at=LATER)
    with pytest.raises(CardRefused, match="уже заменили"):
        replacement.take_back(card=gone, by=OWNER, at=LATER)


# --- what the pages say --------------------------------------------------------------------------


def page_of(merchant, card, role=Role.OWNER):
    shown = queries.with_facts(SmartCard.objects.filter(pk=card.pk)).get()
    return card_page(card=shown, merchant=merchant, role=role, at=LATER)


def test_lost_card_offers_replacement_and_return(merchant, subscription):
    card = paid(merchant, subscription, confirmed=OperatorState.INACTIVE, desired_on=True)
    withdraw(card)

    page = page_of(merchant, card)

    assert page.pill == Pill(Tone.OFF, "Выведена: потеряна")
    assert page.works == "Нет"
    assert page.payment.text == "Платить не нужно"
    assert page.why == Why("Смарт-карта потеряна и выведена из работы", OWNER.name, NOW)
    assert [(button.action.label, button.reason) for button in page.buttons] == [
        ("Заменить", ""),
        ("Нашлась", ""),
    ]
    assert page.may_withdraw is False
    assert page.may_describe is False


@pytest.mark.parametrize("because", [STOLEN, BROKEN])
def test_stolen_or_broken_card_offers_no_return(merchant, subscription, because):
    card = paid(merchant, subscription)
    withdraw(card, because)

    page = page_of(merchant, card)

    assert [button.action.label for button in page.buttons] == ["Заменить"]


def test_withdrawn_card_that_still_works_is_loud(merchant, subscription):
    card = paid(merchant, subscription, **ON)
    withdraw(card, STOLEN)
    Command.objects.update(state="failed", error="transient", sent_at=NOW, finished_at=NOW)

    page = page_of(merchant, card)

    assert page.pill == Pill(Tone.PROBLEM, "Выведена: украдена, ещё включена")
    assert page.works == "Пока да, отключаем"
    assert page.failure is not None
    assert [button.action.label for button in page.buttons] == ["Заменить", "Деактивировать"]


def test_pages_of_both_cards_lead_to_each_other(merchant, subscription):
    old, fresh = paid(merchant, subscription, **ON), make_card(merchant)
    withdraw(old)
    replace(old, fresh)
    Command.objects.all().delete()

    before, now = page_of(merchant, old), page_of(merchant, fresh)

    assert before.replaced_by == Link(fresh.pk, f"Смарт-карта{NBSP}…{fresh.iccid[-4:]}")
    assert now.replaces == Link(old.pk, f"Смарт-карта{NBSP}…{old.iccid[-4:]}")
    assert [button.action.label for button in before.buttons] == ["Деактивировать"]
    titles = [event.title for event in timeline_of(card=old, merchant=merchant).events]
    assert titles[:2] == [
        f"Заменена смарт-картой …{fresh.iccid[-4:]}",
        "Выведена из работы: потеряна",
    ]


def test_withdrawn_card_is_uncounted_but_has_a_filter(merchant, subscription):
    gone, works = paid(merchant, subscription), paid(merchant, subscription, **ON)
    withdraw(gone)

    whole = card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(), at=LATER)
    filtered = card_list_page(
        merchant=merchant,
        role=Role.OWNER,
        query=ListQuery(CardFilter(state=StateFilter.WITHDRAWN)),
        at=LATER,
    )

    assert whole.counts.everything == 2
    assert whole.counts.cards == 1
    assert whole.counts.headline == "Смарт-карта работает"
    assert [card.name.pk for shop in filtered.shops for card in shop.rows] == [gone.pk]
    assert {card.name.pk for shop in whole.shops for card in shop.rows} == {gone.pk, works.pk}


def test_first_page_offers_nothing_for_a_replaced_card(merchant, subscription):
    old, fresh = paid(merchant, subscription), make_card(merchant)
    withdraw(old)
    replace(old, fresh)

    filtered = card_list_page(
        merchant=merchant,
        role=Role.OWNER,
        query=ListQuery(CardFilter(state=StateFilter.WITHDRAWN)),
        at=LATER,
    )

    assert [card.button for shop in filtered.shops for card in shop.rows] == [None]


# --- through the pages ---------------------------------------------------------------------------


@pytest.fixture
def owner(merchant, settings, tmp_path) -> Client:
    clock_at(settings, tmp_path)
    return signed_in(merchant)


def signed_in(merchant, role=Role.OWNER) -> Client:
    client = Client()
    client.force_login(make_member(merchant, role).user)
    return client


class Message(NamedTuple):
    level: str
    text: str


def messages_of(response):
    return [
        Message(message.level_tag, str(message)) for message in get_messages(response.wsgi_request)
    ]


def text_of(response):
    return response.content.decode().replace(NBSP, " ")


def test_a_person_goes_from_the_card_through_reason_and_confirmation(owner, merchant, subscription):
    card = paid(merchant, subscription, terminal=make_terminal(merchant), **ON)
    address = reverse("card_withdraw", args=[card.pk])

    assert f'href="{address}">Карта потеряна, украдена или сломана</a>' in text_of(
        owner.get(reverse("card", args=[card.pk]))
    )
    assert "Украдена" in text_of(owner.get(address))
    asked = text_of(owner.post(address, {"because": "stolen"}))
    assert "Смарт-карта украдена?" in asked
    assert "Смарт-карта отключится у оператора сразу после подтверждения." in asked
    assert "Мы сообщим об этом сотруднику сервиса." in asked
    assert commands_of(card) == []

    done = owner.post(address, {"because": "stolen", "confirmed": "1"})

    assert messages_of(done)[-1] == Message("success", "Смарт-карта выведена из работы.")
    assert row(card).withdrawn_because == STOLEN
    again = owner.post(address, {"because": "stolen", "confirmed": "1"})
    assert messages_of(again)[-1] == Message(
        "info", "Запрос уже принят: смарт-карта выведена из работы."
    )


@pytest.mark.parametrize("body", [{"confirmed": "1"}, {"because": "eaten", "confirmed": "1"}])
def test_without_a_reason_nothing_is_done(owner, merchant, subscription, body):
    card = paid(merchant, subscription, **ON)

    page = owner.post(reverse("card_withdraw", args=[card.pk]), body)

    assert page.status_code == 200
    assert row(card).withdrawn_at is None


def test_a_person_replaces_a_card_by_a_new_one(owner, merchant, subscription):
    account = make_account("partner", adapter="tmf640", title="Партнёр", activation_fee_kopecks=500)
    old, fresh = paid(merchant, subscription, **ON), make_card(merchant, account=account)
    make_card(merchant, **ON)
    withdraw(old)
    address = reverse("card_replace", args=[old.pk])

    page = text_of(owner.get(address))
    assert page.count('type="radio"') == 1
    assert "включение 5 ₽" in page

    done = owner.post(address, {"card": fresh.pk})

    assert messages_of(done)[-1] == Message(
        "success", "Смарт-карта заменена. Вставьте новую в кассу."
    )
    assert row(old).replaced_by_id == fresh.pk
    again = owner.post(address, {"card": fresh.pk})
    assert messages_of(again)[-1] == Message("info", "Запрос уже принят: смарт-карта заменена.")


def test_without_new_cards_the_page_leads_to_an_order(owner, merchant, subscription):
    old = paid(merchant, subscription, **ON)
    withdraw(old)

    page = text_of(owner.get(reverse("card_replace", args=[old.pk])))

    assert "Новых смарт-карт у вас нет." in page
    assert f'href="{reverse("order_new")}"' in page


def test_a_person_finds_a_lost_card(owner, merchant, subscription):
    card = paid(merchant, subscription, **ON)
    withdraw(card)

    done = owner.post(reverse("card_take_back", args=[card.pk]))

    assert messages_of(done)[-1][0] == "success"
    assert row(card).withdrawn_at is None


@pytest.mark.parametrize("name", ["card_withdraw", "card_replace", "card_take_back"])
def test_strangers_get_404_and_colleagues_without_right_403(owner, merchant, subscription, name):
    card = paid(merchant, subscription, **ON)
    withdraw(card)
    address = reverse(name, args=[card.pk])
    body = {"because": "lost", "confirmed": "1", "card": make_card(merchant).pk}

    stranger, cashier = signed_in(make_merchant()), signed_in(merchant, Role.CASHIER)
    statuses = [client.post(address, body).status_code for client in (stranger, cashier)]

    assert statuses == [404, 403]
    assert row(card).replaced_by_id is None
    assert row(card).withdrawn_because == LOST


def test_a_strangers_new_card_is_no_replacement(owner, merchant, subscription):
    old, foreign = paid(merchant, subscription, **ON), make_card(make_merchant())
    withdraw(old)

    page = owner.post(reverse("card_replace", args=[old.pk]), {"card": foreign.pk})

    assert page.status_code == 200
    assert row(old).replaced_by_id is None
    assert row(foreign).merchant_id == foreign.merchant_id


def test_ones_own_second_click_is_calm(owner, merchant, subscription):
    card = paid(merchant, subscription)
    address = reverse("card_activate", args=[card.pk])

    answers = [owner.post(address), owner.post(address)]

    assert messages_of(answers[1])[-1] == Message(
        "info", "Запрос уже принят: включаем смарт-карту."
    )
    assert len(commands_of(card)) == 1


# --- staff ---------------------------------------------------------------------------------------


@pytest.fixture
def boss(settings, tmp_path) -> Client:
    clock_at(settings, tmp_path)
    client = Client()
    client.force_login(make_staff("boss", name="Зоя Старшая"))
    return client


def test_staff_withdraw_replace_and_give_back_with_a_reason(boss, merchant, subscription):
    card, lost = paid(merchant, subscription, **ON), paid(merchant, subscription, **ON)
    fresh = make_card()
    base = "/admin/smartcards/smartcard"

    boss.post(f"{base}/{card.pk}/withdraw/", {"because": "stolen", "reason": "по звонку"})
    boss.post(f"{base}/{card.pk}/replace/", {"iccid": f" {fresh.iccid} ", "reason": "по звонку"})
    boss.post(f"{base}/{lost.pk}/withdraw/", {"because": "lost", "reason": "по звонку"})
    boss.post(f"{base}/{lost.pk}/take_back/", {})

    assert row(card).withdrawn_because == STOLEN
    assert row(card).replaced_by_id == fresh.pk
    assert row(fresh).merchant_id == merchant.pk
    assert row(lost).withdrawn_at is None
    authors = AuditEvent.objects.filter(action__in=["withdrawn", "replaced", "taken_back"])
    assert set(authors.values_list("actor_kind", "actor_name")) == {("staff", "Зоя Старшая")}
    page = boss.get(f"{base}/{card.pk}/change/").content.decode()
    assert fresh.iccid in page


@pytest.mark.parametrize("body", [{"iccid": "абв", "reason": "х"}, {"iccid": "", "reason": "х"}])
def test_staff_read_what_is_wrong_with_the_number(boss, merchant, subscription, body):
    card = paid(merchant, subscription, **ON)
    withdraw(card)

    page = boss.post(f"/admin/smartcards/smartcard/{card.pk}/replace/", body)

    assert page.status_code == 200
    assert row(card).replaced_by_id is None


def test_command_page_advises_staff(boss, merchant):
    card = make_card(merchant)
    failed = make_command(card, state=CommandState.FAILED, error="not_found")
    page = boss.get(f"/admin/smartcards/command/{failed.pk}/change/").content.decode()

    assert texts.STAFF_ADVICE["not_found"] in page


def test_command_page_advises_to_record_an_unknown_outcome(boss, merchant):
    command = make_command(make_card(merchant), state=CommandState.NEEDS_STAFF)

    page = boss.get(f"/admin/smartcards/command/{command.pk}/change/").content.decode()

    assert texts.STAFF_ADVICE["unknown_outcome"] in page


# --- without a place -----------------------------------------------------------------------------


def test_unpaid_card_is_withdrawn_replaced_and_found_without_a_slot(merchant):
    old, lost, fresh = (make_card(merchant) for _ in range(3))
    for card in (old, lost):
        withdraw(card)

    command = replace(old, fresh)
    stays = replacement.take_back(card=lost, by=OWNER, at=LATER)

    assert command is None
    assert row(old).replaced_by_id == fresh.pk
    assert stays is False
    assert stories(lost)[-1] == "Смарт-карта нашлась и снова в работе"
    assert Coverage.objects.count() == 0


def test_card_in_stock_stands_nowhere_and_is_not_replaced(merchant, subscription):
    stock, fresh = make_card(), make_card()

    with pytest.raises(CardRefused, match="на складе: её ещё никому не передали"):
        replacement.replace_from_stock(
            card=stock,
            stock=queries.unassigned_stock(),
            iccid=fresh.iccid,
            by=STAFF,
            at=LATER,
            reason="?",
        )
    with transaction.atomic():
        took = paid_slots.occupy_slot(stock, like=subscription.pk, at=NOW)

    assert took is False
    assert row(fresh).merchant_id is None
    assert Coverage.objects.count() == 0
