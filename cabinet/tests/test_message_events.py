"""Events become messages once: by role and choice, not by night, not in a burst, not late."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from cabinet.accounts.access import actor_for
from cabinet.accounts.services import message_choice
from cabinet.enums import MessageChannel, MessageEvent, Role
from cabinet.messaging import events, outbox
from cabinet.messaging.event_rules import EVENT_RULES, is_wanted, morning_after
from cabinet.messaging.texts import EVENT_TEXTS
from cabinet.models import Message, MessagePreference, Notice
from cabinet.tests.gateway import serving_gateway
from cabinet.tests.people import make_member, make_merchant, make_staff, make_user

pytestmark = pytest.mark.django_db

# Noon in Moscow.
NOON = datetime(2027, 1, 15, 9, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SMS, EMAIL = MessageChannel.SMS, MessageChannel.EMAIL


@pytest.fixture
def gateway(settings):
    with serving_gateway(settings) as running:
        yield running


@pytest.fixture
def owner():
    user = make_user("79120000001", name="Анна", email="anna@example.com")
    return make_member(Role.OWNER, make_merchant("ООО «Ромашка»"), user)


def send_order(owner, *, number=5, at=NOON, **fields) -> bool:
    """The order of that number was sent."""
    context = {"number": number, "track": "RA000000001RU"}
    return events.notify(
        merchant=owner.merchant,
        event=MessageEvent.ORDER_SENT,
        context=context,
        at=at,
        key=f"order_sent:{number}",
        **fields,
    )


def switch_cards_off(owner, *, number=1, at=NOON, **fields) -> bool:
    """A loud event: by SMS to the owner, at any hour."""
    context = {"went_off": "Отключены 2 смарт-карты", "why": "Оплата закончилась."}
    return events.notify(
        merchant=owner.merchant,
        event=MessageEvent.CARDS_OFF,
        context=context,
        at=at,
        key=f"off:{number}",
        **fields,
    )


def work(at) -> None:
    while outbox.send_next(at=at):
        pass


def rows() -> list[tuple[str, str, str]]:
    return list(Message.objects.order_by("pk").values_list("channel", "state", "detail"))


# --- the table ------------------------------------------------------------------------------------


def test_every_event_of_a_merchant_has_rule_and_text():
    personal = {
        MessageEvent.NEW_DEVICE,
        MessageEvent.NEW_OWNER,
        MessageEvent.PHONE_CHANGED,
        MessageEvent.EMAIL_CHANGED,
    }
    without_rule = {MessageEvent.CODE, MessageEvent.EMAIL_CONFIRM, MessageEvent.SEVERAL}

    assert set(EVENT_RULES) == set(MessageEvent) - without_rule
    assert set(EVENT_TEXTS) == set(EVENT_RULES) - personal
    assert {event for event, rule in EVENT_RULES.items() if not rule.optional} == personal


def test_defaults_never_exceed_the_roles_that_may_get_it():
    beyond = [
        event for event, rule in EVENT_RULES.items() if not (rule.sms | rule.email) <= rule.roles
    ]

    assert beyond == []


@given(st.sampled_from(Role), st.sampled_from(list(EVENT_RULES)), st.booleans())
def test_choice_counts_only_where_it_may_be_chosen(role, event, choice):
    rule = EVENT_RULES[event]

    wanted = is_wanted(role, event, SMS, {(event, SMS): choice})

    if role not in rule.roles:
        assert wanted is False
    elif rule.optional:
        assert wanted is choice
    else:
        assert wanted is rule.by_default(role, SMS)


@given(
    st.timedeltas(timedelta(0), timedelta(days=700)).map(lambda passed: NOON + passed),
    st.sampled_from(["Europe/Moscow", "Asia/Kamchatka", "Europe/Kaliningrad", "Asia/Almaty"]),
)
def test_morning_is_the_next_nine_of_that_zone(at, name):
    zone = ZoneInfo(name)

    morning = morning_after(at, zone)

    if time(9) <= at.astimezone(zone).time() < time(21):
        assert morning is None
    else:
        assert morning is not None
        assert morning.astimezone(zone).time() == time(9)
        assert timedelta(0) < morning - at <= 12 * HOUR
        assert morning_after(morning, zone) is None


# --- who gets it ----------------------------------------------------------------------------------


def test_members_get_it_by_role_and_channel(owner):
    merchant = owner.merchant
    make_member(Role.MANAGER, merchant, make_user("79120000002", email="boris@example.com"))
    make_member(Role.ACCOUNTANT, merchant, make_user("79120000003", email="vera@example.com"))
    make_member(Role.CASHIER, merchant, make_user("79120000004", email="gleb@example.com"))
    make_member(Role.OWNER, merchant, make_user("79120000005", is_active=False))
    make_member(Role.OWNER, make_merchant(), make_user("79120000006"))
    make_member(Role.OWNER, merchant, make_staff(phone="79120000007"))

    switch_cards_off(owner)

    assert sorted(Message.objects.values_list("channel", "to")) == [
        ("email", "anna@example.com"),
        ("email", "boris@example.com"),
        ("sms", "79120000001"),
    ]


def test_email_that_is_not_confirmed_gets_nothing(owner):
    user = make_user("79120000002", email="new@example.com", confirmed_email="old@example.com")
    make_member(Role.OWNER, owner.merchant, user)

    send_order(owner)

    assert [row.to for row in Message.objects.order_by("pk")] == ["anna@example.com"]


def test_choice_of_a_member_replaces_the_default(owner):
    message_choice.choose(
        member=owner, wanted={(MessageEvent.ORDER_SENT, SMS)}, by=actor_for(owner), at=NOON
    )

    send_order(owner)
    switch_cards_off(owner)

    assert [(row.event, row.channel) for row in Message.objects.order_by("pk")] == [
        ("order_sent", "sms")
    ]


def test_choice_in_one_company_says_nothing_of_another(owner):
    elsewhere = make_member(Role.OWNER, make_merchant("ООО «Лютик»"), owner.user)
    message_choice.choose(member=elsewhere, wanted=set(), by=actor_for(elsewhere), at=NOON)

    send_order(owner)

    assert [row.merchant_id for row in Message.objects.order_by("pk")] == [owner.merchant_id]


def test_message_is_written_with_company_and_link(owner, settings):
    settings.PUBLIC_URL = "https://kassy.example"

    send_order(owner)

    message = Message.objects.get()
    assert (message.subject, message.text) == (
        "Заказ № 5 отправлен",
        "ООО «Ромашка». Заказ № 5 отправлен, трек-номер RA000000001RU. https://kassy.example/orders/5/",
    )


# --- once -----------------------------------------------------------------------------------------


def test_same_key_makes_messages_once(owner):
    first, second = send_order(owner), send_order(owner, at=NOON + HOUR)

    assert (first, second) == (True, False)
    assert rows() == [("email", "queued", "")]
    assert Notice.objects.count() == 1


def test_key_is_used_although_nobody_wanted_it(owner):
    message_choice.choose(member=owner, wanted=set(), by=actor_for(owner), at=NOON)
    send_order(owner)
    MessagePreference.objects.all().delete()

    again = send_order(owner)

    assert again is False
    assert rows() == []


def test_event_of_a_rolled_back_change_may_come_again(owner):
    def change() -> None:
        with transaction.atomic():
            send_order(owner)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change()

    assert send_order(owner) is True


# --- when -----------------------------------------------------------------------------------------


def test_quiet_event_of_the_evening_leaves_in_the_morning(owner, gateway):
    evening, morning = NOON + 9 * HOUR, NOON + 21 * HOUR
    send_order(owner, at=evening)

    work(evening + 5 * MINUTE)
    by_night = len(gateway.received)
    work(morning)

    assert by_night == 0
    assert len(gateway.received) == 1
    assert rows() == [("email", "sent", "")]


def test_what_cannot_wait_leaves_by_night(owner, gateway):
    night = NOON + 12 * HOUR

    switch_cards_off(owner, at=night)
    work(night + MINUTE)

    assert len(gateway.received) == 2


def test_night_is_that_of_the_company(owner, gateway):
    owner.merchant.timezone = "Asia/Kamchatka"
    owner.merchant.save(update_fields=["timezone"])

    send_order(owner)
    work(NOON + MINUTE)

    assert gateway.received == []
    assert Message.objects.get().next_try_at == datetime(2027, 1, 15, 21, 0, tzinfo=UTC)


def test_try_in_vain_by_day_is_not_repeated_by_night(owner, gateway):
    evening = NOON + 8 * HOUR + 55 * MINUTE
    gateway.status = 429
    send_order(owner, at=evening)
    work(evening + MINUTE)
    gateway.status = 200

    work(evening + 30 * MINUTE)

    assert len(gateway.received) == 1
    assert Message.objects.get().next_try_at == NOON + 21 * HOUR


def test_event_that_happened_long_ago_is_only_noted(owner, gateway):
    switch_cards_off(owner, happened_at=NOON - 13 * HOUR)

    work(NOON + MINUTE)

    assert gateway.received == []
    assert rows() == [("sms", "dropped", "опоздало"), ("email", "dropped", "опоздало")]


def test_message_that_waited_too_long_is_dropped_without_alert(owner, gateway):
    switch_cards_off(owner)

    work(NOON + 13 * HOUR)
    settled = outbox.settle_overdue(at=NOON + 13 * HOUR)

    assert gateway.received == []
    assert settled == 2
    assert rows() == [("sms", "dropped", "опоздало"), ("email", "dropped", "опоздало")]


# --- no burst -------------------------------------------------------------------------------------


def test_several_events_at_once_leave_as_one(owner, gateway):
    for number in (1, 2, 3):
        switch_cards_off(owner, number=number)
    send_order(owner)

    work(NOON + MINUTE)

    assert [(to, subject) for to, subject, _ in gateway.mails()] == [
        ("+79120000001", ""),
        (
            "anna@example.com",
            "Отключены 2 смарт-карты; Отключены 2 смарт-карты; Отключены 2 смарт-карты и ещё 1",
        ),
    ]
    assert sorted(rows()) == sorted(
        [("sms", "sent", ""), ("email", "sent", "")]
        + [("sms", "dropped", "вошло в общее сообщение")] * 2
        + [("email", "dropped", "вошло в общее сообщение")] * 3
    )


def test_two_events_at_once_stay_apart(owner, gateway):
    send_order(owner, number=5)
    send_order(owner, number=6)

    work(NOON + MINUTE)

    assert [subject for _, subject, _ in gateway.mails()] == [
        "Заказ № 5 отправлен",
        "Заказ № 6 отправлен",
    ]


def test_events_of_two_companies_are_not_put_together(owner, gateway):
    elsewhere = make_member(Role.OWNER, make_merchant("ООО «Лютик»"), owner.user)
    for number in (1, 2):
        send_order(owner, number=number)
        send_order(elsewhere, number=number + 2)

    work(NOON + MINUTE)

    assert len(gateway.received) == 4
    assert [row.merchant_id for row in Message.objects.filter(event="several")] == []


def test_person_gets_four_messages_an_hour(owner, gateway):
    for number in range(6):
        send_order(owner, number=number, at=NOON + number * 2 * MINUTE)
        work(NOON + number * 2 * MINUTE + MINUTE)
    within = len(gateway.received)

    for minutes in (62, 64):
        work(NOON + minutes * MINUTE)

    assert within == 4
    assert len(gateway.received) == 6


# --- beginning and end ----------------------------------------------------------------------------


def outage(owner, event, key, at, **fields) -> None:
    context = {"operator": "МТС", "since": "15 января", "waiting": "Ждёт 1 смарт-карта."}
    events.notify(merchant=owner.merchant, event=event, context=context, at=at, key=key, **fields)


def test_end_goes_to_whom_the_beginning_has_reached(owner, gateway):
    outage(owner, MessageEvent.OUTAGE_BEGAN, "outage:1", NOON)
    work(NOON + MINUTE)
    make_member(Role.OWNER, owner.merchant, make_user("79120000002", email="new@example.com"))

    outage(owner, MessageEvent.OUTAGE_ENDED, "outage:1:end", NOON + HOUR, ends="outage:1")
    work(NOON + HOUR + MINUTE)

    assert [(to, subject) for to, subject, _ in gateway.mails()] == [
        ("anna@example.com", "Оператор «МТС» снова отвечает"),
        ("anna@example.com", "У оператора «МТС» сбой"),
    ]


def test_end_before_the_beginning_has_left_says_nothing(owner, gateway):
    outage(owner, MessageEvent.OUTAGE_BEGAN, "outage:1", NOON)

    outage(owner, MessageEvent.OUTAGE_ENDED, "outage:1:end", NOON + MINUTE / 2, ends="outage:1")
    work(NOON + HOUR)

    assert gateway.received == []
    assert rows() == [("email", "dropped", "уже неактуально")]


# --- what the database refuses --------------------------------------------------------------------


def notice(**fields) -> Notice:
    values = {
        "key": "k",
        "event": MessageEvent.ORDER_SENT,
        "merchant_id": 1,
        "happened_at": NOON,
        "created_at": NOON,
    }
    return Notice(**values | fields)


def test_database_refuses_impossible_notices():
    for constraint, fields in (
        ("notice_has_key", {"key": ""}),
        ("notice_event_known", {"event": "spam"}),
    ):
        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            notice(**fields).save()
    notice().save()
    with pytest.raises(IntegrityError, match="cabinet_notice_key"), transaction.atomic():
        notice().save()


def test_database_refuses_a_second_message_of_a_notice(owner):
    send_order(owner)
    message = Message.objects.get()
    message.pk = None

    with pytest.raises(IntegrityError, match="message_once_of_a_notice"), transaction.atomic():
        message.save(force_insert=True)


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("message_preference_event_known", {"event": "spam"}),
        ("message_preference_channel_known", {"channel": "fax"}),
        ("message_preference_once", {}),
    ],
)
def test_database_refuses_impossible_preferences(owner, constraint, fields):
    values = {"member": owner, "event": MessageEvent.ORDER_SENT, "channel": SMS, "wanted": True}
    MessagePreference.objects.create(**values)

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        MessagePreference.objects.create(**values | fields)


def test_notices_outlive_their_messages(owner):
    send_order(owner)

    outbox.purge_messages(at=NOON + timedelta(days=100))
    after_messages = (Message.objects.count(), Notice.objects.count())
    outbox.purge_messages(at=NOON + timedelta(days=401))

    assert after_messages == (0, 1)
    assert Notice.objects.count() == 0
