"""What the site does for the safety of people, on every page and not only where somebody remembered."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings as django_settings
from django.contrib import admin
from django.http import HttpResponse
from django.test import Client
from django.urls import NoReverseMatch, reverse

from cabinet.crypto import fingerprint
from cabinet.models import LoginCode, User
from cabinet.tests.companies import Company, all_rows, make_companies
from cabinet.tests.people import make_member, make_staff, make_user
from cabinet.tests.test_access_matrix import GET, POST, PUBLIC, TABLE, address
from smartcards.tests.cards import clock_at, make_account
from subscriptions.evotor.models import Account

pytestmark = pytest.mark.django_db

OUR_TOKEN, CLOUD_TOKEN = "our-token-of-the-merchant", "key-to-the-cloud-of-evotor"
OPERATOR_SECRET = "secret-word-of-the-operator"
SECRETS = (OUR_TOKEN, CLOUD_TOKEN, OPERATOR_SECRET)

NEVER_FRAMED = {
    "admin:index",
    "confirm_email",
    "evotor_ticket",
    "legal",
    "login",
    "login_code",
    "second_factor_ask",
    "unsubscribe",
}
# Answers to machines and pages that were never there have no policy of a page.
PAGES = [
    row
    for row in TABLE
    if row.method == GET and not row.name.startswith("health_") and row.name != "evotor_unknown"
]
FORMS = [
    row for row in TABLE if row.method == POST and not row.name.startswith(("evotor_", "operator_"))
]


@pytest.fixture
def ours(settings: Any, tmp_path: Any) -> Company:
    clock_at(settings, tmp_path)
    company, _outsider = make_companies()
    make_account(credentials={"key": "public-name", "secret": OPERATOR_SECRET})
    Account.objects.create(
        merchant=company.merchant,
        token=OUR_TOKEN,
        token_fingerprint=fingerprint(OUR_TOKEN),
        cloud_token=CLOUD_TOKEN,
        cloud_token_fingerprint=fingerprint(CLOUD_TOKEN),
    )
    return company


def policy(answer: HttpResponse) -> dict[str, list[str]]:
    """The Content-Security-Policy by directive."""
    lines = answer.headers["Content-Security-Policy"].split(";")
    return {words[0]: words[1:] for line in lines if (words := line.split())}


# --- headers --------------------------------------------------------------------------------------


@pytest.fixture
def answers(ours: Company) -> dict[str, Any]:
    """What the owner gets from every address of the site."""
    client = ours.client()
    return {row.name: client.get(address(row, ours)) for row in PAGES}


def test_every_page_allows_nothing_but_our_own_files(answers):
    strict = {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
    }

    policies = {
        name: {word: rule for word, rule in policy(answer).items() if word != "frame-ancestors"}
        for name, answer in answers.items()
    }

    assert policies == dict.fromkeys(answers, strict)


def test_no_page_leaks_through_its_headers(answers):
    headers = {
        name: (answer.headers["X-Content-Type-Options"], _referrer(answer))
        for name, answer in answers.items()
    }

    assert headers == dict.fromkeys(answers, ("nosniff", "stays here"))


def _referrer(answer: HttpResponse) -> str:
    policy = answer.headers["Referrer-Policy"]
    return "stays here" if policy in {"same-origin", "no-referrer"} else policy


def test_only_merchant_pages_may_be_framed_by_the_market(answers):
    market = (["'self'", *django_settings.EVOTOR_FRAME_ANCESTORS], None)
    nobody = (["'none'"], "DENY")

    framing = {
        name: (policy(answer)["frame-ancestors"], answer.headers.get("X-Frame-Options"))
        for name, answer in answers.items()
    }

    assert framing == {
        name: nobody if name in NEVER_FRAMED or answer.status_code == 404 else market
        for name, answer in answers.items()
    }


@pytest.mark.parametrize(
    "path", ["/admin/", "/admin/login/", "/login/", "/legal/privacy/", "/nowhere/"]
)
def test_public_pages_are_never_framed(path, ours):
    answer = Client().get(path)

    assert policy(answer)["frame-ancestors"] == ["'none'"]
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_a_merchants_page_is_kept_by_no_cache(answers):
    kept = [
        name
        for name, answer in answers.items()
        if name not in PUBLIC
        and answer.status_code != 404
        and "no-store" not in answer.headers["Cache-Control"]
    ]

    assert kept == []


# --- cookies --------------------------------------------------------------------------------------


def cookie(answer: HttpResponse) -> dict[str, Any]:
    morsel = answer.cookies[django_settings.SESSION_COOKIE_NAME]
    return {name: morsel[name] for name in ("samesite", "httponly", "secure", "path", "domain")}


def test_the_session_is_lax_and_closed_to_scripts(ours):
    answer = Client().get(
        reverse("evotor_enter"), _entry_query(ours), HTTP_SEC_FETCH_DEST="document"
    )

    assert cookie(answer) == {
        "samesite": "Lax",
        "httponly": True,
        "secure": "",
        "path": "/",
        "domain": "",
    }
    assert "Partitioned" not in answer.cookies.output()


def test_a_session_of_the_frame_is_partitioned(ours):
    answer = Client().get(reverse("evotor_enter"), _entry_query(ours), HTTP_SEC_FETCH_DEST="iframe")

    assert cookie(answer) == {
        "samesite": "None",
        "httponly": True,
        "secure": True,
        "path": "/",
        "domain": "",
    }
    assert "Partitioned" in answer.cookies.output()


def _entry_query(company: Company) -> dict[str, str]:
    return {"uid": company.merchant.evotor_user_id or "", "token": OUR_TOKEN}


def test_messages_travel_in_the_session():
    """A cookie of their own would be lost inside the market's frame."""
    assert (
        django_settings.MESSAGE_STORAGE == "django.contrib.messages.storage.session.SessionStorage"
    )


def test_no_page_sets_another_cookie(answers):
    named = {name for answer in answers.values() for name in answer.cookies}

    assert named <= {django_settings.SESSION_COOKIE_NAME}


# --- forms of others ------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["null", "https://evil.example", None])
def test_a_form_without_our_token_is_refused_and_does_nothing(origin, ours):
    client = _strict(ours)
    headers = {"HTTP_ORIGIN": origin} if origin else {}
    addresses = {row.name: address(row, ours) for row in FORMS}
    before = all_rows(without={"sessions.Session"})

    answers = {
        name: client.post(asked, {"do": "remove"}, **headers).status_code
        for name, asked in addresses.items()
    }

    assert answers == dict.fromkeys(answers, 403)
    assert all_rows(without={"sessions.Session"}) == before


def _strict(company: Company) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.cookies = company.client().cookies
    return client


@pytest.mark.parametrize(
    ("origin", "status"), [("http://testserver", 302), ("null", 403), ("https://evil.example", 403)]
)
def test_even_with_the_token_the_origin_must_be_ours(origin, status, ours):
    client = _strict(ours)
    page = client.get(reverse("card_edit", kwargs={"pk": ours.working.pk})).content.decode()
    token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[-1]

    answer = client.post(
        reverse("card_edit", kwargs={"pk": ours.working.pk}),
        {"csrfmiddlewaretoken": token, "label": "новая", "terminal": ""},
        HTTP_ORIGIN=origin,
    )

    assert answer.status_code == status
    ours.working.refresh_from_db()
    assert (ours.working.label == "новая") == (status == 302)


# --- secrets --------------------------------------------------------------------------------------


def test_no_page_of_a_merchant_shows_a_secret(answers):
    revealing = {
        name: secret
        for name, answer in answers.items()
        for text in [answer.getvalue().decode(errors="replace")]
        for secret in SECRETS
        if secret in text
    }

    assert revealing == {}


def test_no_page_of_the_admin_shows_a_secret(ours):
    client = Client()
    client.force_login(make_staff())

    pages = {path: client.get(path, follow=True) for path in _admin_paths(ours)}

    revealing = {
        path: secret
        for path, page in pages.items()
        for secret in SECRETS
        if secret in page.content.decode()
    }
    assert {page.status_code for page in pages.values()} == {200}
    assert {"/admin/operators/operatoraccount/", "/admin/evotor/delivery/"} <= set(pages)
    assert revealing == {}


def _admin_paths(company: Company) -> Iterator[str]:
    """The list and one row of every table that staff see."""
    yield reverse("admin:cabinet_merchant_whole", args=[company.merchant.pk])
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield from _reversed(f"{name}_changelist")
        row = model._default_manager.order_by("pk").first()
        if row is not None:
            yield from _reversed(f"{name}_change", row.pk)


def _reversed(name: str, *args: Any) -> Iterator[str]:
    try:
        yield reverse(name, args=args)
    except NoReverseMatch:
        return


# --- the way back after signing in ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "lands"),
    [
        ("/orders/", "/orders/"),
        ("//evil.example/", "/"),
        ("///evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("http:evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("\t//evil.example", "/"),
        ("https://testserver@evil.example/", "/"),
        ("nowhere", "/"),
        ("profile", "/"),
        ("/" + "a" * 2048, "/"),
    ],
)
def test_signing_in_leads_to_our_own_pages_only(wanted, lands, caplog, settings):
    settings.SANDBOX = True
    person = make_member(user=make_user("79123456700")).user
    client = Client()
    caplog.set_level("INFO")

    client.post(reverse("login") + _query(wanted), {"phone": person.phone})
    (code,) = re.findall(r"СМС на \+79123456700: (\d{6})", caplog.text)
    answer = client.post(reverse("login_code") + _query(wanted), {"code": code})

    assert answer.status_code == 302
    assert answer.headers["Location"] == lands


def _query(wanted: str) -> str:
    return "?" + urlencode({"next": wanted})


# --- reading changes nothing ----------------------------------------------------------------------


# When a session was last used is noted once a minute.
_NOTES_OF_USE = {"sessions.Session", "cabinet.UserSession"}


@pytest.mark.parametrize("method", ["get", "head"])
def test_reading_changes_nothing(method, ours):
    client = ours.client()
    pages = [(row.name, address(row, ours)) for row in TABLE]
    before = all_rows(without=_NOTES_OF_USE)

    touched = [
        name
        for name, page in pages
        if getattr(client, method)(page).status_code < 500
        and all_rows(without=_NOTES_OF_USE) != before
    ]

    assert touched == []


def test_unknown_address_reveals_nothing_and_sets_no_cookie(ours):
    """An entry with a wrong token: no session, the same words for every kind of wrong."""
    wrong = [
        {},
        {"uid": "01-1", "token": "x"},
        _entry_query(ours) | {"token": "x"},
        {"token": OUR_TOKEN},
    ]

    answers = [Client().get(reverse("evotor_enter"), query) for query in wrong]

    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.content for answer in answers}) == 1
    assert not any(answer.cookies for answer in answers)


def test_nobody_learns_whether_a_phone_is_known():
    known = make_member().user

    answers = [
        Client().post(reverse("login"), {"phone": phone}) for phone in (known.phone, "79120000000")
    ]

    assert {(answer.status_code, answer.headers["Location"]) for answer in answers} == {
        (302, reverse("login_code"))
    }
    assert LoginCode.objects.count() == 2
    assert User.objects.count() == 1
