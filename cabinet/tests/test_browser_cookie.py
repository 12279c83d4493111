"""The cookie of a known browser: signed, small, and forgotten with the sessions of its people."""

import pytest
from django.core import signing
from django.http import HttpResponse
from django.test import RequestFactory

from cabinet.accounts.browser_cookie import (
    MAX_AGE,
    MAX_PEOPLE,
    Browser,
    browser_of,
    cookie_name,
    remember_browser,
)
from cabinet.models import User


def person(pk: int, mark: str = "!") -> User:
    return User(pk=pk, password=mark)


def sent_back(browser: Browser) -> Browser:
    """What the product sees when the browser comes again."""
    response = HttpResponse()
    remember_browser(response, browser)
    request = RequestFactory().get("/")
    request.COOKIES[cookie_name()] = response.cookies[cookie_name()].value
    return browser_of(request)


def test_browser_comes_back_with_its_secret_and_people():
    browser = browser_of(RequestFactory().get("/")).with_person(person(7))

    again = sent_back(browser)

    assert again == browser
    assert again.knows(person(7)) is True
    assert again.knows(person(8)) is False


def test_two_visitors_are_two_browsers():
    secrets = {browser_of(RequestFactory().get("/")).secret for _ in range(2)}

    assert len(secrets) == 2


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        signing.dumps({"secret": "s", "people": {}}),
        signing.dumps({"secret": "s"}, salt="cabinet.browser"),
        signing.dumps([], salt="cabinet.browser"),
    ],
    ids=["empty", "noise", "another salt", "no people", "no mapping"],
)
def test_cookie_that_is_not_ours_is_a_new_browser(value):
    request = RequestFactory().get("/")
    request.COOKIES[cookie_name()] = value

    browser = browser_of(request)

    assert browser.secret != "s"
    assert browser.people == {}


def test_new_password_mark_makes_the_browser_unknown():
    browser = Browser("s").with_person(person(7, "!before"))

    assert browser.knows(person(7, "!after")) is False


def test_cookie_keeps_the_latest_twenty_people():
    browser = Browser("s")
    for pk in range(MAX_PEOPLE + 5):
        browser = browser.with_person(person(pk))

    again = sent_back(browser)

    assert [pk for pk in range(MAX_PEOPLE + 5) if again.knows(person(pk))] == list(range(5, 25))


@pytest.mark.parametrize(("https", "name"), [(True, "__Host-browser"), (False, "browser")])
def test_cookie_is_bound_to_the_host_with_https(settings, https, name):
    settings.HTTPS = https
    response = HttpResponse()

    remember_browser(response, Browser("s"))

    cookie = response.cookies[name]
    assert (cookie["secure"] or False) is https
    assert {key: cookie[key] for key in ("path", "domain", "httponly", "samesite", "max-age")} == {
        "path": "/",
        "domain": "",
        "httponly": True,
        "samesite": "Lax",
        "max-age": MAX_AGE,
    }
