"""From a contract's row to an adapter, and «Проверить связь»."""

import re
import time
from typing import Any

import pytest
from django.conf import settings as django_settings

from cabinet.sandbox.http import Request, Response, json_response
from operators.adapters.tmf640 import Tmf640
from operators.connections import PingResult, connect, ping, probe
from operators.limits import quota
from operators.models import Exchange as Kept
from operators.models import OperatorAccount
from operators.ports import CallKind
from operators.signals import keys_in_order
from operators.tests.account_rows import KEYS, AccountNotes, make, noted
from operators.tests.declarative_server import replies, serving_handlers
from operators.tests.held_locks import held_elsewhere
from operators.tests.sandbox_operator import running

NOBODY_THERE = "redis://127.0.0.1:1/0"
REFUSED = "Оператор отвечает, но проверку не принял: "
CONTROL_CENTER = {"username": "demo-user", "api_key": "demo-api-key"}


@pytest.fixture(autouse=True)
def _empty_server():
    quota.client(django_settings.REDIS_URL).flushdb()


@pytest.mark.django_db
def test_account_is_connected_by_the_adapter_of_its_protocol():
    account = make(code="partner", adapter="tmf640", credentials={"token": "t"})

    session = connect(account)

    assert isinstance(session.operator, Tmf640)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("status", "code", "result"),
    [
        (400, "10000045", PingResult(False, f"{REFUSED}No 10000045", only_refused=True)),
        (403, "10000030", PingResult(False, f"{REFUSED}No 10000030", only_refused=True)),
        (401, "10000001", PingResult(False, "Связи нет: No 10000001")),
        (500, "30000001", PingResult(False, "Связи нет: No 30000001")),
    ],
)
def test_refused_question_proves_that_the_operator_is_alive(tmp_path, status, code, result):
    refusal = replies({"errorCode": code, "errorMessage": "No"}, status)
    with serving_handlers(tmp_path, {"GET /rws/api/v1/devices": refusal}) as (url, _):
        account = make(adapter="control_center", base_url=url, credentials=CONTROL_CENTER)

        assert ping(account) == result


@pytest.mark.django_db
def test_ping_of_a_working_operator_says_so_and_is_noted(tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts", per_second=10)

        link = ping(account)

    assert link == PingResult(True, link.sentence)
    assert link.sentence
    assert noted(account)._replace(clock_skew=None) == AccountNotes(
        answered_lately=True, error="", failed_lately=False, clock_skew=None
    )


@pytest.mark.django_db
def test_ping_with_wrong_keys_tells_what_the_operator_said(tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(
            base_url=f"{bench.url}/operators/mts", credentials={"key": "demo-key", "secret": "no"}
        )

        link = ping(account)

    assert link.works is False
    assert link.was_asked is True
    assert link.sentence.startswith("Связи нет: оператор не принял ключи договора")
    assert noted(account)._replace(clock_skew=None) == AccountNotes(
        answered_lately=True, error="HTTP 401", failed_lately=True, clock_skew=None
    )


@pytest.mark.django_db
def test_ping_of_nobody_is_noted_as_an_error():
    account = make(base_url="http://127.0.0.1:1/operators/mts")

    link = ping(account)

    assert link.works is False
    assert link.was_asked is True
    assert link.sentence.startswith("Связи нет: ")
    answered, error, erred, _ = noted(account)
    assert answered is False
    assert bool(error) is True
    assert erred is True


@pytest.mark.django_db
@pytest.mark.parametrize("fields", [{"per_second": 10}, {}])
def test_ping_sends_nothing_while_the_quota_cannot_be_known(settings, tmp_path, fields):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts", **fields)
        settings.REDIS_URL = NOBODY_THERE

        answer = ping(account)

        calls = bench.state()["calls"]
    assert answer == PingResult(
        False,
        "Связь не проверена: не отвечает Redis, а без счётчика вызовов ничего не отправляется.",
        was_asked=False,
    )
    assert calls == {"auth": 0, "submit": 0, "check": 0, "read": 0}
    assert noted(account) == AccountNotes(
        answered_lately=False, error="", failed_lately=False, clock_skew=None
    )


@pytest.mark.django_db
def test_ping_without_a_turn_in_our_own_quota_asks_nothing(tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts", per_minute=1)
        quota.seconds_to_wait(account)
        quota.QuotaGate(account)(CallKind.READ)

        answer = ping(account)

        calls = bench.state()["calls"]
    found = re.fullmatch(r"(.*через )(\d+)(\u00a0с\.)", answer.sentence)
    assert found is not None
    assert (
        found[1]
        == "Связь не проверена: наша квота вызовов этого оператора занята. Повторите через "
    )
    assert found[3] == "\u00a0с."
    assert 50 < int(found[2]) <= 61
    assert answer.works is False
    assert answer.was_asked is False
    assert calls == {"auth": 0, "submit": 0, "check": 0, "read": 0}
    assert noted(account) == AccountNotes(
        answered_lately=False, error="", failed_lately=False, clock_skew=None
    )


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

        answer = probe(connect(account))

    assert answer == PingResult(False, BUSY_LOGIN, was_asked=False)
    assert Kept.objects.count() == asked


def names_of_tokens(account: OperatorAccount) -> list[str]:
    """Where the workers' token lies, after they have logged in."""
    assert probe(connect(account)).works
    keys: Any = quota.client(django_settings.REDIS_URL).keys("token:*")
    return list(keys)


@pytest.mark.django_db
def test_ping_logs_in_anew_but_probe_reuses_workers_token(tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts")

        by_probe = [probe(connect(account)).works for _ in range(2)]
        links = by_probe + [ping(account).works for _ in range(2)]

        kept = quota.client(django_settings.REDIS_URL).keys("token:*")
    assert links == [True] * 4
    assert len(kept) == 1
    rows = Kept.objects.filter(account=account).order_by("pk")
    assert list(rows.values_list("kind", flat=True)) == [
        "auth", "read", "read", "auth", "read", "auth", "read",
    ]  # fmt: skip


@pytest.mark.django_db
def test_token_is_bound_to_keys_and_address(tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts")
        before = probe(connect(account)).works
        waiting: list[int] = []
        keys_in_order.connect(receiver := lambda account_id, **_: waiting.append(account_id))

        account.credentials = {"key": "wrong-key", "secret": "wrong-secret"}
        wrong = [ping(account), probe(connect(account))]
        account.credentials = KEYS
        account.base_url = f"{bench.url}/operators/mts/"
        elsewhere = names_of_tokens(account)
        keys_in_order.disconnect(receiver)

    assert before
    assert [(link.works, link.sentence) for link in wrong] == [
        (False, "Связи нет: оператор не принял ключи договора 401")
    ] * 2
    assert len(elsewhere) == 2
    assert waiting == [account.pk]


@pytest.mark.django_db
def test_ping_of_a_slow_operator_gives_the_thread_back(tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts", timeout_seconds=20, lease_seconds=40)
        bench.fault("auth", "slow", seconds=15)
        began = time.monotonic()

        link = ping(account)

    assert link == PingResult(False, "Связи нет: оператор не успел ответить lost_reply")
    assert 4.5 < time.monotonic() - began < 14


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
    assert refused.works is False
    assert refused.was_asked is True
    assert again == PingResult(
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

    with serving_handlers(tmp_path, {"POST /token": log_in}) as (url, _):
        keys = {"client_id": "c", "client_secret": "s", "token_url": f"{url}/token"}
        account = make(adapter="tmf640", base_url=url, credentials=keys, per_second=10)

        link = ping(account)

    assert link == PingResult(
        False,
        "Связь не проверена: не отвечает Redis, а без счётчика вызовов ничего не отправляется.",
        was_asked=False,
    )


@pytest.mark.django_db
def test_ping_is_counted_after_loss_of_the_counter(tmp_path):
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        account = make(base_url=f"{bench.url}/operators/mts", per_minute=4)
        assert ping(account).works
        quota.client(django_settings.REDIS_URL).flushdb()

        again = ping(account)

    last_call_at = OperatorAccount.objects.get(pk=account.pk).last_call_at
    assert 50 < quota.seconds_to_wait(account) <= 62
    # One that only waits is no call, or the rest would never end.
    assert again.was_asked is False
    assert (last_call_at is not None) is True
    assert OperatorAccount.objects.get(pk=account.pk).last_call_at == last_call_at


@pytest.mark.django_db(transaction=True)
def test_ping_waits_for_account_lock_without_concurrency(tmp_path):
    with running("control_center", CONTROL_CENTER, tmp_path / "sandbox.json") as bench:
        alone = make(
            code="cc",
            adapter="control_center",
            base_url=f"{bench.url}/operators/control_center",
            credentials=CONTROL_CENTER,
            concurrency=1,
        )
        began = time.monotonic()
        with held_elsewhere(alone.pk, seconds=0.5):
            waited = ping(alone), time.monotonic() - began
        with held_elsewhere(alone.pk, seconds=10):
            busy = ping(alone)
            OperatorAccount.objects.update(concurrency=2)
            beside = ping(OperatorAccount.objects.get())

    assert waited[0].works is True
    assert (waited[1] >= 0.5) is True
    assert beside.works is True
    assert busy == PingResult(
        False,
        "Связь не проверена: этот оператор принимает только один вызов за раз,"
        " и сейчас ему уходят команды. Повторите через\u00a0минуту.",
        was_asked=False,
    )
