"""Probes, the sweep, and what people see while the database is away."""

import socket
import time
from datetime import timedelta

import pytest
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import OperationalError, connection
from django.test import Client
from django.urls import path
from psycopg2.errors import ReadOnlySqlTransaction

from cabinet import clock, health, urls
from cabinet.accounts.tasks import sweep
from cabinet.models import Heartbeat, LoginCode
from cabinet.tests.people import make_member, signed_in
from cabinet.views.errors import bad_request, server_error

OWN = ["cabinet.health.check"]


@pytest.fixture
def silent_port():
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_live_is_ok(client):
    answer = client.get("/health/live")

    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}


@pytest.mark.django_db(transaction=True)
def test_ready_is_ok(client, settings):
    settings.HEALTH_CHECKS = OWN
    health.record_heartbeat(health.OWN_SWEEP)

    answer = client.get("/health/ready")

    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}
    assert not answer.cookies


@pytest.mark.django_db(transaction=True)
def test_late_heartbeat_is_a_problem(client, settings):
    settings.HEALTH_CHECKS = OWN
    health.record_heartbeat(health.OWN_SWEEP)
    at = clock.real_now() - timedelta(minutes=10)
    Heartbeat.objects.create(name="smartcards.sweep", at=at)

    answer = client.get("/health/ready")

    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unavailable",
        "problems": {"silent:smartcards.sweep": f"Last done at {at:%Y-%m-%dT%H:%M:%SZ}."},
    }


@pytest.mark.django_db
def test_missing_heartbeat_is_a_problem_some_time_after_the_start():
    now = clock.real_now()

    just_started = health.missing_heartbeats(started=now)
    running = health.missing_heartbeats(started=now - timedelta(minutes=10))

    assert just_started == {}
    assert list(running) == ["silent:cabinet.sweep"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("hangs", [False, True])
def test_ready_names_a_lost_redis_within_about_a_second(client, settings, silent_port, hangs):
    settings.HEALTH_CHECKS = OWN
    health.record_heartbeat(health.OWN_SWEEP)
    settings.REDIS_URL = f"redis://127.0.0.1:{silent_port if hangs else 1}/0"
    started = time.monotonic()

    answer = client.get("/health/ready")

    assert answer.status_code == 503
    assert answer.json()["problems"] == {"broker": "Redis does not answer."}
    assert time.monotonic() - started < 5  # a busy machine may add to it


@pytest.fixture
def lost_database(silent_port, django_db_blocker):
    """New connections go to a port where nobody listens, or where nobody answers."""
    kept = dict(connection.settings_dict)
    connection.close()

    def lose(*, hangs: bool) -> None:
        connection.settings_dict.update({"HOST": "127.0.0.1", "PORT": silent_port if hangs else 1})

    with django_db_blocker.unblock():
        yield lose
        connection.close()
        connection.settings_dict.clear()
        connection.settings_dict.update(kept)


@pytest.mark.parametrize("hangs", [False, True])
def test_ready_answers_within_about_a_second_without_a_database(
    client, settings, lost_database, hangs
):
    settings.HEALTH_CHECKS = OWN
    lost_database(hangs=hangs)
    started = time.monotonic()

    answer = client.get("/health/ready")

    expected = (
        {"cabinet.health.check": "No answer within 1 s."}
        if hangs
        else {"database": "PostgreSQL does not answer."}
    )
    assert answer.status_code == 503
    assert answer.json()["problems"] == expected
    assert time.monotonic() - started < 5  # a busy machine may add to it


def test_live_is_ok_without_a_database_with_a_session_cookie(client, lost_database):
    lost_database(hangs=False)

    answer = client.get("/health/live")

    assert answer.status_code == 200


def test_page_without_a_database_is_503_with_retry_after(lost_database):
    client = Client(raise_request_exception=False)
    client.cookies["cabinet_session"] = "k" * 32
    lost_database(hangs=False)

    answer = client.get("/company/")

    assert answer.status_code == 503
    assert answer["Retry-After"] == "30"
    assert "Сервис ненадолго недоступен" in answer.content.decode()


@pytest.mark.parametrize(
    ("cause", "status", "says"),
    [
        (OperationalError("server closed the connection"), 503, "Сервис ненадолго недоступен"),
        (ReadOnlySqlTransaction("cannot execute"), 503, "Изменения ненадолго остановлены"),
        (ValueError("other"), 500, "У нас сломалось"),
    ],
)
def test_database_error_is_recognised_as_the_cause_of_another(rf, cause, status, says):
    def view() -> None:
        raise ValueError("of a view") from cause

    try:
        view()
    except ValueError:
        answer = server_error(rf.get("/"))

    assert answer.status_code == status
    assert (says in answer.content.decode()) is True


@pytest.mark.parametrize(
    ("cause", "status", "says"),
    [
        (OperationalError("server closed the connection"), 503, "Сервис ненадолго недоступен"),
        (None, 400, "Запрос не разобран"),
    ],
)
def test_unsaved_session_is_503_without_database(rf, cause, status, says):
    lost = SessionInterrupted("the session was deleted")
    lost.__cause__ = cause

    answer = bad_request(rf.post("/company/"), lost)

    assert answer.status_code == status
    assert says in answer.content.decode()


def broken_page(_request):
    raise ZeroDivisionError


# The site with a page that is broken: see `pytest.mark.urls`.
urlpatterns = [path("broken/", broken_page), *urls.urlpatterns]
handler500 = urls.handler500


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_error_page_does_not_show_the_exception():
    client = Client(raise_request_exception=False)
    signed_in(client, make_member())

    answer = client.get("/broken/")

    page = answer.content.decode()
    assert answer.status_code == 500
    assert "У нас сломалось" in page
    assert "ZeroDivisionError" not in page


@pytest.mark.django_db
def test_sweep_records_heartbeat_and_deletes_old_codes():
    now = clock.now()
    for age in (31, 29):
        at = now - timedelta(days=age)
        LoginCode.objects.create(phone="79120000001", code_hash="0" * 64, sent_at=at, expires_at=at)

    sweep()
    sweep()

    assert LoginCode.objects.count() == 1
    assert list(Heartbeat.objects.values_list("name", flat=True)) == ["cabinet.sweep"]
