"""The operators' board: who is to blame, in numbers and in a sentence; and what may be promised."""

from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.test import Client

from cabinet.tests.people import make_staff
from operators import board as accounts
from operators import quota
from operators.board import AccountNow, Maintenance, QuotaUse
from operators.models import OperatorAccount
from operators.ports import CallKind, Sim
from smartcards import board, line
from smartcards.admin import board as page
from smartcards.board import Outlook
from smartcards.models import Command, SmartCard
from smartcards.pages.words import promise_of
from smartcards.states import CommandKind, CommandState, Origin
from smartcards.tests.cards import (
    NOW,
    clock_at,
    make_account,
    make_card,
    make_command,
    make_merchant,
)
from smartcards.tests.stand import standing as standing_at
from smartcards.tests.test_admin import of_group, text
from smartcards.verdicts import Day, Level, Outbox, Slot, Standing, Times, Waiting, since, verdict

pytestmark = pytest.mark.django_db

BOARD = "/admin/smartcards/board/"
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


def standing(account: OperatorAccount, at: datetime = NOW) -> Standing:
    return next(row for row in board.standings(at) if row.account.pk == account.pk)


def filled(day: Day) -> dict[str, tuple[int, int, int]]:
    return {
        f"{slot.starts_at:%d %H:%M}": (slot.done, slot.failed, slot.unknown)
        for slot in day.slots
        if slot.total
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
    return Outbox((Waiting(CommandKind.ACTIVATE, origin, number, oldest),))


def day(done: int = 0, failed: int = 0) -> Day:
    return Day((Slot(NOW, done=done, failed=failed),))


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

    outbox = standing(mts).outbox

    assert outbox == Outbox(
        waiting=(
            Waiting(CommandKind.ACTIVATE, Origin.PERSON, 2, ago(minutes=7)),
            Waiting(CommandKind.DEACTIVATE, Origin.RECONCILE, 1, ago(minutes=9)),
        ),
        in_flight=2,
        checking=1,
        for_staff=1,
    )
    assert (outbox.queued, outbox.oldest, outbox.oldest_click) == (
        3,
        ago(minutes=9),
        ago(minutes=7),
    )


# --- the day -------------------------------------------------------------------------------------


def test_day_is_told_by_quarters_of_an_hour(mts):
    command(mts, at=ago(minutes=20), took=60)  # 11:41 in Moscow
    command(mts, at=ago(minutes=20), took=360)  # 11:46
    command(mts, CommandState.FAILED, at=ago(minutes=20), took=120)
    command(mts, CommandState.CHECKING, at=ago(hours=3))
    command(mts, CommandState.NEEDS_STAFF, at=ago(hours=3))
    command(mts, at=ago(hours=25), took=60)
    command(mts, CommandState.CHECKING, at=ago(hours=25))
    command(make_account("other", title="Другой"), at=ago(minutes=1), took=30)

    told = standing(mts).day

    assert filled(told) == {"22 06:00": (0, 0, 2), "22 08:30": (1, 1, 0), "22 08:45": (1, 0, 0)}
    assert (told.done, told.failed, told.unknown, told.success_percent) == (2, 1, 2, 66)
    assert len(told.slots) == 96
    assert told.slots[-1].starts_at == NOW
    assert told.slots[0].starts_at == datetime(2026, 11, 21, 9, 15, tzinfo=UTC)


def test_outcomes_that_had_to_be_asked_for_are_counted_once(mts):
    asked = command(mts)
    asked.steps.create(state=CommandState.CHECKING, at=NOW)
    asked.steps.create(state=CommandState.CHECKING, at=NOW)
    command(mts)
    command(mts)
    command(mts, CommandState.CHECKING)

    told = standing(mts).day

    assert (told.doubted, told.doubted_percent) == (2, 50)


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

        told = standing(stand.account, stand.clock()).day

    assert (told.done, told.unknown, told.doubted, told.doubted_percent) == (4, 1, 1, 20)


def test_times_are_of_people_s_clicks_that_were_done(mts):
    for took in range(10, 111, 10):
        command(mts, took=took)
    command(mts, took=9000, origin=Origin.MASS)
    command(mts, CommandState.FAILED, took=9000)

    times = standing(mts).day.times

    assert times == Times(timedelta(seconds=60), timedelta(seconds=105), 11)


def test_quiet_operator_has_an_empty_day(mts):
    told = standing(mts)

    assert (told.outbox, told.day.total, told.day.times) == (Outbox(), 0, None)
    assert (told.day.success_percent, told.day.doubted_percent) == (None, None)
    assert (told.level, told.sentence) == (Level.FINE, "МТС: тихо.")


def test_number_of_queries_does_not_grow(mts, django_assert_num_queries):
    for code in ("a", "b", "c"):
        account = make_account(code, title=code)
        for state in CommandState:
            command(account, state)

    with django_assert_num_queries(7):
        board.standings(NOW)


# --- who is to blame -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "outbox", "done", "level", "sentence"),
    [
        (now(), Outbox(), day(21), Level.FINE, "МТС: работает, за сутки выполнена 21 команда."),
        (
            now(broken_since=datetime(2026, 11, 22, 7, 42, tzinfo=UTC)),
            queue(120, ago(minutes=12)),
            day(),
            Level.DOWN,
            "МТС: сбой с 10:42, в очереди 120 команд, самая старая ждёт 12 минут.",
        ),
        (
            now(broken_since=datetime(2026, 11, 21, 7, 42, tzinfo=UTC)),
            Outbox(),
            day(),
            Level.DOWN,
            "МТС: сбой с 21 ноября, 10:42.",
        ),
        (now(enabled=False), Outbox(), day(), Level.OFF, "МТС: договор выключен."),
        (
            now(enabled=False),
            queue(1, ago(days=2)),
            day(),
            Level.ATTENTION,
            "МТС: договор выключен, в очереди 1 команда, ждёт 2 дня.",
        ),
        (
            now(maintenance=Maintenance(None, NOW + timedelta(hours=1))),
            queue(2, ago(minutes=10), Origin.PERSON),
            day(),
            Level.ATTENTION,
            "МТС: работы у оператора до 13:00, в очереди 2 команды, самая старая ждёт 10 минут.",
        ),
        (
            now(maintenance=Maintenance(None, NOW + timedelta(hours=1))),
            Outbox(),
            day(),
            Level.FINE,
            "МТС: работы у оператора до 13:00.",
        ),
        (
            now(),
            queue(2, ago(seconds=121), Origin.PERSON),
            day(),
            Level.PROBLEM,
            "МТС: команды людей уходят с задержкой, в очереди 2 команды, самая старая ждёт 2 минуты.",
        ),
        (
            now(),
            queue(1, ago(seconds=59), Origin.PERSON),
            day(1),
            Level.FINE,
            "МТС: работает, за сутки выполнена 1 команда, в очереди 1 команда, ждёт меньше минуты.",
        ),
        (now(), Outbox(), day(4, 6), Level.PROBLEM, "МТС: за сутки не выполнено 60 % команд."),
        (now(), Outbox(), day(79, 21), Level.ATTENTION, "МТС: за сутки не выполнено 21 % команд."),
        (now(), Outbox(), day(80, 20), Level.FINE, "МТС: работает, за сутки выполнено 80 команд."),
        (now(), Outbox(), day(0, 9), Level.FINE, "МТС: тихо."),
        (
            now(),
            Outbox(for_staff=1),
            day(),
            Level.ATTENTION,
            "МТС: 1 команда ждёт решения сотрудника.",
        ),
        (
            now(keys_refused_since=datetime(2026, 11, 22, 7, 42, tzinfo=UTC)),
            Outbox(),
            day(21),
            Level.PROBLEM,
            "МТС: не принимает наши ключи с 10:42, проверьте их в договоре.",
        ),
        (
            now(),
            Outbox(keyless=2),
            day(),
            Level.PROBLEM,
            "МТС: не принимает наши ключи, проверьте их в договоре.",
        ),
        (
            now(),
            queue(9, ago(hours=25, minutes=1)),
            day(),
            Level.ATTENTION,
            "МТС: очередь движется медленно, в очереди 9 команд, самая старая ждёт 1 день 1 час.",
        ),
        (
            now(),
            Outbox(checking=10),
            day(),
            Level.ATTENTION,
            "МТС: исход неизвестен: 10 команд, уточняем.",
        ),
    ],
)
def test_verdict_names_the_operator_and_the_trouble(account, outbox, done, level, sentence):
    found, said = verdict(account, outbox, done, NOW)

    assert (found, said.replace("\u00a0", " ")) == (level, sentence)


def test_refused_keys_that_only_readings_have_met_are_named(tmp_path):
    with standing_at("tmf640", tmp_path) as stand:
        stand.card(state="active", wished_on=True)
        right = stand.account.credentials
        OperatorAccount.objects.filter(pk=stand.account.pk).update(credentials={"token": "another"})
        line.work(account_id=stand.account.pk, clock=stand.clock, reading=True, budget=5)

        refused = standing(stand.account, stand.clock())
        OperatorAccount.objects.filter(pk=stand.account.pk).update(credentials=right)
        SmartCard.objects.update(read_at=None)
        line.work(account_id=stand.account.pk, clock=stand.clock, reading=True, budget=5)
        accepted = standing(stand.account, stand.clock())

    assert (refused.level, refused.outbox) == (Level.PROBLEM, Outbox())
    assert ": не принимает наши ключи с " in refused.sentence
    assert (accepted.level, accepted.account.keys_refused_since) == (Level.FINE, None)


def test_worst_operator_comes_first():
    fine, late = make_account("fine", title="А"), make_account("late", title="Б")
    later, down = make_account("later", title="В"), make_account("down", title="Г")
    command(fine)
    command(late, CommandState.QUEUED, at=ago(minutes=5))
    command(later, CommandState.QUEUED, at=ago(minutes=6))
    OperatorAccount.objects.filter(pk=down.pk).update(broken_since=NOW, probe_at=NOW)

    order = [row.account.title for row in board.standings(NOW)]

    assert order == ["Г", "В", "Б", "А"]


def test_time_of_another_day_has_its_day():
    assert since(ago(days=1), NOW).replace("\u00a0", " ") == "21 ноября, 12:00"


# --- quota and windows of works ----------------------------------------------------------------------


def test_use_of_the_quota_is_what_left_within_the_window():
    account = make_account("quick", title="Быстрый", per_second=5, per_minute=60)
    assert quota.seconds_to_wait(account) == 0
    turnstile = quota.Turnstile(account)
    for _ in range(3):
        turnstile(CallKind.SUBMIT)

    used = standing(account).account.quota

    assert used == (QuotaUse(3, 5, 1), QuotaUse(3, 60, 60))
    assert [use.percent for use in used] == [60, 5]


def test_unlimited_account_has_no_quota(mts):
    assert standing(mts).account.quota == ()


def test_board_stands_while_redis_is_away(settings):
    account = make_account("quick", title="Быстрый", per_second=5)
    settings.REDIS_URL = NOBODY_THERE

    assert standing(account).account.quota is None


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

    assert board.promise(mts, at=NOW) == (11, 20)


def test_promise_of_few_switches_is_that_of_the_contract():
    account = make_account("mts", usual_seconds=30, worst_seconds=600)
    for _ in range(19):
        command(account, took=5)

    first = board.promise(account, at=NOW)
    account.usual_seconds = 40
    again = board.promise(account, at=NOW)

    assert (first, again) == ((30, 600), (40, 600))


def waiting(account: OperatorAccount, number: int, **fields) -> None:
    for _ in range(number):
        command(account, **{"state": CommandState.QUEUED, "at": ago(hours=7, minutes=20), **fields})


@pytest.mark.parametrize(
    ("late", "fields", "outlook"),
    [
        (1, {}, Outlook(5, 5)),
        (2, {}, Outlook(5, 26400, waits=26400)),
        (2, {"origin": Origin.MASS}, Outlook(5, 5)),
        (2, {"state": CommandState.NEEDS_STAFF}, Outlook(5, 26400, waits=26400)),
        (2, {"state": CommandState.CANCELLED}, Outlook(5, 5)),
        # Younger than the minute that a promise names at least.
        (100, {"at": ago(seconds=59)}, Outlook(5, 5)),
        (24, {}, Outlook(5, 26400, waits=26400)),
        (25, {}, Outlook(26400, 26400, waits=26400, usual_holds=False)),
        (100, {}, Outlook(26400, 26400, waits=26400, usual_holds=False)),
    ],
)
def test_what_still_waits_weighs_in(mts, late, fields, outlook):
    for _ in range(25):
        command(mts, at=ago(hours=8), took=5)
    waiting(mts, late, **fields)
    waiting(make_account("other", title="Другой"), 50)

    assert board.outlook(mts, at=NOW) == outlook
    assert board.promise(mts, at=NOW) == (outlook.usual, outlook.worst)


def test_contract_promises_nothing_that_most_clicks_have_waited_beyond():
    account = make_account("mts", usual_seconds=120, worst_seconds=86400)
    command(account, took=5)

    waiting(account, 18)
    few = board.outlook(account, at=NOW)
    cache.clear()
    waiting(account, 1)
    many = board.outlook(account, at=NOW)

    assert few == Outlook(120, 86400)
    assert many == Outlook(26400, 86400, waits=26400, usual_holds=False)


@pytest.mark.parametrize(
    ("outlook", "sentence"),
    [
        (Outlook(5, 5), "Обычно до минуты"),
        (Outlook(90, 86400), "Обычно до 2 минут, в редких случаях до суток"),
        (
            Outlook(5, 26400, waits=26400),
            "Обычно до минуты, но сейчас некоторые запросы ждут уже 7 часов",
        ),
        (
            Outlook(26400, 86400, waits=26400, usual_holds=False),
            "Сейчас дольше обычного: запросы ждут уже 7 часов",
        ),
    ],
)
def test_promise_in_words(mts, outlook, sentence):
    cache.set(f"promise:{mts.pk}", astuple(outlook))

    assert str(promise_of(mts, NOW)).replace("\u00a0", " ") == sentence


def test_promise_is_remembered(mts, django_assert_num_queries):
    for _ in range(20):
        command(mts, took=5)
    first = board.promise(mts, at=NOW)

    with django_assert_num_queries(0):
        again = board.promise(mts, at=NOW)

    assert (first, again) == ((5, 5), (5, 5))


def test_promise_stands_while_redis_is_away(mts, settings):
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": NOBODY_THERE,
        }
    }
    for _ in range(20):
        command(mts, took=5)

    assert board.promise(mts, at=NOW) == (5, 5)


# --- the picture -----------------------------------------------------------------------------------


def test_bars_are_to_scale_and_stand_on_the_ground():
    slots = [
        Slot(NOW, done=50, failed=25, unknown=25),
        Slot(NOW + timedelta(minutes=15)),
        Slot(NOW + timedelta(minutes=30), failed=1),
    ]

    drawn = page.chart(slots)

    assert (drawn.top, drawn.labels) == (100, ("12:00",))
    assert [
        (bar.x, [(one.kind, one.y, one.height) for one in bar.blocks]) for bar in drawn.bars
    ] == [
        (0, [("done", 48, 48), ("failed", 24, 24), ("unknown", 0, 24)]),
        (20, [("failed", 95, 1)]),
    ]
    assert drawn.bars[0].text == "12:00–12:15: выполнено 50, не выполнено 25, исход неизвестен 25"


# --- the page ----------------------------------------------------------------------------------------


def test_page_begins_with_the_one_to_blame():
    down = make_account(
        "mts", broken_since=ago(hours=1, minutes=18), probe_at=NOW, last_error="HTTP 503"
    )
    command(down, CommandState.QUEUED, at=ago(minutes=12))
    command(make_account("tele", title="Теле"))

    shown = text(of_group("Поддержка").get(BOARD))

    sentence = "МТС: сбой с 10:42, в очереди 1 команда, ждёт 12 минут."
    assert shown.index(sentence) < shown.index('id="operator-') < shown.index("Теле: работает")
    assert "сработала сегодня в 10:42" in shown
    assert "HTTP 503" in shown
    assert 'role="img"' in shown
    assert "Те же числа таблицей" in shown
    assert "style=" not in shown
    assert f"/admin/operators/exchange/?account__id__exact={down.pk}" in shown


def test_page_says_so_when_all_is_well(mts):
    command(mts)

    assert "Все операторы работают." in text(of_group("Поддержка").get(BOARD))


def test_page_without_contracts_says_so():
    assert "Договоров с операторами нет." in text(of_group("Поддержка").get(BOARD))


def test_page_stands_while_redis_is_away(settings):
    make_account("quick", title="Быстрый", per_second=5)
    settings.REDIS_URL = NOBODY_THERE

    assert "неизвестно: Redis не отвечает" in text(of_group("Поддержка").get(BOARD))


def test_page_is_support_s_and_its_link_stands_on_the_first_page():
    clients = {name: of_group(name) for name in ("Поддержка", "Склад", "Финансы")}

    seen = {name: client.get(BOARD).status_code for name, client in clients.items()}
    linked = {
        name: f'href="{BOARD}"' in text(client.get("/admin/")) for name, client in clients.items()
    }

    assert seen == {"Поддержка": 200, "Склад": 403, "Финансы": 403}
    assert linked == {"Поддержка": True, "Склад": False, "Финансы": False}
    assert Client().get(BOARD).status_code == 302


def test_page_only_reads(mts):
    assert of_group("Поддержка").post(BOARD).status_code == 405


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

    assert (on_card, on_command) == (group == "Поддержка", True)
