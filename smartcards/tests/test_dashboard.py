"""The dashboard of operators: which of them is in trouble, in numbers and in a sentence; and what may be promised."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.test import Client

from cabinet import clock
from cabinet.formatting.ru_format import by_then
from cabinet.messaging import alerts
from cabinet.models import Alert, AuditEvent, Merchant
from cabinet.tests.people import make_staff
from operators import account_snapshot as accounts
from operators.account_snapshot import AccountNow, QuotaUse
from operators.limits import quota
from operators.limits.maintenance import MOSCOW, Maintenance
from operators.models import OperatorAccount
from operators.ports import CallKind, Sim
from smartcards import commands, queries
from smartcards.admin import dashboard as page
from smartcards.dispatch import worker
from smartcards.models import Command, SmartCard
from smartcards.monitoring import dashboard
from smartcards.monitoring.operator_health import (
    DayFigures,
    Latency,
    OperatorStatus,
    Outbox,
    QueuedCommands,
    Severity,
    TimeBucket,
    assess,
)
from smartcards.monitoring.switch_eta import SwitchEta, switch_eta
from smartcards.presentation.display_format import eta_of, eta_text
from smartcards.reconciliation import reconcile
from smartcards.states import AlertKind, CommandKind, CommandState, Origin
from smartcards.tests.cards import (
    NOW,
    clock_at,
    make_account,
    make_card,
    make_command,
    make_merchant,
)
from smartcards.tests.dispatch_setup import standing as standing_at
from smartcards.tests.test_admin import of_group, text

pytestmark = pytest.mark.django_db

REJECTED = "старое время — 20, тот же номер с другим содержанием — 1"
DASHBOARD = "/admin/smartcards/board/"
NOBODY_THERE = "redis://127.0.0.1:1/0"
_numbers = count(1)


@pytest.fixture(autouse=True)
def _clean(settings, tmp_path):
    clock_at(settings, tmp_path)
    cache.clear()
    quota.client(django_settings.REDIS_URL).flushdb()


@pytest.fixture
def mts() -> OperatorAccount:
    return make_account("mts")


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


def command(account: OperatorAccount, state: CommandState = CommandState.DONE, **fields) -> Command:
    """A command of a card of its own; `took` seconds from the click to the end."""
    took = timedelta(seconds=fields.pop("took", 60))
    at = fields.pop("at", ago(hours=1))
    over = state in {CommandState.DONE, CommandState.FAILED, CommandState.CANCELLED}
    card = make_card(make_merchant(), account=account)
    ends = {"finished_at": at + took} if over else {}
    return make_command(card, state=state, at=at, **ends, **fields)


def status(account: OperatorAccount, at: datetime = NOW) -> OperatorStatus:
    return next(row for row in dashboard.operator_statuses(at) if row.account.pk == account.pk)


def filled(day: DayFigures) -> dict[str, tuple[int, int, int]]:
    return {
        f"{bucket.starts_at:%d %H:%M}": (bucket.done, bucket.failed, bucket.unknown)
        for bucket in day.buckets
        if bucket.total
    }


def now(**fields) -> AccountNow:
    """A contract about which all is well."""
    given = {
        "pk": 1,
        "title": "МТС",
        "enabled": True,
        "broken_since": None,
        "probe_at": None,
        "maintenance": None,
        "quota": (),
        "last_answer_at": None,
        "last_error": "",
        "last_error_at": None,
        **fields,
    }
    return AccountNow(**given)


def queue(number: int, oldest: datetime, origin: Origin = Origin.MASS) -> Outbox:
    return Outbox((QueuedCommands(CommandKind.ACTIVATE, origin, number, oldest),))


def day(done: int = 0, failed: int = 0) -> DayFigures:
    return DayFigures((TimeBucket(NOW, done=done, failed=failed),))


# --- the outbox now ------------------------------------------------------------------------------


def test_open_commands_are_counted_by_kind_and_origin(mts):
    command(mts, CommandState.QUEUED, at=ago(minutes=3))
    command(mts, CommandState.QUEUED, at=ago(minutes=7))
    command(
        mts,
        CommandState.QUEUED,
        at=ago(minutes=9),
        origin=Origin.RECONCILE,
        kind=CommandKind.DEACTIVATE,
    )
    for state in (
        CommandState.SENDING,
        CommandState.ACCEPTED,
        CommandState.CHECKING,
        CommandState.NEEDS_STAFF,
    ):
        command(mts, state)
    command(make_account("other", title="Другой"), CommandState.QUEUED)
    command(mts, CommandState.CANCELLED)

    outbox = status(mts).outbox

    assert outbox == Outbox(
        waiting=(
            QueuedCommands(CommandKind.ACTIVATE, Origin.PERSON, 2, ago(minutes=7)),
            QueuedCommands(CommandKind.DEACTIVATE, Origin.RECONCILE, 1, ago(minutes=9)),
        ),
        in_flight=2,
        checking=1,
        for_staff=1,
    )
    assert outbox.queued == 3
    assert outbox.oldest == ago(minutes=9)
    assert outbox.oldest_click == ago(minutes=7)


# --- the day -------------------------------------------------------------------------------------


def test_day_has_a_bucket_for_each_quarter_of_an_hour(mts):
    command(mts, at=ago(minutes=20), took=60)  # 11:41 in Moscow
    command(mts, at=ago(minutes=20), took=360)  # 11:46
    command(mts, CommandState.FAILED, at=ago(minutes=20), took=120)
    command(mts, CommandState.CHECKING, at=ago(hours=3))
    command(mts, CommandState.NEEDS_STAFF, at=ago(hours=3))
    command(mts, at=ago(hours=25), took=60)
    command(mts, CommandState.CHECKING, at=ago(hours=25))
    command(make_account("other", title="Другой"), at=ago(minutes=1), took=30)

    shown = status(mts).day

    assert filled(shown) == {"22 06:00": (0, 0, 2), "22 08:30": (1, 1, 0), "22 08:45": (1, 0, 0)}
    assert shown.done == 2
    assert shown.failed == 1
    assert shown.unknown == 2
    assert shown.success_percent == 66
    assert len(shown.buckets) == 96
    assert shown.buckets[-1].starts_at == NOW
    assert shown.buckets[0].starts_at == datetime(2026, 11, 21, 9, 15, tzinfo=UTC)


def test_outcomes_that_had_to_be_asked_for_are_counted_once(mts):
    command(mts, outcome_unknown_at=NOW)
    command(mts)
    command(mts)
    command(mts, CommandState.CHECKING)

    shown = status(mts).day

    assert shown.outcome_unknown == 2
    assert shown.outcome_unknown_percent == 50


def test_already_so_is_an_answer_and_no_unknown_outcome(tmp_path):
    with standing_at("tmf640", tmp_path) as stand:
        for _ in range(4):
            card = stand.card()
            stand.bench.put(Sim(card.iccid, card.msisdn), state="active")
            stand.activate(card)
        lost = stand.card()
        stand.bench.fault("submit", "drop_after")
        stand.activate(lost)
        stand.work()
        stand.run(seconds=1)

        shown = status(stand.account, stand.clock()).day

    assert shown.done == 4
    assert shown.unknown == 1
    assert shown.outcome_unknown == 1
    assert shown.outcome_unknown_percent == 20


def test_times_are_of_people_s_clicks_that_were_done(mts):
    for took in range(10, 111, 10):
        command(mts, took=took)
    command(mts, took=9000, origin=Origin.MASS)
    command(mts, CommandState.FAILED, took=9000)

    times = status(mts).day.latency

    assert times == Latency(timedelta(seconds=60), timedelta(seconds=105), 11)


def test_quiet_operator_has_an_empty_day(mts):
    shown = status(mts)

    assert shown.outbox == Outbox()
    assert shown.day.total == 0
    assert shown.day.latency is None
    assert shown.day.success_percent is None
    assert shown.day.outcome_unknown_percent is None
    assert shown.severity == Severity.FINE
    assert shown.sentence == "МТС: тихо."


def test_number_of_queries_does_not_grow(mts, django_assert_num_queries):
    for code in ("a", "b", "c"):
        account = make_account(code, title=code)
        for state in CommandState:
            command(account, state)

    with django_assert_num_queries(6):
        dashboard.operator_statuses(NOW)


# --- who is to blame -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "outbox", "done", "severity", "sentence"),
    [
        (now(), Outbox(), day(21), Severity.FINE, "МТС: работает, за сутки выполнена 21 команда."),
        (
            now(broken_since=datetime(2026, 11, 22, 7, 42, tzinfo=UTC)),
            queue(120, ago(minutes=12)),
            day(),
            Severity.DOWN,
            "МТС: сбой с 10:42, в очереди 120 команд, самая старая ждёт 12 минут.",
        ),
        (
            now(broken_since=datetime(2026, 11, 21, 7, 42, tzinfo=UTC)),
            Outbox(),
            day(),
            Severity.DOWN,
            "МТС: сбой с 21 ноября, 10:42.",
        ),
        (
            now(paused_until=NOW + timedelta(minutes=40)),
            Outbox(),
            day(),
            Severity.ATTENTION,
            "МТС: пауза до 12:40 по просьбе оператора.",
        ),
        (
            now(paused_until=NOW + timedelta(seconds=59)),
            Outbox(),
            day(),
            Severity.FINE,
            "МТС: тихо.",
        ),
        (
            now(rejected_events={"age": 20, "conflict": 1}),
            Outbox(),
            day(),
            Severity.ATTENTION,
            f"МТС: 21 уведомление отвергнуто за сутки: {REJECTED}.",
        ),
        (now(enabled=False), Outbox(), day(), Severity.OFF, "МТС: договор выключен."),
        (
            now(enabled=False),
            queue(1, ago(days=2)),
            day(),
            Severity.ATTENTION,
            "МТС: договор выключен, в очереди 1 команда, ждёт 2 дня.",
        ),
        (
            now(maintenance=Maintenance(None, NOW + timedelta(hours=1))),
            queue(2, ago(minutes=10), Origin.PERSON),
            day(),
            Severity.ATTENTION,
            "МТС: работы у оператора до 13:00, в очереди 2 команды, самая старая ждёт 10 минут.",
        ),
        (
            now(maintenance=Maintenance(None, NOW + timedelta(hours=1))),
            Outbox(),
            day(),
            Severity.FINE,
            "МТС: работы у оператора до 13:00.",
        ),
        (
            now(),
            queue(2, ago(seconds=121), Origin.PERSON),
            day(),
            Severity.PROBLEM,
            "МТС: команды людей уходят с задержкой, в очереди 2 команды, самая старая ждёт 2 минуты.",
        ),
        (
            now(),
            queue(1, ago(seconds=59), Origin.PERSON),
            day(1),
            Severity.FINE,
            "МТС: работает, за сутки выполнена 1 команда, в очереди 1 команда, ждёт меньше минуты.",
        ),
        (now(), Outbox(), day(4, 6), Severity.PROBLEM, "МТС: за сутки не выполнено 60 % команд."),
        (
            now(),
            Outbox(),
            day(79, 21),
            Severity.ATTENTION,
            "МТС: за сутки не выполнено 21 % команд.",
        ),
        (
            now(),
            Outbox(),
            day(80, 20),
            Severity.FINE,
            "МТС: работает, за сутки выполнено 80 команд.",
        ),
        (now(), Outbox(), day(0, 9), Severity.FINE, "МТС: тихо."),
        (
            now(),
            Outbox(for_staff=1),
            day(),
            Severity.ATTENTION,
            "МТС: 1 команда ждёт решения сотрудника.",
        ),
        (
            now(keys_refused_since=datetime(2026, 11, 22, 7, 42, tzinfo=UTC)),
            Outbox(),
            day(21),
            Severity.PROBLEM,
            "МТС: не принимает наши ключи с 10:42, проверьте их в договоре.",
        ),
        (
            now(),
            Outbox(keyless=2),
            day(),
            Severity.PROBLEM,
            "МТС: не принимает наши ключи, проверьте их в договоре.",
        ),
        (
            now(),
            queue(9, ago(hours=25, minutes=1)),
            day(),
            Severity.ATTENTION,
            "МТС: очередь движется медленно, в очереди 9 команд, самая старая ждёт 1 день 1 час.",
        ),
        (
            now(),
            Outbox(checking=10),
            day(),
            Severity.ATTENTION,
            "МТС: исход неизвестен: 10 команд, уточняем.",
        ),
    ],
)
def test_assessment_names_the_operator_and_the_problem(account, outbox, done, severity, sentence):
    found, shown = assess(account, outbox, done, NOW)

    assert found == severity
    assert shown.replace("\u00a0", " ") == sentence


def test_refused_keys_that_only_readings_have_met_are_named(tmp_path):
    with standing_at("tmf640", tmp_path) as stand:
        stand.card(state="active", desired_on=True)
        right = stand.account.credentials
        OperatorAccount.objects.filter(pk=stand.account.pk).update(credentials={"token": "another"})
        worker.drain_account(account_id=stand.account.pk, clock=stand.clock, reading=True, budget=5)

        refused = status(stand.account, stand.clock())
        OperatorAccount.objects.filter(pk=stand.account.pk).update(credentials=right)
        SmartCard.objects.update(read_due_at=None)
        worker.drain_account(account_id=stand.account.pk, clock=stand.clock, reading=True, budget=5)
        accepted = status(stand.account, stand.clock())

    assert refused.severity == Severity.PROBLEM
    assert refused.outbox == Outbox()
    assert ": не принимает наши ключи с " in refused.sentence
    assert accepted.severity == Severity.FINE
    assert accepted.account.keys_refused_since is None


def test_worst_operator_comes_first():
    fine, late = make_account("fine", title="А"), make_account("late", title="Б")
    later, down = make_account("later", title="В"), make_account("down", title="Г")
    command(fine)
    command(late, CommandState.QUEUED, at=ago(minutes=5))
    command(later, CommandState.QUEUED, at=ago(minutes=6))
    OperatorAccount.objects.filter(pk=down.pk).update(broken_since=NOW, probe_at=NOW)

    order = [row.account.title for row in dashboard.operator_statuses(NOW)]

    assert order == ["Г", "В", "Б", "А"]


def test_time_of_another_day_has_its_day():
    assert by_then(ago(days=1), MOSCOW, NOW).replace("\u00a0", " ") == "21 ноября, 12:00"


# --- quota and windows of works ----------------------------------------------------------------------


def test_use_of_the_quota_is_what_left_within_the_window():
    account = make_account("quick", title="Быстрый", per_second=5, per_minute=60)
    assert quota.seconds_to_wait(account) == 0
    gate = quota.QuotaGate(account)
    for _ in range(3):
        gate(CallKind.SUBMIT)

    used = status(account).account.quota

    assert used == (QuotaUse(3, 5, 1), QuotaUse(3, 60, 60))
    assert [use.percent for use in used] == [60, 5]


def test_unlimited_account_has_no_quota(mts):
    assert status(mts).account.quota == ()


def test_board_stands_while_redis_is_away(settings):
    account = make_account("quick", title="Быстрый", per_second=5)
    settings.REDIS_URL = NOBODY_THERE

    assert status(account).account.quota is None


WINDOWS = [
    {"days": [0, 6], "from": "23:00", "to": "04:30"},
    {"days": [2], "from": "02:00", "to": "03:00"},
]


@pytest.mark.parametrize(
    ("at", "found"),
    [
        # Sunday 22 November, noon in Moscow.
        (NOW, Maintenance(NOW + timedelta(hours=11), NOW + timedelta(hours=16, minutes=30))),
        (NOW + timedelta(hours=12), Maintenance(None, NOW + timedelta(hours=16, minutes=30))),
        (
            NOW + timedelta(days=2),
            Maintenance(NOW + timedelta(days=2, hours=14), NOW + timedelta(days=2, hours=15)),
        ),
        (
            NOW + timedelta(days=4),
            Maintenance(
                NOW + timedelta(days=7, hours=11), NOW + timedelta(days=7, hours=16, minutes=30)
            ),
        ),
    ],
)
def test_window_of_works_that_runs_or_comes_next(at, found):
    assert accounts.maintenance(WINDOWS, at) == found


@pytest.mark.parametrize("windows", [[], [{"from": "25:00", "to": "1"}], [{}], ["02:00"], [None]])
def test_no_window_or_a_wrong_one_is_none(windows):
    assert accounts.maintenance(windows, NOW) is None


# --- what may be promised --------------------------------------------------------------------------


def test_promise_is_measured_over_seven_days(mts):
    for number in range(20):
        command(mts, at=ago(days=6), took=number + 1.5)
    command(mts, at=ago(days=8), took=9000)
    command(mts, at=ago(days=1), took=9000, origin=Origin.MASS)
    command(make_account("other", title="Другой"), took=9000)

    assert switch_eta(mts, at=NOW) == SwitchEta(11, 20)


def test_promise_of_few_switches_is_that_of_the_contract():
    account = make_account("mts", usual_seconds=30, worst_seconds=600)
    for _ in range(19):
        command(account, took=5)

    first = switch_eta(account, at=NOW)
    account.usual_seconds = 40
    again = switch_eta(account, at=NOW)

    assert first == SwitchEta(30, 600)
    assert again == SwitchEta(40, 600)


def waiting(account: OperatorAccount, number: int, **fields) -> None:
    for _ in range(number):
        command(account, **{"state": CommandState.QUEUED, "at": ago(hours=7, minutes=20), **fields})


@pytest.mark.parametrize(
    ("late", "fields", "eta"),
    [
        (1, {}, SwitchEta(5, 5)),
        (2, {}, SwitchEta(5, 26400, waits=26400)),
        (2, {"origin": Origin.MASS}, SwitchEta(5, 5)),
        (2, {"state": CommandState.NEEDS_STAFF}, SwitchEta(5, 26400, waits=26400)),
        (2, {"state": CommandState.CANCELLED}, SwitchEta(5, 5)),
        # Younger than the minute that a promise names at least.
        (100, {"at": ago(seconds=59)}, SwitchEta(5, 5)),
        (24, {}, SwitchEta(5, 26400, waits=26400)),
        (25, {}, SwitchEta(26400, 26400, waits=26400, usual_is_met=False)),
        (100, {}, SwitchEta(26400, 26400, waits=26400, usual_is_met=False)),
    ],
)
def test_commands_that_still_wait_count_in_the_promise(mts, late, fields, eta):
    for _ in range(25):
        command(mts, at=ago(hours=8), took=5)
    waiting(mts, late, **fields)
    waiting(make_account("other", title="Другой"), 50)

    assert switch_eta(mts, at=NOW) == eta


def test_contract_promises_nothing_that_most_clicks_have_waited_beyond():
    account = make_account("mts", usual_seconds=120, worst_seconds=86400)
    command(account, took=5)

    waiting(account, 18)
    few = switch_eta(account, at=NOW)
    cache.clear()
    waiting(account, 1)
    many = switch_eta(account, at=NOW)

    assert few == SwitchEta(120, 86400)
    assert many == SwitchEta(26400, 86400, waits=26400, usual_is_met=False)


@pytest.mark.parametrize(
    ("eta", "sentence"),
    [
        (SwitchEta(5, 5), "Обычно до минуты"),
        (SwitchEta(90, 86400), "Обычно до 2 минут, в редких случаях до суток"),
        (
            SwitchEta(5, 26400, waits=26400),
            "Обычно до минуты, но сейчас некоторые запросы ждут уже 7 часов",
        ),
        (
            SwitchEta(26400, 86400, waits=26400, usual_is_met=False),
            "Сейчас дольше обычного: запросы ждут уже 7 часов",
        ),
    ],
)
def test_text_of_the_promise(mts, eta, sentence):
    cache.set(f"promise:{mts.pk}", eta)

    assert eta_text(eta_of(mts, NOW)).replace("\u00a0", " ") == sentence


def test_promise_is_remembered(mts, django_assert_num_queries):
    for _ in range(20):
        command(mts, took=5)
    first = switch_eta(mts, at=NOW)

    with django_assert_num_queries(0):
        again = switch_eta(mts, at=NOW)

    assert first == SwitchEta(5, 5)
    assert again == SwitchEta(5, 5)


def test_promise_is_measured_while_redis_is_away(mts, settings):
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": NOBODY_THERE,
        }
    }
    for _ in range(20):
        command(mts, took=5)

    assert switch_eta(mts, at=NOW) == SwitchEta(5, 5)


# --- the picture -----------------------------------------------------------------------------------


def test_bars_are_to_scale_and_stand_on_the_ground():
    buckets = [
        TimeBucket(NOW, done=50, failed=25, unknown=25),
        TimeBucket(NOW + timedelta(minutes=15)),
        TimeBucket(NOW + timedelta(minutes=30), failed=1),
    ]

    drawn = page.chart(buckets)

    assert drawn.top == 100
    assert drawn.labels == ("12:00",)
    assert [
        (bar.x, [(one.kind, one.y, one.height) for one in bar.blocks]) for bar in drawn.bars
    ] == [
        (0, [("done", 48, 48), ("failed", 24, 24), ("unknown", 0, 24)]),
        (20, [("failed", 95, 1)]),
    ]
    assert drawn.bars[0].text == "12:00–12:15: выполнено 50, не выполнено 25, исход неизвестен 25"


# --- the page ----------------------------------------------------------------------------------------


def test_dashboard_begins_with_the_failing_operator():
    down = make_account(
        "mts", broken_since=ago(hours=1, minutes=18), probe_at=NOW, last_error="HTTP 503"
    )
    command(down, CommandState.QUEUED, at=ago(minutes=12))
    command(make_account("tele", title="Теле"))

    shown = text(of_group("Поддержка").get(DASHBOARD))

    sentence = "МТС: сбой с 10:42, в очереди 1 команда, ждёт 12 минут."
    assert shown.index(sentence) < shown.index('id="operator-') < shown.index("Теле: работает")
    assert "сработала сегодня в 10:42" in shown
    assert "HTTP 503" in shown
    assert 'role="img"' in shown
    assert "Те же числа таблицей" in shown
    assert "style=" not in shown
    assert f"/admin/operators/exchange/?account__id__exact={down.pk}" in shown


def test_page_shows_that_all_operators_work(mts):
    command(mts)

    assert "Все операторы работают." in text(of_group("Поддержка").get(DASHBOARD))


def test_page_without_contracts_has_its_own_headline():
    assert "Договоров с операторами нет." in text(of_group("Поддержка").get(DASHBOARD))


def test_page_stands_while_redis_is_away(settings):
    make_account("quick", title="Быстрый", per_second=5)
    settings.REDIS_URL = NOBODY_THERE

    assert "неизвестно: Redis не отвечает" in text(of_group("Поддержка").get(DASHBOARD))


def test_dashboard_and_its_link_are_for_support_only():
    clients = {name: of_group(name) for name in ("Поддержка", "Склад", "Финансы")}

    seen = {name: client.get(DASHBOARD).status_code for name, client in clients.items()}
    linked = {
        name: f'href="{DASHBOARD}"' in text(client.get("/admin/"))
        for name, client in clients.items()
    }

    assert seen == {"Поддержка": 200, "Склад": 403, "Финансы": 403}
    assert linked == {"Поддержка": True, "Склад": False, "Финансы": False}
    assert Client().get(DASHBOARD).status_code == 302


def board(account: OperatorAccount, name: str) -> str:
    return f"{DASHBOARD}{account.pk}/{name}/"


def test_pause_of_an_operator_is_shown_and_lifted_with_reason(mts):
    quota.pause(mts, 3600)
    client, url = of_group("Поддержка"), board(mts, "lift-pause")

    shown = text(client.get(DASHBOARD))
    without_reason = client.post(url, {"reason": " "})
    paused = quota.pause_left(mts)
    lifted = client.post(url, {"reason": "Оператор подтвердил, что ошибся"})
    again = text(client.post(url, {"reason": "Ещё раз"}))

    assert "по просьбе оператора" in shown
    assert url in shown
    assert "Укажите причину" in text(without_reason)
    assert paused > 3500
    assert lifted.headers["Location"] == DASHBOARD
    assert quota.pause_left(mts) == 0
    assert "Паузы уже нет." in again
    entry = AuditEvent.objects.get(action="account.pause_lifted")
    assert entry.reason == "Оператор подтвердил, что ошибся"


def test_alerts_about_an_operator_are_paused_for_some_hours(mts):
    client, url = of_group("Поддержка"), board(mts, "silence")

    too_long = client.post(url, {"reason": "Работы", "hours": "48"}).status_code
    client.post(url, {"reason": "Работы", "hours": "2"})
    silent = OperatorAccount.objects.get(pk=mts.pk).silent_until
    shown = text(client.get(DASHBOARD))
    client.post(url, {"reason": "Закончили", "hours": "0"})
    again = text(client.post(url, {"reason": "Закончили", "hours": "0"}))

    assert too_long == 200
    assert "Паузы уже нет." in again
    assert silent is not None
    assert timedelta(hours=1.9) < silent - clock.now() <= timedelta(hours=2)
    assert "изменить паузу" in shown
    assert OperatorAccount.objects.get(pk=mts.pk).silent_until is None
    assert AuditEvent.objects.filter(action="account.alerts_silenced").count() == 2


def test_pause_form_sent_twice_is_carried_out_once(mts):
    client, url = of_group("Поддержка"), board(mts, "silence")
    form = {"form_key": client.get(url).context["form_key"], "reason": "Работы", "hours": "2"}

    answers = [client.post(url, form).headers["Location"] for _ in range(2)]

    assert answers == [DASHBOARD, DASHBOARD]
    assert AuditEvent.objects.filter(action="account.alerts_silenced").count() == 1


def test_pause_form_that_was_refused_may_be_sent_again(mts):
    client, url = of_group("Поддержка"), board(mts, "lift-pause")
    key = client.get(url).context["form_key"]
    form = {"form_key": key, "reason": "Оператор ошибся"}

    refused = client.post(url, form)
    quota.pause(mts, 3600)
    client.post(url, form)

    assert refused.context["form_key"] == key
    assert "Паузы уже нет." in text(refused)
    assert quota.pause_left(mts) == 0


def test_pauses_are_for_those_who_act_on_commands(mts):
    urls = [board(mts, name) for name in ("lift-pause", "silence")]
    clients = {name: of_group(name) for name in ("Поддержка", "Склад", "Финансы")}

    seen = {name: [client.get(url).status_code for url in urls] for name, client in clients.items()}

    assert seen == {"Поддержка": [200, 200], "Склад": [403, 403], "Финансы": [403, 403]}
    assert clients["Поддержка"].get(board(mts, "other")).status_code == 404
    assert Client().get(urls[0]).status_code == 302


def test_late_commands_of_a_silent_operator_alert_nobody(mts):
    late = command(mts, CommandState.QUEUED, at=ago(days=3))
    meanwhile = []
    for silent_until in (NOW + timedelta(hours=1), NOW - timedelta(hours=1)):
        OperatorAccount.objects.filter(pk=mts.pk).update(silent_until=silent_until)
        meanwhile.append([one.pk for one in queries.late_commands(NOW)])

    assert meanwhile == [[], [late.pk]]


def test_late_commands_during_planned_works_alert_nobody(mts):
    late = command(mts, CommandState.QUEUED, at=ago(days=3))
    # NOW is 12:00 in Moscow.
    OperatorAccount.objects.filter(pk=mts.pk).update(
        maintenance_windows=[{"from": "11:00", "to": "13:00"}]
    )

    moments = (NOW, NOW + timedelta(hours=1))
    found = [[one.pk for one in queries.late_commands(at)] for at in moments]

    assert found == [[], [late.pk]]


def test_late_commands_of_a_silent_merchant_wait_but_decisions_do_not(mts):
    late = command(mts, CommandState.QUEUED, at=ago(days=3))
    unclear = command(mts, CommandState.CHECKING, at=ago(minutes=1))
    until = NOW + timedelta(hours=1)
    Merchant.objects.update(silent_from=NOW, silent_until=until)

    reconcile.alert_overdue(at=NOW)
    commands.hand_to_staff(unclear, at=NOW, text="Не прочитать")

    raised = Alert.objects.order_by("pk").values_list("kind", "target_id")
    assert list(raised) == [
        (AlertKind.COMMAND_LATE, late.pk),
        (AlertKind.OUTCOME_UNKNOWN, unclear.pk),
    ]
    assert [one.target_id for one in Alert.objects.filter(alerts.put_off(NOW))] == [late.pk]
    assert Alert.objects.filter(alerts.put_off(until)).count() == 0


def test_page_only_reads(mts):
    assert of_group("Поддержка").post(DASHBOARD).status_code == 405


@pytest.mark.parametrize("group", ["Поддержка", "Склад"])
def test_exchanges_are_one_click_from_the_card_and_the_command(group, mts):
    card: SmartCard = make_card(make_merchant(), account=mts)
    sent = make_command(card)
    client = of_group(group)

    on_card = f"/admin/operators/exchange/?iccid={card.iccid}" in text(
        client.get(f"/admin/smartcards/smartcard/{card.pk}/change/")
    )
    boss = Client()
    boss.force_login(make_staff(f"boss{next(_numbers)}"))
    on_command = f"?iccid={card.iccid}&amp;command_id={sent.pk}" in text(
        boss.get(f"/admin/smartcards/command/{sent.pk}/change/")
    )

    assert on_card == (group == "Поддержка")
    assert on_command is True
