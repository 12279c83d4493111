"""From a contract's row to an adapter: tokens in Redis, what is noted, «Проверить связь»."""

import re
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as django_settings

from cabinet.actors import SYSTEM
from cabinet.clock import real_now
from cabinet.models import Alert
from cabinet.sandbox.http import Request, Response, json_response
from operators import quota
from operators.adapters.tmf640 import Tmf640
from operators.http import Exchange
from operators.models import Exchange as Kept
from operators.models import OperatorAccount
from operators.ports import CallKind, TokensAway
from operators.services import (
    Link,
    RedisTokens,
    connect,
    note_exchanges,
    note_new_keys,
    ping,
    probe,
    working_account,
)
from operators.signals import keys_in_order
from operators.tests.bench import running
from operators.tests.described import standing
from operators.tests.held import held_elsewhere

NOBODY_THERE = "redis://127.0.0.1:1/0"
KEYS = {"key": "demo-key", "secret": "demo-secret"}
CONTROL_CENTER = {"username": "demo-user", "api_key": "demo-api-key"}


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
@pytest.mark.parametrize("fields", [{"per_second": 10}, {}])
def test_ping_sends_nothing_while_the_quota_cannot_be_known(settings, tmp_path, fields):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts", **fields)
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


BUSY_LOGIN = (
    "Связь не проверена: не отвечает Redis, где лежат ключи доступа,"
    " или к оператору слишком долго входит другой процесс."
)


@pytest.mark.django_db
def test_probe_that_cannot_get_a_token_asks_nothing(tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts", timeout_seconds=1)
        server = quota.client(django_settings.REDIS_URL)
        [name] = names_of_tokens(account)
        server.flushdb()
        server.set(name.replace("token:", "token-lock:", 1), "somebody", px=10_000)
        asked = Kept.objects.count()

        answer = probe(account)

    assert answer == Link(False, BUSY_LOGIN, was_asked=False)
    assert Kept.objects.count() == asked


def names_of_tokens(account: OperatorAccount) -> list[str]:
    """Where the workers' token lies, after they have logged in."""
    assert probe(account).works
    keys: Any = quota.client(django_settings.REDIS_URL).keys("token:*")
    return list(keys)


@pytest.mark.django_db
def test_ping_logs_in_anew_and_a_probe_uses_the_workers_token(tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts")

        links = [ask(account).works for ask in (probe, probe, ping, ping)]

        kept = quota.client(django_settings.REDIS_URL).keys("token:*")
    assert links == [True] * 4
    assert len(kept) == 1
    rows = Kept.objects.filter(account=account).order_by("pk")
    assert list(rows.values_list("kind", flat=True)) == [
        "auth", "read", "read", "auth", "read", "auth", "read",
    ]  # fmt: skip


@pytest.mark.django_db
def test_token_of_other_keys_or_of_another_address_is_not_found(tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts")
        before = probe(account).works
        waiting: list[int] = []
        keys_in_order.connect(heard := lambda account_id, **_: waiting.append(account_id))

        account.credentials = {"key": "wrong-key", "secret": "wrong-secret"}
        wrong = [ask(account) for ask in (ping, probe)]
        account.credentials = KEYS
        account.base_url = f"{bench.url}/operators/mts/"
        elsewhere = names_of_tokens(account)
        keys_in_order.disconnect(heard)

    assert before
    assert [(link.works, link.sentence) for link in wrong] == [
        (False, "Связи нет: оператор не принял ключи договора 401")
    ] * 2
    assert (len(elsewhere), waiting) == (2, [account.pk])


@pytest.mark.django_db
def test_ping_of_a_slow_operator_gives_the_thread_back(tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts", timeout_seconds=20, lease_seconds=40)
        bench.fault("auth", "slow", seconds=8)
        began = time.monotonic()

        link = ping(account)

    assert link == Link(False, "Связи нет: оператор не успел ответить lost_reply")
    assert 4.5 < time.monotonic() - began < 7


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "asked", "sentence"),
    [("http_429", 200, "через 4\u00a0мин."), ("maintenance", 90, "через 90\u00a0с.")],
)
def test_ping_obeys_the_pause_that_the_operator_asks_for(tmp_path, kind, asked, sentence):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts")
        bench.fault("read", kind, retry_after=asked)
        refused = ping(account)
        before = bench.call("GET", "/state/mts")

        again = ping(account)

        after = bench.call("GET", "/state/mts")
    assert (refused.works, refused.was_asked) == (False, True)
    assert again == Link(
        False,
        f"Связь не проверена: оператор попросил подождать. Повторите {sentence}",
        was_asked=False,
    )
    assert asked - 5 < quota.pause_left(account) <= asked
    assert before == after


@pytest.mark.django_db
def test_ping_that_loses_redis_on_its_way_says_so(settings, tmp_path):
    def log_in(_request: Request) -> Response:
        settings.REDIS_URL = NOBODY_THERE
        return json_response({"access_token": "t-1", "expires_in": 300})

    with standing(tmp_path, {"POST /token": log_in}) as (url, _):
        keys = {"client_id": "c", "client_secret": "s", "token_url": f"{url}/token"}
        account = make(adapter="tmf640", base_url=url, credentials=keys, per_second=10)

        link = ping(account)

    assert link == Link(
        False,
        "Связь не проверена: не отвечает Redis, а без счётчика вызовов ничего не отправляется.",
        was_asked=False,
    )


@pytest.mark.django_db
def test_call_of_a_ping_is_known_after_a_loss_of_the_counter(tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts", per_minute=4)
        assert ping(account).works
        quota.client(django_settings.REDIS_URL).flushdb()

        again = ping(account)

    told = OperatorAccount.objects.get(pk=account.pk).last_call_at
    assert 50 < quota.seconds_to_wait(account) <= 62
    # One that only waits is no call, or the rest would never end.
    assert (again.was_asked, told is not None) == (False, True)
    assert OperatorAccount.objects.get(pk=account.pk).last_call_at == told


@pytest.mark.django_db(transaction=True)
def test_ping_waits_for_the_line_of_an_operator_that_takes_one_call_at_a_time(tmp_path):
    with running("control_center", CONTROL_CENTER, tmp_path / "sandbox.json") as bench:
        alone = make(
            code="cc",
            adapter="control_center",
            base_url=f"{bench.url}/operators/control_center",
            credentials=CONTROL_CENTER,
            concurrency=1,
        )
        with held_elsewhere(alone.pk, seconds=0.5):
            began = time.monotonic()
            waited = ping(alone), time.monotonic() - began
        with held_elsewhere(alone.pk, seconds=10):
            busy = ping(alone)
            OperatorAccount.objects.update(concurrency=2)
            beside = ping(OperatorAccount.objects.get())

    assert (waited[0].works, waited[1] > 0.3, beside.works) == (True, True, True)
    assert busy == Link(
        False,
        "Связь не проверена: этот оператор принимает только один вызов за раз,"
        " и сейчас ему уходят команды. Повторите через\u00a0минуту.",
        was_asked=False,
    )


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
