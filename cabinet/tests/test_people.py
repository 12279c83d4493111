"""Signing in and out, choosing a company, the first entry of an owner: through the pages."""

import logging
import re

import pytest
from django.test import Client
from django.urls import reverse

from cabinet.access import ENTRY_KEY
from cabinet.models import AuditEvent, Consent, LoginCode, Member, User
from cabinet.states import DocumentKind, Role
from cabinet.tests.people import (
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
    caplog.set_level(logging.INFO, logger="cabinet.messengers")
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

    assert (asked.status_code, asked["Location"]) == (302, "/login/code/")
    assert "+7 912 000-00-01" in plain(page)
    assert (answer.status_code, answer["Location"]) == (302, "/")
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

    ask(client, "79120000001", caplog, url=sent_away["Location"])
    answer = client.post("/login/code/", {"code": sent_code(caplog)})

    assert answer["Location"] == "/company/"


def test_foreign_address_after_sign_in_is_ignored(client, caplog):
    make_member(user=make_user("79120000001"))

    ask(client, "79120000001", caplog, url="/login/?next=https://evil.example/")
    answer = client.post("/login/code/", {"code": sent_code(caplog)})

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

    assert (answer.status_code, answer["Location"]) == (302, "/login/")
    assert who(other) is None


def test_wrong_code_says_how_many_tries_are_left(client, caplog):
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
    assert [("Код уже отправлен." in page, link in page) for page in (same, elsewhere)] == [
        (True, True),
        (True, False),
    ]


@pytest.mark.parametrize("phone", ["", "12345", "8 800 555 35 35", "+1 202 555 01 23", "не знаю"])
def test_what_is_no_mobile_phone_is_refused(client, phone):
    answer = client.post("/login/", {"phone": phone})

    assert answer.status_code == 200
    assert 'aria-invalid="true"' in plain(answer)
    assert LoginCode.objects.count() == 0


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
    assert [name in plain(page) for name in (first.merchant.name, second.merchant.name)] == [
        True,
        True,
    ]
    assert chosen["Location"] == "/"
    assert client.session["merchant_id"] == second.merchant_id


def test_foreign_company_cannot_be_chosen(client):
    member = make_member()
    stranger = make_merchant("Чужая")
    signed_in(client, member)

    answer = client.post("/merchants/", {"merchant": stranger.pk})

    assert answer.status_code == 404
    assert client.session["merchant_id"] == member.merchant_id


def test_person_without_a_company_is_told_so(client):
    client.force_login(make_user())

    sent_away = client.get("/company/")
    page = client.get(sent_away["Location"])

    assert sent_away["Location"] == "/merchants/"
    assert "не состоите ни в одной компании" in plain(page)


def test_logout_ends_the_session_and_wants_post(client):
    signed_in(client, make_member())

    by_link = client.get("/logout/")
    by_button = client.post("/logout/")

    assert (by_link.status_code, by_button["Location"]) == (405, "/login/")
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
    caplog.set_level(logging.INFO, logger="cabinet.messengers")

    asked = client.post("/welcome/", AGREED)
    answer = client.post("/welcome/code/", {"code": sent_code(caplog)})

    user = User.objects.get(phone="79120000001")
    assert (asked["Location"], answer["Location"]) == ("/welcome/code/", "/")
    assert list(Member.objects.values_list("merchant", "user", "role")) == [
        (entered.pk, user.pk, Role.OWNER.value)
    ]
    assert (user.name, user.email, user.has_usable_password()) == (
        "Анна",
        "anna@example.com",
        False,
    )
    assert set(Consent.objects.values_list("user", "document")) == {
        (user.pk, document.pk) for document in documents
    }
    assert who(client) == str(user.pk)
    assert ENTRY_KEY not in client.session
    assert AuditEvent.objects.filter(action="owner.entered", merchant_id=entered.pk).count() == 1


@pytest.mark.parametrize("missing", ["offer", "consent"])
def test_first_entry_needs_both_ticks(client, entered, documents, missing):
    said = {key: value for key, value in AGREED.items() if key != missing}

    answer = client.post("/welcome/", said)

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
    caplog.set_level(logging.INFO, logger="cabinet.messengers")
    client.post("/welcome/", AGREED)
    first = make_member(Role.OWNER, entered)

    answer = client.post("/welcome/code/", {"code": sent_code(caplog)})

    assert "уже есть владелец" in plain(answer)
    assert list(Member.objects.values_list("pk", flat=True)) == [first.pk]
    assert who(client) is None


def test_phone_of_staff_cannot_become_an_owner(client, entered, documents):
    make_staff(phone="79120000001")

    answer = client.post("/welcome/", AGREED)

    assert "Этот номер указать нельзя" in plain(answer)
    assert LoginCode.objects.count() == 0


def test_manager_who_enters_from_the_market_becomes_owner(client, caplog, entered, documents):
    caplog.set_level(logging.INFO, logger="cabinet.messengers")
    member = make_member(Role.MANAGER, entered, make_user("79120000001", name="Пётр"))
    client.post("/welcome/", AGREED)

    client.post("/welcome/code/", {"code": sent_code(caplog)})

    assert list(Member.objects.values_list("pk", "role")) == [(member.pk, Role.OWNER.value)]


@pytest.mark.parametrize("name", ["welcome", "welcome_code"])
def test_first_entry_without_the_market_leads_home(client, name):
    answer = client.get(reverse(name))

    assert answer["Location"] in {"/", "/welcome/"}


def test_first_entry_may_be_framed_by_the_market(client, entered, documents):
    answer = client.get("/welcome/")

    assert "frame-ancestors 'self' https://*.evotor.ru" in answer["Content-Security-Policy"]
    assert not answer.has_header("X-Frame-Options")


def test_sms_that_was_not_taken_is_said_so(client, settings):
    settings.SMS_URL = "https://token@127.0.0.1:1/send"
    make_member(user=make_user("79120000001"))

    answer = client.post("/login/", {"phone": "79120000001"})

    assert "Не удалось отправить СМС. Попробуйте через минуту." in plain(answer)


def test_code_cannot_be_asked_for_beyond_the_limit_of_the_address(caplog):
    clients = [Client() for _ in range(21)]

    answers = [
        ask(client, f"791200001{number:02d}", caplog) for number, client in enumerate(clients)
    ]

    assert [answer.status_code for answer in answers] == [302] * 20 + [200]
