"""Pages of messages: what was sent, what to send, links in e-mails."""

import html
import re
from datetime import timedelta

import pytest
from django.core import signing
from django.urls import reverse

from cabinet import clock
from cabinet.accounts.access import actor_for
from cabinet.accounts.services import email_confirmation, people
from cabinet.enums import MessageChannel, MessageEvent, MessageState, Role
from cabinet.messaging import events, links, outbox
from cabinet.models import AuditEvent, Message, MessagePreference, User
from cabinet.tests.gateway import serving_gateway
from cabinet.tests.people import AT, make_member, make_merchant, make_staff, make_user, signed_in

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture
def gateway(settings):
    with serving_gateway(settings) as running:
        yield running


@pytest.fixture
def owner():
    user = make_user("79120000001", name="Анна", email="anna@example.com")
    return make_member(Role.OWNER, make_merchant("ООО «Ромашка»"), user)


def send_order(member, number=5, at=AT) -> None:
    events.notify(
        merchant=member.merchant,
        event=MessageEvent.ORDER_SENT,
        context={"number": number, "track": "RA000000001RU"},
        at=at,
        key=f"order_sent:{number}",
    )


def plain(response) -> str:
    return html.unescape(response.content.decode()).replace("\xa0", " ")


# --- what was sent --------------------------------------------------------------------------------


def test_owner_sees_all_messages_and_a_colleague_own_ones(client, owner):
    make_member(
        Role.MANAGER, owner.merchant, make_user("79120000002", name="Борис", email="b@example.com")
    )
    cashier = make_member(Role.CASHIER, owner.merchant, make_user("79120000003", name="Глеб"))
    stranger = make_member(Role.OWNER, make_merchant())
    send_order(owner)

    seen = {}
    for member in (owner, cashier, stranger):
        page = plain(signed_in(client, member).get(reverse("messages")))
        seen[member.role, member.merchant_id] = [
            name for name in ("Анна", "Борис") if f">{name}<" in page
        ]

    assert seen == {
        ("owner", owner.merchant_id): ["Анна", "Борис"],
        ("cashier", owner.merchant_id): [],
        ("owner", stranger.merchant_id): [],
    }


def test_own_sign_in_is_shown_to_oneself_only(client, owner):
    second = make_member(Role.OWNER, owner.merchant)
    outbox.queue_message(
        event=MessageEvent.NEW_DEVICE, user=owner.user, subject="", text="Вошли.", at=AT
    )

    seen = [
        "Вошли." in plain(signed_in(client, member).get(reverse("messages")))
        for member in (owner, second)
    ]

    assert seen == [True, False]


def test_page_says_what_the_gateway_refused(client, owner, gateway):
    gateway.status = 403
    send_order(owner)
    at = AT + MINUTE
    for pause in (timedelta(0), *outbox.RETRY_AFTER):
        at += pause
        outbox.send_next(at=at)

    page = plain(signed_in(client, owner).get(reverse("messages")))

    assert "трек-номер RA000000001RU" in page
    assert "Не принято" in page
    assert "ответ 403" in page


@pytest.mark.parametrize("number", [1, 3])
def test_page_has_the_same_queries_for_many_messages(
    client, owner, django_assert_num_queries, number
):
    signed_in(client, owner)
    for one in range(number):
        send_order(owner, one)

    with django_assert_num_queries(9):
        client.get(reverse("messages"))


def test_name_of_somebody_who_left_is_not_kept(client, owner):
    leaver = make_member(Role.MANAGER, owner.merchant, make_user(name="Борис", email="b@e.example"))
    send_order(owner)
    leaver.delete()

    page = plain(signed_in(client, owner).get(reverse("messages")))

    assert "Бывший сотрудник" in page
    assert "Борис" not in page


# --- what to send ---------------------------------------------------------------------------------


def test_settings_store_what_is_ticked(client, owner):
    signed_in(client, owner)

    client.post(reverse("message_settings"), {"order_sent.sms": "on", "new_owner.sms": "on"})
    page = plain(client.get(reverse("message_settings")))

    wanted = MessagePreference.objects.filter(member=owner, wanted=True).order_by("pk")
    assert list(wanted.values_list("event", "channel")) == [("order_sent", "sms")]
    assert re.findall(r'name="([a-z_.]+)" checked', page) == ["order_sent.sms"]
    assert AuditEvent.objects.filter(action="messages.chosen").count() == 1


def test_settings_offer_what_the_role_may_get(client, owner):
    cashier = make_member(Role.CASHIER, owner.merchant)

    page = plain(signed_in(client, cashier).get(reverse("message_settings")))

    events_offered = set(re.findall(r'name="([a-z_]+)\.sms"', page))
    assert events_offered == {
        "cards_off",
        "cards_back",
        "switch_done",
        "switch_failed",
        "outage_began",
        "outage_ended",
    }


def test_settings_of_another_company_are_not_written(client, owner):
    other = make_member(Role.OWNER, make_merchant("ООО «Лютик»"), owner.user)
    signed_in(client, owner)

    answer = client.post(reverse("message_settings"), {"for_company": str(other.merchant_id)})

    assert answer.status_code == 403
    assert MessagePreference.objects.count() == 0


# --- confirmation of an e-mail --------------------------------------------------------------------


def sent_link(gateway, at=AT + MINUTE) -> str:
    """The path of the link in the last e-mail that confirms an address."""
    while outbox.send_next(at=at):
        pass
    [text] = [text for _, _, text in gateway.mails() if "/messages/confirm/" in text]
    return str(re.findall(r"/messages/confirm/\S+", text)[0])


def test_new_email_gets_messages_after_the_button(client, owner, gateway):
    by = actor_for(owner)
    people.update_profile(user=owner.user, name="Анна", email="new@example.com", by=by, at=AT)
    link = sent_link(gateway)

    shown = client.get(link)
    before = User.objects.get(pk=owner.user_id).mailbox
    confirmed = client.post(link)

    assert "Подтвердить" in plain(shown)
    assert before == ""
    assert "Почта подтверждена" in plain(confirmed)
    assert User.objects.get(pk=owner.user_id).mailbox == "new@example.com"
    assert AuditEvent.objects.filter(action="email.confirmed").count() == 1


def test_link_confirms_only_the_address_it_was_sent_to(client, owner, gateway):
    by = actor_for(owner)
    people.update_profile(user=owner.user, name="Анна", email="new@example.com", by=by, at=AT)
    link = sent_link(gateway)
    people.update_profile(user=owner.user, name="Анна", email="other@example.com", by=by, at=AT)

    answers = [client.get(link).status_code, client.post(link).status_code]

    assert answers == [404, 404]
    assert User.objects.get(pk=owner.user_id).mailbox == ""


def test_forged_key_confirms_and_unsubscribes_nobody(client, owner):
    answers = {
        client.post(f"{reverse(name)}?key={key}").status_code
        for name in ("confirm_email", "unsubscribe")
        for key in ("", "x", "a.b.c", signing.dumps([1, "x"]))
    }

    assert answers == {404}


def test_link_is_not_stored_and_names_no_address(owner, gateway):
    User.objects.filter(pk=owner.user_id).update(email="new@example.com")

    email_confirmation.send_link(user=owner.user, at=AT)
    link = sent_link(gateway)

    assert "/messages/confirm/" not in Message.objects.get().text
    assert "new" not in link
    assert "example" not in link


def test_five_links_a_day_are_sent(owner):
    User.objects.filter(pk=owner.user_id).update(email="new@example.com")

    sent = [email_confirmation.send_link(user=owner.user, at=AT + n * MINUTE) for n in range(6)]
    next_day = email_confirmation.send_link(user=owner.user, at=AT + timedelta(days=1, minutes=1))

    assert sent == [True] * 5 + [False]
    assert next_day is True


def test_confirmed_address_needs_no_link(client, owner):
    page = plain(signed_in(client, owner).post(reverse("message_link"), follow=True))

    assert "Письмо не отправлено" in page
    assert Message.objects.count() == 0


def test_link_is_sent_once_more_by_button(client, owner):
    User.objects.filter(pk=owner.user_id).update(email="new@example.com")
    signed_in(client, owner)

    before = plain(client.get(reverse("message_settings")))
    client.post(reverse("message_link"))

    assert "Адрес new@example.com не подтверждён" in before
    assert list(Message.objects.values_list("event", "to")) == [
        ("email_confirm", "new@example.com")
    ]


# --- unsubscribe ----------------------------------------------------------------------------------


def test_link_in_an_email_ends_such_emails_by_button(client, owner, gateway):
    send_order(owner)
    while outbox.send_next(at=AT + MINUTE):
        pass
    [(_, _, text)] = gateway.mails()
    link = re.search(r"/messages/unsubscribe/\S+", text)[0]

    shown = client.get(link)
    before = MessagePreference.objects.count()
    client.post(link)
    send_order(owner, number=6)

    assert "Письма «заказ отправлен» больше не будут приходить" in plain(shown)
    assert before == 0
    assert list(MessagePreference.objects.values_list("event", "channel", "wanted")) == [
        ("order_sent", MessageChannel.EMAIL, False)
    ]
    assert Message.objects.count() == 1


def test_link_of_somebody_who_left_ends_nothing(client, owner):
    key = links.unsubscribe_key(owner.user_id, owner.merchant_id, "order_sent")
    owner.delete()

    answer = client.post(f"{reverse('unsubscribe')}?key={key}")

    assert answer.status_code == 404


def test_personal_news_have_no_way_to_end_them(owner, gateway):
    outbox.queue_message(
        event=MessageEvent.NEW_DEVICE, user=owner.user, subject="Вход", text="Вход.", at=AT
    )

    while outbox.send_next(at=AT):
        pass

    assert [text for _, _, text in gateway.mails()] == ["Вход.", "Вход."]


# --- staff ----------------------------------------------------------------------------------------


def test_staff_see_messages_of_one_company(client, owner):
    other = make_member(
        Role.OWNER, make_merchant(), make_user("79120000009", email="other@example.com")
    )
    send_order(owner)
    send_order(other, number=6)
    client.force_login(make_staff())

    page = plain(
        client.get(reverse("admin:cabinet_message_changelist"), {"merchant_id": owner.merchant_id})
    )
    company = plain(client.get(reverse("admin:cabinet_merchant_whole", args=[owner.merchant_id])))

    assert "anna@example.com" in page
    assert "other@example.com" not in page
    assert "заказ отправлен" in company
    assert MessageState.QUEUED.label in company


def test_dropped_messages_say_why_to_staff(client, owner):
    send_order(owner, at=clock.now())
    outbox.settle_overdue(at=clock.now() + timedelta(days=5))
    client.force_login(make_staff())

    page = plain(client.get(reverse("admin:cabinet_message_changelist")))

    assert "не отправлено" in page
    assert "опоздало" in page
