"""The outbox of messages: stored first, sent at most once, refused ones retried, unknown ones never."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, transaction
from django.urls import reverse

from cabinet import clock
from cabinet.accounts.tasks import send_messages
from cabinet.enums import MessageChannel, MessageEvent, MessageState
from cabinet.messaging import notifications, outbox
from cabinet.models import Alert, Message, User
from cabinet.tests.gateway import serving_gateway
from cabinet.tests.people import AT, make_merchant, make_staff, make_user

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture
def gateway(settings):
    with serving_gateway(settings) as running:
        yield running


def queue(*, user: User | None = None, at=AT, **fields) -> None:
    """One message to a person with a phone and no e-mail, unless asked otherwise."""
    outbox.queue_message(
        event=MessageEvent.NEW_DEVICE,
        user=user or make_user("79120000001"),
        subject="Новый вход",
        text="Вход с нового устройства.",
        at=at,
        **fields,
    )


def rows() -> list[tuple[str, str, str, str, int]]:
    fields = ("channel", "to", "subject", "state", "tries")
    return list(Message.objects.order_by("pk").values_list(*fields))


def test_message_is_stored_for_phone_and_email_before_sending(gateway):
    merchant = make_merchant()
    user = make_user("79120000001", email="anna@example.com")

    queue(user=user, merchant=merchant)

    assert rows() == [
        ("sms", "79120000001", "", "queued", 0),
        ("email", "anna@example.com", "Новый вход", "queued", 0),
    ]
    assert set(Message.objects.values_list("merchant_id", "user_id", "created_at")) == {
        (merchant.pk, user.pk, AT)
    }
    assert gateway.received == []


def test_person_without_phone_and_email_gets_nothing():
    queue(user=make_staff())

    assert rows() == []


def test_address_of_before_a_change_replaces_the_own_one():
    user = make_user("79120000001", email="new@example.com")

    queue(user=user, email="old@example.com", phone="79120000002")

    assert [row[1] for row in rows()] == ["79120000002", "old@example.com"]


def test_worker_sends_what_is_queued_once(gateway):
    queue(user=make_user("79120000001", email="anna@example.com"), at=clock.now())

    send_messages()
    send_messages()

    assert [(row[0], row[3], row[4]) for row in rows()] == [
        ("sms", "sent", 1),
        ("email", "sent", 1),
    ]
    assert len(gateway.received) == 2


def test_known_refusal_is_retried_later_and_then_sent(gateway):
    gateway.status = 429
    queue()

    outbox.send_next(at=AT)
    too_early = outbox.send_next(at=AT + MINUTE / 2)
    gateway.status = 200
    in_time = outbox.send_next(at=AT + MINUTE)

    assert too_early is False
    assert in_time is True
    assert [(row[3], row[4]) for row in rows()] == [("sent", 2)]
    assert Alert.objects.count() == 0


def test_refused_message_is_given_up_with_one_alert(gateway):
    gateway.status = 403
    queue()
    at = AT

    for pause in (timedelta(0), *outbox.RETRY_AFTER):
        at += pause
        outbox.send_next(at=at)

    assert outbox.send_next(at=at + timedelta(days=1)) is False
    assert [(row[3], row[4]) for row in rows()] == [("refused", 6)]
    assert len(gateway.received) == 6
    assert list(Alert.objects.values_list("key", "link")) == [
        ("messages:refused", "/admin/cabinet/message/?state=refused")
    ]


@pytest.mark.parametrize("broken", ["cut", "500"])
def test_unknown_outcome_is_marked_and_never_repeated(gateway, broken):
    gateway.cuts, gateway.status = broken == "cut", 500
    queue()

    outbox.send_next(at=AT)
    again = outbox.send_next(at=AT + timedelta(hours=12))

    assert again is False
    assert [(row[3], row[4]) for row in rows()] == [("unknown", 1)]
    assert len(gateway.received) == 1
    assert list(Alert.objects.values_list("key", flat=True)) == ["messages:unknown"]


def test_dead_gateway_is_a_known_refusal(settings):
    settings.SMS_URL = "https://token@127.0.0.1:1/send"
    queue()

    outbox.send_next(at=AT)

    assert [(row[3], row[4]) for row in rows()] == [("queued", 1)]
    assert Message.objects.get().next_try_at == AT + MINUTE


def test_attempt_of_a_lost_worker_becomes_unknown():
    queue()
    outbox._claim(AT)

    settled = [outbox.settle_overdue(at=AT + minutes * MINUTE) for minutes in (5, 6)]

    assert settled == [0, 1]
    assert [(row[3], row[4]) for row in rows()] == [("unknown", 1)]


def test_clock_that_stepped_back_holds_no_message(gateway):
    for number in range(3):
        queue(user=make_user(f"7912000001{number}"))
    lost = [outbox._claim(AT) for _ in range(outbox.MAX_AT_ONCE)]
    before = AT - timedelta(hours=3)

    outbox.settle_overdue(at=before)
    sent = outbox.send_next(at=before)

    assert len(lost) == 2
    assert sent is True
    assert sorted(row[3] for row in rows()) == ["sent", "unknown", "unknown"]


def test_late_outcome_does_not_overwrite_what_the_sweep_decided():
    queue()
    message = outbox._claim(AT)
    outbox.settle_overdue(at=AT + 6 * MINUTE)

    outbox._record(message, MessageState.QUEUED, "", AT + 7 * MINUTE)

    assert [(row[3], row[4]) for row in rows()] == [("unknown", 1)]


def test_message_that_waited_a_day_is_given_up(gateway):
    queue()

    outbox.settle_overdue(at=AT + timedelta(hours=25))

    assert [(row[3], row[4]) for row in rows()] == [("refused", 0)]
    assert gateway.received == []


def test_message_whose_task_was_lost_is_found_by_the_sweep():
    before = outbox.messages_wait(at=AT)
    queue()

    assert before is False
    assert outbox.messages_wait(at=AT) is True


def test_purge_deletes_messages_older_than_ninety_days():
    queue()

    purged = [outbox.purge_messages(at=AT + timedelta(days=days)) for days in (90, 91)]

    assert purged == [0, 1]


@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once_send_each_message_once(gateway):
    for number in range(6):
        queue(user=make_user(f"7912000001{number}"))
    together = threading.Barrier(4)

    def work(_number: int) -> None:
        try:
            together.wait()
            while Message.objects.filter(state=MessageState.QUEUED).exists():
                outbox.send_next(at=AT)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))

    assert [(row[3], row[4]) for row in rows()] == [("sent", 1)] * 6
    assert len(gateway.received) == 6


def test_slow_gateway_holds_two_messages_at_once():
    for number in range(3):
        queue(user=make_user(f"7912000001{number}"))

    claimed = [outbox._claim(AT) is not None for _ in range(3)]

    assert claimed == [True, True, False]


@pytest.mark.django_db(transaction=True)
def test_message_of_a_rolled_back_change_never_leaves(gateway):
    user = make_user("79120000001")

    def change() -> None:
        with transaction.atomic():
            queue(user=user)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change()

    assert rows() == []


@pytest.mark.parametrize(("status", "state"), [(200, "sent"), (429, "refused"), (500, "unknown")])
def test_code_leaves_at_once_and_its_text_is_not_stored(gateway, status, state):
    gateway.status = status

    try:
        outbox.send_code(phone="79120000001", text="123456 — код.", at=AT)
        refused = False
    except notifications.NotSent:
        refused = True

    assert refused is (status == 429)
    assert list(Message.objects.values_list("event", "state", "text", "subject")) == [
        ("code", state, "", "")
    ]
    assert len(gateway.received) == 1


def row(**fields) -> Message:
    values = {
        "event": MessageEvent.NEW_DEVICE,
        "channel": MessageChannel.SMS,
        "to": "79120000001",
        "state": MessageState.SENT,
        "created_at": AT,
        "changed_at": AT,
    }
    return Message(**values | fields)


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("message_event_known", {"event": "spam"}),
        ("message_channel_known", {"channel": "fax"}),
        ("message_state_known", {"state": "lost"}),
        ("message_has_recipient", {"to": ""}),
        ("message_keeps_no_code", {"event": MessageEvent.CODE, "text": "123456"}),
        ("message_queued_has_next_try", {"state": MessageState.QUEUED}),
        ("message_queued_has_next_try", {"next_try_at": AT}),
    ],
)
def test_database_refuses_an_impossible_message(constraint, fields):
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        row(**fields).save()


# What staff see


def test_staff_see_messages_and_can_change_nothing(client):
    client.force_login(make_staff())
    queue()
    outbox._finish(outbox._claim(AT), MessageState.UNKNOWN, "ответ 500", AT)
    message = Message.objects.get()

    listed = client.get(reverse("admin:cabinet_message_changelist"))
    page = client.get(reverse("admin:cabinet_message_change", args=[message.pk]))
    changed = client.post(reverse("admin:cabinet_message_change", args=[message.pk]), {})

    assert "неизвестно" in listed.content.decode()
    assert "вход с нового устройства" in listed.content.decode()
    assert "Вход с нового устройства." in page.content.decode()
    assert "ответ 500" in page.content.decode()
    assert changed.status_code == 403


def test_support_sees_messages_and_stock_does_not(client):
    seen = {}
    for group in ("Поддержка", "Склад"):
        person = make_staff(f"staff-{group}", is_superuser=False)
        person.groups.add(Group.objects.get(name=group))
        client.force_login(person)
        seen[group] = client.get(reverse("admin:cabinet_message_changelist")).status_code

    assert seen == {"Поддержка": 200, "Склад": 403}
