"""The breaker: opens after troubles in a row, closes by one good answer, and keeps still while all is well."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from cabinet.models import Alert
from operators import breaker
from operators.breaker import THRESHOLD
from operators.models import OperatorAccount
from operators.ports import ErrorClass

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


def note(account: OperatorAccount, *, good: int = 0, bad: int = 0, at: datetime = AT) -> None:
    breaker.note(account, good=good, bad=bad, at=at)


def opened(account: OperatorAccount) -> OperatorAccount:
    for _ in range(THRESHOLD):
        note(account, bad=1)
    return account


def facts(account: OperatorAccount) -> tuple[int, datetime | None, datetime | None]:
    """What the database knows; the given object has to know the same."""
    row = OperatorAccount.objects.get(pk=account.pk)
    known = (row.failures_in_a_row, row.broken_since, row.probe_at)
    assert known == (account.failures_in_a_row, account.broken_since, account.probe_at)
    return known


def pauses(account: OperatorAccount, probes: int) -> list[int]:
    """The seconds from each trouble to the next probe, while every probe fails at its time."""
    found, at = [], AT
    for _ in range(probes):
        assert account.probe_at is not None
        found.append(round((account.probe_at - at).total_seconds()))
        at = account.probe_at
        note(account, bad=1, at=at)
    return found


def alerts() -> list[tuple[str, str, str, int, datetime | None]]:
    fields = ("key", "text", "link", "seen_times", "closed_at")
    return list(Alert.objects.order_by("pk").values_list(*fields))


@given(st.sampled_from(ErrorClass))
def test_only_what_speaks_of_health_is_trouble(error):
    speaks = {ErrorClass.TRANSIENT, ErrorClass.MAINTENANCE, ErrorClass.UNKNOWN_OUTCOME}

    assert breaker.is_trouble(error) == (error in speaks)


def test_no_error_is_no_trouble():
    assert not breaker.is_trouble(None)


def test_breaker_opens_at_the_threshold_and_not_before(account):
    for _ in range(THRESHOLD - 1):
        note(account, bad=1)
    before = (breaker.is_open(account), facts(account))
    note(account, bad=1)

    assert before == (False, (THRESHOLD - 1, None, None))
    assert breaker.is_open(account)
    assert facts(account) == (THRESHOLD, AT, AT + timedelta(seconds=10))


def test_good_answer_between_starts_the_count_anew(account):
    for _ in range(THRESHOLD - 1):
        note(account, bad=1)
    note(account, good=1)
    for _ in range(THRESHOLD - 1):
        note(account, bad=1)

    assert facts(account) == (THRESHOLD - 1, None, None)


def test_one_good_answer_among_bad_ones_keeps_it_closed(account):
    note(account, good=1, bad=50)

    assert facts(account) == (0, None, None)


def test_calls_that_say_nothing_change_nothing(account):
    opened(account)

    note(account, good=0, bad=0, at=AT + timedelta(seconds=10))

    assert facts(account) == (THRESHOLD, AT, AT + timedelta(seconds=10))


def test_one_good_answer_closes(account):
    opened(account)

    note(account, good=1, at=AT + timedelta(seconds=10))

    assert not breaker.is_open(account)
    assert facts(account) == (0, None, None)


def test_alert_is_raised_at_opening_and_closed_with_it(account):
    opened(account)
    note(account, bad=1, at=AT + timedelta(seconds=10))
    raised = alerts()
    note(account, good=1, at=AT + timedelta(seconds=30))

    matter = (
        f"operator:account:{account.pk}:broken",
        "МТС: сбой, команды ждут в очереди. HTTP 503",
        f"/admin/operators/operatoraccount/{account.pk}/change/",
        1,
    )
    assert raised == [(*matter, None)]
    assert alerts() == [(*matter, AT + timedelta(seconds=30))]


def test_second_fall_is_a_new_matter(account):
    opened(account)
    note(account, good=1)
    opened(account)

    assert [row[-1] for row in alerts()] == [AT, None]


def test_pauses_between_probes_grow_up_to_five_minutes(account):
    opened(account)

    assert pauses(account, 7) == [10, 20, 40, 80, 160, 300, 300]


@pytest.mark.parametrize("together", [THRESHOLD, 8, 50])
def test_pauses_grow_alike_however_many_calls_failed_together(account, together):
    note(account, bad=together)

    assert pauses(account, 4) == [10, 20, 40, 80]


def test_calls_that_were_in_the_air_do_not_put_the_probe_off(account):
    opened(account)

    for second in range(3):
        note(account, bad=2, at=AT + timedelta(seconds=second))

    assert facts(account) == (THRESHOLD + 6, AT, AT + timedelta(seconds=10))


def test_probe_is_due_at_its_time_and_only_while_open(account):
    second = timedelta(seconds=1)
    closed = breaker.probe_is_due(account, AT)
    opened(account)
    due = [
        breaker.probe_is_due(account, AT + timedelta(seconds=10) + shift)
        for shift in (-second, 0 * second, second)
    ]

    assert (closed, due) == (False, [False, True, True])


def test_other_accounts_are_left_alone(account):
    other = OperatorAccount.objects.create(
        code="healthy", title="Партнёр", adapter="tmf640", base_url="https://api.example.com"
    )

    opened(account)

    assert facts(other) == (0, None, None)


@pytest.mark.parametrize("good", [0, 1, 50])
def test_nothing_is_asked_or_written_while_all_is_well(account, good):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        note(account, good=good)

    sent = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert sent == []


def test_stale_object_does_not_lose_what_others_counted(account):
    stale = OperatorAccount.objects.get(pk=account.pk)
    opened(account)

    note(stale, bad=1)

    assert facts(stale)[:2] == (THRESHOLD + 1, AT)


# --- switches and readings --------------------------------------------------------------------------


def heard(account: OperatorAccount, *words: str) -> list[tuple[int, int]]:
    """Troubles in a row, and those of switches among them, after each word."""
    found = []
    for word in words:
        kind, _, outcome = word.partition(" ")
        counts = {"good": int(outcome == "good"), "bad": int(outcome == "bad")}
        breaker.note(account, **counts, at=AT, by_switches=kind == "switch")
        row = OperatorAccount.objects.get(pk=account.pk)
        found.append((row.failures_in_a_row, row.failing_switches))
    return found


def test_good_reading_makes_good_what_readings_met_and_no_more(account):
    found = heard(
        account, "switch bad", "reading bad", "reading good", "switch bad", "reading good"
    )

    assert found == [(1, 1), (2, 1), (1, 1), (2, 2), (2, 2)]
    assert not breaker.is_open(account)


def test_good_switch_makes_good_everything(account):
    found = heard(account, "switch bad", "reading bad", "switch good")

    assert found == [(1, 1), (2, 1), (0, 0)]


def test_failing_switches_open_it_whatever_is_read_between(account):
    found = heard(account, *["switch bad", "reading good"] * THRESHOLD)

    assert (found[-1], breaker.is_open(account)) == ((THRESHOLD, THRESHOLD), True)


def test_good_reading_closes_what_only_readings_have_opened(account):
    by_readings = heard(account, *["reading bad"] * THRESHOLD, "reading good")

    assert (by_readings[-1], breaker.is_open(account)) == ((0, 0), False)
