"""What is written about a contract: of its calls, and when its keys are typed anew."""

from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet

from cabinet.actors import SYSTEM
from cabinet.models import Alert, AuditEvent
from operators.limits import quota
from operators.services import (
    PauseRefused,
    lift_pause,
    note_new_keys,
    record_exchanges,
    silence_alerts,
    working_account,
)
from operators.tests.account_rows import KEYS, AccountNotes, exchange, make, noted

NOBODY_THERE = "redis://127.0.0.1:1/0"


# --- what is noted -----------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("exchanges", "expected"),
    [
        ([], (False, "", False, None)),
        ([exchange()], (True, "", False, None)),
        ([exchange(status=503)], (True, "HTTP 503", True, None)),
        ([exchange(status=None, error="tls")], (False, "tls", True, None)),
        ([exchange(status=500), exchange(status=404), exchange()], (True, "HTTP 404", True, None)),
        ([exchange(date_skew=2.0)], (True, "", False, None)),
        ([exchange(date_skew=90.0), exchange(date_skew=-130.0)], (True, "", False, -130.0)),
    ],
)
def test_answers_errors_and_clock_are_noted(exchanges, expected):
    account = make()

    record_exchanges(account, exchanges)

    assert noted(account) == expected


@pytest.mark.django_db
def test_clock_that_was_put_right_is_noted():
    account = make(clock_skew_seconds=-130.0)

    record_exchanges(account, [exchange(date_skew=0.0)])

    assert noted(account) == AccountNotes(
        answered_lately=True, error="", failed_lately=False, clock_skew=0.0
    )


# --- the contract of a worker --------------------------------------------------------------------


AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def alerts() -> list[tuple[str, str, datetime | None, str]]:
    return list(Alert.objects.values_list("text", "link", "closed_at", "closed_by"))


@pytest.mark.django_db
def test_only_an_enabled_contract_is_connected():
    on, off = make(), make(code="off", enabled=False)

    given = [working_account(pk, at=AT) for pk in (on.pk, off.pk, 0)]

    assert given == [on, None, None]
    assert alerts() == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    "lost", [{"credentials": KEYS}, {"callback_secret": "s", "credentials": {}}]
)
def test_lost_keys_alert_staff_until_entered_again(lost, settings):
    account = make(**lost)
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    given = working_account(account.pk, at=AT)

    alert = (
        "Ключи договора с оператором не читаются: команды ждут. Введите ключи заново.",
        f"/admin/operators/operatoraccount/{account.pk}/change/",
    )
    assert given is None
    assert alerts() == [(*alert, None, "")]
    note_new_keys(account_id=account.pk, by=SYSTEM, at=AT)
    assert alerts() == [(*alert, AT, SYSTEM.name or "сервис")]


# --- pauses --------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("reason", "is_paused", "redis_url", "sentence"),
    [
        (" ", True, None, "Укажите, почему паузу можно снять."),
        ("ошиблись", False, None, "Паузы уже нет."),
        ("ошиблись", True, NOBODY_THERE, "Redis не отвечает: снять паузу сейчас нельзя."),
    ],
    ids=["no reason", "no pause", "no Redis"],
)
def test_pause_that_cannot_be_lifted_is_refused(settings, reason, is_paused, redis_url, sentence):
    quota.client(settings.REDIS_URL).flushdb()
    account = make()
    if is_paused:
        quota.pause(account, 600)
    settings.REDIS_URL = redis_url or settings.REDIS_URL

    with pytest.raises(PauseRefused) as refused:
        lift_pause(account=account, reason=reason, by=SYSTEM, at=AT)

    assert refused.value.sentence == sentence
    assert AuditEvent.objects.count() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("reason", "hours", "sentence"),
    [
        (" ", 2, "Укажите, почему оповещения не нужны."),
        ("Работы", 25, "Не больше 24 часов."),
        ("Работы", -1, "Не больше 24 часов."),
    ],
)
def test_alerts_are_not_silenced_without_reason_or_for_days(reason, hours, sentence):
    account = make()

    with pytest.raises(PauseRefused) as refused:
        silence_alerts(account=account, hours=hours, reason=reason, by=SYSTEM, at=AT)

    account.refresh_from_db()
    assert refused.value.sentence == sentence
    assert account.silent_until is None
    assert AuditEvent.objects.count() == 0
