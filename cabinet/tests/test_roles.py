"""Who may open which page of the shared base: anonymous, each role, another company's owner."""

import pytest
from django.test import Client

from cabinet.accounts import rules
from cabinet.enums import Right, Role
from cabinet.errors import NotAllowed
from cabinet.tests.people import make_member, signed_in

PAGES = {
    "/team/": {Role.OWNER},
    "/company/": {Role.OWNER, Role.MANAGER, Role.ACCOUNTANT},
    "/documents/": set(Role),
    "/profile/": set(Role),
    "/merchants/": set(Role),
}


@pytest.mark.django_db
@pytest.mark.parametrize("url", PAGES)
@pytest.mark.parametrize("role", list(Role))
def test_page_opens_for_those_who_may(client, url, role):
    signed_in(client, make_member(role))

    answer = client.get(url)

    assert answer.status_code == (200 if role in PAGES[url] else 403)


@pytest.mark.django_db
@pytest.mark.parametrize("url", PAGES)
def test_page_sends_an_anonymous_visitor_to_sign_in(client, url):
    answer = client.get(url)

    assert answer["Location"] == f"/login/?next={url}"


@pytest.mark.django_db
@pytest.mark.parametrize("url", PAGES)
def test_page_is_framed_by_the_market_only_and_uncached(client, url):
    signed_in(client, make_member())

    answer = client.get(url)

    directives = dict(
        part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";")
    )
    assert directives["frame-ancestors"].startswith("'self' https://*.evotor.ru")
    assert not answer.has_header("X-Frame-Options")
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db
def test_refusal_in_the_frame_can_be_read_there(client):
    signed_in(client, make_member(Role.CASHIER))

    answer = client.get("/team/", headers={"sec-fetch-dest": "iframe"})

    assert answer.status_code == 403
    assert "https://*.evotor.ru" in answer["Content-Security-Policy"]


@pytest.mark.django_db
def test_navigation_names_only_what_the_role_may_open(client):
    signed_in(client, make_member(Role.CASHIER))

    answer = client.get("/documents/")

    assert [place.title for place in answer.context["navigation"]] == [
        "Смарт-карты",
        "Сообщения",
        "Документы",
    ]


@pytest.mark.django_db
def test_form_with_an_expired_token_gets_an_explanation():
    client = signed_in(Client(enforce_csrf_checks=True), make_member())

    answer = client.post("/profile/", {"do": "end_sessions"})

    assert answer.status_code == 403
    assert "Страница устарела" in answer.content.decode()


@pytest.mark.django_db
def test_page_that_never_was_is_404_for_everybody(client):
    answer = client.get("/no-such-page/")

    assert answer.status_code == 404
    assert "Такой страницы нет" in answer.content.decode()


@pytest.mark.parametrize("right", list(Right))
def test_owner_may_everything(right):
    assert rules.may(Role.OWNER, right)


@pytest.mark.parametrize(
    ("role", "rights"),
    [
        (Role.CASHIER, {Right.SEE_CARDS, Right.ACTIVATE}),
        (
            Role.ACCOUNTANT,
            {
                Right.SEE_CARDS,
                Right.SEE_SUBSCRIPTION,
                Right.PAY,
                Right.SEE_ORDERS,
                Right.SEE_COMPANY,
            },
        ),
        (Role.MANAGER, set(Right) - {Right.STOP, Right.MANAGE_MODULES, Right.MANAGE_TEAM}),
    ],
)
def test_role_has_exactly_these_rights(role, rights):
    assert {right for right in Right if rules.may(role, right)} == rights


def test_refusal_names_who_may():
    with pytest.raises(NotAllowed) as refused:
        rules.check_may(Role.CASHIER, Right.DEACTIVATE)

    assert refused.value.sentence == "Это действие доступно владельцу или администратору."
