"""What people of a merchant learn of their cards, switches and operators: once, together, and while it is true."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from cabinet.enums import MessageEvent
from cabinet.models import Message
from smartcards import merchant_news
from smartcards.models import Command, OffNotice, SmartCard
from smartcards.states import CommandKind, CommandState, OperatorState, Origin
from smartcards.tasks import notify_merchants
from smartcards.tests.cards import (
    NOW,
    STAFF,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_member,
    make_merchant,
    make_terminal,
)

pytestmark = pytest.mark.django_db

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def merchant():
    found = make_merchant("ООО «Ромашка»")
    member = make_member(found)
    member.user.email = member.user.confirmed_email = "anna@example.com"
    member.user.save(update_fields=["email", "confirmed_email"])
    return found


def look(at) -> None:
    merchant_news.notify_all(at=at)


def sent() -> list[tuple[str, str]]:
    """Event and text of the e-mails."""
    rows = Message.objects.filter(channel="email").order_by("pk")
    return [(row.event, row.text.replace("\xa0", " ")) for row in rows]


def make_off_card(merchant, *, since=NOW, **fields) -> SmartCard:
    """It was on, is wanted on, and is off since then."""
    values = {"desired_on": True, "confirmed": OperatorState.INACTIVE, "off_since": since}
    return make_card(merchant, **values | fields)


def turn_on(*cards) -> None:
    pks = [card.pk for card in cards]
    SmartCard.objects.filter(pk__in=pks).update(confirmed=OperatorState.ACTIVE, off_since=None)


# --- cards went off and came back -----------------------------------------------------------------


def test_cards_that_went_off_are_one_message(merchant, settings):
    settings.PUBLIC_URL = "https://kassy.example"
    for seconds in (0, 30, 60):
        make_off_card(merchant, since=NOW + timedelta(seconds=seconds))

    look(NOW + 2 * MINUTE)
    early = sent()
    look(NOW + 3 * MINUTE)
    look(NOW + 4 * MINUTE)

    assert early == []
    assert sent() == [
        (
            "cards_off",
            (
                "ООО «Ромашка». Отключены 3 смарт-карты. Оплата закончилась. "
                "После продления подписки всё включится само. https://kassy.example/"
            ),
        )
    ]


def test_reason_is_the_operators_where_we_did_not_switch(merchant):
    make_off_card(merchant, confirmed=OperatorState.HELD, block_reason="debt")

    look(NOW + 3 * MINUTE)

    assert "Отключена 1 смарт-карта. Так решил оператор связи." in sent()[0][1]


def test_reason_is_left_to_the_page_while_something_is_paid(merchant):
    make_live_subscription(merchant)
    make_off_card(merchant)

    look(NOW + 3 * MINUTE)

    assert "Причина написана на странице каждой карты." in sent()[0][1]


def test_card_that_nobody_wants_on_is_no_news(merchant):
    make_off_card(merchant, desired_on=False)
    make_card(merchant, desired_on=True)
    make_off_card(None, desired_on=None)

    look(NOW + HOUR)

    assert sent() == []


def test_long_row_of_switch_offs_is_told_once_an_hour(merchant):
    for minutes in range(30):
        make_off_card(merchant, since=NOW + minutes * MINUTE)

    for minutes in range(90):
        look(NOW + minutes * MINUTE)

    texts = [text for _, text in sent()]
    # A stored card that «will» go off is counted already: ten minutes after the first.
    assert len(texts) == 1
    assert OffNotice.objects.count() == 30


def test_cards_that_came_back_are_told_once(merchant):
    cards = [make_off_card(merchant) for _ in range(2)]
    look(NOW + 3 * MINUTE)
    turn_on(*cards)

    for minutes in (10, 11, 12, 13):
        look(NOW + minutes * MINUTE)

    assert [event for event, _ in sent()] == ["cards_off", "cards_back"]
    assert "Снова работают 2 смарт-карты" in sent()[1][1]
    assert set(OffNotice.objects.values_list("ended_at", flat=True)) == {NOW + 12 * MINUTE}


def test_card_that_went_off_again_meanwhile_is_not_back(merchant):
    card = make_off_card(merchant)
    look(NOW + 3 * MINUTE)
    turn_on(card)
    look(NOW + 4 * MINUTE)
    SmartCard.objects.filter(pk=card.pk).update(confirmed=OperatorState.INACTIVE, off_since=NOW)

    look(NOW + 10 * MINUTE)

    assert [event for event, _ in sent()] == ["cards_off"]


def test_return_of_a_card_that_is_given_up_is_no_news(merchant):
    card = make_off_card(merchant)
    look(NOW + 3 * MINUTE)
    SmartCard.objects.filter(pk=card.pk).update(desired_on=False)
    look(NOW + 4 * MINUTE)
    turn_on(card)

    look(NOW + 20 * MINUTE)

    assert [event for event, _ in sent()] == ["cards_off"]


def test_each_merchant_learns_of_own_cards(merchant):
    other = make_merchant("ООО «Лютик»")
    make_member(other)
    make_off_card(merchant)
    make_off_card(other)
    make_off_card(other)

    look(NOW + 3 * MINUTE)

    rows = Message.objects.filter(channel="sms").order_by("merchant_id")
    assert [(row.merchant_id, row.subject.replace("\xa0", " ")) for row in rows] == [
        (merchant.pk, "Отключена 1 смарт-карта"),
        (other.pk, "Отключены 2 смарт-карты"),
    ]


def test_database_keeps_one_open_notice_of_a_card(merchant):
    card = make_off_card(merchant)
    OffNotice.objects.create(card=card, merchant=merchant, made_at=NOW)

    with pytest.raises(IntegrityError, match="off_notice_open_once"), transaction.atomic():
        OffNotice.objects.create(card=card, merchant=merchant, made_at=NOW)


# --- switches that took long ----------------------------------------------------------------------


def test_long_switch_tells_its_end(merchant, settings):
    settings.PUBLIC_URL = "https://kassy.example"
    card = make_card(merchant, terminal=make_terminal(merchant))
    make_command(card, state=CommandState.DONE, finished_at=NOW + 2 * HOUR)

    look(NOW + 2 * HOUR)
    look(NOW + 2 * HOUR + MINUTE)

    assert sent() == [
        (
            "switch_done",
            (
                f"ООО «Ромашка». Касса 1: смарт-карта включена. Это заняло около 2 часов. "
                f"https://kassy.example/cards/{card.pk}/"
            ),
        )
    ]


def test_failed_switch_tells_why(merchant):
    command = make_command(
        make_card(merchant, label="Киоск"),
        kind=CommandKind.DEACTIVATE,
        state=CommandState.FAILED,
        finished_at=NOW + 20 * MINUTE,
        text="Оператор не знает эту карту.",
    )

    look(NOW + 20 * MINUTE)

    assert sent()[0][0] == "switch_failed"
    assert "Киоск: отключить смарт-карту не удалось. Оператор не знает эту карту." in sent()[0][1]
    assert Message.objects.first().notice.target_id == command.pk


@pytest.mark.parametrize(
    "fields",
    [
        {"finished_at": NOW + 10 * MINUTE},
        {"finished_at": NOW + HOUR, "origin": Origin.RECONCILE},
        {"finished_at": NOW + HOUR, "by": STAFF},
    ],
)
def test_quick_or_automatic_switch_is_no_news(merchant, fields):
    make_command(make_card(merchant), state=CommandState.DONE, **fields)

    look(NOW + HOUR)

    assert sent() == []


def test_switch_that_ended_long_ago_is_no_news(merchant):
    make_command(make_card(merchant), state=CommandState.DONE, finished_at=NOW + HOUR)

    look(NOW + 3 * HOUR)

    assert sent() == []


# --- operators out of order -----------------------------------------------------------------------


def test_outage_is_told_to_who_waits_and_its_end_to_the_same(merchant):
    account = make_account(broken_since=NOW, probe_at=NOW)
    make_command(make_card(merchant))
    idle = make_merchant("ООО «Лютик»")
    make_member(idle)
    make_card(idle)

    look(NOW + 9 * MINUTE)
    early = Message.objects.count()
    look(NOW + 10 * MINUTE)
    Message.objects.update(state="sent", next_try_at=None)
    make_account(broken_since=None, probe_at=None)
    look(NOW + 40 * MINUTE)
    look(NOW + 41 * MINUTE)

    assert early == 0
    assert set(Message.objects.values_list("merchant_id", flat=True)) == {merchant.pk}
    assert [event for event, _ in sent()] == ["outage_began", "outage_ended"]
    assert (
        "У оператора «МТС» сбой с 22 ноября, 12:00 по Москве. Ждёт 1 смарт-карта." in sent()[0][1]
    )
    assert account.title in sent()[1][1]


def test_outage_that_ended_before_its_message_left_is_silent(merchant):
    make_account(broken_since=NOW, probe_at=NOW)
    make_command(make_card(merchant))
    look(NOW + 10 * MINUTE)

    make_account(broken_since=None, probe_at=None)
    look(NOW + 11 * MINUTE)

    assert [(row.event, row.state) for row in Message.objects.order_by("pk")] == [
        (MessageEvent.OUTAGE_BEGAN, "dropped")
    ]


def test_announced_works_are_no_outage(merchant):
    make_account(
        broken_since=NOW, probe_at=NOW, maintenance_windows=[{"from": "11:00", "to": "15:00"}]
    )
    make_command(make_card(merchant))

    look(NOW + 20 * MINUTE)

    assert sent() == []


def test_switches_of_reconciliation_wait_silently(merchant):
    make_account(broken_since=NOW, probe_at=NOW)
    make_command(make_card(merchant), origin=Origin.RECONCILE)

    look(NOW + 20 * MINUTE)

    assert sent() == []


def test_task_runs_twice_without_harm(merchant):
    make_off_card(merchant)

    notify_merchants()
    notify_merchants()

    assert [event for event, _ in sent()] == ["cards_off"]
    assert Command.objects.count() == 0
