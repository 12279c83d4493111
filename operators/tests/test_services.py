"""From a contract's row to an adapter: tokens in Redis, what is noted, «Проверить связь»."""

import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as django_settings

from cabinet.actors import SYSTEM
from cabinet.clock import real_now
from cabinet.models import Alert
from operators import quota
from operators.adapters.tmf640 import Tmf640
from operators.http import Exchange
from operators.models import OperatorAccount
from operators.ports import CallKind, TokensAway
from operators.services import (
    Link,
    RedisTokens,
    connect,
    note_exchanges,
    note_new_keys,
    ping,
    working_account,
)
from operators.tests.bench import running

NOBODY_THERE = "redis://127.0.0.1:1/0"
KEYS = {"key": "demo-key", "secret": "demo-secret"}


@pytest.fixture(autouse=True)
def _empty_server():
    quota.client(django_settings.REDIS_URL).flushdb()


@pytest.fixture
def tokens() -> RedisTokens:
    return RedisTokens(django_settings.REDIS_URL, lock_seconds=1)


def make(**fields) -> OperatorAccount:
    given = {
        "code": "mts",
        "title": "МТС",
        "adapter": "mts",
        "base_url": "https://api.example.com",
        "credentials": KEYS,
        "timeout_seconds": 5,
        "lease_seconds": 10,
        **fields,
    }
    return OperatorAccount.objects.create(**given)


def exchange(**fields) -> Exchange:
    given = {
        "account": "mts",
        "kind": CallKind.READ,
        "method": "GET",
        "url": "https://api.example.com/state",
        "status": 200,
        "seconds": 0.1,
        **fields,
    }
    return Exchange(**given)


def noted(account: OperatorAccount) -> tuple[bool, str, bool, float | None]:
    """Answered lately, last error, erred lately, clock skew."""
    row = OperatorAccount.objects.get(pk=account.pk)
    return (
        row.last_answer_at is not None and real_now() - row.last_answer_at < timedelta(minutes=1),
        row.last_error,
        row.last_error_at is not None and real_now() - row.last_error_at < timedelta(minutes=1),
        row.clock_skew_seconds,
    )


# --- tokens ------------------------------------------------------------------------------------


def test_token_is_shared_and_lies_encrypted(tokens):
    tokens.put("mts", "very-secret", ttl=60)

    server = quota.client(django_settings.REDIS_URL)
    other = RedisTokens(django_settings.REDIS_URL, lock_seconds=1)
    assert other.get("mts") == "very-secret"
    assert "very-secret" not in str(server.get("token:mts"))
    assert 0 < server.pttl("token:mts") <= 60_000


def test_forgotten_and_unknown_tokens_are_none(tokens):
    tokens.put("mts", "very-secret", ttl=60)
    tokens.forget("mts")

    assert (tokens.get("mts"), tokens.get("other")) == (None, None)


def test_token_of_a_lost_encryption_key_is_none(tokens, settings):
    tokens.put("mts", "very-secret", ttl=60)
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    assert tokens.get("mts") is None


def test_only_one_at_a_time_logs_in(tokens):
    waited: list[str] = []

    def other() -> None:
        try:
            with tokens.lock("mts"):
                waited.append("in")
        except TokensAway:
            waited.append("away")

    with tokens.lock("mts"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.3)
        held = list(waited)
    thread.join(5)

    assert (held, waited) == ([], ["in"])


def test_lock_that_is_held_too_long_is_told(tokens):
    server = quota.client(django_settings.REDIS_URL)
    server.set("token-lock:mts", "somebody", px=10_000)

    with pytest.raises(TokensAway, match="слишком долго"), tokens.lock("mts"):
        pytest.fail("the lock is another's")


def test_lock_that_ran_out_while_held_hurts_nobody(tokens):
    with tokens.lock("mts"):
        quota.client(django_settings.REDIS_URL).delete("token-lock:mts")

    with tokens.lock("mts") as again:
        assert again is not None


@pytest.mark.parametrize(
    "act",
    [
        lambda tokens: tokens.get("mts"),
        lambda tokens: tokens.put("mts", "x", 60),
        lambda tokens: tokens.forget("mts"),
        lambda tokens: tokens.lock("mts").__enter__(),
    ],
    ids=["get", "put", "forget", "lock"],
)
def test_tokens_are_away_with_the_server(act):
    with pytest.raises(TokensAway, match="Redis не отвечает"):
        act(RedisTokens(NOBODY_THERE, lock_seconds=1))


# --- what is noted -----------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("heard", "expected"),
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
def test_answers_errors_and_clock_are_noted(heard, expected):
    account = make()

    note_exchanges(account, heard)

    assert noted(account) == expected


@pytest.mark.django_db
def test_clock_that_was_put_right_is_noted():
    account = make(clock_skew_seconds=-130.0)

    note_exchanges(account, [exchange(date_skew=0.0)])

    assert noted(account) == (True, "", False, 0.0)


# --- adapters and «Проверить связь» --------------------------------------------------------------


@pytest.mark.django_db
def test_account_is_connected_by_the_adapter_of_its_protocol():
    account = make(code="partner", adapter="tmf640", credentials={"token": "t"})

    operator = connect(account, heard=lambda _exchange: None)

    assert isinstance(operator, Tmf640)


@pytest.mark.django_db
def test_ping_of_a_working_operator_says_so_and_is_noted(tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts", per_second=10)

        link = ping(account)

    assert link == Link(True, link.sentence)
    assert link.sentence
    assert noted(account)[:3] == (True, "", False)


@pytest.mark.django_db
def test_ping_with_wrong_keys_tells_what_the_operator_said(tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(
            base_url=f"{bench.url}/operators/mts", credentials={"key": "demo-key", "secret": "no"}
        )

        link = ping(account)

    assert (link.works, link.was_asked) == (False, True)
    assert link.sentence.startswith("Связи нет: оператор не принял ключи договора")
    assert noted(account)[:3] == (True, "HTTP 401", True)


@pytest.mark.django_db
def test_ping_of_nobody_is_noted_as_an_error():
    account = make(base_url="http://127.0.0.1:1/operators/mts")

    link = ping(account)

    assert (link.works, link.was_asked) == (False, True)
    assert link.sentence.startswith("Связи нет: ")
    answered, error, erred, _ = noted(account)
    assert (answered, bool(error), erred) == (False, True, True)


@pytest.mark.django_db
def test_ping_sends_nothing_while_the_quota_cannot_be_known(settings, tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts", per_second=10)
        settings.REDIS_URL = NOBODY_THERE

        answer = ping(account)

        calls = bench.state()["calls"]
    assert answer == Link(
        False,
        "Связь не проверена: не отвечает Redis, а без счётчика вызовов ничего не отправляется.",
        was_asked=False,
    )
    assert calls == {"auth": 0, "submit": 0, "check": 0, "read": 0}
    assert noted(account) == (False, "", False, None)


@pytest.mark.django_db
def test_ping_without_a_turn_in_our_own_quota_asks_nothing(tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts", per_minute=1)
        quota.seconds_to_wait(account)
        quota.Turnstile(account)(CallKind.READ)

        answer = ping(account)

        calls = bench.state()["calls"]
    told = re.fullmatch(r"(.*через )(\d+)(\u00a0с\.)", answer.sentence)
    assert told is not None
    assert (told[1], told[3]) == (
        "Связь не проверена: наша квота вызовов этого оператора занята. Повторите через ",
        "\u00a0с.",
    )
    assert 50 < int(told[2]) <= 61
    assert (answer.works, answer.was_asked) == (False, False)
    assert calls == {"auth": 0, "submit": 0, "check": 0, "read": 0}
    assert noted(account) == (False, "", False, None)


@pytest.mark.django_db
def test_ping_without_the_store_of_tokens_asks_nothing(settings, tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts")
        settings.REDIS_URL = NOBODY_THERE

        answer = ping(account)

        calls = bench.state()["calls"]
    assert answer == Link(
        False,
        "Связь не проверена: не отвечает Redis, где лежат ключи доступа,"
        " или к оператору слишком долго входит другой процесс.",
        was_asked=False,
    )
    assert calls == {"auth": 0, "submit": 0, "check": 0, "read": 0}


# --- the contract of a worker --------------------------------------------------------------------


AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def alerts() -> list[tuple[str, str, datetime | None, str]]:
    return list(Alert.objects.values_list("text", "link", "closed_at", "closed_by"))


@pytest.mark.django_db
def test_contract_that_works_is_given_and_one_that_is_off_is_not():
    on, off = make(), make(code="off", enabled=False)

    given = [working_account(pk, at=AT) for pk in (on.pk, off.pk, 0)]

    assert (given, alerts()) == ([on, None, None], [])


@pytest.mark.django_db
@pytest.mark.parametrize(
    "lost", [{"credentials": KEYS}, {"callback_secret": "s", "credentials": {}}]
)
def test_contract_with_lost_keys_waits_and_staff_are_told_until_they_type_them(lost, settings):
    account = make(**lost)
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    given = working_account(account.pk, at=AT)

    told = (
        "Ключи договора с оператором не читаются: команды ждут. Введите ключи заново.",
        f"/admin/operators/operatoraccount/{account.pk}/change/",
    )
    assert (given, alerts()) == (None, [(*told, None, "")])
    note_new_keys(account_id=account.pk, by=SYSTEM, at=AT)
    assert alerts() == [(*told, AT, SYSTEM.name or "сервис")]
