"""Sessions: how long they last, the list of them, cookies, and that nobody's visit leaves a row behind."""

import re
from datetime import timedelta
from importlib import reload
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from cabinet import clock
from cabinet import settings as settings_module
from cabinet.accounts.access import actor_for
from cabinet.accounts.services import people, sessions
from cabinet.accounts.tasks import sweep
from cabinet.enums import SessionKind
from cabinet.middleware import FRAMED_KEY
from cabinet.models import AuditEvent, User, UserSession
from cabinet.tests.people import make_member, make_staff, make_user, signed_in

pytestmark = pytest.mark.django_db

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/120.0.0.0 Safari/537.36"
)
SESSION = django_settings.SESSION_COOKIE_NAME
CSRF = django_settings.CSRF_COOKIE_NAME


def used_ago(client: Client, **ago: float) -> None:
    """The last use of this browser's session was so long ago."""
    session = client.session
    use = session["session_use"]
    session["session_use"] = use | {"seen": use["seen"] - timedelta(**ago).total_seconds()}
    session.save()


# --- no session for nobody ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/login/", "/admin/login/", "/", "/admin/", "/legal/privacy/", "/nowhere/"]
)
def test_anonymous_pages_make_no_session(path):
    for _ in range(3):
        Client().get(path, follow=True)

    assert Session.objects.count() == 0


def test_anonymous_form_is_protected_by_a_cookie():
    client = Client(enforce_csrf_checks=True)
    page = client.get("/admin/login/")
    make_staff(password="long-enough-words")

    without = Client(enforce_csrf_checks=True).post("/admin/login/", _password(page))
    answer = client.post("/admin/login/?next=/admin/", _password(page))

    assert without.status_code == 403
    assert answer.headers["Location"] == "/admin/"
    assert _attributes(page, CSRF) == {
        "httponly": True,
        "samesite": "Lax",
        "secure": "",
        "path": "/",
        "domain": "",
        "max-age": "",
    }


def test_form_of_an_anonymous_page_is_useless_after_signing_in():
    client = Client(enforce_csrf_checks=True)
    page = client.get("/admin/login/")
    make_staff(password="long-enough-words")
    client.post("/admin/login/?next=/admin/", _password(page))

    assert client.post("/profile/", {"csrfmiddlewaretoken": _token(page)}).status_code == 403


def test_form_in_a_session_is_protected_without_a_second_cookie():
    client = Client(enforce_csrf_checks=True)
    signed_in(client, make_member())
    page = client.get("/profile/")

    answer = client.post(
        "/profile/", {"do": "save", "name": "Анна", "csrfmiddlewaretoken": _token(page)}
    )

    assert answer.status_code == 302
    assert set(client.cookies) == {SESSION}


def test_planted_cookie_does_not_protect_a_session():
    client = Client(enforce_csrf_checks=True)
    signed_in(client, make_member())
    client.get("/profile/")
    client.cookies[CSRF] = "a" * 32

    answer = client.post("/profile/", {"do": "save", "csrfmiddlewaretoken": "a" * 32})

    assert answer.status_code == 403


def test_anonymous_form_in_a_frame_is_kept_by_partitioned_session():
    answer = Client().get("/login/", HTTP_SEC_FETCH_DEST="iframe")

    assert CSRF not in answer.cookies
    assert _attributes(answer, SESSION)["samesite"] == "None"
    assert "Partitioned" in answer.cookies.output()


def _password(page: Any) -> dict[str, str]:
    return {
        "username": "zoya",
        "password": "long-enough-words",
        "csrfmiddlewaretoken": _token(page),
    }


def _token(page: Any) -> str:
    return str(re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.content.decode())[-1])


def _attributes(answer: Any, name: str) -> dict[str, Any]:
    names = ("httponly", "samesite", "secure", "path", "domain", "max-age")
    return {key: answer.cookies[name][key] for key in names}


# --- cookies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("https", "names"),
    [
        ("0", ("cabinet_session", "cabinet_csrf")),
        ("1", ("__Host-cabinet_session", "__Host-cabinet_csrf")),
    ],
)
def test_cookies_are_bound_to_the_host_with_https(https, names, monkeypatch):
    monkeypatch.setenv("HTTPS", https)
    try:
        found = reload(settings_module)
        assert names == (found.SESSION_COOKIE_NAME, found.CSRF_COOKIE_NAME)
        assert found.SESSION_COOKIE_SECURE is found.CSRF_COOKIE_SECURE is (https == "1")
    finally:
        monkeypatch.undo()
        reload(settings_module)


@pytest.mark.parametrize(
    ("framed", "expected"),
    [
        (True, {"samesite": "None", "secure": True, "partitioned": True}),
        (False, {"samesite": "Lax", "secure": "", "partitioned": ""}),
    ],
)
def test_sign_out_deletes_the_cookie_as_it_was_set(framed, expected):
    client = signed_in(Client(), make_member())
    session = client.session
    session[FRAMED_KEY] = framed
    session.save()

    answer = client.post("/logout/")

    cookie = answer.cookies[SESSION]
    assert cookie["max-age"] == 0
    assert {name: cookie[name] for name in expected} == expected


def test_a_session_ended_elsewhere_is_deleted_from_the_frame():
    client = signed_in(Client(), make_member())
    Session.objects.all().delete()

    answer = client.get("/", HTTP_SEC_FETCH_DEST="iframe")

    assert answer.cookies[SESSION]["max-age"] == 0
    assert "Partitioned" in answer.cookies.output()


# --- how long -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "status"), [(59, 200), (61, 302)])
def test_staff_session_ends_after_an_hour_without_use(minutes, status, client):
    client.force_login(make_staff())
    used_ago(client, minutes=minutes)

    assert client.get("/admin/").status_code == status


def test_use_is_noted_and_prolongs_a_staff_session(client):
    client.force_login(make_staff())
    for _ in range(3):
        used_ago(client, minutes=40)
        assert client.get("/admin/").status_code == 200


def test_staff_session_ends_after_twelve_hours_of_use(client):
    client.force_login(make_staff())
    lasts = client.session.get_expiry_date() - clock.real_now()
    session = client.session
    session.set_expiry(clock.real_now() - timedelta(seconds=1))
    session.save()

    assert timedelta(hours=11, minutes=59) < lasts <= sessions.STAFF_LIFETIME
    assert client.get("/admin/").status_code == 302


def test_use_does_not_move_the_end_of_a_session(client):
    client.force_login(make_staff())
    end = client.session.get_expiry_date()
    used_ago(client, minutes=30)

    client.get("/admin/")

    assert client.session.get_expiry_date() == end


def test_merchants_session_lasts_without_use(client):
    signed_in(client, make_member())
    used_ago(client, days=13)

    assert client.get("/profile/").status_code == 200


def test_the_shifted_clock_ends_no_session(client, settings, tmp_path):
    settings.SANDBOX, settings.CLOCK_FILE = True, tmp_path / "clock"
    client.force_login(make_staff())
    clock.set_offset(30 * 86400)

    assert client.get("/admin/").status_code == 200


def test_expired_sessions_are_purged():
    idle, expired, living = Client(), Client(), Client()
    for client in (idle, expired, living):
        client.force_login(make_user(is_staff=client is idle))
    UserSession.objects.filter(kind=SessionKind.STAFF).update(
        seen_at=clock.real_now() - sessions.STAFF_IDLE - timedelta(minutes=1)
    )
    Session.objects.filter(pk=expired.session.session_key).update(
        expire_date=clock.real_now() - timedelta(seconds=1)
    )

    sweep()

    assert list(Session.objects.values_list("pk", flat=True)) == [living.session.session_key]
    assert list(UserSession.objects.values_list("session", flat=True)) == [
        living.session.session_key
    ]


# --- the list -------------------------------------------------------------------------------------


def test_every_sign_in_is_in_the_list(client):
    member = make_member()
    before = clock.real_now()
    client.force_login(member.user)

    row = UserSession.objects.get()

    assert (row.user, row.kind, row.browser) == (member.user, SessionKind.PHONE, "Браузер")
    assert before <= row.opened_at == row.seen_at <= clock.real_now()


def test_list_shows_browser_and_last_use(client):
    signed_in(client, make_member())
    opened = UserSession.objects.get().opened_at
    used_ago(client, hours=2)

    client.get("/profile/", HTTP_USER_AGENT=CHROME)

    row = UserSession.objects.get()
    assert (row.browser, row.opened_at) == ("Chrome, Windows", opened)
    assert row.seen_at > opened


def test_new_key_of_a_session_keeps_one_row(client):
    client.force_login(make_staff())
    session = client.session
    session.cycle_key()
    session.save()
    client.cookies[SESSION] = session.session_key

    client.get("/admin/")

    assert list(UserSession.objects.values_list("session", flat=True)) == [session.session_key]


def test_a_session_from_before_the_list_gets_its_row(client):
    client.force_login(make_staff())
    UserSession.objects.all().delete()
    session = client.session
    del session["session_use"]
    session.save()

    answer = client.get("/admin/")

    assert answer.status_code == 200
    assert UserSession.objects.get().kind == SessionKind.STAFF


def test_sign_in_after_another_person_begins_a_new_session(client):
    first, second = make_user("79120000001"), make_user("79120000002")
    client.force_login(first)
    before = client.session.session_key

    client.force_login(second)

    after = client.session.session_key
    assert after != before
    assert UserSession.objects.get(session=after).user == second
    assert UserSession.objects.filter(user=first).count() == 0


def test_a_session_of_a_deleted_person_is_anonymous(client):
    user = make_user()
    client.force_login(user)
    session = client.session
    del session["session_use"]
    session.save()
    User.objects.filter(pk=user.pk).delete()

    assert client.get("/profile/").status_code == 302


def test_session_that_is_ended_while_it_is_read_is_anonymous(client):
    signed_in(client, make_member())
    session = client.session
    before = session["session_use"]
    session["session_use"] = before | {"seen": before["seen"] - 120}
    session.save()
    read = SessionStore(session.session_key)
    read.load()
    Session.objects.all().delete()

    sessions.keep_or_end(session=read, user_agent="", at=clock.real_now())

    assert dict(read.items()) == {}
    assert UserSession.objects.count() == 0


def test_session_of_a_closed_person_ends(client):
    member = make_member()
    signed_in(client, member)
    User.objects.filter(pk=member.user_id).update(is_active=False)

    answer = client.get("/profile/")

    assert answer["Location"].startswith("/login/")


def test_ended_sessions_are_in_no_list():
    member = make_member()
    for _ in range(2):
        signed_in(Client(), member)
    stranger = signed_in(Client(), make_member())

    people.end_sessions(user=member.user, by=actor_for(member), at=clock.now())

    assert list(UserSession.objects.values_list("session", flat=True)) == [
        stranger.session.session_key
    ]


def test_times_of_sessions_are_told_from_now(client):
    signed_in(client, make_member())

    page = client.get("/profile/").content.decode()

    assert re.search(r"Вход сегодня в\u00a0\d\d:\d\d, последнее действие сегодня в", page)


def test_profile_shows_the_latest_twenty_sessions(client):
    member = make_member()
    for _ in range(22):
        signed_in(Client(), member)
    signed_in(client, member)

    page = client.get("/profile/").content.decode()

    assert page.count("последнее действие") == 20
    assert "И ещё 3\u00a0сеанса." in page
    assert page.count("<b>этот сеанс</b>") == 1


def test_one_session_is_ended_from_another(client):
    member = make_member()
    lost = signed_in(Client(), member)
    signed_in(client, member)
    row = UserSession.objects.get(session=lost.session.session_key)

    client.post("/profile/", {"do": "end_session", "session": row.pk})

    statuses = {
        "here": client.get("/profile/").status_code,
        "lost": lost.get("/profile/").status_code,
    }
    assert statuses == {"here": 200, "lost": 302}
    assert AuditEvent.objects.filter(action="session.ended", actor_id=member.user_id).count() == 1


@pytest.mark.parametrize("whose", ["another person", "a colleague"])
def test_a_session_of_others_is_404(whose, client):
    member = make_member()
    other = make_member(merchant=member.merchant if whose == "a colleague" else None)
    theirs = signed_in(Client(), other)
    signed_in(client, member)
    row = UserSession.objects.get(session=theirs.session.session_key)

    answer = client.post("/profile/", {"do": "end_session", "session": row.pk})

    assert answer.status_code == 404
    assert theirs.get("/profile/").status_code == 200


def test_profile_lists_own_sessions_only(client):
    member = make_member()
    Client().force_login(member.user)
    Client().force_login(make_user())
    signed_in(client, member)

    page = client.get("/profile/").content.decode()

    assert page.count('value="end_session"') == 1
    assert page.count("этот сеанс") == 1


def test_staff_end_a_session_of_a_person_with_a_reason(client):
    member = make_member()
    theirs = signed_in(Client(), member)
    row = UserSession.objects.get()
    client.force_login(make_staff())

    answer = client.post(
        reverse("admin:cabinet_usersession_end", args=[row.pk]),
        {"reason": "Звонок: потерян телефон"},
    )

    event = AuditEvent.objects.get(action="session.ended")
    assert answer.status_code == 302
    assert theirs.get("/profile/").status_code == 302
    assert (event.target_id, event.reason) == (member.user_id, "Звонок: потерян телефон")


# --- what the database refuses --------------------------------------------------------------------


def test_database_refuses_impossible_session_rows(client):
    client.force_login(make_user())
    row = UserSession.objects.get()

    refused = {}
    for field, value in (("kind", "other"), ("session_id", "no-such-session")):
        with pytest.raises(IntegrityError) as caught, transaction.atomic():
            UserSession.objects.filter(pk=row.pk).update(**{field: value})
        refused[field] = caught.value.__cause__.diag.constraint_name

    assert refused == {"kind": "user_session_kind_known", "session_id": "user_session_of_session"}


def test_session_row_goes_with_djangos_own(client):
    client.force_login(make_user())

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_session")

    assert UserSession.objects.count() == 0
