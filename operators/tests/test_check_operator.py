"""`manage.py check_operator`: a good stand passes, and each trouble of a bad one fails its own line."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from cabinet.clock import now, real_now
from cabinet.sandbox.http import Request, Response, json_response
from operators.conformance import checks
from operators.conformance.report import PointOutcome, PointReport
from operators.limits import quota
from operators.models import Callback, Exchange, OperatorAccount
from operators.ports import Sim
from operators.sandbox import tmf640
from operators.sandbox.faults import FaultKind
from operators.tests.declarative_server import Handler, replies, serving_handlers
from operators.tests.held_locks import held_elsewhere
from operators.tests.sandbox_operator import SIM, RunningOperator, running

pytestmark = pytest.mark.django_db

KEYS = {
    "tmf640": {"token": "demo-partner-token"},
    "mts": {"key": "demo-key", "secret": "demo-secret"},
}
FIND = "Смарт-карта находится, состояние понятно"
OFF, ON = "Отключение", "Включение"
REPEAT, BACK, LATE = (
    "Немедленный повтор",
    "Возврат в прежнее состояние",
    "Поздний повтор с тем же ключом",
)
PAUSE, CALLBACK = "Retry-After: пауза помогает", "Уведомление пришло"
LOGIN, STRANGER, WRONG = (
    "Вход с ключами договора",
    "Незнакомая смарт-карта: понятный отказ",
    "Неверный ключ: отказ во входе",
)


@contextmanager
def stand(code: str, folder: Path, **fields: Any) -> Iterator[RunningOperator]:
    """A played operator and our contract with it, of the same code."""
    quota.client(settings.REDIS_URL).flushdb()
    with running(code, KEYS[code], folder / "sandbox.json") as bench:
        values = {
            "code": code,
            "title": "Партнёр",
            "adapter": code,
            "base_url": f"{bench.url}/operators/{code}",
            "credentials": KEYS[code],
            "timeout_seconds": 3,
            "lease_seconds": 10,
            "poll_plan": [0.1],
            "deadline_seconds": 5,
        }
        OperatorAccount.objects.create(**{**values, **fields})
        yield bench


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[RunningOperator]:
    with stand("tmf640", tmp_path) as bench:
        yield bench


def checked(code: str = "tmf640", **options: Any) -> tuple[dict[str, str], bool]:
    """The verdict of each line, and whether the command ended well."""
    lines, passed = printed(code, **options)
    table = [line[4:].split(": ") for line in lines if line.startswith("  ")]
    verdicts = {": ".join(words[:-1]): words[-1] for words in map(_cut, table)}
    return verdicts, passed


def _cut(words: list[str]) -> list[str]:
    # The note stands in brackets behind the verdict and may have colons of its own.
    whole = ": ".join(words)
    title, _, rest = whole.partition(" (")
    for verdict in ("да", "нет", "пропущено"):
        if title.endswith(f": {verdict}"):
            return [title.removesuffix(f": {verdict}"), verdict]
    raise AssertionError(f"no verdict in {whole} {rest}")


def printed(code: str = "tmf640", **options: Any) -> tuple[list[str], bool]:
    out = StringIO()
    values = {"iccid": SIM.iccid, **options}
    try:
        call_command("check_operator", code, stdout=out, **values)
    except CommandError as error:
        ended = (str(error), error.returncode)
    else:
        ended = ("", 0)
    assert ended in {
        ("", 0),
        ("Стенд проходит договор не полностью.", 1),
        ("Переключение разрешено, но ни одного не было: причина в таблице.", 1),
    }
    return out.getvalue().splitlines(), ended[1] == 0


GOOD = {
    LOGIN: "да",
    FIND: "да",
    STRANGER: "да",
    WRONG: "да",
    OFF: "да",
    REPEAT: "да",
    BACK: "да",
    LATE: "да",
    PAUSE: "пропущено",
    CALLBACK: "пропущено",
}


# --- a good stand -------------------------------------------------------------------------------


def test_good_stand_passes_without_a_switch(partner):
    verdicts, passed = checked()

    off = dict.fromkeys(("Переключение", REPEAT, BACK, LATE, PAUSE, CALLBACK), "пропущено")
    assert verdicts == dict.fromkeys((LOGIN, FIND, STRANGER, WRONG), "да") | off
    assert passed is True
    assert partner.actions() == []


def test_table_reads_well(partner):
    lines, _ = printed()

    assert lines == [
        f"Партнёр, {partner.url}/operators/tmf640, смарт-карта …0015",
        "  ✓ Вход с ключами договора: да (Оператор отвечает, ключ принят.)",
        "  ✓ Смарт-карта находится, состояние понятно: да (active)",
        "  ✓ Незнакомая смарт-карта: понятный отказ: да (noService: оператор не знает эту смарт-карту)",
        "  ✓ Неверный ключ: отказ во входе: да (401: The token is unknown or has expired)",
        "  – Переключение: пропущено (не разрешено (--allow-switch))",
        "  – Немедленный повтор: пропущено (не разрешено (--allow-switch))",
        "  – Возврат в прежнее состояние: пропущено (не разрешено (--allow-switch))",
        "  – Поздний повтор с тем же ключом: пропущено (не разрешено (--allow-switch))",
        "  – Retry-After: пауза помогает: пропущено (оператор ни разу не просил подождать)",
        "  – Уведомление пришло: пропущено (не ждали (--callback-wait))",
        "Итог: да — 4, нет — 0, пропущено — 6.",
    ]


@pytest.mark.parametrize("delay", [None, 0.3], ids=["at-once", "slowly"])
def test_good_stand_passes_with_switches_and_is_left_as_found(partner, delay):
    partner.limits(delay_seconds=delay)

    verdicts, passed = checked(allow_switch=True)

    assert verdicts == GOOD
    assert passed is True
    assert partner.actions() == ["deactivate", "activate"]
    assert partner.state()["state"] == "active"


def test_card_that_is_off_is_switched_on_and_off_again(partner):
    partner.put(state="inactive")

    verdicts, passed = checked(allow_switch=True)

    expected = {ON if title == OFF else title: verdict for title, verdict in GOOD.items()}
    assert verdicts == expected
    assert passed is True
    assert partner.actions() == ["activate", "deactivate"]
    assert partner.state()["state"] == "inactive"


def test_other_protocols_are_checked_through_the_same_port(tmp_path):
    with stand("mts", tmp_path, poll_plan=[0.2]) as bench:
        verdicts, passed = checked("mts", allow_switch=True, msisdn=SIM.msisdn, deadline=0.5)

        assert verdicts == GOOD | {LATE: "пропущено"}
        assert passed is True
        assert bench.actions() == ["deactivate", "activate"]
        assert bench.state()["state"] == "active"


def test_quota_of_the_contract_is_kept(tmp_path):
    with stand("tmf640", tmp_path, per_second=1) as bench:
        # One more than we may send: on a busy machine two calls may arrive closer than they left.
        bench.limits(per_second=2)

        verdicts, passed = checked()

        assert passed is True
        assert verdicts[PAUSE] == "пропущено"
        assert bench.call("GET", "/state/tmf640")["rejected_by_quota"] == 0


# --- a stand with troubles ----------------------------------------------------------------------


def faulty(call: str, kind: str, **facts: Any) -> Callable[[RunningOperator], None]:
    return lambda bench: bench.fault(call, kind, **facts)


@pytest.mark.parametrize(
    ("prepare", "failed"),
    [
        (faulty("read", "http_500"), [LOGIN]),
        (faulty("read", "garbage"), [LOGIN]),
        (faulty("read", "expired_token", times=2), [LOGIN, FIND]),
        (faulty("read", "wrong_id", times=2), [FIND]),
        (faulty("submit", "drop_after"), [OFF]),
        (faulty("submit", "error_in_2xx"), [OFF, LATE]),
        (faulty("submit", "accept_and_forget"), [OFF]),
        (faulty("submit", "http_500"), [OFF]),
    ],
    ids=[
        "broken",
        "garbage",
        "token",
        "other-card",
        "cut",
        "error-in-200",
        "forgotten",
        "crash",
    ],
)
def test_fault_fails_its_own_point(partner, prepare, failed):
    prepare(partner)

    verdicts, passed = checked(allow_switch=True, deadline=1)

    assert [title for title, verdict in verdicts.items() if verdict == "нет"] == failed
    assert passed is False
    assert partner.state()["state"] == "active"


def test_promise_of_a_monitor_that_is_lost_fails(partner):
    partner.limits(delay_seconds=0.2)
    partner.fault("submit", "accept_and_forget")

    verdicts, passed = checked(allow_switch=True, deadline=1)

    assert verdicts[OFF] == "нет"
    assert passed is False
    assert partner.state()["state"] == "active"


def test_switch_slower_than_the_deadline_fails(partner):
    partner.limits(delay_seconds=1.5)

    verdicts, passed = checked(allow_switch=True, deadline=0.5)

    assert verdicts[OFF] == "нет"
    assert passed is False


def test_check_that_was_to_switch_and_did_not_fails(partner):
    partner.put(state="held", reason="debt")

    verdicts, passed = checked(allow_switch=True)
    _, without_switching = checked()

    assert verdicts["Переключение"] == "пропущено"
    assert "нет" not in verdicts.values()
    assert passed is False
    assert without_switching is True
    assert partner.actions() == []


def test_unknown_card_fails(partner):
    lines, passed = printed(iccid="89701010000000000999")

    assert not passed
    assert f"  ✗ {FIND}: нет (not_found noService: оператор не знает эту смарт-карту)" in lines


def test_repeat_that_works_twice_fails_and_is_put_right(partner, monkeypatch):
    monkeypatch.setattr(tmf640, "_NOT_REPEATED", (*FaultKind, None))

    verdicts, passed = checked(allow_switch=True)

    assert verdicts[LATE] == "нет"
    assert passed is False
    assert partner.state()["state"] == "active"


# --- pauses -------------------------------------------------------------------------------------


def test_pause_that_helps_passes(partner):
    partner.fault("read", "http_429", retry_after=1)

    started = time.monotonic()
    verdicts, passed = checked()

    assert verdicts[LOGIN] == "да"
    assert verdicts[PAUSE] == "да"
    assert passed is True
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize(
    "facts", [{}, {"retry_after": 0, "times": 5}, {"retry_after": 3600}],
    ids=["unsaid", "of-no-use", "too-long"],
)  # fmt: skip
def test_pause_that_does_not_help_fails(partner, facts):
    partner.fault("read", "maintenance", **facts)

    verdicts, passed = checked()

    assert verdicts[LOGIN] == "нет"
    assert verdicts[PAUSE] == "нет"
    assert passed is False


# --- callbacks ----------------------------------------------------------------------------------


def send_event(**fields: Any) -> None:
    account = OperatorAccount.objects.get()
    values = {
        "account": account,
        "event_id": "evt-1",
        "event_type": "serviceStateChangeEvent",
        "occurred_at": now(),
        "received_at": now(),
        "iccid": SIM.iccid,
        "payload": {},
    }
    Callback.objects.create(**{**values, **fields})


def test_callback_is_awaited(partner, monkeypatch):
    # It comes while the check goes on: at its first real pause.
    partner.fault("read", "http_429", retry_after=0)
    real = time.sleep

    def sleep(seconds: float) -> None:
        # The sandbox sleeps too, in threads of its own.
        if threading.current_thread() is threading.main_thread() and not Callback.objects.exists():
            send_event()
        real(seconds)

    monkeypatch.setattr(time, "sleep", sleep)

    lines, passed = printed(callback_wait=5)

    assert passed
    assert "  ✓ Уведомление пришло: да (serviceStateChangeEvent)" in lines


def test_callback_about_another_card_or_of_before_does_not_count(partner):
    send_event(event_id="old")
    send_event(event_id="strange", iccid="89701010000000000999")

    lines, passed = printed(callback_wait=0.3)

    assert not passed
    assert "  ✗ Уведомление пришло: нет (за 0 с ни одного)" in lines


# --- wrong words --------------------------------------------------------------------------------


def test_unknown_contract_names_those_that_are_there(partner):
    with pytest.raises(CommandError, match=r"Договора «nobody» нет\. Есть: tmf640\."):
        call_command("check_operator", "nobody", iccid=SIM.iccid)


def test_protocol_that_is_not_enabled_is_named(partner):
    OperatorAccount.objects.update(adapter="gone")

    with pytest.raises(CommandError, match=r"Протокол «gone» не включён в настройках\."):
        call_command("check_operator", "tmf640", iccid=SIM.iccid)


def test_check_does_not_begin_without_the_counter_of_calls(partner, settings):
    OperatorAccount.objects.update(per_second=2)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    with pytest.raises(CommandError, match=r"^Счётчик вызовов \(Redis\) не отвечает"):
        call_command("check_operator", "tmf640", iccid=SIM.iccid)


def test_check_does_not_begin_within_a_long_pause(partner):
    quota.pause(OperatorAccount.objects.get(), 1800)

    with pytest.raises(CommandError, match=r"^Оператор попросил не звонить ему ещё 30 мин\.$"):
        call_command("check_operator", "tmf640", iccid=SIM.iccid)


@pytest.mark.django_db(transaction=True)
def test_check_takes_the_lock_between_two_runs_of_the_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "_LOCK_PATIENCE", 2.0)
    with stand("tmf640", tmp_path, concurrency=1) as bench:
        account = OperatorAccount.objects.get()
        began = time.monotonic()
        with held_elsewhere(account.pk, seconds=0.5):
            verdicts, passed = checked()
            took = time.monotonic() - began
        before = bench.call("GET", "/state/tmf640")
        with held_elsewhere(account.pk, seconds=30):
            lines, busy = printed()
        after = bench.call("GET", "/state/tmf640")

    assert verdicts[LOGIN] == "да"
    assert passed is True
    assert (took >= 0.5) is True
    note = "оператор принимает один вызов за раз, и ему всё время уходят команды"
    assert busy is False
    assert (f"  ✗ {LOGIN}: нет ({note})" in lines) is True
    assert (before == after) is True


def test_calls_of_a_check_are_noted_on_the_account(partner):
    OperatorAccount.objects.update(per_minute=600)

    checked()

    last_call_at = OperatorAccount.objects.get().last_call_at
    assert last_call_at is not None
    assert real_now() - last_call_at < timedelta(seconds=30)


def test_contract_itself_is_left_as_it_was(partner):
    before = json.dumps(list(OperatorAccount.objects.values("last_error", "last_answer_at")))

    checked(allow_switch=True)

    after = json.dumps(list(OperatorAccount.objects.values("last_error", "last_answer_at")))
    assert after == before


# --- a stand of another protocol, with troubles of its own --------------------------------------


NOVA: dict[str, Any] = {
    "title": "Нова",
    "fields": [{"name": "api_key", "label": "Ключ API"}],
    "login": {"kind": "keys", "keys": [{"field": "api_key", "in": "header", "name": "X-Key"}]},
    "calls": {
        name: {
            "method": "POST",
            "path": f"/sims/{{iccid}}/{word}",
            "headers": {"Idempotency-Key": "{key}"},
            "answer": {"iccid": "body.iccid", "state": "body.state", "request_id": "body.job"},
        }
        for name, word in (("activate", "on"), ("deactivate", "off"))
    }
    | {
        "read": {"path": "/sims/{iccid}", "answer": {"iccid": "body.iccid", "state": "body.state"}},
        "check": {"path": "/jobs/{request_id}", "answer": {"result": "body.state"}},
        "ping": {"path": "/ping"},
    },
    "states": {"words": {"on": "active", "off": "inactive"}},
    "results": {"words": {"ready": "done"}},
    "times": {"poll_plan": [1]},
}
CARD = f"/sims/{SIM.iccid}"


class Nova:
    """A small stand: one card, one key, and answers of a test's own before its usual ones."""

    def __init__(self, **answers: list[Handler]) -> None:
        self.state = "on"
        self._made: dict[str, Response] = {}
        self._answers = answers
        usual = {"ping": replies({}), "read": self._read, "off": self._switch, "on": self._switch}
        self._usual: dict[str, Handler] = usual | {"stranger": replies({}, 404)}

    def handlers(self) -> dict[str, Handler]:
        return {
            "GET /ping": self._locked("ping"),
            f"GET {CARD}": self._locked("read"),
            "GET /sims/89709900000000000001": self._locked("stranger"),
            f"POST {CARD}/off": self._locked("off"),
            f"POST {CARD}/on": self._locked("on"),
            "GET /jobs/j-2": replies({"state": "ready"}),
        }

    def _locked(self, name: str) -> Handler:
        def answer(request: Request) -> Response:
            waiting = self._answers.get(name)
            if waiting:
                return waiting.pop(0)(request)
            key = request.headers.get("x-key")
            return self._usual[name](request) if key == "nova-key" else json_response({}, 401)

        return answer

    def _read(self, _request: Request) -> Response:
        return json_response({"iccid": SIM.iccid, "state": self.state})

    def _switch(self, request: Request) -> Response:
        """Once for each key: a repeat gets the answer of the first, and changes nothing."""
        key = request.headers["idempotency-key"]
        if key not in self._made:
            self.state = request.path.rpartition("/")[2]
            self._made[key] = self._read(request)
        return self._made[key]


def failures(folder: Path, nova: Nova, **options: Any) -> dict[str, str]:
    """The lines that are «нет», by their titles, with their notes."""
    lines, _ = all_lines(folder, nova, **options)
    failed = [line[4:].partition(": нет") for line in lines if line.startswith("  ✗")]
    return {title: note.removeprefix(" (").removesuffix(")") for title, _, note in failed}


def all_lines(
    folder: Path,
    nova: Nova,
    *,
    profile: Any = None,
    per_second: int | None = None,
    deadline_seconds: int = 5,
    **options: Any,
) -> tuple[list[str], bool]:
    quota.client(settings.REDIS_URL).flushdb()
    with serving_handlers(folder, nova.handlers()) as (url, _):
        OperatorAccount.objects.create(
            code="nova",
            title="Нова",
            adapter="declared",
            base_url=url,
            credentials={"api_key": "nova-key"},
            profile=profile or NOVA,
            timeout_seconds=3,
            lease_seconds=10,
            poll_plan=[0.1],
            deadline_seconds=deadline_seconds,
            per_second=per_second,
        )
        return printed("nova", **{"deadline": 1, **options})


def test_described_stand_passes(tmp_path):
    assert failures(tmp_path, Nova(), allow_switch=True) == {}


GARBAGE = replies({"iccid": SIM.iccid, "state": "odd"})
LATER = replies({}, 429, Retry_After="0.1")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"read": [GARBAGE]}, {FIND: "состояние «odd» незнакомо"}),
        (
            {"stranger": [replies({"iccid": "89709900000000000001", "state": "on"})]},
            {STRANGER: "оператор знает смарт-карту, которой нет: «on»"},
        ),
        (
            {"stranger": [replies({}, 500)]},
            {STRANGER: "отказ другого рода: transient 500 (оператор ответил 500)"},
        ),
        ({"ping": [replies({}), replies({})]}, {WRONG: "оператор пускает с любым ключом"}),
        (
            {"off": [replies({}, 400), replies({}, 400)]},
            {OFF: "отказ 400: оператор ответил 400"},
        ),
        (
            {"off": [replies({"iccid": SIM.iccid, "state": "on"}, 200)], "read": []},
            {OFF: "за 1 с запрос не закончен"},
        ),
        ({"off": [LATER]}, {}),
    ],
    ids=["odd-state", "knows-all", "stranger-500", "any-key", "refused", "not-done", "later"],
)
def test_fault_of_a_described_stand_fails_its_own_point(tmp_path, answers, expected):
    assert failures(tmp_path, Nova(**answers), allow_switch=True) == expected


def first_well_then(nova: Nova, *others: Handler) -> None:
    """The first switch is made as usual, what comes after is answered so."""
    nova._answers["off"] = [nova._switch, *others]


@pytest.mark.parametrize(
    ("again", "note"),
    [
        (replies({"error": "busy"}, 409), "ответ на повтор: 409 оператор ответил 409"),
        (replies({}, 500), "ответ на повтор: 500 оператор ответил 500"),
        (replies({"job": "j-2"}, 202), "повтор выполнен как второй запрос"),
    ],
)
def test_repeat_that_is_refused_or_made_anew_fails(tmp_path, again, note):
    nova = Nova()
    first_well_then(nova, again)

    assert failures(tmp_path, nova, allow_switch=True) == {REPEAT: note}


def test_card_that_does_not_come_back_is_not_switched_again(tmp_path):
    nova = Nova(on=[replies({}, 409)])

    assert failures(tmp_path, nova, allow_switch=True) == {BACK: "отказ 409: оператор ответил 409"}


def test_refused_switch_is_repeated_by_nobody(tmp_path):
    lines = failures(tmp_path, Nova(off=[replies({}, 422)]), allow_switch=True)

    assert lines == {OFF: "отказ 422: оператор ответил 422"}


def test_counter_of_calls_that_is_away_fails_the_login(partner, settings):
    OperatorAccount.objects.update(per_second=2)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    plan = checks.Plan(Sim(SIM.iccid), allow_switch=False, deadline=1)

    login = next(checks.run_checks(OperatorAccount.objects.get(), plan))

    assert login == PointReport(LOGIN, PointOutcome.FAILED, "счётчик вызовов (Redis) не отвечает")


# --- what is kept and what is not believed --------------------------------------------------------


def test_exchanges_of_a_check_are_logged_and_masked(tmp_path):
    assert failures(tmp_path, Nova(), allow_switch=True) == {}

    rows = list(Exchange.objects.order_by("pk"))
    assert {row.iccid for row in rows} == {SIM.iccid}
    assert [(row.kind, row.method, row.status) for row in rows[:5]] == [
        ("read", "GET", 200),
        ("read", "GET", 200),
        ("read", "GET", 404),
        ("read", "GET", 401),
        ("submit", "POST", 200),
    ]
    assert "nova-key" not in "".join(row.request + row.reply for row in rows)
    assert json.loads(rows[1].reply.partition("\n\n")[2])["state"] == "on"


def test_exchanges_of_a_point_are_kept_before_it_is_printed(partner):
    plan = checks.Plan(SIM, allow_switch=False, deadline=1)

    next(checks.run_checks(OperatorAccount.objects.get(), plan))

    assert Exchange.objects.count() == 1


def test_calls_wait_for_their_turn_of_the_quota(tmp_path):
    assert failures(tmp_path, Nova(), allow_switch=True, per_second=5) == {}

    left = list(Exchange.objects.order_by("pk").values_list("at", flat=True))
    pairs = zip(left, left[5:], strict=False)
    # Without the quota gate the whole check takes a fraction of this, with it six calls take a second.
    assert len(left) > 10
    assert min((later - first).total_seconds() for first, later in pairs) > 0.5


class Late(Nova):
    """A stand that carries a switch out some reads after it took it, and says «already» by what shows."""

    def __init__(self, reads: int) -> None:
        super().__init__()
        self._left, self._coming = reads, ""

    def handlers(self) -> dict[str, Handler]:
        return super().handlers() | {"GET /jobs/j-2": self._job}

    def _job(self, _request: Request) -> Response:
        self._left -= 1
        if self._left <= 0 and self._coming:
            self.state, self._coming = self._coming, ""
        return json_response({"state": "busy" if self._coming else "ready"})

    def _switch(self, request: Request) -> Response:
        wanted = request.path.rpartition("/")[2]
        if self.state == wanted:
            return json_response({"error": "already"}, 409)
        self._coming = wanted
        return json_response({"job": "j-2"}, 202)


LATE_NOVA = NOVA | {
    "results": {"words": {"ready": "done", "busy": "pending"}},
    "errors": {"code": "body.error", "codes": {"already": "already"}},
}


def test_switch_back_waits_for_the_switch_away_that_was_slow(tmp_path):
    slow = Late(reads=12)

    lines = failures(tmp_path, slow, profile=LATE_NOVA, allow_switch=True, deadline=0.3)

    assert (BACK in lines) is False
    assert (OFF in lines) is True
    assert slow.state == "on"


def test_already_is_not_accepted_while_the_first_switch_runs(tmp_path):
    endless = Late(reads=10**6)

    lines = failures(
        tmp_path, endless, profile=LATE_NOVA, allow_switch=True, deadline=0.3, deadline_seconds=1
    )

    assert lines[BACK] == "встречный запрос у оператора ещё идёт и может переключить смарт-карту"


def test_idempotency_key_of_an_unsent_switch_is_not_missing(tmp_path):
    lines, _ = all_lines(tmp_path, Nova(off=[replies({}, 422)]), allow_switch=True)

    assert f"  – {LATE}: пропущено (первый запрос не принят)" in lines
