"""The line to an operator over real HTTP: who goes first, who waits, and what a broken part costs."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.db import connection, transaction

from cabinet.models import Alert
from operators import quota
from operators.adapters.tmf640 import Tmf640
from operators.exchanges import UNHEARD
from operators.lanes import Lane
from operators.models import Exchange, OperatorAccount
from operators.ports import (
    OUR_QUOTA,
    Action,
    Applied,
    Check,
    CheckState,
    ErrorClass,
    Reading,
    Rejected,
    Sim,
    SimState,
    SubmitResult,
    Unavailable,
    Unknown,
)
from smartcards import commands, dispatch, lanes, line
from smartcards.landing import asked_pause, error_of
from smartcards.models import Command, SmartCard
from smartcards.questions import Answer
from smartcards.states import CommandKind, CommandState, Origin
from smartcards.tests.cards import OWNER, make_card
from smartcards.tests.stand import Stand, standing, told

pytestmark = pytest.mark.django_db


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
            card=stand.card(wished_on=True),
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


def wait_until(happened: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


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

        assert done == (4, 0)
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

        assert working.result == (3, 0)
        assert order_of(click, *waiting) == [1, 0, 2]


@pytest.mark.django_db(transaction=True)
def test_click_overtakes_letters_that_are_begun_already(tmp_path):
    with standing("tmf640", tmp_path, concurrency=1) as stand:
        stand.bench.fault("submit", "slow", seconds=0.1, times=None)
        waiting, clicked = mass(stand, 8), stand.card()
        working = begin(stand.work)
        wait_until(lambda: Command.objects.filter(state=CommandState.DONE).count() == 3)

        click = stand.activate(clicked)
        working.join(10)

        order = order_of(click, *waiting)
        assert (working.result, sorted(order)) == ((9, 0), list(range(9)))
        # What was in the air, and what came back while the line was writing, may be before it.
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
        assert (click.state, click.attempts, stand.calls(clicked)["submit"]) == (
            CommandState.QUEUED,
            0,
            0,
        )


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
        assert (click.state, stand.calls(clicked)["submit"]) == (CommandState.QUEUED, 0)


@pytest.mark.parametrize("fields", [{"per_second": 60, "reserve_percent": 0}, {}])
def test_questions_do_not_keep_letters_at_home(tmp_path, fields):
    with standing("mts", tmp_path, concurrency=1, **fields) as stand:
        mass(stand, 6)
        stand.work()
        Exchange.objects.all().delete()
        stand.clock.pass_(seconds=6)
        mass(stand, 3)

        done = stand.work()

        asked = kinds(stand)
        assert done == (3, 6)
        assert [asked.count(kind) for kind in ("check", "submit")] == [6, 3]
        # Six questions were due before the first letter, yet it leaves among the first.
        assert "submit" in asked[:3]
        assert asked[-1] == "check"


def test_person_hears_of_a_click_before_the_mass_is_asked_about(tmp_path):
    with standing("mts", tmp_path, concurrency=1, per_second=60, reserve_percent=0) as stand:
        mass(stand, 6)
        stand.work()
        click = stand.activate(stand.card())
        stand.work()
        Exchange.objects.all().delete()
        stand.clock.pass_(seconds=6)

        done = stand.work()

        first = Exchange.objects.filter(account=stand.account).order_by("pk")[0]
        assert (done, first.kind, first.command_id) == ((0, 7), "check", click.pk)


@pytest.mark.django_db(transaction=True)
def test_cards_that_somebody_holds_do_not_keep_the_others_at_home(tmp_path):
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
        assert done == (1, 0)
        assert order_of(*held, *free) == [3]


# --- the lane of clicks --------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_click_does_not_wait_for_a_line_that_is_busy_with_mass_work(partner):
    partner.bench.fault("submit", "slow", seconds=0.4)
    waiting, clicked = mass(partner, 1), partner.card()
    working = begin(partner.work)
    wait_until(lambda: Command.objects.filter(state=CommandState.SENDING).exists())

    click = partner.activate(clicked)
    in_its_lane = begin(partial(partner.work, lane=Lane.CLICKS))
    in_its_lane.join(10)
    working.join(10)

    assert (in_its_lane.result, working.result) == ((1, 0), (1, 0))
    assert order_of(click, *waiting) == [0, 1]


@pytest.mark.django_db(transaction=True)
def test_click_whose_lane_is_dead_goes_with_the_mass_after_a_second(partner):
    partner.bench.fault("submit", "slow", seconds=0.4, times=None)
    mass(partner, 40)
    clicked = partner.card()
    working = begin(partner.work)
    wait_until(lambda: Command.objects.filter(state=CommandState.SENDING).exists())

    click = partner.activate(clicked)
    wait_until(lambda: Command.objects.get(pk=click.pk).state == CommandState.DONE)

    click.refresh_from_db()
    still_waiting = Command.objects.filter(origin=Origin.MASS, state=CommandState.QUEUED).count()
    partner.bench.call("DELETE", "/faults")
    working.join(10)
    assert (click.sent_at - click.created_at).total_seconds() > 1
    assert (still_waiting > 0, working.result) == (True, (41, 0))


def test_idle_line_takes_the_click_itself(partner):
    click = partner.activate(partner.card())

    done = partner.work()

    click.refresh_from_db()
    assert (done, click.state) == ((1, 0), CommandState.DONE)


def test_lane_of_clicks_leaves_all_other_work(partner):
    waiting = mass(partner, 2)

    done = partner.work(lane=Lane.CLICKS)

    states = Command.objects.filter(pk__in=[one.pk for one in waiting]).values_list("state")
    assert (done, set(states)) == ((0, 0), {(CommandState.QUEUED,)})


@pytest.mark.parametrize("fields", [{"per_second": 10}, {"concurrency": 3}])
def test_account_with_a_quota_or_few_calls_at_once_has_one_lane(tmp_path, fields):
    with standing("tmf640", tmp_path, **fields) as stand:
        click = stand.activate(stand.card())

        done = stand.work(lane=Lane.CLICKS)

        click.refresh_from_db()
        threads = [lanes.calls_at_once(stand.account, lane) for lane in (Lane.MAIN, Lane.CLICKS)]
        assert (done, click.state) == ((0, 0), CommandState.QUEUED)
        assert threads == [stand.account.concurrency, 0]


def test_lanes_share_the_calls_of_their_account(partner):
    threads = [lanes.calls_at_once(partner.account, lane) for lane in (Lane.MAIN, Lane.CLICKS)]

    assert (threads, sum(threads)) == (
        [partner.account.concurrency - 1, 1],
        partner.account.concurrency,
    )


@pytest.mark.parametrize(
    ("fields", "origin", "rung"),
    [
        ({}, Origin.PERSON, "smartcards.clicks"),
        ({}, Origin.PAID, "smartcards.dispatch"),
        ({}, Origin.MASS, "smartcards.dispatch"),
        ({"per_minute": 60}, Origin.PERSON, "smartcards.dispatch"),
    ],
)
def test_new_command_rings_its_lane(
    partner, fields, origin, rung, django_capture_on_commit_callbacks
):
    use(partner, **fields)

    with django_capture_on_commit_callbacks() as deeds:
        lanes.wake_up(partner.account, origin)

    said = [(deed.args, deed.keywords) for deed in deeds]
    assert said == [((rung,), {"account_id": partner.account.pk})]


def test_call_that_nobody_has_recorded_stands_in_the_log(partner):
    command = partner.activate(partner.card())
    dispatch.claim(account=partner.account, at=partner.clock(), limit=1)
    command.refresh_from_db()

    partner.clock.pass_(seconds=61)
    released = [dispatch.release_stuck(at=partner.clock()) for _ in range(2)]

    rows = Exchange.objects.values_list("command_id", "kind", "at", "status", "seconds", "result")
    assert released == [1, 0]
    assert list(rows) == [(command.pk, "submit", command.sent_at, None, None, UNHEARD)]


# --- one line at a time --------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_second_line_of_the_account_does_nothing_while_the_first_works(partner):
    cards = [partner.card(), partner.card()]
    partner.bench.fault("submit", "slow", seconds=0.4)
    first_command = partner.activate(cards[0])
    working = begin(partner.work)
    wait_until(lambda: Command.objects.get(pk=first_command.pk).state == CommandState.SENDING)
    partner.activate(cards[1])

    second = partner.work()
    working.join(10)
    after_the_first = partner.work()

    assert (second, working.result, after_the_first) == ((0, 0), (2, 0), (0, 0))
    assert [partner.effects(card) for card in cards] == [["activate"], ["activate"]]


@pytest.mark.django_db(transaction=True)
def test_line_that_is_over_lets_the_next_one_work(partner):
    card = partner.card()
    begin(partner.work).join(10)
    partner.activate(card)

    done = begin(partner.work)
    done.join(10)

    assert (done.result, partner.effects(card)) == ((1, 0), ["activate"])


def test_line_without_time_sends_nothing(partner):
    command = partner.activate(partner.card())

    done = line.work(account_id=partner.account.pk, clock=partner.clock, budget=0)

    command.refresh_from_db()
    assert (done, command.state) == ((0, 0), CommandState.QUEUED)


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

    assert (done, kinds(partner), partner.effects(card)) == ((0, 0), [], [])


def test_failed_probe_is_the_only_call_and_puts_the_next_one_off(partner):
    broken_down(partner)
    card = partner.card()
    partner.activate(card)
    partner.clock.pass_(seconds=11)

    done = [partner.work(), partner.work()]

    partner.account.refresh_from_db()
    ahead = (partner.account.probe_at - partner.clock()).total_seconds()
    assert (done, kinds(partner), partner.calls(card)["submit"]) == ([(0, 0)] * 2, ["read"], 0)
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
    assert (kinds(partner)[0], command.state) == ("read", CommandState.DONE)
    assert (partner.account.broken_since, partner.account.failures_in_a_row) == (None, 0)
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


def test_operator_whose_switches_fail_is_tried_with_one_command_at_a_time(partner):
    waiting = switches_broken_down(partner, 8)
    broken_since, before = partner.account.broken_since, attempts_of(waiting)

    partner.clock.pass_(seconds=11)
    partner.work()
    tried = attempts_of(waiting)
    partner.work()  # the next probe is not due yet
    again = attempts_of(waiting)

    partner.account.refresh_from_db()
    ahead = (partner.account.probe_at - partner.clock()).total_seconds()
    assert (before, tried, again) == (
        [1] * 5 + [0] * 3,
        [1] * 6 + [0] * 2,
        [1] * 6 + [0] * 2,
    )
    assert (partner.account.broken_since, 12 < ahead < 30) == (broken_since, True)
    assert Alert.objects.filter(key__endswith=":broken").count() == 1


def test_good_switch_closes_the_breaker_and_the_others_follow(partner):
    waiting = switches_broken_down(partner, 8)
    partner.bench.call("DELETE", "/faults")

    partner.clock.pass_(seconds=11)
    partner.work()

    partner.account.refresh_from_db()
    done = Command.objects.filter(pk__in=[one.pk for one in waiting], state=CommandState.DONE)
    assert (partner.account.broken_since, done.count()) == (None, 3)


def test_good_readings_do_not_hide_that_switches_fail(partner):
    use(partner, concurrency=1)
    partner.bench.fault("submit", "http_500", times=None)
    for _ in range(4):
        partner.activate(partner.card())
    make_card(partner.merchant, account=partner.account)

    line.work(account_id=partner.account.pk, clock=partner.clock, reading=True)
    partner.account.refresh_from_db()
    after_four = (partner.account.failures_in_a_row, kinds(partner)[-1])
    partner.activate(partner.card())
    partner.work()

    partner.account.refresh_from_db()
    assert (after_four, partner.account.failures_in_a_row) == ((4, "read"), 5)
    assert partner.account.broken_since is not None


def test_good_readings_of_the_next_line_do_not_hide_it_either(partner):
    use(partner, concurrency=1)
    partner.bench.fault("submit", "http_500", times=None)
    for _ in range(4):
        partner.activate(partner.card())
    partner.work()
    make_card(partner.merchant, account=partner.account)

    line.work(account_id=partner.account.pk, clock=partner.clock, reading=True)
    partner.account.refresh_from_db()
    while_reading = (kinds(partner)[-1], partner.account.failures_in_a_row)
    partner.bench.call("DELETE", "/faults")
    partner.activate(partner.card())
    partner.work()

    partner.account.refresh_from_db()
    after = (partner.account.failures_in_a_row, partner.account.failing_switches)
    assert (while_reading, after) == (("read", 4), (0, 0))


def test_probe_waits_for_the_quota(tmp_path):
    with standing("tmf640", tmp_path, per_second=10) as stand:
        broken_down(stand)
        stand.bench.call("DELETE", "/faults")
        stand.clock.pass_(seconds=11)
        quota.pause(stand.account, 30)

        done = stand.work()

        assert (done, kinds(stand)) == ((0, 0), [])


def test_breaker_closes_by_the_probe_alone_where_the_operator_has_works(partner):
    broken_down(partner)
    partner.bench.call("DELETE", "/faults")
    partner.activate(partner.card())
    always = [{"from": "00:00", "to": "23:59"}, {"from": "23:00", "to": "01:00"}]
    use(partner, maintenance_windows=always)
    partner.clock.pass_(seconds=11)

    done = partner.work()

    partner.account.refresh_from_db()
    assert (done, kinds(partner), partner.account.broken_since) == ((0, 0), ["read"], None)


# --- what is broken on our side ------------------------------------------------------------------


@pytest.mark.usefixtures("_broken")
def test_adapter_that_breaks_before_sending_loses_nothing(partner, caplog):
    card = partner.card()
    use(partner, adapter="before")
    command = partner.activate(card)

    done = partner.work()
    command.refresh_from_db()
    after_breaking = (command.state, command.attempts)
    use(partner, adapter="tmf640")
    partner.run(seconds=61)
    partner.run(seconds=600)

    command.refresh_from_db()
    assert (done, after_breaking) == ((1, 0), (CommandState.CHECKING, 1))
    assert (command.state, command.code) == (CommandState.FAILED, "not_done")
    assert (partner.effects(card), partner.calls(card)["submit"]) == ([], 0)
    assert f"The adapter of {partner.account.code} broke" in caplog.messages


@pytest.mark.usefixtures("_broken")
def test_adapter_that_breaks_after_the_switch_repeats_nothing(partner):
    card = partner.card()
    use(partner, adapter="after")
    command = partner.activate(card)

    partner.work()
    partner.run(seconds=61)

    assert told(command) == ["queued", "sending", "checking", "done"]
    assert (partner.effects(card), partner.calls(card)["submit"]) == (["activate"], 1)


@pytest.mark.usefixtures("_broken")
def test_adapter_that_breaks_when_it_reads_is_asked_again_later_and_not_at_once(partner):
    use(partner, adapter="before")
    command = partner.activate(partner.card())
    partner.work()
    partner.clock.pass_(seconds=61)

    done = [partner.work(), partner.work()]

    command.refresh_from_db()
    assert done == [(0, 1), (0, 0)]
    assert (command.state, command.questions) == (CommandState.CHECKING, 1)
    assert command.check_at > partner.clock()


@pytest.mark.usefixtures("_broken")
def test_card_that_cannot_be_read_does_not_hold_the_others_up(partner):
    use(partner, adapter="before")
    cards = [make_card(partner.merchant, account=partner.account) for _ in range(2)]

    _, asked = line.work(account_id=partner.account.pk, clock=partner.clock, reading=True)

    again_at = [SmartCard.objects.get(pk=card.pk).read_at for card in cards]
    assert asked == 2
    assert None not in again_at


@pytest.mark.usefixtures("_broken")
def test_broken_adapter_of_one_command_does_not_hold_the_others(partner):
    many = [partner.activate(partner.card()) for _ in range(3)]
    use(partner, adapter="before")

    done = partner.work()

    states = Command.objects.filter(pk__in=[one.pk for one in many]).values_list("state", flat=True)
    assert (done, set(states)) == ((3, 0), {CommandState.CHECKING})


def test_account_with_lost_keys_is_skipped_with_an_alert_and_goes_on_with_them(partner, settings):
    known = settings.FIELD_KEYS
    card = partner.card()
    command = partner.activate(card)
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    skipped = partner.work()
    raised = list(Alert.objects.values_list("key", "closed_at"))
    settings.FIELD_KEYS = [*settings.FIELD_KEYS, *known]
    done = partner.work()

    command.refresh_from_db()
    assert (skipped, done) == ((0, 0), (1, 0))
    assert raised == [(f"operator:account:{partner.account.pk}:keys", None)]
    assert (command.state, command.attempts) == (CommandState.DONE, 1)
    assert partner.effects(card) == ["activate"]


# --- what an answer says of the operator ---------------------------------------------------------


def unavailable(error: ErrorClass, code: str = "", retry_after: float | None = None) -> Answer:
    return Answer(unavailable=Unavailable(error, code, "", retry_after))


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (Applied(), None),
        (Rejected(ErrorClass.NOT_FOUND, "404", ""), ErrorClass.NOT_FOUND),
        (Rejected(ErrorClass.TRANSIENT, OUR_QUOTA, ""), None),
        (Rejected(ErrorClass.TRANSIENT, "lease", ""), None),
        (Unknown(""), ErrorClass.UNKNOWN_OUTCOME),
        (Unknown("", error=ErrorClass.MAINTENANCE), ErrorClass.MAINTENANCE),
        (Answer(check=Check(CheckState.FAILED)), None),
        (Answer(reading=Reading(SimState.ACTIVE)), None),
        (unavailable(ErrorClass.TRANSIENT, "500"), ErrorClass.TRANSIENT),
        (unavailable(ErrorClass.RATE_LIMITED, OUR_QUOTA), None),
    ],
)
def test_error_of_an_answer(result, error):
    assert error_of(result) == error


@pytest.mark.parametrize(
    ("result", "seconds"),
    [
        (Applied(), 0),
        (Unknown("", retry_after=40), 40),
        (Rejected(ErrorClass.RATE_LIMITED, "429", "", retry_after=40), 40),
        (Rejected(ErrorClass.RATE_LIMITED, "429", ""), 2),
        (Rejected(ErrorClass.RATE_LIMITED, OUR_QUOTA, "", retry_after=40), 0),
        (Rejected(ErrorClass.TRANSIENT, "503", "", retry_after=40), 40),
        (unavailable(ErrorClass.RATE_LIMITED, "429", retry_after=40), 40),
        (unavailable(ErrorClass.RATE_LIMITED, OUR_QUOTA, retry_after=40), 0),
        (Answer(check=Check(CheckState.COMPLETED)), 0),
    ],
)
def test_pause_that_an_answer_asks_for(result, seconds):
    assert asked_pause(result) == seconds
