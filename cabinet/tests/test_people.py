"""Signing in and out, choosing a company, the first entry of an owner: through the pages."""

import logging
import re
from datetime import timedelta

import pytest
from django.db.models import F
from django.test import Client
from django.urls import reverse

from cabinet import clock
from cabinet.accounts.access import ENTRY_KEY, actor_for
from cabinet.accounts.services import people
from cabinet.enums import DocumentKind, MessageEvent, Role
from cabinet.models import Alert, AuditEvent, Consent, LoginCode, Member, Message, User
from cabinet.tests.people import (
    AT,
    make_document,
    make_member,
    make_merchant,
    make_staff,
    make_user,
    signed_in,
)

pytestmark = pytest.mark.django_db


def sent_code(caplog):
    """The digits of the last SMS in the log."""
    return re.findall(r": ([0-9]{6}) ", caplog.text)[-1]


def ask(client: Client, phone: str, caplog, url: str = "/login/"):
    """Post the phone with the log being read."""
    caplog.set_level(logging.INFO, logger="cabinet.messaging.notifications")
    return client.post(url, {"phone": phone})


def plain(response):
    return response.content.decode().replace("\u00a0", " ").replace("&nbsp;", " ")


def who(client: Client) -> str | None:
    return client.session.get("_auth_user_id")


def test_owner_signs_in_by_phone_and_code(client, caplog):
    member = make_member(user=make_user("79120000001"))

    asked = ask(client, "8 (912) 000-00-01", caplog)
    page = client.get(asked["Location"])
    answer = client.post("/login/code/", {"code": sent_code(caplog)})

    assert asked.status_code == 302
    assert asked["Location"] == "/login/code/"
    assert "+7 912 000-00-01" in plain(page)
    assert answer.status_code == 302
    assert answer["Location"] == "/"
    assert who(client) == str(member.user_id)


def test_session_key_changes_at_sign_in(client, caplog):
    make_member(user=make_user("79120000001"))
    ask(client, "79120000001", caplog)
    before = client.session.session_key

    client.post("/login/code/", {"code": sent_code(caplog)})

    assert client.session.session_key != before


def test_page_asked_for_is_shown_after_sign_in(client, caplog):
    make_member(user=make_user("79120000001"))
    sent_away = client.get("/company/")

    asked = ask(client, "79120000001", caplog, url=sent_away["Location"])
    answer = client.post(asked["Location"], {"code": sent_code(caplog)})

    assert asked["Location"] == "/login/code/?next=%2Fcompany%2F"
    assert answer["Location"] == "/company/"


def test_foreign_address_after_sign_in_is_ignored(client, caplog):
    make_member(user=make_user("79120000001"))

    ask(client, "79120000001", caplog, url="/login/?next=https://evil.example/")
    page = "/login/code/?next=https://evil.example/"
    answer = client.post(page, {"code": sent_code(caplog)})

    assert answer["Location"] == "/"


def test_unknown_phone_gets_the_same_answer(caplog):
    make_member(user=make_user("79120000001"))
    known, unknown = Client(), Client()

    answers = [ask(known, "79120000001", caplog), ask(unknown, "79120000002", caplog)]
    pages = [plain(client.get("/login/code/")) for client in (known, unknown)]

    shown = [re.sub(r'value="[^"]{64}"', "", page) for page in pages]
    assert [(answer.status_code, answer["Location"]) for answer in answers] == [
        (302, "/login/code/"),
        (302, "/login/code/"),
    ]
    assert shown[1] == shown[0].replace("000-00-01", "000-00-02")
    assert LoginCode.objects.count() == 2


@pytest.mark.parametrize("fields", [{"is_active": False}, {"is_staff": True}])
def test_closed_account_and_staff_get_no_code(client, caplog, fields):
    make_member(user=make_user("79120000001", **fields))

    ask(client, "79120000001", caplog)

    assert "кабинета с этим номером нет" in caplog.text
    assert re.findall(r": ([0-9]{6}) ", caplog.text) == []


def test_account_closed_between_the_steps_stays_outside(client, caplog):
    member = make_member(user=make_user("79120000001"))
    ask(client, "79120000001", caplog)
    User.objects.filter(pk=member.user_id).update(is_active=False)

    answer = client.post("/login/code/", {"code": sent_code(caplog)})

    assert "больше не действует" in plain(answer)
    assert who(client) is None


def test_code_works_only_in_the_browser_that_asked(caplog):
    make_member(user=make_user("79120000001"))
    asking, other = Client(), Client()
    ask(asking, "79120000001", caplog)

    answer = other.post("/login/code/", {"code": sent_code(caplog)})

    assert answer.status_code == 302
    assert answer["Location"] == "/login/"
    assert who(other) is None


def test_signing_in_makes_no_session_before_the_code_is_right(client, caplog):
    make_member(user=make_user("79120000001"))

    ask(client, "79120000001", caplog)
    client.get("/login/code/")

    assert "code" not in client.session
    assert [name for name in client.cookies if "browser" in name] == ["browser"]


def test_earlier_code_works_after_a_newer_one_was_sent(client, caplog):
    member = make_member(user=make_user("79120000001"))
    ask(client, "79120000001", caplog)
    first = sent_code(caplog)
    LoginCode.objects.update(sent_at=F("sent_at") - timedelta(minutes=2))

    again = client.post("/login/code/", {"again": "1"})
    client.post("/login/code/", {"code": first})

    assert "Отправили новый код." in plain(again)
    assert LoginCode.objects.count() == 2
    assert who(client) == str(member.user_id)


def test_forged_browser_cookie_is_a_new_browser(client, caplog):
    make_member(user=make_user("79120000001"))
    ask(client, "79120000001", caplog)
    client.cookies["browser"] = client.cookies["browser"].value[:-1] + "~"

    answer = client.post("/login/code/", {"code": sent_code(caplog)})

    assert answer["Location"] == "/login/"


def sign_in_again(client: Client, caplog, phone: str) -> LoginCode:
    """Sign out, move the codes of before two minutes back, sign in with a new one; gives its row."""
    client.post("/logout/")
    LoginCode.objects.update(sent_at=F("sent_at") - timedelta(minutes=2))
    ask(client, phone, caplog)
    client.post("/login/code/", {"code": sent_code(caplog)})
    return LoginCode.objects.latest("pk")


def test_browser_is_known_after_its_person_has_signed_in(client, caplog):
    make_member(user=make_user("79120000001"))
    make_member(user=make_user("79120000002"))

    known = [
        sign_in_again(client, caplog, "79120000001").is_known,
        sign_in_again(client, caplog, "79120000001").is_known,
        sign_in_again(client, caplog, "79120000002").is_known,
        sign_in_again(client, caplog, "79120000002").is_known,
        sign_in_again(Client(), caplog, "79120000001").is_known,
    ]

    assert known == [False, True, False, True, False]


def test_ending_all_sessions_makes_browsers_unknown(client, caplog):
    member = make_member(user=make_user("79120000001"))
    sign_in_again(client, caplog, "79120000001")
    people.end_sessions(user=member.user, by=actor_for(member), at=clock.now())

    code = sign_in_again(client, caplog, "79120000001")

    assert code.is_known is False


def test_owner_is_told_of_a_new_device_once(client, caplog):
    owner = make_member(user=make_user("79120000001", email="anna@example.com"))

    sign_in_again(client, caplog, "79120000001")
    sign_in_again(client, caplog, "79120000001")

    told = Message.objects.filter(event=MessageEvent.NEW_DEVICE).order_by("pk")
    assert list(told.values_list("channel", "to", "user_id", "state")) == [
        ("sms", "79120000001", owner.user_id, "queued"),
        ("email", "anna@example.com", owner.user_id, "queued"),
    ]
    assert "вошли с нового устройства" in told[0].text
    assert "Завершите все сеансы" in told[0].text


def test_news_of_new_devices_are_five_an_hour():
    owner, other = (
        make_member(user=make_user("79120000001", email="anna@example.com")),
        make_member(),
    )
    moments = [AT + timedelta(minutes=minutes) for minutes in (0, 1, 2, 3, 4, 5, 6, 61)]

    for at in moments:
        people.tell_new_device(user=owner.user, at=at, from_market=True)
    people.tell_new_device(user=other.user, at=moments[5])

    told = Message.objects.filter(channel="sms").order_by("pk")
    assert list(told.values_list("user_id", "created_at")) == [
        *((owner.user_id, at) for at in (*moments[:5], moments[7])),
        (other.user_id, moments[5]),
    ]
    assert list(Alert.objects.values_list("key", "seen_times")) == [
        (f"new_devices:{owner.user_id}", 2)
    ]


def test_new_device_of_a_cashier_is_not_told(client, caplog):
    make_member(Role.CASHIER, user=make_user("79120000001"))

    sign_in_again(client, caplog, "79120000001")

    assert Message.objects.exclude(event=MessageEvent.CODE).count() == 0


@pytest.mark.parametrize("phone", ["79120000001", "79120000002"])
def test_refusal_by_a_ceiling_tells_nothing_about_the_phone(caplog, phone):
    make_member(user=make_user("79120000001"))
    now = clock.now()
    LoginCode.objects.bulk_create(
        LoginCode(
            phone=f"7913{number:03d}0000", sent_at=now, expires_at=now + timedelta(minutes=10)
        )
        for number in range(60)
    )

    answer = ask(Client(), phone, caplog)

    assert answer.status_code == 200
    assert "Кодов запрошено слишком много. Следующий можно запросить через 1 минуту." in plain(
        answer
    )


def test_wrong_code_is_refused_with_the_tries_left(client, caplog):
    make_member(user=make_user("79120000001"))
    ask(client, "79120000001", caplog)
    wrong = f"{(int(sent_code(caplog)) + 1) % 1_000_000:06d}"

    answer = client.post("/login/code/", {"code": wrong})

    assert "Код не подошёл. Осталось 4 попытки." in plain(answer)
    assert who(client) is None


def test_second_code_within_a_minute_is_refused_on_the_page(client, caplog):
    ask(client, "79120000001", caplog)

    again = client.post("/login/code/", {"again": "1"}, follow=True)

    assert "Код уже отправлен. Новый можно запросить через" in plain(again)
    assert LoginCode.objects.count() == 1


def test_refusal_of_a_second_code_leads_to_the_sent_one(client, caplog):
    ask(client, "79120000001", caplog)

    same = plain(client.post("/login/", {"phone": "79120000001"}))
    elsewhere = plain(Client().post("/login/", {"phone": "79120000001"}))

    link = '<a href="/login/code/">Ввести код</a>'
    assert "Код уже отправлен." in same
    assert link in same
    assert "Код уже отправлен." in elsewhere
    assert link not in elsewhere


@pytest.mark.parametrize("phone", ["", "12345", "8 800 555 35 35", "+1 202 555 01 23", "не знаю"])
def test_what_is_no_mobile_phone_is_refused(client, phone):
    answer = client.post("/login/", {"phone": phone})

    assert answer.status_code == 200
    assert 'aria-invalid="true"' in plain(answer)
    assert LoginCode.objects.count() == 0


@pytest.mark.parametrize("phone", ["+7 701 123-45-67", "+375 29 123-45-67"])
def test_foreign_phone_is_refused_unless_its_country_is_listed(client, caplog, settings, phone):
    refused = client.post("/login/", {"phone": phone})
    settings.SMS_COUNTRIES = ["RU", "KZ", "BY"]

    accepted = ask(client, phone, caplog)

    assert "На номера этой страны мы не отправляем СМС." in plain(refused)
    assert accepted.status_code == 302


@pytest.mark.parametrize(
    "phone", ["89120000001", "+7 912 000 00 01", "912 000-00-01", "7(912)0000001"]
)
def test_phone_is_understood_as_people_type_it(client, caplog, phone):
    ask(client, phone, caplog)

    assert LoginCode.objects.get().phone == "79120000001"


def test_person_of_several_companies_chooses(client, caplog):
    user = make_user("79120000001")
    first = make_member(user=user, merchant=make_merchant("Первая"))
    second = make_member(user=user, merchant=make_merchant("Вторая"))
    ask(client, "79120000001", caplog)

    answer = client.post("/login/code/", {"code": sent_code(caplog)})
    page = client.get("/merchants/")
    chosen = client.post("/merchants/", {"merchant": second.merchant_id})

    assert answer["Location"] == "/merchants/"
    assert first.merchant.name in plain(page)
    assert second.merchant.name in plain(page)
    assert chosen["Location"] == "/"
    assert client.session["merchant_id"] == second.merchant_id


def test_foreign_company_cannot_be_chosen(client):
    member = make_member()
    other_company = make_merchant("Чужая")
    signed_in(client, member)

    answer = client.post("/merchants/", {"merchant": other_company.pk})

    assert answer.status_code == 404
    assert client.session["merchant_id"] == member.merchant_id


def test_person_without_a_company_sees_an_explanation(client):
    client.force_login(make_user())

    sent_away = client.get("/company/")
    page = client.get(sent_away["Location"])

    assert sent_away["Location"] == "/merchants/"
    assert "не состоите ни в одной компании" in plain(page)


def test_logout_ends_the_session_and_wants_post(client):
    signed_in(client, make_member())

    by_link = client.get("/logout/")
    by_button = client.post("/logout/")

    assert by_link.status_code == 405
    assert by_button["Location"] == "/login/"
    assert who(client) is None


def test_login_page_refuses_every_frame(client):
    answer = client.get("/login/", headers={"sec-fetch-dest": "iframe"})

    assert answer["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]


def test_session_that_ended_in_the_frame_shows_a_way_out(client):
    answer = client.get("/company/", headers={"sec-fetch-dest": "iframe"})

    assert answer.status_code == 403
    assert "Войти в новом окне" in plain(answer)
    assert "https://*.evotor.ru" in answer["Content-Security-Policy"]
    assert not answer.has_header("X-Frame-Options")


# The first entry


@pytest.fixture
def entered(client):
    """A client that came from the market's cabinet of a company without an owner."""
    merchant = make_merchant()
    session = client.session
    session[ENTRY_KEY] = merchant.pk
    session.save()
    return merchant


@pytest.fixture
def documents():
    """The texts that an owner agrees to."""
    return [make_document(DocumentKind.OFFER), make_document(DocumentKind.CONSENT)]


SAID = {"name": "Анна", "phone": "8 912 000-00-01", "email": "anna@example.com"}
AGREED = SAID | {"offer": "on", "consent": "on"}


def test_owner_enters_for_the_first_time(client, caplog, entered, documents):
    caplog.set_level(logging.INFO, logger="cabinet.messaging.notifications")

    asked = client.post("/welcome/", AGREED)
    answer = client.post("/welcome/code/", {"code": sent_code(caplog)})

    user = User.objects.get(phone="79120000001")
    assert asked["Location"] == "/welcome/code/"
    assert answer["Location"] == "/"
    assert list(Member.objects.values_list("merchant", "user", "role")) == [
        (entered.pk, user.pk, Role.OWNER.value)
    ]
    assert user.name == "Анна"
    assert user.email == "anna@example.com"
    assert user.has_usable_password() is False
    assert set(Consent.objects.values_list("user", "document")) == {
        (user.pk, document.pk) for document in documents
    }
    assert who(client) == str(user.pk)
    assert ENTRY_KEY not in client.session
    assert AuditEvent.objects.filter(action="owner.entered", merchant_id=entered.pk).count() == 1


@pytest.mark.parametrize("missing", ["offer", "consent"])
def test_first_entry_needs_both_ticks(client, entered, documents, missing):
    sent = {key: value for key, value in AGREED.items() if key != missing}

    answer = client.post("/welcome/", sent)

    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [missing]
    assert LoginCode.objects.count() == 0


def test_no_tick_is_set_for_the_person(client, entered, documents):
    page = plain(client.get("/welcome/"))

    assert page.count('type="checkbox"') == 2
    assert "checked" not in page


def test_first_entry_waits_for_published_documents(client, entered):
    answer = client.get("/welcome/")

    assert answer.status_code == 503
    assert "Регистрация скоро откроется" in plain(answer)


def test_first_entry_makes_nobody_before_the_code(client, entered, documents):
    client.post("/welcome/", AGREED)

    answer = client.get("/company/")

    assert User.objects.count() == 0
    assert answer["Location"] == "/login/?next=/company/"


def test_owner_who_came_meanwhile_is_not_pushed_out(client, caplog, entered, documents):
    caplog.set_level(logging.INFO, logger="cabinet.messaging.notifications")
    client.post("/welcome/", AGREED)
    first = make_member(Role.OWNER, entered)

    answer = client.post("/welcome/code/", {"code": sent_code(caplog)})

    assert "уже есть владелец" in plain(answer)
    assert list(Member.objects.values_list("pk", flat=True)) == [first.pk]
    assert who(client) is None


def test_company_whose_owner_is_closed_has_no_first_entry(client, entered, documents):
    make_member(Role.OWNER, entered, make_user(is_active=False))

    answer = client.post("/welcome/", AGREED)

    assert "Вход владельца этой компании закрыт. Позвоните в поддержку." in plain(answer)
    assert LoginCode.objects.count() == 0


def test_new_email_at_a_first_entry_is_told_to_the_old_one(client, caplog, entered, documents):
    caplog.set_level(logging.INFO, logger="cabinet.messaging.notifications")
    make_user("79120000001", email="old@example.com")
    client.post("/welcome/", AGREED)

    client.post("/welcome/code/", {"code": sent_code(caplog)})

    told = Message.objects.filter(event=MessageEvent.EMAIL_CHANGED).order_by("pk")
    assert list(told.values_list("channel", "to")) == [
        ("sms", "79120000001"),
        ("email", "old@example.com"),
    ]


def test_phone_of_staff_cannot_become_an_owner(client, entered, documents):
    make_staff(phone="79120000001")

    answer = client.post("/welcome/", AGREED)

    assert "Этот номер указать нельзя" in plain(answer)
    assert LoginCode.objects.count() == 0


def test_manager_who_enters_from_the_market_becomes_owner(client, caplog, entered, documents):
    caplog.set_level(logging.INFO, logger="cabinet.messaging.notifications")
    member = make_member(Role.MANAGER, entered, make_user("79120000001", name="Пётр"))
    client.post("/welcome/", AGREED)

    client.post("/welcome/code/", {"code": sent_code(caplog)})

    assert list(Member.objects.values_list("pk", "role")) == [(member.pk, Role.OWNER.value)]


def test_first_entry_tells_nobody_whom_it_makes(client, caplog, entered, documents):
    caplog.set_level(logging.INFO, logger="cabinet.messaging.notifications")
    client.post("/welcome/", AGREED)

    client.post("/welcome/code/", {"code": sent_code(caplog)})

    rows = Message.objects.exclude(event=MessageEvent.CODE)
    # The new owner is asked to confirm the e-mail; nobody learns of the owner.
    assert [row.event for row in rows] == [MessageEvent.EMAIL_CONFIRM]


def test_first_entry_as_an_earlier_person_tells_of_the_browser(client, caplog, entered, documents):
    caplog.set_level(logging.INFO, logger="cabinet.messaging.notifications")
    earlier = make_member(user=make_user("79120000001"))
    client.post("/welcome/", AGREED)

    client.post("/welcome/code/", {"code": sent_code(caplog)})

    told = Message.objects.filter(event=MessageEvent.NEW_DEVICE, channel="sms")
    assert list(told.values_list("user_id", flat=True)) == [earlier.user_id]


@pytest.mark.parametrize("name", ["welcome", "welcome_code"])
def test_first_entry_without_the_market_leads_home(client, name):
    answer = client.get(reverse(name))

    assert answer["Location"] in {"/", "/welcome/"}


def test_first_entry_may_be_framed_by_the_market(client, entered, documents):
    answer = client.get("/welcome/")

    assert "frame-ancestors 'self' https://*.evotor.ru" in answer["Content-Security-Policy"]
    assert not answer.has_header("X-Frame-Options")


def test_login_page_reports_an_sms_that_was_not_sent(client, settings):
    settings.SMS_URL = "https://token@127.0.0.1:1/send"
    make_member(user=make_user("79120000001"))

    answer = client.post("/login/", {"phone": "79120000001"})

    assert "Не удалось отправить СМС. Попробуйте через минуту." in plain(answer)


def test_code_request_over_address_limit_is_refused(caplog):
    clients = [Client() for _ in range(21)]

    answers = [
        ask(client, f"791200001{number:02d}", caplog) for number, client in enumerate(clients)
    ]

    assert [answer.status_code for answer in answers] == [302] * 20 + [200]
