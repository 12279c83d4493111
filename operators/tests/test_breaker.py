"""The breaker: opens after troubles in a row, closes by one good answer, and keeps still while all is well."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cabinet.models import Alert
from operators.classification import Health
from operators.limits import breaker
from operators.limits.breaker import THRESHOLD
from operators.models import OperatorAccount

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@pytest.fixture
def account() -> OperatorAccount:
    return OperatorAccount.objects.create(
        code="broken",
        title="МТС",
        adapter="mts",
        base_url="https://api.example.com",
        last_error="HTTP 503",
    )


def note(account: OperatorAccount, health: Health, *, at: datetime = AT) -> None:
    breaker.record_result(account, health, at=at)


def opened(account: OperatorAccount) -> OperatorAccount:
    for _ in range(THRESHOLD):
        note(account, Health.BAD)
    return account


class BreakerFacts(NamedTuple):
    failures_in_a_row: int
    broken_since: datetime | None
    probe_at: datetime | None


def facts(account: OperatorAccount) -> BreakerFacts:
    """What the database knows; the given object has to know the same."""
    row = OperatorAccount.objects.get(pk=account.pk)
    known = BreakerFacts(row.failures_in_a_row, row.broken_since, row.probe_at)
    assert known == BreakerFacts(account.failures_in_a_row, account.broken_since, account.probe_at)
    return known


def pauses(account: OperatorAccount, probes: int) -> list[int]:
    """The seconds from each trouble to the next probe, while every probe fails at its time."""
    found, at = [], AT
    for _ in range(probes):
        assert account.probe_at is not None
        found.append(round((account.probe_at - at).total_seconds()))
        at = account.probe_at
        note(account, Health.BAD, at=at)
    return found


def alerts() -> list[tuple[str, str, str, int, datetime | None]]:
    fields = ("key", "text", "link", "seen_times", "closed_at")
    return list(Alert.objects.order_by("pk").values_list(*fields))


def test_breaker_opens_at_the_threshold_and_not_before(account):
    for _ in range(THRESHOLD - 1):
        note(account, Health.BAD)
    open_before, before = account.broken_since is not None, facts(account)
    note(account, Health.BAD)

    assert not open_before
    assert before == BreakerFacts(THRESHOLD - 1, None, None)
    assert account.broken_since is not None
    assert facts(account) == BreakerFacts(
        failures_in_a_row=THRESHOLD, broken_since=AT, probe_at=AT + timedelta(seconds=10)
    )


def test_good_answer_between_starts_the_count_anew(account):
    for _ in range(THRESHOLD - 1):
        note(account, Health.BAD)
    note(account, Health.GOOD)
    for _ in range(THRESHOLD - 1):
        note(account, Health.BAD)

    assert facts(account) == BreakerFacts(
        failures_in_a_row=THRESHOLD - 1, broken_since=None, probe_at=None
    )


def test_calls_that_say_nothing_change_nothing(account):
    opened(account)

    note(account, Health.NONE, at=AT + timedelta(seconds=10))

    assert facts(account) == BreakerFacts(
        failures_in_a_row=THRESHOLD, broken_since=AT, probe_at=AT + timedelta(seconds=10)
    )


def test_one_good_answer_closes(account):
    opened(account)

    note(account, Health.GOOD, at=AT + timedelta(seconds=10))

    assert account.broken_since is None
    assert facts(account) == BreakerFacts(failures_in_a_row=0, broken_since=None, probe_at=None)


def test_outage_is_one_alert_that_ends_with_works_again(account):
    opened(account)
    before = alerts()
    for seconds in (60, 80, 200):
        note(account, Health.BAD, at=AT + timedelta(seconds=seconds))
    raised = alerts()
    note(account, Health.GOOD, at=AT + timedelta(minutes=25))

    key = f"operator:account:{account.pk}:broken"
    link = f"/admin/operators/operatoraccount/{account.pk}/change/"
    ended = "МТС снова работает. Сбой был с 12:00 до 12:25."
    assert before == []
    assert raised == [(key, "МТС: сбой, команды ждут в очереди. HTTP 503", link, 1, None)]
    assert alerts() == [(key, ended, link, 1, AT + timedelta(minutes=25))]


def test_short_outages_alert_nobody(account):
    for minute in range(10):
        for second in (0, 10, 30, 59):
            for _ in range(THRESHOLD):
                note(account, Health.BAD, at=AT + timedelta(minutes=minute, seconds=second))
        note(account, Health.GOOD, at=AT + timedelta(minutes=minute, seconds=59))

    assert alerts() == []


def test_second_long_outage_is_a_new_alert(account):
    for hour in range(2):
        for minute in (0, 1):
            for _ in range(THRESHOLD):
                note(account, Health.BAD, at=AT + timedelta(hours=hour, minutes=minute))
        note(account, Health.GOOD, at=AT + timedelta(hours=hour, minutes=2))

    closed = [AT + timedelta(minutes=2), AT + timedelta(hours=1, minutes=2)]
    assert [row[-1] for row in alerts()] == closed


@pytest.mark.parametrize(
    "silence",
    [
        {"silent_until": AT + timedelta(hours=1)},
        {"maintenance_windows": [{"from": "11:00", "to": "13:00"}]},
    ],
)
def test_outage_in_a_pause_or_planned_works_alerts_after_them(account, silence):
    OperatorAccount.objects.filter(pk=account.pk).update(**silence)
    opened(account)
    note(account, Health.BAD, at=AT + timedelta(minutes=59))
    meanwhile = alerts()
    note(account, Health.BAD, at=AT + timedelta(minutes=61))

    assert meanwhile == []
    assert [row[-1] for row in alerts()] == [None]


def test_pauses_between_probes_grow_up_to_five_minutes(account):
    opened(account)

    assert pauses(account, 7) == [10, 20, 40, 80, 160, 300, 300]


@pytest.mark.parametrize("failures", [THRESHOLD, 8, 50])
def test_pauses_grow_alike_however_many_calls_failed_together(account, failures):
    for _ in range(failures):
        note(account, Health.BAD)

    assert pauses(account, 4) == [10, 20, 40, 80]


def test_calls_in_flight_do_not_postpone_the_probe(account):
    opened(account)

    for second in range(3):
        note(account, Health.BAD, at=AT + timedelta(seconds=second))

    assert facts(account) == BreakerFacts(
        failures_in_a_row=THRESHOLD + 3, broken_since=AT, probe_at=AT + timedelta(seconds=10)
    )


def test_probe_is_due_at_its_time_and_only_while_open(account):
    second = timedelta(seconds=1)
    closed = breaker.probe_is_due(account, AT)
    opened(account)
    probe_at = AT + timedelta(seconds=10)

    assert closed is False
    assert breaker.probe_is_due(account, probe_at - second) is False
    assert breaker.probe_is_due(account, probe_at) is True
    assert breaker.probe_is_due(account, probe_at + second) is True


def test_other_accounts_are_left_alone(account):
    other = OperatorAccount.objects.create(
        code="healthy", title="Партнёр", adapter="tmf640", base_url="https://api.example.com"
    )

    opened(account)

    assert facts(other) == BreakerFacts(failures_in_a_row=0, broken_since=None, probe_at=None)


@pytest.mark.parametrize("health", [Health.NONE, Health.GOOD])
def test_nothing_is_asked_or_written_while_all_is_well(account, health):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        note(account, health)

    sent = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert sent == []


def test_stale_object_does_not_lose_what_others_counted(account):
    stale = OperatorAccount.objects.get(pk=account.pk)
    opened(account)

    note(stale, Health.BAD)

    now = facts(stale)
    assert now.failures_in_a_row == THRESHOLD + 1
    assert now.broken_since == AT


# --- cards ------------------------------------------------------------------------------------------


def fail(account: OperatorAccount, card_id: int | None, *, at=AT, by_switches: bool = True) -> None:
    breaker.record_result(
        account, Health.BAD, at=at, by_switches=by_switches, card_id=card_id, error="3003 Foris"
    )


def test_trouble_of_one_card_never_opens(account):
    for by_switches in (True, False) * THRESHOLD:
        fail(account, 7, by_switches=by_switches)

    assert facts(account) == BreakerFacts(failures_in_a_row=1, broken_since=None, probe_at=None)
    assert alerts() == []


def test_trouble_of_different_cards_opens_and_says_the_refusal(account):
    for card_id in (1, 2, 2, 3, 1, 4, 5):
        fail(account, card_id)
    fail(account, 6, at=AT + timedelta(minutes=1))

    assert account.broken_since == AT
    assert [row[1] for row in alerts()] == ["МТС: сбой, команды ждут в очереди. 3003 Foris"]


def test_card_counts_anew_after_a_good_switch(account):
    for card_id in (1, 2, 3, 4):
        fail(account, card_id)
    breaker.record_result(account, Health.GOOD, at=AT, by_switches=True)
    for card_id in (1, 2, 3, 4):
        fail(account, card_id)

    assert facts(account) == BreakerFacts(failures_in_a_row=4, broken_since=None, probe_at=None)
    assert account.failing_cards == {"switches": ["1", "2", "3", "4"]}


def test_open_breaker_lets_questions_while_they_are_answered(account):
    for card_id in range(THRESHOLD):
        fail(account, card_id)
    allowed = [breaker.lets_questions(account)]
    for card_id in (1, 1, 2):
        fail(account, card_id, by_switches=False)
        allowed.append(breaker.lets_questions(account))
    breaker.questions_work(account)
    allowed.append(breaker.lets_questions(OperatorAccount.objects.get(pk=account.pk)))

    assert allowed == [True, True, True, False, True]
    assert account.broken_since == AT


# --- switches and readings --------------------------------------------------------------------------


class Failures(NamedTuple):
    in_a_row: int
    of_switches: int


def failures_after(account: OperatorAccount, *answers: str) -> list[Failures]:
    """Failures in a row, and those of switches among them, after each answer."""
    found = []
    for answer in answers:
        kind, _, outcome = answer.partition(" ")
        by_switches = kind == "switch"
        breaker.record_result(account, Health(outcome), at=AT, by_switches=by_switches)
        row = OperatorAccount.objects.get(pk=account.pk)
        found.append(Failures(row.failures_in_a_row, row.failing_switches))
    return found


def test_good_reading_makes_good_what_readings_met_and_no_more(account):
    found = failures_after(
        account, "switch bad", "reading bad", "reading good", "switch bad", "reading good"
    )

    assert [one.in_a_row for one in found] == [1, 2, 1, 2, 2]
    assert [one.of_switches for one in found] == [1, 1, 1, 2, 2]
    assert account.broken_since is None


def test_good_switch_makes_good_everything(account):
    found = failures_after(account, "switch bad", "reading bad", "switch good")

    assert [one.in_a_row for one in found] == [1, 2, 0]
    assert [one.of_switches for one in found] == [1, 1, 0]


def test_failing_switches_open_it_whatever_is_read_between(account):
    found = failures_after(account, *["switch bad", "reading good"] * THRESHOLD)

    assert found[-1] == Failures(in_a_row=THRESHOLD, of_switches=THRESHOLD)
    assert account.broken_since is not None


def test_good_reading_closes_what_only_readings_have_opened(account):
    by_readings = failures_after(account, *["reading bad"] * THRESHOLD, "reading good")

    assert by_readings[-1] == Failures(in_a_row=0, of_switches=0)
    assert account.broken_since is None
