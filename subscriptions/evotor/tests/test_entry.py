"""The entry from the market's cabinet: proof, frame, tickets, switching, and that no secret is left behind."""

import logging
from datetime import timedelta

import pytest
from django.test import Client

from cabinet import clock
from cabinet.access import ENTRY_KEY
from cabinet.crypto import fingerprint
from cabinet.models import AuditEvent, Merchant
from cabinet.states import Role
from cabinet.tests.people import AT, make_member, make_merchant, make_user
from subscriptions.evotor import entry
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

    assert (answer.status_code, answer["Location"]) == (303, "/")
    assert (answer["Referrer-Policy"], answer["Cache-Control"]) == ("no-referrer", "no-store")
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


def test_owner_who_is_staff_is_never_signed_in_without_a_password(client, owner):
    owner.user.is_staff = True
    owner.user.save()

    enter(client, owner.merchant.evotor_user_id, OURS)

    assert who(client) is None


def test_entry_as_another_company_leaves_nothing_of_the_first(client, owner):
    other = make_member(Role.OWNER)
    make_account(other.merchant, "other-ours", "")
    enter(client, owner.merchant.evotor_user_id, OURS)
    session = client.session
    session["note"] = "of the first"
    session.save()
    before = session.session_key

    enter(client, other.merchant.evotor_user_id, "other-ours")

    assert (who(client), client.session["merchant_id"]) == (str(other.user_id), other.merchant_id)
    assert "note" not in client.session
    assert client.session.session_key != before


def test_token_is_in_no_log_and_no_page(client, owner, caplog):
    caplog.set_level(logging.DEBUG)

    answers = [
        enter(client, owner.merchant.evotor_user_id, OURS),
        enter(client, owner.merchant.evotor_user_id, OURS + "x"),
    ]

    texts = [caplog.text, *[answer.content.decode() + str(answer.headers) for answer in answers]]
    assert [OURS in text for text in texts] == [False, False, False]


def test_frame_gets_a_cookie_that_a_frame_keeps(client, owner):
    answer = enter(client, owner.merchant.evotor_user_id, OURS, **IFRAME)

    cookie = answer.cookies["cabinet_session"]
    assert (cookie["samesite"], cookie["secure"], cookie["partitioned"]) == ("None", True, True)
    assert answer["Location"].startswith("/evotor/entered/")


def test_top_window_gets_a_lax_cookie(client, owner):
    answer = enter(client, owner.merchant.evotor_user_id, OURS)

    cookie = answer.cookies["cabinet_session"]
    assert (cookie["samesite"], cookie["partitioned"]) == ("Lax", "")


def test_frame_whose_cookie_came_back_goes_on(client, owner):
    entered = enter(client, owner.merchant.evotor_user_id, OURS, **IFRAME)["Location"]

    answer = client.get(entered, headers=IFRAME)

    assert (answer.status_code, answer["Location"]) == (303, "/")
    assert EntryTicket.objects.filter(used_at=None).count() == 0


def test_frame_whose_cookie_is_lost_offers_a_window_once(client, owner):
    entered = enter(client, owner.merchant.evotor_user_id, OURS, **IFRAME)["Location"]
    without_cookie, window, late = Client(), Client(), Client()
    ticket = entered.split("/")[-2]

    page = without_cookie.get(entered, headers=IFRAME)
    opened = window.get(f"/evotor/ticket/{ticket}/")
    again = late.get(f"/evotor/ticket/{ticket}/")

    link = f'href="/evotor/ticket/{ticket}/" target="_blank" rel="noopener">Открыть в новом окне'
    assert link in page.content.decode()
    assert "frame-ancestors 'self' https://*.evotor.ru" in page["Content-Security-Policy"]
    assert (opened.status_code, opened["Location"], who(window)) == (303, "/", str(owner.user_id))
    assert (again.status_code, who(late)) == (403, None)


def test_browser_that_does_not_say_where_it_is_is_asked_for_its_cookie(client, owner):
    entered = client.get("/evotor/enter/", {"uid": owner.merchant.evotor_user_id, "token": OURS})

    answer = client.get(entered["Location"])

    assert answer["Location"] == "/"


def test_ticket_lives_five_minutes(owner):
    ticket = entry.issue_ticket(merchant=owner.merchant, at=AT)
    in_time, late = AT + timedelta(minutes=4, seconds=59), AT + timedelta(minutes=5)

    found = [entry.ticket_merchant(ticket=ticket, at=at) for at in (in_time, late)]

    assert found == [owner.merchant, None]
    assert entry.spend_ticket(ticket=ticket, at=late) is None
    assert entry.spend_ticket(ticket=ticket, at=in_time) == owner.merchant


def test_ticket_is_kept_as_a_fingerprint(owner):
    ticket = entry.issue_ticket(merchant=owner.merchant, at=AT)

    kept = EntryTicket.objects.get().fingerprint

    assert (len(kept), ticket in kept) == (64, False)


def test_ticket_of_another_company_is_not_taken_for_the_session(client, owner):
    other = make_member(Role.OWNER, user=make_user())
    make_account(other.merchant, "other-ours", "")
    enter(client, owner.merchant.evotor_user_id, OURS, **IFRAME)
    ticket = entry.issue_ticket(merchant=other.merchant, at=clock.now())

    answer = client.get(f"/evotor/entered/{ticket}/", headers=IFRAME)

    assert answer.status_code == 200
    assert "Открыть в новом окне" in answer.content.decode()


def test_ticket_window_is_never_framed(client, owner):
    ticket = entry.issue_ticket(merchant=owner.merchant, at=clock.now())

    answer = client.get(f"/evotor/ticket/{ticket}/")

    assert answer["X-Frame-Options"] == "DENY"
