"""A card without a telephone number at an operator that knows cards by it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client

from cabinet.enums import Role
from cabinet.models import AuditEvent
from cabinet.tests.people import make_staff
from operators.models import Exchange
from operators.ports import Reading, SimState
from smartcards import queries
from smartcards.dispatch import state_sync
from smartcards.models import Command, SmartCard
from smartcards.presentation.card import card_page
from smartcards.reconciliation import discrepancy_actions
from smartcards.reconciliation.reconcile import reconcile_all
from smartcards.rules import CardRefused
from smartcards.states import CommandState
from smartcards.tests.cards import (
    NOW,
    STAFF,
    clock_at,
    cover,
    make_card,
    make_command,
    make_live_subscription,
    make_merchant,
)
from smartcards.tests.dispatch_setup import Stand, standing

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)
PHONE = "79120000001"


@pytest.fixture
def mts(tmp_path: Path) -> Iterator[Stand]:
    with standing("mts", tmp_path) as stand:
        yield stand


@pytest.fixture
def boss(settings, tmp_path) -> Client:
    clock_at(settings, tmp_path, LATER)
    client = Client()
    client.force_login(make_staff("boss", name="Зоя Старшая"))
    return client


def nameless(merchant=None, **fields) -> SmartCard:
    """A paid card that could not be switched on for want of its number."""
    merchant = merchant or make_merchant()
    card = make_card(
        merchant,
        msisdn="",
        **{"desired_on": True, "desired_at": NOW - timedelta(hours=1), **fields},
    )
    cover(card, make_live_subscription(merchant), since=NOW - timedelta(hours=2))
    make_command(card, state=CommandState.FAILED, error="invalid", code="no_msisdn", at=NOW)
    return card


def page(card: SmartCard):
    assert card.merchant is not None
    fresh = queries.cards_of(card.merchant).get(pk=card.pk)
    return card_page(card=fresh, merchant=card.merchant, role=Role.OWNER, at=LATER)


def test_merchant_reads_that_number_is_missing_and_nothing_sent(mts):
    card = mts.card()
    SmartCard.objects.filter(pk=card.pk).update(msisdn="")
    mts.activate(card)

    mts.work()

    failure = page(card).failure
    assert failure is not None
    assert f"{failure.text} {failure.next_step}" == (
        "У смарт-карты в сервисе не записан номер телефона, поэтому оператору ничего не отправлено. "
        "Номер добавит наш сотрудник. Потом смарт-карта включится сама, если оплачена."
    )
    assert not Exchange.objects.filter(kind="submit").exists()


def test_command_page_leads_staff_to_the_card(boss):
    card = nameless()

    text = boss.get(f"/admin/smartcards/command/{card.commands.get().pk}/change/").content.decode()
    offered = boss.get(f"/admin/smartcards/smartcard/{card.pk}/change/").context["confirm_links"]

    assert "Нажмите на странице карты «Записать номер…»" in text
    assert "покажите обмен" not in text
    assert "Записать номер…" in [title for _, title in offered]


def test_number_added_by_staff_lets_card_come_on(boss):
    card = nameless()

    before = reconcile_all(at=LATER)
    answer = boss.post(
        f"/admin/smartcards/smartcard/{card.pk}/number/",
        {"msisdn": "8 (912) 000-00-01", "reason": "видно в кабинете МТС"},
        follow=True,
    )
    after = reconcile_all(at=LATER)

    card.refresh_from_db()
    assert [str(one) for one in answer.context["messages"]] == ["Номер записан."]
    assert before == 0
    assert after == 1
    assert card.msisdn == PHONE
    assert Command.objects.filter(state=CommandState.QUEUED).count() == 1
    assert page(card).failure is None
    row = AuditEvent.objects.get(action="number_written")
    assert row.reason == "видно в кабинете МТС"
    assert row.details == {"before": "", "after": PHONE}


def test_invalid_number_is_refused_beside_its_field(boss):
    card = nameless()

    answer = boss.post(
        f"/admin/smartcards/smartcard/{card.pk}/number/", {"msisdn": "12", "reason": "так"}
    )

    card.refresh_from_db()
    assert list(answer.context["form"].errors) == ["msisdn"]
    assert card.msisdn == ""


def written(card: SmartCard, msisdn: str = PHONE) -> str:
    with pytest.raises(CardRefused) as refusal:
        discrepancy_actions.write_number(card=card, msisdn=msisdn, reason="", by=STAFF, at=LATER)
    return refusal.value.sentence


def test_number_is_refused_if_repeated_or_command_is_open():
    card, other = make_card(make_merchant(), msisdn=PHONE), nameless()
    busy = make_card(make_merchant())
    make_command(busy)

    assert [written(card), written(other), written(busy, "79120000002")] == [
        "Этот номер у смарт-карты уже записан.",
        f"Этот номер записан у другой смарт-карты: {card.iccid}.",
        "Команда по этой смарт-карте ещё не закончена. Дождитесь ответа оператора.",
    ]


def test_number_of_a_card_in_stock_can_be_written():
    card = make_card(None, msisdn="")

    discrepancy_actions.write_number(
        card=card, msisdn=PHONE, reason="список МТС", by=STAFF, at=LATER
    )

    card.refresh_from_db()
    assert card.msisdn == PHONE


# --- a number in a reading ----------------------------------------------------------------------------


def read(card: SmartCard, msisdn: str) -> str:
    state_sync.record_reading(card, Reading(SimState.NEW, msisdn=msisdn), at=LATER)
    card.refresh_from_db()
    return card.msisdn


@pytest.mark.parametrize("number", [PHONE, "+7 912 000-00-01", "9120000001"])
def test_number_from_a_reading_fills_a_missing_one(number):
    card = nameless()

    assert read(card, number) == PHONE

    row = AuditEvent.objects.get(action="number_accepted")
    assert row.text == "Записан номер, который сообщил оператор"
    assert row.details == {"before": "", "after": PHONE}
    assert reconcile_all(at=LATER) == 1


@pytest.mark.parametrize("number", ["", "нет", "12"])
def test_what_is_no_number_is_not_kept(number):
    assert read(make_card(make_merchant(), msisdn=""), number) == ""


def test_differing_number_from_a_reading_is_left_to_staff():
    card = make_card(make_merchant(), msisdn="79120000005")

    assert read(card, PHONE) == "79120000005"
    assert card.seen_msisdn == PHONE


def test_number_that_another_card_bears_is_left_to_staff():
    make_card(None, msisdn=PHONE)
    card = make_card(make_merchant(), msisdn="")

    assert read(card, PHONE) == ""
    assert card.seen_msisdn == PHONE
