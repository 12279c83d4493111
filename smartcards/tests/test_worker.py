"""The worker of an account over real HTTP: who goes first, who waits, and what a broken part costs."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.db import connection, transaction

from cabinet import clock
from cabinet.models import Alert
from cabinet.tests.waiting import wait_until
from operators.adapters.tmf640 import Tmf640
from operators.client.exchange_log import MISSING
from operators.limits import breaker, quota
from operators.models import Exchange, OperatorAccount
from operators.ports import (
    Action,
    Reading,
    Sim,
    SubmitResult,
)
from operators.tests.sandbox_operator import own_clock
from smartcards import commands
from smartcards.dispatch import outbox, worker
from smartcards.models import Command, SmartCard
from smartcards.states import CommandKind, CommandState, Origin
from smartcards.tests import dispatch_setup as stands
from smartcards.tests.cards import OWNER, make_card
from smartcards.tests.dispatch_setup import Drained, Stand, standing, step_states
from smartcards.tests.locks import held_elsewhere, impatient

__all__ = ["own_clock"]
pytestmark = pytest.mark.django_db

CONTROL_CENTER = {"username": "demo-user", "api_key": "demo-api-key"}


class BreaksBefore(Tmf640):
    """Our own code fails before anything is sent, and when it reads."""

    def submit(self, *, action: Action, sim: Sim, key: str, at: datetime) -> SubmitResult:
        raise RuntimeError("submit")

    def read_state(self, *, sim: Sim) -> Reading:
        raise RuntimeError("read_state")


class BreaksAfter(Tmf640):
    """The switch is done, then our own code fails."""

    def submit(self, *, action: Action, sim: Sim, key: str, at: datetime) -> SubmitResult:
        super().submit(action=action, sim=sim, key=key, at=at)
        raise RuntimeError("submit")


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Stand]:
    with standing("tmf640", tmp_path) as stand:
        yield stand


@pytest.fixture
def _broken(settings):
    settings.OPERATORS = settings.OPERATORS | {
        "before": f"{__name__}.BreaksBefore",
        "after": f"{__name__}.BreaksAfter",
    }


def mass(stand: Stand, count: int) -> list[Command]:
    """Commands of mass work, waiting in the queue."""
    return [
        commands.create(
            card=stand.card(desired_on=True),
            kind=CommandKind.ACTIVATE,
            origin=Origin.MASS,
            by=OWNER,
            at=stand.clock(),
        )
        for _ in range(count)
    ]


def order_of(*named: Command) -> list[int]:
    """In which order they were done, by their places in the list."""
    done = Command.objects.filter(state=CommandState.DONE).order_by("finished_at", "pk")
    places = {command.pk: place for place, command in enumerate(named)}
    return [places[pk] for pk in done.values_list("pk", flat=True)]


def kinds(stand: Stand) -> list[str]:
    """What was asked of the operator so far, in order, without the logins."""
    rows = Exchange.objects.filter(account=stand.account).exclude(kind="auth")
    return list(rows.order_by("pk").values_list("kind", flat=True))


def use(stand: Stand, **fields: object) -> None:
    OperatorAccount.objects.filter(pk=stand.account.pk).update(**fields)
    stand.account.refresh_from_db()


class Aside(threading.Thread):
    """Work in a thread with a database connection of its own; `result` after `join`."""

    def __init__(self, job: Callable[[], object]) -> None:
        super().__init__()
        self._job = job
        self.result: object = None

    def run(self) -> None:
        try:
            self.result = self._job()
        except BaseException as error:
            self.result = error
            raise
        finally:
            connection.close()


def begin(job: Callable[[], object]) -> Aside:
    thread = Aside(job)
    thread.start()
    return thread


# --- who goes first ------------------------------------------------------------------------------


def test_click_leaves_before_mass_work_that_was_there_earlier(tmp_path):
    with standing("tmf640", tmp_path, per_second=10, concurrency=1) as stand:
        waiting = mass(stand, 3)
        click = stand.activate(stand.card())

        done = stand.work()

        assert done == Drained(sent=4, asked=0)
        assert order_of(click, *waiting) == [0, 1, 2, 3]


@pytest.mark.django_db(transaction=True)
def test_click_overtakes_a_waiting_mass(tmp_path):
    # Mass work may begin once in 1.15 s here, clicks may have the other places of the second.
    with standing("tmf640", tmp_path, per_second=10, reserve_percent=90, concurrency=2) as stand:
        waiting, clicked = mass(stand, 2), stand.card()
        working = begin(stand.work)
        wait_until(lambda: Command.objects.filter(state=CommandState.DONE).exists())

        click = stand.activate(clicked)
        working.join(10)

        assert working.result == Drained(sent=3, asked=0)
        assert order_of(click, *waiting) == [1, 0, 2]


@pytest.mark.django_db(transaction=True)
def test_click_overtakes_mass_work_in_one_thread(tmp_path):
    with standing("tmf640", tmp_path, concurrency=1) as stand:
        stand.bench.fault("submit", "slow", seconds=0.1, times=None)
        waiting, clicked = mass(stand, 8), stand.card()
        working = begin(stand.work)
        wait_until(lambda: Command.objects.filter(state=CommandState.DONE).count() == 3)

        click = stand.activate(clicked)
        working.join(10)

        order = order_of(click, *waiting)
        assert working.result == Drained(sent=9, asked=0)
        assert sorted(order) == list(range(9))
        # What was in the air, and what came back while the worker was writing, may be before it.
        assert order.index(0) <= 6


@pytest.mark.django_db(transaction=True)
def test_click_stays_where_the_operator_asked_for_a_pause(tmp_path):
    with standing("tmf640", tmp_path, concurrency=1) as stand:
        stand.bench.fault("submit", "slow", seconds=0.1, times=None)
        mass(stand, 4)
        clicked = stand.card()
        working = begin(stand.work)
        wait_until(lambda: Command.objects.filter(state=CommandState.DONE).exists())

        quota.pause(stand.account, 30)
        click = stand.activate(clicked)
        working.join(10)

        click.refresh_from_db()
        assert click.state == CommandState.QUEUED
        assert click.attempts == 0
        assert stand.calls(clicked)["submit"] == 0


@pytest.mark.django_db(transaction=True)
def test_click_stays_where_a_pause_cannot_be_known(tmp_path, settings):
    with standing("tmf640", tmp_path, concurrency=1) as stand:
        quota.pause(stand.account, 0.001)
        stand.bench.fault("submit", "slow", seconds=0.3, times=None)
        mass(stand, 2)
        clicked = stand.card()
        working = begin(stand.work)
        wait_until(lambda: Command.objects.filter(state=CommandState.SENDING).exists())

        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        click = stand.activate(clicked)
        working.join(10)

        click.refresh_from_db()
        assert click.state == CommandState.QUEUED
        assert stand.calls(clicked)["submit"] == 0


@pytest.mark.parametrize("fields", [{"per_second": 60, "reserve_percent": 0}, {}])
def test_questions_leave_half_of_the_turns_to_commands(tmp_path, fields):
    with standing("mts", tmp_path, concurrency=1, **fields) as stand:
        mass(stand, 6)
        stand.work()
        Exchange.objects.all().delete()
        stand.clock.pass_(seconds=6)
        mass(stand, 3)

        done = stand.work()

        asked = kinds(stand)
        assert done == Drained(sent=3, asked=6)
        assert [asked.count(kind) for kind in ("check", "submit")] == [6, 3]
        # Six questions were due before the first command, yet it leaves among the first.
        assert "submit" in asked[:3]
        assert asked[-1] == "check"


def test_outcome_of_a_click_precedes_mass_queries(tmp_path):
    with standing("mts", tmp_path, concurrency=1, per_second=60, reserve_percent=0) as stand:
        mass(stand, 6)
        stand.work()
        click = stand.activate(stand.card())
        stand.work()
        Exchange.objects.all().delete()
        stand.clock.pass_(seconds=6)

        done = stand.work()

        first = Exchange.objects.filter(account=stand.account).order_by("pk")[0]
        assert done == Drained(sent=0, asked=7)
        assert first.kind == "check"
        assert first.command_id == click.pk


@pytest.mark.django_db(transaction=True)
def test_cards_that_somebody_holds_do_not_hold_up_the_others(tmp_path):
    with standing("tmf640", tmp_path, per_second=20) as stand:
        held = mass(stand, 3)
        free = mass(stand, 1)
        holding, let_go = threading.Event(), threading.Event()

        def hold() -> None:
            with transaction.atomic():
                cards = SmartCard.objects.filter(commands__in=held).select_for_update(of=("self",))
                assert len(cards) == 3
                holding.set()
                assert let_go.wait(10)

        holder = begin(hold)
        assert holding.wait(10)

        done = stand.work()

        let_go.set()
        holder.join(10)
        assert done == Drained(sent=1, asked=0)
        assert order_of(*held, *free) == [3]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("limits", [{"per_second": 60, "reserve_percent": 0}, {}])
def test_click_takes_the_next_free_thread_before_waiting_mass_work(tmp_path, limits):
    with standing("tmf640", tmp_path, concurrency=4, **limits) as stand:
        stand.bench.fault("submit", "slow", seconds=0.2, times=None)
        mass(stand, 24)
        clicked = stand.card()
        working = begin(stand.work)
        wait_until(lambda: Command.objects.filter(state=CommandState.DONE).exists())

        click = stand.activate(clicked)
        wait_until(lambda: Command.objects.get(pk=click.pk).state == CommandState.DONE)

        still_waiting = Command.objects.filter(origin=Origin.MASS, state=CommandState.QUEUED)
        left = still_waiting.count()
        stand.bench.call("DELETE", "/faults")
        working.join(20)
        assert left >= 8
        assert working.result == Drained(sent=25, asked=0)


def test_call_that_nobody_has_recorded_stands_in_the_log(partner):
    command = partner.activate(partner.card())
    outbox.claim(account=partner.account, at=partner.clock())
    command.refresh_from_db()

    partner.clock.pass_(seconds=61)
    released = [outbox.release_stuck(at=partner.clock()) for _ in range(2)]

    rows = Exchange.objects.values_list("command_id", "kind", "at", "status", "seconds", "result")
    assert released == [1, 0]
    assert list(rows) == [(command.pk, "submit", command.sent_at, None, None, MISSING)]


# --- one worker at a time --------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_second_worker_of_the_account_does_nothing(partner):
    cards = [partner.card(), partner.card()]
    partner.bench.fault("submit", "slow", seconds=0.4)
    first_command = partner.activate(cards[0])
    working = begin(partner.work)
    wait_until(lambda: Command.objects.get(pk=first_command.pk).state == CommandState.SENDING)
    partner.activate(cards[1])

    second = partner.work()
    working.join(10)
    after_the_first = partner.work()

    assert second == Drained(sent=0, asked=0)
    assert working.result == Drained(sent=2, asked=0)
    assert after_the_first == Drained(sent=0, asked=0)
    assert [partner.effects(card) for card in cards] == [["activate"], ["activate"]]


@pytest.mark.django_db(transaction=True)
def test_worker_that_is_over_lets_the_next_one_work(partner):
    card = partner.card()
    begin(partner.work).join(10)
    partner.activate(card)

    done = begin(partner.work)
    done.join(10)

    assert done.result == Drained(sent=1, asked=0)
    assert partner.effects(card) == ["activate"]


def test_worker_without_time_sends_nothing(partner):
    command = partner.activate(partner.card())

    done = worker.drain_account(account_id=partner.account.pk, clock=partner.clock, budget=0)

    command.refresh_from_db()
    assert done == Drained(sent=0, asked=0)
    assert command.state == CommandState.QUEUED


# --- pauses that the operator asks for -----------------------------------------------------------


@pytest.mark.parametrize("code", ["tmf640", "control_center"])
@pytest.mark.parametrize("limits", [{"per_minute": 600}, {}])
def test_works_with_a_pause_hold_the_next_card_too(tmp_path, monkeypatch, code, limits):
    monkeypatch.setitem(stands.CREDENTIALS, "control_center", CONTROL_CENTER)
    with standing(code, tmp_path, concurrency=1, **limits) as stand:
        stand.bench.fault("submit", "maintenance", retry_after=60)
        first, second = stand.card(), stand.card()
        stand.activate(first)
        stand.work()
        stand.activate(second)

        stand.work()

        wait = quota.seconds_to_wait(stand.account)
        calls = stand.calls(second)["submit"]
    waiting = Command.objects.get(card=second)
    assert (50 < wait <= 60) is True
    assert calls == 0
    assert waiting.state == CommandState.QUEUED


# --- the breaker ---------------------------------------------------------------------------------


def broken_down(stand: Stand) -> list[SmartCard]:
    """Five cards whose switch the operator surely refused, one after another; the breaker is open."""
    cards = [stand.card() for _ in range(5)]
    stand.bench.fault("", "http_500", times=None)
    for card in cards:
        stand.activate(card)
    stand.work()
    stand.account.refresh_from_db()
    assert stand.account.broken_since is not None
    Exchange.objects.all().delete()
    return cards


def test_open_breaker_lets_nothing_out_before_the_probe(partner):
    broken_down(partner)
    partner.bench.call("DELETE", "/faults")
    card = partner.card()
    partner.activate(card)

    partner.clock.pass_(seconds=9)
    done = partner.work()

    assert done == Drained(sent=0, asked=0)
    assert kinds(partner) == []
    assert partner.effects(card) == []


def test_failed_probe_is_the_only_call_and_delays_next(partner):
    broken_down(partner)
    card = partner.card()
    partner.activate(card)
    partner.clock.pass_(seconds=11)

    done = [partner.work(), partner.work()]

    partner.account.refresh_from_db()
    ahead = (partner.account.probe_at - partner.clock()).total_seconds()
    assert done == [Drained(sent=0, asked=0)] * 2
    assert kinds(partner) == ["read"]
    assert partner.calls(card)["submit"] == 0
    assert 12 < ahead < 30


def test_good_probe_closes_the_breaker_and_the_queue_leaves(partner):
    broken_down(partner)
    partner.bench.call("DELETE", "/faults")
    card = partner.card()
    command = partner.activate(card)
    partner.clock.pass_(seconds=11)

    partner.work()

    command.refresh_from_db()
    partner.account.refresh_from_db()
    assert kinds(partner)[0] == "read"
    assert command.state == CommandState.DONE
    assert partner.account.broken_since is None
    assert partner.account.failures_in_a_row == 0
    assert partner.effects(card) == ["activate"]


def switches_broken_down(stand: Stand, count: int) -> list[Command]:
    """So many commands where each switch ends with 500 and everything else works; the first five are
    out."""
    stand.bench.fault("submit", "http_500", times=None)
    use(stand, concurrency=1, per_second=60, reserve_percent=0)
    waiting = [stand.activate(stand.card()) for _ in range(count)]
    stand.work()
    stand.account.refresh_from_db()
    return waiting


def attempts_of(waiting: list[Command]) -> list[int]:
    rows = Command.objects.filter(pk__in=[one.pk for one in waiting]).order_by("pk")
    return list(rows.values_list("attempts", flat=True))


def test_failing_switches_are_tried_one_at_a_time(partner):
    waiting = switches_broken_down(partner, 8)
    broken_since, before = partner.account.broken_since, attempts_of(waiting)

    partner.clock.pass_(seconds=11)
    partner.work()
    tried = attempts_of(waiting)
    partner.work()  # the next probe is not due yet
    again = attempts_of(waiting)

    partner.account.refresh_from_db()
    ahead = (partner.account.probe_at - partner.clock()).total_seconds()
    assert before == [1] * 5 + [0] * 3
    assert tried == [1] * 6 + [0] * 2
    assert again == [1] * 6 + [0] * 2
    assert partner.account.broken_since == broken_since
    assert (12 < ahead < 30) is True
    assert Alert.objects.filter(key__endswith=":broken").count() == 0


def test_good_switch_closes_the_breaker_and_the_others_follow(partner):
    waiting = switches_broken_down(partner, 8)
    partner.bench.call("DELETE", "/faults")

    partner.clock.pass_(seconds=11)
    partner.work()

    partner.account.refresh_from_db()
    done = Command.objects.filter(pk__in=[one.pk for one in waiting], state=CommandState.DONE)
    assert partner.account.broken_since is None
    assert done.count() == 3


def test_good_readings_do_not_hide_that_switches_fail(partner):
    use(partner, concurrency=1)
    partner.bench.fault("submit", "http_500", times=None)
    for _ in range(4):
        partner.activate(partner.card())
    make_card(partner.merchant, account=partner.account)

    partner.work(reading=True)
    partner.account.refresh_from_db()
    failures_after_four, last_kind = partner.account.failures_in_a_row, kinds(partner)[-1]
    partner.activate(partner.card())
    partner.work()

    partner.account.refresh_from_db()
    assert failures_after_four == 4
    assert last_kind == "read"
    assert partner.account.failures_in_a_row == 5
    assert partner.account.broken_since is not None


def test_good_readings_of_next_worker_do_not_hide_failures(partner):
    use(partner, concurrency=1)
    partner.bench.fault("submit", "http_500", times=None)
    for _ in range(4):
        partner.activate(partner.card())
    partner.work()
    make_card(partner.merchant, account=partner.account)

    partner.work(reading=True)
    partner.account.refresh_from_db()
    last_kind, failures_while_reading = kinds(partner)[-1], partner.account.failures_in_a_row
    partner.bench.call("DELETE", "/faults")
    partner.activate(partner.card())
    partner.work()

    partner.account.refresh_from_db()
    assert last_kind == "read"
    assert failures_while_reading == 4
    assert partner.account.failures_in_a_row == 0
    assert partner.account.failing_switches == 0


def test_open_breaker_lets_out_readings_that_settle_unknown_outcomes(partner):
    use(partner, concurrency=1)
    partner.bench.fault("submit", "drop_after", times=None)
    waiting = [partner.activate(partner.card()) for _ in range(6)]
    partner.work()
    partner.account.refresh_from_db()
    broken_since, probe_at = partner.account.broken_since, partner.clock() + timedelta(hours=1)
    use(partner, probe_at=probe_at)

    partner.clock.pass_(seconds=61)
    done = partner.work()

    states = Command.objects.filter(pk__in=[one.pk for one in waiting]).order_by("pk")
    partner.account.refresh_from_db()
    assert done == Drained(sent=0, asked=5)
    assert list(states.values_list("state", flat=True)) == ["done"] * 5 + ["queued"]
    assert partner.account.broken_since == broken_since is not None


def test_open_breaker_asks_no_more_after_two_failed_questions(partner):
    use(partner, concurrency=1)
    partner.bench.fault("submit", "drop_after", times=None)
    for _ in range(5):
        partner.activate(partner.card())
    partner.work()
    use(partner, probe_at=partner.clock() + timedelta(hours=1))
    partner.bench.fault("read", "http_500", times=None)

    partner.clock.pass_(seconds=61)
    done = [partner.work(), partner.work()]

    assert done == [Drained(sent=0, asked=2), Drained(sent=0, asked=0)]


def test_number_that_fails_for_ever_stops_nobody_else(tmp_path):
    with standing("mts", tmp_path) as stand:
        use(stand, concurrency=1)
        card = stand.card()
        stand.activate(card)
        stand.bench.fault("submit", "drop_after")
        stand.bench.fault("check", "http_500", times=None)
        for _ in range(2 * breaker.THRESHOLD):
            stand.run(seconds=301)

        stand.account.refresh_from_db()
        assert stand.calls(card)["check"] > breaker.THRESHOLD
        assert stand.account.broken_since is None


def test_refused_probe_proves_the_operator_alive(tmp_path, own_clock, monkeypatch):
    keys = {"username": "demo-user", "api_key": "demo-api-key"}
    monkeypatch.setitem(stands.CREDENTIALS, "control_center", keys)
    with standing("control_center", tmp_path, concurrency=1) as stand:
        use(stand, failures_in_a_row=5, broken_since=stand.clock(), probe_at=stand.clock())
        command = stand.activate(stand.card())
        clock.advance(400 * 86_400)  # the operator's calendar: our «last month» is over a year ago

        stand.work()

        command.refresh_from_db()
        stand.account.refresh_from_db()
        refused = Exchange.objects.get(url__contains="modifiedSince")
        assert refused.status == 400
        assert command.state == CommandState.DONE
        assert stand.account.broken_since is None


def test_probe_waits_for_the_quota(tmp_path):
    with standing("tmf640", tmp_path, per_second=10) as stand:
        broken_down(stand)
        stand.bench.call("DELETE", "/faults")
        stand.clock.pass_(seconds=11)
        quota.pause(stand.account, 30)

        done = stand.work()

        assert done == Drained(sent=0, asked=0)
        assert kinds(stand) == []


def test_only_the_probe_closes_breaker_during_maintenance(partner):
    broken_down(partner)
    partner.bench.call("DELETE", "/faults")
    partner.activate(partner.card())
    always = [{"from": "00:00", "to": "23:59"}, {"from": "23:00", "to": "01:00"}]
    use(partner, maintenance_windows=always)
    partner.clock.pass_(seconds=11)

    done = partner.work()

    partner.account.refresh_from_db()
    assert done == Drained(sent=0, asked=0)
    assert kinds(partner) == ["read"]
    assert partner.account.broken_since is None


# --- what is broken on our side ------------------------------------------------------------------


@pytest.mark.usefixtures("_broken")
def test_adapter_that_breaks_before_sending_loses_nothing(partner, caplog):
    card = partner.card()
    use(partner, adapter="before")
    command = partner.activate(card)

    done = partner.work()
    command.refresh_from_db()
    after_breaking = {"state": command.state, "attempts": command.attempts}
    use(partner, adapter="tmf640")
    partner.run(seconds=61)
    partner.run(seconds=600)

    command.refresh_from_db()
    assert done == Drained(sent=1, asked=0)
    assert after_breaking == {"state": CommandState.CHECKING, "attempts": 1}
    assert command.state == CommandState.FAILED
    assert command.code == "not_done"
    assert partner.effects(card) == []
    assert partner.calls(card)["submit"] == 0
    assert f"The adapter of {partner.account.code} broke" in caplog.messages


@pytest.mark.usefixtures("_broken")
def test_adapter_that_breaks_after_the_switch_repeats_nothing(partner):
    card = partner.card()
    use(partner, adapter="after")
    command = partner.activate(card)

    partner.work()
    partner.run(seconds=61)

    assert step_states(command) == ["queued", "sending", "checking", "done"]
    assert partner.effects(card) == ["activate"]
    assert partner.calls(card)["submit"] == 1


@pytest.mark.usefixtures("_broken")
def test_failing_reading_is_repeated_later(partner):
    use(partner, adapter="before")
    command = partner.activate(partner.card())
    partner.work()
    partner.clock.pass_(seconds=61)

    done = [partner.work(), partner.work()]

    command.refresh_from_db()
    assert done == [Drained(sent=0, asked=1), Drained(sent=0, asked=0)]
    assert command.state == CommandState.CHECKING
    assert command.questions == 1
    assert command.check_at > partner.clock()


@pytest.mark.usefixtures("_broken")
def test_unreadable_card_does_not_delay_others(partner):
    use(partner, adapter="before")
    cards = [make_card(partner.merchant, account=partner.account) for _ in range(2)]

    _, asked = partner.work(reading=True)

    rows = SmartCard.objects.filter(pk__in=[card.pk for card in cards])
    assert asked == 2
    assert [(row.read_at, row.read_due_at > partner.clock()) for row in rows] == [(None, True)] * 2


@pytest.mark.usefixtures("_broken")
def test_broken_adapter_of_one_command_does_not_hold_the_others(partner):
    many = [partner.activate(partner.card()) for _ in range(3)]
    use(partner, adapter="before")

    done = partner.work()

    states = Command.objects.filter(pk__in=[one.pk for one in many]).values_list("state", flat=True)
    assert done == Drained(sent=3, asked=0)
    assert set(states) == {CommandState.CHECKING}


def test_unusable_account_keeps_its_queue_and_alerts_staff(partner):
    command = partner.activate(partner.card())
    use(partner, adapter="telegraph")

    unusable = partner.work()
    command.refresh_from_db()
    while_unusable = {"state": command.state, "attempts": command.attempts}
    raised = list(Alert.objects.values_list("key", "closed_at"))
    use(partner, adapter="tmf640")
    done = partner.work()

    command.refresh_from_db()
    assert unusable == Drained(sent=0, asked=0)
    assert while_unusable == {"state": CommandState.QUEUED, "attempts": 0}
    assert raised == [(f"account_unusable:{partner.account.pk}", None)]
    assert done == Drained(sent=1, asked=0)
    assert command.state == CommandState.DONE
    assert not Alert.objects.filter(closed_at=None).exists()


def test_account_with_lost_keys_is_skipped_with_an_alert(partner, settings):
    known = settings.FIELD_KEYS
    card = partner.card()
    command = partner.activate(card)
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    skipped = partner.work()
    raised = list(Alert.objects.values_list("key", "closed_at"))
    settings.FIELD_KEYS = [*settings.FIELD_KEYS, *known]
    done = partner.work()

    command.refresh_from_db()
    assert skipped == Drained(sent=0, asked=0)
    assert done == Drained(sent=1, asked=0)
    assert raised == [(f"operator:account:{partner.account.pk}:keys", None)]
    assert command.state == CommandState.DONE
    assert command.attempts == 1
    assert partner.effects(card) == ["activate"]


# --- an answer that cannot be recorded -----------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_answer_of_a_locked_card_does_not_block_others(partner, caplog):
    held, *free = [partner.activate(partner.card()) for _ in range(3)]
    partner.bench.fault("submit", "slow", seconds=0.5, times=None)
    use(partner, concurrency=3)
    working = begin(impatiently(partner.work))
    wait_until(lambda: Command.objects.filter(state=CommandState.SENDING).count() == 3)

    with held_elsewhere(SmartCard.objects.filter(pk=held.card_id)):
        working.join(20)

    states = [Command.objects.get(pk=one.pk).state for one in (held, *free)]
    assert states == [CommandState.SENDING, CommandState.DONE, CommandState.DONE]
    assert f"Could not record an answer about card {held.card_id}" in caplog.messages
    partner.run(seconds=61)
    assert Command.objects.get(pk=held.pk).state == CommandState.CHECKING


def impatiently(job: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        with impatient():
            return job()

    return run
