"""A form that was opened for another company or before signing out: nothing is written, what was typed stays."""

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from cabinet.accounts.access import ENTRY_KEY, MERCHANT_KEY
from cabinet.enums import DocumentKind, Role
from cabinet.models import AuditEvent, LoginCode, Member, Merchant, User
from cabinet.tests.companies import Company, make_companies
from cabinet.tests.people import make_document, make_member, make_merchant, make_user, signed_in
from cabinet.tests.test_access_matrix import GET, TABLE, Forms, address
from smartcards.orders.models import Order
from smartcards.tests.cards import clock_at

pytestmark = pytest.mark.django_db

REQUISITES = {"name": "Первая", "inn": "7707083893", "address": "Пермь", "timezone": "Asia/Omsk"}


@pytest.fixture
def first() -> Member:
    return make_member(Role.OWNER, make_merchant("ООО «Первая»"))


@pytest.fixture
def second(first: Member) -> Member:
    """The same person in another company."""
    return make_member(Role.OWNER, make_merchant("ООО «Вторая»"), first.user)


def work_for(client: Client, member: Member) -> None:
    """Choose the company as another tab of the same browser does."""
    client.post(reverse("merchants"), {"merchant": member.merchant_id})


def forms_in(answer: Any, path: str) -> list[tuple[str, dict[str, str]]]:
    return [form for form in Forms(answer.content.decode(), path).found if form[1]]


def kept_form(answer: Any, path: str) -> dict[str, str]:
    """The form of the answer that would send again what was typed."""
    (form,) = [
        fields
        for action, fields in forms_in(answer, path)
        if action == path and "for_company" in fields
    ]
    return {name: unescape(value) for name, value in form.items()}


def plain(answer: Any) -> str:
    return unescape(answer.content.decode()).replace("\u00a0", " ")


def shown_form(client: Client, path: str, **typed: str) -> dict[str, str]:
    """What the form of the page would send, with these fields filled in."""
    forms = [form for action, form in forms_in(client.get(path), path) if action == path]
    return next(form for form in forms if form.keys() >= typed.keys()) | typed


def requisites(merchant: Merchant) -> dict[str, Any]:
    return dict(Merchant.objects.filter(pk=merchant.pk).values(*REQUISITES).get())


def test_form_does_not_write_into_another_company(client, first, second):
    signed_in(client, first)
    typed = shown_form(client, "/company/", **REQUISITES)
    before = requisites(second.merchant)
    work_for(client, second)

    answer = client.post("/company/", typed)

    assert answer.status_code == 403
    assert "для «ООО «Первая»», а сейчас открыта «ООО «Вторая»»" in plain(answer)
    assert requisites(second.merchant) == before
    assert kept_form(answer, "/company/").items() >= REQUISITES.items()


def test_kept_form_is_saved_in_its_own_company(client, first, second):
    signed_in(client, first)
    typed = shown_form(client, "/company/", **REQUISITES)
    work_for(client, second)
    kept = kept_form(client.post("/company/", typed), "/company/")

    answer = client.post("/company/", kept)

    assert answer["Location"] == "/company/"
    assert requisites(first.merchant) == REQUISITES
    assert client.session[MERCHANT_KEY] == first.merchant_id
    assert list(AuditEvent.objects.values_list("action", "merchant_id")) == [
        ("company.changed", first.merchant_id)
    ]


def test_team_form_adds_nobody_to_another_company(client, first, second):
    signed_in(client, first)
    new = {"name": "Пётр", "phone": "8 912 000-00-05", "role": "manager"}
    typed = shown_form(client, "/team/", **new)
    work_for(client, second)

    answer = client.post("/team/", typed)

    assert answer.status_code == 403
    assert Member.objects.exclude(user=first.user).count() == 0


def test_order_form_orders_nothing_for_another_company(settings, tmp_path):
    clock_at(settings, tmp_path)
    ours, _outsider = make_companies()
    owner = ours.people[Role.OWNER]
    second = make_member(Role.OWNER, make_merchant("ООО «Вторая»"), owner.user)
    client = ours.client()
    typed = shown_form(client, "/orders/new/", recipient="Соколова Анна")
    known = Order.objects.count()
    work_for(client, second)

    answers = [client.post("/orders/new/", typed | {"step": step}) for step in ("", "confirm")]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert kept_form(answers[1], "/orders/new/")["recipient"] == "Соколова Анна"
    assert Order.objects.count() == known


def test_company_of_others_is_neither_named_nor_written(client, first):
    stranger = make_member(Role.OWNER, make_merchant("ООО «Чужая»"))
    before = requisites(stranger.merchant)
    signed_in(client, first)

    answer = client.post(
        "/company/",
        REQUISITES | {"for_company": str(stranger.merchant_id), "switch_company": "1"},
    )

    assert answer.status_code == 403
    assert "Чужая" not in plain(answer)
    assert requisites(stranger.merchant) == before
    assert requisites(first.merchant)["name"] == "ООО «Первая»"


@pytest.mark.parametrize("number", ["", "x", "\x00", "9" * 40, "٣"])
def test_unreadable_company_is_refused_politely(client, first, number):
    signed_in(client, first)

    answer = client.post("/company/", REQUISITES | {"for_company": number})

    assert answer.status_code == 403
    assert requisites(first.merchant)["name"] == "ООО «Первая»"


def test_role_of_the_other_company_decides_after_the_change(client, first):
    second = make_member(Role.CASHIER, make_merchant("ООО «Вторая»"), first.user)
    signed_in(client, first)

    answer = client.post(
        "/company/",
        REQUISITES | {"for_company": str(second.merchant_id), "switch_company": "1"},
    )

    assert answer.status_code == 403
    assert "Это действие доступно" in plain(answer)
    assert requisites(second.merchant)["name"] == "ООО «Вторая»"


def test_every_form_of_a_company_carries_it(settings, tmp_path):
    clock_at(settings, tmp_path)
    ours, _outsider = make_companies()
    client = ours.client()

    without = sorted(
        {
            f"{row.name}: {action}"
            for row in TABLE
            if row.method == GET and row.name not in OF_A_PERSON
            for action, fields in _posted_forms(client, row, ours)
            if action != reverse("logout") and fields.get("for_company") != str(ours.merchant.pk)
        }
    )

    assert without == []


# Pages whose forms are about the person, or about no company yet.
OF_A_PERSON = {
    "profile",
    "merchants",
    "welcome",
    "welcome_code",
    "login",
    "login_code",
    "second_factor",
}


def _posted_forms(client: Client, row: Any, company: Company) -> list[tuple[str, dict[str, str]]]:
    answer = client.get(address(row, company))
    if answer.status_code != 200 or "html" not in answer.headers["Content-Type"]:
        return []
    return [form for form in forms_in(answer, address(row, company)) if form[0]]


def test_registration_of_another_company_is_refused(client):
    for kind in DocumentKind:
        make_document(kind)
    first, second = make_merchant("ООО «Первая»"), make_merchant("ООО «Вторая»")
    session = client.session
    session[ENTRY_KEY] = first.pk
    session.save()
    typed = shown_form(client, "/welcome/", phone="79120000001", email="a@example.com")
    session = client.session
    session[ENTRY_KEY] = second.pk
    session.save()

    answer = client.post("/welcome/", typed | {"offer": "on", "consent": "on"})

    assert answer.status_code == 403
    assert kept_form(answer, "/welcome/")["email"] == "a@example.com"
    assert LoginCode.objects.count() == 0


# --- signing out in another tab -------------------------------------------------------------------


@pytest.fixture
def browser(first: Member) -> Client:
    """A browser whose forms are checked as in production."""
    return signed_in(Client(enforce_csrf_checks=True), first)


OWN = {"HTTP_ORIGIN": "http://testserver"}


def test_signing_out_elsewhere_keeps_what_was_typed(browser, first):
    typed = shown_form(browser, "/company/", **REQUISITES)
    browser.logout()

    answer = browser.post("/company/", typed, **OWN)

    assert answer.status_code == 403
    assert "Вы вышли из кабинета" in plain(answer)
    assert kept_form(answer, "/company/").items() >= REQUISITES.items()
    assert Session.objects.count() == 0
    assert requisites(first.merchant)["name"] == "ООО «Первая»"


def test_session_that_ended_keeps_what_was_typed(client, first):
    signed_in(client, first)
    typed = shown_form(client, "/company/", **REQUISITES)
    client.logout()

    answer = client.post("/company/", typed, **OWN)

    assert answer.status_code == 403
    assert kept_form(answer, "/company/").items() >= REQUISITES.items()


def test_after_signing_in_again_the_kept_form_is_sent(browser, first):
    typed = shown_form(browser, "/company/", **REQUISITES)
    browser.logout()
    kept = kept_form(browser.post("/company/", typed, **OWN), "/company/")
    signed_in(browser, first)

    asked = browser.post("/company/", kept, **OWN)
    saved = browser.post("/company/", kept_form(asked, "/company/"), **OWN)

    assert asked.status_code == 403
    assert saved["Location"] == "/company/"
    assert requisites(first.merchant) == REQUISITES


def test_another_person_who_signed_in_gets_nothing_written(browser, first):
    other = make_member(Role.OWNER, make_merchant("ООО «Вторая»"))
    typed = shown_form(browser, "/company/", **REQUISITES)
    browser.logout()
    signed_in(browser, other)

    asked = browser.post("/company/", typed, **OWN)
    again = browser.post("/company/", kept_form(asked, "/company/"), **OWN)

    assert [asked.status_code, again.status_code] == [403, 403]
    assert "ООО «Первая»" not in plain(again)
    assert requisites(other.merchant)["name"] == "ООО «Вторая»"
    assert requisites(first.merchant)["name"] == "ООО «Первая»"


@pytest.mark.parametrize(
    "headers", [{}, {"HTTP_ORIGIN": "null"}, {"HTTP_REFERER": "http://evil.example/"}]
)
def test_form_of_another_site_is_never_offered_again(browser, headers):
    typed = shown_form(browser, "/company/", **REQUISITES)

    answer = browser.post("/company/", typed | {"csrfmiddlewaretoken": "x" * 64}, **headers)

    assert answer.status_code == 403
    assert "Первая" not in re.sub(r"<header.*</header>", "", plain(answer), flags=re.DOTALL)


def test_ending_all_sessions_leads_to_sign_in(client, first):
    signed_in(client, first)
    typed = {"do": "end_sessions", "for_person": str(first.user_id)}

    answer = client.post("/profile/", typed, **OWN)

    assert answer["Location"] == "/login/"


def test_profile_of_another_person_stays(client, first):
    other = make_user(name="Пётр")
    make_member(Role.OWNER, first.merchant, other)
    signed_in(client, first)
    typed = shown_form(client, "/profile/", name="Анна", do="save")
    client.force_login(other)

    answer = client.post("/profile/", typed)

    assert answer.status_code == 403
    assert "Анна" in plain(answer)
    assert User.objects.get(pk=other.pk).name == "Пётр"
