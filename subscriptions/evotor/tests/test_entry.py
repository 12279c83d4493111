"""The entry from the market's cabinet: proof, frame, tickets, switching, and that no secret is left behind."""

import logging
import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.sessions.models import Session
from django.http import HttpResponse
from django.test import Client

from cabinet import clock
from cabinet.accounts import confirmation
from cabinet.accounts.access import ENTRY_KEY, actor_for
from cabinet.accounts.browser_cookie import Browser, browser_of, remember_browser
from cabinet.accounts.services import people
from cabinet.crypto import fingerprint
from cabinet.enums import MessageEvent, Role
from cabinet.models import AuditEvent, LoginCode, Merchant, Message
from cabinet.tests.people import AT, make_member, make_merchant, make_staff, make_user, signed_in
from subscriptions.evotor import entry as tickets
from subscriptions.evotor.models import Account, EntryTicket

pytestmark = pytest.mark.django_db

OURS, CLOUD = "ours-3f0c2a7e", "cloud-9a641b7d"
IFRAME = {"sec-fetch-dest": "iframe"}
DOCUMENT = {"sec-fetch-dest": "document"}


def make_account(merchant: Merchant, ours: str = OURS, cloud: str = CLOUD) -> Account:
    return Account.objects.create(
        merchant=merchant,
        token=ours,
        token_fingerprint=fingerprint(ours),
        cloud_token=cloud,
        cloud_token_fingerprint=fingerprint(cloud) if cloud else "",
    )


@pytest.fixture
def owner():
    """An owner of a company that the market knows."""
    member = make_member(Role.OWNER)
    make_account(member.merchant)
    return member


def enter(client: Client, uid: str | None, token: str, **headers):
    return client.get(
        "/evotor/enter/", {"uid": uid or "", "token": token}, headers=headers or DOCUMENT
    )


def who(client: Client) -> str | None:
    return client.session.get("_auth_user_id")


@pytest.mark.parametrize("token", [OURS, CLOUD])
def test_owner_enters_with_either_token(client, owner, token):
    answer = enter(client, owner.merchant.evotor_user_id, token)

    assert answer.status_code == 303
    assert answer["Location"] == "/"
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer["Cache-Control"] == "no-store"
    assert who(client) == str(owner.user_id)
    assert client.session["merchant_id"] == owner.merchant_id
    assert (
        AuditEvent.objects.filter(action="owner.entered", merchant_id=owner.merchant_id).count()
        == 1
    )


def test_company_without_an_owner_is_welcomed(client):
    merchant = make_merchant()
    make_account(merchant)

    answer = enter(client, merchant.evotor_user_id, OURS)

    assert answer["Location"] == "/welcome/"
    assert client.session[ENTRY_KEY] == merchant.pk
    assert who(client) is None


def test_wrong_proofs_all_look_alike(client, owner):
    stranger = make_member(Role.OWNER)
    make_account(stranger.merchant, "other-ours", "")
    uid = owner.merchant.evotor_user_id

    answers = [
        enter(client, uid, "wrong"),
        enter(client, uid, ""),
        enter(client, "", OURS),
        enter(client, "01-999999999999999", OURS),
        enter(client, stranger.merchant.evotor_user_id, OURS),
        enter(client, stranger.merchant.evotor_user_id, ""),
        enter(client, f"{uid} OR 1=1", OURS),
        client.get("/evotor/enter/"),
    ]

    assert {(answer.status_code, answer.content) for answer in answers} == {
        (403, answers[0].content)
    }
    assert "Не получилось войти" in answers[0].content.decode()
    assert who(client) is None


def test_closed_owner_does_not_enter(client, owner):
    owner.user.is_active = False
    owner.user.save()

    answer = enter(client, owner.merchant.evotor_user_id, OURS)

    assert answer["Location"] == "/welcome/"
    assert who(client) is None


def test_owner_who_is_staff_never_signs_in_without_password(client, owner):
    owner.user.is_staff = True
    owner.user.save()

    enter(client, owner.merchant.evotor_user_id, OURS)

    assert who(client) is None


@pytest.fixture
def other():
    """An owner of another company that the market knows."""
    member = make_member(Role.OWNER, make_merchant("ООО «Вторая»"))
    make_account(member.merchant, "other-ours", "")
    return member


def press(client: Client, address: str, page, **headers):
    """Press the button of the page as a browser does."""
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', text_of(page))
    return client.post(address, dict(fields), headers=headers or DOCUMENT)


def text_of(page) -> str:
    return unescape(page.content.decode())


def test_entry_over_another_company_asks_first(client, owner, other):
    enter(client, owner.merchant.evotor_user_id, OURS)
    session = client.session
    session["note"] = "of the first"
    session.save()

    asked = enter(client, other.merchant.evotor_user_id, "other-ours")
    page = client.get(asked["Location"])
    kept = (who(client), client.session["merchant_id"], client.session["note"])
    answer = press(client, asked["Location"], page)

    assert asked["Location"].startswith("/evotor/ticket/")
    assert "открыта «ООО «Ромашка»»" in text_of(page)
    assert "вы входите в «ООО «Вторая»»" in text_of(page)
    assert kept == (str(owner.user_id), owner.merchant_id, "of the first")
    assert answer["Location"] == "/"
    assert who(client) == str(other.user_id)
    assert client.session["merchant_id"] == other.merchant_id
    assert "note" not in client.session
    assert client.session.session_key != session.session_key


def test_link_of_another_site_replaces_no_session(client, owner, other):
    signed_in(client, owner)

    for headers in (
        {"sec-fetch-site": "cross-site"},
        DOCUMENT,
        IFRAME,
        {"sec-fetch-mode": "no-cors"},
    ):
        enter(client, other.merchant.evotor_user_id, "other-ours", **headers)

    assert who(client) == str(owner.user_id)
    assert client.session["merchant_id"] == owner.merchant_id


def test_entry_over_another_company_in_a_frame_asks_there(client, owner, other):
    enter(client, owner.merchant.evotor_user_id, OURS, **IFRAME)
    asked = enter(client, other.merchant.evotor_user_id, "other-ours", **IFRAME)["Location"]

    page = client.get(asked, headers=IFRAME)
    before = who(client)
    answer = press(client, asked, page, **IFRAME)

    assert asked.startswith("/evotor/entered/")
    assert "Сменить компанию?" in text_of(page)
    assert before == str(owner.user_id)
    assert answer["Location"] == "/"
    assert who(client) == str(other.user_id)
    assert answer.cookies["cabinet_session"]["partitioned"] is True


def test_button_in_a_frame_is_checked_like_every_form(owner, other):
    client = Client(enforce_csrf_checks=True)
    enter(client, owner.merchant.evotor_user_id, OURS, **IFRAME)
    asked = enter(client, other.merchant.evotor_user_id, "other-ours", **IFRAME)["Location"]

    answer = client.post(asked, headers=IFRAME)

    assert answer.status_code == 403
    assert who(client) == str(owner.user_id)


def test_entry_over_staff_asks_first(client, owner):
    staff = make_staff()
    client.force_login(staff)

    enter(client, owner.merchant.evotor_user_id, OURS)

    assert who(client) == str(staff.pk)


def test_company_without_owner_does_not_replace_a_session(client, owner):
    fresh = make_merchant()
    make_account(fresh, "fresh-ours", "")
    signed_in(client, owner)

    enter(client, fresh.evotor_user_id, "fresh-ours")

    assert who(client) == str(owner.user_id)
    assert ENTRY_KEY not in client.session


def test_entry_again_keeps_the_session_of_the_owner(client, owner):
    signed_in(client, owner)
    before = client.session.session_key

    answer = enter(client, owner.merchant.evotor_user_id, OURS)

    assert answer["Location"] == "/"
    assert client.session.session_key == before
    assert confirmation.ENTERED_KEY not in client.session


def test_entry_session_works_for_its_company_only(client, owner):
    second = make_member(Role.OWNER, make_merchant("ООО «Вторая»"), owner.user)
    enter(client, owner.merchant.evotor_user_id, OURS)

    pages = [client.get(address) for address in ("/", "/profile/", "/merchants/")]
    chosen = client.post("/merchants/", {"merchant": second.merchant_id})

    assert ["ООО «Вторая»" in text_of(page) for page in pages] == [False] * 3
    assert chosen.status_code == 404
    assert client.session["merchant_id"] == owner.merchant_id


def test_after_ending_all_sessions_entry_asks_for_a_code(owner, caplog):
    first, second = Client(), Client()
    enter(first, owner.merchant.evotor_user_id, OURS)
    people.end_sessions(user=owner.user, by=actor_for(owner), at=clock.now())

    ended = first.get("/")
    enter(second, owner.merchant.evotor_user_id, OURS)
    pages = [
        second.get(address) for address in ("/", "/company/", "/team/", "/profile/", "/merchants/")
    ]
    posted = second.post("/company/", {"name": "Моя", "timezone": "Europe/Moscow"})

    assert ended["Location"].startswith("/login/")
    assert [page.status_code for page in (*pages, posted)] == [403] * 6
    assert ["Подтвердите, что это вы" in text_of(page) for page in (*pages, posted)] == [True] * 6
    assert ["ООО «Ромашка»" in text_of(page) for page in pages] == [False] * 5
    assert Merchant.objects.get(pk=owner.merchant_id).name == "ООО «Ромашка»"


def test_code_opens_the_entry_after_ending_all_sessions(client, owner, caplog):
    caplog.set_level(logging.INFO, logger="cabinet.messaging.notifications")
    people.end_sessions(user=owner.user, by=actor_for(owner), at=clock.now())
    enter(client, owner.merchant.evotor_user_id, OURS)
    client.get("/company/")
    sent_by_page = LoginCode.objects.count()

    client.post("/company/", {"step_up_again": "1", "step_up_link": "1"})
    code = re.findall(r": ([0-9]{6}) ", caplog.text)[-1]
    answer = client.post("/company/", {"step_up_code": code, "step_up_link": "1"})

    assert sent_by_page == 0
    assert answer["Location"] == "/company/"
    assert client.get("/company/").status_code == 200
    assert client.get("/").status_code == 200


def test_cashier_who_ends_sessions_does_not_lock_the_entry(client, owner):
    cashier = make_member(Role.CASHIER, owner.merchant)
    people.end_sessions(user=cashier.user, by=actor_for(cashier), at=clock.now())

    enter(client, owner.merchant.evotor_user_id, OURS)

    assert client.get("/company/").status_code == 200


def test_token_is_in_no_log_and_no_page(client, owner, caplog):
    caplog.set_level(logging.DEBUG)

    answers = [
        enter(client, owner.merchant.evotor_user_id, OURS),
        enter(client, owner.merchant.evotor_user_id, OURS + "x"),
    ]

    texts = [caplog.text, *[answer.content.decode() + str(answer.headers) for answer in answers]]
    assert not any(OURS in text for text in texts)


def test_frame_gets_a_cookie_that_a_frame_keeps(client, owner):
    answer = enter(client, owner.merchant.evotor_user_id, OURS, **IFRAME)

    cookie = answer.cookies["cabinet_session"]
    assert cookie["samesite"] == "None"
    assert cookie["secure"] is True
    assert cookie["partitioned"] is True
    assert answer["Location"].startswith("/evotor/entered/")


def test_top_window_gets_a_lax_cookie(client, owner):
    answer = enter(client, owner.merchant.evotor_user_id, OURS)

    cookie = answer.cookies["cabinet_session"]
    assert cookie["samesite"] == "Lax"
    assert cookie["partitioned"] == ""


def test_frame_whose_cookie_came_back_goes_on(client, owner):
    entered = enter(client, owner.merchant.evotor_user_id, OURS, **IFRAME)["Location"]

    answer = client.get(entered, headers=IFRAME)

    assert answer.status_code == 303
    assert answer["Location"] == "/"
    assert EntryTicket.objects.filter(used_at=None).count() == 0


def test_frame_whose_cookie_is_lost_offers_a_window_once(client, owner):
    entered = enter(client, owner.merchant.evotor_user_id, OURS, **IFRAME)["Location"]
    without_cookie, window, late = Client(), Client(), Client()
    ticket = entered.split("/")[-2]
    address = f"/evotor/ticket/{ticket}/"

    page = without_cookie.get(entered, headers=IFRAME)
    button = window.get(address)
    opened = press(window, address, button)
    again = late.get(address)

    link = f'href="{address}" target="_blank" rel="noopener">Открыть в новом окне'
    assert link in page.content.decode()
    assert "frame-ancestors 'self' https://*.evotor.ru" in page["Content-Security-Policy"]
    assert opened.status_code == 303
    assert opened["Location"] == "/"
    assert who(window) == str(owner.user_id)
    assert again.status_code == 403
    assert who(late) is None


# --- news of a new browser ------------------------------------------------------------------------


def told() -> list[int | None]:
    """Who was told of a new browser, by SMS."""
    rows = Message.objects.filter(event=MessageEvent.NEW_DEVICE, channel="sms").order_by("pk")
    return list(rows.values_list("user_id", flat=True))


def enter_and_look(client: Client, merchant: Merchant, token: str = OURS, **headers) -> None:
    """Enter and go where the entry leads."""
    address = enter(client, merchant.evotor_user_id, token, **headers)["Location"]
    client.get(address, headers=headers or DOCUMENT)


@pytest.mark.parametrize("headers", [DOCUMENT, IFRAME, {}], ids=["window", "frame", "old browser"])
def test_owner_is_told_of_an_entry_with_a_new_browser_once(client, owner, headers):
    enter_and_look(client, owner.merchant, **headers)
    client.post("/logout/", headers=headers)
    enter_and_look(client, owner.merchant, **headers)
    client.get("/profile/", headers=headers)

    assert told() == [owner.user_id]
    text = Message.objects.get(event=MessageEvent.NEW_DEVICE).text
    assert "вошли из кабинета Эвотор с нового устройства" in text


def test_each_new_browser_is_told_of(owner):
    for _ in range(2):
        enter_and_look(Client(), owner.merchant)

    assert told() == [owner.user_id] * 2


def test_browser_in_which_the_owner_gave_a_code_is_known(client, owner):
    known = Browser("secret").with_person(owner.user)
    client.cookies["browser"] = cookie_of(known)

    enter_and_look(client, owner.merchant)

    assert told() == []
    assert browser_of(client.get("/").wsgi_request).knows(owner.user) is True


def cookie_of(browser: Browser) -> str:
    response = HttpResponse()
    remember_browser(response, browser)
    return response.cookies["browser"].value


def test_browser_of_a_colleague_is_new_for_the_owner(client, owner):
    colleague = make_member(Role.OWNER, owner.merchant)
    client.cookies["browser"] = cookie_of(Browser("secret").with_person(colleague.user))

    enter_and_look(client, owner.merchant)

    assert told() == [owner.user_id]


def test_browser_of_another_company_is_new_for_the_owner(client, owner, other):
    enter_and_look(client, other.merchant, "other-ours")
    client.post("/logout/")

    enter_and_look(client, owner.merchant)

    assert told() == [other.user_id, owner.user_id]


def test_entry_proves_no_browser_for_the_reserve_of_codes(client, owner):
    enter_and_look(client, owner.merchant)

    browser = browser_of(client.get("/").wsgi_request)

    assert browser.has_seen(owner.user) is True
    assert browser.knows(owner.user) is False


def test_ending_all_sessions_makes_an_entered_browser_new(client, owner):
    enter_and_look(client, owner.merchant)
    people.end_sessions(user=owner.user, by=actor_for(owner), at=clock.now())

    enter_and_look(client, owner.merchant)

    assert told() == [owner.user_id] * 2


def test_entry_whose_cookie_is_lost_in_a_frame_is_told_in_the_window(owner):
    window = Client()
    for _ in range(2):
        frame = Client()
        ticket = enter(frame, owner.merchant.evotor_user_id, OURS, **IFRAME)["Location"].split("/")[
            -2
        ]
        address = f"/evotor/ticket/{ticket}/"
        Client().get(f"/evotor/entered/{ticket}/", headers=IFRAME)
        window.get(press(window, address, window.get(address))["Location"])
        window.post("/logout/")

    assert told() == [owner.user_id]


def test_session_of_an_entry_does_not_work_untold(client, owner):
    enter(client, owner.merchant.evotor_user_id, OURS)

    client.get("/company/")

    assert told() == [owner.user_id]


def test_first_entry_of_a_new_company_tells_nobody(client):
    merchant = make_merchant()
    make_account(merchant)

    enter_and_look(client, merchant)

    assert Message.objects.count() == 0


@pytest.mark.parametrize(
    ("headers", "same_site", "partitioned"), [(IFRAME, "None", True), (DOCUMENT, "Lax", "")]
)
def test_browser_cookie_comes_back_into_a_frame(client, owner, headers, same_site, partitioned):
    entered = enter(client, owner.merchant.evotor_user_id, OURS, **headers)

    cookie = client.get(entered["Location"], headers=headers).cookies["browser"]

    assert (cookie["samesite"], cookie["partitioned"]) == (same_site, partitioned)


# --- the one-time ticket --------------------------------------------------------------------------


@pytest.fixture
def ticket(owner) -> str:
    return f"/evotor/ticket/{tickets.issue_ticket(merchant=owner.merchant, at=clock.now())}/"


def test_ticket_is_not_spent_by_looking(ticket, owner):
    scanner, window = Client(), Client()

    looks = [
        scanner.head(ticket),
        scanner.get(ticket),
        scanner.get(ticket, headers={"purpose": "prefetch"}),
        scanner.get(ticket),
    ]
    opened = press(window, ticket, window.get(ticket))

    assert [look.status_code for look in looks] == [200] * 4
    assert who(scanner) is None
    assert opened["Location"] == "/"
    assert who(window) == str(owner.user_id)


def test_second_click_of_the_same_browser_goes_on(client, ticket, owner):
    page = client.get(ticket)

    clicks = [press(client, ticket, page) for _ in range(2)]

    assert [click["Location"] for click in clicks] == ["/", "/"]
    assert who(client) == str(owner.user_id)


def test_second_click_before_the_first_answer_goes_on(client, ticket, owner):
    page = client.get(ticket)
    twin = Client()
    twin.cookies = client.cookies.copy()
    press(client, ticket, page)

    answer = press(twin, ticket, page)

    assert answer["Location"] == "/"
    assert who(twin) == str(owner.user_id)


def test_another_browser_spends_nothing_after_the_first(client, ticket):
    press(client, ticket, client.get(ticket))
    other = Client()
    other.cookies[tickets.BROWSER_COOKIE] = "another"

    answer = other.post(ticket, {"browser": "another"})

    assert answer.status_code == 403
    assert who(other) is None


def test_grace_for_the_same_browser_is_short(owner):
    ticket = tickets.issue_ticket(merchant=owner.merchant, at=AT)
    times = [timedelta(0), timedelta(seconds=59), timedelta(seconds=60), timedelta(days=1)]

    spent = [tickets.spend_ticket(ticket=ticket, at=AT + after, browser="one") for after in times]

    assert spent == [owner.merchant, owner.merchant, None, None]
    assert tickets.spend_ticket(ticket=ticket, at=AT, browser="two") is None
    assert tickets.spend_ticket(ticket=ticket, at=AT) is None


@pytest.mark.parametrize(
    ("field", "headers"),
    [
        ("", {}),
        ("guessed", {}),
        ("ещё", {}),
        (None, {"origin": "https://evil.example"}),
        (None, {"origin": "null"}),
        (None, {"referer": "https://evil.example/page"}),
    ],
)
def test_button_of_another_site_opens_no_session(client, ticket, field, headers):
    client.get(ticket)
    cookie = client.cookies[tickets.BROWSER_COOKIE].value

    answer = client.post(ticket, {"browser": cookie if field is None else field}, headers=headers)

    assert answer.status_code == 403
    assert who(client) is None
    assert EntryTicket.objects.filter(used_at=None).count() == 1


def test_ticket_cookie_is_for_its_pages_only(client, ticket):
    cookie = client.get(ticket).cookies[tickets.BROWSER_COOKIE]

    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == (
        "/evotor/ticket/",
        True,
        "Lax",
    )
    assert Session.objects.count() == 0


def test_browser_without_fetch_metadata_is_asked_for_its_cookie(client, owner):
    entered = client.get("/evotor/enter/", {"uid": owner.merchant.evotor_user_id, "token": OURS})

    answer = client.get(entered["Location"])

    assert answer["Location"] == "/"


def test_ticket_lives_five_minutes(owner):
    ticket = tickets.issue_ticket(merchant=owner.merchant, at=AT)
    in_time, late = AT + timedelta(minutes=4, seconds=59), AT + timedelta(minutes=5)

    found = [tickets.ticket_merchant(ticket=ticket, at=at) for at in (in_time, late)]

    assert found == [owner.merchant, None]
    assert tickets.spend_ticket(ticket=ticket, at=late) is None
    assert tickets.spend_ticket(ticket=ticket, at=in_time) == owner.merchant


def test_ticket_is_kept_as_a_fingerprint(owner):
    ticket = tickets.issue_ticket(merchant=owner.merchant, at=AT)

    kept = EntryTicket.objects.get().fingerprint

    assert len(kept) == 64
    assert (ticket in kept) is False


def test_ticket_of_another_company_is_not_taken_for_the_session(client, owner):
    other = make_member(Role.OWNER, user=make_user())
    make_account(other.merchant, "other-ours", "")
    enter(client, owner.merchant.evotor_user_id, OURS, **IFRAME)
    ticket = tickets.issue_ticket(merchant=other.merchant, at=clock.now())

    answer = client.get(f"/evotor/entered/{ticket}/", headers=IFRAME)

    assert answer.status_code == 200
    assert "Открыть в новом окне" in answer.content.decode()


def test_ticket_window_is_never_framed(client, owner):
    ticket = tickets.issue_ticket(merchant=owner.merchant, at=clock.now())

    answer = client.get(f"/evotor/ticket/{ticket}/")

    assert answer["X-Frame-Options"] == "DENY"
