"""Probes, the sweep, and what people see while the database is away."""

import socket
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.test import Client
from psycopg2.errors import ReadOnlySqlTransaction

from cabinet import clock, health
from cabinet.models import Heartbeat, LoginCode
from cabinet.tasks import sweep
from cabinet.tests.people import make_member, signed_in
from cabinet.views.errors import server_error

OWN = ["cabinet.health.check"]


@pytest.fixture
def deaf_port():
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def _young_process(monkeypatch):
    """A process that has just begun to wait for its sweep, however long the whole suite runs."""
    monkeypatch.setattr(health, "_started", clock.real_now())


def test_live_says_ok(client):
    answer = client.get("/health/live")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db(transaction=True)
def test_ready_says_ok(client, settings):
    settings.HEALTH_CHECKS = OWN
    health.beat(health.OWN_SWEEP)

    answer = client.get("/health/ready")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert not answer.cookies


@pytest.mark.django_db(transaction=True)
def test_silent_sweep_is_named(client, settings):
    settings.HEALTH_CHECKS = OWN
    at = clock.real_now() - timedelta(minutes=10)
    Heartbeat.objects.create(name="smartcards.sweep", at=at)

    answer = client.get("/health/ready")

    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unavailable",
        "problems": {"silent:smartcards.sweep": f"Last done at {at:%Y-%m-%dT%H:%M:%SZ}."},
    }


@pytest.mark.django_db(transaction=True)
def test_sweep_that_never_came_is_silence_after_a_while(client, settings, monkeypatch):
    settings.HEALTH_CHECKS = OWN
    monkeypatch.setattr(health, "_started", clock.real_now() - timedelta(minutes=10))

    answer = client.get("/health/ready")

    assert list(answer.json()["problems"]) == ["silent:cabinet.sweep"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("hangs", [False, True])
def test_ready_names_a_lost_redis_within_about_a_second(client, settings, deaf_port, hangs):
    settings.HEALTH_CHECKS = OWN
    settings.REDIS_URL = f"redis://127.0.0.1:{deaf_port if hangs else 1}/0"
    started = time.monotonic()

    answer = client.get("/health/ready")

    assert (answer.status_code, answer.json()["problems"]) == (
        503,
        {"broker": "Redis does not answer."},
    )
    assert time.monotonic() - started < 2


@pytest.fixture
def lost_database(deaf_port, django_db_blocker):
    """New connections go to a port where nobody listens, or where nobody answers."""
    kept = dict(connection.settings_dict)
    connection.close()

    def lose(*, hangs: bool) -> None:
        connection.settings_dict.update({"HOST": "127.0.0.1", "PORT": deaf_port if hangs else 1})

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
    assert (answer.status_code, answer.json()["problems"]) == (503, expected)
    assert time.monotonic() - started < 2


def test_live_says_ok_without_a_database_even_to_a_browser(client, lost_database):
    lost_database(hangs=False)

    answer = client.get("/health/live")

    assert answer.status_code == 200


def test_page_without_a_database_says_so_and_when_to_return(lost_database):
    client = Client(raise_request_exception=False)
    client.cookies["cabinet_session"] = "k" * 32
    lost_database(hangs=False)

    answer = client.get("/company/")

    assert (answer.status_code, answer["Retry-After"]) == (503, "30")
    assert "Сервис ненадолго недоступен" in answer.content.decode()


@pytest.mark.parametrize(
    ("cause", "status", "says"),
    [
        (OperationalError("server closed the connection"), 503, "Сервис ненадолго недоступен"),
        (ReadOnlySqlTransaction("cannot execute"), 503, "Изменения ненадолго остановлены"),
        (ValueError("other"), 500, "У нас сломалось"),
    ],
)
def test_trouble_of_the_database_is_seen_through_other_errors(rf, cause, status, says):
    def view() -> None:
        raise ValueError("of a view") from cause

    try:
        view()
    except ValueError:
        answer = server_error(rf.get("/"))

    assert (answer.status_code, says in answer.content.decode()) == (status, True)


@pytest.mark.django_db
def test_our_own_mistake_is_a_500_without_a_word_of_it(monkeypatch):
    client = Client(raise_request_exception=False)
    signed_in(client, make_member())
    monkeypatch.setattr("cabinet.queries.documents_in_force", lambda: 1 / 0)

    answer = client.get("/documents/")

    page = answer.content.decode()
    assert answer.status_code == 500
    assert ["У нас сломалось" in page, "ZeroDivisionError" in page] == [True, False]


@pytest.mark.django_db
def test_sweep_beats_and_forgets_old_codes():
    now = clock.now()
    for age in (31, 29):
        at = now - timedelta(days=age)
        LoginCode.objects.create(phone="79120000001", code_hash="0" * 64, sent_at=at, expires_at=at)

    sweep()
    sweep()

    assert LoginCode.objects.count() == 1
    assert list(Heartbeat.objects.values_list("name", flat=True)) == ["cabinet.sweep"]
